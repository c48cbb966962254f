//! The rules of cases, and the mistakes that are not seen without them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bptt::cells::{Cell, Loss, Start};
use bptt::{Recurrence, Role, Scalar, Wrt};
use bptt_testing::{Answer, Case, Cases, Certify, Precision, Quantity, Verdict};
use ndarray::{ArrayD, arr0};
use proptest::test_runner::{Config, TestError, TestRunner};

fn lstm() -> Recurrence {
    Cell::lstm()
        .start(Start::Input)
        .model("lstm", Loss::SoftmaxCrossEntropy)
        .unwrap()
}

#[test]
fn cases_follow_the_rules() {
    let recurrence = lstm();
    let cases = Cases::new(&recurrence).precision(Precision::F32);
    let (mut ragged, mut first_is_shorter) = (0, 0);
    for seed in 0..200 {
        let case = cases.draw(seed).unwrap();
        let mut sizes: Vec<usize> = case.sizes.iter().map(|(_, size)| *size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        assert_eq!(sizes.len(), 3, "sizes differ: {case}");
        assert!(sizes[0] >= 2 && sizes[2] <= 6, "{case}");
        let (steps, lengths) = (case.batch.steps(), case.lengths());
        assert!(
            (3..=6).contains(&steps) && (2..=3).contains(&lengths.len()),
            "{case}"
        );
        assert!(
            lengths.contains(&steps),
            "some sample has every step: {case}"
        );
        ragged += usize::from(lengths.iter().any(|n| *n < steps));
        first_is_shorter += usize::from(lengths[0] < steps);
        for leaf in recurrence.tape().leaves() {
            if leaf.role() == Role::Parameter || leaf.ty().is_real() {
                let array = case.array(leaf.name()).unwrap();
                for x in array {
                    assert!((0.1..=1.0).contains(&x.abs()), "{x} in {}", leaf.name());
                    assert_eq!(
                        arr0(x).mapv(f32::of).mapv(f64::from),
                        arr0(x),
                        "exact in f32"
                    );
                }
            }
        }
    }
    assert!(
        ragged > 150 && first_is_shorter > 50,
        "{ragged}, {first_is_shorter}"
    );
}

#[test]
fn conditions_are_zeros_and_ones() {
    let text =
        "input x, reset\nparam a\nstate s\ns' = a * select(reset > 0, 0, s) + x\nloss s'^2\n";
    let recurrence = Recurrence::parse("reset.rec", text).unwrap();
    for seed in 0..50 {
        let case = Cases::new(&recurrence).draw(seed).unwrap();
        let reset = case.batch.get("reset").unwrap();
        assert!(reset.iter().all(|x| *x == 0.0 || *x == 1.0), "{reset}");
        assert!(
            reset.iter().any(|x| *x == 1.0) && reset.iter().any(|x| *x == 0.0),
            "{reset}"
        );
    }
}

#[test]
fn data_outside_of_a_domain_is_drawn_again() {
    let text = "input x\nparam a\nloss ln(a * x)\n";
    let recurrence = Recurrence::parse("ln.rec", text).unwrap();
    for seed in 0..20 {
        let case = Cases::new(&recurrence).draw(seed).unwrap();
        recurrence.evaluate(&case.params, &case.batch).unwrap();
    }
}

#[test]
fn the_case_of_a_seed_is_the_same_everywhere() {
    let recurrence = lstm();
    let case = Cases::new(&recurrence).draw(7).unwrap();
    assert_eq!(
        case.to_string(),
        "O = 5, K = 2, H = 4, lengths [6, 6], seed 7"
    );
    let first: Vec<f64> = case
        .params
        .get("b_i")
        .unwrap()
        .iter()
        .take(3)
        .copied()
        .collect();
    assert_eq!(first, [-0.452, -0.507, -0.813]);
}

#[test]
fn wrong_options_are_refused() {
    let recurrence = lstm();
    let unknown = Cases::new(&recurrence)
        .size("h", 3)
        .draw(1)
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("`h`") && unknown.contains('H'),
        "{unknown}"
    );
    #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
    let empty = Cases::new(&recurrence)
        .steps(5..=3)
        .draw(1)
        .unwrap_err()
        .to_string();
    assert!(
        empty.contains("steps") && empty.contains("5..=3"),
        "{empty}"
    );
}

/// A failing case shrinks to the shortest samples and the smallest sizes that still fail.
#[test]
fn cases_shrink_to_small_ones() {
    let recurrence = lstm();
    let cases = Cases::new(&recurrence).steps(3..=12);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let found = runner.run(&cases.strategy(), |case| {
        proptest::prop_assert!(case.batch.steps() < 5);
        Ok(())
    });
    let Err(TestError::Fail(_, case)) = found else {
        panic!("cases of five steps fail: {found:?}");
    };
    assert_eq!(case.batch.steps(), 5, "{case}");
    assert_eq!(case.batch.samples(), 2, "{case}");
    assert_eq!(case.lengths().iter().min(), Some(&1), "{case}");
}

