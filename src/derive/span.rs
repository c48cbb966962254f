//! The shapes of terms as far as their names tell, and parts of vectors and matrices, which are counted
//! in them.

use std::sync::Arc;

use super::canon::{add, divide, hadamard, neg, product, scale, transpose};
use super::term::{Name, Term};
use crate::op::Op;
use crate::shape::{Dim, Kind, Shape, Symbol};
use crate::tape::Tape;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The entries of a vector.
    Entries,
    /// The rows of a matrix.
    Rows,
    /// The columns of a matrix.
    Columns,
}

/// Neighbouring entries, rows or columns, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which of these.
    pub along: Along,
    /// The first one.
    pub first: Box<Term>,
    /// The last one.
    pub last: Box<Term>,
}

impl Span {
    /// So many from a first one on, counted from 0.
    pub(crate) fn new(along: Along, start: Dim, len: Dim, names: &[Arc<str>]) -> Self {
        Self {
            along,
            first: Box::new(size(start + Dim::fixed(1), names)),
            last: Box::new(size(start + len, names)),
        }
    }

    /// The same columns for rows, the same rows for columns.
    pub(crate) fn turned(self) -> Self {
        let along = match self.along {
            Along::Columns => Along::Rows,
            Along::Rows | Along::Entries => Along::Columns,
        };
        Self { along, ..self }
    }

    /// The rows of a matrix for the entries of a vector.
    pub(crate) fn of_matrix(self) -> Self {
        let along = match self.along {
            Along::Entries => Along::Rows,
            along => along,
        };
        Self { along, ..self }
    }

    /// These of a term that has such; of a part, the part that is meant.
    pub(crate) fn of(self, term: Term) -> Term {
        match term {
            Term::Part(outer, x) if outer.along == self.along => {
                let counted = |i: &Term| {
                    number_last(add([
                        (*outer.first).clone(),
                        i.clone(),
                        neg(Term::Num(1.0)),
                    ]))
                };
                let (first, last) = (counted(&self.first), counted(&self.last));
                let along = self.along;
                let (first, last) = (Box::new(first), Box::new(last));
                Term::Part(Self { along, first, last }, x)
            }
            // Columns of rows are rows of columns.
            Term::Part(columns, x)
                if columns.along == Along::Columns && self.along == Along::Rows =>
            {
                Term::Part(columns, Box::new(self.of(*x)))
            }
            term => Term::Part(self, Box::new(term)),
        }
    }

    /// How many there are.
    fn len(&self) -> Option<Dim> {
        let (first, last) = (dim(&self.first)?, dim(&self.last)?);
        (last + Dim::fixed(1)).checked_sub(first)
    }
}

/// A size as a sum of multiples of named sizes and a number.
pub(crate) fn size(dim: Dim, names: &[Arc<str>]) -> Term {
    #[expect(clippy::cast_precision_loss, reason = "a size is small")]
    let number = |n: usize| Term::Num(n as f64);
    let named = dim.named_terms().map(|(symbol, count)| {
        let dim = Dim::named(symbol);
        let size = Term::Size(dim.text(names).into(), dim);
        scale(vec![number(count)], Some(size))
    });
    let rest = number(dim.constant());
    number_last(add(named.chain([rest])))
}

/// A size with the number after the names.
fn number_last(size: Term) -> Term {
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
    let named = |(i, name): (u16, &str)| (name.into(), Dim::named(Symbol(i)));
    (0..).zip(tape.dims()).map(named)
}

