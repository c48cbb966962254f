//! The measurements that explain a gradient: by lag, by gate, by step, and the slopes on its way.

use std::sync::Arc;

use ndarray::{ArrayD, ArrayView2, Axis, Ix2};

use super::lags::Lags;
use crate::error::Result;
use crate::noise::Noise;
use crate::op::Scalar;
use crate::recurrence::{Batch, Observed, ObservedGate, Outputs, Params, Recurrence, Wrt};

/// The part of the range of a function next to its ends in which it counts as saturated.
const END: f64 = 0.05;

/// The measurements of one gradient on some data, of which a [verdict](Self::verdict) speaks.
#[derive(Clone, Debug)]
pub struct Story {
    pub(super) name: String,
    pub(super) steps: usize,
    pub(super) lags: Lags,
    pub(super) values: Vec<ValueStats>,
    pub(super) gates: Vec<Gate>,
    pub(super) matrices: Vec<Matrix>,
    pub(super) loss: f64,
    /// The values on which later states depend.
    pub(super) recurrent: Vec<Arc<str>>,
    pub(super) truncation: Option<usize>,
}

/// A named value over all steps, samples and entries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValueStats {
    /// The name.
    pub name: Arc<str>,
    /// The function whose value it is, such as `sigmoid`, if its slope is bounded.
    pub function: Option<String>,
    /// The mean.
    pub mean: f64,
    /// The share of entries within 5 % of the lower and of the upper end of the range of the function: saturated ones.
    /// `None` without a range.
    pub saturated: Option<[f64; 2]>,
    /// The mean slope, relative to the largest slope of the function.
    pub slope: Option<f64>,
    /// The share of units whose slope is zero at all steps of all samples: dead ones.
    pub dead: Option<f64>,
    /// `‖∂L/∂v_t‖` for each step, over all samples.
    pub delta: Vec<f64>,
}

/// The gate of a state that is updated by scaling and addition, `c' = f * c + …`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gate {
    /// The state.
    pub state: Arc<str>,
    /// The name of the gate, or its expression.
    pub gate: Arc<str>,
    /// The parameter that is added to its argument.
    pub bias: Option<Arc<str>>,
    /// The mean of the entries of that parameter.
    pub bias_mean: Option<f64>,
    /// The mean of its entries.
    pub mean: f64,
    /// The geometric mean over steps and samples of the unit with the largest one: over many steps, the most open unit
    /// keeps this share at each of them.
    pub factor: f64,
}

/// A parameter that is multiplied by a state of the step before.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Matrix {
    /// The parameter.
    pub parameter: Arc<str>,
    /// The state.
    pub state: Arc<str>,
    /// Its spectral radius: the largest absolute value of an eigenvalue, by the growth of its powers.
    pub radius: f64,
}

impl Story {
    /// The name of the recurrence.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of steps.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The loss.
    #[must_use]
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    /// The gradient by lag.
    #[must_use]
    pub const fn lags(&self) -> &Lags {
        &self.lags
    }

    /// The named values.
    #[must_use]
    pub fn values(&self) -> &[ValueStats] {
        &self.values
    }

    /// The gates of states.
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// The recurrent matrices.
    #[must_use]
    pub fn matrices(&self) -> &[Matrix] {
        &self.matrices
    }
}

impl Recurrence {
    /// Measures a gradient on some data: by lag, up to `most` lags; the values, slopes and gates on its way; and δ of every
    /// named value.
    ///
    /// ```
    /// use bptt::cells::{Cell, Loss};
    /// use bptt::{Batch, Lang, Params};
    /// use ndarray::Array3;
    /// let lstm = Cell::lstm().model("lstm", Loss::SquaredError)?;
    /// let params = Params::initial(&lstm, &[("H", 4), ("K", 1), ("O", 1)], 1)?;
    /// let x = Array3::from_shape_fn((60, 1, 1), |(t, _, _)| (t as f64 / 5.0).sin());
    /// let batch = Batch::new(60, 1).with("x", x.clone()).with("y", x);
    /// let story = lstm.story(&params, &batch, 60)?;
    /// assert_eq!(&*story.gates()[0].gate, "f");
    /// println!("{}", story.verdict(Lang::En).join(" "));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`lags`](Self::lags).
    pub fn story(&self, params: &Params<f64>, batch: &Batch<f64>, most: usize) -> Result<Story> {
        let observed = self.with_gates()?;
        let run = observed.recurrence.compile_for::<f64>(params, batch)?;
        let found = run.evaluate(params, batch)?;
        let names: Vec<&str> = observed.values.iter().map(|v| &*v.name).collect();
        let deltas = match names.is_empty() {
            true => Outputs::default(),
            false => {
                let gradient = self.gradient(Wrt::Names(&names))?;
                gradient
                    .compile_for::<f64>(params, batch)?
                    .evaluate(params, batch)?
            }
        };
        let lengths: Vec<usize> = batch.lengths().collect();
        let values = observed.values.iter().map(|value| {
            let array = found.get(&value.name);
            let slope = value.slope.as_ref().and_then(|(output, most)| {
                let array = found.get(output)?;
                Some((
                    mean(array, &lengths, |x| x.abs() / most),
                    dead(array, &lengths),
                ))
            });
            let near = |end: f64, width: f64| {
                let is_near = move |x: f64| f64::from((x - end).abs() <= END * width);
                array.map_or(0.0, |a| mean(a, &lengths, is_near))
            };
            ValueStats {
                name: Arc::clone(&value.name),
                function: value.function.clone(),
                mean: array.map_or(f64::NAN, |a| mean(a, &lengths, |x| x)),
                saturated: value
                    .range
                    .map(|(low, high)| [near(low, high - low), near(high, high - low)]),
                slope: slope.map(|(mean, _)| mean),
                dead: slope.map(|(_, dead)| dead),
                delta: deltas.get(&value.name).map_or(Vec::new(), by_step),
            }
        });
        let gates = observed
            .gates
            .iter()
            .filter_map(|gate| self.gate(gate, &found, &lengths, params));
        Ok(Story {
            name: self.name().into(),
            steps: batch.steps(),
            values: values.collect(),
            gates: gates.collect(),
            matrices: matrices(&observed, params),
            loss: Scalar::to_f64(found.loss()?),
            recurrent: observed.recurrent,
            truncation: None,
            lags: self.lags(params, batch, most)?,
        })
    }

