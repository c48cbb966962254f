//! The one public error type. Every message says what, where, what was expected and what was
//! found.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::panic::Location;

/// The longest name, in characters.
pub(crate) const LONGEST_NAME: usize = 255;

/// A longer text of a message is cut.
const LONGEST_TEXT: usize = 4_000;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One mistake in a definition: what is wrong and the line that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, naming the expression and the shapes.
    pub message: String,
    /// The source file, line and column of the call, when there is one.
    pub place: Option<(String, u32, u32)>,
}

impl Mistake {
    pub(crate) fn new(message: impl Into<String>, at: &Location<'_>) -> Self {
        Self {
            message: message.into(),
            place: Some((at.file().into(), at.line(), at.column())),
        }
    }

    pub(crate) fn anywhere(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.message))?;
        match &self.place {
            Some((file, line, column)) => write!(f, "\n      at {file}:{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// The premises of standard errors, as [`fit::infer`](crate::fit::infer) checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Premise {
    /// The loss is a log likelihood on one scale: it does not mix sums with means.
    Scale,
    /// The fit has converged: the parameters are at most 0.01 standard errors from the minimum.
    Converged,
    /// The loss is at a minimum: its Hessian has no negative eigenvalue.
    Minimum,
    /// The data identify the parameters: the Hessian is not singular.
    Identified,
    /// Every parameter has a finite estimate in the interior of its range.
    Interior,
    /// There are observations enough for outer products of scores.
    Observations,
}

/// What went wrong. `Debug` shows the same text as `Display`: `main` prints an error with it.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A definition has mistakes; all that were found are listed.
    #[error("recurrence `{}` has {} mistake{}:{}", printable(recurrence), mistakes.len(),
        if mistakes.len() == 1 { "" } else { "s" }, listed(mistakes))]
    Definition {
        /// The name of the recurrence.
        recurrence: String,
        /// The mistakes, in the order in which they were written.
        mistakes: Vec<Mistake>,
    },

    /// A name that does not exist.
    #[error(
        "there is no {what} named `{}`{}",
        printable(name),
        known_names(name, known)
    )]
    UnknownName {
        /// What was looked for: "parameter", "input", "output", …
        what: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },

    /// The same name twice in one list.
    #[error("{what} `{}` is given twice", printable(name))]
    Repeated {
        /// "size", "array", …
        what: &'static str,
        /// The name.
        name: String,
    },

    /// An array that is needed was not given.
    #[error("{what} `{name}` is missing: expected an array of shape {expected}")]
    Missing {
        /// "parameter" or "input".
        what: &'static str,
        /// The name.
        name: String,
        /// The shape it should have.
        expected: String,
    },

    /// An array of the wrong shape.
    #[error("{what} `{name}`: expected shape {expected}, found {found:?}")]
    ArrayShape {
        /// "parameter" or "input".
        what: &'static str,
        /// The name.
        name: String,
        /// The shape it should have.
        expected: String,
        /// The shape it has.
        found: Vec<usize>,
    },

    /// Real numbers were given for a class or the other way round.
    #[error("array `{name}`: expected {expected}, found {found}")]
    ArrayKind {
        /// The name.
        name: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },

    /// Two arrays disagree about a named dimension.
    #[error("dimension {dim} is {first} in `{first_array}` but {second} in `{second_array}`")]
    DimConflict {
        /// The dimension.
        dim: String,
        /// The array that fixed it.
        first_array: String,
        /// The size there.
        first: usize,
        /// The array that disagrees.
        second_array: String,
        /// The size there.
        second: usize,
    },

    /// No array determines a named dimension.
    #[error(
        "dimension {dim} cannot be read off any array: add `(\"{dim}\", 8)` to the sizes, or give it \
         with `Batch::size(\"{dim}\", 8)`"
    )]
    UnknownSize {
        /// The dimension.
        dim: String,
    },

    /// The text of a recurrence has mistakes; see [`Diagnostics`](crate::Diagnostics).
    #[error("{text}")]
    Language {
        /// The mistakes, with their lines.
        text: String,
    },

    /// A NaN or an infinity in the data.
    #[error("{what} `{name}` is not finite: {} is {value}", entry(index))]
    NonFiniteData {
        /// "parameter" or "input".
        what: &'static str,
        /// The name.
        name: String,
        /// The index of the first such entry.
        index: Vec<usize>,
        /// Its value.
        value: f64,
    },

    /// A class outside its range.
    #[error(
        "input `{name}`: {} is {}, expected 0 to {}",
        entry(index),
        class(*value),
        classes.saturating_sub(1)
    )]
    ClassOutOfRange {
        /// The name.
        name: String,
        /// The index of the first such entry.
        index: Vec<usize>,
        /// Its value; the largest number stands for a negative one.
        value: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A batch without steps, without samples, or with impossible lengths.
    #[error("the batch is not usable: {}", printable(reason))]
    Batch {
        /// Why.
        reason: String,
    },

    /// A run that does not fit into memory.
    #[error(
        "not enough memory: {} needed, {} allowed; use fewer steps or samples, or raise the limit: \
         `bptt::set_memory_limit`, or `--memory` on the command line",
        in_words(*bytes), in_words(*limit)
    )]
    OutOfMemory {
        /// The bytes it needs; `usize::MAX` when they cannot be counted.
        bytes: usize,
        /// The bytes it may use, see [`memory_limit`](crate::memory_limit).
        limit: usize,
    },

    /// A size of zero.
    #[error("dimension {dim} is 0 in `{array}`: every size must be at least 1")]
    ZeroSize {
        /// The dimension.
        dim: String,
        /// The array.
        array: String,
    },

    /// A derivative was asked for that does not exist.
    #[error("cannot differentiate with respect to `{}`: {reason}", printable(name))]
    NotDifferentiable {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },

    /// A gradient was asked of a recurrence without a loss.
    #[error(
        "recurrence `{}` has no loss; add a line `loss …` or `final loss …` to its text, or \
         `r.loss(…)` or `r.final_loss(…)` to its definition in Rust",
        printable(recurrence)
    )]
    NoLoss {
        /// The name of the recurrence.
        recurrence: String,
    },

    /// A recurrence that the recurrence language cannot say.
    #[error(
        "recurrence `{}` cannot be written in the recurrence language: {reason}",
        printable(recurrence)
    )]
    NotInLanguage {
        /// The name of the recurrence.
        recurrence: String,
        /// What it is that cannot be said.
        reason: String,
    },

    /// An output that an optimiser was given although no derivative added it.
    #[error(
        "`{name}` is an output of the recurrence, not a derivative: give the optimiser the outputs \
         of `Recurrence::gradient`"
    )]
    NotAGradient {
        /// The output.
        name: String,
    },

    /// One name for two things.
    #[error("the name `{name}` is that of {first} and of {second}")]
    NameClash {
        /// The name.
        name: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },

    /// A minimisation that cannot go on.
    #[error(
        "no step makes the loss fall below {}: the gradient is as good as zero, or wrong",
        number(*loss)
    )]
    NoDescent {
        /// The loss.
        loss: f64,
    },

    /// A state that an optimiser cannot go on from.
    #[error("the state of {optimizer} cannot be restored: {reason}")]
    OptimizerState {
        /// The optimiser.
        optimizer: &'static str,
        /// Why, naming the array.
        reason: String,
    },

    /// Standard errors that would mean nothing, because one of their premises does not hold.
    #[error("no standard errors: {reason}")]
    NoStandardErrors {
        /// The premise.
        premise: Premise,
        /// Why it does not hold, and what to do.
        reason: String,
    },

    /// A file that cannot be read or written, or is not what it should be.
    #[error("{}: {}", printable(path), printable(reason))]
    File {
        /// The file.
        path: String,
        /// What is wrong with it, naming the array where it is one of several.
        reason: String,
    },

    /// A recurrence, or a part of one, that a derivation has no words for.
    #[error("the derivation of `{}`: {reason}", printable(recurrence))]
    NotDerivable {
        /// The name of the recurrence.
        recurrence: String,
        /// What it is that cannot be derived.
        reason: String,
    },

    /// A custom op broke its contract.
    #[error(
        "custom op `{}` breaks its contract: {}",
        printable(op),
        printable(reason)
    )]
    CustomOp {
        /// The op.
        op: String,
        /// How.
        reason: String,
    },

    /// A number that is not finite appeared in a run.
    #[error(
        "{} is {value} at {place}{}: the first value that is not finite{}",
        printable(expression),
        of_many(entry),
        remedy(*safe_form)
    )]
    NonFiniteValue {
        /// The expression that produced it.
        expression: String,
        /// The sample and the step, as far as the value varies with them.
        place: String,
        /// The entry of the value.
        entry: Vec<usize>,
        /// The value.
        value: f64,
        /// How its operation is written to keep away from such arguments, if there is a way.
        safe_form: Option<&'static str>,
    },
}

