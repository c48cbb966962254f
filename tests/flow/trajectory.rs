//! The states of a run, and the step as a linear map there.

use bptt::cells::{Cell, Loss, Start};
use bptt::flow::Flow;
use bptt::{Batch, Error, Params, Recurrence};
use ndarray::{Array2, ArrayD, Axis, array};

use crate::support::instance;

const SIZES: [(&str, usize); 3] = [("H", 3), ("K", 2), ("O", 2)];

pub(crate) fn parsed(text: &str) -> Recurrence {
    Recurrence::parse("r.rec", text).unwrap()
}

/// Two layers of GRU cells.
fn stacked() -> Recurrence {
    Recurrence::define("stacked", |r| {
        let (h, k) = (r.dim("H"), r.dim("K"));
        let low = Cell::gru().apply(r, r.input("x", [k]), h);
        let high = Cell::gru().suffix("2").apply(r, low, h);
        r.loss(high.square().sum());
    })
    .unwrap()
}

/// Recurrences whose states differ in number, shape and start.
pub(crate) fn examples() -> Vec<Recurrence> {
    let cell = |cell: Cell, name: &str| cell.model(name, Loss::SquaredError).unwrap();
    vec![
        cell(Cell::rnn(), "rnn"),
        cell(Cell::lstm(), "lstm"),
        cell(Cell::gru(), "gru"),
        stacked(),
        parsed("param a\ninput x\nstate h\nh' = tanh(a * h + x)\nloss h'^2\n"),
        parsed(
            "dim H\nparam A[H,H], S0[H,H]\ninput x[H]\nstate S[H,H] = S0\nS' = tanh(A @ S + outer(x, x))\nloss sum(S')\n",
        ),
        parsed(
            "dim H\nparam A[H,H]\ninput x[H]\nstate h[H]\nh' = tanh(A @ h + 0.3 * delay(h) + x * delay(x))\nloss sum(h')\n",
        ),
        parsed(
            "param a\ninput x\nstate u, v\nu' = sin(v + x)\nv' = a * u * v + total_steps(x)\nloss u' * v'\n",
        ),
    ]
}

pub(crate) fn data(
    recurrence: &Recurrence,
    lengths: &[usize],
    seed: u64,
) -> (Params<f64>, Batch<f64>) {
    instance(recurrence, &SIZES, lengths, seed)
}

/// The state vector of a sample at a step, 0 for the initial state.
fn vector(flow: &Flow, sample: usize, step: usize) -> Vec<f64> {
    let mut found = Vec::new();
    for part in flow.parts() {
        let states = flow.state(&part.name).unwrap();
        let state = states.index_axis(Axis(0), step);
        found.extend(state.index_axis(Axis(0), sample).iter().copied());
    }
    found
}

#[test]
fn states_are_those_of_a_run() {
    for recurrence in examples() {
        let (params, batch) = data(&recurrence, &[5, 3], 1);
        let flow = recurrence.flow(&params, &batch).unwrap();
        let run = recurrence.with_final_states().unwrap();
        let found = run.evaluate(&params, &batch).unwrap();
        for name in recurrence.states() {
            let states = flow.state(name).unwrap();
            for (sample, length) in [5, 3].into_iter().enumerate() {
                let last = states.index_axis(Axis(0), length);
                let last = last.index_axis(Axis(0), sample);
                let expected = found[&*format!("{name}.final")]
                    .index_axis(Axis(0), sample)
                    .to_owned();
                let error = (&last - &expected).mapv(f64::abs).sum();
                assert!(error < 1e-14, "{}: {name}: {error}", recurrence.name());
            }
        }
    }
}

