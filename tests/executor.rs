//! The executor computes what the evaluator computes.

mod support;

use bptt::cells::{Cell, Loss};
use bptt::{Batch, Outputs, Params, Real, Recurrence, Wrt};
use ndarray::{ArrayD, IxDyn};

fn wave(seed: usize, shape: &[usize]) -> ArrayD<f64> {
    let mut n = seed;
    ArrayD::from_shape_fn(IxDyn(shape), |_| {
        n += 1;
        ((n as f64) * 1.7 + (n * n % 17) as f64).sin()
    })
}

fn agree<F: Real>(fast: &Outputs<F>, slow: &Outputs<F>, tolerance: f64, what: &str) {
    for (name, expected) in slow.iter() {
        let found = fast.get(name).expect("an output of the same name");
        assert_eq!(found.shape(), expected.shape(), "{what}: shape of {name}");
        let scale = expected
            .iter()
            .fold(1e-3, |m: f64, x| m.max(bptt::Scalar::to_f64(*x).abs()));
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            let error = (bptt::Scalar::to_f64(*a) - bptt::Scalar::to_f64(*b)).abs();
            assert!(
                error <= tolerance * scale,
                "{what}: {name}[{i}] is {a:?}, expected {b:?}"
            );
        }
    }
}

fn both(recurrence: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, what: &str) {
    let slow = recurrence.evaluate(params, batch).unwrap();
    let program = recurrence.compile_for::<f64>(params, batch).unwrap();
    let fast = program.evaluate(params, batch).unwrap();
    agree(&fast, &slow, 1e-12, what);
}

#[test]
fn cells_and_their_gradients() {
    let cells = [
        ("rnn", Cell::rnn()),
        ("relu", Cell::relu_rnn()),
        ("lstm", Cell::lstm()),
        ("peephole", Cell::peephole_lstm()),
        ("gru", Cell::gru()),
        ("gru before", Cell::gru_reset_before()),
    ];
    for (name, cell) in cells {
        for (h, k, o, steps, samples) in [(3, 2, 2, 5, 2), (17, 5, 3, 9, 4), (32, 8, 2, 40, 1)] {
            let model = cell.model(name, Loss::SquaredError).unwrap();
            let sizes = [("H", h), ("K", k), ("O", o)];
            let mut seed = 0;
            let params = Params::from_fn(&model, &sizes, |_, shape| {
                seed += 100;
                wave(seed, shape) * 0.5
            })
            .unwrap();
            let batch = Batch::new(steps, samples)
                .with("x", wave(7, &[steps, samples, k]))
                .with("y", wave(8, &[steps, samples, o]));
            both(&model, &params, &batch, name);
            let gradient = model.gradient(Wrt::Parameters).unwrap();
            both(
                &gradient,
                &params,
                &batch,
                &format!("gradient of {name} {h}"),
            );
        }
    }
}
