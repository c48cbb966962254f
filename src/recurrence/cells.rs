//! The classical cells, written with the public API.
//!
//! A [`Cell`] is a set of options; [`Cell::apply`] writes its equations into a definition, so that cells can be
//! stacked and run in both directions:
//!
//! ```
//! use bptt::{Recurrence, cells::{self, Cell}, concat};
//! let bidirectional = Recurrence::define("bidirectional", |r| {
//!     let x = r.input("x", [r.dim("K")]);
//!     let forward = Cell::lstm().suffix("_fw").apply(r, x, r.dim("H"));
//!     let backward = Cell::lstm().suffix("_bw").backward().apply(r, x, r.dim("H"));
//!     let second = Cell::gru().suffix("_2").apply(r, concat([forward, backward]), r.dim("G"));
//!     let y = cells::readout(r, "", second, r.dim("O"));
//!     r.loss(y.softmax_cross_entropy(r.class("label", r.dim("O"))));
//! })?;
//! assert_eq!(bidirectional.states().count(), 5);
//! # Ok::<(), bptt::Error>(())
//! ```

use super::{Definition, Initial, Recurrence};
use crate::error::Result;
use crate::op::Expr;
use crate::shape::Dim;
use crate::tape::Direction;

/// The equations of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Equations {
    TanhRnn,
    ReluRnn,
    Lstm,
    PeepholeLstm,
    GruResetBefore,
    GruResetAfter,
}

/// The initial values of the states of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Zero.
    Zero,
    /// A parameter `h0` (and `c0`).
    Parameter,
    /// An input `h0` (and `c0`) for each sample.
    Input,
}

/// The loss of a [whole model](Cell::model).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// `½ ‖o_t − y_t‖²` with a real target `y`.
    SquaredError,
    /// Softmax cross entropy with a class target `y`.
    SoftmaxCrossEntropy,
    /// Binary cross entropy with a target `y` in [0, 1] for each output.
    BinaryCrossEntropy,
}

/// A recurrent cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    equations: Equations,
    suffix: String,
    direction: Direction,
    start: Start,
    bias: bool,
}

impl Cell {
    const fn new(equations: Equations) -> Self {
        Self {
            equations,
            suffix: String::new(),
            direction: Direction::Forward,
            start: Start::Zero,
            bias: true,
        }
    }

    /// Elman's network with tanh: `h_t = tanh(W_H h_{t−1} + W_X x_t + b_h)`.
    #[must_use]
    pub const fn rnn() -> Self {
        Self::new(Equations::TanhRnn)
    }

    /// Elman's network with ReLU.
    #[must_use]
    pub const fn relu_rnn() -> Self {
        Self::new(Equations::ReluRnn)
    }

    /// The LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000), for each gate
    /// `q ∈ {i, f, o, g}` with parameters `W_q` `[H, K]`, `U_q` `[H, H]`, `b_q` `[H]`:
    ///
    /// ```text
    /// i, f, o = σ(W_q x_t + U_q h_{t−1} + b_q)      g = tanh(W_g x_t + U_g h_{t−1} + b_g)
    /// c_t = f ⊙ c_{t−1} + i ⊙ g                     h_t = o ⊙ tanh(c_t)
    /// ```
    ///
    /// [`Params::initial`](crate::Params::initial) starts `b_f` at 1, so that the forget gate is open at first (Jozefowicz, Zaremba and
    /// Sutskever 2015).
    #[must_use]
    pub const fn lstm() -> Self {
        Self::new(Equations::Lstm)
    }

    /// The LSTM with peepholes (Graves 2013; Greff et al. 2015): `p_i ⊙ c_{t−1}`,
    /// `p_f ⊙ c_{t−1}` and `p_o ⊙ c_t` are added to the arguments of the gates.
    #[must_use]
    pub const fn peephole_lstm() -> Self {
        Self::new(Equations::PeepholeLstm)
    }