/// A leaky integrator by hand. Each flag makes a mistake.
fn leaky(case: &Case, mistake: &str) -> Answer {
    let (a, b) = (
        case.params.get("a").unwrap()[[]],
        case.params.get("b").unwrap()[[]],
    );
    let [x, y, s0] = ["x", "y", "s0"].map(|n| case.batch.get(n).unwrap());
    let samples = case.batch.samples();
    let (mut loss, mut da, mut db) = (0.0, 0.0, 0.0);
    let mut starts = ArrayD::zeros(s0.shape());
    for (i, length) in case.lengths().into_iter().enumerate() {
        let length = if mistake == "lengths" {
            case.batch.steps()
        } else {
            length
        };
        let mut s = vec![if mistake == "start" { 0.0 } else { s0[[i]] }];
        for t in 0..length {
            s.push(a * s[t] + b * x[[t, i]]);
            loss += 0.5 * (s[t + 1] - y[[t, i]]).powi(2);
        }
        let mut ds = 0.0;
        for t in (0..length).rev() {
            ds += s[t + 1] - y[[t, i]];
            da += ds * s[t];
            db += ds * x[[t, i]];
            ds = match mistake {
                "truncated" => 0.0,
                _ => a * ds,
            };
        }
        if mistake != "start" {
            starts[[i]] = ds;
        }
    }
    let scale = if mistake == "mean" {
        1.0 / samples as f64
    } else {
        1.0
    };
    Answer::new()
        .loss(loss * scale)
        .gradient("a", arr0(da * scale))
        .gradient("b", arr0(db * scale))
}

fn verdict(cases: Cases<'_>, change: &dyn Fn(&mut Case), mistake: &str) -> Verdict {
    let mut verdicts = Vec::new();
    for seed in 0..10 {
        let mut case = cases.draw(seed).unwrap();
        change(&mut case);
        let expected = bptt_testing::Reference::new(cases.recurrence(), false).unwrap();
        let expected = expected.expect(&case).unwrap();
        let answer = leaky(&case, mistake);
        let agrees = answer.iter().all(|(quantity, name, found)| {
            let right = expected.get(quantity, name).unwrap();
            (found - &right.value)
                .iter()
                .all(|d| d.abs() <= right.bound)
        });
        verdicts.push(agrees);
    }
    match verdicts.iter().all(|agrees| *agrees) {
        true => Verdict::Certified,
        false => Verdict::Rejected,
    }
}

/// Each mistake passes on data that breaks its rule, and fails on data that keeps it.
#[test]
fn each_rule_catches_its_mistake() {
    let text = "input x, y\nsample input s0\nparam a, b\nstate s = s0\ns' = a * s + b * x\nloss squared_error(s', y)\n";
    let recurrence = Recurrence::parse("leaky.rec", text).unwrap();
    let cases = || Cases::new(&recurrence);
    let unchanged: &dyn Fn(&mut Case) = &|_| {};
    let zero_start: &dyn Fn(&mut Case) = &|case| case.batch.get_mut("s0").unwrap().fill(0.0);
    type Broken<'r> = (&'static str, Cases<'r>, &'r dyn Fn(&mut Case));
    let broken: [Broken<'_>; 4] = [
        ("lengths", cases().equal_lengths(), unchanged),
        ("truncated", cases().steps(1..=1), unchanged),
        ("mean", cases().samples(1..=1), unchanged),
        ("start", cases(), zero_start),
    ];
    assert_eq!(verdict(cases(), unchanged, "none"), Verdict::Certified);
    for (mistake, without, change) in broken {
        assert_eq!(
            verdict(without, change, mistake),
            Verdict::Certified,
            "{mistake} is not seen"
        );
        assert_eq!(
            verdict(cases(), unchanged, mistake),
            Verdict::Rejected,
            "{mistake} is seen"
        );
    }
}