    fn gate(
        &self,
        gate: &ObservedGate,
        found: &Outputs<f64>,
        lengths: &[usize],
        params: &Params<f64>,
    ) -> Option<Gate> {
        let array = found.get(&gate.output)?;
        let bias = gate.bias.as_ref().and_then(|name| params.get(name));
        Some(Gate {
            state: Arc::clone(&gate.state),
            gate: Arc::clone(&gate.gate),
            bias: gate.bias.clone(),
            bias_mean: bias.and_then(|array| array.mean()),
            mean: mean(array, lengths, |x| x),
            factor: most_open(array, lengths),
        })
    }
}

fn matrices(observed: &Observed, params: &Params<f64>) -> Vec<Matrix> {
    let found = observed.matrices.iter().filter_map(|m| {
        let array = params.get(&m.parameter)?;
        let radius = match array.view().into_dimensionality::<Ix2>() {
            Ok(matrix) => radius(matrix),
            Err(_) => array.first()?.abs(),
        };
        Some(Matrix {
            parameter: Arc::clone(&m.parameter),
            state: Arc::clone(&m.state),
            radius,
        })
    });
    found.collect()
}

/// The spectral radius: `‖Aⁿ v‖^{1/n}`, past a number of steps in which other directions die out.
fn radius(matrix: ArrayView2<'_, f64>) -> f64 {
    const SKIPPED: usize = 100;
    const COUNTED: usize = 200;
    let mut noise = Noise(1);
    let mut v = ndarray::Array1::from_shape_simple_fn(matrix.ncols(), || noise.normal());
    let mut log = 0.0;
    for step in 0..SKIPPED + COUNTED {
        v = matrix.dot(&v);
        let norm = v.dot(&v).sqrt();
        if norm == 0.0 || !norm.is_finite() {
            return norm;
        }
        v /= norm;
        if step >= SKIPPED {
            log += norm.ln();
        }
    }
    (log / COUNTED as f64).exp()
}

/// The mean over the steps of all samples and all entries.
fn mean(array: &ArrayD<f64>, lengths: &[usize], of: impl Fn(f64) -> f64) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    each_step(array, lengths, |x| {
        sum += of(x);
        count += 1;
    });
    sum / count.max(1) as f64
}

fn each_step(array: &ArrayD<f64>, lengths: &[usize], mut act: impl FnMut(f64)) {
    for (t, step) in array.axis_iter(Axis(0)).enumerate() {
        for (sample, length) in step.axis_iter(Axis(0)).zip(lengths) {
            if t < *length {
                sample.iter().for_each(|x| act(*x));
            }
        }
    }
}

/// The largest geometric mean of a unit over the steps of all samples.
fn most_open(array: &ArrayD<f64>, lengths: &[usize]) -> f64 {
    let size: usize = array.shape().iter().skip(2).product::<usize>().max(1);
    let mut logs = vec![0.0; size];
    let mut at = 0;
    each_step(array, lengths, |x| {
        logs[at % size] += x.abs().ln();
        at += 1;
    });
    let rows = at / size;
    let largest = logs.into_iter().fold(f64::NEG_INFINITY, f64::max);
    (largest / rows.max(1) as f64).exp()
}

/// The share of entries that are zero at all steps of all samples.
fn dead(array: &ArrayD<f64>, lengths: &[usize]) -> f64 {
    let size: usize = array.shape().iter().skip(2).product::<usize>().max(1);
    let mut alive = vec![false; size];
    let mut at = 0;
    each_step(array, lengths, |x| {
        alive[at % size] |= x != 0.0;
        at += 1;
    });
    alive.iter().filter(|alive| !**alive).count() as f64 / size as f64
}

/// The norm at each step.
fn by_step(array: &ArrayD<f64>) -> Vec<f64> {
    let norm = |step: ndarray::ArrayViewD<'_, f64>| step.iter().map(|x| x * x).sum::<f64>().sqrt();
    array.axis_iter(Axis(0)).map(norm).collect()
}
