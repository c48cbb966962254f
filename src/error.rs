//! The public error type. A message names the problem, its place, the expected value and the actual
//! value.

mod data;
mod memory;
mod premise;
mod similar;
mod text;

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::panic::Location;

use data::{class, entry_of, given_with, instead, instead_of_class, of_many, remedy};
use memory::{needed, raised};
pub use premise::Premise;
pub(crate) use similar::nearest;
pub use text::{counted, number, placed};

/// The longest name, in characters.
pub(crate) const LONGEST_NAME: usize = 255;

/// The length limit of a text in a message, in characters; a longer text is cut in the middle.
const LONGEST_TEXT: usize = 4_000;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One mistake in a definition: a message and the source line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The problem, with the expression and the shapes.
    pub message: String,
    /// The source file, line and column of the call, if known.
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

/// The error type of this crate. `Debug` prints the same text as `Display`, because `main` prints
/// errors with `Debug`.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A definition has mistakes; all of them are listed.
    #[error("recurrence `{}` has {} mistake{}:{}", printable(recurrence), mistakes.len(),
        if mistakes.len() == 1 { "" } else { "s" }, listed(mistakes))]
    Definition {
        /// The name of the recurrence.
        recurrence: String,
        /// The mistakes, in the order of the definition.
        mistakes: Vec<Mistake>,
    },

    /// No such name exists.
    #[error(
        "there is no {what} named `{}`{}",
        printable(name),
        known_names(name, known)
    )]
    UnknownName {
        /// The kind of name: "parameter", "input", "output", …
        what: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },

    /// A name appears twice in one list.
    #[error("{what} `{}` is given twice", printable(name))]
    Repeated {
        /// The kind of name: "size", "array", …
        what: &'static str,
        /// The name.
        name: String,
    },

    /// A required array is missing.
    #[error("{what} `{name}` is missing: expected an array of shape {expected}")]
    Missing {
        /// "parameter", "input" or "sample input".
        what: &'static str,
        /// The name.
        name: String,
        /// The expected shape.
        expected: String,
    },

    /// `ndarray` could not make an array. `?` converts its error, so that a function that makes arrays and runs
    /// recurrences needs one error type.
    #[error("an array cannot be made: {0}")]
    NdArray(#[from] ndarray::ShapeError),

    /// An array has the wrong shape.
    #[error("{what} `{name}`: expected shape {expected}, found {found:?}")]
    ArrayShape {
        /// "parameter", "input" or "sample input".
        what: &'static str,
        /// The name.
        name: String,
        /// The expected shape.
        expected: String,
        /// The shape of the array.
        found: Vec<usize>,
    },

    /// A matrix has the shape of its transpose.
    #[error(
        "parameter `{name}` is transposed: expected shape {expected} = {shape:?}, found {found:?}; give \
         its transpose, `array.T` in Python"
    )]
    Transposed {
        /// The name.
        name: String,
        /// The expected shape, with the names of sizes.
        expected: String,
        /// The expected shape.
        shape: Vec<usize>,
        /// The shape of the array.
        found: Vec<usize>,
    },

    /// An array of a file has entries or a shape that its use does not allow.
    #[error("{}", printable(reason))]
    Array {
        /// The reason, with the name of the array.
        reason: String,
    },

    /// Real numbers were given for a class, or classes for real numbers.
    #[error(
        "array `{name}`: expected {expected}, found {found}; give {expected} with {}",
        given_with(expected)
    )]
    ArrayKind {
        /// The name.
        name: String,
        /// The expected kind.
        expected: &'static str,
        /// The kind of the array.
        found: &'static str,
    },

    /// Two arrays disagree about a named dimension.
    #[error("dimension {dim} is {first} in `{first_array}` but {second} in `{second_array}`")]
    DimConflict {
        /// The dimension.
        dim: String,
        /// The first array with this dimension.
        first_array: String,
        /// The size of the dimension in the first array.
        first: usize,
        /// The array with another size.
        second_array: String,
        /// The size of the dimension in that array.
        second: usize,
    },

    /// The size of a named dimension cannot be inferred from the data.
    #[error(
        "dimension {dim} cannot be inferred from any array: add `(\"{dim}\", 8)` to the sizes, or give it \
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

    /// The data contain a NaN or an infinity.
    #[error(
        "{what} `{name}` is not finite: {} is {value}{}",
        entry_of(what, index),
        instead(what)
    )]
    NonFiniteData {
        /// "parameter", "input" or "sample input".
        what: &'static str,
        /// The name.
        name: String,
        /// The index of the first such entry.
        index: Vec<usize>,
        /// The value of that entry.
        value: f64,
    },

    /// A class is outside its range.
    #[error(
        "input `{name}`: {} is {}, expected 0 to {}{}",
        entry_of(if index.len() == 2 { "input" } else { "sample input" }, index),
        class(*value),
        classes.saturating_sub(1),
        instead_of_class(index, *value, *classes)
    )]
    ClassOutOfRange {
        /// The name.
        name: String,
        /// The index of the first such entry.
        index: Vec<usize>,
        /// The value of that entry; `usize::MAX` if it is negative.
        value: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A batch has no steps, no samples, or invalid lengths.
    #[error("the batch is not usable: {}", printable(reason))]
    Batch {
        /// The reason.
        reason: String,
    },

    /// A program cannot run in several directions at once.
    #[error("no directions: {}", printable(reason))]
    NoDirections {
        /// The reason, and a remedy.
        reason: String,
    },
    /// A run needs more memory than the limit.
    #[error(
        "not enough memory: {}; use smaller sizes, fewer steps or samples{}",
        needed(*bytes, *limit),
        raised(*bytes)
    )]
    OutOfMemory {
        /// The required memory in bytes; `usize::MAX` if the number overflows.
        bytes: usize,
        /// The limit in bytes, see [`memory_limit`](crate::memory_limit).
        limit: usize,
    },

    /// No timetable is known that runs in so little memory.
    #[error(
        "the memory of the program is too small: {} beside data and results; use `Memory::Bytes({least})`, \
         smaller sizes or fewer samples",
        needed(*least, *given)
    )]
    MemoryTooSmall {
        /// Enough memory in bytes: at most a hundredth more than the least with a known timetable.
        least: usize,
        /// The bytes of [`Memory::Bytes`](crate::Memory::Bytes).
        given: usize,
    },

    /// A size is zero.
    #[error("dimension {dim} is 0 in `{array}`: every size must be at least 1")]
    ZeroSize {
        /// The dimension.
        dim: String,
        /// The array with this dimension.
        array: String,
    },

    /// A size is smaller than the recurrence allows.
    #[error(
        "dimension {dim} is {found} in `{array}`, but the recurrence declares `dim {dim} >= {least}`"
    )]
    SmallSize {
        /// The dimension.
        dim: String,
        /// The least size.
        least: usize,
        /// The array with this dimension.
        array: String,
        /// The size of the dimension in that array.
        found: usize,
    },

    /// A requested derivative does not exist.
    #[error("cannot differentiate with respect to `{}`: {reason}", printable(name))]
    NotDifferentiable {
        /// The name of the variable.
        name: String,
        /// The reason.
        reason: String,
    },

    /// The machine has no instruction set of the given name.
    #[error("{}", printable(reason))]
    InstructionSet {
        /// The reason, with the instruction sets that there are.
        reason: String,
    },

    /// A gradient of a recurrence without a loss was requested.
    #[error(
        "recurrence `{}` has no loss; add a line `loss …` or `final loss …` to its text, or \
         `r.loss(…)` or `r.final_loss(…)` to its definition in Rust",
        printable(recurrence)
    )]
    NoLoss {
        /// The name of the recurrence.
        recurrence: String,
    },

    /// A recurrence cannot be written in the recurrence language.
    #[error(
        "recurrence `{}` cannot be written in the recurrence language: {reason}",
        printable(recurrence)
    )]
    NotInLanguage {
        /// The name of the recurrence.
        recurrence: String,
        /// The part that cannot be written.
        reason: String,
    },

    /// An optimiser was given an output that is not a derivative.
    #[error(
        "`{name}` is an output of the recurrence, not a derivative: give the optimiser the outputs \
         of `Recurrence::gradient`"
    )]
    NotAGradient {
        /// The name of the output.
        name: String,
    },

    /// Two things have the same name.
    #[error("the name `{name}` is that of {first} and of {second}")]
    NameClash {
        /// The name.
        name: String,
        /// The kind of the first.
        first: String,
        /// The kind of the second.
        second: String,
    },

    /// A minimisation found no step that decreases the loss.
    #[error(
        "no step makes the loss fall below {}: it has a kink there, or falls until numbers overflow, or its gradient is wrong",
        number(*loss)
    )]
    NoDescent {
        /// The last loss.
        loss: f64,
    },

    /// The state of an optimiser cannot be restored.
    #[error("the state of {optimizer} cannot be restored: {reason}")]
    OptimizerState {
        /// The name of the optimiser.
        optimizer: &'static str,
        /// The reason, with the name of the array.
        reason: String,
    },

    /// A phase of a learning-rate schedule has no meaning.
    #[error("phase `{phase}` of the schedule: {reason}")]
    Schedule {
        /// The phase, as text.
        phase: String,
        /// The reason.
        reason: String,
    },

    /// Standard errors are refused because one of their premises does not hold.
    #[error("no standard errors: {reason}")]
    NoStandardErrors {
        /// The premise that does not hold.
        premise: Premise,
        /// The reason, and a remedy.
        reason: String,
    },

    /// A file cannot be read or written, or its content is invalid.
    #[error("{}: {}", printable(path), printable(reason))]
    File {
        /// The path of the file.
        path: String,
        /// The problem, with the name of the array if the file has several.
        reason: String,
    },

    /// A recurrence, or a part of one, cannot be derived.
    #[error("the derivation of `{}`: {reason}", printable(recurrence))]
    NotDerivable {
        /// The name of the recurrence.
        recurrence: String,
        /// The part that cannot be derived, and the reason.
        reason: String,
    },

    /// A program cannot be written in another language.
    #[error(
        "`{}` cannot be exported: {}",
        printable(recurrence),
        printable(reason)
    )]
    NotExportable {
        /// The name of the recurrence.
        recurrence: String,
        /// The part that has no form in the language, and what to do.
        reason: String,
    },

    /// A recurrence cannot run one step, or some steps, at a time.
    #[error(
        "`{}` cannot run {how}: {}; run the whole sequence with `Program::run`, or leave out the outputs that need it",
        printable(recurrence),
        printable(reason)
    )]
    NotCausal {
        /// The name of the recurrence.
        recurrence: String,
        /// "one step at a time", or "in windows".
        how: &'static str,
        /// The state or the value that needs other steps.
        reason: String,
    },

    /// A custom op violates its contract.
    #[error(
        "custom op `{}` breaks its contract: {}",
        printable(op),
        printable(reason)
    )]
    CustomOp {
        /// The name of the op.
        op: String,
        /// The violation.
        reason: String,
    },

    /// A run computed a NaN or an infinity.
    #[error(
        "{} is {value} at {place}{}: the first value that is not finite{}",
        printable(expression),
        of_many(entry),
        remedy(*safe_form)
    )]
    NonFiniteValue {
        /// The expression with this value.
        expression: String,
        /// The sample and the step, if the value varies with them.
        place: String,
        /// The index of the entry.
        entry: Vec<usize>,
        /// The value: NaN or an infinity.
        value: f64,
        /// The operation with a safe argument, e.g. `ln(select(x > 0, x, 1))`, if there is such a
        /// form.
        safe_form: Option<&'static str>,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is safe to print on a terminal: control characters other than line breaks are
/// escaped, and long words and long texts are cut in the middle.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    /// The length limit of a word, in characters: more than any name and most paths.
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

/// Returns true for control characters and for characters that change the direction of the text.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The first `most / 2` and the last `most / 4` characters of `text`, with `…` between them.
fn middle_cut(text: &str, most: usize) -> String {
    let half = most / 2;
    let begin: String = text.chars().take(half).collect();
    let mut end: Vec<char> = text.chars().rev().take(half / 2).collect();
    end.reverse();
    format!("{begin}…{}", end.into_iter().collect::<String>())
}

/// Names in quotation marks; a long list is cut.
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
        None => format!("; known: {}", quoted(known.iter().map(|k| &**k))),
    }
}
