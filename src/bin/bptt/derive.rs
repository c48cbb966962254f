//! `bptt derive`: the derivation of a recurrence as a document.

use std::io::Write;

use bptt::Recurrence;
use bptt::cells::{Cell, Loss};
use bptt::derive::{Format, Lang, Level};

use super::Failure;

/// What to derive and how to write it.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// A built-in cell, or a file in the recurrence language.
    pub(crate) what: &'a str,
    pub(crate) format: Format,
    pub(crate) lang: Lang,
    pub(crate) level: Level,
    /// Where to write; standard output when it is not given.
    pub(crate) file: Option<&'a str>,
}

/// On how many random runs each line is checked.
const RUNS: u64 = 4;

impl<'a> Options<'a> {
    /// Reads `WHAT [--lang L] [--level L] [--format F] [-o FILE]`.
    pub(crate) fn read(arguments: &[&'a str]) -> Result<Self, Failure> {
        let mut options = Self {
            what: "",
            format: Format::Text,
            lang: Lang::En,
            level: Level::Normal,
            file: None,
        };
        let mut rest = arguments.iter().copied();
        while let Some(argument) = rest.next() {
            let mut value = || {
                let missing = || format!("`{argument}` needs a value");
                rest.next().ok_or_else(missing)
            };
            match argument {
                "--lang" => {
                    options.lang = choice(argument, value()?, Lang::ALL, |l| l.code())?;
                }
                "--level" => {
                    options.level = choice(argument, value()?, Level::ALL, |l| l.name())?;
                }
                "--format" => {
                    options.format = choice(argument, value()?, Format::ALL, |f| f.name())?;
                }
                "-o" => options.file = Some(value()?),
                "--ascii" => options.format = Format::Ascii,
                what if options.what.is_empty() && !what.starts_with('-') => options.what = what,
                other => return Err(format!("unexpected argument `{other}`").into()),
            }
        }
        if options.what.is_empty() {
            return Err(format!("expected a cell ({CELLS}) or a .rec file").into());
        }
        Ok(options)
    }
}

fn choice<T: Copy>(
    argument: &str,
    value: &str,
    all: &[T],
    name: fn(&T) -> &'static str,
) -> Result<T, Failure> {
    let found = all.iter().find(|t| name(t) == value).copied();
    found.ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(name).collect();
        format!(
            "`{argument}`: expected {}, found `{value}`",
            known.join(" | ")
        )
        .into()
    })
}

const CELLS: &str = "rnn, relu-rnn, lstm, peephole-lstm, gru, gru-reset-before";

/// Names, and what to show them as.
type Aliases = &'static [(&'static str, &'static str)];

/// A built-in cell with squared error, or the recurrence of a file, and how to show its names.
fn recurrence(what: &str) -> Result<(Recurrence, Aliases), Failure> {
    // In an LSTM `o` is the output gate; the readout is called z.
    const GATES: Aliases = &[
        ("og", "o"),
        ("a_og", "a_o"),
        ("o", "z"),
        ("W_O", "W_z"),
        ("b_q", "b_z"),
    ];
    let (cell, aliases): (Cell, Aliases) = match what {
        "rnn" => (Cell::rnn(), &[]),
        "relu-rnn" => (Cell::relu_rnn(), &[]),
        "lstm" => (Cell::lstm(), GATES),
        "peephole-lstm" => (Cell::peephole_lstm(), GATES),
        "gru" => (Cell::gru(), &[]),
        "gru-reset-before" => (Cell::gru_reset_before(), &[]),
        file if file.ends_with(".rec") => {
            let source = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
            return Ok((Recurrence::parse(file, &source)?, &[]));
        }
        other => {
            return Err(
                format!("expected a cell ({CELLS}) or a .rec file, found `{other}`").into(),
            );
        }
    };
    Ok((cell.model(what, Loss::SquaredError)?, aliases))
}

/// Derives, checks every line, and writes the document. A line that does not hold is an error,
/// after everything has been written.
pub(crate) fn run(out: &mut impl Write, options: &Options<'_>) -> Result<(), Failure> {
    let (recurrence, aliases) = recurrence(options.what)?;
    let mut derivation = recurrence.derive_with(aliases)?;
    let checks = derivation.check(RUNS)?;
    let document = derivation.render(options.format, options.lang, options.level);
    match options.file {
        Some(file) => std::fs::write(file, document).map_err(|e| format!("{file}: {e}"))?,
        None => out.write_all(document.as_bytes())?,
    }
    match checks.failed {
        0 => Ok(()),
        n => Err(format!("{n} lines of the derivation do not hold").into()),
    }
}
