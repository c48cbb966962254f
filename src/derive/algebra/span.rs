//! Parts of vectors and matrices, and stacks of them.

use std::sync::Arc;

use super::normal::{add, divide, hadamard, neg, product, transpose};
use super::shapes::{dim, extent, is_number, number_last, size};
use super::term::{Along, Span, Term};
use crate::shape::Dim;
use crate::tape::Tape;

impl Span {
    /// `len` entries from `start` (0-based).
    pub(crate) fn new(along: Along, start: Dim, len: Dim, names: &[Arc<str>]) -> Self {
        Self {
            along,
            first: Box::new(size(start + Dim::fixed(1), names)),
            last: Box::new(size(start + len, names)),
        }
    }

    /// Selects this span of `term`; nested spans compose.
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
            // Columns of a block of rows: stored as rows of a block of columns.
            Term::Part(columns, x)
                if columns.along == Along::Columns && self.along == Along::Rows =>
            {
                Term::Part(columns, Box::new(self.of(*x)))
            }
            term => Term::Part(self, Box::new(term)),
        }
    }
}

/// Selects rows or columns of a term: in every part of a sum, or in the factor that has them.
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
        Term::Matrix(rows) => match row_of(&rows, &span, tape) {
            Some(row) => row,
            None => Term::Part(span, Box::new(Term::Matrix(rows))),
        },
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

/// The row of a stack that coincides with `span`.
fn row_of(rows: &[Vec<Term>], span: &Span, tape: &Tape) -> Option<Term> {
    let mut start = Dim::fixed(0);
    for row in rows {
        let [only] = &row[..] else { return None };
        let end = start + extent(only, tape)?.0.unwrap_or(Dim::fixed(1));
        let own = (start + Dim::fixed(1), end);
        if span.along != Along::Columns && (dim(&span.first)?, dim(&span.last)?) == own {
            return Some(only.clone());
        }
        start = end;
    }
    None
}

/// Rewrites a sum of blocks padded with zeros as the stack of these blocks, if they fill it.
pub(crate) fn stacked(sum: Term) -> Term {
    let filled = || -> Option<Vec<Vec<Term>>> {
        let mut blocks: Vec<(Dim, Dim, Term)> = Vec::new();
        let mut total = None;
        for part in sum.addends() {
            let (negative, unsigned) = (super::normal::is_negative(part), part.unsigned());
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

/// A matrix times a stack, as a sum of column blocks times the blocks of the stack; rows or columns of a sum, as a
/// sum of rows or columns. `None` if no linear term is stacked or sliced.
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

/// Applies [`partition`] to the parts of a term and renormalises the result.
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

/// `A [u; v]` as `A_{:,1:m} u + A_{:,m+1:n} v`; without a matrix, columns of the identity are used.
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
