//! The gradient in one pass forwards in time equals backpropagation, and exists exactly where entries stay apart.

use std::ops::Range;
use std::time::Instant;

use bptt::{Batch, Error, Params, Rate, Recurrence, Stepper, Wrt};
use bptt_testing::random::{self as strategy, Instance};
use indexmap::IndexMap;
use ndarray::{ArrayD, Axis};

use crate::stepper::flat;
use crate::support::engines::EveryEngine as _;
use crate::support::library::{SIZES, data, library, parse};
use crate::support::random::{Seen, for_all, named, norm, overall};
use crate::support::{Noise, instance};

/// Recurrences whose states keep their entries apart.
const ENTRYWISE: &[(&str, &str)] = &[
    (
        "diagonal",
        "dim H, K\nparam a[H], W[H, K], b[H], c[H]\ninput x[K], y\nsample input h0[H]\nstate h[H] = h0 * c\n\
         h' = tanh(a * h + W @ x + b)\nmean loss (dot(c, h') - y)^2 + dot(h, h')\n",
    ),
    (
        "readout",
        "dim H, K, O\nparam a[H], W[H, K], V[O, H], e[O]\ninput x[K], y[O]\nstate h[H]\n\
         h' = sigmoid(a) * h + (1 - sigmoid(a)) * tanh(W @ x)\nfinal loss squared_error(V @ h' + e, y)\n",
    ),
    (
        "cell",
        "dim H, K\nparam f[H], g[H], U[H, K], V[H, K], W[H, K], start[H]\ninput x[K]\nstate h[H], c[H] = start\n\
         i = sigmoid(U @ x + f * h)\nc' = i * c + (1 - i) * tanh(V @ x + g * h)\nh' = sigmoid(W @ x) * tanh(c')\n\
         loss sum(h'^2) + 0.1 * sum(c' * c)\nmean final loss sum(h')\nloss 0.5 * sum(W^2) + dot(start, f)\n",
    ),
    (
        "numbers",
        "dim K >= 2\nparam omega, alpha, beta, w[K], A[K, K]\ninput x[K]\nstate v = exp(omega), m\n\
         v' = exp(omega) + sigmoid(alpha) * dot(x, x) + sigmoid(beta) * v + m^2\nm' = tanh(0.5 * m + dot(w, A @ x) - 0.1 * v)\n\
         loss ln(v') + (m' - x[0])^2 / v'\n",
    ),
    (
        "number of vectors",
        "dim H, K\nparam a[H], W[H, K], V[H, K], r\ninput x[K]\nstate h[H], s\n\
         h' = a * h + tanh(W @ x)\ns' = r * s + sum(h * (V @ x)) + dot(h', h')\nloss sqrt(1 + s'^2)\n",
    ),
    (
        "matrices",
        "dim H, K\nparam A[H, K], B[H, K], r\ninput x[H], y[K]\nstate M[H, K] = 0.5 * A\n\
         M' = tanh(A) * M + B * outer(x, y)\nloss r * sum(M' * M)\n",
    ),
    (
        "shifts",
        "dim H, K\nparam a[H], W[H, K], d[H]\ninput x[K]\nstate h[H]\nz = W @ x\n\
         h' = a * h + delay(tanh(z), d) + delay(h, a) * z\nmean loss sum(abs(h')) + sum(lag(h', 2))\n",
    ),
    (
        "whole sequences",
        "dim H, K >= 2\nparam a[H], W[H, K], mu\ninput x[K]\nstate h[H], v = total_steps((x[0] - mu)^2)\n\
         h' = a * h + tanh(W @ x)\nv' = 0.5 * v + (x[1] - mu)^2\ny = sum(h') - total_steps(sum(h))\nmean loss ln(v') + y^2\n",
    ),
    (
        "branches",
        "dim H, K\nparam a[H], W[H, K], q\ninput x[K], on\nstate h[H]\n\
         h' = select(on > 0, a * h + W @ x, q * h)\nloss sum(max(h', 0)) + stop_gradient(q) * sum(h)\n",
    ),
];

