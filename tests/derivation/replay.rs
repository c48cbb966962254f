//! Every step of a derivation can be replayed: the rule, applied to the line before, gives the line after. A
//! step that was tampered with is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::sources::LAGS;
use crate::support::terms::with_part;
use crate::support::without_steps;
use bptt::Recurrence;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    Argument, At, Check, Derivation, Equation, Level, Line, Part, Place, Quantity, Relation,
    Rewrite, Rule, Site, Step, TOLERANCE, Term, Time, compare,
};

fn derivations() -> Vec<Derivation> {
    let cells = [
        ("rnn", Cell::rnn()),
        ("lstm", Cell::lstm()),
        ("gru", Cell::gru()),
        ("gru reset before", Cell::gru_reset_before()),
        ("backward lstm", Cell::lstm().backward()),
    ];
    let derive = |(name, cell): (&str, Cell)| {
        let model = cell.start(Start::Parameter).model(name, Loss::SquaredError);
        model.unwrap().derive().unwrap()
    };
    let read = |source: &str| Recurrence::parse("lags", source).unwrap().derive().unwrap();
    let lags = [LAGS, TWO_OF_SEVERAL].map(read);
    cells.into_iter().map(derive).chain(lags).collect()
}

/// Two values with lags of their own; one reads the other within the step.
const TWO_OF_SEVERAL: &str = "
dim H, M
input x[H], y[M]
param A[H, H], B[H, H], P[H, M], Q[M, H], q[M]
state h[H], s[M]
h' = tanh(A @ h - B @ delay(h) + x + P @ s)
s' = tanh(Q @ h') + q * delay(s)
loss 0.5 * sum((s' - y)^2)
";

/// The derivations of all recurrences of the library.
fn library() -> Vec<Derivation> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recurrences");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rec"))
        .collect();
    paths.sort();
    let derive = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(path).unwrap();
        Recurrence::parse(name, &source).unwrap().derive().unwrap()
    };
    paths.iter().map(derive).collect()
}

fn steps(derivation: &Derivation) -> impl Iterator<Item = (&Line, &Step)> {
    let lines = derivation.equations.iter();
    lines.flat_map(|e| e.steps.iter().map(|s| (&e.id, s)))
}

#[test]
fn every_step_is_replayed() {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for derivation in derivations().iter().chain(&library()) {
        for (id, step) in steps(derivation) {
            let again = derivation.replay(step);
            assert!(again.is_ok(), "{}: {id}: {again:?}", derivation.name());
            *uses.entry(step.rule.id()).or_default() += 1;
        }
    }
    println!("{uses:?}");
    for rule in [
        "D0", "D1", "D5", "D7", "A2", "A4", "A5", "C", "T3", "T4", "T5", "T6", "T7", "T8", "J1",
        "J2", "J3", "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N10",
    ] {
        assert!(uses.contains_key(rule), "no step uses {rule}: {uses:?}");
    }
}

