//! The flow of gradients through a recurrence: how a change of the state at one step changes the states of later steps.
//!
//! A [`Flow`] is a run of a recurrence on data with the state of every step. With `s_t = f(s_{t-1}, x_t, θ)` and
//! `J_t = ∂s_t/∂s_{t-1}`, it measures the product `∂s_t/∂s_k = J_t … J_{k+1}`, through which backpropagation sends gradients back
//! from step `t` to step `k`. No product is formed unless the state is small: the step is linearised and transposed as any recurrence,
//! and runs at many steps of the trajectory at once.

mod bundle;
mod chain;
mod jacobian;
mod lags;
mod linear;
mod lyapunov;
mod sensitivity;
mod story;
mod verdict;

pub use lags::{Bin, LAGS, LaggedParameter, Lags, Share};
pub use lyapunov::Lyapunov;
pub use sensitivity::{Sensitivity, Squares};
pub use story::{Gate, Matrix, Story, ValueStats};
pub use verdict::Cause;

use std::sync::Arc;

use ndarray::{ArrayD, Axis};

use crate::error::{Error, Result, counted};
use crate::recurrence::{Batch, Params, Recurrence, Transition};

/// A run of a recurrence on data: the state of every step, and the step as a linear map there.
///
/// The **state** is every value that is carried forwards from step to step: the named states and delayed values of them, one after the other as a vector of
/// [`size`](Self::size) entries. Delayed inputs and step numbers are data. Each sample has a trajectory of its own.
///
/// Masks, lengths and resets are honoured: an inactive step of a mask has `J_t = I`, the first step of a sequence after a reset has
/// `J_t = 0`, and steps beyond the length of a sample do not exist.
///
/// ```
/// use bptt::{Batch, Params, Recurrence};
/// use bptt::flow::Flow;
/// use ndarray::{arr0, array};
/// let r = Recurrence::parse("r.rec", "param a\ninput x\nstate h\nh' = tanh(a * h + x)\n")?;
/// let params = Params::new().with("a", arr0(0.9));
/// let batch = Batch::new(3, 1).with("x", array![[0.1], [0.2], [-0.3]]);
/// let flow = Flow::new(&r, &params, &batch)?;
/// assert_eq!(flow.size(), 1);
/// let h1 = 0.1f64.tanh();
/// assert!((flow.state("h")?[[1, 0]] - h1).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Flow {
    transition: Transition,
    /// The sizes of the dimensions, by name.
    sizes: Vec<(String, usize)>,
    params: Params<f64>,
    batch: Batch<f64>,
    lengths: Vec<usize>,
    parts: Vec<Part>,
    /// The arguments of the step, in the order of `transition.arguments`: `[T, B, …]`, `[B, …]` or `[…]`.
    arguments: Vec<ArrayD<f64>>,
    /// The values of the parts after each step, `[T, B, …]`.
    after: Vec<ArrayD<f64>>,
    threads: usize,
}

/// A part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The name of the state, or the expression of a delayed value.
    pub name: String,
    /// The entry of the state vector at which it starts.
    pub start: usize,
    /// Its shape; its entries are in row-major order.
    pub shape: Vec<usize>,
}

