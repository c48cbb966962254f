//! Runs unoptimised programs on threads with a quarter of the usual stack, and compares them with the
//! node-by-node evaluator.

use std::thread;

use bptt::{Batch, Params, Real, Recurrence, Scalar, Wrt};
use ndarray::{Array, ArrayD, IxDyn};

/// A quarter of Rust's default stack of a thread, as on a small device or in a large thread pool.
const STACK: usize = 512 << 10;

const STEPS: usize = 7;
const SAMPLES: usize = 3;

const LSTM: &str = include_str!("../../../examples/recurrences/lstm.rec");
const GARCH: &str = include_str!("../../../examples/recurrences/garch11.rec");

/// A matrix-valued memory, written by outer products.
const MATRIX_STATE: &str = "
    dim H, K
    input x[K], y[H]
    param W[H, K], U[K, K], a[H], b
    state M[H, K]
    k = tanh(U @ x)
    M' = sigmoid(b) * M + outer(tanh(W @ x + a), k) - 0.1 * outer(M @ k, k)
    loss sum((M' @ x - y)^2)
";

/// Elementary functions of every kind in one step.
const FUNCTIONS: &str = "
    dim H, K
    input x[K], y[H]
    param W[H, H], U[H, K], u[H], s
    state h[H] = u, n
    z = softmax(W @ h) + exp(-h^2) + ln(1 + h^2) + sqrt(1 + h^2) + sin(h) * cos(h)
    h' = tanh(z) + relu(U @ x) * sigmoid(s * h) + softplus(h) / (2 + abs(h)) + max(z, h) - min(z, h)
    n' = 0.5 * n + logsumexp(U @ x) + dot(u, h') + select(s < 0, powi(n, 3), n^2)
    loss (0.1 * n')^2
    final loss sum((h' - y)^2)
";

/// Distinct numbers between −0.6 and 0.6.
fn numbers<F: Real>(shape: &[usize], seed: &str) -> ArrayD<F> {
    let mut i = seed.bytes().map(u32::from).sum::<u32>();
    Array::from_shape_simple_fn(IxDyn(shape), || {
        i += 1;
        F::of(0.6 * (1.7 * f64::from(i)).sin())
    })
}

/// The loss, its gradient and a Hessian-vector product, on threads with a small stack.
fn runs<F: Real>(text: &str, sizes: &[(&str, usize)], inputs: &[(&str, &[usize])], tolerance: f64) {
    let recurrence = Recurrence::parse("cell.rec", text).expect("the recurrence is well formed");
    for derivative in [
        recurrence.gradient(Wrt::Parameters),
        recurrence.hessian_vector(Wrt::Parameters),
    ] {
        let derivative = derivative.expect("it has derivatives");
        let params = Params::<F>::from_fn(&derivative, sizes, |name, shape| numbers(shape, name))
            .expect("all sizes are given");
        let mut batch = Batch::<F>::new(STEPS, SAMPLES);
        for (name, shape) in inputs {
            let shape = [&[STEPS, SAMPLES], *shape].concat();
            batch = batch.with(name, numbers(&shape, name));
        }
        if text.contains("class(O)") {
            let classes = Array::from_shape_fn((STEPS, SAMPLES), |(t, b)| (t + b) % 2);
            batch = batch.with_classes("y", classes);
        }
        let expected = derivative
            .evaluate(&params, &batch)
            .expect("it can be evaluated");
        for workers in [1, 2] {
            let outputs = thread::scope(|scope| {
                let run = || {
                    let program = derivative.compile::<F>(sizes).expect("it compiles");
                    program
                        .threads(workers)
                        .evaluate(&params, &batch)
                        .expect("it runs")
                };
                let thread = thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, run);
                thread
                    .expect("a thread starts")
                    .join()
                    .expect("the run does not abort")
            });
            for (name, found) in outputs.iter() {
                let exact = &expected[name];
                let (found, exact) = (found.mapv(Scalar::to_f64), exact.mapv(Scalar::to_f64));
                let largest = exact.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                assert!(largest > 0.0, "{name} is zero, and shows nothing");
                for (x, y) in found.iter().zip(&exact) {
                    let error = (x - y).abs();
                    assert!(error <= tolerance * largest, "{name}: {x} is not {y}");
                }
            }
        }
    }
}

/// Runs in both types.
fn holds(text: &str, sizes: &[(&str, usize)], inputs: &[(&str, &[usize])]) {
    runs::<f64>(text, sizes, inputs, 1e-12);
    runs::<f32>(text, sizes, inputs, 1e-3);
}

#[test]
fn lstm() {
    holds(LSTM, &[("H", 5), ("K", 3), ("O", 2)], &[("x", &[3])]);
}

#[test]
fn lstm_of_many_entries() {
    holds(LSTM, &[("H", 70), ("K", 33), ("O", 2)], &[("x", &[33])]);
}

#[test]
fn garch() {
    holds(GARCH, &[], &[("r", &[])]);
}

#[test]
fn matrix_state() {
    holds(
        MATRIX_STATE,
        &[("H", 4), ("K", 3)],
        &[("x", &[3]), ("y", &[4])],
    );
}

#[test]
fn elementary_functions() {
    holds(
        FUNCTIONS,
        &[("H", 4), ("K", 3)],
        &[("x", &[3]), ("y", &[4])],
    );
}

#[test]
fn loops_of_a_single_row() {
    // With one sample, small states are kept in vector registers.
    let text = "input x\nparam a, b\nstate s = b\ns' = tanh(a * s + x)\nloss (s' - 0.3)^2";
    let recurrence = Recurrence::parse("small.rec", text).expect("the recurrence is well formed");
    let gradient = recurrence
        .hessian_vector(Wrt::Parameters)
        .expect("it has one");
    let params = Params::<f64>::from_fn(&gradient, &[], |name, shape| numbers(shape, name))
        .expect("no size is missing");
    let batch = Batch::new(50, 1).with("x", numbers(&[50, 1], "x"));
    let expected = gradient
        .evaluate(&params, &batch)
        .expect("it can be evaluated");
    let run = || {
        let program = gradient.compile::<f64>(&[]).expect("it compiles");
        program.evaluate(&params, &batch).expect("it runs")
    };
    let found = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, run);
        thread
            .expect("a thread starts")
            .join()
            .expect("the run does not abort")
    });
    for name in ["a", "b"] {
        let (found, exact) = (found[name][[]], expected[name][[]]);
        assert!(
            (found - exact).abs() <= 1e-12 * exact.abs(),
            "{name}: {found} is not {exact}"
        );
    }
}