/// Lines that must have steps, and the rules that these must include.
#[test]
fn the_lines_after_the_gradients_are_made_of_steps() {
    let derivations = derivations();
    let of = |name: &str| derivations.iter().find(|d| d.name() == name).unwrap();
    let expected: &[(&str, &str, &[Rule])] = &[
        ("rnn", "jac.h.h", &[Rule::Diagonal, Rule::ReadOff]),
        ("rnn", "jac.unrolled", &[Rule::Unrolling]),
        ("rnn", "map.W_H", &[Rule::PathSum]),
        ("rnn", "map.immediate.W_H", &[Rule::ReadOff]),
        ("rnn", "map.sum.W_H", &[Rule::Unrolling]),
        ("lstm", "jac.h.h", &[Rule::Constant, Rule::ReadOff]),
        (
            "lstm",
            "jac",
            &[Rule::Linearity, Rule::Stacking, Rule::ReadOff],
        ),
        ("lstm", "within.h.c", &[Rule::ReadOff]),
        ("lstm", "total.c", &[Rule::PathSum]),
        ("lstm", "many.c", &[Rule::PathSum]),
        ("lstm", "two.c", &[Rule::PathSum, Rule::Linearity]),
        ("lstm", "jac.differential", &[Rule::Stacking]),
        ("lstm", "jac.plus.h", &[Rule::Constant]),
        ("lstm", "costate.c", &[Rule::Consumer]),
        (
            "lstm",
            "costate",
            &[
                Rule::Consumer,
                Rule::Diagonal,
                Rule::LeftAdjoint,
                Rule::Stacking,
            ],
        ),
        ("lstm", "costate.start", &[Rule::Boundary]),
        (
            "lstm",
            "bound.joint",
            &[
                Rule::Stacking,
                Rule::Triangle,
                Rule::BlockNorm,
                Rule::Ranges,
            ],
        ),
        ("rnn", "bound.state", &[Rule::EntryNorm, Rule::Ranges]),
        (
            "rnn",
            "bound.window",
            &[
                Rule::Triangle,
                Rule::OuterNorm,
                Rule::Extremes,
                Rule::Geometric,
            ],
        ),
        ("rnn", "last.h", &[Rule::Boundary]),
        ("rnn", "step.W_O", &[Rule::Linearity]),
        ("rnn", "jac.product", &[Rule::OrderedProduct]),
        (
            "rnn",
            "bridge.recursion",
            &[Rule::Substitution, Rule::Diagonal, Rule::LeftAdjoint],
        ),
        ("gru", "bridge.recursion", &[Rule::LeftAdjoint]),
        ("rnn", "bridge.closed", &[Rule::Unrolling]),
        ("rnn", "bridge.horner", &[Rule::Horner]),
        (
            "rnn",
            "bridge.double.W_H",
            &[Rule::Linearity, Rule::Exchange],
        ),
        ("rnn", "bridge.exchange.W_H", &[Rule::Exchange]),
        ("rnn", "window.W_H", &[Rule::Truncation, Rule::Substitution]),
        ("rnn", "chunk.closed", &[Rule::Unrolling]),
        ("rnn", "chunk.W_H", &[Rule::Truncation, Rule::Linearity]),
        ("rnn", "bound.product", &[Rule::Submultiplicative]),
        ("rnn", "bound.step", &[Rule::Submultiplicative]),
        (
            "gru",
            "bound.step",
            &[Rule::Triangle, Rule::DiagonalNorm, Rule::Ranges],
        ),
        (
            "rnn",
            "bound.power",
            &[Rule::Submultiplicative, Rule::Extremes],
        ),
        ("rnn", "bound.least", &[Rule::LowerBound]),
        ("rnn", "bound.delta", &[Rule::Triangle, Rule::OuterNorm]),
        ("rnn", "bound.delta.all", &[Rule::Extremes, Rule::Geometric]),
        ("lstm", "bound.total.c", &[Rule::Triangle, Rule::Ranges]),
        (
            "lstm",
            "carousel.bound.c",
            &[Rule::DiagonalNorm, Rule::Ranges],
        ),
        ("lstm", "stack.value", &[Rule::Stacking]),
        (
            "lstm",
            "stack.grad",
            &[Rule::StackingAdjoint, Rule::Linearity],
        ),
        ("lstm", "carousel.c", &[Rule::Unrolling]),
        ("lstm", "carousel.cut.c", &[Rule::Linearity]),
    ];
    for &(name, id, rules) in expected {
        let line = of(name)
            .equation(id)
            .unwrap_or_else(|| panic!("{name} has no {id}"));
        let used: Vec<Rule> = line.steps.iter().map(|s| s.rule).collect();
        for rule in rules {
            assert!(used.contains(rule), "{name}: {id}: {rule:?} of {used:?}");
        }
        // The steps form a chain that ends in the line.
        for pair in line.steps.windows(2) {
            assert_eq!(pair[0].after, pair[1].before, "{name}: {id}");
        }
        assert_eq!(line.steps.last().unwrap().after, line.right, "{name}: {id}");
        for step in &line.steps {
            let Site::Line(rewrite) = &step.site else {
                panic!("{id}: not a rewrite")
            };
            for premise in rewrite.premises() {
                assert!(
                    line.premises.contains(&premise),
                    "{id}: {premise} is not listed"
                );
            }
        }
    }
}

/// The double sum starts from the gradient as printed; its variable is renamed in a step of its own.
#[test]
fn a_variable_is_renamed_in_a_step_of_its_own() {
    let rnn = &derivations()[0];
    let line = rnn.equation("bridge.double.W_H").unwrap();
    let first = &line.steps[0];
    assert_eq!(first.site, Site::Line(Rewrite::Rename('t', 'k')));
    assert_eq!(first.before, rnn.equation("grad.W_H").unwrap().right);
}