/// Foreign code in `f32`: the bounds allow its rounding errors, and no mistake.
#[test]
fn bounds_of_single_precision() {
    let recurrence = lstm();
    let graph = recurrence.gradient(Wrt::Everything).unwrap();
    let mut narrow = |case: &Case| {
        let found = graph.evaluate::<f32>(&case.params.cast(), &case.batch.cast())?;
        let mut answer = Answer::new().loss(found.loss()?);
        for (name, array) in found.iter().filter(|(name, _)| *name != "loss") {
            answer = answer.gradient(name, array.clone());
        }
        Ok(answer)
    };
    let cases = Cases::new(&recurrence).precision(Precision::F32);
    let found = Certify::new(cases).trials(50).run(&mut narrow).unwrap();
    assert!(found.passed(), "{found}");
    assert!(
        found.findings().iter().all(|f| f.tolerance < 1e-3),
        "{found}"
    );
    // The same numbers are no numbers in `f64`.
    let found = Certify::new(Cases::new(&recurrence))
        .run(&mut narrow)
        .unwrap();
    assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
    let named = found.diagnosis().unwrap().mistakes();
    assert_eq!(
        named.first().map(|m| m.name),
        Some("single-precision"),
        "{found}"
    );
}

/// Numbers that are too large for `f32` have bounds too.
#[test]
fn bounds_of_large_numbers() {
    let text = "input x\nparam a\nstate s\ns' = s + a * x * 1e60\noutput s'\nloss s'\n";
    let recurrence = Recurrence::parse("large.rec", text).unwrap();
    let case = Cases::new(&recurrence).draw(1).unwrap();
    let expected = bptt_testing::Reference::new(&recurrence, false).unwrap();
    let expected = expected.expect(&case).unwrap();
    for (_, name, array) in expected.iter() {
        let largest = array.value.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let relative = array.bound / largest;
        assert!((1e-11..1e-9).contains(&relative), "{name}: {relative:e}");
    }
}

#[test]
fn second_order_that_is_asked_for_and_not_answered() {
    let text = "input x\nparam a, unused\nstate s\ns' = tanh(a * s + x)\nloss s'^2 + 0 * unused\n";
    let recurrence = Recurrence::parse("second.rec", text).unwrap();
    let gradient = recurrence.gradient(Wrt::Everything).unwrap();
    let mut first_order = |case: &Case| {
        let found = gradient.evaluate(&case.params, &case.batch)?;
        Ok(Answer::new()
            .loss(found.loss()?)
            .gradient("a", found["a"].clone()))
    };
    let certify = |second| Certify::new(Cases::new(&recurrence)).second_order(second);
    let found = certify(false).run(&mut first_order).unwrap();
    assert_eq!(found.verdict(), Verdict::Certified, "{found}");
    let found = certify(true).run(&mut first_order).unwrap();
    assert_eq!(found.verdict(), Verdict::Incomplete, "{found}");
    assert!(
        found
            .to_string()
            .contains("not answered: the 2nd order of `a`"),
        "{found}"
    );
}

/// Where rounding errors are as large as the numbers, nothing is certified; in a chaotic system an honest answer is not
/// rejected.
#[test]
fn numbers_that_rounding_hides() {
    let text = "input x\nparam a\nstate s\ns' = s + a * x\nloss (1e9 + s' - 1e9)^2\n";
    let recurrence = Recurrence::parse("cancel.rec", text).unwrap();
    let mut zeros = |_: &Case| Ok(Answer::new().loss(0.0).gradient("a", arr0(0.0)));
    let cases = Cases::new(&recurrence).precision(Precision::F32);
    let found = Certify::new(cases).run(&mut zeros).unwrap();
    assert_eq!(found.verdict(), Verdict::Incomplete, "{found}");

    let text = "input x\nsample input s0\nparam r\nstate s = s0\ns' = 3.9 * s * (1 - s) + 0 * r * x\nloss s'^2 + r^2\n";
    let recurrence = Recurrence::parse("chaos.rec", text).unwrap();
    let mut other_order = |case: &Case| {
        let r = case.params.get("r").unwrap()[[]];
        let (mut loss, mut dr) = (0.0, 0.0);
        for (b, length) in case.lengths().into_iter().enumerate() {
            let mut s = case.batch.get("s0").unwrap()[[b]];
            for _ in 0..length {
                s = (3.9 - 3.9 * s) * s;
                loss += s * s + r * r;
                dr += 2.0 * r;
            }
        }
        Ok(Answer::new().loss(loss).gradient("r", arr0(dr)))
    };
    for steps in [30, 60, 400] {
        let cases = Cases::new(&recurrence).steps(steps..=steps).samples(2..=2);
        let found = Certify::new(cases).trials(3).run(&mut other_order).unwrap();
        assert_ne!(found.verdict(), Verdict::Rejected, "{steps}: {found}");
    }
}

