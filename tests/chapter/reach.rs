//! The length of an error term on its way back through a run on the sunspots.

use bptt::{Batch, Params, Recurrence};
use ndarray::{Array2, Axis};

const RNN: &str = include_str!("../../examples/vanishing/rnn.rec");
const LSTM: &str = include_str!("../../examples/vanishing/lstm.rec");
const DATA: &str = include_str!("../../data/sunspots.csv");

/// A recurrence with a part of its text replaced.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} in\n{text}");
    text.replace(old, new)
}

/// The network with `W = c Q`, where `Q` is orthogonal.
pub(crate) fn rnn(c: &str) -> Vec<f64> {
    lengths(
        &with(RNN, "orthogonal(0.9)", &format!("orthogonal({c})")),
        "h",
    )
}

/// The text of the LSTM with the forget bias `bias`.
fn lstm_text(bias: &str) -> String {
    with(LSTM, "b_f[H] = 1", &format!("b_f[H] = {bias}"))
}

pub(crate) fn lstm(bias: &str) -> Vec<f64> {
    lengths(&lstm_text(bias), "c")
}

/// The LSTM with a gradient along the cell only.
pub(crate) fn carousel(bias: &str) -> Vec<f64> {
    lengths(&alone(&lstm_text(bias)), "c")
}

fn alone(text: &str) -> String {
    with(text, "seen = h", "seen = stop_gradient(h)")
}

/// The LSTM with larger matrices `U`, and its carousel alone.
pub(crate) fn large_lstm(bias: &str) -> [Vec<f64>; 2] {
    let large = with(
        &lstm_text(bias),
        "uniform(0.3/sqrt(H))",
        "uniform(1/sqrt(H))",
    );
    [lengths(&large, "c"), lengths(&alone(&large), "c")]
}

/// `‖δ_{T-n}‖ / ‖δ_T‖` for each number `n` of steps back, where `δ` is the error term of a state.
fn lengths(text: &str, state: &str) -> Vec<f64> {
    let years = DATA.lines().skip(1).map(|l| l.split(',').nth(1).unwrap());
    let years: Vec<f64> = years.map(|cell| cell.parse().unwrap()).collect();
    let steps = years.len();
    let recurrence = Recurrence::parse("reach", text).unwrap();
    let params = Params::initial(&recurrence, &[("H", 16)], 1).unwrap();
    let years = Array2::from_shape_vec((steps, 1), years).unwrap();
    let batch = Batch::new(steps, 1).with("sunspots", years);
    let gradient = recurrence.gradient(&[state]).unwrap();
    let delta = &gradient.evaluate(&params, &batch).unwrap()[state];
    let length = |step| {
        let at = delta.index_axis(Axis(0), step);
        at.iter().map(|d| d * d).sum::<f64>().sqrt()
    };
    (0..steps)
        .map(|back| length(steps - 1 - back) / length(steps - 1))
        .collect()
}
