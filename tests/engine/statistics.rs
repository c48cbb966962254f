//! Standard errors and covariances against closed forms, and the premises without which there are none.

use crate::support::fits::*;
use bptt::fit::{Covariance, infer};
use bptt::{Batch, Error, Params, Premise, Rate};
use ndarray::{Array1, Array2, Axis, array};

/// The benchmark of Fiorentini, Calzolari and Panattoni (1996), to all printed digits:
/// standard errors from the Hessian, from outer products, and of Bollerslev and Wooldridge (1992).
#[test]
fn garch_errors_are_the_published_ones() {
    let (r, batch) = (garch(), returns(1.0));
    let params = fitted(&r, garch_start(), &batch);
    let found = infer(&r, &params, &batch).unwrap();
    assert_eq!(found.observations(), 1974);
    assert_eq!(found.unit(), Rate::Step);
    assert_eq!(found.entries(), ["mu", "omega", "alpha", "beta"]);
    let published = [
        (
            Covariance::Hessian,
            [0.008_462_12, 0.002_852_71, 0.026_522_8, 0.033_552_7],
        ),
        (
            Covariance::OuterProduct,
            [0.008_433_59, 0.001_322_98, 0.013_973_7, 0.016_560_4],
        ),
        (
            Covariance::Sandwich,
            [0.009_189_35, 0.006_493_19, 0.053_531_7, 0.072_461_4],
        ),
    ];
    let half_a_unit = [5e-9, 5e-9, 5e-8, 5e-8];
    // Computed with 60 digits.
    let exact = [
        [
            0.008_462_118_69,
            0.002_852_711_76,
            0.026_522_836_43,
            0.033_552_689_68,
        ],
        [
            0.008_433_593_05,
            0.001_322_975_01,
            0.013_973_795_87,
            0.016_560_403_70,
        ],
        [
            0.009_189_353_65,
            0.006_493_185_63,
            0.053_531_711_73,
            0.072_461_449_02,
        ],
    ];
    for ((kind, printed), exact) in published.into_iter().zip(exact) {
        let errors = found.standard_errors(kind).unwrap();
        let covariance = found.covariance(kind).unwrap();
        for (i, (name, error)) in errors.iter().enumerate() {
            let error = error.sum();
            assert!(
                (error / exact[i] - 1.0).abs() < 5e-9,
                "{kind:?}, {name}: {error}"
            );
            // The sixth printed digit of one of the outer products was cut, not rounded.
            assert!(
                (error - printed[i]).abs() <= 2.0 * half_a_unit[i],
                "{kind:?}, {name}: {error}"
            );
            assert!((covariance[[i, i]].sqrt() / error - 1.0).abs() < 1e-14);
        }
        assert!(
            (&covariance - &covariance.t())
                .iter()
                .all(|x| x.abs() < 1e-15)
        );
    }
}

const NORMAL: &str = "0.5 * (1.8378770664093453 + ln(v) + (x - m)^2 / v)";

