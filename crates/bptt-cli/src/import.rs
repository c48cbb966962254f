//! `bptt import`: writes the recurrence of a saved model, and its parameters.

use std::path::Path;

use bptt::data::{self, Arrays, Imported};
use bptt::{Error, Params};
use serde_json::json;

use crate::args::{Activation, Import, ModelLoss, Nonlinearity, States};
use crate::report::{self, Report};
use crate::{Failure, cell};

pub(crate) fn run(args: &Import, report: &mut Report) -> Result<(), Failure> {
    if let Some(cell) = &args.cell {
        return filled(args, cell, report);
    }
    if !args.map.is_empty() || args.map_file.is_some() {
        let text = "--map: it gives the parameters of a recurrence, and has no effect without --cell; add --cell CELL";
        return Err(text.into());
    }
    let Some(out) = &args.out else {
        return Err("--out: expected a file for the recurrence, or --cell".into());
    };
    if out.extension().is_none_or(|e| e != "rec") {
        return Err(format!(
            "--out {}: the name of a recurrence ends in .rec",
            out.display()
        )
        .into());
    }
    data::can_write_whole(out)?;
    Arrays::can_write(&args.params)?;
    let model = args.model.display().to_string();
    let imported = Imported::read(&args.model, &choices(args)).map_err(|error| match error {
        Error::File { .. } => error.to_string(),
        other => format!("{model}: {other}"),
    })?;
    imported.params.write(&args.params)?;
    data::write_whole(out, imported.source.as_bytes())?;
    for note in &imported.notes {
        report.note(&crate::options::in_options(note));
    }
    let title = out.display().to_string();
    report.heading(&bptt::printable(&title), "parameters")?;
    listed(args, &imported.params.params(&imported.recurrence)?, report)?;
    report.wrote(&args.params)?;
    Ok(report.wrote(out)?)
}

fn listed(args: &Import, params: &Params<f64>, report: &mut Report) -> Result<(), Failure> {
    report::arrays(report, params.iter())?;
    report.field("arrays", || {
        let shapes = params
            .iter()
            .map(|(name, a)| (name.to_owned(), json!(a.shape())));
        serde_json::Value::Object(shapes.collect())
    });
    report.field("params", || json!(args.params.display().to_string()));
    Ok(())
}

/// Fills the parameters of a given recurrence.
fn filled(args: &Import, cell: &str, report: &mut Report) -> Result<(), Failure> {
    Arrays::can_write(&args.params)?;
    let recurrence = cell::load(cell)?;
    let model = Arrays::read_model(&args.model)?;
    let (place, lines) = match &args.map_file {
        Some(file) => (file.display().to_string(), texts(file)?),
        None => ("--map".to_owned(), args.map.clone()),
    };
    let params = model.mapped(&recurrence, &lines);
    let params = params.map_err(|error| match error {
        Error::Array { .. } => format!("{place}: {error}"),
        other => format!("{}: {other}", args.model.display()),
    })?;
    params.write(&args.params)?;
    report.heading(recurrence.name(), "parameters")?;
    listed(args, &params.params(&recurrence)?, report)?;
    Ok(report.wrote(&args.params)?)
}

/// The lines of a mapping; comments are empty lines.
fn texts(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    let bare = |line: &str| {
        line.split_once('#')
            .map_or(line, |(before, _)| before)
            .trim()
            .to_owned()
    };
    Ok(text.lines().map(bare).collect())
}

fn choices(args: &Import) -> data::Import {
    let mut choices = data::Import::new()
        .loss(match args.loss {
            ModelLoss::None => data::ModelLoss::None,
            ModelLoss::Softmax => data::ModelLoss::Softmax,
            ModelLoss::Squared => data::ModelLoss::Squared,
        })
        .states(match args.states {
            States::Zero => data::States::Zero,
            States::Inputs => data::States::Inputs,
        })
        .order(&args.order)
        .ignoring(&args.ignore);
    if let Some(function) = args.nonlinearity {
        choices = choices.nonlinearity(match function {
            Nonlinearity::Tanh => data::Nonlinearity::Tanh,
            Nonlinearity::Relu => data::Nonlinearity::Relu,
        });
    }
    if let Some(function) = args.activation {
        choices = choices.activation(match function {
            Activation::None => data::Activation::None,
            Activation::Relu => data::Activation::Relu,
            Activation::Tanh => data::Activation::Tanh,
            Activation::Sigmoid => data::Activation::Sigmoid,
            Activation::Gelu => data::Activation::Gelu,
            Activation::Silu => data::Activation::Silu,
        });
    }
    choices
}
