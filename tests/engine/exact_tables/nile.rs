//! The Kalman filter of the local level model on the flow of the Nile (Durbin and Koopman): the
//! concentrated diffuse log-likelihood in `ψ = ln q`, its first and second derivative.
//!
//! With variances in units of `σ²_ε`, level `a` and its variance `P`:
//!
//! ```text
//! v_t = y_t − a_t     F_t = P_t + 1     a_{t+1} = a_t + v_t P_t / F_t     P_{t+1} = P_t / F_t + q
//! a_2 = y_1           P_2 = 1 + q       σ²_ε = Σ v_t² / F_t / (n − 1)
//! ln L = −½ (n ln 2π + (n − 1) (1 + ln σ²_ε) + Σ ln F_t)
//! ```

use bptt::{Batch, Params, Rate, Recurrence, Wrt};
use ndarray::{Array1, Array2, arr0};

use super::table::{assert_close, recurrence_oracle, series};
use crate::support::engines::EveryEngine as _;

const CASE: &str = "nile_local_level";

/// The log-likelihood is a sum of terms of one sign. The derivatives are differences of sums of about 30, and
/// their errors are relative to these sums.
const TOLERANCE: f64 = 1e-14;
const SCALE_OF_DERIVATIVES: f64 = 30.0;

fn local_level() -> Recurrence {
    let defined = Recurrence::define("local level", |r| {
        let q = r.param("psi", ()).exp();
        let (first, y) = (r.sample_input("y1", ()), r.input("y", ()));
        let level = r.state_from("a", first);
        let variance = r.state_from("P", 1.0 + q);
        let innovation = y - level;
        let f = variance + 1.0;
        let gain = variance / f;
        r.next(level, level + gain * innovation);
        r.next(variance, gain + q);
        // The filter starts at y_2.
        let count = r.constant(1.0).hold(Rate::Step).total(Rate::Static);
        let sigma2_eps = (innovation.square() / f).total(Rate::Static) / count;
        let sum_ln_f = f.ln().total(Rate::Static);
        let ln_2_pi = (2.0 * std::f64::consts::PI).ln();
        r.output("sigma2_eps", sigma2_eps);
        r.output("sigma2_eta", q * sigma2_eps);
        r.loss(-0.5 * ((count + 1.0) * ln_2_pi + count * (1.0 + sigma2_eps.ln()) + sum_ln_f));
    });
    defined.expect("it is well typed")
}

fn batch() -> Batch<f64> {
    let volumes = series(include_str!("../../data/nile.csv"));
    assert_eq!(volumes.len(), 100, "the series is complete");
    let y = Array2::from_shape_vec((99, 1), volumes[1..].to_vec()).expect("the count is right");
    Batch::new(99, 1)
        .with("y", y)
        .with("y1", Array1::from_elem(1, volumes[0]))
}

/// The log-likelihood and its first two derivatives.
fn derivatives(psi: f64) -> [f64; 3] {
    let (recurrence, batch) = (local_level(), batch());
    let params = Params::new().with("psi", arr0(psi));
    let gradient = recurrence
        .gradient(Wrt::Parameters)
        .expect("every rule is there");
    let first = gradient
        .on_every_engine(&params, &batch)
        .expect("the data fits");
    let hessian = recurrence
        .hessian_vector(Wrt::Parameters)
        .expect("every rule is there");
    let along = params.with("psi.dot", arr0(1.0));
    let second = hessian
        .on_every_engine(&along, &batch)
        .expect("the data fits");
    [first["loss"].sum(), first["psi"].sum(), second["psi"].sum()]
}

#[test]
fn log_likelihood_score_and_second_derivative() {
    // The scores printed in the book, with two decimals; the fourth is printed as 0.00.
    let book = [-3.32, 0.93, 0.25, 0.0];
    let points = [
        ("0", 0.0),
        ("-3.32", -3.32),
        ("-2.60", -2.6),
        ("-2.33", -2.33),
    ];
    for ((text, psi), printed) in points.into_iter().zip(book) {
        let setting = format!("psi={text}");
        let want = |quantity: &str| recurrence_oracle(CASE, &setting, quantity);
        let [loss, score, second] = derivatives(psi);
        assert_close(&setting, loss, want("conc_diffuse_loglik"), TOLERANCE);
        for (name, found) in [("score", score), ("d2", second)] {
            let error = (found - want(name)).abs() / SCALE_OF_DERIVATIVES;
            assert!(
                error <= TOLERANCE,
                "{name} at {setting}: found {found}, error {error:e}"
            );
        }
        assert!(
            (score - printed).abs() < 0.005,
            "the book prints {printed}, found {score}"
        );
    }
}

#[test]
fn newton_steps_lead_to_the_maximum() {
    let mut psi = -2.6;
    for _ in 0..6 {
        let [_, score, second] = derivatives(psi);
        psi -= score / second;
    }
    let want = |quantity: &str| recurrence_oracle(CASE, "MLE", quantity);
    // The error of the score is about 30 · 1e-15, and the second derivative is about −1.
    let tolerance = 1e-13;
    assert_close("psi", psi, want("psi_hat"), tolerance);
    assert_close("q", psi.exp(), want("q_hat"), tolerance);
    let params = Params::new().with("psi", arr0(psi));
    let found = local_level()
        .on_every_engine(&params, &batch())
        .expect("the data fits");
    assert_close(
        "loss",
        found["loss"].sum(),
        want("conc_diffuse_loglik"),
        TOLERANCE,
    );
    for name in ["sigma2_eps", "sigma2_eta"] {
        assert_close(name, found[name].sum(), want(name), tolerance);
    }
}
