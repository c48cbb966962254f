//! Products with factors that take their size from other factors.

use ndarray::Array2;

use super::arrays::{Found, SIZELESS, V, mul, plus, scalar};
use super::evaluate::{Instance, Steps};
use crate::derive::algebra::term::Term;

fn is_row(a: &Array2<f64>) -> bool {
    a.nrows() == 1 && a.ncols() > 1
}

impl Instance {
    /// A product of matrices, from left to right; from right to left if ones in it take their size from later factors.
    pub(super) fn product(&self, factors: &[Term], at: &Steps) -> Found {
        if let Some(place) = factors.iter().position(|f| matches!(f, Term::Mul(_)))
            && let Term::Mul(inner) = &factors[place]
        {
            let (before, after) = (&factors[..place], &factors[place + 1..]);
            return self.product(&[before, inner, after].concat(), at);
        }
        // A column of ones times a row of ones is a matrix of ones.
        if let [before @ .., Term::Ones, Term::T(row)] = factors
            && **row == Term::Ones
        {
            let ones = [Term::Ones];
            let column = match before {
                [] => V::Fill(1.0),
                before => self.product(&[before, &ones].concat(), at)?,
            };
            return Ok(match column {
                V::Array(number) | V::Columns(number) if number.len() == 1 => {
                    V::Fill(number[(0, 0)])
                }
                column => column,
            });
        }
        // A row of ones times a column of ones is their number, which comes from elsewhere.
        let count = |f: &[Term]| f[1] == Term::Ones && f[0] == Term::T(Box::new(Term::Ones));
        if factors.windows(2).any(count) {
            return Err(SIZELESS.into());
        }
        // In the middle of a product, the row of ones sums what follows, and the column repeats the sums.
        let pair = |f: &[Term]| f[0] == Term::Ones && f[1] == Term::T(Box::new(Term::Ones));
        if let Some(place) = factors.windows(2).position(pair) {
            let sums = match self.product(&factors[place + 1..], at)? {
                V::Array(sum) if sum.len() == 1 => V::Fill(sum[(0, 0)]),
                V::Array(row) if is_row(&row) => V::Rows(row),
                V::Zero => return Ok(V::Zero),
                _ => return Err(SIZELESS.into()),
            };
            return match &factors[..place] {
                [] => Ok(sums),
                before => mul(self.product(before, at)?, sums),
            };
        }
        match self.left_to_right(factors, at) {
            Err(reason) if reason == SIZELESS => {
                let values = factors.iter().rev().map(|f| self.evaluate(f, at));
                let product = values.reduce(|after, before| mul(before?, after?));
                match product {
                    Some(Err(reason)) if reason == SIZELESS => self.distributed(factors, at),
                    product => product.unwrap_or_else(|| Err("an empty product".into())),
                }
            }
            found => found,
        }
    }

    /// Folds factors. A zero factor makes the product zero, even if another factor does not exist.
    pub(super) fn fold(&self, parts: &[Term], at: &Steps, f: &dyn Fn(V, V) -> Found) -> Found {
        let values: Vec<Found> = parts.iter().map(|p| self.evaluate(p, at)).collect();
        if values.iter().any(|v| matches!(v, Ok(V::Zero))) {
            return Ok(V::Zero);
        }
        let mut values = values.into_iter();
        let first = values.next().ok_or("an empty product")??;
        values.try_fold(first, |product, v| f(product, v?))
    }

    fn left_to_right(&self, factors: &[Term], at: &Steps) -> Found {
        let values: Vec<Found> = factors.iter().map(|f| self.evaluate(f, at)).collect();
        if values.iter().any(|v| matches!(v, Ok(V::Zero))) {
            return Ok(V::Zero);
        }
        let mut product: Option<V> = None;
        for (factor, value) in factors.iter().zip(values) {
            product = Some(match (product, value?) {
                (None, value) => value,
                // Ones after a row are a column.
                (Some(V::Array(row)), V::Fill(x)) if *factor == Term::Ones && is_row(&row) => {
                    scalar(row.sum() * x)
                }
                (Some(product), value) => mul(product, value)?,
            });
        }
        product.ok_or_else(|| "an empty product".into())
    }

    /// A product with a sum as a sum of products: in `A (I − 𝟏 𝟏ᵀ)`, both have a size.
    fn distributed(&self, factors: &[Term], at: &Steps) -> Found {
        let sum = factors.iter().position(|f| matches!(f, Term::Add(_)));
        let place = sum.ok_or(SIZELESS)?;
        let (before, after) = (&factors[..place], &factors[place + 1..]);
        let parts = factors[place].addends().iter().map(|part| match part {
            Term::Neg(x) => (-1.0, &**x),
            part => (1.0, part),
        });
        parts.into_iter().try_fold(V::Zero, |total, (sign, part)| {
            let part = std::slice::from_ref(part);
            let product = self.product(&[before, part, after].concat(), at)?;
            plus(total, mul(scalar(sign), product)?)
        })
    }
}
