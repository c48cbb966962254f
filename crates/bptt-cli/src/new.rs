//! `bptt new`: creates a commented template.

use crate::Failure;
use crate::args::New;
use crate::report::Report;

const TEMPLATE: &str = include_str!("new.rec");

pub(crate) fn run(args: &New, report: &mut Report) -> Result<(), Failure> {
    let file = args.file.display();
    if args.file.extension().is_none_or(|e| e != "rec") {
        return Err(format!("{file}: the name of a recurrence ends in .rec").into());
    }
    if args.file.exists() {
        return Err(format!("{file} already exists; choose another name").into());
    }
    bptt::data::write_whole(&args.file, TEMPLATE.as_bytes())?;
    report.wrote(&args.file)?;
    report.line(format!("next: bptt check {file}"))?;
    Ok(())
}
