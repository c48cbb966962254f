//! Test vectors in memory.

use bptt::data::Array;
use bptt::{Error, Result};
use indexmap::IndexMap;
use ndarray::ArrayD;

use super::layout::Layout;
use crate::{Answer, Precision, Quantity};

/// Data of a recurrence with the expected numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// The name of the recurrence.
    pub recurrence: String,
    /// The text of the recurrence in its language; empty if it has none, as with a custom op.
    pub source: String,
    /// The arrangement of the arrays.
    pub layout: Layout,
    /// The type in which the data is exact.
    pub precision: Precision,
    /// The seed of the data.
    pub seed: u64,
    pub(super) vectors: Vec<Vector>,
}

impl Vectors {
    /// The vectors in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Vector> {
        self.vectors.iter()
    }
}

/// The data of one run and the expected numbers, each under a path such as `params/W_i`, `inputs/x`, `loss`,
/// `gradient/W_i` or `bound/gradient/W_i`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    pub(super) number: usize,
    pub(super) arrays: IndexMap<String, Array>,
}

impl Vector {
    /// The number of the vector, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.number
    }

    /// The arrays with their paths.
    pub fn arrays(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(path, array)| (&**path, array))
    }

    /// The array at a path, if there is one.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Array> {
        self.arrays.get(path)
    }

    /// The array at a path as real numbers; classes and booleans are numbers.
    ///
    /// # Errors
    /// If there is no such array.
    pub fn real(&self, path: &str) -> Result<ArrayD<f64>> {
        match self.get(path) {
            Some(array) => Ok(array.real()),
            None => Err(Error::UnknownName {
                what: "array of a test vector",
                name: path.into(),
                known: self.arrays.keys().cloned().collect(),
            }),
        }
    }

    /// The number at a path.
    ///
    /// # Errors
    /// If there is no such array, or it has more than one entry.
    pub fn number(&self, path: &str) -> Result<f64> {
        let array = self.real(path)?;
        match (array.first(), array.len()) {
            (Some(number), 1) => Ok(*number),
            _ => Err(Error::Array {
                reason: format!(
                    "`{path}` has the shape {:?}, expected one number; read it with `real`",
                    array.shape()
                ),
            }),
        }
    }

    /// The number of steps of each sample.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        match self.get("lengths") {
            Some(Array::Int(lengths)) => lengths
                .iter()
                .map(|n| usize::try_from(*n).unwrap_or(0))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Compares numbers of your own, computed in this precision. The loss and the gradient of every parameter are
    /// required; everything else is compared if it is there.
    ///
    /// # Errors
    /// For the first array that is missing, has a name or a shape that is not in the file, or an entry that is further
    /// from the expected number than the bound.
    pub fn check(&self, answer: &Answer, precision: Precision) -> Result<()> {
        let refused = |reason: String| Error::Array {
            reason: format!("vector {}: {reason}", self.number),
        };
        for path in self.required() {
            if !answer.iter().any(|(q, name, _)| path_of(q, name) == path) {
                return Err(refused(format!(
                    "`{path}` is not answered; add it to the answer"
                )));
            }
        }
        for (quantity, name, found) in answer.iter() {
            let path = path_of(quantity, name);
            let expected = self
                .real(&path)
                .map_err(|error| refused(error.to_string()))?;
            if expected.shape() != found.shape() {
                return Err(refused(format!(
                    "`{path}` has the shape {:?}, expected {:?}",
                    found.shape(),
                    expected.shape()
                )));
            }
            let bound = self.number(&bound_of(precision, &path))?;
            for ((index, found), expected) in found.indexed_iter().zip(&expected) {
                let apart = (found - expected).abs();
                // Outputs beyond the length of a sample are not defined; NaN stands there. NaN is never within a bound.
                if expected.is_nan() || apart <= bound {
                    continue;
                }
                let place: Vec<usize> = (0..expected_rank(&index)).map(|n| index[n]).collect();
                let place = match place.is_empty() {
                    true => String::new(),
                    false => format!(" at {place:?} (counted from 0)"),
                };
                return Err(refused(format!(
                    "`{path}` is {}{place}, expected {}: the difference is {apart:.1e}, and the bound on rounding errors in \
                     {precision} is {bound:.1e}",
                    bptt::number(*found),
                    bptt::number(*expected)
                )));
            }
        }
        Ok(())
    }

    /// The paths of the numbers that an answer must have.
    fn required(&self) -> impl Iterator<Item = String> {
        let params = self.arrays.keys().filter_map(|p| p.strip_prefix("params/"));
        let gradients = params.map(|name| path_of(Quantity::Gradient, name));
        let gradients = gradients.filter(|path| self.arrays.contains_key(path));
        std::iter::once(path_of(Quantity::Loss, "")).chain(gradients)
    }
}

fn expected_rank(index: &ndarray::IxDyn) -> usize {
    ndarray::Dimension::ndim(index)
}

/// The path of an array of a quantity.
pub(super) fn path_of(quantity: Quantity, name: &str) -> String {
    match quantity {
        Quantity::Loss => quantity.name().into(),
        _ => format!("{}/{name}", quantity.name()),
    }
}

/// The path of the bound on the rounding errors of an array.
pub(super) fn bound_of(precision: Precision, path: &str) -> String {
    match precision {
        Precision::F64 => format!("bound/{path}"),
        Precision::F32 => format!("bound_f32/{path}"),
    }
}