impl Part {
    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Recurrence {
    /// A [`Flow`]: the flow of gradients through the states on some data.
    ///
    /// # Errors
    /// As for [`Flow::new`].
    pub fn flow(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Flow> {
        Flow::new(self, params, batch)
    }
}

impl Flow {
    /// Runs the recurrence on the data and keeps the state of every step.
    ///
    /// # Errors
    /// [`Error::NotCausal`] if a state runs backwards or a step needs later states; [`Error::Definition`] if no state is carried, or a step mixes
    /// the states of samples; otherwise as for [`Program::run`](crate::Program::run).
    pub fn new(recurrence: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<Self> {
        Self::of(recurrence, None, params, batch)
    }

    /// The same through some states alone: the values of the other states are given, as the inputs are. Through `c` of an LSTM this is the constant error
    /// carousel of Hochreiter and Schmidhuber (1997), without the path through `h`.
    ///
    /// # Errors
    /// As for [`new`](Self::new); [`Error::UnknownName`] for a state that does not exist.
    pub fn through(
        recurrence: &Recurrence,
        states: &[&str],
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Self> {
        Self::of(recurrence, Some(states), params, batch)
    }

    fn of(
        recurrence: &Recurrence,
        through: Option<&[&str]>,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Self> {
        let transition = recurrence.transition(through)?;
        let run = &transition.trajectory;
        let found = run.compile_for::<f64>(params, batch)?;
        let dims = run.tape().dims().map(String::from);
        let sizes: Vec<(String, usize)> = dims.zip(found.sizes().iter().copied()).collect();
        let mut values = found.evaluate(params, batch)?;
        let mut parts = Vec::new();
        let mut start = 0;
        for part in &transition.parts {
            let part = Part {
                name: part.name.to_string(),
                start,
                shape: part.shape.values(found.sizes()),
            };
            start += part.size();
            parts.push(part);
        }
        let mut values = |names: &mut dyn Iterator<Item = &Arc<str>>| -> Vec<ArrayD<f64>> {
            let take = |name: &Arc<str>| values.take(name);
            names.filter_map(take).collect()
        };
        Ok(Self {
            lengths: batch.lengths().collect(),
            params: params.clone(),
            batch: batch.clone(),
            sizes,
            parts,
            after: values(&mut transition.parts.iter().map(|part| &part.after)),
            arguments: values(&mut transition.arguments.iter()),
            transition,
            threads: 1,
        })
    }

    /// The same measurements, by `threads` threads. The results are the same to the last bit.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The number of samples.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.lengths.len()
    }

    /// The number of steps of a sample.
    ///
    /// # Errors
    /// [`Error::Batch`] if there is no such sample.
    pub fn steps(&self, sample: usize) -> Result<usize> {
        let known = self.lengths.get(sample).copied();
        known.ok_or_else(|| Error::Batch {
            reason: format!(
                "there is no sample {sample}: the batch has {}, counted from 0",
                counted(self.samples(), "sample")
            ),
        })
    }

    /// The index of a step, if it exists.
    fn check_step(&self, sample: usize, step: usize) -> Result<usize> {
        let steps = self.steps(sample)?;
        match step.checked_sub(1).filter(|at| *at < steps) {
            Some(at) => Ok(at),
            None => Err(Error::Batch {
                reason: format!("sample {sample} has no step {step}, only 1 to {steps}"),
            }),
        }
    }

    /// The number of entries of the state, `n`.
    #[must_use]
    pub fn size(&self) -> usize {
        self.parts.iter().map(Part::size).sum()
    }

    /// The parts of the state vector: the named states in order of declaration, then delayed values.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The states before and after the steps, `[T + 1, B, …]`: entry 0 is the initial state, entry `t` the state after step `t`. Beyond the length
    /// of a sample the entries are zero.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a part that does not exist.
    pub fn state(&self, name: &str) -> Result<ArrayD<f64>> {
        let Some(index) = self.parts.iter().position(|part| part.name == name) else {
            return Err(Error::UnknownName {
                what: "state",
                name: name.into(),
                known: self.parts.iter().map(|part| part.name.clone()).collect(),
            });
        };
        let carried = &self.transition.parts[index];
        let after = &self.after[index];
        let argument = self
            .transition
            .arguments
            .iter()
            .position(|a| *a == carried.before);
        let mut shape = after.shape().to_vec();
        shape[0] += 1;
        let mut states = ArrayD::zeros(shape);
        let (mut first, mut rest) = states.view_mut().split_at(Axis(0), 1);
        if let Some(before) = argument.map(|i| &self.arguments[i])
            && let Some(initial) = before.axis_iter(Axis(0)).next()
        {
            first.index_axis_mut(Axis(0), 0).assign(&initial);
        }
        rest.assign(after);
        Ok(states)
    }
}
