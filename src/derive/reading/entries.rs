//! Sums over entries, and stacks, as products.

use super::read::Reader;
use crate::derive::algebra::normal::{add, hadamard, inner, neg, scale, transpose};
use crate::derive::algebra::numbers::leading_number;
use crate::derive::algebra::shapes::{extent, is_number, size};
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Along, Fold, Span, Term};
use crate::op::NodeId;
use crate::shape::Dim;

impl Reader<'_> {
    /// `⟨u, x⟩`; for a broadcast scalar, the scalar times the sum of the entries of `u`.
    pub(crate) fn paired(&self, u: Term, x: Term) -> Term {
        match x {
            Term::Mul(mut factors)
                if factors.last() == Some(&Term::Ones)
                    && is_number(&Term::Mul(factors[..factors.len() - 1].to_vec()), self.tape)
                    && matches!(extent(&u, self.tape), Some((Some(_), None))) =>
            {
                factors.pop();
                // A row and the differential that it multiplies are one number.
                let (mut numbers, mut own, mut left) = (Vec::new(), None, &factors[..]);
                while !left.is_empty() {
                    let (run, after) = left.split_at(leading_number(left, self.tape).unwrap_or(1));
                    match run.iter().any(Term::is_linear_part) && own.is_none() {
                        true => own = Some(self.product(run.to_vec())),
                        false => numbers.extend(run.iter().cloned()),
                    }
                    left = after;
                }
                match own {
                    Some(own) => {
                        let sum = self.sum_of_entries(u);
                        inner(scale(numbers, Some(sum)), own)
                    }
                    None => inner(u, scale(factors, Some(Term::Ones))),
                }
            }
            x => inner(u, x),
        }
    }

    /// The sum of all entries of a vector: `𝟏ᵀ x`, or `uᵀ v` of an entrywise product, with scalars in front.
    pub(super) fn sum_of_entries(&self, vector: Term) -> Term {
        match vector {
            Term::Neg(x) => neg(self.sum_of_entries(*x)),
            Term::Over(Fold::Sum, index, x) => summed(index, self.sum_of_entries(*x)),
            Term::Had(mut factors) => match factors.pop() {
                Some(last) => self.product(vec![self.row(hadamard(factors)), last]),
                None => Term::Zero,
            },
            Term::Mul(factors) => match factors.split_last() {
                Some((last @ Term::Had(_), numbers))
                    if is_number(&Term::Mul(numbers.to_vec()), self.tape) =>
                {
                    let sum = self.sum_of_entries(last.clone());
                    self.product(numbers.iter().cloned().chain([sum]).collect())
                }
                _ => self.product(vec![transpose(Term::Ones), Term::Mul(factors)]),
            },
            x => self.product(vec![transpose(Term::Ones), x]),
        }
    }

    /// The sum of all entries of a matrix, as an inner product if it has that form.
    pub(super) fn sum_of_matrix(matrix: Term) -> Option<Term> {
        match matrix {
            Term::Neg(x) => Self::sum_of_matrix(*x).map(neg),
            Term::Over(Fold::Sum, index, x) => Self::sum_of_matrix(*x).map(|x| summed(index, x)),
            Term::Had(mut factors) => {
                let last = factors.pop()?;
                Some(inner(hadamard(factors), last))
            }
            _ => None,
        }
    }

    /// The transpose of a column, factor by factor: `(Aᵀ v)ᵀ = vᵀ A`, with scalars in front.
    pub(super) fn row(&self, column: Term) -> Term {
        let Term::Mul(factors) = column else {
            return transpose(column);
        };
        let mut count = 0;
        while let Some(number) = leading_number(&factors[count..], self.tape) {
            count += number;
        }
        let (numbers, rest) = factors.split_at(count);
        let turned = rest.iter().rev().cloned().map(transpose);
        self.product(numbers.iter().cloned().chain(turned).collect())
    }

    /// A stack with zero parts, as the sum of its other parts, each multiplied by columns of the identity.
    pub(super) fn placed(&self, id: NodeId, parts: Vec<Term>) -> Term {
        let names = self.tape.dim_names();
        let height = |id: NodeId| {
            let shape = self.tape.ty(id).shape.dims();
            shape.first().copied().unwrap_or(Dim::fixed(1))
        };
        let eye = Term::EyeOf(Box::new(size(height(id), &names)));
        let mut start = Dim::fixed(0);
        let args = self.tape.node(id).args();
        let placed = args.iter().zip(parts).map(|(arg, part)| {
            let span = Span::new(Along::Columns, start, height(*arg), &names);
            start = start + height(*arg);
            let place = Term::Part(span, Box::new(eye.clone()));
            self.product(vec![place, part])
        });
        add(placed)
    }

    pub(super) fn has_one_entry(&self, id: NodeId) -> bool {
        let shape = self.tape.ty(id).shape.dims();
        shape.iter().all(|n| *n == Dim::fixed(1))
    }
}
