//! Sums over millions of steps and samples in `f32`, against `f64` on the same numbers.

use bptt::{Batch, Outputs, Params, Rate, Real, Recurrence, Wrt};
use ndarray::{Array2, ArrayD};

/// A derivative that is made of sums.
type Derivative = fn(&Recurrence) -> bptt::Result<Recurrence>;

const ITSELF: Derivative = |r| Ok(r.clone());
const GRADIENT: Derivative = |r| r.gradient(Wrt::Parameters);
const TANGENT: Derivative = |r| r.tangent(Wrt::Parameters);
const SECOND: Derivative = |r| r.hessian_vector(Wrt::Parameters);

/// Steps and samples: two million rows, and rows enough for a chain of additions to be 1e-4 off, in steps of
/// many and of few samples.
const MILLIONS: (usize, usize) = (20, 100_000);
const WIDE: (usize, usize) = (20, 3_000);
const LONG: (usize, usize) = (15_000, 4);

/// Numbers of one sign: equal ones, or between 0.001 and 1.
fn numbers(dims: &[usize], are_equal: bool, salt: usize) -> ArrayD<f32> {
    let mut state = salt as u64 + 1;
    ArrayD::from_shape_simple_fn(dims.to_vec(), || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = (state >> 40) as f32 / (1 << 24) as f32;
        if are_equal {
            0.1
        } else {
            10.0_f32.powf(-3.0 * unit)
        }
    })
}

fn data(
    r: &Recurrence,
    (steps, samples): (usize, usize),
    are_equal: bool,
    is_ragged: bool,
) -> (Params<f32>, Batch<f32>) {
    let (mut params, mut batch) = (Params::new(), Batch::new(steps, samples));
    for (salt, leaf) in r.tape().leaves().iter().enumerate() {
        let (name, ty) = (leaf.name(), leaf.ty());
        let own = ty
            .shape
            .dims()
            .into_iter()
            .map(|d| d.as_fixed().unwrap())
            .collect();
        let outer = match ty.rate {
            Rate::Static => vec![],
            Rate::Sample => vec![samples],
            Rate::Step => vec![steps, samples],
        };
        let dims = [outer, own].concat();
        if !ty.is_real() {
            let classes = Array2::from_shape_fn((steps, samples), |(t, b)| (t + b) % 4);
            batch = batch.with_classes(name, classes);
        } else if ty.rate == Rate::Static {
            params = params.with(name, numbers(&dims, true, salt));
        } else {
            batch = batch.with(name, numbers(&dims, are_equal, salt));
        }
    }
    if is_ragged {
        let lengths = (0..samples).map(|b| steps - usize::from(b % 3 == 0));
        batch = batch.with_lengths(lengths.collect::<Vec<_>>());
    }
    (params, batch)
}

fn run<F: Real>(
    r: &Recurrence,
    (params, batch): (&Params<F>, &Batch<F>),
    threads: usize,
) -> Outputs<F> {
    let program = r
        .compile_for::<F>(params, batch)
        .unwrap_or_else(|e| panic!("{e}"));
    let found = program.threads(threads).evaluate(params, batch);
    found.unwrap_or_else(|e| panic!("{e}"))
}

/// Compares every output with `f64`, relative to the largest entry of the array.
fn compare(text: &str, derivative: Derivative, extent: (usize, usize), is_ragged: bool) {
    let r = Recurrence::parse("sums", text).unwrap_or_else(|e| panic!("{e}"));
    let r = derivative(&r).unwrap_or_else(|e| panic!("{e}"));
    for are_equal in [true, false] {
        let (params, batch) = data(&r, extent, are_equal, is_ragged);
        let exact = run(&r, (&params.cast::<f64>(), &batch.cast::<f64>()), 1);
        let found = run(&r, (&params, &batch), 1);
        let three = run(&r, (&params, &batch), 3);
        assert_eq!(found, three, "threads: {text}");
        for (name, sums) in exact.iter() {
            let scale = sums.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let off = found[name].iter().zip(sums);
            let off = off.map(|(x, exact)| (f64::from(*x) - exact).abs() / scale);
            let worst = off.fold(0.0, f64::max);
            println!("{worst:.1e} {name}");
            assert!(worst <= 1e-6, "`{name}` is {worst:e} off: {text}");
        }
    }
}

const MATRIX: &str = "param W[2, 3]\ninput x[3], y[2]\nloss dot(y, W @ x)\n";
const ROWS: &str = "param E[4, 2]\ninput y[2], c: class(4)\nloss dot(y, gather(E, c))\n";
const STRONG: &str = "param W[2, 3]\ninput x[3], y[2]\nloss dot(sqrt(y), sqrt(W) @ sqrt(x))\n";

#[test]
fn gradients_of_millions_of_terms() {
    compare(MATRIX, GRADIENT, MILLIONS, false);
    compare(ROWS, GRADIENT, MILLIONS, false);
}

#[test]
fn gradients_of_matrices() {
    for text in [
        MATRIX,
        STRONG,
        "param V[3, 2]\ninput x[3], y[2]\nloss dot(x, V @ y)\n",
        "param W[2, 3], U[2, 2]\ninput x[3], y[2]\nloss dot(y, W @ x) + dot(y, U @ y)\n",
        "param W[70, 1]\ninput x[1], y[70]\nloss dot(y, W @ x)\n",
        "param W[9, 12]\ninput x[12], y[9]\nloss dot(y, W @ x)\n",
    ] {
        compare(text, GRADIENT, WIDE, false);
    }
    compare(MATRIX, GRADIENT, WIDE, true);
    compare(MATRIX, GRADIENT, LONG, false);
}

#[test]
fn gradients_of_a_loop() {
    let text = "param W[2, 3], U[2, 2], b[2]\ninput x[3]\nstate h[2]\n\
                h' = tanh(W @ x + U @ h + b)\nloss sum(h')\n";
    compare(text, GRADIENT, WIDE, false);
    compare(text, SECOND, WIDE, false);
}

#[test]
fn gradients_of_rows_of_classes() {
    for text in [
        ROWS,
        "param F[2, 4]\ninput y[2], c: class(4)\nloss dot(y, gather_column(F, c))\n",
        "param g[4]\ninput z, c: class(4)\nloss z * gather(g, c)\n",
        "param g[5]\ninput y[2]\nloss dot(y, g[1:3])\n",
    ] {
        compare(text, GRADIENT, WIDE, false);
    }
}

#[test]
fn sums_of_values_per_sample() {
    let text = "param W[2, 3], b[2]\nsample input x[3], y[2]\nloss dot(y, W @ x + b)\n";
    compare(text, GRADIENT, (1, 60_000), false);
}

#[test]
fn sums_over_time_and_their_tangents() {
    let text = "param W[2, 3], b[2], a\ninput x[3], y[2], z\n\
                output s = total_steps(z), v = total_steps(y), m = total(y), n = total(a * z)\n\
                output o = total(outer(y, x))\nmean loss dot(y, W @ x + b) * a\n";
    compare(text, ITSELF, WIDE, false);
    compare(text, ITSELF, LONG, false);
    compare(text, GRADIENT, WIDE, true);
    compare(text, TANGENT, WIDE, false);
    compare(text, SECOND, WIDE, false);
}
