//! `bptt grad` and `bptt run`: derivatives and outputs on given data.

use std::path::Path;

use bptt::data::{Arrays, Element};
use bptt::{Outputs, Real, Recurrence, Scalar, Wrt};
use serde_json::{Map, json};

use crate::args::{Data, Dtype, Grad, Run};
use crate::conflicts::{EVERYTHING, has_everything};
use crate::engine::Program;
use crate::reading::Absent;
use crate::report::{self, Report};
use crate::{Failure, cell, input, progress};

pub(crate) fn grad(args: &Grad, report: &mut Report) -> Result<(), Failure> {
    if args.wrt.iter().map(|n| n.trim()).eq([EVERYTHING])
        && cell::load(&args.on.cell).is_ok_and(|recurrence| has_everything(&recurrence))
    {
        report.note(
            "--wrt all takes all parameters and inputs; for the value named `all`, name another beside it, as in \
             --wrt all,x",
        );
    }
    let derive = |recurrence: &Recurrence| {
        let names: Vec<&str> = args.wrt.iter().map(|n| n.trim()).collect();
        let wrt = match names[..] {
            [] => Wrt::Parameters,
            [EVERYTHING] => Wrt::Everything,
            _ => Wrt::Names(&names),
        };
        Ok(recurrence.gradient(wrt)?)
    };
    let absent = Absent::Refused;
    evaluate(
        (&args.on, absent),
        &derive,
        args.out.as_deref(),
        "gradients",
        report,
    )
}

pub(crate) fn run(args: &Run, report: &mut Report) -> Result<(), Failure> {
    let derive = |recurrence: &Recurrence| Ok(recurrence.with_final_states()?);
    let absent = Absent::Omitted;
    evaluate(
        (&args.on, absent),
        &derive,
        args.out.as_deref(),
        "outputs",
        report,
    )
}

type Derive<'a> = dyn Fn(&Recurrence) -> Result<Recurrence, Failure> + 'a;

fn evaluate(
    (on, absent): (&Data, Absent<'_>),
    derive: &Derive<'_>,
    out: Option<&Path>,
    what: &'static str,
    report: &mut Report,
) -> Result<(), Failure> {
    match on.dtype {
        Dtype::F32 => evaluate_in::<f32>((on, absent), derive, out, what, report),
        Dtype::F64 => evaluate_in::<f64>((on, absent), derive, out, what, report),
    }
}

fn evaluate_in<F: Real + Element>(
    (on, absent): (&Data, Absent<'_>),
    derive: &Derive<'_>,
    out: Option<&Path>,
    what: &'static str,
    report: &mut Report,
) -> Result<(), Failure> {
    out.map_or(Ok(()), Arrays::can_write)?;
    let (recurrence, batch, _) =
        input::recurrence_and_batch::<F>(&on.cell, &on.source(absent), &on.dims, report)?;
    let params = input::params(&recurrence, on.params.as_deref(), &batch, on.seed)?;
    let is_there = |name: &str| batch.get(name).is_some() || batch.classes(name).is_some();
    let gone: Vec<&str> = recurrence.inputs().filter(|n| !is_there(n)).collect();
    let derived = derive(&recurrence)?;
    let derived = match gone.is_empty() {
        true => derived,
        false => derived.without_inputs(&gone)?,
    };
    let busy = progress::busy(report, what);
    let found = Program::new(&derived).run(&params, &batch);
    busy.clear();
    let found = found?;
    if let Some(out) = out {
        Arrays::from(&found).write(out)?;
    }

    let dtype = if on.dtype == Dtype::F32 { "f32" } else { "f64" };
    let (steps, samples) = (batch.steps(), batch.samples());
    let extent = format!("{what}, T = {steps}, B = {samples}, {dtype}");
    report.heading(recurrence.name(), &extent)?;
    if let Ok(loss) = found.loss() {
        report.line(format!("  loss {}", bptt::number(loss)))?;
        report.field("loss", || json!(loss.to_f64()));
    }
    let others = || found.iter().filter(|(name, _)| *name != "loss");
    report::arrays(report, others())?;
    report.field("recurrence", || json!(recurrence.name()));
    report.field("dtype", || json!(dtype));
    report.field("steps", || json!(steps));
    report.field("samples", || json!(samples));
    // Results written to a file are not repeated in the JSON object.
    if out.is_none() {
        report.field(what, || values(&found).into());
    }
    match out {
        Some(out) => Ok(report.wrote(out)?),
        None => Ok(()),
    }
}

fn values<F: Scalar>(found: &Outputs<F>) -> Map<String, serde_json::Value> {
    let others = found.iter().filter(|(name, _)| *name != "loss");
    others
        .map(|(name, a)| (name.into(), report::nested(a.view())))
        .collect()
}
