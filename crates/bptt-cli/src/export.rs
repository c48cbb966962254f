//! `bptt export`: writes a recurrence and its parameters as a model for other programs.

use bptt::data::{self, Arrays};
use serde_json::json;

use crate::args::{Export, Target};
use crate::report::Report;
use crate::{Failure, cell, input};

pub(crate) fn run(args: &Export, report: &mut Report) -> Result<(), Failure> {
    let extension = match args.to {
        Target::Onnx => "onnx",
    };
    if args.out.extension().is_none_or(|e| e != extension) {
        let out = args.out.display();
        return Err(format!("--out {out}: the name of the model ends in .{extension}").into());
    }
    data::can_write_whole(&args.out)?;
    let recurrence = cell::load(&args.cell)?;
    let arrays = Arrays::read(&args.params)?;
    let params = input::params_of::<f64>(&recurrence, &arrays, false, &args.params)?;
    let bytes = match (args.to, &args.like) {
        (Target::Onnx, None) => data::to_onnx(&recurrence, &params)?,
        (Target::Onnx, Some(like)) => {
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", like.display());
            let model = std::fs::read(like).map_err(|error| told(&error))?;
            data::updated_onnx(&model, &params).map_err(|error| told(&error))?
        }
    };
    data::write_whole(&args.out, &bytes)?;
    report.heading(recurrence.name(), "model")?;
    report.field("bytes", || json!(bytes.len()));
    Ok(report.wrote(&args.out)?)
}
