//! Newton's method on losses with known minima.

use crate::support::fits::*;
use bptt::fit::{Covariance, infer};
use bptt::{Batch, Params};
use ndarray::{Array2, arr0, array};

/// Returns in other units, and starts far away.
#[test]
fn newton_finds_the_garch_optimum_from_poor_scales_and_starts() {
    let r = garch();
    let start = |omega: f64, alpha: f64, beta: f64| {
        scalars(&[
            ("mu", 0.0),
            ("omega", omega),
            ("alpha", alpha),
            ("beta", beta),
        ])
    };
    let cases = [
        (1.0, garch_start()),
        (0.01, garch_start()),
        (0.0001, garch_start()),
        (1e-6, garch_start()),
        (100.0, garch_start()),
        (0.01, start(0.05, 0.05, 0.9)),
        (100.0, start(0.05, 0.5, 0.1)),
    ];
    for (scale, mut params) in cases {
        let batch = returns(scale);
        let steps = minimise(&r, &mut params, &batch).unwrap();
        assert!(steps <= 30, "{steps} steps at scale {scale}");
        let exact = [
            ("mu", -0.006_190_400_784_250_53 * scale),
            ("omega", 0.010_761_398_762_527_8 * scale * scale),
            ("alpha", 0.153_134_110_368_245),
            ("beta", 0.805_973_625_995_594),
        ];
        for (name, exact) in exact {
            let found = params.get(name).unwrap().sum();
            assert!(
                (found / exact - 1.0).abs() < 1e-9,
                "{name} at {scale}: {found:e}, not {exact:e}"
            );
        }
        // In units of the parameters the errors are the same.
        let errors = infer(&r, &params, &batch).unwrap();
        let errors = errors.standard_errors(Covariance::Sandwich).unwrap();
        let omega = errors.get("omega").unwrap().sum() / scale / scale;
        assert!(
            (omega / 0.006_493_185_63 - 1.0).abs() < 1e-8,
            "{omega} at {scale}"
        );
    }
}

/// Functions on which minimisers are tried (Moré, Garbow and Hillstrom 1981), losses without observations.
#[test]
fn newton_minimises_the_classical_functions() {
    let cases = [
        (
            "rosenbrock",
            "a = -1.2, b = 1",
            "(1 - a)^2 + 100 * (b - a^2)^2",
            0.0,
        ),
        (
            "wood",
            "a = -3, b = -1, c = -3, d = -1",
            "100*(b-a^2)^2 + (1-a)^2 + 90*(d-c^2)^2 + (1-c)^2 + 10.1*((b-1)^2+(d-1)^2) + 19.8*(b-1)*(d-1)",
            0.0,
        ),
        (
            "beale",
            "x = 1, y = 1",
            "(1.5 - x + x*y)^2 + (2.25 - x + x*y^2)^2 + (2.625 - x + x*y^3)^2",
            0.0,
        ),
        (
            "powell badly scaled",
            "x = 0, y = 1",
            "(10000*x*y - 1)^2 + (exp(-x) + exp(-y) - 1.0001)^2",
            0.0,
        ),
        (
            "brown badly scaled",
            "x = 1, y = 1",
            "(x - 1e6)^2 + (y - 2e-6)^2 + (x*y - 2)^2",
            0.0,
        ),
        ("units", "x = 1", "1e-20 * (x - 3)^2 + 1e-24", 1e-24),
        // Its Hessian is singular everywhere.
        ("valley", "x = 1, y = 5", "(x + y - 3)^2 + 2", 2.0),
        // From a maximum, where the gradient is zero.
        ("hill", "x = 0", "x^4 / 4 - x^2 / 2", -0.25),
    ];
    for (name, start, loss, least) in cases {
        let r = parse(&format!("param {start}\nloss {loss}\n"));
        let batch = Batch::new(1, 1);
        let mut params = Params::new();
        for part in start.split(", ") {
            let (name, value) = part.split_once(" = ").unwrap();
            params.insert(name, arr0(value.parse::<f64>().unwrap()));
        }
        let steps = minimise(&r, &mut params, &batch).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = r.evaluate(&params, &batch).unwrap().loss().unwrap();
        let scale = if name == "units" { 1e-24 } else { 1.0 };
        assert!(
            (found - least).abs() < 1e-12 * scale,
            "{name}: {found:e} after {steps} steps"
        );
    }
}

