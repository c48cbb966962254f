//! Maps of one variable without inputs: the affine map, whose derivatives are polynomials, and the chaotic
//! logistic map, whose derivatives give a bound on their own error.

use bptt::{Batch, Params, Recurrence};
use ndarray::arr0;

use super::table::{U, assert_close, recurrence_oracle};
use crate::support::engines::EveryEngine as _;

/// The loss `x_n` of `x_t = r x_{t−1} (1 − x_{t−1})`.
fn logistic() -> Recurrence {
    let defined = Recurrence::define("logistic", |d| {
        let (r, x0) = (d.param("r", ()), d.param("x0", ()));
        let x = d.state_from("x", x0);
        let x = d.next(x, r * x * (1.0 - x));
        d.output("orbit", x);
        d.final_loss(x);
    });
    defined.expect("it is well typed")
}

fn logistic_params() -> Params<f64> {
    Params::new().with("r", arr0(4.0)).with("x0", arr0(0.3))
}

/// A first-order bound on the error of a function of the orbit, from its derivatives with respect to `x_t`
/// (`by_x`) and `x_0`. A step rounds twice, `1 − x` and its product with `4 x`, a relative error of at most 2 u
/// in `x_t`; and 0.3 is not a double, a relative error of u in `x_0`.
fn bound(by_x: &[f64], orbit: &[f64], by_x0: f64) -> f64 {
    let steps = by_x
        .iter()
        .zip(orbit)
        .map(|(d, x)| 2.0 * U * x.abs() * d.abs());
    steps.sum::<f64>() + U * 0.3 * by_x0.abs()
}

fn numbers(array: &ndarray::ArrayD<f64>) -> Vec<f64> {
    array.iter().copied().collect()
}

#[test]
fn logistic_map_to_the_digits_that_are_left() {
    let recurrence = logistic();
    let params = logistic_params();
    for (n, count) in [(5, 5.0), (10, 10.0), (20, 20.0), (50, 50.0)] {
        let batch = Batch::new(n, 1);
        let want = |quantity: &str| recurrence_oracle("logistic_r4", "x0=0.3", quantity);
        let orbit = recurrence
            .on_every_engine(&params, &batch)
            .expect("it needs no data");
        let orbit = numbers(&orbit["orbit"]);
        let gradient = recurrence
            .gradient(&["x0", "r", "x"])
            .expect("every rule is there");
        let found = gradient
            .on_every_engine(&params, &batch)
            .expect("it needs no data");

        // The derivatives with respect to the states propagate the rounding errors to x_n.
        let by_x = numbers(&found["x"]);
        let off = (found["loss"].sum() - want(&format!("x_{n}"))).abs();
        let allowed = bound(&by_x, &orbit, found["x0"].sum());
        assert!(
            off <= allowed,
            "x_{n} is off by {off:e}, more than {allowed:e}"
        );

        // For a derivative, its own derivatives with respect to the states propagate the errors. In addition, a
        // product or a sum of n factors has about 4 n roundings.
        let sum_by_x: f64 = by_x.iter().map(|d| d.abs()).sum();
        for (name, rounded) in [("x0", found["x0"].sum().abs()), ("r", sum_by_x)] {
            let tangent = recurrence.tangent(&[name]).expect("every rule is there");
            let second = tangent.pullback(&["loss.dot"], &["x", "x0"]);
            let second = second.expect("every rule is there");
            let seeded = params
                .clone()
                .with(&format!("{name}.dot"), arr0(1.0))
                .with("loss.dot.bar", arr0(1.0));
            let second = second
                .on_every_engine(&seeded, &batch)
                .expect("it needs no data");
            let carried = bound(&numbers(&second["x"]), &orbit, second["x0"].sum());
            let allowed = carried + 4.0 * count * U * rounded;
            let off = (found[name].sum() - want(&format!("dx_{n}/d{name}"))).abs();
            assert!(
                off <= allowed,
                "dx_{n}/d{name} is off by {off:e}, more than {allowed:e}"
            );
        }
    }
}

/// After 50 steps hardly a digit of the exact orbit is left, but the derivatives are accurate for the computed
/// orbit: they satisfy `x' ← r (1 − 2 x) x'` to the last digits.
#[test]
fn logistic_map_after_fifty_steps_is_differentiated_along_the_computed_orbit() {
    let batch = Batch::new(50, 1);
    let gradient = logistic()
        .gradient(&["x0", "r"])
        .expect("every rule is there");
    let found = gradient
        .on_every_engine(&logistic_params(), &batch)
        .expect("it needs no data");
    let (mut x, mut by_x0, mut by_r): (f64, f64, f64) = (0.3, 1.0, 0.0);
    for _ in 0..50 {
        by_x0 *= 4.0 * (1.0 - 2.0 * x);
        by_r = x * (1.0 - x) + 4.0 * (1.0 - 2.0 * x) * by_r;
        x = 4.0 * x * (1.0 - x);
    }
    assert_close("x_50", found["loss"].sum(), x, 0.0);
    // A product of 50 factors with at most four roundings each, most of them exact.
    assert_close("dx_50/dx_0", found["x0"].sum(), by_x0, 1e-13);
    assert_close("dx_50/dr", found["r"].sum(), by_r, 1e-13);
}

#[test]
fn affine_map() {
    let defined = Recurrence::define("affine", |r| {
        let (a, b, x0) = (r.param("a", ()), r.param("b", ()), r.param("x0", ()));
        let x = r.state_from("x", x0);
        r.final_loss(r.next(x, a * x + b));
    });
    let gradient = defined
        .expect("it is well typed")
        .gradient(&["a", "b", "x0"]);
    let params = Params::new()
        .with("a", arr0(0.9))
        .with("b", arr0(0.2))
        .with("x0", arr0(1.5));
    let found = gradient
        .expect("every rule is there")
        .on_every_engine(&params, &Batch::new(20, 1));
    let found = found.expect("it needs no data");
    for (quantity, name) in [
        ("x_T", "loss"),
        ("dx_T/da", "a"),
        ("dx_T/db", "b"),
        ("dx_T/dx0", "x0"),
    ] {
        let want = recurrence_oracle("affine", "a=0.9", quantity);
        // All terms are positive: the error is at most about 60 roundings, in 20 steps.
        assert_close(quantity, found[name].sum(), want, 1e-14);
    }
}