/// The mean and the variance of a normal distribution: `√(v / n)` and `v √(2 / n)`.
#[test]
fn a_mean_loss_has_the_errors_of_the_sum() {
    let x = normal_data(400, 1);
    let m = x.mean().unwrap();
    let v = x.mapv(|x| (x - m).powi(2)).mean().unwrap();
    let third = x.mapv(|x| (x - m).powi(3)).mean().unwrap();
    let fourth = x.mapv(|x| (x - m).powi(4)).mean().unwrap();
    let params = scalars(&[("m", m), ("v", v)]);
    let n = 400.0;
    for words in [
        format!("loss {NORMAL}"),
        format!("mean loss {NORMAL}"),
        // Two means over the same number of terms.
        "mean loss 0.5 * hold(ln(v), step)\nmean loss 0.5 * (x - m)^2 / v".into(),
        "loss 0.5 * hold(ln(v), step)\nloss 0.5 * (x - m)^2 / v".into(),
    ] {
        for (steps, samples) in [(400, 1), (20, 20)] {
            let r = parse(&format!("input x\nparam m, v\n{words}\n"));
            let x = x.clone().into_shape_with_order((steps, samples)).unwrap();
            let found = infer(&r, &params, &Batch::new(steps, samples).with("x", x)).unwrap();
            assert_eq!(found.observations(), 400);
            let near = |kind: Covariance, want: Array2<f64>| {
                let found = found.covariance(kind).unwrap();
                let off = (&found - &want).mapv(f64::abs);
                assert!(
                    off.iter().all(|x| *x < 1e-12),
                    "{words}: {kind:?}: {found}, not {want}"
                );
            };
            near(
                Covariance::Hessian,
                array![[v / n, 0.0], [0.0, 2.0 * v * v / n]],
            );
            // s = ((x − m) / v, ((x − m)² − v) / 2v²)
            let outer = array![
                [n / v, n * third / (2.0 * v.powi(3))],
                [
                    n * third / (2.0 * v.powi(3)),
                    n * (fourth - v * v) / (4.0 * v.powi(4))
                ]
            ];
            let determinant = outer[[0, 0]] * outer[[1, 1]] - outer[[0, 1]].powi(2);
            near(
                Covariance::OuterProduct,
                array![
                    [outer[[1, 1]], -outer[[0, 1]]],
                    [-outer[[1, 0]], outer[[0, 0]]]
                ] / determinant,
            );
            near(
                Covariance::Sandwich,
                array![[v / n, third / n], [third / n, (fourth - v * v) / n]],
            );
        }
    }
}

/// A loss of a whole sample makes the sample an observation; steps beyond a length are none.
#[test]
fn observations_are_samples_where_a_term_is() {
    // Logistic regression on two numbers of a sample, in a final loss: closed forms with p = σ(w·z).
    let (samples, steps) = (60, 3);
    let z = Array2::from_shape_vec((samples, 2), noise(11, 2 * samples)).unwrap();
    let chance = noise(5, samples);
    let y: Array1<f64> = (0..samples)
        .map(|i| f64::from(z[[i, 0]] + chance[i] > 0.0))
        .collect();
    for words in ["final loss", "mean final loss", "loss"] {
        let r = parse(&format!(
            "sample input z[2], y\nparam w[2]\n{words} binary_cross_entropy(dot(w, z), y)\n"
        ));
        let batch = Batch::new(steps, samples)
            .with("z", z.clone())
            .with("y", y.clone());
        let params = fitted(&r, Params::new().with("w", array![0.1, 0.1]), &batch);
        let w = params.get("w").unwrap();
        let found = infer(&r, &params, &batch).unwrap();
        assert_eq!(
            (found.observations(), found.unit()),
            (samples, Rate::Sample),
            "{words}"
        );
        assert_eq!(found.entries(), ["w[0]", "w[1]"]);
        let (mut h, mut outer) = (Array2::<f64>::zeros((2, 2)), Array2::<f64>::zeros((2, 2)));
        for (z, y) in z.axis_iter(Axis(0)).zip(&y) {
            let p = 1.0 / (1.0 + (-w[0] * z[0] - w[1] * z[1]).exp());
            for i in 0..2 {
                for j in 0..2 {
                    h[[i, j]] += p * (1.0 - p) * z[i] * z[j];
                    outer[[i, j]] += (p - y).powi(2) * z[i] * z[j];
                }
            }
        }
        let invert = |m: &Array2<f64>| {
            let determinant = m[[0, 0]] * m[[1, 1]] - m[[0, 1]] * m[[1, 0]];
            array![[m[[1, 1]], -m[[0, 1]]], [-m[[1, 0]], m[[0, 0]]]] / determinant
        };
        let inverse = invert(&h);
        for (kind, want) in [
            (Covariance::Hessian, inverse.clone()),
            (Covariance::OuterProduct, invert(&outer)),
            (Covariance::Sandwich, inverse.dot(&outer).dot(&inverse)),
        ] {
            let found = found.covariance(kind).unwrap();
            let near = (&found / &want - 1.0).iter().all(|x| x.abs() < 1e-9);
            assert!(near, "{words}: {kind:?}: {found}, not {want}");
        }
    }
}

