//! Mistakes in hand-written networks get their names.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod by_hand;

use bptt::cells::{Cell, Loss, Start};
use bptt::{Derived, Recurrence, Wrt};
use bptt_testing::mistakes::{CATALOGUE, FAULTS, Fault, mutants};
use bptt_testing::{
    Answer, Case, Cases, Certificate, Certify, Failure, Foreign, Precision, Quantity, Reference,
};
use by_hand::{Network, Slip};

type Pass = fn(Network<'_>) -> Answer;

fn model(cell: Cell) -> Recurrence {
    cell.start(Start::Input)
        .model("by hand", Loss::SquaredError)
        .unwrap()
}

fn certify(recurrence: &Recurrence, pass: Pass, slip: &'static str) -> Certificate {
    let mut foreign = |case: &Case| Ok(pass(Network::new(case, Slip(slip))));
    Certify::new(Cases::new(recurrence))
        .trials(6)
        .run(&mut foreign)
        .unwrap()
}

/// Checks that each slip is rejected and gets one of these names, or none if it is in no catalogue.
fn all_named(recurrence: &Recurrence, pass: Pass, slips: &[(&'static str, &[&str])]) {
    let right = certify(recurrence, pass, "right");
    assert!(right.passed(), "{right}");
    let mut missed = Vec::new();
    for (slip, names) in slips {
        let certificate = certify(recurrence, pass, slip);
        println!("==== {slip}\n{certificate}\n");
        assert!(!certificate.passed(), "{slip}: {certificate}");
        let diagnosis = certificate
            .diagnosis()
            .expect("wrong numbers are diagnosed");
        let found: Vec<&str> = diagnosis.mistakes().iter().map(|m| m.name).collect();
        let named =
            found.is_empty() == names.is_empty() && found.iter().all(|name| names.contains(name));
        if !named {
            missed.push(format!("{slip}: {found:?} instead of {names:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn slips_in_a_tanh_network() {
    all_named(
        &model(Cell::rnn()),
        |n| n.rnn(),
        &[
            ("lengths ignored", &["lengths-ignored"]),
            ("no half", &["constant-factor"]),
            ("mean over samples", &["constant-factor"]),
            ("mean over padded steps", &["constant-factor"]),
            ("mean over steps", &["constant-factor"]),
            ("single precision", &["single-precision"]),
            ("bias gradient twice", &["constant-factor"]),
            ("negative gradient", &["constant-factor"]),
            ("gradient of U transposed", &["array-transposed"]),
            ("no gradient of the start", &["zero"]),
            ("starts at zero", &["start-at-zero"]),
            ("state ignored", &["state-ignored"]),
            ("state from start", &["state-from-start"]),
            ("W transposed", &["matrix-transposed"]),
            ("no bias", &["term-left-out"]),
            ("bias twice", &["term-counted-twice"]),
            ("readout only at the end", &[]),
            ("no tanh'", &["gradient-factor-left-out"]),
            ("tanh' at its value", &["derivative-at-the-value"]),
            (
                "tanh' of the previous state",
                &["gradient-previous-value-of-a-state"],
            ),
            (
                "outer with the new state",
                &["gradient-wrong-step-of-a-state"],
            ),
            ("first step forgotten in W_H", &["gradient-start-forgotten"]),
            ("W_X only at the end", &["gradient-last-step-only"]),
            ("truncated", &["truncated"]),
            (
                "W not transposed",
                &["gradient-not-transposed", "gradient-product-transposed"],
            ),
            ("jacobians reversed", &["jacobians-reversed"]),
        ],
    );
}

#[test]
fn slips_in_an_lstm() {
    all_named(
        &model(Cell::lstm()),
        |n| n.lstm(),
        &[
            ("h ignored", &["state-ignored"]),
            ("i and f exchanged", &["gates-exchanged"]),
            ("forget bias of one", &["one-added-to-a-bias"]),
            ("sigmoid candidate", &["other-activation"]),
            ("no tanh of c", &["activation-left-out"]),
            ("no tanh' of c", &["gradient-factor-left-out"]),
            ("tanh' of c itself", &["derivative-at-the-argument"]),
            ("no path from h to c", &["gradient-term-left-out"]),
            ("no carry of c", &["truncated"]),
            ("carry of c twice", &["gradient-term-counted-twice"]),
            ("o left out", &["gradient-factor-left-out"]),
            (
                "new c in the forget gate",
                &["gradient-wrong-step-of-a-state"],
            ),
            ("i for g", &["gradient-other-factor"]),
            ("coupled gates", &[]),
            ("no sigmoid' of f", &["gradient-factor-left-out"]),
            (
                "tanh' for sigmoid' of o",
                &["derivative-of-another-function"],
            ),
            ("no gradient of f", &["gradient-detached"]),
            ("U not transposed", &["gradient-not-transposed"]),
            ("sigmoid' at its value", &["derivative-at-the-value"]),
            ("b counted twice", &["term-counted-twice"]),
            ("a constant for sigmoid' of f", &[]),
            ("first step only", &["gradient-first-step-only"]),
            ("new h in U", &["gradient-wrong-step-of-a-state"]),
            ("g missing in dh", &["gradient-term-left-out"]),
            ("f left out of the carry", &["gradient-factor-left-out"]),
            ("i for f in the carry", &["gradient-other-factor"]),
            ("h truncated", &["truncated"]),
            ("c truncated", &["truncated"]),
        ],
    );
}

/// A mistake that has no name is placed: in samples of one step it has not spread from its gate.
#[test]
fn a_gate_without_a_name_for_its_mistake() {
    let found = certify(
        &model(Cell::lstm()),
        |n| n.lstm(),
        "a constant for sigmoid' of f",
    );
    let diagnosis = found.diagnosis().unwrap();
    assert_eq!(diagnosis.gate(), Some("f"), "{found}");
    let circumstances: Vec<String> = diagnosis
        .circumstances()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(circumstances, ["wrong for samples of one step"], "{found}");
}

#[test]
fn slips_in_a_gru() {
    all_named(
        &model(Cell::gru()),
        |n| n.gru(),
        &[
            ("state ignored", &["state-ignored"]),
            ("state from start", &["state-from-start"]),
            ("reset before", &["reset-convention"]),
            ("z for 1 - z", &["gate-complement"]),
            (
                "z for 1 - z backwards",
                &["gradient-gate-complement-in-use"],
            ),
            ("r at the state", &["gradient-factor-moved"]),
            ("sign of z", &["gradient-value-of-wrong-sign"]),
            ("no direct path", &["gradient-term-left-out"]),
            ("r left out", &["gradient-factor-left-out"]),
            ("no r path", &["gradient-term-left-out"]),
            ("truncated", &["truncated"]),
            ("gradient of U transposed", &["array-transposed"]),
        ],
    );
}

/// A network whose state is masked by an input, by hand: `m` is 0 where a step is skipped.
fn masked(case: &Case, slip: Slip) -> Answer {
    let (a, b) = (
        case.params.get("a").unwrap()[[]],
        case.params.get("b").unwrap()[[]],
    );
    let [x, m, y, s0] = ["x", "m", "y", "s0"].map(|n| case.batch.get(n).unwrap());
    let (mut loss, mut da, mut db) = (0.0, 0.0, 0.0);
    for (i, length) in case.lengths().into_iter().enumerate() {
        let mut s = vec![s0[[i]]];
        let mut acts = Vec::new();
        for t in 0..length {
            let shown = match slip {
                s if s.is("mask one step late") => t > 0 && m[[t - 1, i]] > 0.0,
                _ => m[[t, i]] > 0.0,
            };
            let new = (a * s[t] + b * x[[t, i]]).tanh();
            let goes_on = shown || slip.is("mask forgotten on the carry");
            s.push(if goes_on { new } else { s[t] });
            acts.push((new, goes_on));
            loss += if m[[t, i]] > 0.0 || slip.is("mask forgotten in the loss") {
                0.5 * (s[t + 1] - y[[t, i]]).powi(2)
            } else {
                0.0
            };
        }
        let mut ds = 0.0;
        for t in (0..length).rev() {
            if m[[t, i]] > 0.0 || slip.is("mask forgotten in the loss") {
                ds += s[t + 1] - y[[t, i]];
            }
            let (new, goes_on) = acts[t];
            let through = ds * (1.0 - new * new);
            let goes_on = goes_on || slip.is("mask forgotten in the gradient");
            if goes_on {
                da += through * s[t];
                db += through * x[[t, i]];
                ds = a * through;
            }
        }
    }
    Answer::new()
        .loss(loss)
        .gradient("a", ndarray::arr0(da))
        .gradient("b", ndarray::arr0(db))
}

#[test]
fn forgotten_masks() {
    let text = "input x, m, y\nsample input s0\nparam a, b\nstate s = s0\n\
                s' = select(m > 0, tanh(a * s + b * x), s)\nloss select(m > 0, squared_error(s', y), 0)\n";
    let recurrence = Recurrence::parse("masked.rec", text).unwrap();
    let slips = [
        ("right", ""),
        ("mask forgotten on the carry", "condition-ignored"),
        ("mask forgotten in the loss", "condition-ignored"),
        (
            "mask forgotten in the gradient",
            "gradient-condition-ignored",
        ),
    ];
    masks_are_named(&recurrence, &slips);
    let text = text.replace(
        "m > 0, tanh(a * s + b * x), s",
        "m == 0, s, tanh(a * s + b * x)",
    );
    let text = text.replace(
        "m > 0, squared_error(s', y), 0",
        "m == 0, 0, squared_error(s', y)",
    );
    masks_are_named(&Recurrence::parse("masked.rec", &text).unwrap(), &slips);
}

fn masks_are_named(recurrence: &Recurrence, slips: &[(&'static str, &str)]) {
    for (slip, name) in slips {
        let mut foreign = |case: &Case| Ok(masked(case, Slip(slip)));
        let found = Certify::new(Cases::new(recurrence))
            .run(&mut foreign)
            .unwrap();
        println!("{found}");
        let named = found.diagnosis().and_then(|d| d.mistakes().first());
        assert_eq!(named.map_or("", |m| m.name), *name, "{slip}: {found}");
    }
}

/// A reset by hand, before the step or after it.
#[test]
fn reset_after_the_step() {
    let text = "input x, reset, y\nparam a\nstate s\n\
                s' = tanh(a * select(reset > 0, 0, s) + x)\nloss squared_error(s', y)\n";
    let recurrence = Recurrence::parse("reset.rec", text).unwrap();
    let mut foreign = |case: &Case| {
        let a = case.params.get("a").unwrap()[[]];
        let [x, reset, y] = ["x", "reset", "y"].map(|n| case.batch.get(n).unwrap());
        let (mut loss, mut da) = (0.0, 0.0);
        for (i, length) in case.lengths().into_iter().enumerate() {
            // The state and its derivative with respect to `a`.
            let (mut s, mut ds) = (0.0_f64, 0.0);
            for t in 0..length {
                let new = (a * s + x[[t, i]]).tanh();
                ds = (1.0 - new * new) * (s + a * ds);
                s = new;
                loss += 0.5 * (s - y[[t, i]]).powi(2);
                da += (s - y[[t, i]]) * ds;
                if reset[[t, i]] > 0.0 {
                    (s, ds) = (0.0, 0.0);
                }
            }
        }
        Ok(Answer::new().loss(loss).gradient("a", ndarray::arr0(da)))
    };
    let found = Certify::new(Cases::new(&recurrence))
        .run(&mut foreign)
        .unwrap();
    let mistake = found
        .diagnosis()
        .unwrap()
        .mistakes()
        .first()
        .expect("it is in the catalogue");
    assert_eq!(mistake.name, "condition-shifted", "{found}");
    assert_eq!(mistake.places, ["`reset`, one step later"], "{found}");
}

/// The first-order mutants of the gradients of the five classical cells, every `STRIDE`-th: the diagnosis gives a mistake
/// with the same numbers to nine of ten, and to the others the wrong arrays.
#[test]
fn first_order_mutants_of_the_classical_cells() {
    let stride: usize = std::env::var("STRIDE").map_or(29, |s| s.parse().unwrap());
    let cells = [
        Cell::rnn(),
        Cell::lstm(),
        Cell::peephole_lstm(),
        Cell::gru(),
        Cell::gru_reset_before(),
    ];
    let (mut named, mut located, mut equivalent) = (0, 0, 0);
    for cell in cells {
        let recurrence = model(cell);
        let gradient = recurrence.gradient(Wrt::Everything).unwrap();
        let all = FAULTS.iter().flat_map(|fault| mutants(&gradient, *fault));
        for mutant in all.step_by(stride) {
            let mut foreign = |case: &Case| {
                let found = mutant.graph.evaluate(&case.params, &case.batch)?;
                let arrays = found.iter().map(|(name, a)| match name {
                    "loss" => (Quantity::Loss, name, a.clone()),
                    _ => (Quantity::Gradient, name, a.clone()),
                });
                Ok(arrays.fold(Answer::new(), |all, (q, n, a)| all.with(q, n, a)))
            };
            let found = Certify::new(Cases::new(&recurrence))
                .trials(3)
                .run(&mut foreign)
                .unwrap();
            match found.diagnosis() {
                None => equivalent += usize::from(found.passed()),
                Some(diagnosis) if !diagnosis.mistakes().is_empty() => named += 1,
                Some(diagnosis) => {
                    println!("{:?} {}: {found}", mutant.fault, mutant.place);
                    located += 1;
                    assert!(diagnosis.wrong().next().is_some(), "{found}");
                }
            }
        }
    }
    println!("{named} named, {located} located, {equivalent} with the right numbers");
    assert!(
        10 * named >= 9 * (named + located),
        "{named} named, {located} located"
    );
    assert!(named >= 40, "only {named} mutants");
}

#[test]
fn every_fault_is_in_the_catalogue() {
    use bptt_testing::mistakes::MadeBy;
    let made = |fault: Fault| {
        CATALOGUE
            .iter()
            .any(|m| matches!(m.made_by, MadeBy::Gradient(f) if f == fault))
    };
    let missing: Vec<&Fault> = FAULTS.iter().filter(|f| !made(**f)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let mut names: Vec<&str> = CATALOGUE.iter().map(|m| m.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CATALOGUE.len(), "names are unique");
}

/// As in `PyTensor`: the gradient of a scan is right, its second derivatives are truncated.
#[test]
fn a_wrong_second_derivative() {
    let recurrence = model(Cell::rnn());
    let gradient = recurrence.gradient(Wrt::Everything).unwrap();
    let hessian = recurrence.hessian_vector(Wrt::Everything).unwrap();
    let truncated = mutants(&hessian, Fault::CutCarry);
    let truncated = truncated.into_iter().find(|m| m.place == "`h.dot`");
    for (graph, name) in [
        (hessian.clone(), ""),
        (truncated.unwrap().graph, "truncated"),
    ] {
        let mut foreign = |case: &Case| {
            let (mut params, mut batch) = (case.params.clone(), case.batch.clone());
            let found = gradient.evaluate(&params, &batch)?;
            for (of, along) in case.direction.iter() {
                let leaf = graph.leaf_for(&Derived::Tangent(of.into())).unwrap();
                match case.params.get(of) {
                    Some(_) => params.insert(leaf, along.clone()),
                    None => batch.insert(leaf, along.clone()),
                }
            }
            let second = graph.evaluate(&params, &batch)?;
            let mut answer = Answer::new().loss(found.loss()?);
            for (name, array) in found.iter().filter(|(name, _)| *name != "loss") {
                answer = answer.gradient(name, array.clone());
                answer = answer.hessian_vector(name, second[name].clone());
            }
            Ok(answer)
        };
        let certify = Certify::new(Cases::new(&recurrence)).second_order(true);
        let found = certify.run(&mut foreign).unwrap();
        assert_eq!(found.passed(), name.is_empty(), "{found}");
        let named = found.diagnosis().and_then(|d| d.mistakes().first());
        assert_eq!(named.map_or("", |m| m.name), name, "{found}");
    }
}

/// The right numbers, with 1 added to every output and tangent of `o` at the steps that `wrong` chooses.
struct Altered<'r> {
    reference: &'r Reference,
    wrong: fn(step: usize, length: usize) -> bool,
}

impl Foreign for Altered<'_> {
    fn answer(&mut self, case: &Case, _: bool) -> Result<Answer, Failure> {
        let expected = self.reference.expect(case)?;
        let lengths = case.lengths();
        let arrays = expected.iter().map(|(quantity, name, bounded)| {
            let mut array = bounded.value.clone();
            if name == "o" {
                for (index, x) in array.indexed_iter_mut() {
                    if (self.wrong)(index[0], lengths[index[1]]) {
                        *x += 1.0;
                    }
                }
            }
            (quantity, name.to_owned(), array)
        });
        Ok(arrays.fold(Answer::new(), |all, (q, n, a)| all.with(q, &n, a)))
    }
}

#[test]
fn outputs_and_their_tangents_count_within_the_lengths_alone() {
    let recurrence = model(Cell::rnn());
    let reference = Reference::new(&recurrence, true).unwrap();
    let certify = |wrong| {
        let mut foreign = Altered {
            reference: &reference,
            wrong,
        };
        let certify = Certify::new(Cases::new(&recurrence)).second_order(true);
        certify.trials(4).diagnose(false).run(&mut foreign).unwrap()
    };
    let beyond = certify(|step, length| step >= length);
    assert!(beyond.passed(), "{beyond}");
    let within = certify(|step, length| step + 1 == length);
    let wrong = within.findings().iter().filter(|f| !f.agrees());
    let wrong: Vec<Quantity> = wrong.map(|f| f.quantity).collect();
    assert_eq!(wrong, [Quantity::Output, Quantity::Tangent]);
}

#[test]
fn a_long_list_of_missing_gradients_is_cut() {
    let recurrence = model(Cell::lstm());
    let reference = Reference::new(&recurrence, false).unwrap();
    let mut forward = |case: &Case| {
        let loss = reference.expect(case)?.get(Quantity::Loss, "loss").cloned();
        Ok(loss.map_or_else(Answer::new, |loss| {
            Answer::new().with(Quantity::Loss, "loss", loss.value)
        }))
    };
    let certify = Certify::new(Cases::new(&recurrence)).trials(2);
    let text = certify.run(&mut forward).unwrap().to_string();
    let missing = text.split("not answered: ").nth(1).unwrap();
    let missing = missing.lines().next().unwrap();
    assert_eq!(missing.matches("the gradient of").count(), 6, "{text}");
    assert!(missing.ends_with(", 8 more"), "{text}");
}

/// A mistake of few cases is not explained by a change that changes nothing in others.
#[test]
fn wrong_numbers_of_a_single_case() {
    let recurrence = model(Cell::rnn());
    for factor in [1.3, 1.0 + 1e-4] {
        let mut count = 0;
        let mut foreign = |case: &Case| {
            count += 1;
            let right = Network::new(case, Slip("right")).rnn();
            let da = right.get(Quantity::Gradient, "W_H").unwrap().clone();
            let scale = if count == 17 { factor } else { 1.0 };
            Ok(right.gradient("W_H", da * scale))
        };
        let found = Certify::new(Cases::new(&recurrence))
            .run(&mut foreign)
            .unwrap();
        let diagnosis = found.diagnosis().unwrap();
        assert!(diagnosis.mistakes().is_empty(), "{found}");
    }
}

#[test]
fn a_factor_near_one_is_printed_with_its_digits() {
    let recurrence = model(Cell::rnn());
    let mut foreign = |case: &Case| {
        let right = Network::new(case, Slip("right")).rnn();
        let da = right.get(Quantity::Gradient, "W_H").unwrap() * 1.0001;
        Ok(right.gradient("W_H", da))
    };
    for precision in [Precision::F32, Precision::F64] {
        let cases = Cases::new(&recurrence).precision(precision);
        let found = Certify::new(cases).run(&mut foreign).unwrap();
        let mistake = found
            .diagnosis()
            .unwrap()
            .mistakes()
            .first()
            .expect("it is a constant");
        assert!(
            mistake.places[0].starts_with("`W_H`: times 1.0001"),
            "{found}"
        );
    }
}

/// A wrong start with as many samples as steps, and fewer entries, looks like an array per step.
#[test]
fn a_wrong_start_of_as_many_samples_as_steps() {
    let recurrence = model(Cell::rnn());
    let mut foreign = |case: &Case| {
        let right = Network::new(case, Slip("right")).rnn();
        let wrong = right
            .get(Quantity::Gradient, "h0")
            .unwrap()
            .mapv(|x| x + 0.1 * x * x);
        Ok(right.gradient("h0", wrong))
    };
    let cases = Cases::new(&recurrence)
        .size("H", 2)
        .steps(3..=3)
        .samples(3..=3);
    let found = Certify::new(cases).run(&mut foreign).unwrap();
    let wrong: Vec<_> = found.diagnosis().unwrap().wrong().collect();
    assert_eq!(wrong, [(Quantity::Gradient, "h0")], "{found}");
}
