//! The network of one number with three steps that the chapter computes by hand, computed by the engine.

use bptt::{Batch, Outputs, Params, Recurrence};
use ndarray::{Array2, arr0};

/// The network with zero inputs `e` added to its values: the gradient with respect to one of them is the error
/// term of the value. `u` and `v` are zeros added to the weights of each step, and `on` chooses losses.
const NETWORK: &str = "
    input x, y, on, ea, eh, eo, u, v
    param W_H, W_X, W_O, b_h, h0
    state h = h0
    a = (W_H + u) * h + (W_X + v) * x + b_h + ea
    h' = tanh(a) + eh
    o = W_O * h' + eo
    each = on * squared_error(o, y)
    loss each
    output a, h', o, each
";

pub(crate) const W_H: f64 = 0.5;
pub(crate) const W_X: f64 = 1.0;
pub(crate) const W_O: f64 = 2.0;
pub(crate) const X: [f64; 3] = [1.0, 0.0, 1.0];
pub(crate) const Y: [f64; 3] = X;

/// The values and error terms of the three steps, and the gradients of the weights.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) a: [f64; 3],
    pub(crate) h: [f64; 3],
    pub(crate) o: [f64; 3],
    pub(crate) each: [f64; 3],
    pub(crate) loss: f64,
    pub(crate) delta_a: [f64; 3],
    pub(crate) delta_h: [f64; 3],
    pub(crate) delta_o: [f64; 3],
    /// The gradients of the copies of `W_H` and of `W_X`.
    pub(crate) of_w_h: [f64; 3],
    pub(crate) of_w_x: [f64; 3],
    pub(crate) grad_w_h: f64,
    pub(crate) grad_w_x: f64,
    pub(crate) grad_w_o: f64,
    pub(crate) grad_b_h: f64,
    pub(crate) grad_h0: f64,
}

/// The values, and the gradients with respect to the zeros and the parameters, of a run from the state `h0`.
pub(crate) fn evaluate(w_h: f64, h0: f64, x: &[f64], y: &[f64], on: &[f64]) -> [Outputs<f64>; 2] {
    let recurrence = Recurrence::parse("by hand", NETWORK).unwrap();
    let params = Params::new()
        .with("W_H", arr0(w_h))
        .with("W_X", arr0(W_X))
        .with("W_O", arr0(W_O))
        .with("b_h", arr0(0.0))
        .with("h0", arr0(h0));
    let column = |values: &[f64]| Array2::from_shape_vec((x.len(), 1), values.to_vec()).unwrap();
    let mut batch = Batch::new(x.len(), 1)
        .with("x", column(x))
        .with("y", column(y))
        .with("on", column(on));
    for zero in ["ea", "eh", "eo", "u", "v"] {
        batch = batch.with(zero, column(&vec![0.0; x.len()]));
    }
    let wrt = ["ea", "eh", "eo", "u", "v", "W_H", "W_X", "W_O", "b_h", "h0"];
    let gradient = recurrence.gradient(&wrt).unwrap();
    [recurrence, gradient].map(|r| r.evaluate(&params, &batch).unwrap())
}

/// Runs the example with a weight `W_H` and the losses of the steps with `on = 1`.
pub(crate) fn run(w_h: f64, on: [f64; 3]) -> Run {
    let [values, gradient] = evaluate(w_h, 0.0, &X, &Y, &on);
    let steps = |outputs: &Outputs<f64>, name: &str| -> [f64; 3] {
        let all: Vec<f64> = outputs[name].iter().copied().collect();
        all.try_into().unwrap()
    };
    let one = |name: &str| *gradient[name].first().unwrap();
    Run {
        a: steps(&values, "a"),
        h: steps(&values, "h"),
        o: steps(&values, "o"),
        each: steps(&values, "each"),
        loss: values.loss().unwrap(),
        delta_a: steps(&gradient, "ea"),
        delta_h: steps(&gradient, "eh"),
        delta_o: steps(&gradient, "eo"),
        of_w_h: steps(&gradient, "u"),
        of_w_x: steps(&gradient, "v"),
        grad_w_h: one("W_H"),
        grad_w_x: one("W_X"),
        grad_w_o: one("W_O"),
        grad_b_h: one("b_h"),
        grad_h0: one("h0"),
    }
}
