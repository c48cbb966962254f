//! The types of entries that an array may have for what it is used as.
//!
//! | used as | `f32`, `f64` | integers | booleans |
//! |---|---|---|---|
//! | real input | as they are | if exact | 0 and 1 |
//! | parameter | as they are | if exact | refused |
//! | array of classes | if whole, where it is used | if exact | refused |
//! | class | if whole | as they are | refused |
//! | lengths | if whole | as they are | refused |

use ndarray::{ArrayD, Dimension};

use super::Array;
use crate::error::number;
use crate::op::Scalar;

/// The use of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A real input.
    Real,
    /// A parameter.
    Parameter,
    /// The classes of an input.
    Class,
    /// The classes of an input that is an array of them, as real numbers.
    Classes,
    /// The lengths of the samples.
    Lengths,
}

/// A cell of the table.
enum Rule {
    Kept,
    /// Integers become real numbers without rounding.
    Exact,
    /// Real numbers become integers without rounding.
    Whole,
    Refused,
}

const fn rule(used: Use, array: &Array) -> Rule {
    match (used, array) {
        (Use::Real | Use::Parameter | Use::Classes, Array::F32(_) | Array::F64(_))
        | (Use::Class | Use::Lengths, Array::Int(_))
        | (Use::Real, Array::Bool(_)) => Rule::Kept,
        (Use::Real | Use::Parameter | Use::Classes, Array::Int(_)) => Rule::Exact,
        (Use::Class | Use::Lengths, Array::F32(_) | Array::F64(_)) => Rule::Whole,
        (Use::Parameter | Use::Class | Use::Classes | Use::Lengths, Array::Bool(_)) => {
            Rule::Refused
        }
    }
}

/// The entries as real numbers, none of them rounded except from `f64` to `f32`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a rounded `i64` is at most 2^63"
)]
pub(super) fn numbers<F: Scalar>(array: &Array, used: Use) -> Result<ArrayD<F>, String> {
    if let Rule::Refused = rule(used, array) {
        return Err(match used {
            Use::Classes => refused("integers", array, "np.int64"),
            _ => refused("real numbers", array, "np.float64"),
        });
    }
    let found = array.real::<F>();
    let kind = std::any::type_name::<F>();
    match array {
        Array::Int(a) => {
            // A comparison as `i128`, since the largest `i64` is rounded to 2^63.
            let mut rounded = a.indexed_iter().zip(&found);
            match rounded.find(|((_, x), y)| Scalar::to_f64(**y) as i128 != i128::from(**x)) {
                Some(((index, x), _)) => Err(format!(
                    "expected integers that {kind} represents exactly, found {x} at {}; subtract a \
                     constant first, or accept the rounding: `array.astype(np.float64)`",
                    place(&index)
                )),
                None => Ok(found),
            }
        }
        Array::F64(a) => {
            let mut infinite = a.indexed_iter().zip(&found);
            match infinite.find(|((_, x), y)| x.is_finite() && !y.is_finite()) {
                Some(((index, x), _)) => Err(format!(
                    "{} at {} is beyond the range of {kind}; scale the numbers, or compute in `f64`",
                    number(*x),
                    place(&index)
                )),
                None => Ok(found),
            }
        }
        Array::F32(_) | Array::Bool(_) => Ok(found),
    }
}

/// The entries as integers.
pub(super) fn integers(array: &Array, used: Use) -> Result<ArrayD<i64>, String> {
    match (rule(used, array), array) {
        (Rule::Whole, Array::F32(a)) => whole(&a.mapv(f64::from), used),
        (Rule::Whole, Array::F64(a)) => whole(a, used),
        (_, Array::Int(a)) => Ok(a.clone()),
        _ => Err(refused("integers", array, "np.int64")),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers below 2^53 are integers"
)]
fn whole(array: &ArrayD<f64>, used: Use) -> Result<ArrayD<i64>, String> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = |x: f64| x.fract() == 0.0 && x.abs() <= EXACT;
    match array.indexed_iter().find(|(_, x)| !is_whole(**x)) {
        Some((index, x)) => {
            let cure = match x.is_nan() && used == Use::Class {
                true => {
                    "write -1 for a missing class, and give its step a mask of 0 (`mask input m` in the text)"
                }
                false => "if it is meant to be rounded: `array.round().astype(np.int64)`",
            };
            Err(format!(
                "expected integers, found {} at {}; {cure}",
                number(*x),
                place(&index)
            ))
        }
        None => Ok(array.mapv(|x| x as i64)),
    }
}

fn refused(expected: &str, array: &Array, ty: &str) -> String {
    format!(
        "expected {expected}, found {}; save it with `array.astype({ty})`",
        array.kind()
    )
}

fn place(index: &impl Dimension) -> String {
    format!("{:?} (counted from 0)", index.as_array_view().to_vec())
}
