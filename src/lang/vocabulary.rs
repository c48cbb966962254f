//! The names of the functions of the language.

use crate::error::nearest;
use crate::op::{Call, calls};

/// The functions that are written in other functions, or in registers.
const COMPOSED: &[&str] = &[
    "delay",
    "advance",
    "one_hot",
    "mean",
    "norm",
    "trace",
    "eye",
    "lag",
    "not",
    "log_sigmoid",
    "clamp",
    "mod",
    "silu",
    "gelu",
    "elu",
    "softsign",
    "hard_sigmoid",
    "squared_error",
    "softmax_cross_entropy",
    "binary_cross_entropy",
];

/// Other names of rows.
const ALIASES: &[(&str, &str)] = &[("σ", "sigmoid"), ("pow", "powf")];

/// The row of the op table that is this function.
pub(super) fn row(name: &str) -> Option<&'static Call> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, row)| row);
    calls().find(|call| call.name == name)
}

/// The row whose settings follow the values of a function.
pub(super) fn settings(name: &str) -> Option<&'static Call> {
    match name {
        "mean" => row("sum"),
        _ => row(name),
    }
}

/// The number of arguments that are values, if the function has that many; settings follow them.
pub(super) fn values(name: &str) -> usize {
    settings(name).map_or(Call::MANY, |call| call.values)
}

/// The language has a function of this name.
pub(crate) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The names of all functions.
pub(super) fn names<'k>() -> impl Iterator<Item = &'k str> {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let composed = COMPOSED.iter().copied().chain(aliases);
    calls().map(|call| call.name).chain(composed)
}

/// What was probably meant; a long name is not compared with all others.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > 64 {
        return None;
    }
    nearest(name, known.filter(|k| k.len() <= 64))
}
