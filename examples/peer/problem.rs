//! A prepared case: recurrence, data, and the checksum of the results.

use bptt::{Batch, Params, Real, Recurrence, Wrt};
use ndarray::{Array2, arr0};
use serde_json::{Map, Value, json};

use crate::case::{Case, Task};
use crate::cells::{self, Piece};
use crate::data::{self, Tensor, filled, raw};
use crate::engine::Engine;

/// A prepared case, independent of the type of the numbers.
pub(crate) trait Problem {
    fn run_once(&mut self) -> bptt::Result<()>;
    /// Some numbers that change if any result changes.
    fn checksum(&self) -> Value;
}

/// The daily returns of the Deutschmark against the pound of Bollerslev and Ghysels (1996).
const RETURNS: &str = include_str!("../../data/dmbp.csv");
const GARCH: &str = include_str!("../recurrences/garch11.rec");
const GARCH_POINT: [(&str, f64); 4] = [
    ("mu", -0.005),
    ("omega", 0.01),
    ("alpha", 0.15),
    ("beta", 0.8),
];

/// Prepares a case; an error says why it cannot be run.
pub(crate) fn prepare<F: Real + 'static>(
    case: &Case,
    by_hand: bool,
) -> Result<Box<dyn Problem>, String> {
    if case.cell == "garch" {
        return Ok(Box::new(garch::<F>(case)?));
    }
    let name = match (by_hand, &*case.cell) {
        (false, name) => name,
        (true, "lstm") => "lstm_by_hand",
        (true, _) => return Err("only the LSTM is written by hand".into()),
    };
    let model = cells::find(name).ok_or_else(|| format!("no cell `{name}`"))?;
    check_size(case)?;
    let recurrence = model.recurrence(case.task == Task::Gradient).map_err(say)?;
    let params = params::<F>(&recurrence, model.pieces, case)?;
    Ok(Box::new(Network {
        engine: engine(recurrence, params, batch(case), case)?,
        pieces: model.pieces,
        case: case.clone(),
    }))
}

/// The streams of the data have 2³² numbers.
fn check_size(case: &Case) -> Result<(), String> {
    let within = |factors: &[usize]| {
        let product = factors.iter().try_fold(1usize, |p, f| p.checked_mul(*f));
        product.is_some_and(|p| u32::try_from(p).is_ok())
    };
    let width = case.inputs.max(case.hidden);
    if within(&[case.steps, case.samples, width]) && within(&[4, case.hidden, width]) {
        Ok(())
    } else {
        Err("an array of more than 2^32 numbers".into())
    }
}

/// The parameters of the cell, taken from the shared tensors.
fn params<F: Real>(
    recurrence: &Recurrence,
    pieces: &[Piece],
    case: &Case,
) -> Result<Params<F>, String> {
    let sizes = [("K", case.inputs), ("H", case.hidden)];
    let params = Params::from_fn(recurrence, &sizes, |name, shape| {
        let scale = match shape {
            [_, columns] => 1.0 / (*columns as f64).sqrt(),
            _ => 0.1,
        };
        let length: usize = shape.iter().product();
        let own = || pieces.iter().filter(|(own, ..)| *own == name);
        filled(shape, |i| {
            let parts = own().map(|(_, tensor, block)| raw(tensor.seed(), block * length + i));
            parts.map(|part| part * scale).sum()
        })
    });
    params.map_err(say)
}

fn batch<F: Real>(case: &Case) -> Batch<F> {
    let (steps, samples) = (case.steps, case.samples);
    let inputs = filled(&[steps, samples, case.inputs], |i| raw(data::INPUTS, i));
    let batch = Batch::new(steps, samples).with("X", inputs);
    match case.task {
        Task::Forward => batch,
        Task::Gradient => {
            let shape = [steps, samples, case.hidden];
            batch.with("W_loss", filled(&shape, loss_weight(case)))
        }
    }
}

fn say(error: bptt::Error) -> String {
    error.to_string()
}

/// Compiles the recurrence, or its gradient.
fn engine<F: Real>(
    recurrence: Recurrence,
    params: Params<F>,
    batch: Batch<F>,
    case: &Case,
) -> Result<Engine<F>, String> {
    let asked = match case.task {
        Task::Forward => Ok(recurrence),
        Task::Gradient => recurrence.gradient(Wrt::Parameters),
    };
    Engine::new(&asked.map_err(say)?, params, batch, case.threads).map_err(say)
}

