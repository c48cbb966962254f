//! Results of sequences do not depend on packing: several in one row with resets, as separate samples with
//! lengths, or between masked steps.

use crate::support::packing::{Packing, Sizes, rates};
use crate::support::random::*;
use bptt::{Batch, Params, Rate, Recurrence, Wrt};
use bptt_testing::random::{self as strategy, Instance};
use proptest::prelude::*;

/// The real leaves, the variables of the derivatives.
fn names(r: &Recurrence) -> Vec<&str> {
    let leaves = r.tape().leaves().iter();
    let real = leaves.filter(|l| l.ty().is_real());
    real.map(bptt::Leaf::name).collect()
}

/// The largest difference between the outputs of separate samples and of packed sequences.
fn check(
    p: &Packing,
    alone: &Recurrence,
    packed: &Recurrence,
    what: &str,
) -> Result<f64, TestCaseError> {
    let all = |r: &Recurrence| r.outputs().map(String::from).collect::<Vec<_>>();
    assert_eq!(
        all(alone),
        all(packed),
        "packing keeps the names of outputs"
    );
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

/// Three sequences of lengths 4, 2 and 3, for a recurrence in the language.
fn three_sequences(text: &str) -> Instance {
    let recurrence = Recurrence::parse("three.rec", text).unwrap();
    let mut numbers = Numbers(11);
    let mut params = Params::new();
    let mut batch = Batch::new(4, 3).with_lengths([4, 2, 3]);
    for leaf in recurrence.tape().leaves() {
        match leaf.ty().rate {
            Rate::Static => params.insert(leaf.name(), numbers.array(&[])),
            Rate::Sample => batch = batch.with(leaf.name(), numbers.array(&[3])),
            Rate::Step => batch = batch.with(leaf.name(), numbers.array(&[4, 3])),
        }
    }
    Instance {
        recurrence,
        params,
        batch,
    }
}

const HEAD: &str = "input x\nparam a, b\nsample input z\nstate s = z\ns' = a * s + x\n";

/// All ways in which a value can depend on a whole sequence, or on the number of sequences.
const WHOLE: [&str; 24] = [
    "final loss s'^2",
    "mean final loss s'^2",
    "mean loss s'^2",
    "final loss s'^2\nmean loss x * s'\nloss a * b",
    "loss z^2",
    "mean loss z^2 + a",
    "loss hold(a, sample)^2",
    "mean loss hold(a, step) * z\nfinal loss hold(z, step)",
    "m = last(s')\noutput m\nloss (s' - m)^2",
    "m = first(s')\noutput m\nloss (s' - m)^2",
    "m = total_steps(s') / total_steps(hold(1, step))\noutput m\nloss (s' - m)^2",
    "loss last(s') * first(s')\nmean loss total_steps(s')^2",
    "m = last(s') * z\nloss m^2\noutput o = b * m + s'",
    "output o = impulse_first(last(s')) + impulse_last(first(s')) * s'\nloss s' * impulse_first(z)",
    "loss impulse_last(hold(a, sample)) * s'^2 + impulse_first(total_steps(x)) * b",
    "backward state k = last(s')\nk' = b * k + x\nloss k' * s'",
    "backward state k = z\nk' = b * k + s'\nfinal loss k'^2\nloss first(k')^2",
    "backward state k\nk' = b * k + x\nstate r = first(k') + z\nr' = tanh(b * r + k')\nfinal loss r'^2",
    "mean = last(s')\nstate r = mean\nr' = b * r + mean\nloss r' * mean\noutput r'",
    "loss s' * delay(s') * advance(x)\nfinal loss advance(s') + delay(s', last(s'))^2",
    "loss delay(delay(s', z), first(x)) * advance(advance(s'))",
    "all = total(s') / total(hold(1, step))\nloss (s' - all)^2\nfinal loss all * s'",
    "count = total(hold(1, sample))\nfinal loss count * s'^2",
    "output o = z * b\noutput ending = last(s') + 1\nloss exp(-last(s')^2) + hold(last(x), step)",
];

#[test]
fn whole_sequence_values_know_where_sequences_end() {
    for text in WHOLE {
        let i = three_sequences(&format!("{HEAD}{text}\n"));
        let (r, names) = (&i.recurrence, names(&i.recurrence));
        for (rows, sizes) in [(1, Sizes::Tight), (2, Sizes::WithHoles)] {
            let p = Packing::new(&i, rows, sizes);
            let pack = |r: &Recurrence| match sizes {
                Sizes::Tight => r.with_resets("reset").unwrap(),
                Sizes::WithHoles => {
                    let packed = r.with_resets("reset").unwrap();
                    packed.with_mask("active").unwrap()
                }
            };
            for (what, derivative) in DERIVATIVES {
                let alone = derivative(r, &names).with_final_states().unwrap();
                let after = derivative(&pack(r), &names).with_final_states().unwrap();
                check(&p, &alone, &after, what).unwrap_or_else(|e| panic!("{text}: {e}"));
                let before = pack(&alone);
                check(&p, &alone, &before, what).unwrap_or_else(|e| panic!("{text}: {e}"));
            }
        }
    }
}

#[test]
fn three_sequences_in_one_row() {
    let text = "input x\nparam a\nstate s\ns' = a * s + x\nfinal loss s'^2\n";
    let r = Recurrence::parse("final.rec", text).unwrap();
    let r = r.with_resets("reset").unwrap().gradient(&["a"]).unwrap();
    let column = |a: [f64; 6]| ndarray::Array2::from_shape_vec((6, 1), a.to_vec()).unwrap();
    let found = run(&Instance {
        recurrence: r,
        params: Params::new().with("a", ndarray::arr0(2.0)),
        batch: Batch::new(6, 1)
            .with("x", column([1.0, 3.0, 5.0, 1.0, 1.0, 1.0]))
            .with("reset", column([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])),
    });
    // 2·1 + 3 = 5, 5, and 4 + 2 + 1 = 7.
    assert_eq!(found.loss().unwrap(), 25.0 + 25.0 + 49.0);
    assert_eq!(found["a"].sum(), 2.0 * 5.0 * 1.0 + 2.0 * 7.0 * 5.0);
}

/// The derivative with respect to a named value per sample is distributed over the steps.
#[test]
fn the_derivative_of_a_named_value_is_spread_over_its_sequence() {
    for text in [
        "m = last(s')\nloss (s' - m)^2",
        "m = last(s')\nloss m^2",
        "m = first(s')\nstate r\nr' = hold(m, step)\nloss r' * m + r * x",
        "m = total_steps(x) * z\nbackward state k = m\nk' = k * x\nloss k' + m^2 * s'",
    ] {
        let i = three_sequences(&format!("{HEAD}{text}\n"));
        let p = Packing::new(&i, 1, Sizes::Tight);
        let alone = run(&p.alone(&i.recurrence.gradient(&["m"]).unwrap()));
        let packed = i.recurrence.with_resets("reset").unwrap();
        let packed = run(&p.packed(&packed.gradient(&["m"]).unwrap()));
        for (b, (from, to)) in [(0, 4), (4, 6), (6, 9)].into_iter().enumerate() {
            let sum: f64 = (from..to).map(|t| packed["m"][[t, 0]]).sum();
            let expected = alone["m"][[b]];
            let error = (sum - expected).abs();
            assert!(
                error <= 1e-12 * expected.abs().max(1.0),
                "{text}: {sum}, {expected}"
            );
        }
    }
}

/// The canonical text of packed sequences computes the same, and is a fixed point.
#[test]
fn packed_sequences_are_written() {
    for text in WHOLE {
        let i = three_sequences(&format!("{HEAD}{text}\n"));
        let p = Packing::new(&i, 2, Sizes::Tight);
        for r in [
            i.recurrence.clone(),
            i.recurrence.gradient(&["a", "x"]).unwrap(),
        ] {
            let packed = r.with_resets("reset").unwrap();
            let source = packed.source().unwrap_or_else(|e| panic!("{text}: {e}"));
            let again = Recurrence::parse("again.rec", &source).unwrap();
            assert_eq!(again.source().unwrap(), source);
            let runs = [packed, again].map(|r| p.packed(&r));
            let [one, two] = runs.map(|i| i.recurrence.evaluate(&i.params, &i.batch).unwrap());
            assert_eq!(one, two, "{source}");
        }
    }
}

/// Under time reversal, a row of sequences is a row of reversed sequences, whose final values are at their
/// starts.
#[test]
fn a_row_of_sequences_can_be_reversed() {
    for text in WHOLE {
        let i = three_sequences(&format!("{HEAD}{text}\n"));
        let p = Packing::new(&i, 1, Sizes::Tight);
        let packed = i.recurrence.with_resets("reset").unwrap();
        let forward = run(&p.packed(&packed.with_final_states().unwrap()));
        let backward = packed.reversed().unwrap().with_final_states().unwrap();
        let mut turned = p.packed(&backward);
        for input in backward.inputs() {
            if let Some(a) = turned.batch.get_mut(input).filter(|a| a.ndim() == 2) {
                a.invert_axis(ndarray::Axis(0));
            }
        }
        for (name, a) in run(&turned).iter() {
            let mut a = a.clone();
            if a.ndim() == 2 {
                a.invert_axis(ndarray::Axis(0));
            }
            let error = norm(&(&a - &forward[name])) / norm(&a).max(1e-3);
            assert!(error <= 1e-12, "{text}, `{name}`: {error:e}");
        }
    }
}

/// With two reset inputs, a sequence starts where either is 1.
#[test]
fn resets_add_up() {
    let text = "final loss s'^2\nm = last(s')\nloss (s' - m)^2 * first(x)\noutput m";
    let i = three_sequences(&format!("{HEAD}{text}\n"));
    let p = Packing::new(&i, 1, Sizes::Tight);
    let once = p.packed(&i.recurrence.with_resets("reset").unwrap());
    let twice = i.recurrence.with_resets("reset").unwrap();
    let mut twice = p.packed(&twice.with_resets("again").unwrap());
    let mut again = twice.batch.get("reset").unwrap().clone();
    twice.batch.get_mut("reset").unwrap()[[4, 0]] = 0.0;
    again.fill(0.0);
    again[[4, 0]] = 1.0;
    twice.batch = twice.batch.with("again", again);
    assert_eq!(once.batch.get("reset").unwrap()[[4, 0]], 1.0);
    let (one, two) = (run(&once), run(&twice));
    for (name, a) in one.iter() {
        assert!(norm(&(a - &two[name])) <= 1e-13, "{name}");
    }
}

#[test]
fn a_sample_without_active_steps_counts_for_nothing() {
    let text = "input x\nsample input z\nfinal loss (x - 1)^2\nloss z\nmean final loss x\n";
    let r = Recurrence::parse("empty.rec", text).unwrap();
    let batch = |samples: usize| {
        Batch::new(2, samples)
            .with("x", ndarray::Array2::from_elem((2, samples), 3.0))
            .with("z", ndarray::Array1::from_elem(samples, 5.0))
    };
    let mut active = ndarray::Array2::from_elem((2, 3), 1.0);
    active[[0, 1]] = 0.0;
    active[[1, 1]] = 0.0;
    let masked = Instance {
        recurrence: r.with_mask("active").unwrap(),
        params: Params::new(),
        batch: batch(3).with("active", active),
    };
    let plain = r.evaluate(&Params::new(), &batch(2)).unwrap();
    assert_eq!(run(&masked).loss(), plain.loss());
}
