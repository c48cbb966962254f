//! Time and memory of gradients in a given memory, beside those of runs that keep all values: an LSTM with 32
//! samples, 64 inputs and 128 units in `f32`, and a GARCH model in `f64`.
//!
//! `cargo run --release --example memory`

#![allow(clippy::print_stdout, reason = "it prints a table")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "megabytes and milliseconds are rounded"
)]

use std::time::Instant;

use bptt::cells::{Cell, Loss};
use bptt::{Batch, Memory, Params, Program, Real, Recurrence, Wrt};
use ndarray::ArrayD;

#[path = "../tests/support/allocator.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod allocator;

/// The returns of a GARCH model with normal errors.
const GARCH: &str = "input r\nparam omega, alpha, beta\nstate v = omega / (1 - alpha - beta)\n\
    loss 0.5 * (ln(v) + r^2 / v)\nv' = omega + alpha * r^2 + beta * v\n";

/// The least time of some runs, in milliseconds for each thousand steps, and the most bytes that the first
/// has in use beside data and results.
fn run<F: Real>(
    program: &Program<F>,
    params: &Params<F>,
    batch: &Batch<F>,
    runs: usize,
) -> (f64, usize) {
    let mut best = f64::INFINITY;
    let mut workspace = program.workspace();
    let (results, peak) = allocator::peak(|| {
        let outputs = program.run(params, batch, &mut workspace);
        let outputs = outputs.expect("the data fit and the memory is enough");
        outputs
            .iter()
            .map(|(_, a)| a.len() * size_of::<F>())
            .sum::<usize>()
    });
    for _ in 0..runs {
        let start = Instant::now();
        let outputs = program.run(params, batch, &mut workspace);
        outputs.expect("the data fit and the memory is enough");
        best = best.min(start.elapsed().as_secs_f64());
    }
    (
        best * 1e6 / batch.steps() as f64,
        peak.saturating_sub(results),
    )
}

fn numbers<F: Real>(shape: &[usize], scale: f64) -> ArrayD<F> {
    let mut seed = 7u32;
    ArrayD::from_shape_fn(shape, |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        F::of(scale * (f64::from(seed >> 8) / f64::from(1u32 << 24) - 0.5))
    })
}

fn lstm(steps: usize, samples: usize) -> (Recurrence, Params<f32>, Batch<f32>) {
    let model = Cell::lstm().model("lstm", Loss::SquaredError);
    let model = model.expect("it is sound");
    let sizes = [("H", 128), ("K", 64), ("O", 10)];
    let params = Params::from_fn(&model, &sizes, |_, shape| numbers(shape, 0.2));
    let batch = Batch::new(steps, samples)
        .with("x", numbers(&[steps, samples, 64], 1.0))
        .with("y", numbers(&[steps, samples, 10], 1.0));
    (model, params.expect("there is room"), batch)
}

fn row(name: &str, megabytes: Option<f64>, base: f64, found: (f64, usize)) {
    let asked = megabytes.map_or("all".into(), |m| format!("{m} MB"));
    println!(
        "{name:<28} {asked:>8} {:>10.2} MB {:>9.3} ms per 1000 steps {:>6.2}",
        found.1 as f64 / 1e6,
        found.0,
        found.0 / base
    );
}

/// One gradient of the LSTM in this memory, as JSON.
fn one(megabytes: f64) {
    let (model, params, batch) = lstm(4000, 32);
    let gradient = model.gradient(Wrt::Parameters).expect("it has one");
    let program = gradient.compile_for::<f32>(&params, &batch);
    let program = program
        .expect("it fits")
        .memory(Memory::Bytes((megabytes * 1e6) as usize));
    let (time, bytes) = run(&program, &params, &batch, 2);
    println!(
        "{{\"seconds\": {}, \"bytes\": {bytes}}}",
        time * 4000.0 / 1e6
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, option, megabytes] = &arguments[..]
        && option == "--lstm"
    {
        return one(megabytes.parse().expect("a number of megabytes"));
    }
    let quick = std::env::args().any(|a| a == "--quick");
    let (model, params, batch) = lstm(4000, 32);
    for (what, derived) in [
        ("gradient", model.gradient(Wrt::Parameters)),
        ("Hessian product", model.hessian_vector(Wrt::Parameters)),
    ] {
        let derived = derived.expect("it has one");
        let mut params = params.clone();
        for leaf in derived.tape().leaves() {
            if let Some(of) = leaf.name().strip_suffix(".dot") {
                params.insert(leaf.name(), params[of].clone());
            }
        }
        let program = derived
            .compile_for::<f32>(&params, &batch)
            .expect("it fits");
        let all = program.clone().memory(Memory::All);
        let mut base = f64::INFINITY;
        let sizes: &[f64] = if quick {
            &[40.0]
        } else {
            &[20.0, 40.0, 80.0, 160.0, 320.0]
        };
        for megabytes in sizes {
            let found = run(&all, &params, &batch, 1);
            base = base.min(found.0);
            let name = format!("LSTM {what}, T = 4000");
            row(&name, None, base, found);
            let some = program
                .clone()
                .memory(Memory::Bytes((megabytes * 1e6) as usize));
            let found = run(&some, &params, &batch, 1);
            row(&name, Some(*megabytes), base, found);
        }
        if what == "gradient" && !quick {
            let (_, params, batch) = lstm(100_000, 32);
            let some = program.memory(Memory::Bytes(120_000_000));
            row(
                "LSTM gradient, T = 100 000",
                Some(120.0),
                base,
                run(&some, &params, &batch, 1),
            );
        }
    }
    let garch = Recurrence::parse("garch.rec", GARCH).expect("it is sound");
    let steps = 10_000_000;
    let params = Params::new()
        .with("omega", ndarray::arr0(0.05))
        .with("alpha", ndarray::arr0(0.1))
        .with("beta", ndarray::arr0(0.8));
    let batch = Batch::new(steps, 1).with("r", numbers(&[steps, 1], 2.0));
    let gradient = garch.gradient(Wrt::Parameters).expect("it has one");
    let program = gradient
        .compile_for::<f64>(&params, &batch)
        .expect("it fits");
    let found = run(&program.clone().memory(Memory::All), &params, &batch, 2);
    row("GARCH gradient, T = 10⁷", None, found.0, found);
    for megabytes in [100.0, 10.0, 3.0] {
        let some = program
            .clone()
            .memory(Memory::Bytes((megabytes * 1e6) as usize));
        row(
            "GARCH gradient, T = 10⁷",
            Some(megabytes),
            found.0,
            run(&some, &params, &batch, 2),
        );
    }
}
