//! `bptt show`: a recurrence as text or as a picture.

use bptt::{Recurrence, Wrt};

use crate::args::{Picture, Show, Size};
use crate::report::Report;
use crate::{Failure, cell, progress};

pub(crate) fn run(args: &Show, report: &mut Report) -> Result<(), Failure> {
    let Some(name) = &args.cell else {
        return list(report);
    };
    let recurrence = cell::load(name)?;
    report.field("recurrence", || recurrence.name().into());
    let busy = progress::busy(report, "showing the recurrence");
    let text = match args.format {
        Picture::Rec => recurrence.source().map_err(Failure::from),
        Picture::Dot => Ok(recurrence.dot()),
        Picture::Svg => Ok(recurrence.svg()),
        Picture::Stages => stages(&recurrence, &args.dims),
    };
    busy.clear();
    let text = text?;
    match &args.out {
        Some(out) => {
            bptt::data::write_whole(out, text.as_bytes())?;
            report.wrote(out)?;
        }
        None => report.print(&text)?,
    }
    Ok(())
}

/// The execution plan of the gradient, or of the recurrence if it has no loss.
fn stages(recurrence: &Recurrence, given: &[Size]) -> Result<String, Failure> {
    const USUAL: usize = 32;
    let has_loss = recurrence.outputs().any(|o| o == "loss");
    let derived = match has_loss {
        true => recurrence.gradient(Wrt::Parameters)?,
        false => recurrence.clone(),
    };
    let mut sizes: Vec<(&str, usize)> = given.iter().map(|s| (&*s.name, s.size)).collect();
    for dim in derived.tape().dims() {
        if !sizes.iter().any(|(name, _)| *name == dim) {
            sizes.push((dim, USUAL));
        }
    }
    Ok(derived.compile::<f64>(&sizes)?.plan().describe())
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
