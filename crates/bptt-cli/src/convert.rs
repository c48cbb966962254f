//! `bptt convert`: converts parameters, or their gradients, to another format or layout.

use bptt::data::{Arrays, Element, Import};
use bptt::{Params, Scalar};
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

/// The parameters under the names of the model that they were imported from.
fn like<F: Scalar + Element>(
    args: &Convert,
    params: &Params<F>,
    are_gradients: bool,
) -> Result<Arrays, Failure> {
    let Some(file) = &args.like else {
        return Err("--like: expected a model".into());
    };
    let choices = Import::new().order(&args.order).ignoring(&args.ignore);
    let updated = Arrays::read(file)?.updated(params, &choices, are_gradients);
    updated.map_err(|error| format!("{}: {error}", file.display()).into())
}

fn run_in<F: Scalar + Element>(args: &Convert, report: &mut Report) -> Result<(), Failure> {
    let recurrence = cell::load(&args.cell)?;
    let mut read = Arrays::read(&args.params)?;
    let loss = input::take_loss(&recurrence, &mut read);
    let are_gradients = loss.is_some();
    let params = input::params_of::<F>(&recurrence, &read, are_gradients, &args.params)?;
    let mut arrays = match args.layout {
        _ if args.like.is_some() => like(args, &params, are_gradients)?,
        Layout::Bptt => Arrays::from(&params),
        Layout::Pytorch if are_gradients => {
            Arrays::pytorch_state_of_gradients(&params, &recurrence)?
        }
        Layout::Pytorch => Arrays::pytorch_state(&params, &recurrence)?,
    };
    if let Some(loss) = loss {
        arrays.insert(input::LOSS, F::array(loss.real()));
    }
    for (input, classes) in read.saved_alphabets() {
        arrays.insert_alphabet(&input, &classes)?;
    }
    arrays.write(&args.out)?;
    let what = if are_gradients {
        "gradients"
    } else {
        "parameters"
    };
    report.heading(recurrence.name(), what)?;
    report::arrays(report, params.iter())?;
    report.field("arrays", || {
        let shapes = arrays
            .iter()
            .map(|(name, a)| (name.to_owned(), json!(a.shape())));
        serde_json::Value::Object(shapes.collect())
    });
    Ok(report.wrote(&args.out)?)
}
