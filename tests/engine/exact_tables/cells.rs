//! The tanh RNN, the LSTM and the GRU that resets before the product, with the parameters of all gates in one
//! matrix that is sliced, as in most libraries: loss, states, gradients, directional derivative, Hessian-vector
//! and Gauss–Newton-vector product.
//!
//! The table was computed with the loss `Σ w_t·h_t + ½ Σ ‖h_t‖²`, 2 inputs, 3 units and 5 steps. The parameter
//! vector is `W` by rows, `R` by rows, `b`, with a row block of `W`, `R` and `b` for each gate (LSTM
//! `i, f, g, o`; GRU `r, z, n`): 18, 72 and 54 entries, without peepholes.

use bptt::{Batch, Definition, Dim, Expr, Outputs, Params, Recurrence, Wrt, cells};
use ndarray::{Array1, Array2, Array3, ArrayD, s};

use super::table::cell_oracle;
use crate::support::engines::EveryEngine as _;

const INPUTS: usize = 2;
const UNITS: usize = 3;
const STEPS: usize = 5;

/// All operations are backward stable and the sequences are short, so the error is about ten roundings per step
/// of numbers of order one.
const TOLERANCE: f64 = 1e-13;

const THETA: [&str; 3] = ["W", "R", "b"];

/// `((a k + b) mod m − c) / d`, rounded once.
fn rational(k: usize, [a, b, m, c, d]: [u32; 5]) -> f64 {
    let k = u32::try_from(k).expect("it is small");
    (f64::from((a * k + b) % m) - f64::from(c)) / f64::from(d)
}

fn array(count: usize, rule: [u32; 5]) -> Array1<f64> {
    (0..count).map(|k| rational(k, rule)).collect()
}

/// Splits a parameter vector into `W`, `R` and `b`.
fn split(theta: &Array1<f64>, gates: usize) -> (Array2<f64>, Array2<f64>, Array1<f64>) {
    let rows = gates * UNITS;
    let (w, r) = (rows * INPUTS, rows * UNITS);
    assert_eq!(
        theta.len(),
        w + r + rows,
        "the parameter vector has {gates} gates"
    );
    let matrix = |part: Array1<f64>, columns: usize| {
        part.into_shape_with_order((rows, columns))
            .expect("the counts agree")
    };
    let part = |range: std::ops::Range<usize>| theta.slice(s![range]).to_owned();
    (
        matrix(part(0..w), INPUTS),
        matrix(part(w..w + r), UNITS),
        part(w + r..theta.len()),
    )
}

fn insert(params: &mut Params<f64>, theta: &Array1<f64>, gates: usize, suffix: &str) {
    let (w, r, b) = split(theta, gates);
    params.insert(&format!("W{suffix}"), w);
    params.insert(&format!("R{suffix}"), r);
    params.insert(&format!("b{suffix}"), b);
}

/// A model of the table.
struct Model {
    name: &'static str,
    gates: usize,
    has_c: bool,
    recurrence: Recurrence,
}

/// The leaves of one step.
struct Step<'d> {
    w: Expr<'d>,
    r: Expr<'d>,
    b: Expr<'d>,
    x: Expr<'d>,
    hidden: Dim,
}

impl Model {
    fn new(
        name: &'static str,
        gates: usize,
        has_c: bool,
        write: impl for<'d> FnOnce(&'d Definition, Step<'d>) -> Expr<'d>,
    ) -> Self {
        let recurrence = Recurrence::define(name, |r| {
            let (hidden, inputs) = (r.dim("H"), r.dim("K"));
            let step = Step {
                w: r.param("W", [hidden * gates, inputs]),
                r: r.param("R", [hidden * gates, hidden]),
                b: r.param("b", [hidden * gates]),
                x: r.input("x", [inputs]),
                hidden,
            };
            let h = write(r, step);
            finish(r, h, hidden);
        });
        Self {
            name,
            gates,
            has_c,
            recurrence: recurrence.expect("it is well typed"),
        }
    }

    fn theta(&self) -> Array1<f64> {
        array(
            self.gates * UNITS * (INPUTS + UNITS + 1),
            [37, 11, 97, 48, 97],
        )
    }

    fn direction(&self) -> Array1<f64> {
        array(self.theta().len(), [41, 17, 89, 44, 89])
    }

    fn batch(&self) -> Batch<f64> {
        let shaped = |array: Array1<f64>, outer: usize, inner: usize| {
            array
                .into_shape_with_order((outer, 1, inner))
                .expect("the counts agree")
        };
        let initial = |array: Array1<f64>| array.insert_axis(ndarray::Axis(0));
        let x = shaped(array(STEPS * INPUTS, [29, 7, 53, 26, 53]), STEPS, INPUTS);
        let w = shaped(array(STEPS * UNITS, [23, 9, 61, 30, 61]), STEPS, UNITS);
        let batch = Batch::new(STEPS, 1)
            .with("x", x)
            .with("w", w)
            .with("h0", initial(array(UNITS, [13, 5, 17, 8, 34])));
        if !self.has_c {
            return batch;
        }
        batch.with("c0", initial(array(UNITS, [19, 3, 23, 11, 46])))
    }

