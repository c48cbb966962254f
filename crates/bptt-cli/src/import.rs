//! `bptt import`: writes the recurrence of a saved model, and its parameters.

use bptt::Error;
use bptt::data::{self, Arrays, Imported};
use serde_json::json;

use crate::Failure;
use crate::args::{Activation, Import, ModelLoss, Nonlinearity, States};
use crate::report::{self, Report};

pub(crate) fn run(args: &Import, report: &mut Report) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|e| e != "rec") {
        return Err(format!(
            "--out {}: the name of a recurrence ends in .rec",
            args.out.display()
        )
        .into());
    }
    data::can_write_whole(&args.out)?;
    Arrays::can_write(&args.params)?;
    let model = args.model.display().to_string();
    let imported = Imported::read(&args.model, &choices(args)).map_err(|error| match error {
        Error::File { .. } => error.to_string(),
        other => format!("{model}: {other}"),
    })?;
    imported.params.write(&args.params)?;
    data::write_whole(&args.out, imported.source.as_bytes())?;
    for note in &imported.notes {
        report.note(&crate::options::in_options(note));
    }
    let out = args.out.display().to_string();
    report.heading(&bptt::printable(&out), "parameters")?;
    let params = imported.params.params::<f64>(&imported.recurrence)?;
    report::arrays(report, params.iter())?;
    report.field("arrays", || {
        let shapes = params
            .iter()
            .map(|(name, a)| (name.to_owned(), json!(a.shape())));
        serde_json::Value::Object(shapes.collect())
    });
    report.field("params", || json!(args.params.display().to_string()));
    report.wrote(&args.params)?;
    Ok(report.wrote(&args.out)?)
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
