//! Chaotic recurrences: rounding grows with each step, and no difference is small enough after some
//! tens of steps. A right gradient is never called wrong there.

use bptt::check::{Remark, Verdict};
use bptt::{Batch, Certificate, Check, Params, Recurrence};
use ndarray::{Array2, arr0};

const LOGISTIC: &str = "param a, s0\nstate s = s0\ns' = a * s * (1 - s)\n";
const HENON: &str = "param a, b, x0\nstate x = x0\nstate y\nx' = 1 - a * x^2 + y\ny' = b * x\n";
const TENT: &str = "param a, s0\nstate s = s0\ns' = a * min(s, 1 - s)\n";

fn certify(
    text: &str,
    numbers: &[(&str, f64)],
    steps: usize,
    (seen, seed): (usize, u64),
) -> Certificate {
    let r = Recurrence::parse("chaotic", text).unwrap();
    let params = Params::new();
    let params = numbers
        .iter()
        .fold(params, |p, (name, x)| p.with(name, arr0(*x)));
    let check = Check::new(&r).seed(seed).steps(seen);
    check.run(&params, &Batch::new(steps, 1)).unwrap()
}

/// Never wrong; the reason is given where something is not resolved.
fn is_right(found: &Certificate, what: &str) {
    assert_ne!(found.verdict(), Verdict::Rejected, "{what}: {found}");
    if found.verdict() == Verdict::Incomplete {
        let known = [Remark::Bent, Remark::Rounded, Remark::Kink, Remark::Faint];
        let why = found.remarks().any(|(_, r)| known.contains(&r));
        assert!(why, "{what}: {found}");
    }
}

/// The text of a map, its state, and its numbers.
type Map = (&'static str, &'static str, &'static [(&'static str, f64)]);

#[test]
fn a_chaotic_map_is_never_called_wrong() {
    let maps: [Map; 4] = [
        (LOGISTIC, "s'", &[("a", 3.9), ("s0", 0.37)]),
        (LOGISTIC, "s'", &[("a", 4.0), ("s0", 0.6)]),
        (HENON, "x'", &[("a", 1.4), ("b", 0.3), ("x0", 0.1)]),
        (TENT, "s'", &[("a", 1.9), ("s0", 0.37)]),
    ];
    for (map, state, numbers) in maps {
        for loss in ["final loss S", "loss (S - 0.3)^2", "mean loss S"] {
            let text = format!("{map}{}\n", loss.replace('S', state));
            for (steps, seed) in [(15, 1), (30, 2), (45, 1), (52, 2), (60, 1), (100, 2)] {
                let found = certify(&text, numbers, steps, (usize::MAX, seed));
                is_right(&found, &format!("{text}{steps} steps"));
            }
        }
    }
}

/// Few steps are certified, and beside them reverse and forward mode on all steps do not disagree.
#[test]
fn the_first_steps_of_a_chaotic_map_are_certified() {
    let text = format!("{LOGISTIC}final loss s'\n");
    for steps in [10, 60, 120, 500] {
        for seed in 1..3 {
            let found = certify(&text, &[("a", 3.9), ("s0", 0.37)], steps, (8, seed));
            is_right(&found, &format!("{steps} steps"));
            assert_eq!(found.extent().steps, 8);
            assert!(steps > 10 || found.passed(), "{found}");
        }
    }
}

#[test]
fn a_network_with_a_large_gain_is_never_called_wrong() {
    let text = "dim H\nparam A[H, H], b[H]\nstate h[H]\nh' = tanh(5 * (A @ h) + b)\nloss sum(h')\n";
    let r = Recurrence::parse("gain", text).unwrap();
    let wave = |i: usize| (f64::from(u32::try_from(i).unwrap()) * 1.7 + 0.4).sin();
    let size = 6;
    let params = Params::new()
        .with(
            "A",
            Array2::from_shape_fn((size, size), |(i, j)| 0.6 * wave(7 * i * i + 3 * j)),
        )
        .with("b", ndarray::Array1::from_shape_fn(size, |i| 0.1 * wave(i)));
    for steps in [10, 40, 80] {
        for seed in 1..3 {
            let check = Check::new(&r).seed(seed).entries(2);
            let found = check.run(&params, &Batch::new(steps, 1)).unwrap();
            is_right(&found, &format!("{steps} steps"));
        }
    }
}