/// A regression whose three parameters start at zero, on data in any unit.
#[test]
fn newton_finds_a_regression_in_any_unit() {
    let e = noise(3, 300);
    let mut y = vec![3.0];
    e.iter()
        .for_each(|e| y.push(1.0 + 0.7 * y[y.len() - 1] + e));
    let r = parse(
        "input y, last\nparam c, phi, l\nmean loss l + 0.5 * ((y - c - phi * last) / exp(l))^2\n",
    );
    for scale in [1e-6, 1e-3, 1.0, 1e3] {
        let column = |x: &[f64]| {
            Array2::from_shape_vec((300, 1), x.iter().map(|x| x * scale).collect()).unwrap()
        };
        let batch = Batch::new(300, 1)
            .with("y", column(&y[1..]))
            .with("last", column(&y[..300]));
        let mut params = scalars(&[("l", 0.0), ("phi", 0.0), ("c", 0.0)]);
        let steps = minimise(&r, &mut params, &batch).unwrap();
        // Least squares.
        let (now, last) = (&y[1..], &y[..300]);
        let mean = |x: &[f64]| x.iter().sum::<f64>() / 300.0;
        let (m, k) = (mean(now), mean(last));
        let pairs = || now.iter().zip(last).map(|(y, x)| (y - m, x - k));
        let slope =
            pairs().map(|(y, x)| x * y).sum::<f64>() / pairs().map(|(_, x)| x * x).sum::<f64>();
        let variance = pairs().map(|(y, x)| (y - slope * x).powi(2)).sum::<f64>() / 300.0;
        let found = |name: &str| params.get(name).unwrap().sum();
        for (what, found, want) in [
            ("phi", found("phi"), slope),
            ("c", found("c"), (m - slope * k) * scale),
            ("l", found("l").exp(), variance.sqrt() * scale),
        ] {
            assert!(
                (found / want - 1.0).abs() < 1e-7,
                "{what} at {scale}: {found:e}, not {want:e}, {steps} steps"
            );
        }
    }
}

/// Past the end of the domain there is no loss; a trial step there is shortened.
#[test]
fn newton_stays_where_the_loss_is_finite() {
    let r = parse("input x\nparam v = 1\nloss ln(v) + x^2 / v\n");
    for scale in [1e-4, 1.0, 1e4] {
        let x = normal_data(30, 1) * scale;
        let want = x.mapv(|x| x * x).mean().unwrap();
        let batch = Batch::new(30, 1).with("x", x);
        let mut params = scalars(&[("v", 1.0)]);
        let steps = minimise(&r, &mut params, &batch).unwrap();
        let v = params.get("v").unwrap().sum();
        assert!(
            (v / want - 1.0).abs() < 1e-9 && steps <= 30,
            "{v:e}, not {want:e}, {steps} steps"
        );
    }
}

/// The Kalman filter of the flow of the Nile, from variances of 1 in any unit. In small units a first step makes one
/// variance so large that the other has no influence, on a plain from which neither gradient nor curvature leads down.
#[test]
fn newton_leaves_a_plain() {
    let r = parse(include_str!(
        "../../examples/recurrences/nile_local_level.rec"
    ));
    let text = include_str!("../data/nile.csv");
    let volumes = text
        .lines()
        .skip(1)
        .map(|l| l.split(',').nth(1).unwrap().parse().unwrap());
    let volumes: Vec<f64> = volumes.collect();
    for scale in [1e-3, 1.0, 1e3, 1e5] {
        let y = volumes.iter().map(|y| y * scale).collect();
        let batch = Batch::new(100, 1)
            .with("y", Array2::from_shape_vec((100, 1), y).unwrap())
            .with("a1", array![volumes[0] * scale])
            .with("P1", array![1e7 * scale * scale]);
        let mut params = scalars(&[("ln_noise", 0.0), ("ln_walk", 0.0)]);
        let steps = minimise(&r, &mut params, &batch).unwrap();
        for (name, want) in [("ln_noise", 9.622_355_74), ("ln_walk", 7.292_408_48)] {
            let found = params.get(name).unwrap().sum() - 2.0 * scale.ln();
            assert!(
                (found - want).abs() < 1e-6,
                "{name} at {scale}: {found}, not {want}, {steps} steps"
            );
        }
    }
}
