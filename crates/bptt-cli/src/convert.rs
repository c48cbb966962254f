//! `bptt convert`: converts parameters to another format or layout.

use bptt::Scalar;
use bptt::data::{Arrays, Element};
use serde_json::json;

use crate::args::{Convert, Dtype, Layout};
use crate::report::{self, Report};
use crate::{Failure, cell, input};

pub(crate) fn run(args: &Convert, report: &mut Report) -> Result<(), Failure> {
    match args.dtype {
        Dtype::F32 => run_in::<f32>(args, report),
        Dtype::F64 => run_in::<f64>(args, report),
    }
}

fn run_in<F: Scalar + Element>(args: &Convert, report: &mut Report) -> Result<(), Failure> {
    let recurrence = cell::load(&args.cell)?;
    let params = input::read_params::<F>(&recurrence, &args.params)?;
    let arrays = match args.layout {
        Layout::Bptt => Arrays::from(&params),
        Layout::Pytorch => Arrays::pytorch_state(&params, &recurrence)?,
    };
    arrays.write(&args.out)?;
    report.heading(recurrence.name(), "parameters")?;
    report::arrays(report, params.iter())?;
    report.field("arrays", || {
        let shapes = arrays
            .iter()
            .map(|(name, a)| (name.to_owned(), json!(a.shape())));
        serde_json::Value::Object(shapes.collect())
    });
    Ok(report.wrote(&args.out)?)
}
