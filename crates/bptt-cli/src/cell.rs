//! Loads the recurrence of a command: one of the library, or a file.

use std::io::Read;
use std::path::Path;

use bptt::{Error, Recurrence};
use bptt_testing::with_start_inputs;

use crate::Failure;
use crate::report::Report;

macro_rules! library {
    ($($name:literal),+ $(,)?) => {
        /// The names and source texts of the library recurrences.
        pub(crate) const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../examples/recurrences/", $name, ".rec")))),+];
    };
}

library!(
    "attention",
    "characters",
    "exponential_smoothing",
    "garch11",
    "garch_t",
    "gjr_garch",
    "gradbench_lstm",
    "gru_reset_after",
    "gru_reset_before",
    "hidden_markov",
    "leapfrog",
    "logistic_map",
    "lqr",
    "lqr_controls",
    "lstm",
    "lstm_bidirectional",
    "lstm_peephole",
    "lstm_stacked",
    "neural_ode",
    "nile_local_level",
    "rnn",
    "rnn_relu",
    "sir_counts",
    "sir_epidemic",
    "spiking",
    "state_space",
    "stochastic_volatility",
    "van_der_pol",
);

/// The most bytes of a file.
const LONGEST: u64 = 1 << 24;

/// The first sentence of the comment at the top of a source text.
pub(crate) fn summary(source: &str) -> String {
    let comment = source.lines().map_while(|l| l.strip_prefix('#'));
    let text = comment.map(str::trim).collect::<Vec<_>>().join(" ");
    let end = text.find(". ").map_or(text.len(), |i| i);
    text[..end].trim_end_matches('.').into()
}

/// Loads a recurrence; with `start_inputs`, states that start at zero start at inputs instead, which are noted.
pub(crate) fn load_with_starts(
    name: &str,
    start_inputs: bool,
    report: &Report,
) -> Result<Recurrence, Failure> {
    let recurrence = load(name)?;
    if !start_inputs {
        return Ok(recurrence);
    }
    let (started, pairs) = with_start_inputs(&recurrence);
    if pairs.is_empty() {
        return Err(format!(
            "--start-inputs: no state of `{}` starts at zero, or their names are taken; leave it out",
            recurrence.name()
        )
        .into());
    }
    for (state, input) in pairs {
        report.note(&format!("the input `{input}` is the start of `{state}`"));
    }
    Ok(started)
}

/// The names of the library.
fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|(n, _)| *n).chain(["gru"])
}

/// Returns true for a name of the library and for a file that may contain a recurrence.
pub(crate) fn is_recurrence(name: &str) -> bool {
    let path = Path::new(name);
    names().any(|n| n == name) || path.is_file() || path.extension().is_some_and(|e| e == "rec")
}

/// The file of a recurrence, unless it is one of the library.
pub(crate) fn file(name: &str) -> Option<&Path> {
    (!names().any(|n| n == name)).then(|| Path::new(name))
}

/// The error for a name that is neither in the library nor that of a file.
fn unknown(cell: &str) -> Failure {
    let path = Path::new(cell);
    let file = format!("{cell}.rec");
    if Path::new(&file).is_file() {
        return format!("there is no recurrence named `{cell}`; did you mean the file `{file}`?")
            .into();
    }
    let Some(stem) = path.file_stem().filter(|_| path.extension().is_some()) else {
        return Error::UnknownName {
            what: "recurrence",
            name: cell.into(),
            known: names().map(Into::into).collect(),
        }
        .into();
    };
    match names().find(|n| *n == stem) {
        Some(name) => {
            format!("there is no file `{cell}`; did you mean `{name}`, of the library?").into()
        }
        None => {
            format!("there is no file `{cell}`; `bptt new {cell}` writes one to start from").into()
        }
    }
}

/// Loads a recurrence; `gru` is the variant of PyTorch.
pub(crate) fn load(cell: &str) -> Result<Recurrence, Failure> {
    let name = if cell == "gru" {
        "gru_reset_after"
    } else {
        cell
    };
    if let Some((name, source)) = LIBRARY.iter().find(|(n, _)| *n == name) {
        return Ok(Recurrence::parse(name, source)?);
    }
    let path = Path::new(cell);
    let unreadable = |e| format!("{cell}: cannot be read: {e}");
    if !path.try_exists().map_err(unreadable)? {
        return Err(unknown(cell));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(
            format!("{cell}: is longer than {LONGEST} bytes, so this is no recurrence").into(),
        );
    }
    let source = String::from_utf8(bytes).map_err(|e| {
        format!(
            "{cell}: is not text: byte {} is not UTF-8",
            e.utf8_error().valid_up_to()
        )
    })?;
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if source.lines().all(is_comment) {
        return Err(format!(
            "{cell}: is empty, expected a recurrence; `bptt new other.rec` writes one to start from"
        )
        .into());
    }
    Ok(Recurrence::parse(cell, &source)?)
}