/// A bound whose steps all preserve the value is printed as an equality; all others are not.
#[test]
fn a_bound_by_equalities_is_an_equality() {
    let (mut equalities, derivations) = (Vec::new(), derivations());
    for derivation in &derivations {
        for line in derivation.lines(Part::Bounds, Level::Full) {
            let equal = |s: &Step| s.relation() == Some(Relation::Equal);
            if !line.steps.is_empty() {
                let found = line.relation == Relation::Equal;
                assert_eq!(found, line.steps.iter().all(equal), "{}", line.id);
                equalities.extend(found.then(|| line.id.to_string()));
            }
        }
    }
    assert!(
        equalities.contains(&"bound.block.c.c".into()),
        "{equalities:?}"
    );
}

/// In the whole library, every line has steps, except definitions and the listed kinds.
#[test]
fn every_line_has_steps_or_is_named_as_one_that_has_none() {
    let mut with = 0;
    for derivation in derivations().iter().chain(&library()) {
        for line in &derivation.equations {
            let defined = line.part == Part::Definition || line.relation == Relation::Defined;
            if line.steps.is_empty() {
                assert!(
                    defined || without_steps::is_expected(line),
                    "{}: {} has no steps",
                    derivation.name(),
                    line.id
                );
                continue;
            }
            with += 1;
        }
    }
    assert!(with > 1000, "{with} lines have steps");
}

/// Both sides of each step are evaluated, and satisfy its relation wherever the line holds.
#[test]
fn both_sides_of_every_step_are_evaluated() {
    let (mut holds, mut open) = (0, 0);
    for derivation in &derivations() {
        let runs = [derivation.instance(4).unwrap()];
        for equation in &derivation.equations {
            for step in &equation.steps {
                let rewritten = matches!(step.site, Site::Line(_) | Site::Mirrored(_));
                let Some(relation) = step.relation().filter(|_| rewritten) else {
                    continue;
                };
                // Only these rules, and bounds that follow from them, need the condition of the line.
                let conditional = match &step.site {
                    Site::Line(Rewrite::Geometric | Rewrite::Saturated | Rewrite::Shrinks(..)) => {
                        true
                    }
                    Site::Line(Rewrite::AtMost(at)) => {
                        derivation.line(&at.line).is_some_and(|e| e.given.is_some())
                    }
                    _ => false,
                };
                let line = equation.clone();
                let claim = Equation {
                    relation,
                    given: line.given.clone().filter(|_| conditional),
                    ..line
                };
                match compare(&claim, &step.before, &step.after, &runs) {
                    Ok(Check::Passed { worst, .. }) => assert!(worst <= TOLERANCE, "{step:?}"),
                    Ok(Check::Bound { .. }) => {}
                    // Skip a step if no run meets its condition, or if a term has no size of its own, such as a
                    // stack of vectors of ones. Any other failure is an error.
                    Err(reason)
                        if reason.contains("on no run")
                            || reason.contains("there is no run")
                            || reason.contains("takes its size") =>
                    {
                        open += 1;
                        println!("{}: {:?}: {reason}", equation.id, step.rule);
                        continue;
                    }
                    Err(reason) => panic!("{}: {reason}: {step:?}", equation.id),
                    Ok(other) => panic!("{}: {other:?}: {step:?}", equation.id),
                }
                holds += 1;
            }
        }
    }
    println!("{holds} steps hold, {open} cannot be evaluated");
    assert!(holds > 100 && open * 10 < holds, "{holds}, {open}");
}

/// Wrong versions of a term: a part dropped, negated, moved in time, or not transposed.
fn tampered(term: &Term) -> Vec<Term> {
    if *term == Term::Zero {
        return Vec::new();
    }
    let mut found = vec![Term::Neg(Box::new(term.clone()))];
    match term {
        Term::Add(parts) | Term::Had(parts) | Term::Mul(parts) => {
            for i in 0..parts.len() {
                let mut fewer = parts.clone();
                fewer.remove(i);
                found.push(match term {
                    Term::Add(_) => Term::Add(fewer),
                    Term::Had(_) => Term::Had(fewer),
                    _ => Term::Mul(fewer),
                });
            }
        }
        Term::T(x) => found.push((**x).clone()),
        _ => {}
    }
    for i in 0..term.clone().times().len() {
        let mut moved = term.clone();
        let mut times = moved.times();
        *times[i] = times[i].plus(1);
        found.push(moved);
    }
    let parts: Vec<Term> = term.parts().into_iter().cloned().collect();
    for (i, part) in parts.iter().enumerate() {
        for changed in tampered(part) {
            found.push(with_part(term, i, &changed));
        }
    }
    found
}