    /// The GRU that resets after the product, as in PyTorch and cuDNN:
    ///
    /// ```text
    /// r, z = σ(W_q x_t + U_q h_{t−1} + b_q)
    /// n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t−1} + b_u))
    /// h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}
    /// ```
    #[must_use]
    pub const fn gru() -> Self {
        Self::new(Equations::GruResetAfter)
    }

    /// The GRU that resets before the product (Cho et al. 2014; the default of ONNX):
    /// `n = tanh(W_n x_t + U_n (r ⊙ h_{t−1}) + b_n)`.
    #[must_use]
    pub const fn gru_reset_before() -> Self {
        Self::new(Equations::GruResetBefore)
    }

    /// Appends a suffix to every name, to distinguish layers.
    #[must_use]
    pub fn suffix(self, suffix: &str) -> Self {
        Self {
            suffix: suffix.into(),
            ..self
        }
    }

    /// Runs from the last step to the first.
    #[must_use]
    pub fn backward(self) -> Self {
        Self {
            direction: Direction::Backward,
            ..self
        }
    }

    /// Sets the initial values of the states.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Omits the biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self {
            bias: false,
            ..self
        }
    }

    /// Writes the cell into a definition and returns its hidden state `h_t`, `[hidden]`.
    ///
    /// `x` is a vector; names are those of the equations plus the suffix.
    #[track_caller]
    pub fn apply<'d>(&self, r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
        let step = Step {
            cell: self,
            r,
            x,
            hidden,
        };
        match self.equations {
            Equations::TanhRnn => step.elman(Expr::tanh),
            Equations::ReluRnn => step.elman(Expr::relu),
            Equations::Lstm => step.lstm(false),
            Equations::PeepholeLstm => step.lstm(true),
            Equations::GruResetBefore => step.gru_reset_before(),
            Equations::GruResetAfter => step.gru_reset_after(),
        }
    }

    /// A complete recurrence: an input `x` `[K]`, this cell with state size `H`, the readout
    /// `o_t = W_O h_t + b_q` of size `O`, and a loss against the target `y`, summed over steps.
    ///
    /// # Errors
    /// None for a valid suffix; a suffix that cannot be part of a name is an error.
    pub fn model(&self, name: &str, loss: Loss) -> Result<Recurrence> {
        Recurrence::define(name, |r| {
            let outputs = r.dim("O");
            let h = self.apply(r, r.input("x", [r.dim("K")]), r.dim("H"));
            let o = readout(r, &self.suffix, h, outputs);
            r.output("o", o);
            r.loss(match loss {
                Loss::SquaredError => o.squared_error(r.input("y", [outputs])),
                Loss::SoftmaxCrossEntropy => o.softmax_cross_entropy(r.class("y", outputs)),
                Loss::BinaryCrossEntropy => o.binary_cross_entropy(r.input("y", [outputs])),
            });
        })
    }
}

/// The affine readout `W_O h + b_q`.
#[track_caller]
pub fn readout<'d>(r: &'d Definition, suffix: &str, h: Expr<'d>, outputs: Dim) -> Expr<'d> {
    let size = h
        .shape()
        .and_then(|s| s.dims().first().copied())
        .unwrap_or(outputs);
    let w = r.param(&format!("W_O{suffix}"), [outputs, size]);
    w.dot(h) + r.param(&format!("b_q{suffix}"), [outputs])
}

/// The equations of one step of a cell.
struct Step<'a, 'd> {
    cell: &'a Cell,
    r: &'d Definition,
    x: Expr<'d>,
    hidden: Dim,
}

