//! The cells, written with the public API, and the positions of their parameters in the layout shared by all
//! competitors.

use bptt::cells::Cell;
use bptt::{Definition, Dim, Expr, Recurrence, concat};

use crate::data::Tensor::{
    self, Bias as B, InputWeights as W_X, Peepholes as P, Projection as W_P, ProjectionBias as B_P,
    StateBias as B_H, StateWeights as W_H,
};

/// A parameter of a cell, block `n` of a shared tensor. A parameter listed twice is the sum of two blocks.
pub(crate) type Piece = (&'static str, Tensor, usize);

/// A cell of the benchmark.
pub(crate) struct Model {
    name: &'static str,
    write: for<'d> fn(&'d Definition, Expr<'d>, Dim) -> Expr<'d>,
    pub(crate) pieces: &'static [Piece],
}

/// The cell of that name.
pub(crate) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.name == name)
}

impl Model {
    /// The recurrence: input `X` `[K]`, states of size `H`, output `y`, and, `with_loss`, the
    /// loss `Σ W_loss ⊙ y`.
    pub(crate) fn recurrence(&self, with_loss: bool) -> bptt::Result<Recurrence> {
        Recurrence::define(self.name, |r| {
            let (inputs, hidden) = (r.dim("K"), r.dim("H"));
            let y = (self.write)(r, r.input("X", [inputs]), hidden);
            r.output("y", y);
            if with_loss {
                r.loss(y.inner(r.input("W_loss", [hidden])));
            }
        })
    }
}

const MODELS: &[Model] = &[
    Model {
        name: "rnn_tanh",
        write: |r, x, hidden| Cell::rnn().apply(r, x, hidden),
        pieces: &[("W_X", W_X, 0), ("W_H", W_H, 0), ("b_h", B, 0)],
    },
    Model {
        name: "lstm",
        write: |r, x, hidden| Cell::lstm().apply(r, x, hidden),
        pieces: &[
            ("W_i", W_X, 0),
            ("W_f", W_X, 1),
            ("W_g", W_X, 2),
            ("W_o", W_X, 3),
            ("U_i", W_H, 0),
            ("U_f", W_H, 1),
            ("U_g", W_H, 2),
            ("U_o", W_H, 3),
            ("b_i", B, 0),
            ("b_f", B, 1),
            ("b_g", B, 2),
            ("b_o", B, 3),
        ],
    },
    Model {
        name: "gru_reset_after",
        write: |r, x, hidden| Cell::gru().apply(r, x, hidden),
        pieces: &[
            ("W_r", W_X, 0),
            ("W_z", W_X, 1),
            ("W_n", W_X, 2),
            ("U_r", W_H, 0),
            ("U_z", W_H, 1),
            ("U_n", W_H, 2),
            ("b_r", B, 0),
            ("b_z", B, 1),
            ("b_n", B, 2),
            ("b_r", B_H, 0),
            ("b_z", B_H, 1),
            ("b_u", B_H, 2),
        ],
    },
    Model {
        name: "lstm_by_hand",
        write: lstm_by_hand,
        pieces: STACKED,
    },
    Model {
        name: "custom_peephole",
        write: peephole,
        pieces: &[
            ("W_X", W_X, 0),
            ("W_H", W_H, 0),
            ("b", B, 0),
            ("p_i", P, 0),
            ("p_f", P, 1),
            ("p_o", P, 2),
        ],
    },
    Model {
        name: "custom_mgu",
        write: mgu,
        pieces: &[
            ("W_f", W_X, 0),
            ("W_n", W_X, 1),
            ("U_f", W_H, 0),
            ("U_n", W_H, 1),
            ("b_f", B, 0),
            ("b_n", B, 1),
        ],
    },
    Model {
        name: "custom_cproj",
        write: coupled_with_projection,
        pieces: &[
            ("W_X", W_X, 0),
            ("W_H", W_H, 0),
            ("b", B, 0),
            ("W_P", W_P, 0),
            ("b_P", B_P, 0),
        ],
    },
    Model {
        name: "custom_cornn",
        write: cornn,
        pieces: STACKED,
    },
];

const STACKED: &[Piece] = &[("W_X", W_X, 0), ("W_H", W_H, 0), ("b", B, 0)];

/// `W_X x + W_H h + b` for `G` gates, one block for each.
fn stacked<'d, const G: usize>(
    r: &'d Definition,
    x: Expr<'d>,
    h: Expr<'d>,
    hidden: Dim,
) -> [Expr<'d>; G] {
    let rows = hidden * G;
    let w_x = r.param("W_X", [rows, r.dim("K")]);
    let w_h = r.param("W_H", [rows, hidden]);
    let sum = w_x.dot(x) + w_h.dot(h) + r.param("b", [rows]);
    std::array::from_fn(|gate| sum.slice(hidden * gate, hidden))
}

fn lstm_by_hand<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let (h, c) = (r.state("h", [hidden]), r.state("c", [hidden]));
    let [i, f, g, o] = stacked(r, x, h, hidden);
    let c = r.next(c, f.sigmoid() * c + i.sigmoid() * g.tanh());
    r.next(h, o.sigmoid() * c.tanh())
}

/// The LSTM with peepholes (Graves 2013).
fn peephole<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let (h, c) = (r.state("h", [hidden]), r.state("c", [hidden]));
    let [p_i, p_f, p_o] = ["p_i", "p_f", "p_o"].map(|p| r.param(p, [hidden]));
    let [i, f, g, o] = stacked(r, x, h, hidden);
    let i = (i + p_i * c).sigmoid();
    let f = (f + p_f * c).sigmoid();
    let c = r.next(c, f * c + i * g.tanh());
    let o = (o + p_o * c).sigmoid();
    r.next(h, o * c.tanh())
}

/// The minimal gated unit (Zhou et al. 2016).
fn mgu<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let h = r.state("h", [hidden]);
    let gate = |q: &str, h: Expr<'d>| {
        let w = r.param(&format!("W_{q}"), [hidden, r.dim("K")]);
        let u = r.param(&format!("U_{q}"), [hidden, hidden]);
        w.dot(x) + u.dot(h) + r.param(&format!("b_{q}"), [hidden])
    };
    let f = gate("f", h).sigmoid();
    let n = gate("n", f * h).tanh();
    r.next(h, (1.0 - f) * h + f * n)
}

/// An LSTM with coupled input and forget gates, and a projection of its output.
fn coupled_with_projection<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let (h, c) = (r.state("h", [hidden]), r.state("c", [hidden]));
    let [f, g, o] = stacked(r, x, h, hidden);
    let f = f.sigmoid();
    let c = r.next(c, f * c + (1.0 - f) * g.tanh());
    let m = o.sigmoid() * c.tanh();
    let w_p = r.param("W_P", [hidden, hidden]);
    r.next(h, (w_p.dot(m) + r.param("b_P", [hidden])).tanh())
}

/// Coupled oscillators (Rusch and Mishra 2021).
fn cornn<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    const STEP: f64 = 0.0625;
    const FREQUENCY: f64 = 2.75;
    const DAMPING: f64 = 4.75;
    let (y, z) = (r.state("position", [hidden]), r.state("velocity", [hidden]));
    let w_x = r.param("W_X", [hidden, r.dim("K")]);
    let w_h = r.param("W_H", [hidden, hidden * 2]);
    let u = (w_x.dot(x) + w_h.dot(concat([y, z])) + r.param("b", [hidden])).tanh();
    let z = r.next(z, z + STEP * (u - FREQUENCY * y - DAMPING * z));
    r.next(y, y + STEP * z)
}