/// A Gaussian autoregression of order one: the errors of least squares.
#[test]
fn an_autoregression_has_the_errors_of_least_squares() {
    let e = noise(3, 300);
    let mut y = vec![0.4];
    e.iter().for_each(|e| y.push(0.6 * y[y.len() - 1] + e));
    let r = parse(
        "input y, last\nparam phi = 0.1, ln_s = 0\nmean loss ln_s + 0.5 * (y - phi * last)^2 * exp(-2 * ln_s)\n",
    );
    let column = |x: &[f64]| Array2::from_shape_vec((300, 1), x.to_vec()).unwrap();
    let batch = Batch::new(300, 1)
        .with("y", column(&y[1..]))
        .with("last", column(&y[..300]));
    let params = fitted(&r, scalars(&[("phi", 0.1), ("ln_s", 0.0)]), &batch);
    let pairs = || y.windows(2).map(|w| (w[0], w[1]));
    let square: f64 = pairs().map(|(x, _)| x * x).sum();
    let phi = pairs().map(|(x, y)| x * y).sum::<f64>() / square;
    let variance = pairs().map(|(x, y)| (y - phi * x).powi(2)).sum::<f64>() / 300.0;
    let meat: f64 = pairs().map(|(x, y)| ((y - phi * x) * x).powi(2)).sum();
    let found = infer(&r, &params, &batch).unwrap();
    let hessian = found.standard_errors(Covariance::Hessian).unwrap();
    // White (1980).
    let robust = found.standard_errors(Covariance::Sandwich).unwrap();
    for (what, found, want) in [
        ("phi", params.get("phi"), phi),
        ("its error", hessian.get("phi"), (variance / square).sqrt()),
        ("its robust error", robust.get("phi"), meat.sqrt() / square),
        (
            "the error of ln s",
            hessian.get("ln_s"),
            1.0 / 600f64.sqrt(),
        ),
    ] {
        let found = found.unwrap().sum();
        assert!(
            (found / want - 1.0).abs() < 1e-9,
            "{what}: {found}, not {want}"
        );
    }
}

