//! Ones in products: `𝟏` is a vector, and a matrix of ones is a column of ones times a row of ones.

use super::read::Reader;
use crate::derive::algebra::normal::{add, divide, neg, scale, transpose};
use crate::derive::algebra::shapes::{is_number, size};
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Fold, Term};
use crate::op::NodeId;
use crate::shape::{Dim, Shape};

impl Reader<'_> {
    /// An argument of a product of matrices, turned or as it is. A matrix of ones is written as a column of ones times a
    /// row of ones, since `𝟏` in a product is a vector.
    pub(super) fn factor(&self, id: NodeId, term: Term, turn: impl Fn(Term) -> Term) -> Term {
        let matrix = matches!(self.tape.ty(id).shape, Shape::Matrix(..));
        match matrix && self.is_filled(id, &term) {
            true => with_rows_of_ones(&term),
            false => turn(term),
        }
    }

    /// The product of two values over the rows of a node.
    pub(super) fn contracted(&self, a: Term, b: Term, rows: NodeId) -> Term {
        self.over(a, b, self.tape.ty(rows).shape.dims().first().copied())
    }

    /// The product of two values over an index of some size. A row of ones times a column of ones is that size.
    pub(super) fn over(&self, a: Term, b: Term, dim: Option<Dim>) -> Term {
        let factors = |x: &Term| match x {
            Term::Mul(factors) => factors.clone(),
            one => vec![one.clone()],
        };
        let (mut first, mut second) = (factors(&a), factors(&b));
        let column = second.iter().position(|f| !is_number(f, self.tape));
        let column = column.filter(|at| second[*at] == Term::Ones);
        match (column, dim) {
            (Some(at), Some(dim)) if first.last() == Some(&transpose(Term::Ones)) => {
                first.pop();
                second.remove(at);
                let count = size(dim, &self.tape.dim_names());
                let rest = [first, second].concat();
                if rest.is_empty() {
                    return count;
                }
                self.product([vec![count], rest].concat())
            }
            _ => self.product(vec![a, b]),
        }
    }

    /// Returns true if the term of a node is made of numbers times ones: all entries are equal, and their number depends
    /// on the context.
    pub(super) fn is_filled(&self, id: NodeId, term: &Term) -> bool {
        let of = |x: &Term| self.is_filled(id, x);
        match term {
            Term::Ones => true,
            Term::Neg(x) | Term::Over(Fold::Sum, _, x) => of(x),
            Term::Add(parts) | Term::Had(parts) => parts.iter().all(of),
            Term::Div(a, b) => of(a) && of(b),
            Term::Mul(factors) => match &factors[..] {
                // A product of a matrix with ones is a vector.
                [numbers @ .., Term::Ones] => {
                    matches!(self.tape.ty(id).shape, Shape::Matrix(..))
                        || is_number(&Term::Mul(numbers.to_vec()), self.tape)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The number of which all entries of a value are a copy.
    pub(super) fn number_of(filled: Term) -> Term {
        match filled {
            Term::Ones => Term::Num(1.0),
            Term::Neg(x) => neg(Self::number_of(*x)),
            Term::Over(Fold::Sum, index, x) => summed(index, Self::number_of(*x)),
            Term::Add(parts) => add(parts.into_iter().map(Self::number_of)),
            Term::Had(parts) => scale(parts.into_iter().map(Self::number_of).collect(), None),
            Term::Div(a, b) => divide(Self::number_of(*a), Self::number_of(*b)),
            Term::Mul(mut factors) => {
                factors.pop();
                scale(factors, None)
            }
            number => number,
        }
    }
}

/// `𝟏 𝟏ᵀ` for each `𝟏` of a matrix with equal entries.
fn with_rows_of_ones(filled: &Term) -> Term {
    match filled {
        Term::Ones => Term::Mul(vec![Term::Ones, transpose(Term::Ones)]),
        Term::Mul(factors) => {
            let row = transpose(Term::Ones);
            Term::Mul(factors.iter().cloned().chain([row]).collect())
        }
        filled => filled.map(&mut with_rows_of_ones),
    }
}
