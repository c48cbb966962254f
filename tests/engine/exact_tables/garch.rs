//! GARCH(1,1) on the Deutschemark–pound returns of Bollerslev and Ghysels (1996), the benchmark of
//! Fiorentini, Calzolari and Panattoni (1996): log-likelihood, gradient, Hessian, estimate and
//! standard errors over 1974 steps.
//!
//! `h_t = ω + α ε²_{t−1} + β h_{t−1}` with `ε_t = y_t − μ`; the initial values of both `ε²` and `h` are the
//! mean of `ε²`, which depends on `μ`.

use bptt::{Batch, Params, Rate, Recurrence, Unrolled, Wrt};
use ndarray::{Array2, arr0};

use super::table::{assert_close, recurrence_oracle, series};

const CASE: &str = "garch11_bollerslev_ghysels";
const TEST_POINT: (&str, [f64; 4]) = ("theta=(-0.005,0.01,0.15,0.8)", [-0.005, 0.01, 0.15, 0.8]);
const MAXIMUM: &str = "MLE";
const NAMES: [&str; 4] = ["mu", "omega", "alpha", "beta"];

/// The sums have 1974 terms with a few roundings each, and cancel to between a tenth and a hundredth: about
/// `√1974 · 10 · 1.1e-16 · 100`.
const TOLERANCE: f64 = 1e-12;

type Vector = [f64; 4];
type Matrix = [[f64; 4]; 4];

fn garch() -> Recurrence {
    let defined = Recurrence::define("garch", |r| {
        let [mu, omega, alpha, beta] = NAMES.map(|name| r.param(name, ()));
        let y = r.input("y", ());
        let squared = (y - mu).square();
        let count = r.constant(1.0).hold(Rate::Step).total(Rate::Static);
        let presample = squared.total(Rate::Static) / count;
        let h = r.state_from("h", presample);
        let h = r.next(
            h,
            omega + alpha * r.delay_from(squared, presample) + beta * h,
        );
        let two_pi = 2.0 * std::f64::consts::PI;
        // The loss is the log-likelihood itself, so that derivatives have the signs of the table.
        r.loss(-0.5 * (two_pi.ln() + h.ln() + squared / h));
    });
    defined.expect("it is well typed")
}

/// The derivatives, unrolled over the data.
struct Garch {
    batch: Batch<f64>,
    gradient: Unrolled,
    hessian: Unrolled,
}

impl Garch {
    fn new() -> Self {
        let returns = series(include_str!("../../../data/dmbp.csv"));
        assert_eq!(returns.len(), 1974, "the series is complete");
        let y = Array2::from_shape_vec((returns.len(), 1), returns).expect("the count is right");
        let batch = Batch::new(y.nrows(), 1).with("y", y);
        let recurrence = garch();
        let gradient = recurrence
            .gradient(Wrt::Parameters)
            .expect("every rule is there");
        let hessian = recurrence
            .hessian_vector(Wrt::Parameters)
            .expect("every rule is there");
        let theta = TEST_POINT.1;
        Self {
            gradient: gradient
                .unroll_for(&params(theta), &batch)
                .expect("the data fits"),
            hessian: hessian
                .unroll_for(&along(theta, 0), &batch)
                .expect("the data fits"),
            batch,
        }
    }

    fn gradient(&self, theta: Vector) -> (f64, Vector) {
        let found = self
            .gradient
            .evaluate(&params(theta), &self.batch)
            .expect("the data fits");
        (
            found.loss().expect("there is a loss"),
            NAMES.map(|name| found[name].sum()),
        )
    }

    fn hessian(&self, theta: Vector) -> Matrix {
        [0, 1, 2, 3].map(|column| {
            let found = self.hessian.evaluate(&along(theta, column), &self.batch);
            let found = found.expect("the data fits");
            NAMES.map(|name| found[name].sum())
        })
    }

    fn assert_hessian(&self, setting: &str, theta: Vector) {
        let hessian = self.hessian(theta);
        for (i, row) in NAMES.iter().enumerate() {
            for (j, column) in NAMES.iter().enumerate() {
                let (a, b) = if i < j { (column, row) } else { (row, column) };
                let name = format!("hess_{a}_{b}");
                let want = recurrence_oracle(CASE, setting, &name);
                // Entries with μ cancel, and are small beside `√(H_ii H_jj)`.
                let scale = (hessian[i][i] * hessian[j][j]).abs().sqrt().max(want.abs());
                let error = (hessian[i][j] - want).abs() / scale;
                assert!(
                    error <= TOLERANCE,
                    "{name} at {setting}: found {}, expected {want}, relative error {error:e}",
                    hessian[i][j]
                );
            }
        }
    }
}