fn unsigned(term: &Term) -> Term {
    match term {
        Term::Neg(x) => unsigned(x),
        term => term.map(&mut unsigned),
    }
}

/// A sum of differentials, or of `δ`, without those that a rule holds fixed.
fn what_varies(derivation: &Derivation, term: &Term, site: &Site) -> Term {
    let varies = |d: &Term| match site {
        Site::Line(Rewrite::Alone(Argument::D(name, at))) => {
            depends(derivation, d, &Quantity::D.of([name], at.clone()))
        }
        // All except reads of states.
        Site::Line(Rewrite::AtOnce) => match d.symbol() {
            Some((Quantity::D, _, [at])) => at.offset == 0,
            _ => true,
        },
        // All except terms through states of the same step.
        Site::Line(Rewrite::Still) => match d.symbol() {
            Some((Quantity::Delta, [name], at)) => {
                *at != [Time::var('t')] || derivation.line(&Line::Shares(name.clone())).is_none()
            }
            _ => true,
        },
        _ => true,
    };
    kept(term, &varies)
}

/// Returns true if a differential is computed from another, directly or through other lines.
fn depends(derivation: &Derivation, d: &Term, on: &Term) -> bool {
    if d == on {
        return true;
    }
    let line = match d.symbol() {
        Some((Quantity::D, [name], at)) if at.iter().all(|at| *at == Time::var('t')) => {
            derivation.line(&Line::Differential(name.clone()))
        }
        _ => None,
    };
    let any = |t: &Term| t.is(Quantity::D) && depends(derivation, t, on);
    line.is_some_and(|line| line.right.any(&any))
}

fn kept(term: &Term, varies: &impl Fn(&Term) -> bool) -> Term {
    let quantities = [Quantity::D, Quantity::DPlus, Quantity::Delta];
    match term {
        term if quantities.iter().any(|q| term.is(*q)) && !varies(term) => Term::Zero,
        Term::Add(parts) => {
            let parts = parts.iter().map(|p| kept(p, varies));
            let mut parts: Vec<Term> = parts.filter(|p| *p != Term::Zero).collect();
            match parts.len() {
                0 => Term::Zero,
                1 => parts.remove(0),
                _ => Term::Add(parts),
            }
        }
        term => {
            let found = term.map(&mut |part| kept(part, varies));
            match found.parts().contains(&&Term::Zero) {
                true => Term::Zero,
                false => found,
            }
        }
    }
}

#[test]
fn a_step_that_was_tampered_with_is_refused() {
    let (mut before, mut after, mut accepted) = (0, 0, 0);
    let derivations = derivations();
    let forwards = derivations
        .iter()
        .filter(|d| d.name() != "backward lstm" && d.name() != "gru reset before");
    for derivation in forwards {
        let runs = [derivation.instance(4).unwrap()];
        for (id, step) in steps(derivation) {
            let line = derivation.line(id).unwrap();
            let refused = |forged: Step, what: &str| {
                assert!(
                    derivation.replay(&forged).is_err(),
                    "{id}: {what}: {forged:?}"
                );
            };
            for rule in Rule::ALL.iter().filter(|r| **r != step.rule) {
                let rule = *rule;
                refused(
                    Step {
                        rule,
                        ..step.clone()
                    },
                    "another rule",
                );
            }
            let forged = |before: &Term, after: &Term| {
                Step::new(step.rule, step.site.clone(), before.clone(), after.clone())
            };
            for wrong in tampered(&step.before) {
                before += 1;
                let forged = forged(&wrong, &step.after);
                if derivation.replay(&forged).is_err() {
                    continue;
                }
                // The rule still applies if the change is one it ignores: a sign in a norm, a maximum over
                // fewer steps of a factor of at most one, a part held fixed, a part beyond the end, the
                // transpose of a diagonal matrix. Then the claim of the step must be true.
                accepted += 1;
                let Some(relation) = step.relation() else {
                    let kept = |term: &Term| what_varies(derivation, term, &step.site);
                    assert_eq!(kept(&wrong), kept(&step.before), "{id}: {forged:?}");
                    continue;
                };
                let claim = Equation {
                    relation,
                    ..line.clone()
                };
                let found = compare(&claim, &wrong, &step.after, &runs);
                let holds = matches!(found, Ok(Check::Bound { .. } | Check::Passed { .. }));
                // A conditional bound may meet no run, and a bound over steps beyond the end cannot be
                // evaluated.
                let open = matches!(&found, Err(e) if e.contains("there is no ") || e.contains("on no run"));
                assert!(holds || open, "{id}: {found:?}: {forged:?}");
                let forgets = matches!(
                    step.site,
                    Site::Line(
                        Rewrite::Ranges
                            | Rewrite::Geometric
                            | Rewrite::Saturated
                            | Rewrite::Below(_)
                            | Rewrite::End
                            | Rewrite::Transposed(..)
                    )
                );
                assert!(
                    forgets || unsigned(&wrong) == unsigned(&step.before),
                    "{id}: {forged:?}"
                );
            }
            for wrong in tampered(&step.after) {
                refused(forged(&step.before, &wrong), "another line after");
                after += 1;
            }
            let mut place = step.clone();
            place.change.after.path.push(0);
            refused(place, "another part");
        }
    }
    println!("of {before} lines before and {after} after, all but {accepted} before were refused");
    assert!(before > 2000 && after > 2000, "{before}, {after}");
}