/// Which number of an array is meant; a scalar has one only.
fn entry(index: &[usize]) -> String {
    match index {
        [] => "it".into(),
        index => format!("entry {index:?} (counted from 0)"),
    }
}

fn of_many(entry: &[usize]) -> String {
    match entry {
        [] => String::new(),
        entry => format!(", entry {entry:?}"),
    }
}

fn remedy(safe_form: Option<&str>) -> String {
    safe_form.map_or_else(String::new, |form| {
        format!("; where it does not matter, give it a safe argument, as in `{form}`")
    })
}

fn class(value: usize) -> String {
    match value {
        usize::MAX => "a negative class".into(),
        _ => format!("class {value}"),
    }
}

/// Bytes in words.
fn in_words(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes == usize::MAX {
        return "more bytes than can be counted".into();
    }
    if bytes < 10_240 {
        return format!("{bytes} bytes");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text as it may be put on a terminal: control characters are spelt out, but for the ends of
/// lines, and long words and long texts are cut in the middle.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    /// No name is longer, and few paths.
    const WORD: usize = 300;
    let strange = |c: char| is_hidden(c) && c != '\n';
    let long = |word: &str| word.chars().nth(WORD).is_some();
    let words = || text.split_inclusive(char::is_whitespace);
    let short = text.len() <= WORD || (text.len() <= LONGEST_TEXT && !words().any(long));
    if short && !text.contains(strange) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for word in words() {
        let word = match long(word) {
            true => Cow::Owned(middle_cut(word, WORD)),
            false => Cow::Borrowed(word),
        };
        for c in word.chars() {
            match strange(c) {
                // Writing to a string cannot fail.
                true => drop(write!(out, "{}", c.escape_unicode())),
                false => out.push(c),
            }
        }
        if out.len() > LONGEST_TEXT {
            out.push('…');
            break;
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn the direction of the text around them.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The beginning and the end of a text of at most about `most` characters.
fn middle_cut(text: &str, most: usize) -> String {
    let half = most / 2;
    let begin: String = text.chars().take(half).collect();
    let mut end: Vec<char> = text.chars().rev().take(half / 2).collect();
    end.reverse();
    format!("{begin}…{}", end.into_iter().collect::<String>())
}

/// A number in the fewest digits from which the same bits are read, with an exponent where it is very small or very
/// large.
#[must_use]
pub fn number<F: ndarray::NdFloat>(x: F) -> String {
    let size = x.abs().to_f64().unwrap_or(f64::NAN);
    match size == 0.0 || !size.is_finite() || (1e-5..1e16).contains(&size) {
        true => format!("{x}"),
        false => format!("{x:e}"),
    }
}

/// A number of things: `1 step`, `2 steps`.
#[must_use]
pub fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// Names in quotes; of many, the first few.
#[must_use]
pub fn quoted<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    const MOST_NAMES: usize = 20;
    let mut names = names.into_iter();
    let first: Vec<String> = names
        .by_ref()
        .take(MOST_NAMES)
        .map(|name| format!("`{}`", printable(name)))
        .collect();
    let first = first.join(", ");
    match names.count() {
        0 => first,
        n => format!("{first} and {n} more"),
    }
}

fn listed(mistakes: &[Mistake]) -> String {
    const MOST_MISTAKES: usize = 25;
    let shown = mistakes.iter().take(MOST_MISTAKES).enumerate();
    let mut text: String = shown.map(|(i, m)| format!("\n  {}. {m}", i + 1)).collect();
    if let more @ 1.. = mistakes.len().saturating_sub(MOST_MISTAKES) {
        text += &format!("\n  and {more} more");
    }
    text
}

fn known_names(name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return "; there are none".into();
    }
    match nearest(name, known.iter().map(|k| &**k)) {
        Some(nearest) => format!("; did you mean `{}`?", printable(nearest)),
        None => format!("; there is {}", quoted(known.iter().map(|k| &**k))),
    }
}

/// The known name that was probably meant.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The distance takes the product of the two lengths.
    if name.len() > LONGEST_NAME {
        return None;
    }
    known
        .into_iter()
        .filter(|k| k.len() <= LONGEST_NAME)
        .map(|k| (distance(name, k), k))
        .min()
        .filter(|(d, k)| *d <= 2.max(k.chars().count() / 3) && *d < k.chars().count())
        .map(|(_, k)| k)
}

/// The number of insertions, deletions and substitutions between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