#[test]
fn jacobians_are_the_slopes_of_a_step() {
    let henon = parsed("state x, y\nx' = 1 - 1.4 * x^2 + y\ny' = 0.3 * x\n");
    let flow = henon.flow(&Params::new(), &Batch::new(3, 1)).unwrap();
    for step in 1..=3 {
        let x = flow.state("x").unwrap()[[step - 1, 0]];
        let expected = array![[-2.8 * x, 1.0], [0.3, 0.0]];
        assert_eq!(flow.jacobian(0, step).unwrap(), expected);
    }
    // The step from a perturbed state, by a run of one step that starts there.
    for cell in [Cell::rnn(), Cell::lstm(), Cell::gru()] {
        let model = cell
            .start(Start::Zero)
            .model("cell", Loss::SquaredError)
            .unwrap();
        let recurrence = &model;
        let (params, batch) = data(recurrence, &[2, 4], 2);
        let names: Vec<String> = recurrence.states().map(|n| format!("{n}_0")).collect();
        let pairs: Vec<(&str, &str)> = recurrence
            .states()
            .zip(names.iter().map(|n| &**n))
            .collect();
        let open = recurrence
            .with_start_inputs(&pairs)
            .unwrap()
            .with_final_states()
            .unwrap();
        let flow = recurrence.flow(&params, &batch).unwrap();
        let n = flow.size();
        let (sample, step) = (1, 3);
        let after = |state: &[f64]| -> Vec<f64> {
            let mut one = Batch::new(1, 1);
            for name in recurrence.inputs() {
                let steps = batch.get(name).unwrap();
                let at = steps.slice_axis(Axis(0), (step - 1..step).into());
                let own = at.slice_axis(Axis(1), (sample..=sample).into());
                one.insert(name, own.to_owned());
            }
            for ((_, input), part) in pairs.iter().zip(flow.parts()) {
                let entries = state[part.start..part.start + part.size()].to_vec();
                one.insert(
                    input,
                    ArrayD::from_shape_vec(vec![1, part.size()], entries).unwrap(),
                );
            }
            let found = open.evaluate(&params, &one).unwrap();
            let finals = pairs
                .iter()
                .map(|(name, _)| found[&*format!("{name}.final")].clone());
            finals
                .flat_map(|a| a.into_iter().collect::<Vec<_>>())
                .collect()
        };
        let from = vector(&flow, sample, step - 1);
        let mut expected = Array2::zeros((n, n));
        for j in 0..n {
            let moved = |by: f64| {
                let mut state = from.clone();
                state[j] += by;
                after(&state)
            };
            let (up, down) = (moved(1e-5), moved(-1e-5));
            for i in 0..n {
                expected[[i, j]] = (up[i] - down[i]) / 2e-5;
            }
        }
        let error = (&flow.jacobian(sample, step).unwrap() - &expected)
            .mapv(f64::abs)
            .fold(0.0, |m: f64, x| m.max(*x));
        assert!(error < 1e-9, "{}: {error}", recurrence.name());
    }
}

#[test]
fn delays_of_the_state_are_parts_of_it() {
    let r = parsed("param a, b\ninput x\nstate h\nh' = a * h + b * delay(h) + delay(x)\n");
    let (params, batch) = data(&r, &[4], 3);
    let flow = r.flow(&params, &batch).unwrap();
    assert_eq!(
        flow.size(),
        2,
        "h and the value before it, but not that of x: {:?}",
        flow.parts()
    );
    let (a, b) = (params["a"].sum(), params["b"].sum());
    assert_eq!(flow.jacobian(0, 2).unwrap(), array![[a, b], [1.0, 0.0]]);
}

#[test]
fn counters_and_delayed_inputs_are_data() {
    let r = Recurrence::define("clocked", |r| {
        let x = r.input("x", ());
        let h = r.state("h", ());
        r.next(h, 0.5 * h + r.step() * x + r.advance(x));
    })
    .unwrap();
    let (params, batch) = data(&r, &[4], 3);
    let flow = r.flow(&params, &batch).unwrap();
    assert_eq!(flow.size(), 1);
    assert_eq!(flow.jacobian(0, 2).unwrap(), array![[0.5]]);
}

#[test]
fn resets_and_masks_are_steps_of_their_own() {
    let r = parsed("param a\ninput x\nstate h\nh' = a * h + x\n");
    let (params, batch) = data(&r, &[3], 3);
    let flag = array![[1.0], [0.0], [1.0]];
    let batch = batch.with("flag", flag);
    let a = params["a"].sum();
    let jacobians = |r: &Recurrence| -> Vec<f64> {
        let flow = r.flow(&params, &batch).unwrap();
        (1..=3)
            .map(|t| flow.jacobian(0, t).unwrap().sum())
            .collect()
    };
    assert_eq!(jacobians(&r.with_resets("flag").unwrap()), [0.0, a, 0.0]);
    assert_eq!(jacobians(&r.with_mask("flag").unwrap()), [a, 1.0, a]);
}

#[test]
fn some_states_alone() {
    let (lstm, sizes) = (&examples()[1], 3);
    let (params, batch) = data(lstm, &[4], 3);
    let whole = lstm.flow(&params, &batch).unwrap();
    let part = whole.parts().iter().find(|p| p.name == "c").unwrap().start;
    let carousel = Flow::through(lstm, &["c"], &params, &batch).unwrap();
    assert_eq!(carousel.size(), sizes);
    let found = carousel.jacobian(0, 3).unwrap();
    let all = whole.jacobian(0, 3).unwrap();
    for i in 0..sizes {
        for j in 0..sizes {
            assert_eq!(found[[i, j]], all[[part + i, part + j]]);
            assert_eq!(found[[i, j]] != 0.0, i == j, "it is diagonal");
        }
    }
    let error = Flow::through(lstm, &["d"], &params, &batch).unwrap_err();
    assert!(matches!(error, Error::UnknownName { .. }), "{error}");
}