impl<'d> Step<'_, 'd> {
    fn name(&self, name: &str) -> String {
        format!("{name}{}", self.cell.suffix)
    }

    fn vector(&self, name: &str) -> Expr<'d> {
        self.r.param(&self.name(name), [self.hidden])
    }

    fn state(&self, name: &str) -> Expr<'d> {
        let full = self.name(name);
        let initial = self.name(&format!("{name}0"));
        let init = match self.cell.start {
            Start::Zero => None,
            Start::Parameter => Some(self.r.param(&initial, [self.hidden])),
            Start::Input => Some(self.r.sample_input(&initial, [self.hidden])),
        };
        match (self.cell.direction, init) {
            (Direction::Forward, None) => self.r.state(&full, [self.hidden]),
            (Direction::Forward, Some(init)) => self.r.state_from(&full, init),
            (Direction::Backward, None) => self.r.backward_state(&full, [self.hidden]),
            (Direction::Backward, Some(init)) => self.r.backward_state_from(&full, init),
        }
    }

    fn input_product(&self, name: &str) -> Expr<'d> {
        let size = self.x.shape().and_then(|s| s.dims().first().copied());
        let w = self
            .r
            .param(&self.name(name), [self.hidden, size.unwrap_or(self.hidden)]);
        w.dot(self.x)
    }

    fn state_product(&self, name: &str, h: Expr<'d>) -> Expr<'d> {
        self.r
            .param(&self.name(name), [self.hidden, self.hidden])
            .dot(h)
    }

    fn biased(&self, sum: Expr<'d>, name: &str) -> Expr<'d> {
        if self.cell.bias {
            sum + self.vector(name)
        } else {
            sum
        }
    }

    /// `W_q x + U_q h + b_q`.
    fn gate(&self, q: &str, h: Expr<'d>) -> Expr<'d> {
        let sum = self.input_product(&format!("W_{q}")) + self.state_product(&format!("U_{q}"), h);
        self.biased(sum, &format!("b_{q}"))
    }

    fn named(&self, value: Expr<'d>, name: &str) -> Expr<'d> {
        value.named(&self.name(name))
    }

    fn elman(&self, activation: fn(Expr<'d>) -> Expr<'d>) -> Expr<'d> {
        let h = self.state("h");
        let sum = self.state_product("W_H", h) + self.input_product("W_X");
        let a = self.named(self.biased(sum, "b_h"), "a");
        self.r.next(h, activation(a))
    }

    fn lstm(&self, peepholes: bool) -> Expr<'d> {
        let (h, c) = (self.state("h"), self.state("c"));
        let peep = |sum: Expr<'d>, q: &str, c: Expr<'d>| {
            if peepholes {
                sum + self.vector(&format!("p_{q}")) * c
            } else {
                sum
            }
        };
        let i = self.named(peep(self.gate("i", h), "i", c).sigmoid(), "i");
        let f = self.named(peep(self.gate("f", h), "f", c).sigmoid(), "f");
        if self.cell.bias {
            // Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015.
            self.r.initial(&self.name("b_f"), Initial::Constant(1.0));
        }
        let g = self.named(self.gate("g", h).tanh(), "g");
        let c = self.r.next(c, f * c + i * g);
        let o = self.named(peep(self.gate("o", h), "o", c).sigmoid(), "og");
        self.r.next(h, o * c.tanh())
    }

    fn gru_gates(&self, h: Expr<'d>) -> (Expr<'d>, Expr<'d>) {
        let r = self.named(self.gate("r", h).sigmoid(), "r");
        let z = self.named(self.gate("z", h).sigmoid(), "z");
        (r, z)
    }

    fn gru_reset_before(&self) -> Expr<'d> {
        let h = self.state("h");
        let (r, z) = self.gru_gates(h);
        let u = self.named(r * h, "u");
        let n = self.named(self.gate("n", u).tanh(), "n");
        self.r.next(h, (1.0 - z) * n + z * h)
    }

    fn gru_reset_after(&self) -> Expr<'d> {
        let h = self.state("h");
        let (r, z) = self.gru_gates(h);
        let u = self.named(self.biased(self.state_product("U_n", h), "b_u"), "u");
        let n = self.biased(self.input_product("W_n"), "b_n") + r * u;
        let n = self.named(n.tanh(), "n");
        self.r.next(h, (1.0 - z) * n + z * h)
    }
}