#[track_caller]
fn refused(text: &str, params: &Params<f64>, batch: &Batch<f64>, premise: Premise, words: &[&str]) {
    match infer(&parse(text), params, batch) {
        Err(Error::NoStandardErrors {
            premise: found,
            reason,
        }) => {
            assert_eq!(found, premise, "{text}: {reason}");
            for word in words {
                assert!(reason.contains(word), "{reason:?} does not say {word:?}");
            }
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_loss_without_one_scale_is_refused() {
    let batch = Batch::new(4, 2).with("x", normal_data(4, 2));
    let params = scalars(&[("m", 1.0)]);
    let whole = "0.5 * (x - m)^2";
    for (losses, word) in [
        (
            format!("loss {whole}\nmean loss {whole}"),
            "means over 8 terms and sums",
        ),
        (
            format!("mean loss {whole}\nmean final loss {whole}"),
            "8 and 2 terms",
        ),
        (
            format!("mean loss {whole}\nloss 0.1 * m^2"),
            "and a term of parameters alone",
        ),
    ] {
        let text = format!("input x\nparam m\n{losses}\n");
        refused(
            &text,
            &params,
            &batch,
            Premise::Scale,
            &[word, "`loss` instead of `mean loss`"],
        );
    }
}

/// A mean may be written term by term; a count elsewhere in a term would be a factor of the errors without a word.
#[test]
fn a_count_in_a_term_is_a_mean_or_refused() {
    let x = normal_data(30, 2);
    let mean = x.mean().unwrap();
    let batch = Batch::new(30, 2).with("x", x);
    let text = |loss: &str| format!("input x\nparam m\n{loss}\n");
    let params = scalars(&[("m", mean)]);
    let error = |loss: &str| {
        let found = infer(&parse(&text(loss)), &params, &batch).unwrap();
        let kind = |kind: &Covariance| found.covariance(*kind).unwrap()[[0, 0]];
        let kinds: Vec<f64> = Covariance::ALL.iter().map(kind).collect();
        (kinds, found.observations())
    };
    let expected = error("loss 0.5 * (x - m)^2");
    for divided in [
        "loss 0.5 * (x - m)^2 / total(hold(1, step))",
        "n = total(hold(1, step))\nloss 0.5 * (x - m)^2 / n",
    ] {
        assert_eq!(error(divided), expected, "{divided}");
    }
    for scaled in [
        "loss (x - m)^2 / total(hold(1, step)) * 0.5",
        "loss (x - m)^2 * (0.5 / total(hold(1, step)))",
    ] {
        let words = &["a number of steps or samples", "`mean loss e`"];
        refused(&text(scaled), &params, &batch, Premise::Scale, words);
    }
}

/// A log prior counts in the Hessian and is no observation.
#[test]
fn a_term_of_parameters_alone_is_a_prior() {
    let x = normal_data(50, 1);
    let batch = Batch::new(50, 1).with("x", x.clone());
    let r = parse("input x\nparam m\nloss 0.5 * (x - m)^2\nloss 5 * m^2\n");
    let m = x.sum() / 60.0;
    let found = infer(&r, &scalars(&[("m", m)]), &batch).unwrap();
    let hessian = found.covariance(Covariance::Hessian).unwrap();
    assert!((hessian[[0, 0]] * 60.0 - 1.0).abs() < 1e-14, "{hessian}");
    let robust = found.covariance(Covariance::Sandwich).unwrap()[[0, 0]];
    let meat: f64 = x.iter().map(|x| (x - m).powi(2)).sum();
    assert!((robust / (meat / 3600.0) - 1.0).abs() < 1e-12, "{robust}");
    let error = found.covariance(Covariance::OuterProduct).unwrap_err();
    assert!(
        error.to_string().contains("a term of parameters alone"),
        "{error}"
    );
}

#[test]
fn each_premise_that_fails_has_its_own_message() {
    let x = normal_data(30, 1);
    let mean = x.mean().unwrap();
    let batch = Batch::new(30, 1).with("x", x);
    let one = |losses: &str, value: f64, premise: Premise, words: &[&str]| {
        let text = format!("input x\nparam m\n{losses}\n");
        refused(&text, &scalars(&[("m", value)]), &batch, premise, words);
    };
    one(
        "loss 0.5 * (x - m)^2",
        mean + 0.1,
        Premise::Converged,
        &["has not converged", "5.48e-1 standard errors"],
    );
    // As close as it need be.
    let r = parse("input x\nparam m\nloss 0.5 * (x - m)^2\n");
    infer(&r, &scalars(&[("m", mean + 0.001)]), &batch).unwrap();
    one(
        "loss -0.5 * (x - m)^2",
        mean,
        Premise::Minimum,
        &["curves downwards when `m` alone moves", "check its sign"],
    );
    one(
        "loss -0.5 * (x - m)^2",
        0.0,
        Premise::Converged,
        &["check its sign", "has not converged"],
    );
    one(
        "loss max(m, 0) * x",
        -1.0,
        Premise::Identified,
        &["the loss stays the same when `m` alone moves"],
    );
    one(
        "loss 0.5 * x^2 + (m / 3 - m / 3) * x",
        1.0,
        Premise::Identified,
        &["`m` alone moves"],
    );
    one(
        "loss 0.5 * x^2 + 1e-18 * cos(m)",
        6.0,
        Premise::Identified,
        &["the loss stays the same", "subtract its mean"],
    );
    one(
        "loss 0.5 * x^2 + 0 * m",
        1.0,
        Premise::Identified,
        &["`m` alone moves"],
    );

    let two = |losses: &str, a: f64, b: f64, premise: Premise, words: &[&str]| {
        let text = format!("input x\nparam a, b\n{losses}\n");
        refused(
            &text,
            &scalars(&[("a", a), ("b", b)]),
            &batch,
            premise,
            words,
        );
    };
    two(
        "loss 0.5 * (x - a - b)^2",
        mean - 2.0,
        2.0,
        Premise::Identified,
        &["`a` by 1 and `b` by -1 move together"],
    );
    two(
        "mean loss 0.5 * (x - a - 100 * b)^2",
        mean - 200.0,
        2.0,
        Premise::Identified,
        &["-0.01"],
    );
    // A product: the valley bends, and the fit ends only near its floor.
    for off in [0.0, 1e-10, -1e-7] {
        two(
            "loss 0.5 * (x - a * b)^2",
            2.0,
            (0.5 + off) * mean,
            Premise::Identified,
            &["do not identify"],
        );
    }
    // A saddle.
    two(
        "loss 0.5 * (x - a)^2 - 0.1 * (b - 1)^2 + 0 * x",
        mean,
        1.0,
        Premise::Minimum,
        &["`b` alone moves"],
    );

    // A single sample is a single observation.
    let r = parse("input x\nparam m\nstate s\ns' = s + x\nfinal loss 0.5 * (s' - m)^2\n");
    let sum = batch.get("x").unwrap().sum();
    let found = infer(&r, &scalars(&[("m", sum)]), &batch).unwrap();
    assert!((found.covariance(Covariance::Hessian).unwrap()[[0, 0]] - 1.0).abs() < 1e-15);
    for kind in [Covariance::OuterProduct, Covariance::Sandwich] {
        let error = found.covariance(kind).unwrap_err().to_string();
        assert!(error.contains("an observation is a sample"), "{error}");
    }
}

/// Logistic regression on data that a number separates has no finite estimate; Newton's method runs until rounding
/// ends it.
#[test]
fn a_parameter_that_runs_away_has_no_error() {
    let text = "input x\nparam w = 0.5\nloss binary_cross_entropy(w * x, x > 0)\n";
    let x = normal_data(40, 1) - 1.0;
    let batch = Batch::new(40, 1).with("x", x);
    let params = fitted(&parse(text), scalars(&[("w", 0.5)]), &batch);
    refused(
        text,
        &params,
        &batch,
        Premise::Interior,
        &["`w` has no finite estimate"],
    );
}

/// The same in a term of parameters alone, of which there is no score; a term that holds its parameter has a minimum.
#[test]
fn a_parameter_of_a_prior_that_runs_away_has_no_error() {
    let batch = Batch::new(5, 1).with("y", normal_data(5, 1));
    let start = scalars(&[("m", 0.0), ("u", 0.0)]);
    for (prior, words) in [
        (
            "exp(-u)",
            "`u` has no finite estimate: the loss does not rise when it moves from",
        ),
        ("1e-3 * exp(u) + 0 * m", "`u` has no finite estimate"),
    ] {
        let text = format!("input y\nparam m, u\nloss (y - m)^2 / 2\nloss {prior}\n");
        let params = fitted(&parse(&text), start.clone(), &batch);
        refused(&text, &params, &batch, Premise::Interior, &[words]);
    }
    for prior in [
        "u^2 / 2",
        "1e6 * (u - 3)^2",
        "1e-6 * (u - 3)^4 + 1e-9 * u^2",
        "exp(-u) + 1e-6 * u",
        "exp(u) - 1e-3 * u",
    ] {
        let text = format!("input y\nparam m, u\nloss (y - m)^2 / 2\nloss {prior}\n");
        let params = fitted(&parse(&text), start.clone(), &batch);
        let found = infer(&parse(&text), &params, &batch).unwrap();
        assert!(
            found.standard_errors(Covariance::Hessian).is_ok(),
            "{prior}"
        );
    }
}

/// An input far from zero for its spread: level and slope cannot be told apart, and the message says what to do.
#[test]
fn an_input_far_from_zero_is_to_be_centred() {
    let r = parse("input x, y\nparam a, b\nloss 0.5 * (y - a - b * x)^2\n");
    let params = scalars(&[("a", 2.0), ("b", 3.0)]);
    for (offset, expected) in [(0.0, None), (1e6, Some("subtract its mean from it"))] {
        let x = normal_data(50, 1) + offset;
        let y = x.mapv(|x| 2.0 + 3.0 * x);
        let batch = Batch::new(50, 1).with("x", x).with("y", y);
        match (infer(&r, &params, &batch), expected) {
            (Ok(_), None) => {}
            (Err(Error::NoStandardErrors { premise, reason }), Some(expected)) => {
                assert_eq!(premise, Premise::Identified, "{reason}");
                assert!(reason.contains(expected), "{reason}");
            }
            (found, _) => panic!("offset {offset}: {found:?}"),
        }
    }
}
