//! The shapes of terms, inferred from the names in them, and sizes as terms.

use super::quantity::Form;
use std::sync::Arc;

use super::function::operation;
use super::normal::{add, scale};
use super::term::{Along, Name, Span, Term};
use crate::op::{Op, Reduce};
use crate::shape::{Dim, Kind, Shape, Symbol};
use crate::tape::Tape;

/// A size as a term: a sum of multiples of named sizes and a number.
pub(crate) fn size(dim: Dim, names: &[Arc<str>]) -> Term {
    #[expect(clippy::cast_precision_loss, reason = "a size is small")]
    let number = |n: i64| Term::Num(n as f64);
    let named = dim.named_terms().map(|(symbol, count)| {
        let dim = Dim::named(symbol);
        let size = Term::Size(dim.text(names).into(), dim);
        scale(vec![number(count as i64)], Some(size))
    });
    let rest = number(dim.constant());
    number_last(add(named.chain([rest])))
}

/// A size with its constant after the names.
pub(super) fn number_last(size: Term) -> Term {
    match size {
        Term::Add(mut parts) if matches!(parts[0], Term::Num(_)) => {
            parts.rotate_left(1);
            Term::Add(parts)
        }
        size => size,
    }
}

/// Every named size.
pub(crate) fn sizes(tape: &Tape) -> impl Iterator<Item = (Name, Dim)> {
    let named = |(name, symbol): (&str, Symbol)| (name.into(), Dim::named(symbol));
    tape.symbols().map(named)
}

