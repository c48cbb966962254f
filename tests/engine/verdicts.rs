//! The reasons why there are no standard errors, for every shape that a loss can have at the end of a fit.

use crate::support::fits::*;
use bptt::fit::{Covariance, infer};
use bptt::{Batch, Error, Premise};
use ndarray::array;

fn data() -> Batch<f64> {
    let x = array![[1.0], [2.0], [3.0], [6.0], [-4.0], [0.5], [2.5]];
    Batch::new(7, 1).with("x", x)
}

/// The premise that fails, and words of its message that must and must not be there.
struct Case {
    name: &'static str,
    text: &'static str,
    at: &'static [(&'static str, f64)],
    premise: Premise,
    says: &'static str,
}

const STAYS: &str = "stays the same";

const CASES: &[Case] = &[
    Case {
        name: "a gradient that is not small",
        text: "param a\nloss 0.5 * (x - a)^2\n",
        at: &[("a", 3.0)],
        premise: Premise::Converged,
        says: "has not converged",
    },
    Case {
        name: "a kink at its minimum",
        text: "param a\nloss abs(x - a)\n",
        at: &[("a", 2.0)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a kink at its minimum, next to which a descent has ended",
        text: "param a\nloss abs(x - a)\n",
        at: &[("a", 2.003)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a kink of a parameter at zero",
        text: "param a\nloss 0.5 * (0.01 * x - a)^2 + abs(a)\n",
        at: &[("a", 0.0)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a kink between symmetric branches, with curvature on both sides",
        text: "param a\nloss 0.5 * a^2 + abs(a) * hold(1, step)\n",
        at: &[("a", 0.0)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a kink that curves downwards on both sides",
        text: "param a\nloss sqrt(abs(a) + 0.1) + 0 * x\n",
        at: &[("a", 0.0)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a kink next to a smooth parameter",
        text: "param a, b\nloss abs(x - a) + 0.5 * (x - b)^2\n",
        at: &[("a", 2.0), ("b", 11.0 / 7.0)],
        premise: Premise::Smooth,
        says: "its slope jumps when `a` alone moves",
    },
    Case {
        name: "a straight line",
        text: "param a\nloss a + 0 * x\n",
        at: &[("a", -9.0)],
        premise: Premise::Smooth,
        says: "changes in a straight line when `a` alone moves",
    },
    Case {
        name: "a straight line at zero",
        text: "param a\nloss a * x\n",
        at: &[("a", 0.0)],
        premise: Premise::Smooth,
        says: "changes in a straight line when `a` alone moves",
    },
    Case {
        name: "a straight line next to a smooth parameter",
        text: "param a, b\nloss 0.5 * (x - a)^2 - 0.1 * b * hold(1, step)\n",
        at: &[("a", 11.0 / 7.0), ("b", 5.0)],
        premise: Premise::Smooth,
        says: "changes in a straight line when `b` alone moves",
    },
    Case {
        name: "a flat direction",
        text: "param a, b\nloss 0.5 * (x - a - b)^2\n",
        at: &[("a", 11.0 / 7.0 - 1.0), ("b", 1.0)],
        premise: Premise::Identified,
        says: "the loss stays the same when `a` by 1 and `b` by -1 move together",
    },
    Case {
        name: "a parameter that is switched off",
        text: "param a\nloss 0.5 * (x - max(a, 0))^2\n",
        at: &[("a", -1.0)],
        premise: Premise::Identified,
        says: "the loss stays the same when `a` alone moves",
    },
    Case {
        name: "a parameter that is not used",
        text: "param a, b\nloss 0.5 * (x - a)^2\n",
        at: &[("a", 11.0 / 7.0), ("b", 1.0)],
        premise: Premise::Identified,
        says: "the loss does not depend on `b`: remove it",
    },
    Case {
        name: "a saddle",
        text: "param a, b\nloss 0.5 * (x - a)^2 - 0.5 * b^2\n",
        at: &[("a", 11.0 / 7.0), ("b", 0.0)],
        premise: Premise::Minimum,
        says: "curves downwards when `b` alone moves, so this is no minimum",
    },
    Case {
        name: "a maximum",
        text: "param a\nloss -0.5 * (x - a)^2\n",
        at: &[("a", 11.0 / 7.0)],
        premise: Premise::Minimum,
        says: "curves downwards when `a` alone moves, so this is no minimum",
    },
    Case {
        name: "a loss that falls without end",
        text: "param a\nloss -0.5 * (x - a)^2\n",
        at: &[("a", -13.0)],
        premise: Premise::Converged,
        says: "the loss curves downwards when `a` alone moves, so this is no minimum; go on",
    },
];

#[test]
fn every_verdict_is_true() {
    let batch = data();
    let mut wrong = Vec::new();
    for case in CASES {
        let r = parse(&format!("input x\n{}", case.text));
        match infer(&r, &scalars(case.at), &batch) {
            Err(Error::NoStandardErrors { premise, reason }) => {
                let stays = case.says.contains(STAYS) || !reason.contains(STAYS);
                if premise != case.premise || !reason.contains(case.says) || !stays {
                    wrong.push(format!("{}: {premise:?}: {reason}", case.name));
                }
            }
            other => wrong.push(format!("{}: {other:?}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A verdict does not depend on the unit of the loss, nor on a constant in it.
#[test]
fn a_smooth_minimum_has_errors_on_every_scale() {
    for scale in [1e-100_f64, 1e-20, 1.0, 1e20, 1e100] {
        let text = format!("input x\nparam a\nloss {scale:e} * 0.5 * (x - a)^2\n");
        let found = infer(&parse(&text), &scalars(&[("a", 11.0 / 7.0)]), &data());
        let errors = found.unwrap().standard_errors(Covariance::Hessian).unwrap();
        let expected = (7.0 * scale).sqrt().recip();
        let error = errors.get("a").unwrap().sum();
        assert!((error / expected - 1.0).abs() < 1e-12, "{scale}: {error}");
    }
}

/// The rounding errors of a loss that is zero, as a sum of terms of both signs, are neither slopes nor kinks.
#[test]
fn a_flat_direction_of_a_loss_near_zero_is_flat() {
    let z = array![[1.3], [-0.4], [0.7], [2.2], [-1.9], [0.1], [0.9]];
    let x = data().get("x").unwrap().clone();
    let x = x.into_dimensionality::<ndarray::Ix2>().unwrap();
    let slope = (&x * &z).sum() / (&z * &z).sum();
    let level = (&x - slope * &z).mapv(|r: f64| 0.5 * r * r).sum() / 7.0;
    for n in 1..40 {
        // Two inputs in a fixed proportion, up to rounding.
        let part = 0.7 / f64::from(n);
        let b = 0.1 * f64::from(n);
        let a = slope - part * b;
        let text =
            format!("input x, z, w\nparam a, b\nloss 0.5 * (x - a * z - b * w)^2 - {level}\n");
        let batch = Batch::new(7, 1).with("x", x.clone());
        let batch = batch.with("z", z.clone()).with("w", part * &z);
        match infer(&parse(&text), &scalars(&[("a", a), ("b", b)]), &batch) {
            Err(Error::NoStandardErrors { premise, reason }) => {
                assert_eq!(premise, Premise::Identified, "{n}: {reason}");
            }
            other => panic!("{n}: {other:?}"),
        }
    }
}
