//! Optimal control, by a fit over inputs: against the Riccati recursion, and against another program.

use bptt::{Batch, Params, Recurrence};
use ndarray::{Array1, Array2, Array3, array, s};

use crate::fitted_models::oracle;
use crate::support::fits::{minimised_over, parse};

fn lqr() -> Recurrence {
    parse(include_str!("../../examples/recurrences/lqr_controls.rec"))
}

fn inverse(m: &Array2<f64>) -> Array2<f64> {
    let n = m.nrows();
    let mut work = ndarray::concatenate![ndarray::Axis(1), m.view(), Array2::<f64>::eye(n)];
    for i in 0..n {
        let pivot = work.row(i).to_owned() / work[[i, i]];
        for j in 0..n {
            let factor = if i == j {
                work[[i, i]] - 1.0
            } else {
                work[[j, i]]
            };
            work.row_mut(j).scaled_add(-factor, &pivot);
        }
    }
    work.slice(s![.., n..]).to_owned()
}

const STEPS: usize = 50;

/// The best controls are the feedback of the Riccati recursion, the costates are `P s`, and the curvature of the
/// least cost is `P`.
#[test]
fn the_best_controls_of_a_linear_plant_are_those_of_riccati() {
    let a = array![[1.0, 0.1, 0.0], [-0.2, 0.95, 0.1], [0.1, 0.0, 0.9]];
    let b = array![[0.0, 0.05], [0.1, 0.0], [0.0, 0.2]];
    let (q, r) = (array![0.3, -0.5, 0.1], array![-2.0, -1.0]);
    let s0 = array![1.0, -0.5, 2.0];
    let params = Params::new()
        .with("A", a.clone())
        .with("B", b.clone())
        .with("q", q.clone())
        .with("r", r.clone());
    let batch = Batch::new(STEPS, 1).with("s0", s0.clone().insert_axis(ndarray::Axis(0)));
    let (found, mut known, _) = minimised_over(&lqr(), &["u"], &params, &batch);

    // P at the start of each step, and at the end.
    let (q, r) = (
        Array2::from_diag(&q.mapv(f64::exp)),
        Array2::from_diag(&r.mapv(f64::exp)),
    );
    let mut costs = vec![q.clone()];
    let mut gains = Vec::new();
    for _ in 0..STEPS {
        let p = costs[costs.len() - 1].clone();
        let gain = inverse(&(&r + &b.t().dot(&p).dot(&b))).dot(&b.t().dot(&p).dot(&a));
        costs.push(&q + &a.t().dot(&p).dot(&(&a - &b.dot(&gain))));
        gains.push(gain);
    }
    costs.reverse();
    gains.reverse();

    let gradient = lqr().gradient(&["u", "s", "s0"]).unwrap();
    let (params, batch) = known.with(&gradient, &found).unwrap();
    let outputs = gradient.evaluate(params, batch).unwrap();
    let least = 0.5 * s0.dot(&costs[0].dot(&s0));
    assert!((outputs.loss().unwrap() / least - 1.0).abs() < 1e-13);
    assert!(
        outputs["u"].iter().all(|x| x.abs() < 1e-12),
        "{}",
        outputs["u"]
    );
    let mut state = s0.clone();
    let near = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-11, "{found}, not {expected}");
    };
    for t in 0..STEPS {
        let u = -gains[t].dot(&state);
        state = a.dot(&state) + b.dot(&u);
        let costate = costs[t + 1].dot(&state);
        (0..2).for_each(|i| near(found["u"][[t, 0, i]], u[i]));
        (0..3).for_each(|i| near(outputs["s"][[t, 0, i]], costate[i]));
    }
    let slope: Array1<f64> = costs[0].dot(&s0);
    (0..3).for_each(|i| near(outputs["s0"][[0, i]], slope[i]));

    // The least cost as a function of the initial state has the curvature P: the Hessian after elimination of u.
    let (_, _, h) = minimised_over(&lqr(), &["u", "s0"], params, batch);
    let n = 2 * STEPS;
    let (uu, us, ss) = (
        h.slice(s![..n, ..n]).to_owned(),
        h.slice(s![..n, n..]).to_owned(),
        h.slice(s![n.., n..]).to_owned(),
    );
    let curvature = ss - us.t().dot(&inverse(&uu)).dot(&us);
    let off = (&curvature - &costs[0]).mapv(f64::abs);
    assert!(
        off.iter().all(|x| *x < 1e-10),
        "{curvature}, not {}",
        costs[0]
    );
}

/// The optimum of `CasADi` with Ipopt for the same steps, by multiple shooting (`tests/data/fitted_models.py`). The
/// multipliers of the steps are the costates.
#[test]
fn the_oscillator_is_brought_to_rest_as_by_another_program() {
    let of = |quantity: &str| oracle("van_der_pol", quantity);
    let r = parse(include_str!("../../examples/recurrences/van_der_pol.rec"));
    let (found, mut known, _) = minimised_over(&r, &["u"], &Params::new(), &Batch::new(40, 1));
    for (u, expected) in found["u"].iter().zip(of("u")) {
        assert!((u - expected).abs() < 1e-11, "{u}, not {expected}");
    }
    let gradient = r.gradient(&["x1", "x2"]).unwrap();
    let (params, batch) = known.with(&gradient, &found).unwrap();
    let outputs = gradient.evaluate(params, batch).unwrap();
    assert!((outputs.loss().unwrap() - of("loss")[0]).abs() < 1e-13);
    for (t, costate) in of("costates").chunks(2).enumerate() {
        for (name, expected) in ["x1", "x2"].into_iter().zip(costate) {
            let found = outputs[name][[t, 0]];
            assert!(
                (found - expected).abs() < 1e-10,
                "{name} at {t}: {found}, not {expected}"
            );
        }
    }
}

/// Samples are independent problems, and entries beyond the length of one have no influence.
#[test]
fn samples_of_different_lengths_are_solved_together() {
    let params = Params::new()
        .with("A", array![[1.0, 0.1], [-0.1, 1.0]])
        .with("B", array![[0.0], [0.1]])
        .with("q", array![0.0, 0.0])
        .with("r", array![-1.0]);
    let (first, second) = (array![1.0, 0.0], array![-1.0, 2.0]);
    let both = ndarray::stack![ndarray::Axis(0), first, second];
    let batch = Batch::new(12, 2).with("s0", both).with_lengths([12, 7]);
    let (found, ..) = minimised_over(&lqr(), &["u"], &params, &batch);
    for (b, (start, steps)) in [(first, 12), (second, 7)].into_iter().enumerate() {
        let alone = Batch::new(steps, 1).with("s0", start.insert_axis(ndarray::Axis(0)));
        let (alone, ..) = minimised_over(&lqr(), &["u"], &params, &alone);
        for t in 0..12 {
            let expected = if t < steps {
                alone["u"][[t, 0, 0]]
            } else {
                0.0
            };
            let u = found["u"][[t, b, 0]];
            assert!((u - expected).abs() < 1e-9, "{u}, not {expected}");
        }
    }
    let zero: Array3<f64> = Array3::zeros((12, 2, 1));
    assert_ne!(found["u"], zero.into_dyn());
}