/// The size that a term denotes; the inverse of [`size`].
pub(super) fn dim(term: &Term) -> Option<Dim> {
    match term {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is checked to be a whole number that is not negative"
        )]
        Term::Num(n) if *n >= 0.0 && n.fract() == 0.0 => Some(Dim::fixed(*n as usize)),
        Term::Size(_, dim) => Some(*dim),
        Term::Add(parts) => {
            let parts: Option<Vec<Dim>> = parts.iter().map(dim).collect();
            parts?.into_iter().reduce(|a, b| a + b)
        }
        Term::Mul(factors) => match &factors[..] {
            [count, of] => {
                let (count, of) = (dim(count)?.as_fixed()?, dim(of)?);
                std::iter::repeat_n(of, count).reduce(|a, b| a + b)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The number of rows and of columns; a vector has no columns, a row vector no rows, a scalar neither.
pub(crate) type Extent = (Option<Dim>, Option<Dim>);

/// Returns true if a term is a scalar: made of scalars, or a product of a row and a column.
pub(crate) fn is_number(term: &Term, tape: &Tape) -> bool {
    extent(term, tape) == Some((None, None))
}

/// The shape of a term, if its names determine it.
pub(crate) fn extent(term: &Term, tape: &Tape) -> Option<Extent> {
    let of = |x: &Term| extent(x, tape);
    match term {
        Term::Symbol(symbol) => match (symbol.quantity.row().form, &symbol.names[..]) {
            (Form::Number, _) => Some((None, None)),
            (Form::Value, [name]) => named(name, tape),
            (Form::Matrix, [of, by]) => match (named(of, tape)?, named(by, tape)?) {
                ((rows, None), (columns, None)) => Some((rows, columns)),
                _ => None,
            },
            _ => None,
        },
        Term::Num(_)
        | Term::Size(..)
        | Term::Steps(_)
        | Term::At(..)
        | Term::Before(..)
        | Term::Uncut(_)
        | Term::Inner(..)
        | Term::Norm(_)
        | Term::MaxNorm(_)
        | Term::Frobenius(_)
        | Term::Least(_)
        | Term::PowSteps(..) => Some((None, None)),
        Term::Neg(x) | Term::Pow(x, _) | Term::DOf(x) => of(x),
        Term::Over(fold, _, _) if fold.of_numbers() => Some((None, None)),
        Term::Over(_, _, x) => of(x),
        Term::T(x) => of(x).map(|(rows, columns)| (columns, rows)),
        Term::Diag(v) => of(v).map(|(n, _)| (n, n)),
        Term::EyeOf(n) => dim(n).map(|n| (Some(n), Some(n))),
        Term::OneHot(class) => match &**class {
            Term::Symbol(class) => match tape.ty(tape.named(class.names.first()?)?).kind {
                Kind::Class(count) => Some((Some(count), None)),
                Kind::Real => None,
            },
            _ => None,
        },
        Term::Part(span, x) => {
            let (rows, columns) = of(x)?;
            let one = span.len() == Some(Dim::fixed(1));
            Some(match span.along {
                // A single entry is a scalar.
                Along::Entries if one => (None, None),
                Along::Columns => (rows, Some(span.len()?)),
                Along::Rows | Along::Entries => (Some(span.len()?), columns),
            })
        }
        Term::Div(a, b) => widest([&**a, &**b], tape),
        Term::Add(parts) | Term::Had(parts) => widest(parts, tape),
        Term::Call(..) if term.indicator().is_some() => widest(term.parts(), tape),
        Term::Call(name, args) => match operation(name, tape) {
            Some(Op::Reduce(Reduce::LogSumExp)) => Some((None, None)),
            Some(Op::Pointwise(_) | Op::Reduce(_)) => widest(term.parts(), tape),
            _ => {
                let numbers = args.iter().all(|x| is_number(x, tape));
                numbers.then_some((None, None))
            }
        },
        Term::Mul(factors) => {
            let mut found: Extent = (None, None);
            for (i, factor) in factors.iter().enumerate() {
                let some = Some(Dim::fixed(1));
                let own = match factor {
                    // The number of ones comes from the adjacent factor.
                    Term::T(x) if **x == Term::Ones && i + 1 < factors.len() => (None, some),
                    Term::Ones if found != (None, None) => (some, None),
                    factor => match of(factor) {
                        Some(own) => own,
                        // A matrix between other factors; its size is not needed.
                        None if found != (None, None) && i + 1 < factors.len() => (some, some),
                        None => return None,
                    },
                };
                found = match (found, own) {
                    ((None, None), own) => own,
                    (all, (None, None)) => all,
                    // A row cannot be followed by a row.
                    ((_, before), (after, _)) if before.is_some() != after.is_some() => {
                        return None;
                    }
                    ((rows, _), (_, columns)) => (rows, columns),
                };
            }
            Some(found)
        }
        Term::Matrix(rows) => {
            let sum = |cells: Vec<Extent>, side: fn(Extent) -> Option<Dim>| {
                let one = Dim::fixed(1);
                let sizes = cells.into_iter().map(|c| side(c).unwrap_or(one));
                sizes.reduce(|a, b| a + b)
            };
            let first: Option<Vec<Extent>> = rows.iter().map(|r| of(r.first()?)).collect();
            let height = sum(first?, |e| e.0);
            let top: Option<Vec<Extent>> = rows.first()?.iter().map(of).collect();
            let top = top?;
            let column = top.len() == 1 && top[0].1.is_none();
            Some((height, if column { None } else { sum(top, |e| e.1) }))
        }
        _ => None,
    }
}

/// The shape of a named value.
fn named(name: &Name, tape: &Tape) -> Option<Extent> {
    let ty = tape.ty(tape.named(name)?);
    match (ty.kind, ty.shape) {
        (Kind::Class(_), _) => None,
        (_, Shape::Scalar) => Some((None, None)),
        (_, Shape::Vector(n)) => Some((Some(n), None)),
        (_, Shape::Matrix(m, n)) => Some((Some(m), Some(n))),
    }
}

/// The shape of an entrywise combination: scalars and ones are broadcast to the shape of the others.
fn widest<'t>(parts: impl IntoIterator<Item = &'t Term>, tape: &Tape) -> Option<Extent> {
    let (mut number, mut unknown) = (None, false);
    for part in parts {
        match (part, extent(part, tape)) {
            (Term::Ones | Term::Zero, _) => {}
            (_, Some((None, None))) => number = Some((None, None)),
            (_, Some(own)) => return Some(own),
            (_, None) => unknown = true,
        }
    }
    number.filter(|_| !unknown)
}

impl Span {
    /// The number of entries, rows or columns.
    pub(crate) fn len(&self) -> Option<Dim> {
        let (first, last) = (dim(&self.first)?, dim(&self.last)?);
        (last + Dim::fixed(1)).checked_sub(first)
    }
}
