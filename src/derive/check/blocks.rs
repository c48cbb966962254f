//! The values of matrices made of blocks.

use ndarray::Array2;

use super::arrays::{Found, SIZELESS, V, joined, scalar};
use super::evaluate::{Instance, Key, Steps};
use crate::derive::algebra::chain::{Carried, read_of};
use crate::derive::algebra::conditions::is_condition;
use crate::derive::algebra::term::{Name, Quantity, Term};
use crate::derive::record::derivation::Chain;

impl Instance {
    /// The partial derivative of a value with respect to its read of a value `shift` steps away.
    pub(super) fn direct(&self, of: &Name, t: i64, by: &Name, shift: i64) -> Found {
        let by = read_of(by, shift);
        self.number(&Key::new(Quantity::Jacobian, [of, &by], [t, t]))
    }

    /// The derivative of the state at step `t` with respect to the state read by step `reader`.
    pub(super) fn flow(&self, state: &[Carried], way: i64, (t, reader): (i64, i64)) -> Found {
        if !self.has(t) {
            return Ok(V::Zero);
        }
        let key = |of: &Carried, by: &Carried| {
            let names = [&of.observed(way), &by.read(way)];
            Key::new(Quantity::Jacobian, names, [t, reader])
        };
        let mut rows = Vec::new();
        for of in state {
            let mut row = Vec::new();
            for by in state {
                match self.number(&key(of, by))? {
                    V::Array(a) => row.push(a),
                    _ => return Err(SIZELESS.into()),
                }
            }
            rows.push(row);
        }
        joined(&rows)
    }

    pub(super) fn matrix(&self, rows: &[Vec<Term>], at: &Steps) -> Found {
        let values: Result<Vec<Vec<V>>, String> = rows
            .iter()
            .map(|r| r.iter().map(|c| self.evaluate(c, at)).collect())
            .collect();
        let values = values?;
        if values.iter().flatten().all(|v| matches!(v, V::Zero)) {
            return Ok(V::Zero);
        }
        // A condition is a number even where it does not hold.
        let sized = |(value, term): (V, &Term)| match value {
            V::Zero if is_condition(term) => scalar(0.0),
            value => value,
        };
        let values: Vec<Vec<V>> = values
            .into_iter()
            .zip(rows)
            .map(|(values, terms)| values.into_iter().zip(terms).map(sized).collect())
            .collect();
        // A block without a size takes it from its row and its column.
        let state = |i: usize, state: &[Carried]| {
            let key = Key::new(Quantity::Value, [&state.get(i)?.name], [1]);
            self.numbers.get(&key).map(Array2::nrows)
        };
        // With one block for each part of the state, a zero has the sizes of its parts.
        let whole = match at.chain {
            Chain::Forward => &self.states,
            Chain::Backward => &self.back,
        };
        let of_state = rows.len() == whole.len();
        let across = of_state && rows.iter().all(|r| r.len() == whole.len());
        let down = across || of_state && rows.iter().all(|r| r.len() == 1);
        let height = |i: usize| {
            let own = values[i].iter().find_map(|v| match v {
                V::Array(a) => Some(a.nrows()),
                _ => None,
            });
            own.or_else(|| state(i, whole).filter(|_| down))
        };
        let width = |j: usize| {
            let own = values.iter().find_map(|r| match &r[j] {
                V::Array(a) => Some(a.ncols()),
                _ => None,
            });
            own.or_else(|| state(j, whole).filter(|_| across))
        };
        let mut sized = Vec::new();
        for (i, row) in values.iter().enumerate() {
            let mut out = Vec::new();
            for (j, v) in row.iter().enumerate() {
                let h = height(i).or(width(j));
                let w = width(j).or(height(i));
                out.push(match (v, h, w) {
                    (V::Array(a), ..) => a.clone(),
                    (V::Zero, Some(h), Some(w)) => Array2::zeros((h, w)),
                    (V::Eye(x), Some(h), Some(w)) if h == w => Array2::eye(h) * *x,
                    _ => return Err(SIZELESS.into()),
                });
            }
            sized.push(out);
        }
        joined(&sized)
    }
}
