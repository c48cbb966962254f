//! What plans and runs cost: a plan does not depend on the number of steps and grows with the graph
//! alone; a run takes time and memory in proportion to the number of steps.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use bptt::cells::Cell;
use bptt::{Recurrence, Wrt};
use support::instance;

fn stacked(layers: usize) -> Recurrence {
    let model = Recurrence::define("stacked", |r| {
        let hidden = r.dim("H");
        let mut x = r.input("x", [hidden]);
        for layer in 0..layers {
            x = Cell::lstm()
                .suffix(&format!("_{layer}"))
                .apply(r, x, hidden);
        }
        r.loss(x.square().sum());
    });
    model.unwrap().gradient(Wrt::Parameters).unwrap()
}

/// The shortest time of several, since other programs run too.
fn planning(gradient: &Recurrence) -> Duration {
    let time = || {
        let start = Instant::now();
        let program = gradient.compile::<f32>(&[("H", 32)]).unwrap();
        let time = start.elapsed();
        drop(program);
        time
    };
    (0..5).map(|_| time()).min().unwrap()
}

#[test]
fn plans_are_made_quickly() {
    let mut times = Vec::new();
    for (layers, most) in [(1, 5), (2, 10), (10, 40), (50, 200)] {
        let time = planning(&stacked(layers));
        println!("the gradient of {layers} layers of LSTM is planned in {time:?}");
        times.push((layers, time, Duration::from_millis(most)));
    }
    if !cfg!(debug_assertions) {
        for (layers, time, most) in times {
            assert!(time < most, "{layers} layers took {time:?}");
        }
    }
}

#[test]
fn a_plan_does_not_depend_on_the_data() {
    let gradient = stacked(2);
    let plan = |lengths: &[usize]| {
        let (params, batch) = instance(&gradient, &[("H", 3)], lengths, 1);
        let program = gradient.compile_for::<f64>(&params, &batch).unwrap();
        format!("{:?}", program.plan())
    };
    let few = plan(&[2]);
    assert_eq!(few, plan(&[300]), "the number of steps");
    assert_eq!(few, plan(&[5, 1, 9]), "samples and lengths");
}

const STEPS: [usize; 5] = [100, 300, 1000, 3000, 10_000];

/// The exponent of the power of the number of steps that fits best.
fn exponent(costs: &[f64]) -> f64 {
    let logs = |x: &[f64]| x.iter().map(|x| x.ln()).collect::<Vec<f64>>();
    let (x, y) = (logs(&STEPS.map(|n| n as f64)), logs(costs));
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let products = x.iter().zip(&y).map(|(x, y)| (x - mean_x) * (y - mean_y));
    products.sum::<f64>() / x.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>()
}

/// The shortest time of a run, and the bytes of its workspace, for each number of steps.
fn runs(samples: usize, repetitions: usize) -> (Vec<f64>, Vec<f64>) {
    let gradient = stacked(1);
    let cost = |steps: usize| {
        let (params, batch) = instance(&gradient, &[("H", 32)], &vec![steps; samples], 1);
        let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
        let program = gradient.compile_for::<f32>(&params, &batch).unwrap();
        let mut workspace = program.workspace();
        let mut time = || {
            let start = Instant::now();
            program.run(&params, &batch, &mut workspace).unwrap();
            start.elapsed().as_secs_f64()
        };
        let time = (0..=repetitions)
            .map(|_| time())
            .fold(f64::INFINITY, f64::min);
        (time, workspace.bytes() as f64)
    };
    STEPS.into_iter().map(cost).unzip()
}

#[test]
fn memory_grows_with_the_steps() {
    let (_, bytes) = runs(8, 0);
    let exponent = exponent(&bytes);
    println!("memory grows with the power {exponent:.4} of the steps: {bytes:?}");
    assert!(exponent <= 1.03, "{bytes:?}");
}

/// `cargo test --release --test growth -- --ignored --nocapture`, on a machine that does nothing else.
#[test]
#[ignore = "measures time"]
fn time_grows_with_the_steps() {
    for samples in [1, 8] {
        let (times, bytes) = runs(samples, 10);
        let (exponent, largest) = (exponent(&times), bytes[bytes.len() - 1] / 1e6);
        println!(
            "time grows with the power {exponent:.4} of the steps, with {samples} samples in up to \
             {largest:.0} MB: {times:?} s"
        );
        assert!(exponent <= 1.03, "{times:?}");
    }
}
