//! `bptt derive`: the derivation of a recurrence as a document.

use std::path::PathBuf;

use bptt::Recurrence;
use bptt::derive::{Check, Derivation, Equation};

use crate::args::Derive;
use crate::reading::{Absent, Source};
use crate::report::Report;
use crate::{Failure, cell, input, progress};

/// The number of random runs on which each line is checked.
const RUNS: u64 = 4;

/// In an LSTM, `o` denotes the output gate on paper, so the readout is called z.
const GATES: &[(&str, &str)] = &[
    ("og", "o"),
    ("a_og", "a_o"),
    ("o", "z"),
    ("W_O", "W_z"),
    ("b_q", "b_z"),
];

/// Derives, checks every line, adds measurements if there is data, and writes the document. A line that fails
/// its check is an error, after the document is written.
pub(crate) fn run(args: &Derive, report: &mut Report) -> Result<(), Failure> {
    args.out
        .as_deref()
        .map_or(Ok(()), bptt::data::can_write_whole)?;
    let aliases: &[_] = match args.cell.as_str() {
        "lstm" | "lstm_peephole" => GATES,
        _ => &[],
    };
    let mut derivation = match &args.data[..] {
        [] => derived(&cell::load(&args.cell)?, aliases, report)?,
        files => measured(args, files, aliases, report)?,
    };
    let gauge = progress::Gauge::new(report, "checking every line");
    let checks = derivation.check_with_progress(RUNS, &|part| gauge.set(part.min(1.0)));
    gauge.clear();
    let checks = checks?;
    let busy = progress::busy(report, "writing the document");
    let document = derivation.render(args.format, args.lang, args.level);
    busy.clear();
    match &args.out {
        Some(out) => {
            bptt::data::write_whole(out, document.as_bytes())?;
            report.wrote(out)?;
        }
        None => report.print(&document)?,
    }
    let failed = |e: &&Equation| matches!(e.check, Check::Failed { .. });
    let ids: Vec<String> = derivation
        .equations
        .iter()
        .filter(failed)
        .map(|e| e.id.to_string())
        .collect();
    let hold = match checks.failed {
        0 => return Ok(()),
        1 => "line of the derivation does not hold",
        _ => "lines of the derivation do not hold",
    };
    let reasons = "the document gives the reason at each";
    Err(format!("{} {hold}: {}; {reasons}", checks.failed, ids.join(", ")).into())
}

fn derived(
    recurrence: &Recurrence,
    aliases: &[(&str, &str)],
    report: &Report,
) -> Result<Derivation, Failure> {
    let busy = progress::busy(report, "deriving");
    let derivation = recurrence.derive_with(aliases);
    busy.clear();
    Ok(derivation?)
}

/// The derivation, with measurements on the given data.
fn measured(
    args: &Derive,
    files: &[PathBuf],
    aliases: &[(&str, &str)],
    report: &Report,
) -> Result<Derivation, Failure> {
    let source = Source {
        files,
        reading: &args.reading,
        params: args.params.as_deref(),
        absent: Absent::Refused,
    };
    let (recurrence, batch) = input::first_sequence(&args.cell, &source, &args.dims, report)?;
    let params = input::params(&recurrence, args.params.as_deref(), &batch, args.seed)?;
    let mut derivation = derived(&recurrence, aliases, report)?;
    let busy = progress::busy(report, "measuring the run");
    let found = derivation
        .measure(&params, &batch)
        .map(|reach| reach.is_some());
    busy.clear();
    if !found? {
        report.note(&format!(
            "{}: the state of `{}` has no Jacobian from one step to the next, so that nothing is \
             measured on this run",
            source,
            recurrence.name()
        ));
    }
    Ok(derivation)
}
