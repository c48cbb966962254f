//! `bptt derive`: the derivation of a recurrence as a document.

use crate::args::Derive;
use crate::report::Report;
use crate::{Failure, cell};

/// On how many random runs each line is checked.
const RUNS: u64 = 4;

/// In an LSTM `o` is the output gate on paper; the readout is then called z.
const GATES: &[(&str, &str)] = &[
    ("og", "o"),
    ("a_og", "a_o"),
    ("o", "z"),
    ("W_O", "W_z"),
    ("b_q", "b_z"),
];

/// Derives, checks every line, and writes the document. A line that does not hold is an error,
/// after everything has been written.
pub(crate) fn run(args: &Derive, report: &mut Report) -> Result<(), Failure> {
    let recurrence = cell::load(&args.cell)?;
    let aliases: &[_] = match args.cell.as_str() {
        "lstm" | "lstm_peephole" => GATES,
        _ => &[],
    };
    let mut derivation = recurrence.derive_with(aliases)?;
    let checks = derivation.check(RUNS)?;
    let document = derivation.render(args.format, args.lang, args.level);
    match &args.out {
        Some(out) => {
            bptt::data::write_whole(out, document.as_bytes())?;
            report.wrote(out)?;
        }
        None => report.print(&document)?,
    }
    match checks.failed {
        0 => Ok(()),
        n => Err(format!("{n} lines of the derivation do not hold").into()),
    }
}
