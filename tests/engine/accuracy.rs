//! Losses without cancellation, and sums whose error does not grow with the number of terms.

use bptt::{Batch, Params, Real, Recurrence, Wrt};
use ndarray::{Array3, ArrayD, arr0};

/// The value of a loss on both engines.
fn losses<F: Real>(name: &str, args: &[f64]) -> [f64; 2] {
    let (text, classes) = match name {
        "softmax_cross_entropy" => (
            "dim K\ninput a[K], c: class(K)\nloss softmax_cross_entropy(a, c)\n".to_owned(),
            true,
        ),
        "binary_cross_entropy" => (
            "dim K\ninput a[K]\nloss binary_cross_entropy(a[0:1], a[1:2])\n"
                .replace("dim K\n", "")
                .replace("[K]", "[2]"),
            false,
        ),
        _ => (format!("input a[1]\nloss sum({name}(a))\n"), false),
    };
    let r = Recurrence::parse("loss", &text).unwrap_or_else(|e| panic!("{e}"));
    let numbers = if classes {
        &args[..args.len() - 1]
    } else {
        args
    };
    let array = Array3::from_shape_fn((1, 1, numbers.len()), |(_, _, i)| F::of(numbers[i]));
    let mut batch = Batch::<F>::new(1, 1).with("a", array);
    if classes {
        let class = [0.0, 1.0, 2.0]
            .iter()
            .position(|c| *c == args[args.len() - 1]);
        let class = class.expect("a class");
        batch = batch.with_classes("c", ndarray::Array2::from_elem((1, 1), class));
    }
    let params = Params::new();
    let slow = r.evaluate(&params, &batch).expect("it runs");
    let program = r.compile_for::<F>(&params, &batch).expect("it compiles");
    let fast = program.evaluate(&params, &batch).expect("it runs");
    [slow, fast].map(|o| o.loss().expect("it has one").to_f64())
}

/// `data/loss_values.csv` was computed with mpmath at 60 digits; its arguments are exact in both types.
fn each_value<F: Real>(epsilon: f64, tiny: f64, largest: f64) {
    let lines = include_str!("../data/loss_values.csv").lines().skip(1);
    let mut worst = 0.0_f64;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let args: Vec<f64> = fields[1]
            .split(';')
            .map(|x| x.parse().expect("a number"))
            .collect();
        let expected: f64 = fields[2].parse().expect("a number");
        if args.iter().any(|x| x.abs() > largest) {
            continue;
        }
        for found in losses::<F>(fields[0], &args) {
            let units =
                ((found - expected).abs() - tiny).max(0.0) / expected.abs().max(tiny) / epsilon;
            assert!(units <= 4.0, "{line}: {found:e} is {units} units off");
            worst = worst.max(units);
        }
    }
    println!("at most {worst} units");
}

#[test]
fn losses_do_not_cancel() {
    each_value::<f64>(f64::EPSILON, f64::MIN_POSITIVE, 1e3);
    each_value::<f32>(f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE), 1e3);
}

/// The loss and the gradient with respect to a parameter that is added at each step; both are sums over all
/// steps and samples.
fn sums(steps: usize, samples: usize, width: usize, isolated: bool) {
    let text = "dim K\nparam b[K]\ninput x[K], w[K]\nloss sum((x + b) * w)\n";
    let r = Recurrence::parse("sums", text).unwrap_or_else(|e| panic!("{e}"));
    let r = r.gradient(Wrt::Parameters).expect("it has one");
    let shape = [steps, samples, width];
    let filled = |x: f32| ArrayD::from_elem(shape.to_vec(), x);
    let params = Params::new().with("b", ndarray::Array1::<f32>::zeros(width));
    let batch = Batch::new(steps, samples)
        .with("x", filled(0.1))
        .with("w", filled(0.1));
    let program = r.compile_for::<f32>(&params, &batch).expect("it compiles");
    let one = program.evaluate(&params, &batch).expect("it runs");
    let terms = (steps * samples) as f64;
    let tenth = f64::from(0.1_f32);
    let off = |x: f32, expected: f64| (f64::from(x) / expected - 1.0).abs();
    let product = f64::from(0.1_f32 * 0.1_f32);
    let loss = one.loss().expect("it has one");
    let expected = terms * width as f64 * product;
    assert!(off(loss, expected) <= 1e-6, "{loss}, not {expected}");
    for x in &one["b"] {
        assert!(off(*x, terms * tenth) <= 1e-6, "{x} of {terms} terms");
    }
    let two = program
        .threads(2)
        .evaluate(&params, &batch)
        .expect("it runs");
    assert_eq!(one, two, "threads");
    if isolated {
        let slow = r.evaluate(&params, &batch).expect("it runs");
        assert!(off(slow["b"][[0]], terms * tenth) <= 1e-6, "the evaluator");
    }
}

