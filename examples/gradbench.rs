//! The `lstm` eval of GradBench (originally of ADBench): `gradbench FILE objective|jacobian` prints the result
//! as one line of JSON, then one line for each measured time, like the C++ tools of that suite. The recurrence
//! is a stack of LSTMs with diagonal weights, in `f64`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bptt::{Batch, Definition, Expr, Params, Program, Recurrence, Workspace, Wrt};
use ndarray::{Array1, Array2, Array3, ArrayView1, Axis, s};
use serde_json::{Value, json};

/// The blocks of a row of `main_params`, in order.
const GATES: [&str; 4] = ["f", "i", "o", "g"];
/// The rows of `extra_params`.
const EXTRA: [&str; 3] = ["in_weight", "out_weight", "out_bias"];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, function] = &arguments[..] else {
        eprintln!("usage: gradbench FILE objective|jacobian");
        return ExitCode::FAILURE;
    };
    match run(file, function) {
        Ok(lines) => {
            println!("{}", lines.join("\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gradbench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, function: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let input: Value = serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
    let start = Instant::now();
    let mut eval = Eval::new(&input, function)?;
    let prepared = start.elapsed();

    let runs = input["min_runs"].as_u64().unwrap_or(1);
    let seconds = Duration::try_from_secs_f64(input["min_seconds"].as_f64().unwrap_or(0.0))?;
    let (mut times, mut total) = (Vec::new(), Duration::ZERO);
    while (times.len() as u64) < runs.max(1) || total < seconds {
        let start = Instant::now();
        eval.run_once()?;
        times.push(start.elapsed());
        total += start.elapsed();
    }
    let line = |name: &str, time: &Duration| {
        let nanoseconds = time.as_nanos();
        format!(r#"{{"name": "{name}", "nanoseconds": {nanoseconds}}}"#)
    };
    let mut lines = vec![eval.result()?.to_string(), line("prepare", &prepared)];
    lines.extend(times.iter().map(|time| line("evaluate", time)));
    Ok(lines)
}

/// The recurrence, its data, and its workspace with the last results.
struct Eval {
    program: Program<f64>,
    workspace: Workspace<f64>,
    params: Params<f64>,
    batch: Batch<f64>,
    /// The names of the outputs, in the order of the result; `None` is the objective.
    rows: Option<Vec<String>>,
}

impl Eval {
    fn new(input: &Value, function: &str) -> Result<Self> {
        let main = matrix(input, "main_params")?;
        let extra = matrix(input, "extra_params")?;
        let state = matrix(input, "state")?;
        let sequence = matrix(input, "sequence")?;
        let (layers, width) = (main.nrows() / 2, extra.ncols());
        let expected = [
            [2 * layers, GATES.len() * width],
            [EXTRA.len(), width],
            [2 * layers, width],
            [sequence.nrows().max(2), width],
        ];
        let found = [&main, &extra, &state, &sequence];
        if layers == 0 || expected.iter().zip(found).any(|(e, f)| e != f.shape()) {
            let found = found.map(Array2::shape);
            return Err(format!("sizes that do not fit together: {found:?}").into());
        }

        let recurrence = objective(layers)?;
        let (mut params, mut rows) = (Params::new(), Vec::new());
        let mut insert = |name: String, row: ArrayView1<'_, f64>| {
            params.insert(&name, row.to_owned());
            rows.push(name);
        };
        for (index, row) in main.rows().into_iter().enumerate() {
            let what = if index % 2 == 0 { "w" } else { "b" };
            for (gate, block) in GATES.iter().zip(row.exact_chunks(width)) {
                insert(format!("{what}_{gate}_{}", index / 2), block);
            }
        }
        for (name, row) in EXTRA.iter().zip(extra.rows()) {
            insert((*name).into(), row);
        }

        let sample = |row: usize| state.row(row).to_owned().insert_axis(Axis(0));
        let steps = |part| -> Array3<f64> {
            let part: Array2<f64> = sequence.slice(part).to_owned();
            part.insert_axis(Axis(1))
        };
        let mut batch = Batch::new(sequence.nrows() - 1, 1)
            .with("x", steps(s![..-1, ..]))
            .with("y", steps(s![1.., ..]));
        for layer in 0..layers {
            batch = batch
                .with(&format!("h0_{layer}"), sample(2 * layer))
                .with(&format!("c0_{layer}"), sample(2 * layer + 1));
        }
        let (recurrence, rows) = match function {
            "objective" => (recurrence, None),
            "jacobian" => (recurrence.gradient(Wrt::Parameters)?, Some(rows)),
            other => return Err(format!("unknown function `{other}`").into()),
        };
        let program = recurrence.compile_for(&params, &batch)?;
        Ok(Self {
            workspace: program.workspace(),
            program,
            params,
            batch,
            rows,
        })
    }

    /// Recomputes the results; this call is timed.
    fn run_once(&mut self) -> Result<()> {
        self.program
            .run(&self.params, &self.batch, &mut self.workspace)?;
        Ok(())
    }

    fn result(&self) -> Result<Value> {
        let found = self.workspace.outputs();
        let Some(rows) = &self.rows else {
            return Ok(json!(found.loss()?));
        };
        let entries = rows.iter().filter_map(|name| found.get(name));
        Ok(json!(entries.flatten().collect::<Vec<_>>()))
    }
}

/// The eval as a recurrence: the mean over characters and bits of `−Σ y (o − ln(2 + Σ exp o))`,
/// where `y` is the next character.
fn objective(layers: usize) -> bptt::Result<Recurrence> {
    Recurrence::define("gradbench lstm", |r| {
        let width = r.dim("B");
        let [in_weight, out_weight, out_bias] = EXTRA.map(|name| r.param(name, [width]));
        let x = r.input("x", [width]);
        let top = (0..layers).fold(x * in_weight, |below, layer| diagonal_lstm(r, below, layer));
        let o = top * out_weight + out_bias;
        let normaliser = (2.0 + o.exp().sum()).ln();
        let bits = r.constant(1.0).spread([width]).sum();
        r.mean_loss(-(r.input("y", [width]) * (o - normaliser)).sum() / bits);
    })
}

/// One layer with diagonal weights; two gates depend on the layer below only, two on the state only.
fn diagonal_lstm<'d>(r: &'d Definition, below: Expr<'d>, layer: usize) -> Expr<'d> {
    let width = r.dim("B");
    let start = |name: &str| r.sample_input(&format!("{name}0_{layer}"), [width]);
    let h = r.state_from(&format!("h_{layer}"), start("h"));
    let c = r.state_from(&format!("c_{layer}"), start("c"));
    let gate = |q: &str, v: Expr<'d>| {
        let part = |what: &str| r.param(&format!("{what}_{q}_{layer}"), [width]);
        v * part("w") + part("b")
    };
    let (f, i) = (gate("f", below).sigmoid(), gate("i", h).sigmoid());
    let (o, g) = (gate("o", below).sigmoid(), gate("g", h).tanh());
    let c = r.next(c, c * f + i * g);
    r.next(h, o * c.tanh())
}

fn matrix(input: &Value, name: &str) -> Result<Array2<f64>> {
    let wrong = || format!("`{name}` is no matrix of numbers");
    let rows = input[name].as_array().ok_or_else(wrong)?;
    let width = rows.first().and_then(Value::as_array).map_or(0, Vec::len);
    let mut entries = Vec::new();
    for row in rows {
        for entry in row.as_array().ok_or_else(wrong)? {
            entries.push(entry.as_f64().ok_or_else(wrong)?);
        }
    }
    Ok(Array1::from(entries)
        .into_shape_with_order((rows.len(), width))
        .map_err(|_| wrong())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Data of four characters of two bits, for `layers` layers.
    fn input(layers: usize) -> Value {
        let rows = |rows: usize, columns: usize, phase: f64| -> Vec<Vec<f64>> {
            let entry = |i: usize| (i as f64 * 1.7 + phase).sin();
            let row = |i: usize| (0..columns).map(|j| entry(i * columns + j)).collect();
            (0..rows).map(row).collect()
        };
        json!({
            "main_params": rows(2 * layers, 8, 0.3), "extra_params": rows(3, 2, 0.5),
            "state": rows(2 * layers, 2, 0.7), "sequence": [[0, 1], [1, 1], [1, 0], [0, 1]],
        })
    }

    fn evaluate(input: &Value, function: &str) -> Value {
        let mut eval = Eval::new(input, function).unwrap();
        eval.run_once().unwrap();
        eval.result().unwrap()
    }

    /// The objective of the eval, computed with plain loops.
    fn by_loops(input: &Value) -> f64 {
        let get = |name: &str, row: usize, j: usize| input[name][row][j].as_f64().unwrap();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let layers = input["state"].as_array().unwrap().len() / 2;
        let (mut total, mut count) = (0.0, 0.0);
        let start = |row: usize| [get("state", row, 0), get("state", row, 1)];
        let mut states: Vec<[f64; 2]> = (0..2 * layers).map(start).collect();
        for t in 0..input["sequence"].as_array().unwrap().len() - 1 {
            let mut o = [0.0; 2];
            for j in 0..2 {
                let mut v = get("sequence", t, j) * get("extra_params", 0, j);
                for k in (0..2 * layers).step_by(2) {
                    let gate = |block: usize, v: f64| {
                        let column = 2 * block + j;
                        v * get("main_params", k, column) + get("main_params", k + 1, column)
                    };
                    let h = states[k][j];
                    let (f, i, out) = (gate(0, v), gate(1, h), gate(2, v));
                    states[k + 1][j] =
                        states[k + 1][j] * sigmoid(f) + sigmoid(i) * gate(3, h).tanh();
                    states[k][j] = sigmoid(out) * states[k + 1][j].tanh();
                    v = states[k][j];
                }
                o[j] = v * get("extra_params", 1, j) + get("extra_params", 2, j);
            }
            let normaliser = (2.0 + o[0].exp() + o[1].exp()).ln();
            for (j, o) in o.iter().enumerate() {
                total += get("sequence", t + 1, j) * (o - normaliser);
                count += 1.0;
            }
        }
        -total / count
    }

    #[test]
    fn the_objective_is_the_one_of_the_suite() {
        for layers in [1, 2] {
            let input = input(layers);
            let found = evaluate(&input, "objective").as_f64().unwrap();
            let expected = by_loops(&input);
            assert!((found - expected).abs() < 1e-14, "{found}, {expected}");
        }
    }

    #[test]
    fn the_jacobian_is_in_the_order_of_the_parameters() {
        let input = input(2);
        let found = evaluate(&input, "jacobian");
        let mut expected = Vec::new();
        for name in ["main_params", "extra_params"] {
            for row in 0..input[name].as_array().unwrap().len() {
                for j in 0..input[name][row].as_array().unwrap().len() {
                    let at = |e: f64| {
                        let mut moved = input.clone();
                        moved[name][row][j] = json!(input[name][row][j].as_f64().unwrap() + e);
                        by_loops(&moved)
                    };
                    let difference = |e: f64| (at(e) - at(-e)) / (2.0 * e);
                    expected.push((4.0 * difference(1e-3) - difference(2e-3)) / 3.0);
                }
            }
        }
        let found: Vec<f64> = serde_json::from_value(found).unwrap();
        assert_eq!(found.len(), expected.len(), "one entry for each parameter");
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error < 1e-10, "entry {i}: {found}, expected {expected}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut wrong = input(1);
        wrong["extra_params"][0] = json!([1.0]);
        assert!(Eval::new(&wrong, "objective").is_err(), "a ragged matrix");
        let mut short = input(1);
        short["sequence"] = json!([[0, 1]]);
        assert!(
            Eval::new(&short, "objective").is_err(),
            "nothing to predict"
        );
        assert!(Eval::new(&input(1), "hessian").is_err(), "no such function");
    }
}