fn loss_weight(case: &Case) -> impl Fn(usize) -> f64 {
    let scale = 1.0 / ((case.steps * case.samples * case.hidden) as f64).sqrt();
    move |i| raw(data::LOSS_WEIGHTS, i) * scale
}

/// A cell under the loss `Σ W_loss ⊙ y`.
struct Network<F: Real> {
    engine: Engine<F>,
    pieces: &'static [Piece],
    case: Case,
}

impl<F: Real> Network<F> {
    /// The gradients with respect to some tensors: indices in the shared layout, and values.
    fn gradient(&self, which: impl Fn(Tensor) -> bool) -> impl Iterator<Item = (usize, f64)> {
        let own = self.pieces.iter().filter(move |piece| which(piece.1));
        own.flat_map(|(name, _, block)| {
            let entries: Vec<f64> = self.engine.found(name).collect();
            let start = block * entries.len();
            (start..).zip(entries)
        })
    }

    fn norm(&self, which: impl Fn(Tensor) -> bool) -> f64 {
        let squares = self.gradient(which).map(|(_, v)| v * v);
        squares.sum::<f64>().sqrt()
    }

    fn along(&self, tensor: Tensor, direction: u32) -> f64 {
        let own = self.gradient(|t| t == tensor);
        own.map(|(i, v)| v * raw(direction, i)).sum()
    }
}

impl<F: Real> Problem for Network<F> {
    fn run_once(&mut self) -> bptt::Result<()> {
        self.engine.run_once()
    }

    fn checksum(&self) -> Value {
        if self.case.task == Task::Forward {
            let weight = loss_weight(&self.case);
            let terms = self.engine.found("y").enumerate();
            return json!({ "loss": terms.map(|(i, y)| y * weight(i)).sum::<f64>() });
        }
        let main = [Tensor::InputWeights, Tensor::StateWeights, Tensor::Bias];
        let [w_x, w_h, b] = main;
        let mut sums = json!({
            "loss": self.engine.found("loss").sum::<f64>(),
            "dW_X_norm": self.norm(|t| t == w_x),
            "dW_H_norm": self.norm(|t| t == w_h),
            "db_norm": self.norm(|t| t == b),
            "dW_X_dot": self.along(w_x, data::INPUT_DIRECTION),
            "dW_H_dot": self.along(w_h, data::STATE_DIRECTION),
        });
        if self.pieces.iter().any(|(_, t, _)| !main.contains(t)) {
            sums["dextra_norm"] = json!(self.norm(|t| !main.contains(&t)));
        }
        sums
    }
}

/// GARCH(1, 1), whose parameters are numbers.
struct Garch<F: Real>(Engine<F>);

fn garch<F: Real>(case: &Case) -> Result<Garch<F>, String> {
    let returns: Result<Vec<f64>, _> = RETURNS.lines().skip(1).map(str::parse).collect();
    let returns = returns.map_err(|e| format!("the returns cannot be read: {e}"))?;
    if [case.steps, case.samples, case.inputs, case.hidden] != [returns.len(), 1, 1, 1] {
        return Err(format!("expected T = {} and B = K = H = 1", returns.len()));
    }
    let recurrence = Recurrence::parse("garch11.rec", GARCH).map_err(|e| e.to_string())?;
    let mut params = Params::new();
    for (name, value) in GARCH_POINT {
        params.insert(name, arr0(F::of(value)));
    }
    let r = Array2::from_shape_fn((returns.len(), 1), |(t, _)| F::of(returns[t]));
    let batch = Batch::new(returns.len(), 1).with("r", r);
    Ok(Garch(engine(recurrence, params, batch, case)?))
}

impl<F: Real> Problem for Garch<F> {
    fn run_once(&mut self) -> bptt::Result<()> {
        self.0.run_once()
    }

    fn checksum(&self) -> Value {
        let sum = |name: &str| json!(self.0.found(name).sum::<f64>());
        let mut sums = Map::from_iter([("loss".to_owned(), sum("loss"))]);
        sums.extend(GARCH_POINT.map(|(name, _)| (format!("d{name}"), sum(name))));
        Value::Object(sums)
    }
}
