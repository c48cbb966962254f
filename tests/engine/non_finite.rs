//! The origin of a value that is not finite: the compiled program finds the same operation, step, sample and
//! entry as the evaluator, which checks every node at every step.

use crate::support::Noise;
use crate::support::engines::EveryEngine as _;
use bptt::{Batch, Error, Params, Recurrence, Wrt};
use ndarray::{Array2, Array3, arr0, array};

fn parse(text: &str) -> Recurrence {
    match Recurrence::parse("test.rec", text) {
        Ok(recurrence) => recurrence,
        Err(error) => panic!("{error}"),
    }
}

/// The origin found by the program, with one worker and with two.
fn find(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Option<Error> {
    let mut found = [1, 2].map(|threads| {
        let program = r.compile_for::<f64>(params, batch).expect("it fits");
        let program = program.threads(threads);
        let mut workspace = program.workspace();
        let failure = program.run(params, batch, &mut workspace).map(|_| ()).err();
        let found = program.find_non_finite(params, batch, &mut workspace);
        let found = found.expect("the data fits");
        assert_eq!(failure.is_some(), found.is_some(), "{failure:?} {found:?}");
        found.map(|error| (error.to_string(), error))
    });
    let [first, second] = &mut found;
    let text = |found: &Option<(String, Error)>| found.as_ref().map(|f| f.0.clone());
    assert_eq!(text(first), text(second), "whatever the number of workers");
    first.take().map(|f| f.1)
}

/// Both engines find the same origin, with these words in the message.
fn agree(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, words: &[&str]) {
    let evaluated = r.evaluate(params, batch).expect_err("it is not finite");
    let found = find(r, params, batch).expect("it is not finite");
    assert_eq!(found.to_string(), evaluated.to_string(), "{r}");
    for word in words {
        assert!(found.to_string().contains(word), "{word} in {found}");
    }
}

fn ones(steps: usize, samples: usize) -> Batch<f64> {
    Batch::new(steps, samples).with("x", Array2::ones((steps, samples)))
}

#[test]
fn a_state_that_overflows() {
    let r = parse("input x\nparam w\nstate s\ns' = w * s + x\nloss s'\n");
    let params = Params::new().with("w", arr0(10.0));
    agree(
        &r,
        &params,
        &ones(400, 1),
        &["w * s", "step 309 of sample 0", "inf"],
    );
    agree(&r, &params, &ones(400, 3), &["step 309"]);
    // The forward pass comes first, regardless of later values.
    let gradient = r.gradient(Wrt::Everything).expect("it has one");
    agree(&gradient, &params, &ones(400, 3), &["w * s", "step 309"]);
    let tangent = r.tangent(Wrt::Parameters).expect("it has one");
    let start = tangent.parameters().map(str::to_owned).collect::<Vec<_>>();
    let batch = ones(400, 2);
    let params = start
        .iter()
        .fold(Params::new(), |p, name| p.with(name, arr0(10.0)));
    let found = find(&tangent, &params, &batch).expect("it overflows");
    assert!(found.to_string().contains("step 30"), "{found}");
}

/// Where a norm is zero, its derivative is 0; that of a root is infinite, and reported.
#[test]
fn a_norm_at_zero() {
    let params = Params::new().with("k", ndarray::arr1(&[0.0, 0.0]));
    let gradient = |loss: &str| {
        let r = parse(&format!("param k[2]\ninput x\nloss {loss}\n"));
        r.gradient(Wrt::Parameters).expect("it has one")
    };
    let root = gradient("x * sqrt(sum(k^2))");
    agree(&root, &params, &ones(2, 1), &["sqrt"]);
    for norm in ["norm(k)", "max(norm(k), 1e-12)"] {
        let gradient = gradient(&format!("x * {norm} + x * k[1]"));
        let found = gradient.on_every_engine(&params, &ones(2, 1));
        let found = found.expect("it is finite");
        assert_eq!(found["k"], ndarray::arr1(&[0.0, 2.0]).into_dyn(), "{norm}");
    }
}

#[test]
fn a_state_that_overflows_far_from_a_finite_loss() {
    let r = parse("input x\nparam w\nstate s\ns' = w * s + x\nfinal loss tanh(s')\n");
    let params = Params::new().with("w", arr0(10.0));
    for (steps, samples) in [(400, 1), (400, 2), (3000, 2)] {
        let batch = ones(steps, samples);
        assert!(find(&r, &params, &batch).is_none(), "the loss is finite");
        let gradient = r.gradient(Wrt::Parameters).expect("it has one");
        let Some(found) = find(&gradient, &params, &batch) else {
            continue;
        };
        for word in ["w * s", "step 309 of sample 0"] {
            assert!(found.to_string().contains(word), "{word} in {found}");
        }
    }
}

#[test]
fn samples_that_differ_in_length() {
    let r = parse("input x\nstate s\ns' = 10 * s + x\nloss s'\n");
    // Only the third sample overflows; it is not the longest.
    let batch = ones(500, 4).with_lengths([20, 305, 350, 500]);
    let mut x = Array2::ones((500, 4));
    x.column_mut(3).fill(0.0);
    let batch = batch.with("x", x);
    agree(&r, &Params::new(), &batch, &["step 309 of sample 2"]);
}

#[test]
fn a_term_of_the_loss() {
    let r = parse("input x\nparam p\nstate s\ns' = 0.5 * s + x\nloss ln(p * x) + s'\n");
    let params = Params::new().with("p", arr0(1.0));
    let mut x = Array2::ones((700, 3));
    x[[600, 1]] = -1.0;
    let batch = Batch::new(700, 3).with("x", x);
    agree(&r, &params, &batch, &["ln", "NaN", "step 600 of sample 1"]);
    let gradient = r.gradient(Wrt::Parameters).expect("it has one");
    agree(&gradient, &params, &batch, &["ln", "step 600 of sample 1"]);
}

#[test]
fn a_backward_pass() {
    // The root is finite at 0, but its derivative is not.
    let r = parse("input x\nparam w\nstate s\ns' = w * s + x\nloss sqrt(s')\n");
    let params = Params::new().with("w", arr0(0.5));
    let mut x = Array2::ones((900, 2));
    x.column_mut(1).slice_mut(ndarray::s![..3]).fill(0.0);
    let batch = Batch::new(900, 2).with("x", x);
    assert!(find(&r, &params, &batch).is_none(), "the value is finite");
    let gradient = r.gradient(Wrt::Parameters).expect("it has one");
    let found = find(&gradient, &params, &batch).expect("it is not finite");
    assert!(found.to_string().contains("step 2 of sample 1"), "{found}");
    // A cotangent that grows backwards.
    let r = parse("input x\nparam w\nstate s\ns' = w * s + x\nfinal loss s'\n");
    let params = Params::new().with("w", arr0(10.0));
    let mut x = Array2::zeros((700, 2));
    x[[699, 0]] = 1.0;
    let batch = Batch::new(700, 2).with("x", x);
    let gradient = r.gradient(Wrt::Everything).expect("it has one");
    let found = find(&gradient, &params, &batch).expect("it overflows");
    assert!(found.to_string().contains("step 391"), "{found}");
    assert!(found.to_string().contains("s.bar"), "{found}");
}

#[test]
fn second_order_and_networks() {
    let r = parse(
        "dim H, K\ninput x[K], y[H]\nparam W[H,H], U[H,K]\nstate h[H]\n\
         h' = relu(W @ h + U @ x)\nloss sum((h' - y)^2)\n",
    );
    for (h, steps, samples) in [(3, 400, 1), (3, 400, 2), (40, 300, 3), (140, 200, 2)] {
        let mut noise = Noise(7);
        let mut numbers = || noise.number();
        let params = Params::new().with("W", Array2::eye(h) * 20.0).with(
            "U",
            Array2::from_shape_simple_fn((h, 2), || numbers().abs()),
        );
        let batch = Batch::new(steps, samples)
            .with(
                "x",
                Array3::from_shape_simple_fn((steps, samples, 2), &mut numbers),
            )
            .with("y", Array3::zeros((steps, samples, h)));
        let gradient = r.gradient(Wrt::Parameters).expect("it has one");
        let found = find(&gradient, &params, &batch).expect("it overflows");
        assert!(found.to_string().contains("of sample 0"), "{found}");
        let Error::NonFiniteValue { expression, .. } = &found else {
            panic!("{found}");
        };
        // The squares overflow first; the pass that adds them up determines which of the two is found.
        let is_origin = ["(h' - y)^2", "W @ h", "h^2"]
            .iter()
            .any(|o| expression.contains(o));
        assert!(is_origin, "{found}");
        let second = r.hessian_vector(Wrt::Parameters).expect("it has one");
        let params = Params::new()
            .with("W", Array2::eye(h) * 20.0)
            .with("U", Array2::ones((h, 2)))
            .with("W.dot", Array2::ones((h, h)))
            .with("U.dot", Array2::ones((h, 2)));
        let found = find(&second, &params, &batch).expect("it overflows");
        assert!(found.to_string().contains("step"), "{found}");
    }
}

#[test]
fn resets_and_sums() {
    // An overflow before a reset reaches no output; one after it does.
    let r = parse("input x, keep\nstate s\ns' = select(keep > 0, 10 * s + x, x)\nloss tanh(s')\n");
    let mut keep = Array2::ones((1000, 1));
    keep[[500, 0]] = 0.0;
    let batch = ones(1000, 1).with("keep", keep);
    assert!(find(&r, &Params::new(), &batch).is_none());
    let r = parse("input x, keep\nstate s\ns' = select(keep > 0, 10 * s + x, x)\nfinal loss s'\n");
    let found = find(&r, &Params::new(), &batch).expect("it overflows");
    assert!(
        found.to_string().contains("step 809 of sample 0"),
        "{found}"
    );
    // Every term is finite, but the sum is not.
    let r = parse("input x\nloss 1e308 * x\n");
    agree(&r, &Params::new(), &ones(20, 1), &["inf"]);
    // A value that is computed once.
    let r = parse("input x\nparam p\nloss x * ln(p)\n");
    let params = Params::new().with("p", arr0(-1.0));
    agree(
        &r,
        &params,
        &ones(20, 2),
        &["ln", "NaN", "no particular step"],
    );
    let r = parse("sample input a\ninput x\nloss x * ln(a)\n");
    let batch = ones(20, 2).with("a", array![1.0, -1.0]);
    agree(&r, &Params::new(), &batch, &["ln", "NaN", "sample 1"]);
}

/// An origin before a reset that reaches the loss is found, regardless of the steps after the reset.
#[test]
fn resets_between_sequences() {
    let text = "param a\ninput x\nstate h\nh' = 0.5 * h + ln(a * x)\nfinal loss h'^2\n";
    let r = parse(text).with_resets("reset").expect("the name is free");
    let gradient = r.gradient(Wrt::Parameters).expect("it has one");
    let params = Params::new().with("a", arr0(1.0));
    for resets in [&[12][..], &[9], &[8], &[3, 12], &[8, 9, 10], &[]] {
        let mut begins = Array2::zeros((20, 3));
        resets.iter().for_each(|t| begins[[*t, 1]] = 1.0);
        let mut x = Array2::ones((20, 3));
        x[[7, 1]] = -1.0;
        let batch = Batch::new(20, 3).with("x", x).with("reset", begins);
        for r in [&r, &gradient] {
            agree(
                r,
                &params,
                &batch,
                &["`ln(a * x)`", "NaN", "step 7 of sample 1"],
            );
        }
    }
    // One state overflows without reaching the loss, another overflows later and reaches it.
    let text = "input x\nstate s, r\ns' = 10 * s + x\nr' = 5 * r + x\nloss tanh(s') + r'\n";
    agree(
        &parse(text),
        &Params::new(),
        &ones(900, 2),
        &["5 * r", "step 441"],
    );
}

/// The order of the terms decides if a sum overflows, and differs between the evaluator and a run.
#[test]
fn an_overflow_on_the_border_has_a_name() {
    let mut cases = 0;
    for terms in [
        [-1.4, 1.0, -0.6, 0.2],
        [0.9, 0.5, 0.5, -1.5],
        [0.5, -1.5, -0.5, 0.9],
    ] {
        let w = ndarray::Array1::from_iter(terms.map(|x| x * 1e308));
        let params = Params::new().with("w", w);
        for text in [
            "dim N\nparam w[N]\nstate s[N] = 1\ns' = s\nloss dot(w, s) * 1e-9\n",
            "dim N\nparam w[N]\nstate s[N] = 1, r\ns' = s\nr' = dot(w, s) * 1e-9 + 0.1 * r\nloss r'\n",
            "dim N\nparam w[N]\nstate s[N] = 1\ns' = s\noutput y = dot(w, s) * 1e-9\n",
        ] {
            let r = parse(text);
            let batch = Batch::new(30, 2);
            let Some(found) = find(&r, &params, &batch) else {
                continue;
            };
            cases += 1;
            for word in ["`dot(w, s)` is", "inf", "step 0 of sample 0"] {
                assert!(found.to_string().contains(word), "{word} in {found}");
            }
        }
    }
    assert!(cases >= 3, "{cases} overflow");
}

#[test]
fn long_sequences() {
    let r = parse("input x\nparam w\nstate s\ns' = w * s + x\nloss tanh(s') + s' * 1e-300\n");
    let steps = 1_000_000;
    let params = Params::new().with("w", arr0(1.01));
    let found = find(&r, &params, &ones(steps, 1)).expect("it overflows");
    assert!(found.to_string().contains("step 7"), "{found}");
    let gradient = r.gradient(Wrt::Parameters).expect("it has one");
    let found = find(&gradient, &params, &ones(steps, 1)).expect("it overflows");
    assert!(found.to_string().contains("step 7"), "{found}");
}

/// The origin of an overflow is found after so many other values that are not finite, none of which has an
/// influence, that the records of the first of them are dropped.
#[test]
fn an_overflow_after_many_steps_without_influence() {
    let r = parse("input x, keep\nstate s\ns' = select(keep, 10 * s, 0) + ln(x)\nfinal loss s'\n");
    let (before, steps) = (40_000, 41_000);
    let x = |t: usize| match (t < before, t % 2) {
        (true, 0) => -1.0,
        (true, _) => 1.0,
        (false, _) => std::f64::consts::E,
    };
    let batch = Batch::new(steps, 1)
        .with("x", Array2::from_shape_fn((steps, 1), |(t, _)| x(t)))
        .with(
            "keep",
            Array2::from_shape_fn((steps, 1), |(t, _)| f64::from(t >= before)),
        );
    let found = find(&r, &Params::new(), &batch).expect("it overflows");
    for word in ["10 * s", "inf", "step 40309 of sample 0"] {
        assert!(found.to_string().contains(word), "{word} in {found}");
    }
}