#[test]
fn a_rule_is_refused_where_it_does_not_apply() {
    let rnn = &derivations()[0];
    let line = rnn.equation("bridge.closed").unwrap();
    let first = &line.steps[0];
    let foreign = [
        Rewrite::Horner,
        Rewrite::Exchange,
        Rewrite::Window,
        Rewrite::Unroll(Line::Letter("no such line".into())),
        Rewrite::Unroll(Line::Delta("a".into())),
        Rewrite::Fold(At {
            line: Line::JacobianProduct,
            steps: vec![('t', Time::last())],
        }),
    ];
    for rewrite in foreign {
        let forged = Step::new(
            rewrite.rule(),
            Site::Line(rewrite),
            first.before.clone(),
            first.after.clone(),
        );
        let error = rnn.replay(&forged).unwrap_err().to_string();
        assert!(error.contains("cannot be replayed"), "{error}");
    }
}

/// The term with the part at a place replaced.
fn put(term: &Term, path: &[usize], run: Option<(usize, usize)>, new: &[&Term]) -> Term {
    match (path, run) {
        ([at, rest @ ..], _) => {
            let mut i = 0;
            term.map(&mut |part| {
                i += 1;
                if i - 1 == *at {
                    put(part, rest, run, new)
                } else {
                    part.clone()
                }
            })
        }
        ([], None) => new[0].clone(),
        ([], Some((from, to))) => {
            let mut parts: Vec<Term> = term.parts().into_iter().cloned().collect();
            parts.splice(from..to, new.iter().map(|t| (*t).clone()));
            match term {
                Term::Add(_) => Term::Add(parts),
                Term::Had(_) => Term::Had(parts),
                Term::Mul(_) => Term::Mul(parts),
                other => panic!("{other:?} has no neighbours"),
            }
        }
    }
}

#[test]
fn what_changed_is_the_smallest_part_and_nothing_else_did() {
    let (mut whole, mut part) = (0, 0);
    for derivation in &derivations() {
        for (id, step) in steps(derivation) {
            let (was, now) = (&step.change.before, &step.change.after);
            let old = was.find(&step.before);
            let new = now.find(&step.after);
            assert!(!old.is_empty() && !new.is_empty(), "{id}: {step:?}");
            assert_ne!(old, new, "{id}: the same part");
            let again = put(&step.before, &was.path, was.run, &new);
            assert_eq!(again, step.after, "{id}: something else changed");
            // The changed run is minimal: its first and last parts differ between the two sides.
            if old.len() > 1 && new.len() > 1 {
                assert!(old[0] != new[0] && old.last() != new.last(), "{id}");
            }
            let all = Place {
                path: Vec::new(),
                run: None,
            };
            *(if *was == all { &mut whole } else { &mut part }) += 1;
        }
    }
    println!("{part} steps change a part, {whole} the whole");
    assert!(part > 80, "{part}");
}