fn compare(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, what: &str) -> bool {
    let online = match r.online_gradient(Wrt::Parameters) {
        Ok(online) => online,
        Err(Error::Definition { .. } | Error::NotCausal { .. }) => return false,
        Err(other) => panic!("{what}: {other}"),
    };
    let gradient = r.gradient(Wrt::Parameters).unwrap().evaluate(params, batch);
    let found = online.on_every_engine(params, batch);
    let (Ok(gradient), Ok(found)) = (gradient, found) else {
        return false;
    };
    assert_eq!(
        found.loss().unwrap().to_bits(),
        gradient.loss().unwrap().to_bits(),
        "{what}"
    );
    let names = |o: &bptt::Outputs<f64>| o.iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&gradient), "{what}");
    let scale = overall(&gradient) + 1e-3;
    for (name, array) in named(&gradient) {
        let apart = norm(&(&found[name] - array)) / scale;
        assert!(apart < 1e-12, "{what}: `{name}` {apart:e}\n{}", online);
    }
    true
}

#[test]
fn entrywise_recurrences_have_the_gradient_of_backpropagation() {
    for (name, text) in ENTRYWISE {
        let r = parse(name, text);
        for (seed, lengths) in [&[4, 3][..], &[1, 5, 2], &[6]].into_iter().enumerate() {
            let (params, batch) = instance(&r, SIZES, lengths, seed as u64 + 7);
            assert!(compare(&r, &params, &batch, name), "{name}");
        }
        let with_resets = r.with_resets("restart").unwrap();
        let (params, batch) = instance(&with_resets, SIZES, &[7, 5], 3);
        let mut noise = Noise(5);
        let resets = ArrayD::from_shape_simple_fn(vec![7, 2], || f64::from(noise.number() > 0.2));
        let batch = batch.with("restart", resets);
        // A sum over the steps between resets is known at their end: it goes back from there.
        let is_causal = !text.contains("total_steps");
        let is_found = compare(&with_resets, &params, &batch, name);
        assert_eq!(is_found, is_causal, "{name} with resets");
        let masked = r.with_mask("active").unwrap();
        let (params, batch) = instance(&masked, SIZES, &[6, 4], 9);
        let mut noise = Noise(8);
        let mask = ArrayD::from_shape_simple_fn(vec![6, 2], || f64::from(noise.number() > -0.3));
        let batch = batch.with("active", mask);
        compare(&masked, &params, &batch, name);
    }
}