#[test]
fn values_of_later_steps_are_refused_by_name() {
    let refused = |text: &str, names: &[&str]| {
        let r = parsed(text);
        let (params, batch) = data(&r, &[3, 3], 1);
        let error = r.flow(&params, &batch).unwrap_err().to_string();
        for name in names {
            assert!(error.contains(name), "{error}");
        }
    };
    let back = Cell::rnn()
        .backward()
        .model("both", Loss::SquaredError)
        .unwrap();
    let (params, batch) = data(&back, &[3], 1);
    let error = back.flow(&params, &batch).unwrap_err();
    assert!(matches!(error, Error::NotCausal { .. }), "{error}");
    refused("input x\nloss x\n", &["no state", "state h"]);
    refused(
        "input x\nstate h\nh' = tanh(h + x + total_samples(h))\nloss h'\n",
        &["total_samples"],
    );
    refused(
        "input x\nstate h, g\nh' = tanh(h + x)\ng' = g + advance(h)\nloss g'\n",
        &["h", "next step"],
    );
    refused(
        "input x\nstate h, g\nh' = tanh(h + x)\ng' = g * total_steps(h')\nloss g'\n",
        &["whole sequence"],
    );
}

/// Numbers between −1 and 1 that repeat late.
fn spread(count: usize, seed: usize) -> Vec<f64> {
    let entry = |i: usize| ((37 * (i + 1) * (seed + 3)) % 101) as f64 / 50.5 - 1.0;
    (0..count).map(entry).collect()
}

#[test]
fn products_are_those_of_the_jacobian() {
    for recurrence in examples() {
        let (params, batch) = data(&recurrence, &[5, 3], 4);
        let flow = recurrence.flow(&params, &batch).unwrap();
        let n = flow.size();
        for (sample, step) in [(0, 1), (0, 5), (1, 2)] {
            let jacobian = flow.jacobian(sample, step).unwrap();
            let (v, w) = (spread(n, step), spread(n, step + 7));
            let along = flow.tangent(sample, step, &v).unwrap();
            let back = flow.pullback(sample, step, &w).unwrap();
            for i in 0..n {
                let row: f64 = (0..n).map(|j| jacobian[[i, j]] * v[j]).sum();
                let column: f64 = (0..n).map(|j| jacobian[[j, i]] * w[j]).sum();
                assert!((along[i] - row).abs() < 1e-13, "{}", recurrence.name());
                assert!((back[i] - column).abs() < 1e-13, "{}", recurrence.name());
            }
        }
    }
}

#[test]
fn a_state_that_depends_on_no_state_has_zero_slopes() {
    for text in [
        "param a\ninput x\nstate h, g\nh' = x\ng' = a * g + h\nloss g'\n",
        "param a\ninput x\nstate h\nh' = a * x\nloss h'\n",
    ] {
        let r = parsed(text);
        let (params, batch) = data(&r, &[3], 4);
        let flow = r.flow(&params, &batch).unwrap();
        let jacobian = flow.jacobian(0, 2).unwrap();
        assert_eq!(jacobian.row(0).sum(), 0.0);
        let zeros = vec![0.0; flow.size()];
        let first = spread(1, 1)[0];
        let mut cotangent = zeros.clone();
        cotangent[0] = first;
        assert_eq!(flow.pullback(0, 2, &cotangent).unwrap(), zeros);
        assert_eq!(flow.tangent(0, 2, &cotangent).unwrap()[0], 0.0);
    }
}

#[test]
fn a_step_or_direction_that_does_not_exist_is_refused() {
    let r = parsed("param a\ninput x\nstate h\nh' = a * h + x\n");
    let (params, batch) = data(&r, &[3], 4);
    let flow = r.flow(&params, &batch).unwrap();
    let refused = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error}");
    refused(flow.jacobian(0, 0).unwrap_err(), "1 to 3");
    refused(flow.jacobian(0, 4).unwrap_err(), "1 to 3");
    refused(flow.jacobian(1, 1).unwrap_err(), "no sample 1");
    refused(flow.tangent(0, 1, &[1.0, 2.0]).unwrap_err(), "[1]");
}
