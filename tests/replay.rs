//! Every step of a derivation is a use of a rule: used again on the line before, the rule gives the
//! line after, and a step that was tampered with is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/terms.rs"]
mod terms;

use std::collections::BTreeMap;

use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    At, Check, Derivation, Equation, Place, Relation, Rewrite, Rule, Site, Step, TOLERANCE, Term,
    Time, compare,
};
use terms::with_part;

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
    cells.into_iter().map(derive).collect()
}

fn steps(derivation: &Derivation) -> impl Iterator<Item = (&str, &Step)> {
    let lines = derivation.equations.iter();
    lines.flat_map(|e| e.steps.iter().map(|s| (&*e.id, s)))
}

#[test]
fn every_step_is_replayed() {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    let derivations = derivations();
    for derivation in &derivations {
        for (id, step) in steps(derivation) {
            let again = derivation.replay(step);
            assert!(again.is_ok(), "{}: {id}: {again:?}", derivation.name());
            *uses.entry(step.rule.id()).or_default() += 1;
        }
    }
    println!("{uses:?}");
    for rule in [
        "D1", "D5", "D7", "A2", "A4", "A5", "T4", "T5", "T6", "T7", "T8", "J2",
    ] {
        assert!(uses.contains_key(rule), "no step uses {rule}: {uses:?}");
    }
}

/// The lines that have to come out of steps, and what rules they need at least.
#[test]
fn the_bridge_and_what_follows_from_it_is_made_of_steps() {
    let derivations = derivations();
    let of = |name: &str| derivations.iter().find(|d| d.name() == name).unwrap();
    let expected: [(&str, &str, &[Rule]); 23] = [
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
        ("rnn", "bound.power", &[Rule::Submultiplicative]),
        ("rnn", "bound.least", &[Rule::LowerBound]),
        ("rnn", "bound.delta", &[Rule::Triangle, Rule::OuterNorm]),
        ("rnn", "bound.delta.all", &[Rule::Geometric]),
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
    for (name, id, rules) in expected {
        let line = of(name)
            .equation(id)
            .unwrap_or_else(|| panic!("{name} has no {id}"));
        let used: Vec<Rule> = line.steps.iter().map(|s| s.rule).collect();
        for rule in rules {
            assert!(used.contains(rule), "{name}: {id}: {rule:?} of {used:?}");
        }
        // The steps are a chain that ends in the line.
        for pair in line.steps.windows(2) {
            assert_eq!(pair[0].after, pair[1].before, "{name}: {id}");
        }
        assert_eq!(line.steps.last().unwrap().after, line.right, "{name}: {id}");
        for step in &line.steps {
            let Site::Line(rewrite) = &step.site else {
                panic!("{id}: not a rewrite")
            };
            let premise = rewrite.premise();
            let listed = |p| line.premises.iter().any(|q| q == p);
            assert!(
                premise.is_none_or(listed),
                "{id}: {premise:?} is not listed"
            );
        }
    }
}

/// What stands before and after a rule compares as the step says, on runs, wherever the line holds.
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
                let claim = Equation {
                    relation,
                    ..equation.clone()
                };
                match compare(&claim, &step.before, &step.after, &runs) {
                    Ok(Check::Passed { worst, .. }) => assert!(worst <= TOLERANCE, "{step:?}"),
                    Ok(Check::Bound { .. }) => {}
                    // A stack of vectors of ones, for one, has no size by itself.
                    Ok(Check::NotCheckable { .. }) | Err(_) => {
                        open += 1;
                        println!("{}: {:?} {:?}", equation.id, step.rule, step.before);
                        continue;
                    }
                    Ok(other) => panic!("{}: {other:?}: {step:?}", equation.id),
                }
                holds += 1;
            }
        }
    }
    println!("{holds} steps hold, {open} cannot be evaluated");
    assert!(holds > 100 && open * 10 < holds, "{holds}, {open}");
}

/// Wrong versions of a term: something dropped, negated, moved in time, untransposed.
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

#[test]
fn a_step_that_was_tampered_with_is_refused() {
    let (mut before, mut after, mut forgotten) = (0, 0, 0);
    for derivation in &derivations()[..3] {
        let runs = [derivation.instance(4).unwrap()];
        for (id, step) in steps(derivation) {
            let line = derivation.equation(id).unwrap();
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
            // What a bound forgets may be something else: a maximum over fewer steps of what is one at
            // most, or a geometric sum that ends elsewhere, is a right use of the same rule.
            let forgets = matches!(step.site, Site::Line(Rewrite::Ranges | Rewrite::Geometric));
            for wrong in tampered(&step.before).into_iter().filter(|_| !forgets) {
                before += 1;
                let forged = forged(&wrong, &step.after);
                // A norm forgets a sign: then the rule is used rightly, and what it says is true.
                if step.relation() == Some(Relation::AtMost) && derivation.replay(&forged).is_ok() {
                    let claim = Equation {
                        relation: Relation::AtMost,
                        ..line.clone()
                    };
                    let found = compare(&claim, &wrong, &step.after, &runs);
                    assert!(matches!(found, Ok(Check::Bound { .. })), "{id}: {forged:?}");
                    assert_eq!(unsigned(&wrong), unsigned(&step.before), "{id}");
                    forgotten += 1;
                    continue;
                }
                refused(forged, "another line before");
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
    println!("of {before} lines before and {after} after, all but {forgotten} signs were refused");
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
        Rewrite::Unroll("no such line".into()),
        Rewrite::Unroll("delta.a".into()),
        Rewrite::Fold(At {
            line: "jac.product".into(),
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

/// The term with what stands at a place replaced.
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
            // Smaller would not do: neighbours that are the same on both sides are not in the run.
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
