//! `bptt export`: writes a recurrence for other programs, as a model with its parameters or as source code.

use std::path::Path;

use bptt::data::{self, Arrays};
use bptt::export::{Exported, Function, Language};
use bptt::{Error, Real, Recurrence, Wrt};
use serde_json::json;

use crate::args::{Dtype, Export, Target, What};
use crate::report::Report;
use crate::{Failure, cell, input};

pub(crate) fn run(args: &Export, report: &mut Report) -> Result<(), Failure> {
    match (args.to, &args.params) {
        (Target::Onnx, Some(params)) => model(args, params, report),
        (Target::Rust, _) => code(args, Language::Rust, report),
        (Target::C | Target::Onnx, _) => code(args, Language::C, report),
    }
}

fn model(args: &Export, params: &Path, report: &mut Report) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|e| e != "onnx") {
        let out = args.out.display();
        return Err(format!("--out {out}: the name of the model ends in .onnx").into());
    }
    data::can_write_whole(&args.out)?;
    let recurrence = cell::load(&args.cell)?;
    let arrays = Arrays::read(params)?;
    let params = input::params_of::<f64>(&recurrence, &arrays, false, params)?;
    let bytes = match &args.like {
        None => data::to_onnx(&recurrence, &params)?,
        Some(like) => {
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

/// Writes source code. Nothing is written unless all files can be.
fn code(args: &Export, to: Language, report: &mut Report) -> Result<(), Failure> {
    let recurrence = cell::load(&args.cell)?;
    let exported = match args.dtype {
        Dtype::F64 => exported::<f64>(args, to, &recurrence)?,
        Dtype::F32 => exported::<f32>(args, to, &recurrence)?,
    };
    let told = |error| format!("--out {}: {error}; give a folder", args.out.display());
    std::fs::create_dir_all(&args.out).map_err(told)?;
    let paths = exported.files.iter().map(|(name, _)| args.out.join(name));
    let paths: Vec<_> = paths.collect();
    paths.iter().try_for_each(data::can_write_whole)?;
    for (path, (_, text)) in paths.iter().zip(&exported.files) {
        data::write_whole(path, text.as_bytes())?;
    }
    report.heading(recurrence.name(), args.what.name())?;
    let Exported {
        params,
        fixed,
        per_step,
        stack,
        ..
    } = exported;
    let memory = match per_step {
        0 => format!("{fixed} numbers of memory"),
        _ => format!("{fixed} + {per_step} T numbers of memory"),
    };
    report.line(format!(
        "  {params} parameters, {memory}, arrays of {stack} bytes on the stack"
    ))?;
    report.field("parameters", || json!(params));
    report.field("fixed", || json!(fixed));
    report.field("per_step", || json!(per_step));
    report.field("stack", || json!(stack));
    let names: Vec<&str> = exported
        .files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    report.line(format!("  {}", names.join(", ")))?;
    Ok(report.wrote(&args.out)?)
}

fn exported<F: Real>(
    args: &Export,
    to: Language,
    recurrence: &Recurrence,
) -> Result<Exported, Failure> {
    let derived = match args.what {
        What::Run | What::Step => recurrence.clone(),
        What::Gradient => recurrence.gradient(Wrt::Parameters)?,
        What::Tangent => recurrence.tangent(Wrt::Parameters)?,
        What::HessianVector => recurrence.hessian_vector(Wrt::Parameters)?,
        What::Online => recurrence.online_gradient(Wrt::Parameters)?,
    };
    let function = match args.what {
        What::Step | What::Online => Function::Step,
        what => Function::Whole(what.name().into()),
    };
    let sizes: Vec<(&str, usize)> = args.dims.iter().map(|s| (&*s.name, s.size)).collect();
    if let Some(dim) = recurrence
        .tape()
        .dims()
        .find(|dim| !sizes.iter().any(|s| s.0 == *dim))
    {
        return Err(format!(
            "the size {dim} is missing: code has fixed sizes; give --dims {dim}=…, such as {dim}=8"
        )
        .into());
    }
    let name = args.name.as_deref().unwrap_or_else(|| recurrence.name());
    let exported = derived.compile::<F>(&sizes)?.export(to, name, &function);
    exported.map_err(|error| match error {
        Error::NotCausal { reason, .. } => {
            let name = recurrence.name();
            format!("`{name}` cannot run one step at a time: {reason}; give --what run or --what gradient").into()
        }
        error => error.into(),
    })
}