    fn params(&self) -> Params<f64> {
        let mut params = Params::new();
        insert(&mut params, &self.theta(), self.gates, "");
        params
    }

    /// The parameters and the direction of the table.
    fn params_with_direction(&self) -> Params<f64> {
        let mut params = self.params();
        insert(&mut params, &self.direction(), self.gates, ".dot");
        params
    }

    /// Compares a quantity, relative to its largest entry.
    fn assert_quantity<'a>(&self, quantity: &str, found: impl IntoIterator<Item = &'a f64>) {
        let want = cell_oracle(self.name, quantity);
        let found: Vec<f64> = found.into_iter().copied().collect();
        assert_eq!(
            found.len(),
            want.len(),
            "{} {quantity}: the count",
            self.name
        );
        let scale = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (i, (found, want)) in found.iter().zip(&want).enumerate() {
            let error = (found - want).abs() / scale;
            assert!(
                error <= TOLERANCE,
                "{} {quantity} [{i}]: found {found}, expected {want}, relative error {error:e}",
                self.name
            );
        }
    }

    fn assert_theta(&self, quantity: &str, found: &Outputs<f64>) {
        self.assert_quantity(quantity, THETA.iter().flat_map(|name| &found[name]));
    }

    /// Checks every quantity of the table.
    fn check(&self) {
        let (params, batch) = (self.params(), self.batch());
        let forward = self
            .recurrence
            .on_every_engine(&params, &batch)
            .expect("the data fits");
        self.assert_quantity("loss", &forward["loss"]);
        self.assert_quantity("h", &forward["h"]);

        let gradient = self
            .recurrence
            .gradient(Wrt::Everything)
            .expect("every rule is there");
        let found = gradient
            .on_every_engine(&params, &batch)
            .expect("the data fits");
        self.assert_quantity("loss", &found["loss"]);
        self.assert_theta("grad_theta", &found);
        self.assert_quantity("grad_x", &found["x"]);
        self.assert_quantity("grad_h0", &found["h0"]);
        if self.has_c {
            self.assert_quantity("grad_c0", &found["c0"]);
        }

        let forward = self
            .recurrence
            .loss_tangent(&THETA)
            .and_then(|tangent| tangent.compile::<f64>(&[("H", UNITS), ("K", INPUTS)]))
            .and_then(|program| program.directions(8))
            .and_then(|p| p.forward_gradient(&params, &batch, &mut p.workspace()))
            .expect("every rule is there");
        self.assert_quantity("loss", &forward["loss"]);
        self.assert_theta("grad_theta", &forward);

        let along = self.params_with_direction();
        let tangent = self
            .recurrence
            .tangent(&THETA)
            .expect("every rule is there");
        let pushed = tangent
            .on_every_engine(&along, &batch)
            .expect("the data fits");
        self.assert_quantity("jvp_h_dir_v", &pushed["h.dot"]);

        let hessian = self
            .recurrence
            .hessian_vector(&THETA)
            .expect("every rule is there");
        let found = hessian
            .on_every_engine(&along, &batch)
            .expect("the data fits");
        self.assert_theta("hvp_theta_dir_v", &found);

        // The Hessian of the loss with respect to h is the identity, so the product is Jᵀ J v.
        let pullback = self
            .recurrence
            .pullback(&["h"], &THETA)
            .expect("every rule is there");
        let curved = batch.with("h.bar", pushed["h.dot"].clone());
        let found = pullback
            .on_every_engine(&params, &curved)
            .expect("the data fits");
        self.assert_theta("gnvp_theta_dir_v", &found);
    }

    /// Checks a cell of the library, which has separate parameters for each gate. `gate_names` are the names of
    /// `W`, `R` and `b` of each row block.
    fn check_cell(&self, cell: cells::Cell, gate_names: &[[&str; 3]]) {
        let recurrence = Recurrence::define(self.name, |r| {
            let hidden = r.dim("H");
            let cell = cell.start(cells::Start::Input);
            let h = cell.apply(r, r.input("x", [r.dim("K")]), hidden);
            finish(r, h, hidden);
        });
        let recurrence = recurrence.expect("a cell is well typed");
        let (w, r, b) = split(&self.theta(), self.gates);
        let mut params = Params::new();
        for (gate, [w_name, r_name, b_name]) in gate_names.iter().enumerate() {
            let rows = gate * UNITS..(gate + 1) * UNITS;
            params.insert(w_name, w.slice(s![rows.clone(), ..]).to_owned());
            params.insert(r_name, r.slice(s![rows.clone(), ..]).to_owned());
            params.insert(b_name, b.slice(s![rows]).to_owned());
        }
        let gradient = recurrence
            .gradient(Wrt::Everything)
            .expect("every rule is there");
        let found = gradient
            .on_every_engine(&params, &self.batch())
            .expect("the data fits");
        self.assert_quantity("loss", &found["loss"]);
        let part = |i: usize| gate_names.iter().flat_map(move |names| [names[i]]);
        let theta = part(0).chain(part(1)).chain(part(2));
        self.assert_quantity("grad_theta", theta.flat_map(|name| &found[name]));
        self.assert_quantity("grad_x", &found["x"]);
        self.assert_quantity("grad_h0", &found["h0"]);
        if self.has_c {
            self.assert_quantity("grad_c0", &found["c0"]);
        }
    }
}