/// The size that a term is, the other way.
fn dim(term: &Term) -> Option<Dim> {
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

/// The number of rows and of columns; a vector has no columns, a row no rows, a number neither.
pub(crate) type Extent = (Option<Dim>, Option<Dim>);

/// Whether a term is a number: made of numbers, or a product of a row and a column.
pub(crate) fn is_number(term: &Term, tape: &Tape) -> bool {
    let one = |side: Option<Dim>| side.is_none_or(|n| n == Dim::fixed(1));
    extent(term, tape).is_some_and(|(rows, columns)| one(rows) && one(columns))
}

/// The shape of a term, as far as its names tell.
pub(crate) fn extent(term: &Term, tape: &Tape) -> Option<Extent> {
    let of = |x: &Term| extent(x, tape);
    match term {
        Term::Value(name, _)
        | Term::Delta(name, _)
        | Term::D(name, _)
        | Term::DPlus(name, _)
        | Term::Costate(name, _)
        | Term::Cut(name, _)
        | Term::Gradient(name, _) => named(name, tape),
        Term::Jacobian(of, _, by, _) | Term::Direct(of, _, by, _) | Term::Block(of, by, _) => {
            match (named(of, tape)?, named(by, tape)?) {
                ((rows, None), (columns, None)) => Some((rows, columns)),
                _ => None,
            }
        }
        Term::Num(_)
        | Term::Length
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
        | Term::DLoss
        | Term::DStepLoss(_)
        | Term::Loss
        | Term::StepLoss(_)
        | Term::Max(..)
        | Term::Min(..)
        | Term::PowSteps(..) => Some((None, None)),
        Term::Neg(x)
        | Term::Pow(x, _)
        | Term::DOf(x)
        | Term::Sum(_, _, _, x)
        | Term::Prod(_, _, _, x)
        | Term::ProdUp(_, _, _, x)
        | Term::HadProd(_, _, _, x) => of(x),
        Term::T(x) => of(x).map(|(rows, columns)| (columns, rows)),
        Term::Diag(v) => of(v).map(|(n, _)| (n, n)),
        Term::EyeOf(n) => dim(n).map(|n| (Some(n), Some(n))),
        Term::OneHot(class) => match &**class {
            Term::Value(name, _) => match tape.ty(tape.named(name)?).kind {
                Kind::Class(count) => Some((Some(count), None)),
                Kind::Real => None,
            },
            _ => None,
        },
        Term::Part(span, x) => {
            let (rows, columns) = of(x)?;
            Some(match span.along {
                Along::Columns => (rows, Some(span.len()?)),
                Along::Rows | Along::Entries => (Some(span.len()?), columns),
            })
        }
        Term::Div(a, b) => widest([&**a, &**b], tape),
        Term::Add(parts) | Term::Had(parts) => widest(parts, tape),
        Term::Call(name, _) if term.indicator().is_some() || is_pointwise(name, tape) => {
            widest(term.parts(), tape)
        }
        Term::Call(_, args) => {
            let numbers = args.iter().all(|x| is_number(x, tape));
            numbers.then_some((None, None))
        }
        Term::Mul(factors) => {
            let mut found: Extent = (None, None);
            for (i, factor) in factors.iter().enumerate() {
                let some = Some(Dim::fixed(1));
                let own = match factor {
                    // As many ones as what stands beside them needs.
                    Term::T(x) if **x == Term::Ones && i + 1 < factors.len() => (None, some),
                    Term::Ones if found != (None, None) => (some, None),
                    factor => match of(factor) {
                        Some(own) => own,
                        // A matrix in the middle, whatever its size.
                        None if found != (None, None) && i + 1 < factors.len() => (some, some),
                        None => return None,
                    },
                };
                found = match (found, own) {
                    ((None, None), own) => own,
                    (all, (None, None)) => all,
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

/// The same with every number in a product in front of what is none: `A uᵀ v x` as `uᵀ v A x`.
pub(crate) fn numbers_first(term: &Term, tape: &Tape) -> Term {
    let term = term.map(&mut |part| numbers_first(part, tape));
    let Term::Mul(factors) = &term else {
        return term;
    };
    // What a letter stands for is not known here.
    if factors.iter().any(|f| matches!(f, Term::Letter(..))) {
        return term;
    }
    let number = |run: &[Term]| match run {
        [one] => is_number(one, tape),
        run => is_number(&Term::Mul(run.to_vec()), tape),
    };
    let (mut first, mut rest, mut left) = (Vec::new(), Vec::new(), &factors[..]);
    while let [factor, ..] = left {
        let longest = match factor {
            Term::T(_) => left.len(),
            _ => 1,
        };
        let run = (1..=longest).find(|n| number(&left[..*n]));
        let (run, after) = left.split_at(run.unwrap_or(1));
        match number(run) && !run.iter().any(Term::is_linear_part) {
            true => first.extend(run.iter().cloned()),
            false => rest.extend(run.iter().cloned()),
        }
        left = after;
    }
    // Columns of the identity choose columns, rows of it rows.
    let mut at = 0;
    while at + 1 < rest.len() {
        match chosen(&rest[at], &rest[at + 1], tape) {
            Some(one) => {
                rest[at] = one;
                rest.remove(at + 1);
                at = at.saturating_sub(1);
            }
            None => at += 1,
        }
    }
    let moved: Vec<Term> = first.into_iter().chain(rest).collect();
    match moved == *factors {
        true => term,
        false => product(moved),
    }
}

/// `A I_{:,a:b} = A_{:,a:b}` and `I_{a:b,:} A = A_{a:b,:}` of matrices that have a name.
fn chosen(first: &Term, second: &Term, tape: &Tape) -> Option<Term> {
    let is_eye = |x: &Term| matches!(x, Term::EyeOf(_));
    let named = |x: &Term| {
        let whole = match x {
            Term::T(x) => x,
            x => x,
        };
        let known = matches!(
            whole,
            Term::Value(_, None) | Term::D(_, None) | Term::Part(..)
        );
        known && matches!(extent(x, tape), Some((Some(_), Some(_))))
    };
    match (first, second) {
        (matrix, Term::Part(span, eye)) if is_eye(eye) && span.along == Along::Columns => {
            named(matrix).then(|| part(span.clone(), matrix.clone(), tape))
        }
        (Term::Part(span, eye), matrix) if is_eye(eye) && span.along == Along::Rows => {
            named(matrix).then(|| part(span.clone(), matrix.clone(), tape))
        }
        _ => None,
    }
}

/// The shape of a value.
fn named(name: &Name, tape: &Tape) -> Option<Extent> {
    let ty = tape.ty(tape.named(name)?);
    match (ty.kind, ty.shape) {
        (Kind::Class(_), _) => None,
        (_, Shape::Scalar) => Some((None, None)),
        (_, Shape::Vector(n)) => Some((Some(n), None)),
        (_, Shape::Matrix(m, n)) => Some((Some(m), Some(n))),
    }
}

/// The shape of what is put together entry by entry: numbers, and ones, take on that of the others.
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

fn is_pointwise(function: &Name, tape: &Tape) -> bool {
    let mut ops = tape.nodes().map(|(_, node)| node.op());
    ops.any(|op| matches!(op, Op::Pointwise(_)) && op.name() == &**function)
}

/// Some rows or columns of a term: those of the parts of a sum, or of the factor that has them.
pub(crate) fn part(span: Span, term: Term, tape: &Tape) -> Term {
    let of = |x: Term| part(span.clone(), x, tape);
    match term {
        Term::Zero | Term::Ones | Term::Num(_) => term,
        Term::Neg(x) => neg(of(*x)),
        Term::Add(parts) => add(parts.into_iter().map(of)),
        Term::Had(parts) => hadamard(parts.into_iter().map(of).collect()),
        Term::T(x) => transpose(part(span.turned(), *x, tape)),
        Term::Div(a, b) if is_number(&b, tape) => divide(of(*a), *b),
        Term::Div(a, b) => divide(of(*a), of(*b)),
        Term::Mul(factors) => {
            let number = |run: &[Term]| run.is_empty() || is_number(&Term::Mul(run.to_vec()), tape);
            let own = match span.along {
                Along::Columns => (0..factors.len()).find(|at| number(&factors[at + 1..])),
                Along::Rows | Along::Entries => {
                    (0..factors.len()).rev().find(|at| number(&factors[..*at]))
                }
            };
            let known =
                own.filter(|at| extent(&factors[*at], tape).is_some_and(|e| e != (None, None)));
            match known {
                Some(at) => {
                    let mut factors = factors;
                    factors[at] = of(factors[at].clone());
                    Term::Mul(factors)
                }
                None => Term::Part(span, Box::new(Term::Mul(factors))),
            }
        }
        term => {
            let along = match (span.along, extent(&term, tape)) {
                (Along::Rows | Along::Entries, Some((_, None))) => Along::Entries,
                (Along::Entries, Some((_, Some(_)))) => Along::Rows,
                (along, _) => along,
            };
            Span { along, ..span }.of(term)
        }
    }
}

/// A sum of blocks that have zeros above and below, as the stack of these blocks, when they fill it.
pub(crate) fn stacked(sum: Term) -> Term {
    let filled = || -> Option<Vec<Vec<Term>>> {
        let mut blocks: Vec<(Dim, Dim, Term)> = Vec::new();
        let mut total = None;
        for part in sum.addends() {
            let (negative, unsigned) = (super::canon::is_negative(part), part.unsigned());
            let Term::Mul(factors) = unsigned else {
                return None;
            };
            let (place, block) = factors.split_first()?;
            let Term::Part(span, eye) = place else {
                return None;
            };
            let (Term::EyeOf(size), Along::Columns) = (&**eye, span.along) else {
                return None;
            };
            if *total.get_or_insert(dim(size)?) != dim(size)? {
                return None;
            }
            let block = product(block.to_vec());
            let block = if negative { neg(block) } else { block };
            blocks.push((dim(&span.first)?, dim(&span.last)?, block));
        }
        let (mut rows, mut next) = (Vec::new(), Dim::fixed(1));
        while let Some(at) = blocks.iter().position(|(first, ..)| *first == next) {
            let (_, last, block) = blocks.remove(at);
            next = last + Dim::fixed(1);
            rows.push(vec![block]);
        }
        (blocks.is_empty() && rows.len() > 1 && next == total? + Dim::fixed(1)).then_some(rows)
    };
    match filled() {
        Some(rows) => Term::Matrix(rows),
        None => sum,
    }
}

/// A matrix times a stack, as the sum of some of its columns times each block; rows and columns of sums
/// as sums of rows and columns. `None` where nothing linear is stacked or cut.
pub(crate) fn partition(term: &Term, tape: &Tape) -> Option<Term> {
    let names = tape.dim_names();
    let found = match term {
        Term::Part(span, x) if x.is_linear_part() => {
            let inner = partition(x, tape).unwrap_or_else(|| (**x).clone());
            let found = part(span.clone(), inner, tape);
            (found != *term).then_some(found)
        }
        Term::Matrix(_) => columns(None, term, tape, &names),
        Term::Mul(factors) => {
            let stack = factors
                .iter()
                .position(|f| is_stack(f) && f.is_linear_part());
            match stack {
                Some(at) => {
                    let matrix = (at > 0).then(|| &factors[..at]);
                    let sum = columns(matrix, &factors[at], tape, &names)?;
                    let after = &factors[at + 1..];
                    let with = |p: &Term| match p {
                        Term::Neg(x) => {
                            neg(Term::Mul([std::slice::from_ref(&**x), after].concat()))
                        }
                        p => product([std::slice::from_ref(p), after].concat()),
                    };
                    match after {
                        [] => Some(sum),
                        _ => Some(add(sum.addends().iter().map(with))),
                    }
                }
                None => inside(term, tape),
            }
        }
        term if term.is_linear_part() => inside(term, tape),
        _ => None,
    };
    found.map(|f| partition(&f, tape).unwrap_or(f))
}

fn is_stack(term: &Term) -> bool {
    matches!(term, Term::Matrix(rows) if rows.iter().all(|row| row.len() == 1))
}

/// The same in the parts of a term, with what comes out put together again.
fn inside(term: &Term, tape: &Tape) -> Option<Term> {
    let mut used = false;
    let found = term.map(&mut |part| match partition(part, tape) {
        Some(next) => {
            used = true;
            next
        }
        None => part.clone(),
    });
    used.then(|| match found {
        Term::Add(parts) => add(parts),
        Term::Had(factors) => hadamard(factors),
        Term::Neg(x) => neg(*x),
        Term::Mul(factors) => product(factors),
        found => found,
    })
}

/// `A [u; v]` as `A_{:,1:m} u + A_{:,m+1:n} v`; without a matrix, columns of the identity stand for it.
fn columns(matrix: Option<&[Term]>, stack: &Term, tape: &Tape, names: &[Arc<str>]) -> Option<Term> {
    let Term::Matrix(rows) = stack else {
        return None;
    };
    if !is_stack(stack) || !stack.is_linear_part() {
        return None;
    }
    let heights: Option<Vec<Dim>> = rows
        .iter()
        .map(|row| Some(extent(&row[0], tape)?.0.unwrap_or(Dim::fixed(1))))
        .collect();
    let heights = heights?;
    let total = heights.iter().copied().reduce(|a, b| a + b)?;
    let whole = match matrix {
        Some(factors) if !is_number(&Term::Mul(factors.to_vec()), tape) => {
            product(factors.to_vec())
        }
        other => {
            let eye = Term::EyeOf(Box::new(size(total, names)));
            product(
                other
                    .unwrap_or_default()
                    .iter()
                    .cloned()
                    .chain([eye])
                    .collect(),
            )
        }
    };
    let mut start = Dim::fixed(0);
    let mut parts = Vec::new();
    for (row, height) in rows.iter().zip(heights) {
        let span = Span::new(Along::Columns, start, height, names);
        start = start + height;
        parts.push(product(vec![
            part(span, whole.clone(), tape),
            row[0].clone(),
        ]));
    }
    Some(add(parts))
}