fn params(theta: Vector) -> Params<f64> {
    let named = NAMES.into_iter().zip(theta);
    named.fold(Params::new(), |params, (name, value)| {
        params.with(name, arr0(value))
    })
}

/// The parameters, with the unit vector of one of them as direction.
fn along(theta: Vector, column: usize) -> Params<f64> {
    let directions = NAMES.iter().enumerate();
    directions.fold(params(theta), |params, (i, name)| {
        params.with(
            &format!("{name}.dot"),
            arr0(if i == column { 1.0 } else { 0.0 }),
        )
    })
}

/// The maximum in the table.
fn maximum() -> Vector {
    NAMES.map(|name| recurrence_oracle(CASE, MAXIMUM, &format!("theta_hat_{name}")))
}

/// Solves `m x = b` by elimination with pivoting.
fn solve(mut m: Matrix, mut b: Vector) -> Vector {
    for k in 0..4 {
        let larger = |i: &usize, j: &usize| m[*i][k].abs().total_cmp(&m[*j][k].abs());
        let pivot = (k..4).max_by(larger).unwrap_or(k);
        m.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..4 {
            let factor = m[i][k] / m[k][k];
            let upper = m[k];
            m[i].iter_mut()
                .zip(upper)
                .for_each(|(entry, above)| *entry -= factor * above);
            b[i] -= factor * b[k];
        }
    }
    let mut x = [0.0; 4];
    for i in (0..4).rev() {
        let known: f64 = (i + 1..4).map(|j| m[i][j] * x[j]).sum();
        x[i] = (b[i] - known) / m[i][i];
    }
    x
}

#[test]
fn log_likelihood_gradient_and_hessian_at_the_test_point() {
    let (setting, theta) = TEST_POINT;
    let garch = Garch::new();
    let (loss, gradient) = garch.gradient(theta);
    assert_close(
        "log-likelihood",
        loss,
        recurrence_oracle(CASE, setting, "loglik"),
        TOLERANCE,
    );
    for (name, found) in NAMES.iter().zip(gradient) {
        let want = recurrence_oracle(CASE, setting, &format!("grad_{name}"));
        assert_close(&format!("derivative by {name}"), found, want, TOLERANCE);
    }
    garch.assert_hessian(setting, theta);
}

#[test]
fn hessian_and_standard_errors_at_the_maximum() {
    let garch = Garch::new();
    let theta = maximum();
    let (loss, gradient) = garch.gradient(theta);
    assert_close(
        "log-likelihood",
        loss,
        recurrence_oracle(CASE, MAXIMUM, "loglik"),
        TOLERANCE,
    );
    garch.assert_hessian(MAXIMUM, theta);

    // The six printed digits of Fiorentini, Calzolari and Panattoni.
    let published = [0.008_462_12, 0.002_852_71, 0.026_522_8, 0.033_552_7];
    let half_a_unit = [5e-9, 5e-9, 5e-8, 5e-8];
    let negative = garch.hessian(theta).map(|row| row.map(|entry| -entry));
    for (i, name) in NAMES.iter().enumerate() {
        let mut unit = [0.0; 4];
        unit[i] = 1.0;
        let error = solve(negative, unit)[i].sqrt();
        let want = recurrence_oracle(CASE, MAXIMUM, &format!("se_hessian_{name}"));
        // Scaled to a unit diagonal, the Hessian has a condition number of order 1e2.
        assert_close(&format!("standard error of {name}"), error, want, 1e-10);
        let off = (error - published[i]).abs();
        assert!(
            off <= half_a_unit[i],
            "standard error of {name}: found {error}, printed {}",
            published[i]
        );
        // A parameter in double precision limits how small the gradient can be: one unit in the last place of ω
        // changes it by 1e6 · 1e-18.
        let step = gradient[i] * error;
        assert!(
            step.abs() <= 1e-10,
            "the derivative by {name}, in standard errors, is {step:e}"
        );
    }
}

#[test]
fn newton_steps_lead_to_the_maximum() {
    let garch = Garch::new();
    let mut theta = TEST_POINT.1;
    for _ in 0..7 {
        let (_, gradient) = garch.gradient(theta);
        let step = solve(garch.hessian(theta), gradient);
        theta
            .iter_mut()
            .zip(step)
            .for_each(|(value, step)| *value -= step);
    }
    for ((name, found), want) in NAMES.iter().zip(theta).zip(maximum()) {
        // The remaining error is the rounding error of the gradient, times the inverse Hessian.
        assert_close(&format!("estimate of {name}"), found, want, 1e-10);
    }
}
