//! The functions of the language, for a reference page and for editors.

use super::vocabulary::COMPOSED;
pub use crate::op::Subject;
use crate::op::{Call, Takes, calls};

/// A function of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its subject.
    pub subject: Subject,
    /// Its name.
    pub name: &'static str,
    /// Its calls, with their arguments: `sum(x), sum(x, rows), sum(x, columns)`.
    pub call: String,
    /// Its value, in words; names in backquotes are those of the call.
    pub about: String,
}

/// All functions of the language: those of the op table, then those that are composed of others.
///
/// ```
/// let tanh = bptt::lang::functions().find(|f| f.name == "tanh").expect("it is one");
/// assert_eq!((&*tanh.call, &*tanh.about), ("tanh(x)", "the hyperbolic tangent"));
/// ```
pub fn functions() -> impl Iterator<Item = Function> {
    let rows = calls().map(|(subject, call)| Function {
        subject,
        name: call.name,
        call: written(call),
        about: sentence(call.about),
    });
    let composed = COMPOSED.iter().map(|row| Function {
        subject: row.subject,
        name: row.name,
        call: row.call.into(),
        about: row.about.into(),
    });
    rows.chain(composed)
}

/// The first paragraph of a text, as a part of a sentence.
fn sentence(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let first: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let text = first
        .join(" ")
        .replace("`self`", "`a`")
        .replace("`other`", "`b`");
    let text = text.replace("`self ", "`a ").replace(" other`", " b`");
    let text = text.trim_end_matches('.');
    match text.split_once(' ') {
        Some((word @ ("The" | "A"), rest)) => format!("{} {rest}", word.to_lowercase()),
        _ => text.into(),
    }
}

fn written(call: &Call) -> String {
    let values: &[&str] = match (call.values, call.settings.first()) {
        (Call::MANY, _) => &["a", "b", "…"],
        (1, _) => &["x"],
        (2, _) => &["a", "b"],
        _ => &["a", "b", "c"],
    };
    let mut counted = ["m", "n"].iter().skip(
        2 - call
            .settings
            .iter()
            .filter(|s| **s == Takes::Size)
            .count()
            .min(2),
    );
    let mut settings: Vec<&str> = Vec::new();
    for takes in call.settings {
        settings.push(match takes {
            Takes::Axis => "rows",
            Takes::AxisIfAny => continue,
            Takes::Rate => "step",
            Takes::Size => counted.next().unwrap_or(&"n"),
            Takes::Shape => "[m, n]",
            Takes::Exponent | Takes::Order => "n",
        });
    }
    let with = |axis: &[&str]| {
        format!(
            "{}({})",
            call.name,
            [values, axis, &settings].concat().join(", ")
        )
    };
    match call.settings.first() {
        Some(Takes::AxisIfAny) => [&[][..], &["rows"], &["columns"]].map(with).join(", "),
        _ => with(&[]),
    }
}
