//! `bptt fit`: parameters that make the loss small.

mod data;
mod newton;
mod order;

use bptt::data::{Arrays, Element};
use bptt::fit::{Adam, Sgd, clip_global_norm};
use bptt::{Batch, Error, Outputs, Params, Real, Recurrence, Wrt};
use serde_json::json;

use crate::Failure;
use crate::args::{Dtype, Fit, Optimizer};
use crate::engine::Program;
use crate::input;
use crate::progress;
use crate::report::{self, Report};
use data::Task;
use order::Order;

pub(crate) fn run(args: &Fit, report: &mut Report) -> Result<(), Failure> {
    let second_order = args.optimizer == Optimizer::Newton || args.standard_errors;
    match args.dtype {
        Dtype::F32 if second_order => {
            Err("Newton's method and standard errors need --dtype f64".into())
        }
        Dtype::F32 => run_in::<f32>(args, report),
        Dtype::F64 => run_in::<f64>(args, report),
    }
}

fn run_in<F: Real + Element>(args: &Fit, report: &mut Report) -> Result<(), Failure> {
    Arrays::can_write(&args.out)?;
    let Task {
        recurrence,
        batch,
        alphabet,
    } = Task::<F>::read(args, report)?;
    let mut params = match &args.params {
        Some(file) => input::read_params(&recurrence, file)?,
        None => input::params(&recurrence, None, &batch, args.seed)?,
    };
    let course = match args.optimizer {
        Optimizer::Newton => newton::fit(&recurrence, &mut params, &batch, args, report)?,
        _ => descend(&recurrence, &mut params, &batch, args, report)?,
    };
    let errors = match args.standard_errors {
        true => Some(newton::standard_errors(
            &recurrence,
            &params.cast(),
            &batch.cast(),
        )?),
        false => None,
    };
    Arrays::from(&params).write(&args.out)?;

    let extent = format!("fitted, T = {}, B = {}", batch.steps(), batch.samples());
    report.heading(recurrence.name(), &extent)?;
    let Course {
        steps,
        before,
        after,
    } = course;
    if after > before {
        report.note("the loss has grown; try a smaller --lr, or --clip 1");
    }
    let each = match args.batch.is_some_and(|n| n < batch.samples()) {
        true => " a minibatch",
        false => "",
    };
    report.line(format!(
        "  loss{each} {before} before, {after} after {steps} steps"
    ))?;
    match &errors {
        Some(errors) => report::estimates(report, &params.cast(), errors)?,
        None => report::arrays(report, params.iter())?,
    }
    if let Some(alphabet) = alphabet {
        report.line(format!(
            "  {} characters: {alphabet:?}",
            alphabet.chars().count()
        ))?;
        report.field("alphabet", || json!(alphabet));
    }
    report.field("recurrence", || json!(recurrence.name()));
    report.field("steps", || json!(steps));
    report.field("loss_before", || json!(before));
    report.field("loss", || json!(after));
    let nested = |params: &Params<f64>| -> serde_json::Value {
        let fields = params
            .iter()
            .map(|(n, a)| (n.to_owned(), report::nested(a.view())));
        serde_json::Value::Object(fields.collect())
    };
    if let Some(errors) = &errors {
        report.field("parameters", || nested(&params.cast()));
        report.field("standard_errors", || nested(errors));
    }
    Ok(report.wrote(&args.out)?)
}

/// How a fit went.
struct Course {
    steps: usize,
    before: f64,
    after: f64,
}

fn loss<F: Real>(
    recurrence: &Recurrence,
    params: &Params<F>,
    batch: &Batch<F>,
) -> Result<f64, Failure> {
    let found = Program::new(recurrence).run(params, batch)?;
    let none = Error::NoLoss {
        recurrence: recurrence.name().into(),
    };
    Ok(found.loss().map_err(|_| none)?.to_f64())
}

/// One of the first-order optimisers.
enum Descent<F> {
    Adam(Adam<F>),
    Sgd(Sgd<F>),
}

impl<F: Real> Descent<F> {
    fn new(args: &Fit) -> Self {
        match args.optimizer {
            Optimizer::Sgd => Self::Sgd(Sgd::new(args.lr).momentum(args.momentum)),
            _ => Self::Adam(Adam::new(args.lr)),
        }
    }

    fn step(&mut self, params: &mut Params<F>, gradient: &Outputs<F>) -> Result<(), Error> {
        match self {
            Self::Adam(adam) => adam.step(params, gradient),
            Self::Sgd(sgd) => sgd.step(params, gradient),
        }
    }
}

/// Adam or SGD. With minibatches the loss is that of one: of the first, and the mean over the last
/// round.
fn descend<F: Real>(
    recurrence: &Recurrence,
    params: &mut Params<F>,
    batch: &Batch<F>,
    args: &Fit,
    report: &Report,
) -> Result<Course, Failure> {
    let steps = args.steps.unwrap_or(1000);
    let mut losses = Vec::new();
    let gradient = recurrence.gradient(Wrt::Parameters)?;
    let mut program = Program::new(&gradient);
    let mut optimizer = Descent::new(args);
    let mut order = Order::new(batch.samples(), args.batch, args.seed);
    let bar = progress::bar(report, steps);
    for step in 0..steps {
        let part = order.next();
        let found = match &part {
            Some(part) => program.run(params, &batch.samples_of(recurrence, part)?),
            None => program.run(params, batch),
        };
        let mut found = found.map_err(|error| diverged(&error, step))?;
        let loss = found.loss()?.to_f64();
        losses.push(loss);
        if let Some(threshold) = args.clip {
            clip_global_norm(&mut found, threshold);
        }
        optimizer.step(params, &found)?;
        bar.set_message(format!("loss {loss:.6}"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let round = &losses[losses.len().saturating_sub(order.round())..];
    Ok(Course {
        steps,
        before: losses
            .first()
            .copied()
            .map_or_else(|| loss(recurrence, params, batch), Ok)?,
        after: match round.len() {
            0 => loss(recurrence, params, batch)?,
            n => round.iter().sum::<f64>() / n as f64,
        },
    })
}

fn diverged(error: &Error, step: usize) -> Failure {
    match error {
        Error::NonFiniteValue { .. } | Error::NonFiniteData { .. } if step > 0 => format!(
            "step {}: {error}; try a smaller --lr, or --clip 1",
            step + 1
        )
        .into(),
        _ => error.to_string().into(),
    }
}
