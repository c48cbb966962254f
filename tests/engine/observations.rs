//! The observations of a loss.

use crate::support::fits::*;
use bptt::Batch;
use bptt::fit::{Covariance, infer};
use ndarray::{Array2, array};

/// Every step of a sample that counts in the loss is an observation, whatever its score is.
#[test]
fn observations_do_not_depend_on_scores() {
    let x = Array2::from_elem((6, 3), 2.0);
    let mask = array![[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]];
    let mask = ndarray::concatenate![ndarray::Axis(0), mask, mask, mask];
    let first = Array2::from_shape_fn((6, 3), |(t, _)| f64::from(t == 0 || t == 4));
    let batch = || {
        let batch = Batch::new(6, 3).with("x", x.clone());
        batch
            .with("mask", mask.clone())
            .with("reset", first.clone())
    };
    let at = scalars(&[("a", 2.0)]);
    let count = |text: &str, batch: &Batch<f64>| {
        let r = parse(&format!("input x, mask, reset\nparam a\n{text}\n"));
        infer(&r, &at, batch).unwrap().observations()
    };
    let term = "0.5 * (x - a)^2";
    for (text, expected) in [
        // A perfect fit.
        (format!("loss {term}"), 18),
        (format!("mean loss {term}"), 18),
        // The first step of a state has no score.
        ("state s\ns' = a\nloss 0.5 * (x - s)^2".into(), 18),
        // Masks, as a condition and as a factor.
        (format!("loss select(mask, {term}, 0)"), 12),
        (format!("loss select(mask == 0, 0, {term})"), 12),
        (format!("loss mask * {term}"), 12),
        (format!("loss {term} * (1 - mask)"), 6),
        ("loss 0.5 * (mask * x - mask * a)^2".into(), 12),
        (
            format!("loss mask * {term}\nloss select(mask, 0, {term})"),
            18,
        ),
        (format!("final loss {term}"), 3),
        (format!("final loss {term}\nloss mask * {term}"), 3),
    ] {
        assert_eq!(count(&text, &batch()), expected, "{text}");
    }
    let shorter = || batch().with_lengths([6, 2, 3]);
    assert_eq!(count(&format!("loss {term}"), &shorter()), 11);
    assert_eq!(count(&format!("loss mask * {term}"), &shorter()), 6 + 1 + 2);
    // Sequences within rows.
    let r = parse(&format!("input x\nparam a\nfinal loss {term}\n"));
    let r = r.with_resets("reset").unwrap();
    let batch = Batch::new(6, 3).with("x", x.clone()).with("reset", first);
    assert_eq!(infer(&r, &at, &batch).unwrap().observations(), 6);
}

/// Outer products that vanish are not too few.
#[test]
fn a_perfect_fit_has_no_outer_products() {
    let batch = Batch::new(6, 3).with("x", Array2::from_elem((6, 3), 2.0));
    let r = parse("input x\nparam a\nloss 0.5 * (x - a)^2\n");
    let found = infer(&r, &scalars(&[("a", 2.0)]), &batch).unwrap();
    let error = found.covariance(Covariance::OuterProduct).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("of all 18 observations are zero"), "{error}");
    assert_eq!(found.covariance(Covariance::Sandwich).unwrap()[[0, 0]], 0.0);
}
