//! `bptt show`: a recurrence as text or as a picture.

use crate::args::{Picture, Show};
use crate::report::Report;
use crate::{Failure, cell};

pub(crate) fn run(args: &Show, report: &mut Report) -> Result<(), Failure> {
    let Some(name) = &args.cell else {
        return list(report);
    };
    let recurrence = cell::load(name)?;
    let text = match args.format {
        Picture::Rec => recurrence.source()?,
        Picture::Dot => recurrence.dot(),
        Picture::Svg => recurrence.svg(),
    };
    match &args.out {
        Some(out) => {
            bptt::data::write_whole(out, text.as_bytes())?;
            report.wrote(out)?;
        }
        None => report.print(&text)?,
    }
    Ok(())
}

fn list(report: &mut Report) -> Result<(), Failure> {
    report.field("library", || {
        cell::LIBRARY.iter().map(|(name, _)| *name).collect()
    });
    let rows = cell::LIBRARY
        .iter()
        .map(|(name, source)| (*name, cell::summary(source)));
    let width = cell::LIBRARY
        .iter()
        .map(|(n, _)| n.len())
        .max()
        .unwrap_or(0);
    for (name, summary) in rows {
        report.line(format!("{name:<width$}  {summary}"))?;
    }
    Ok(())
}