/// The output and the loss of the table.
fn finish(r: &Definition, h: Expr<'_>, hidden: Dim) {
    r.output("h", h);
    r.loss(r.input("w", [hidden]).dot(h) + 0.5 * h.dot(h));
}

fn rnn() -> Model {
    Model::new(
        "rnn_tanh",
        1,
        false,
        |r,
         Step {
             w,
             r: u,
             b,
             x,
             hidden,
         }| {
            let h = r.state_from("h", r.sample_input("h0", [hidden]));
            r.next(h, (w.dot(x) + u.dot(h) + b).tanh())
        },
    )
}

fn lstm() -> Model {
    Model::new(
        "lstm",
        4,
        true,
        |r,
         Step {
             w,
             r: u,
             b,
             x,
             hidden,
         }| {
            let h = r.state_from("h", r.sample_input("h0", [hidden]));
            let c = r.state_from("c", r.sample_input("c0", [hidden]));
            let a = w.dot(x) + u.dot(h) + b;
            let gate = |position: usize| a.slice(hidden * position, hidden);
            let (i, f) = (gate(0).sigmoid(), gate(1).sigmoid());
            let (g, o) = (gate(2).tanh(), gate(3).sigmoid());
            let c = r.next(c, f * c + i * g);
            r.next(h, o * c.tanh())
        },
    )
}

fn gru_reset_before() -> Model {
    Model::new(
        "gru_reset_before",
        3,
        false,
        |r,
         Step {
             w,
             r: u,
             b,
             x,
             hidden,
         }| {
            let h = r.state_from("h", r.sample_input("h0", [hidden]));
            let from_x = w.dot(x) + b;
            let gates = (from_x.slice(0, hidden * 2) + u.slice(0, hidden * 2).dot(h)).sigmoid();
            let (reset, z) = (gates.slice(0, hidden), gates.slice(hidden, hidden));
            let u_n = u.slice(hidden * 2, hidden);
            let n = (from_x.slice(hidden * 2, hidden) + u_n.dot(reset * h)).tanh();
            r.next(h, (1.0 - z) * n + z * h)
        },
    )
}

#[test]
fn tanh_rnn_to_thirteen_digits() {
    rnn().check();
    rnn().check_cell(cells::Cell::rnn(), &[["W_X", "W_H", "b_h"]]);
}

#[test]
fn lstm_to_thirteen_digits() {
    lstm().check();
    let gates = [
        ["W_i", "U_i", "b_i"],
        ["W_f", "U_f", "b_f"],
        ["W_g", "U_g", "b_g"],
        ["W_o", "U_o", "b_o"],
    ];
    lstm().check_cell(cells::Cell::lstm(), &gates);
}

#[test]
fn gru_to_thirteen_digits() {
    gru_reset_before().check();
    let gates = [
        ["W_r", "U_r", "b_r"],
        ["W_z", "U_z", "b_z"],
        ["W_n", "U_n", "b_n"],
    ];
    gru_reset_before().check_cell(cells::Cell::gru_reset_before(), &gates);
}

/// The Gauss–Newton matrix is symmetric and positive semidefinite: `vᵀ JᵀJ v = ‖J v‖²`.
#[test]
fn the_gauss_newton_product_is_a_square_in_its_direction() {
    for model in [rnn(), lstm(), gru_reset_before()] {
        let tangent = model
            .recurrence
            .tangent(&THETA)
            .expect("every rule is there");
        let pushed = tangent.on_every_engine(&model.params_with_direction(), &model.batch());
        let pushed: ArrayD<f64> = pushed.expect("the data fits")["h.dot"].clone();
        let norm: f64 = pushed.iter().map(|v| v * v).sum();
        let bar: Array3<f64> = pushed.into_dimensionality().expect("it is [T, B, H]");
        let pullback = model
            .recurrence
            .pullback(&["h"], &THETA)
            .expect("every rule is there");
        let batch = model.batch().with("h.bar", bar);
        let found = pullback
            .on_every_engine(&model.params(), &batch)
            .expect("the data fits");
        let product = THETA.iter().flat_map(|name| &found[name]);
        let square: f64 = product.zip(&model.direction()).map(|(g, v)| g * v).sum();
        let error = (square - norm).abs() / norm;
        assert!(
            error <= TOLERANCE,
            "{}: {square} and {norm} differ by {error:e}",
            model.name
        );
    }
}