#[test]
fn inputs_per_sample_are_variables_too() {
    let (name, text) = ENTRYWISE[0];
    let r = parse(name, text);
    let (params, batch) = instance(&r, SIZES, &[4, 3], 2);
    let online = r
        .online_gradient(&["h0", "a"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let expected = r
        .gradient(&["h0", "a"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    for name in ["h0", "a"] {
        assert!(
            norm(&(&online[name] - &expected[name])) < 1e-14 * norm(&expected[name]),
            "{name}"
        );
    }
}

/// Every recurrence of the library has the right gradient or a refusal that names the expression.
#[test]
fn the_library_is_told_apart() {
    let mut found = Vec::new();
    for (name, text) in library() {
        let r = parse(&name, &text);
        if !r.outputs().any(|name| name == "loss") {
            continue;
        }
        let (params, batch) = data(&name, &r, 11);
        if compare(&r, &params, &batch, &name) {
            found.push(name);
        }
    }
    for name in ["garch11", "gjr_garch", "logistic_map"] {
        assert!(found.iter().any(|n| n == name), "{name}: {found:?}");
    }
    for name in ["rnn", "lstm", "gru", "bidirectional_rnn"] {
        assert!(!found.iter().any(|n| n == name), "{name}");
    }
}

#[test]
fn states_that_mix_their_entries_are_refused_by_the_expression() {
    for (text, expected) in [
        (
            "state h[H]\nh' = tanh(W @ h + x)\nloss sum(h')\n",
            "state `h` depends on other entries, or on other samples, through `W @ h`",
        ),
        (
            "state h[H], s\nh' = tanh(c * h + x + s)\ns' = r * s + 1\nloss sum(h')\n",
            "`h`",
        ),
        (
            "state h[H]\nh' = softmax(c * h + x)\nloss sum(h' * x)\n",
            "softmax",
        ),
        (
            "state h[H]\nh' = c * h + x - total_samples(h)\nloss sum(h')\n",
            "total_samples(h)",
        ),
        (
            "state h[H], k[H]\nh' = c * h + x\nk' = k + W @ h'\nloss sum(k')\n",
            "state `k`",
        ),
        ("state h[H]\nh' = r * h + x\nloss sum(h')\n", "state `h`"),
    ] {
        let text = format!("dim H\nparam W[H, H], c[H], r\ninput x[H]\n{text}");
        let error = parse("mixed", &text).online_gradient(Wrt::Parameters);
        match error {
            Ok(_) if text.contains("h' = r * h") => {}
            other => {
                let message = other.unwrap_err().to_string();
                assert!(message.contains(expected), "{message}");
            }
        }
    }
    let late = parse(
        "late",
        "param a\ninput x\nbackward state h\nh' = a * h + x\nloss h'\n",
    );
    assert!(matches!(
        late.online_gradient(Wrt::Parameters),
        Err(Error::NotCausal { .. })
    ));
    let r = parse("r", "param a\ninput x\nstate h\nh' = a * h + x\nloss h'\n");
    assert!(matches!(
        r.online_gradient(Wrt::Everything),
        Err(Error::NotDifferentiable { .. })
    ));
}

#[test]
fn random_recurrences_have_the_same_gradient_where_they_have_one() {
    let count = std::cell::Cell::new(0);
    let test = |i: &Instance, _: &mut Seen| {
        let is_found = compare(&i.recurrence, &i.params, &i.batch, "random");
        count.set(count.get() + usize::from(is_found));
        Ok(())
    };
    for_all(300, "online gradients, steps", strategy::per_step(), test);
    for_all(300, "online gradients", strategy::recurrence(), test);
    assert!(count.get() > 40, "{}", count.get());
}

/// The first steps of a batch.
fn prefix(batch: &Batch<f64>, r: &Recurrence, steps: usize) -> Batch<f64> {
    let mut found = Batch::new(steps, batch.samples());
    for leaf in r.tape().leaves() {
        let Some(array) = batch.get(leaf.name()) else {
            continue;
        };
        let array = match leaf.ty().rate {
            Rate::Step => array.slice_axis(Axis(0), (0..steps).into()),
            _ => array.view(),
        };
        found = found.with(leaf.name(), array.to_owned());
    }
    found
}

#[test]
fn a_stepper_has_the_gradient_of_the_steps_so_far() {
    for (name, text) in ENTRYWISE {
        let r = parse(name, text);
        for lengths in [&[5][..], &[5, 5, 5]] {
            let (params, batch) = instance(&r, SIZES, lengths, 23);
            let program = r.compile_for(&params, &batch).unwrap();
            let Ok(plain) = program.stepper_of(&params, &batch) else {
                assert_eq!(*name, "whole sequences");
                continue;
            };
            let mut stepper = plain.with_gradient(Wrt::Parameters).unwrap();
            let gradient = r.gradient(Wrt::Parameters).unwrap();
            for step in 0..5 {
                stepper.step(&flat(&r, &batch, step)).unwrap();
                let so_far = prefix(&batch, &r, step + 1);
                let expected = gradient.evaluate(&params, &so_far).unwrap();
                let found = stepper.so_far().unwrap();
                let scale = overall(&expected) + 1e-3;
                for (name, array) in named(&expected) {
                    let apart = norm(&(&found[name] - array)) / scale;
                    assert!(apart < 1e-12, "`{name}` {apart:e} at step {step} of {text}");
                }
            }
        }
    }
}

/// A recurrence with a sum over steps and an output per step whose name a variable has.
const LEARNER: &str = "dim H, K\nparam a[H], W[H, K], v[H]\ninput x[K], y\nstate h[H] = 0.3 * v\n\
     h' = tanh(a * h + W @ x)\nout = dot(v, h')\noutput out, h', a = 2 * out\nloss (out - y)^2\noutput begin = first(out)\n";

#[test]
fn gradients_of_single_steps_add_up_to_that_of_all() {
    let r = parse("learner", LEARNER);
    let (params, batch) = instance(&r, SIZES, &[6, 6], 31);
    let program = r.compile_for(&params, &batch).unwrap();
    let mut plain = program.stepper_of(&params, &batch).unwrap();
    let mut stepper = plain.with_gradient(Wrt::Parameters).unwrap();
    let names = |s: &Stepper<f64>| s.outputs().map(|(n, _)| n.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&plain), ["out", "h", "a"]);
    assert_eq!(names(&stepper), ["out", "h", "a.value"]);
    let mut taking = stepper.clone();
    let mut sums = IndexMap::new();
    for step in 0..6 {
        let inputs = flat(&r, &batch, step);
        let outputs = plain.step(&inputs).unwrap();
        assert_eq!(stepper.step(&inputs).unwrap(), outputs, "step {step}");
        assert_eq!(taking.step(&inputs).unwrap(), outputs, "step {step}");
        let taken = taking.take().unwrap();
        let all = stepper.so_far().unwrap();
        for name in ["loss", "a", "W", "v"] {
            let sum: &mut ArrayD<f64> = sums
                .entry(name)
                .or_insert_with(|| ArrayD::zeros(taken[name].shape()));
            *sum += &taken[name];
            let apart = norm(&(&*sum - &all[name])) / norm(&all[name]);
            assert!(apart < 1e-13, "`{name}` {apart:e} at step {step}");
        }
    }
    // A value of the first step is no sum.
    let (mut one, mut two) = (plain.clone(), plain);
    one.take().unwrap();
    assert_eq!(one.take().unwrap()["begin"], two.so_far().unwrap()["begin"]);
    assert_eq!(one.loss().unwrap(), 0.0, "the sums have begun again");
    assert!((two.loss().unwrap() - sums["loss"].sum()).abs() < 1e-12);
}

/// A step under new parameters has the bits of a stepper of these parameters in the same state.
#[test]
fn parameters_change_between_steps() {
    let lstm = library().into_iter().find(|(name, _)| name == "lstm");
    for (name, text) in lstm
        .into_iter()
        .chain([("learner".to_owned(), LEARNER.to_owned())])
    {
        let r = parse(&name, &text);
        for lengths in [&[7][..], &[7, 7, 7]] {
            let (before, batch) = instance(&r, SIZES, lengths, 41);
            let (after, _) = instance(&r, SIZES, lengths, 42);
            let program = r.compile_for(&before, &batch).unwrap();
            let start = || program.stepper_of(&before, &batch).unwrap();
            let take_steps = |stepper: &mut Stepper<f64>, steps: Range<usize>| -> Vec<Vec<u64>> {
                let bits = |step| {
                    let found = stepper.step(&flat(&r, &batch, step)).unwrap();
                    found.iter().map(|x| x.to_bits()).collect()
                };
                steps.map(bits).collect()
            };
            let mut stepper = start();
            take_steps(&mut stepper, 0..3);
            let mut unchanged = stepper.clone();
            let saved = stepper.save();
            stepper.set_params(&after).unwrap();
            assert_eq!(stepper.save(), saved, "states and sums stay");
            let mut copy = stepper.clone();
            let mut expected = program.stepper_of(&after, &batch).unwrap();
            expected.restore(&saved).unwrap();
            let steps = take_steps(&mut expected, 3..7);
            assert_eq!(take_steps(&mut stepper, 3..7), steps, "{name}");
            assert_eq!(take_steps(&mut copy, 3..7), steps, "{name}: a copy");
            assert_eq!(
                stepper.so_far().unwrap()["loss"],
                expected.so_far().unwrap()["loss"]
            );
            let mut original = start();
            let steps = take_steps(&mut original, 0..7).split_off(3);
            assert_eq!(
                take_steps(&mut unchanged, 3..7),
                steps,
                "{name}: an earlier copy"
            );

            // And back again; before the first step, the initial values are those of the new parameters.
            stepper.reset();
            stepper.set_params(&before).unwrap();
            assert_eq!(
                take_steps(&mut stepper, 0..7).split_off(3),
                steps,
                "{name}: from the start"
            );
            let wrong = after
                .clone()
                .with(r.parameters().next().unwrap(), ArrayD::zeros(vec![9, 9]));
            assert!(stepper.set_params(&wrong).is_err());
        }
    }
}

/// The time of a step in the gradient forwards, for each parameter, and beside backpropagation.
#[test]
#[ignore = "measures time, on a machine without other work"]
fn online_beside_backpropagation() {
    let r = parse("diagonal", ENTRYWISE[0].1);
    for n in [4, 16, 64, 256] {
        let steps = 4_000_000 / (n * (n + 8));
        let (params, batch) = instance(&r, &[("H", n), ("K", n)], &[steps], 3);
        let time = |r: &Recurrence| {
            let program = r.compile_for(&params, &batch).unwrap().threads(1);
            let mut workspace = program.workspace();
            let mut run = || {
                let begin = Instant::now();
                program.run(&params, &batch, &mut workspace).unwrap();
                begin.elapsed().as_secs_f64()
            };
            run();
            (0..5).map(|_| run()).fold(f64::INFINITY, f64::min)
        };
        let online = time(&r.online_gradient(Wrt::Parameters).unwrap());
        let backward = time(&r.gradient(Wrt::Parameters).unwrap());
        let count: usize = params.iter().map(|(_, array)| array.len()).sum();
        println!(
            "H = {n}: {:.3} µs a step, {:.3} ns a parameter and step, {:.2} of backpropagation",
            online / steps as f64 * 1e6,
            online / (steps * count) as f64 * 1e9,
            online / backward
        );
    }
}