/// Zeros for a parameter without a derivative are accepted.
#[test]
fn zeros_of_a_condition() {
    let text = "input x, m\nparam a\nloss select(m > 0, a * x, 0)^2\n";
    let recurrence = Recurrence::parse("zeros.rec", text).unwrap();
    let gradient = recurrence.gradient(Wrt::Everything).unwrap();
    for (value, verdict) in [(0.0, Verdict::Certified), (1.0, Verdict::Rejected)] {
        let mut foreign = |case: &Case| {
            let found = gradient.evaluate(&case.params, &case.batch)?;
            let m = case.batch.get("m").unwrap().mapv(|_| value);
            Ok(Answer::new()
                .loss(found.loss()?)
                .gradient("a", found["a"].clone())
                .gradient("m", m))
        };
        let found = Certify::new(Cases::new(&recurrence))
            .run(&mut foreign)
            .unwrap();
        assert_eq!(found.verdict(), verdict, "{found}");
    }
}

/// The seed that is printed with a case draws it again.
#[test]
fn the_seed_of_a_case_draws_it_again() {
    let recurrence = lstm();
    let mut none = |_: &Case| Ok(Answer::new().loss(0.0));
    let found = Certify::new(Cases::new(&recurrence))
        .seed(5)
        .diagnose(false)
        .run(&mut none)
        .unwrap();
    for case in found.trials() {
        let again = Cases::new(&recurrence).draw(case.seed).unwrap();
        assert_eq!(again.params, case.params);
    }
}

#[test]
fn sizes_are_at_least_those_of_the_declaration() {
    let text = "dim H >= 5, K\nparam w[H], v[K]\nloss sum(w) * sum(v)\n";
    let recurrence = Recurrence::parse("least.rec", text).unwrap();
    for seed in 0..20 {
        let case = Cases::new(&recurrence).draw(seed).unwrap();
        let size = |dim: &str| case.sizes.iter().find(|(name, _)| name == dim).unwrap().1;
        assert!(
            size("H") >= 5 && size("K") >= 2 && size("H") != size("K"),
            "{case}"
        );
    }
}

/// An answer that cannot be compared has a message with the array, the place and the remedy.
#[test]
fn answers_that_do_not_fit() {
    let text = "dim H, K\ninput x[K]\nparam W[H, K]\nstate h[H]\nh' = tanh(W @ x + h)\noutput h'\nloss sum(h')\n";
    let recurrence = Recurrence::parse("fit.rec", text).unwrap();
    let reference = bptt_testing::Reference::new(&recurrence, false).unwrap();
    type Change = fn(Answer, &ArrayD<f64>) -> Answer;
    let wrong: [(Change, &str, &str); 4] = [
        (
            |answer, w| answer.gradient("W", w.mapv(|_| f64::NAN)),
            "not finite",
            "`W` of `gradient` of the answer is NaN at [0, 0] (counted from 0), expected",
        ),
        (
            |answer, w| answer.gradient("W", w.clone().reversed_axes()),
            "misfit",
            "; give its transpose",
        ),
        (
            |answer, w| answer.gradient("V", w.clone()),
            "misfit",
            "`V` of `gradient`, which `fit` does not have; expected `x`, `W`",
        ),
        (
            |answer, _| answer.loss(f64::INFINITY),
            "not finite",
            "`loss` of the answer is inf, expected",
        ),
    ];
    for (change, kind, message) in wrong {
        let mut foreign = |case: &Case| {
            let expected = reference.expect(case)?;
            let w = &expected.get(Quantity::Gradient, "W").unwrap().value;
            let loss = expected.get(Quantity::Loss, "loss").unwrap().value[[]];
            Ok(change(Answer::new().loss(loss).gradient("W", w.clone()), w))
        };
        let found = Certify::new(Cases::new(&recurrence))
            .run(&mut foreign)
            .unwrap();
        assert_eq!(found.verdict(), Verdict::Failed, "{found}");
        let failure = found.failure().unwrap();
        assert_eq!(failure.kind(), kind, "{failure}");
        assert!(failure.message().contains(message), "{failure}");
    }
    // Outputs beyond the length of a sample are not compared.
    let mut beyond = |case: &Case| {
        let expected = reference.expect(case)?;
        let lengths = case.lengths();
        let mut answer = Answer::new();
        for (quantity, name, right) in expected.iter() {
            let mut array = right.value.clone();
            if quantity == Quantity::Output {
                for ((t, b), mut row) in array
                    .lanes_mut(ndarray::Axis(2))
                    .into_iter()
                    .enumerate()
                    .map(|(i, row)| ((i / lengths.len(), i % lengths.len()), row))
                {
                    if t >= lengths[b] {
                        row.fill(f64::NAN);
                    }
                }
            }
            answer = answer.with(quantity, name, array);
        }
        Ok(answer)
    };
    let found = Certify::new(Cases::new(&recurrence))
        .run(&mut beyond)
        .unwrap();
    assert!(found.passed(), "{found}");
}
