//! Measures a vanishing gradient, as in docs/rnn-and-lstm.en.md: `cargo run --example vanishing`.

use bptt::{Batch, Params, Recurrence};
use ndarray::{Array2, Axis};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let table = std::fs::read_to_string("data/sunspots.csv")?;
    let cells = table.lines().skip(1).filter_map(|l| l.split(',').nth(1));
    let years: Vec<f64> = cells.map(str::parse).collect::<Result<_, _>>()?;
    let steps = years.len();
    let text = std::fs::read_to_string("examples/vanishing/rnn.rec")?;
    let rnn = Recurrence::parse("rnn", &text)?;
    let params = Params::initial(&rnn, &[("H", 16)], 1)?;
    let years = Array2::from_shape_vec((steps, 1), years)?;
    let batch = Batch::new(steps, 1).with("sunspots", years);
    let delta = &rnn.gradient(&["h"])?.evaluate(&params, &batch)?["h"];
    let at = |step| delta.index_axis(Axis(0), step);
    let length = |back| at(steps - 1 - back).mapv(|d| d * d).sum().sqrt();
    for back in [0, 1, 10, 20, 40, 60] {
        println!("{back:2} steps back: {:.6}", length(back) / length(0));
    }
    Ok(())
}
