//! The gradient by lag: the parts add up to the gradient, and agree with truncated gradients and closed forms.

use bptt::cells::{Cell, Loss};
use bptt::fit::{Truncated, Truncation};
use bptt::flow::Lags;
use bptt::{Batch, Params, Recurrence, Wrt};
use bptt_testing::random as strategy;
use ndarray::{Array2, ArrayD, Zip, arr0};
use proptest::prelude::{ProptestConfig, prop_assume, proptest};

use crate::{data, parse};

fn norm(a: &ArrayD<f64>) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Terms of order one that cancel leave this much.
const CANCELLED: f64 = 1e-15;

/// The split, and the parts; the parts add up to the gradient.
fn split(
    r: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
    most: usize,
) -> (Lags, Vec<Params<f64>>) {
    let mut parts: Vec<Params<f64>> = Vec::new();
    let lags = r
        .lags_with(params, batch, most, |_, part| parts.push(part.clone()))
        .unwrap();
    let gradient = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .evaluate(params, batch)
        .unwrap();
    assert_eq!(lags.bins().len(), parts.len(), "each bin was given");
    for p in lags.parameters() {
        let of = |part: &Params<f64>| part.get(&p.name).unwrap().clone();
        let sum = parts.iter().map(of).reduce(|a, b| a + b).unwrap();
        let scale: f64 = parts.iter().map(|part| norm(&of(part))).sum();
        let error = norm(&(&sum - &gradient[&*p.name]));
        assert!(
            error <= 1e-12 * scale + CANCELLED,
            "{r}\n{}: {error:e} of {scale:e}",
            p.name
        );
        assert!(
            (p.norm - norm(&gradient[&*p.name])).abs() <= 1e-12 * p.norm + CANCELLED,
            "{}",
            p.name
        );
        let values = lags.by_value().iter().filter(|s| s.parameter == p.name);
        let is_ended = lags.bins().iter().any(|bin| bin.further);
        if p.norm > 1e-9 * scale && p.norm > 0.0 && !is_ended {
            let tolerance = 1e-12 * (scale / p.norm).powi(2);
            for shares in [lags.by_value(), lags.by_state()] {
                let shares = shares.iter().filter(|s| s.parameter == p.name);
                let sum: f64 = shares.map(|s| s.share).sum();
                assert!(
                    (sum - 1.0).abs() < tolerance,
                    "{r}\n{}: shares add up to {sum}",
                    p.name
                );
            }
        }
        assert!(
            values.count() > 0 || p.norm <= 1e-9 * scale + CANCELLED || is_ended,
            "{}",
            p.name
        );
    }
    let last = lags.bins().last().unwrap();
    assert!(
        last.left_out < 1e-10 || lags.norm() < 1e-9,
        "{}",
        last.left_out
    );
    (lags, parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any recurrence, several samples and lengths, in both directions; all lags, and a last part with further ones.
    #[test]
    fn parts_add_up(i in strategy::recurrence()) {
        split(&i.recurrence, &i.params, &i.batch, 100);
        split(&i.recurrence, &i.params, &i.batch, 2);
    }

    /// The lags below τ are the gradient in windows of τ steps, one for each step.
    #[test]
    fn truncated_gradients_have_the_first_lags(i in strategy::per_step(), through in 1_usize..6) {
        let truncated = Truncated::new(&i.recurrence, Wrt::Parameters);
        prop_assume!(truncated.is_ok());
        let program = truncated.unwrap().compile_for(&i.params, &i.batch).unwrap();
        let mut windows = program.windows(&i.batch, Truncation::new(1, through).unwrap()).unwrap();
        let mut sums = Params::<f64>::new();
        while let Some(found) = windows.next(&i.params).unwrap() {
            for (name, array) in found.iter().filter(|(name, _)| *name != "loss") {
                match sums.get_mut(name) {
                    Some(sum) => *sum += array,
                    None => sums.insert(name, array.clone()),
                }
            }
        }
        let (lags, parts) = split(&i.recurrence, &i.params, &i.batch, 100);
        // An initial value is used at the step before the first, and a window from the first step has it.
        for p in lags.parameters().iter().filter(|p| !starts(&i.recurrence, &p.name)) {
            let of = |part: &Params<f64>| part.get(&p.name).unwrap().clone();
            let sum = parts.iter().take(through).map(of).reduce(|a, b| a + b).unwrap();
            let scale: f64 = parts.iter().map(|part| norm(&of(part))).sum();
            let error = norm(&(&sum - sums.get(&p.name).unwrap()));
            assert!(error <= 1e-12 * scale + CANCELLED, "{}\n{}: {error:e}", i.recurrence, p.name);
        }
    }
}

/// True if an initial value depends on the parameter.
fn starts(r: &Recurrence, name: &str) -> bool {
    let tape = r.tape();
    let leaf = tape.leaf_named(name).unwrap();
    let mut depends = vec![false; tape.len()];
    for (id, node) in tape.nodes() {
        let is_leaf = matches!(node.op(), bptt::Op::Leaf(l) if std::ptr::eq(&raw const tape.leaves()[l.index()], leaf));
        depends[id.index()] = is_leaf || node.args().iter().any(|a| depends[a.index()]);
    }
    tape.registers()
        .iter()
        .any(|r| r.init().is_some_and(|init| depends[init.index()]))
}

/// `s_t = a s_{t-1} + b x_t` with `s_0 = b` and `L = s_T`: the part of `b` of lag τ is `a^τ x_{T-τ}`, and `a^T` at lag `T`.
#[test]
fn a_scalar_has_powers() {
    let r = parse("param a, b\ninput x\nstate s = b\ns' = a * s + b * x\nfinal loss s'\n");
    let steps = 40;
    let params = Params::new().with("a", arr0(0.5)).with("b", arr0(2.0));
    let batch = Batch::new(steps, 1).with(
        "x",
        Array2::from_shape_fn((steps, 1), |(t, _)| (t as f64).cos()),
    );
    let (lags, parts) = split(&r, &params, &batch, 100);
    assert_eq!(parts.len(), steps + 1);
    for (lag, part) in parts.iter().enumerate() {
        let x = if lag < steps {
            ((steps - 1 - lag) as f64).cos()
        } else {
            1.0
        };
        let expected = 0.5_f64.powf(lag as f64) * x;
        let found = part.get("b").unwrap().first().unwrap();
        assert!(
            (found - expected).abs() <= 1e-15 * expected.abs(),
            "{lag}: {found} {expected}"
        );
        if lag < steps {
            assert_eq!(lags.bins()[lag].arrival, 0.5_f64.powf(lag as f64));
        }
    }
    assert_eq!(lags.lost_after(0.01), Some(7), "0.5^7 = 0.0078");
    assert_eq!(lags.factor(20), Some(0.5));
}

/// A delay by three steps is three registers; a reset ends the way back.
#[test]
fn delays_and_resets() {
    let r = parse("param b\ninput x\nloss delay(delay(delay(b * x)))\n");
    let params = Params::new().with("b", arr0(2.0));
    let batch = Batch::new(6, 1).with("x", Array2::ones((6, 1)));
    let (_, parts) = split(&r, &params, &batch, 100);
    let found: Vec<f64> = parts.iter().map(|p| p.get("b").unwrap().sum()).collect();
    assert_eq!(found, [0.0, 0.0, 0.0, 3.0]);

    let r = parse("param b\ninput x\nstate s\ns' = s + b * x\nloss s'\n")
        .with_resets("reset")
        .unwrap();
    let mut reset = Array2::zeros((6, 1));
    reset[[2, 0]] = 1.0;
    let batch = batch.with("reset", reset);
    let (_, parts) = split(&r, &params, &batch, 100);
    let found: Vec<f64> = parts.iter().map(|p| p.get("b").unwrap().sum()).collect();
    assert_eq!(found, [6.0, 4.0, 2.0, 1.0], "sequences of 2 and 4 steps");
}

/// The classical cells, stacked and in two directions, with losses per step and at the end.
#[test]
fn classical_cells() {
    for cell in [Cell::rnn(), Cell::lstm(), Cell::gru()] {
        let r = cell.model("model", Loss::SquaredError).unwrap();
        let (params, batch) = data(&r, &[("H", 3), ("K", 2), ("O", 2)], (9, 3), 0.8, 5);
        let batch = batch.with_lengths([9, 4, 7]);
        let (lags, _) = split(&r, &params, &batch, 50);
        assert_eq!(
            lags.bins().len(),
            9,
            "the initial states are constants, so 8 steps back"
        );
        let (lags, parts) = split(&r, &params, &batch, 3);
        assert_eq!((lags.bins().len(), parts.len()), (4, 4));
        assert!(lags.bins()[3].further);
        assert!(
            lags.parameters().iter().any(|p| !p.recurrent),
            "W_O is read by no state"
        );
    }
}

/// The gradient of `W_O` comes by the output, and that of a gate's parameters by the gate.
#[test]
fn parameters_come_by_their_gates() {
    let r = Recurrence::parse(
        "lstm.rec",
        include_str!("../../examples/recurrences/lstm.rec"),
    )
    .unwrap();
    let dims: Vec<(&str, usize)> = r.tape().dims().map(|d| (d, 3)).collect();
    let (params, batch) = data(&r, &dims, (7, 2), 0.8, 5);
    let (lags, _) = split(&r, &params, &batch, 50);
    for share in lags.by_value() {
        assert!(share.through.is_some(), "{share:?}");
    }
    let of = |parameter: &str| {
        let shares = lags
            .by_value()
            .iter()
            .filter(|s| &*s.parameter == parameter);
        shares
            .map(|s| (s.through.as_deref().unwrap().to_owned(), s.share))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("U_f").len(), 1, "{:?}", of("U_f"));
    // A matrix that two gates share.
    let r = parse(
        "dim H\nparam W[H, H]\ninput x[H]\nstate h[H]\nz = sigmoid(W @ h + x)\nn = tanh(W @ h - x)\nh' = z * h + (1 - z) * n\nloss sum(h'^2)\n",
    );
    let (params, batch) = data(&r, &[("H", 3)], (7, 2), 0.8, 5);
    let (lags, _) = split(&r, &params, &batch, 50);
    let shares = lags
        .by_value()
        .iter()
        .map(|s| (s.through.as_deref().unwrap(), s.share));
    let shares: Vec<(&str, f64)> = shares.collect();
    assert_eq!(shares.iter().map(|s| s.0).collect::<Vec<_>>(), ["z", "n"]);
    // The same by copies that are written out.
    let r = parse(
        "dim H\nparam W[H, H], V[H, H]\ninput x[H]\nstate h[H]\nz = sigmoid(W @ h + x)\nn = tanh(V @ h - x)\nh' = z * h + (1 - z) * n\nloss sum(h'^2)\n",
    );
    let params = params.clone().with("V", params.get("W").unwrap().clone());
    let gradient = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let whole = &gradient["W"] + &gradient["V"];
    for ((_, share), part) in shares.iter().zip(["W", "V"]) {
        let mut inner = 0.0;
        Zip::from(&gradient[part])
            .and(&whole)
            .for_each(|a, b| inner += a * b);
        assert!((share - inner / norm(&whole).powi(2)).abs() < 1e-12);
    }
}
