//! Sequences are sequences, however they are packed: several in one row told apart by resets, as
//! samples of their own with lengths, or among masked steps.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/packing.rs"]
mod packing;
#[path = "support/random.rs"]
mod random;

use bptt::check::strategy;
use bptt::{Recurrence, Wrt};
use packing::{Packing, Sizes, rates};
use proptest::prelude::*;
use random::*;

/// The real leaves, to differentiate with respect to.
fn names(r: &Recurrence) -> Vec<&str> {
    let leaves = r.tape().leaves().iter();
    let real = leaves.filter(|l| l.ty().is_real());
    real.map(bptt::Leaf::name).collect()
}

/// The largest difference between the outputs of samples and of packed sequences.
fn check(
    p: &Packing,
    alone: &Recurrence,
    packed: &Recurrence,
    what: &str,
) -> Result<f64, TestCaseError> {
    let all = |r: &Recurrence| r.outputs().map(String::from).collect::<Vec<_>>();
    assert_eq!(all(alone), all(packed));
    let (a, b) = (run(&p.alone(alone)), run(&p.packed(packed)));
    let floor = 1e-2 * overall(&a) + 1e-3;
    let mut worst = 0.0_f64;
    let rates = rates(alone).into_iter().zip(rates(packed));
    for ((name, array), (rate, packed_rate)) in a.iter().zip(rates) {
        let error = p.distance((array, rate), (&b[name], packed_rate)) / norm(array).max(floor);
        prop_assert!(
            error <= 1e-12,
            "{what}, `{name}`: {error:e}\n{array}\n{}\n{alone}\n{packed}",
            b[name]
        );
        worst = worst.max(error);
    }
    Ok(worst)
}

type Derivative = fn(&Recurrence, &[&str]) -> Recurrence;

const DERIVATIVES: [(&str, Derivative); 3] = [
    ("values", |r, _| r.clone()),
    ("gradient", |r, names| {
        r.gradient(Wrt::Names(names)).unwrap()
    }),
    ("Hessian product", |r, names| {
        r.hessian_vector(Wrt::Names(names)).unwrap()
    }),
];

#[test]
fn packed_sequences_are_sequences() {
    for_all(40, "packed", strategy::recurrence(), |i, seen| {
        let (r, names) = (&i.recurrence, names(&i.recurrence));
        let p = Packing::new(i, 1 + i.batch.steps() % 2, Sizes::Tight);
        for (n, (what, derivative)) in DERIVATIVES.into_iter().enumerate() {
            let alone = derivative(r, &names).with_final_states().unwrap();
            let after = derivative(&r.with_resets("reset").unwrap(), &names);
            let after = after.with_final_states().unwrap();
            let error = check(&p, &alone, &after, &format!("resets, then {what}"))?;
            seen.note(n, error);
            let before = alone.with_resets("reset").unwrap();
            let error = check(&p, &alone, &before, &format!("{what}, then resets"))?;
            seen.note(n, error);
        }
        Ok(())
    });
}

#[test]
fn packed_sequences_among_masked_steps_are_sequences() {
    for_all(
        20,
        "packed and masked",
        strategy::recurrence(),
        |i, seen| {
            let (r, names) = (&i.recurrence, names(&i.recurrence));
            let p = Packing::new(i, 2, Sizes::WithHoles);
            let both: [fn(&Recurrence) -> Recurrence; 2] = [
                |r| r.with_resets("reset").unwrap().with_mask("active").unwrap(),
                |r| r.with_mask("active").unwrap().with_resets("reset").unwrap(),
            ];
            for (n, (what, derivative)) in DERIVATIVES.into_iter().enumerate() {
                let alone = derivative(r, &names).with_final_states().unwrap();
                for both in both {
                    let after = derivative(&both(r), &names).with_final_states().unwrap();
                    let error = check(&p, &alone, &after, &format!("packed, then {what}"))?;
                    seen.note(n, error);
                    let before = both(&alone);
                    let error = check(&p, &alone, &before, &format!("{what}, then packed"))?;
                    seen.note(n, error);
                }
            }
            Ok(())
        },
    );
}