#[test]
fn sums_of_many_terms_in_single_precision() {
    sums(2_000_000, 1, 1, false);
    sums(20_000, 10, 3, false);
    sums(30, 1000, 70, false);
    sums(5_000, 2, 2, true);
}

/// Sums over the entries of a value, and over the steps of each sample.
#[test]
fn sums_within_a_value_and_within_a_sample() {
    let text = "dim K\ninput x[K]\noutput s = sum(x), d = dot(x, x), l = logsumexp(x)\n\
                output t = total_steps(sum(x))\n";
    let r = Recurrence::parse("sums", text).unwrap_or_else(|e| panic!("{e}"));
    let n = 300_000;
    let batch = Batch::<f32>::new(7, 2).with("x", ArrayD::from_elem(vec![7, 2, n], 0.1));
    let params = Params::new();
    let fast = r.compile_for::<f32>(&params, &batch).expect("it compiles");
    let fast = fast.evaluate(&params, &batch).expect("it runs");
    let slow = r.evaluate(&params, &batch).expect("it runs");
    let tenth = f64::from(0.1_f32);
    for (engine, found) in [("fast", fast), ("slow", slow)] {
        let count = n as f64;
        for (name, expected) in [
            ("s", count * tenth),
            ("d", count * tenth * tenth),
            ("l", tenth + count.ln()),
            ("t", 7.0 * count * tenth),
        ] {
            for x in &found[name] {
                let error = (f64::from(*x) / expected - 1.0).abs();
                assert!(error <= 1e-6, "{engine}: `{name}` is {x}, not {expected}");
            }
        }
    }
    let one = Recurrence::parse("one", "input x\noutput t = total_steps(x)\n");
    let one = one.unwrap_or_else(|e| panic!("{e}"));
    for samples in [1, 2] {
        let batch = Batch::<f32>::new(200_000, samples)
            .with("x", ArrayD::from_elem(vec![200_000, samples], 0.1));
        let fast = one
            .compile_for::<f32>(&params, &batch)
            .expect("it compiles");
        for x in &fast.evaluate(&params, &batch).expect("it runs")["t"] {
            assert!((f64::from(*x) / (2e5 * tenth) - 1.0).abs() <= 1e-6, "{x}");
        }
    }
}

/// A sum with an infinite term is infinite, not NaN.
#[test]
fn sums_that_overflow_are_infinite() {
    let text = "input x\noutput y = 1 / total_steps(exp(x))\nparam p\nloss p\n";
    let r = Recurrence::parse("overflow", text).unwrap_or_else(|e| panic!("{e}"));
    let params = Params::new().with("p", arr0(0.0));
    let batch = Batch::new(40, 1).with("x", ArrayD::from_elem(vec![40, 1], 800.0));
    let fast = r.compile_for::<f64>(&params, &batch).expect("it compiles");
    for found in [fast.evaluate(&params, &batch), r.evaluate(&params, &batch)] {
        assert_eq!(found.expect("it runs")["y"].sum(), 0.0);
    }
}
