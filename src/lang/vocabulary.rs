//! The names of the functions of the language.

use crate::error::nearest;
use crate::op::{Call, Subject, calls};

/// A function that is written in other functions, or in registers.
pub(super) struct Composed {
    pub(super) subject: Subject,
    pub(super) name: &'static str,
    /// The call, with its arguments.
    pub(super) call: &'static str,
    /// The value, in words.
    pub(super) about: &'static str,
}

macro_rules! composed {
    ($($subject:ident $name:literal $call:literal $about:literal;)+) => {
        pub(super) const COMPOSED: &[Composed] = &[$(Composed {
            subject: Subject::$subject,
            name: $name,
            call: $call,
            about: $about,
        }),+];
    };
}

composed! {
    Entries "log_sigmoid" "log_sigmoid(x)" "`ln(sigmoid(x))`, without cancellation";
    Entries "silu" "silu(x)" "`x * sigmoid(x)`";
    Entries "gelu" "gelu(x)" "`x Φ(x)`, without an approximation";
    Entries "elu" "elu(x)" "`x` for positive `x`, else `exp(x) - 1`";
    Entries "softsign" "softsign(x)" "`x / (1 + abs(x))`";
    Entries "hard_sigmoid" "hard_sigmoid(x)" "`clamp(x / 6 + 0.5, 0, 1)`";
    Entries "clamp" "clamp(x, low, high)" "`min(max(x, low), high)`";
    Entries "mod" "mod(a, b)" "the remainder `a - b * floor(a / b)`, which has the sign of `b`";
    Entries "not" "not(c)" "1 if the condition is zero, else 0";
    Arrays "mean" "mean(x), mean(A, rows), mean(A, columns)" "a sum, divided by the number of its terms";
    Arrays "norm" "norm(x)" "`√(Σ xᵢ²)`; the derivative at 0 is 0";
    Arrays "argmax" "argmax(x), argmax(A, rows), argmax(A, columns)" "the position of the largest entry, from 0 on, the first of equal ones; the derivative is 0";
    Arrays "vec" "vec(A)" "the columns of a matrix, one below the other, in a vector";
    Arrays "trace" "trace(A)" "the sum of the diagonal";
    Arrays "eye" "eye(n)" "an identity matrix";
    Arrays "one_hot" "one_hot(c), one_hot(x, n)" "zeros, with 1 at the entry of a class, or of a number among `n`; of a vector, in each row";
    Arrays "number" "number(c)" "a class as a number";
    Time "delay" "delay(x), delay(x, start)" "the value one step earlier; at the first step the start, or zero";
    Time "lag" "lag(x, n)" "the value `n` steps earlier, zero before the first step";
    Time "advance" "advance(x)" "the value one step later, zero at the last step";
    Losses "squared_error" "squared_error(a, b)" "`½ Σ (aᵢ - bᵢ)²`";
    Losses "softmax_cross_entropy" "softmax_cross_entropy(scores, c)" "`-log_softmax(scores)[c]`";
    Losses "binary_cross_entropy" "binary_cross_entropy(scores, y)" "`-Σ yᵢ ln σ(scoresᵢ) + (1 - yᵢ) ln (1 - σ(scoresᵢ))`";
}

/// Other names of rows.
const ALIASES: &[(&str, &str)] = &[("σ", "sigmoid"), ("pow", "powf")];

/// The row of the op table that is this function.
pub(super) fn row(name: &str) -> Option<&'static Call> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, row)| row);
    let mut rows = calls().map(|(_, call)| call);
    rows.find(|call| call.name == name)
}

/// The row whose settings follow the values of a function.
pub(super) fn settings(name: &str) -> Option<&'static Call> {
    match name {
        "mean" | "argmax" => row("sum"),
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

/// A word that is a value unless the file gives it another meaning.
pub(super) fn is_constant(name: &str) -> bool {
    matches!(name, "pi" | "π" | "step")
}

/// The names of all functions.
pub(super) fn names<'k>() -> impl Iterator<Item = &'k str> {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let composed = COMPOSED.iter().map(|row| row.name).chain(aliases);
    calls().map(|(_, call)| call.name).chain(composed)
}

/// The known name that is most similar; a long name is not compared with all others.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > 64 {
        return None;
    }
    nearest(name, known.filter(|k| k.len() <= 64))
}
