//! The names of the functions of the language.

use crate::error::nearest;
use crate::op::{Pointwise, Reduce};

/// The functions that are not found in the table by their name alone.
pub(super) const OTHERS: &[&str] = &[
    "pow",
    "powi",
    "σ",
    "matmul",
    "dot",
    "outer",
    "transpose",
    "sum",
    "spread",
    "repeat",
    "concat",
    "concat_columns",
    "slice",
    "pad",
    "gather",
    "gather_column",
    "scatter",
    "scatter_column",
    "one_hot",
    "select",
    "hold",
    "total",
    "total_steps",
    "first",
    "last",
    "impulse_first",
    "impulse_last",
    "delay",
    "advance",
    "squared_error",
    "softmax_cross_entropy",
    "binary_cross_entropy",
    "log_sigmoid",
    "strong_matmul",
    "strong_outer",
];

pub(super) fn pointwise(name: &str) -> Option<Pointwise> {
    match name {
        "σ" => Some(Pointwise::Sigmoid),
        "pow" => Some(Pointwise::Powf),
        "powi" => None,
        _ => Pointwise::ALL.iter().copied().find(|op| op.name() == name),
    }
}

pub(super) fn reduce(name: &str) -> Option<Reduce> {
    Reduce::ALL.iter().copied().find(|op| op.name() == name)
}

/// Whether the language has a function of this name.
pub(super) fn is_known(name: &str) -> bool {
    pointwise(name).is_some() || reduce(name).is_some() || OTHERS.contains(&name)
}

/// The names of all functions.
pub(super) fn names<'k>() -> impl Iterator<Item = &'k str> {
    let pointwise = Pointwise::ALL.iter().map(|op| op.name());
    let reduce = Reduce::ALL.iter().map(|op| op.name());
    pointwise.chain(reduce).chain(OTHERS.iter().copied())
}

/// What was probably meant; a long name is not compared with all others.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > 64 {
        return None;
    }
    nearest(name, known.filter(|k| k.len() <= 64))
}
