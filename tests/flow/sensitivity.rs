//! The norms of `∂s_t/∂s_k`.

use bptt::cells::{Cell, Loss};
use bptt::{Batch, Error, Noise, Params, Recurrence};
use ndarray::Array2;

use crate::lyapunov::orthogonal;
use crate::trajectory::{data, examples, parsed};

fn linear() -> Recurrence {
    parsed("dim H\nparam W[H,H]\nstate h[H]\nh' = W @ h\n")
}

fn number(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// The largest and all squared singular values, by many power iterations with a formed product and by its entries.
fn largest(p: &Array2<f64>) -> f64 {
    let mut noise = Noise(9);
    let mut v = ndarray::Array1::from_shape_simple_fn(p.ncols(), || noise.number());
    let mut norm = 0.0;
    for _ in 0..3000 {
        v /= v.dot(&v).sqrt();
        let u = p.dot(&v);
        norm = u.dot(&u).sqrt();
        if norm == 0.0 {
            return 0.0;
        }
        v = p.t().dot(&u);
    }
    norm
}

#[test]
fn scaled_orthogonal_matrices_have_powers_as_norms() {
    for n in [6, 40] {
        for c in [1.0, 0.25, 2.0] {
            let params = Params::new().with("W", orthogonal(n, c));
            // 0.25 to the power 2000 is below the range of f64.
            let steps = if n == 6 { 2_000 } else { 600 };
            let flow = linear().flow(&params, &Batch::new(steps, 1)).unwrap();
            let map = flow.sensitivity(0, 5).unwrap();
            assert_eq!(map.steps.first(), Some(&0));
            assert_eq!(map.steps.last(), Some(&steps));
            for (i, t) in map.steps.iter().enumerate() {
                for (j, k) in map.steps.iter().enumerate() {
                    let found = map.log_norms[[i, j]];
                    if t < k {
                        assert_eq!(found, f64::NEG_INFINITY);
                        continue;
                    }
                    let expected = number(t - k) * f64::ln(c);
                    let rounding = 1e-13 * (1.0 + number(t - k));
                    assert!(
                        (found - expected).abs() < rounding,
                        "{n} {c} {t} {k}: {found} {expected}"
                    );
                    if let Some(squares) = &map.spectrum {
                        assert!(
                            (squares.log_means[[i, j]] - 2.0 * expected).abs() < 2.0 * rounding
                        );
                        assert!(squares.spreads[[i, j]] < rounding);
                    }
                }
            }
            assert_eq!(map.spectrum.is_some(), n == 6);
        }
    }
}

/// Random recurrences: by products of Jacobians that the test forms. The mean of the squares is that of all entries.
#[test]
fn norms_are_those_of_formed_products() {
    for recurrence in examples() {
        let (params, batch) = data(&recurrence, &[6, 4], 8);
        let flow = recurrence.flow(&params, &batch).unwrap();
        for sample in 0..2 {
            let map = flow.sensitivity(sample, 100).unwrap();
            let steps = flow.steps(sample).unwrap();
            assert_eq!(map.steps, (0..=steps).collect::<Vec<_>>());
            for k in 0..=steps {
                let mut product = Array2::<f64>::eye(flow.size());
                for t in k..=steps {
                    if t > k {
                        product = flow.jacobian(sample, t).unwrap().dot(&product);
                    }
                    let (found, expected) = (map.log_norms[[t, k]].exp(), largest(&product));
                    assert!(
                        (found - expected).abs() <= 1e-9 * expected,
                        "{}: {found} {expected}",
                        recurrence.name()
                    );
                    let squares = map.spectrum.as_ref().unwrap();
                    let sum: f64 = product.iter().map(|x| x * x).sum();
                    let mean = sum / number(flow.size());
                    assert!((squares.log_means[[t, k]].exp() - mean).abs() <= 1e-12 * mean);
                    let gram = product.t().dot(&product);
                    let fourth = gram.iter().map(|x| x * x).sum::<f64>() / number(flow.size());
                    let spread = (fourth / (mean * mean) - 1.0).max(0.0).sqrt();
                    if mean > 0.0 {
                        assert!((squares.spreads[[t, k]] - spread).abs() <= 1e-6, "{spread}");
                    }
                }
            }
        }
    }
}

/// A state of 40 entries, by power iteration, which approaches the norm from below.
#[test]
fn large_states_have_the_norms_of_formed_products() {
    for (cell, width) in [(Cell::rnn(), 40), (Cell::lstm(), 20)] {
        let r = cell.model("cell", Loss::SquaredError).unwrap();
        let sizes = [("H", width), ("K", 2), ("O", 2)];
        let (params, batch) = crate::support::instance(&r, &sizes, &[12], 4);
        let flow = r.flow(&params, &batch).unwrap();
        assert_eq!(flow.size(), 40);
        let map = flow.sensitivity(0, 7).unwrap();
        assert!(map.change <= 1e-4, "{}", map.change);
        for (j, k) in map.steps.iter().enumerate() {
            let mut product = Array2::<f64>::eye(flow.size());
            for t in *k..=12 {
                if t > *k {
                    product = flow.jacobian(0, t).unwrap().dot(&product);
                }
                if let Some(i) = map.steps.iter().position(|s| *s == t) {
                    let (found, expected) = (map.log_norms[[i, j]], largest(&product).ln());
                    assert!(
                        (found - expected).abs() < 3e-3,
                        "{t} {k}: {found} {expected}"
                    );
                    assert!(found < expected + 1e-9, "{t} {k}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn hundred_thousand_steps_stay_in_range() {
    for (c, n) in [(0.5, 2), (3.0, 2)] {
        let params = Params::new().with("W", orthogonal(n, c));
        let r = parsed(
            "dim H\nparam W[H,H]\ninput x[H]\nstate h[H]\nh' = W @ h - W @ stop_gradient(h) + x\n",
        );
        let batch = Batch::new(100_000, 1).with("x", ndarray::Array3::ones((100_000, 1, n)));
        let flow = r.flow(&params, &batch).unwrap();
        let map = flow.sensitivity(0, 4).unwrap();
        let expected = 1e5 * f64::ln(c);
        assert!((map.log_norms[[3, 0]] / expected - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_reset_cuts_the_flow_and_too_few_points_are_refused() {
    let flow = linear()
        .flow(
            &Params::new().with("W", Array2::<f64>::zeros((3, 3))),
            &Batch::new(4, 1),
        )
        .unwrap();
    let map = flow.sensitivity(0, 9).unwrap();
    assert_eq!(map.log_norms[[2, 1]], f64::NEG_INFINITY);
    assert_eq!(map.log_norms[[2, 2]], 0.0);
    let error = flow.sensitivity(0, 1).unwrap_err();
    assert!(
        matches!(error, Error::Batch { .. }) && error.to_string().contains("2 points"),
        "{error}"
    );
}
