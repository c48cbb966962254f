//! The two networks of the demonstration, written with the public interface of the library.

use bptt::cells::{self, Cell};
use bptt::fit::{Adam, clip_global_norm};
use bptt::{Batch, Dim, Params, Recurrence, Wrt};
use ndarray::{ArrayD, Axis};

use crate::Failure;

/// The size of the state.
pub(crate) const HIDDEN: usize = 8;
/// The number of steps of the fit, its learning rate, and the clipping threshold of the gradient: round
/// numbers, not tuned.
pub(crate) const STEPS: usize = 250;
pub(crate) const RATE: f64 = 0.01;
pub(crate) const THRESHOLD: f64 = 1.0;

/// The steps at which the loss is taken.
#[derive(Clone, Copy, Debug)]
enum Loss {
    EveryForecast,
    LastForecast,
}

/// A network: its name in the text, its equations, and two recurrences with different losses.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) name: &'static str,
    pub(crate) equations: &'static [&'static str],
    /// The recurrence with the mean loss over all steps.
    pub(crate) every: Recurrence,
    /// The recurrence with the loss of the last forecast.
    pub(crate) last: Recurrence,
    pub(crate) params: Params<f64>,
}

impl Network {
    pub(crate) fn rnn() -> Result<Self, Failure> {
        const EQUATIONS: &[&str] = &[
            "h_t = tanh(W_H h_{t-1} + W_X x_t + b_h)      the state, a vector of H numbers",
            "o_t = W_O h_t + b_q                          the forecast of next year's number",
        ];
        Self::new("tanh RNN", "rnn", &Cell::rnn(), EQUATIONS)
    }

    pub(crate) fn lstm() -> Result<Self, Failure> {
        const EQUATIONS: &[&str] = &[
            "i, f, og = sigmoid(W x_t + U h_{t-1} + b)    three gates, each with its W, U and b",
            "g        = tanh(W_g x_t + U_g h_{t-1} + b_g) the new content",
            "c_t = f * c_{t-1} + i * g                    the memory",
            "h_t = og * tanh(c_t)                         the state",
            "o_t = W_O h_t + b_q                          the forecast of next year's number",
        ];
        Self::new("LSTM", "lstm", &Cell::lstm(), EQUATIONS)
    }

    fn new(
        name: &'static str,
        short: &str,
        cell: &Cell,
        equations: &'static [&'static str],
    ) -> Result<Self, Failure> {
        let every = define(short, cell, Loss::EveryForecast)?;
        let params = initial(&every)?;
        Ok(Self {
            name,
            equations,
            last: define(short, cell, Loss::LastForecast)?,
            every,
            params,
        })
    }

    /// Fits the parameters and returns the loss before and after.
    pub(crate) fn fit(&mut self, batch: &Batch<f64>) -> Result<(f64, f64), Failure> {
        // The gradient is derived and compiled once, and run at each step of the fit.
        let gradient = self.every.gradient(Wrt::Parameters)?;
        let gradient = gradient.compile_for(&self.params, batch)?;
        let mut workspace = gradient.workspace();
        let mut adam = Adam::new(RATE);
        let mut before = None;
        for _ in 0..STEPS {
            let found = gradient.run(&self.params, batch, &mut workspace)?;
            before.get_or_insert(found.loss()?);
            clip_global_norm(found, THRESHOLD);
            adam.step(&mut self.params, found)?;
        }
        let after = self.every.evaluate(&self.params, batch)?.loss()?;
        Ok((before.unwrap_or(after), after))
    }

    /// The output `o_t` of each step.
    pub(crate) fn outputs(&self, batch: &Batch<f64>) -> Result<Vec<f64>, Failure> {
        let found = self.every.evaluate(&self.params, batch)?;
        let outputs = found.get("o").ok_or("the network has no output `o`")?;
        Ok(outputs.iter().copied().collect())
    }

    /// The norm of the derivative of the last forecast's loss with respect to `h_{T-k}`,
    /// for k = 0, 1, …, T − 1.
    pub(crate) fn reach(&self, batch: &Batch<f64>) -> Result<Vec<f64>, Failure> {
        let found = self.last.gradient(&["h"])?.evaluate(&self.params, batch)?;
        let per_step = found.get("h").ok_or("the network has no state `h`")?;
        Ok(per_step.axis_iter(Axis(0)).rev().map(norm).collect())
    }
}

/// The Euclidean norm of all entries.
pub(crate) fn norm<D: ndarray::Dimension>(array: ndarray::ArrayView<'_, f64, D>) -> f64 {
    array.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn define(name: &str, cell: &Cell, loss: Loss) -> Result<Recurrence, Failure> {
    Ok(Recurrence::define(name, |r| {
        let (x, y) = (r.input("x", [1]), r.input("y", [1]));
        let h = cell.apply(r, x, r.dim("H"));
        let o = cells::readout(r, "", h, Dim::fixed(1));
        r.output("o", o);
        let error = o.squared_error(y);
        match loss {
            Loss::EveryForecast => r.mean_loss(error),
            Loss::LastForecast => r.final_loss(error),
        }
    })?)
}

/// Weights uniform in ±1/√H; biases zero, except 1 for the forget gate.
fn initial(recurrence: &Recurrence) -> Result<Params<f64>, Failure> {
    let mut numbers = SplitMix64(2008);
    let bound = (HIDDEN as f64).sqrt().recip();
    let params = Params::from_fn(recurrence, &[("H", HIDDEN)], |name, shape| match name {
        "b_f" => ArrayD::from_elem(shape, 1.0),
        _ if name.starts_with('b') => ArrayD::zeros(shape),
        _ => ArrayD::from_shape_simple_fn(shape, || bound * (2.0 * numbers.unit() - 1.0)),
    })?;
    Ok(params)
}

/// The generator of Steele, Lea and Flood (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number in [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}
