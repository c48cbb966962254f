//! Wrong bounds: each is refuted numerically on a run, or refused by the rules.
//!
//! Evaluation can only refute a bound. A wrong bound that is larger than the right one (an extra factor above
//! one, a maximum over more steps, a sum with more parts) holds wherever the right one does, and a smaller one
//! is refuted only by a run on which the right one is nearly attained. So numbers alone do not distinguish
//! these from the right bound; the rules do, as they do not lead there.

use crate::support::terms::with_part;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    Check, Derivation, Equation, Fold, Index, Instance, Relation, Step, Term, compare,
};

fn models() -> Vec<Derivation> {
    [Cell::rnn(), Cell::lstm(), Cell::gru()]
        .map(|cell| {
            let model = cell.start(Start::Parameter).model("m", Loss::SquaredError);
            model.unwrap().derive().unwrap()
        })
        .into()
}

fn bounds(derivation: &Derivation) -> impl Iterator<Item = &Equation> {
    let lines = derivation.equations.iter();
    lines.filter(|e| e.relation == Relation::AtMost)
}

/// Wrong versions of the right side: a missing factor or part, another norm, a missing exponent, a shifted
/// step, a minimum for a maximum.
fn wrong(term: &Term) -> Vec<Term> {
    let mut found = Vec::new();
    match term {
        Term::Add(parts) | Term::Mul(parts) => {
            for i in 0..parts.len() {
                let mut fewer = parts.clone();
                fewer.remove(i);
                found.push(match term {
                    Term::Add(_) => Term::Add(fewer),
                    _ => Term::Mul(fewer),
                });
            }
        }
        Term::PowSteps(x, _) => found.push((**x).clone()),
        Term::Norm(x) => found.extend([Term::Least(x.clone()), Term::Frobenius(x.clone())]),
        Term::MaxNorm(x) => found.push(Term::Norm(x.clone())),
        Term::Over(fold @ (Fold::Max | Fold::Sum | Fold::Prod), index, x) => {
            if *fold == Fold::Max {
                found.push(Term::Over(Fold::Min, index.clone(), x.clone()));
            }
            let from = index.from.plus(1);
            let fewer = Index {
                from,
                ..index.clone()
            };
            found.push(Term::Over(*fold, fewer, x.clone()));
        }
        Term::Num(n) => found.extend([Term::Num(n / 2.0), Term::Num(n * 2.0)]),
        _ => {}
    }
    let parts: Vec<Term> = term.parts().into_iter().cloned().collect();
    // Do not change the argument of a norm, which belongs to another line.
    if matches!(term, Term::Norm(_) | Term::MaxNorm(_)) {
        return found;
    }
    for (i, part) in parts.iter().enumerate() {
        for changed in wrong(part) {
            found.push(with_part(term, i, &changed));
        }
    }
    found
}

/// Returns true if a run refutes the bound; a bound that cannot be evaluated is not refuted.
fn is_false(equation: &Equation, left: &Term, right: &Term, runs: &[Instance]) -> bool {
    let found = compare(equation, left, right, runs);
    matches!(found, Err(reason) if reason.contains(" is more than "))
}

#[test]
fn every_wrong_bound_is_false_or_not_what_the_rules_prove() {
    let (mut count, mut refuted, mut by_rules) = (0, 0, 0);
    for derivation in models() {
        let runs: Vec<Instance> = (1..6).map(|i| derivation.instance(i).unwrap()).collect();
        for equation in bounds(&derivation) {
            for mutant in wrong(&equation.right) {
                count += 1;
                let false_here = is_false(equation, &equation.left, &mutant, &runs);
                refuted += usize::from(false_here);
                let Some(last) = equation.steps.last() else {
                    continue;
                };
                let forged = Step::new(
                    last.rule,
                    last.site.clone(),
                    last.before.clone(),
                    mutant.clone(),
                );
                let refused = derivation.replay(&forged).is_err();
                by_rules += usize::from(refused);
                assert!(refused, "{}: the rules lead to {mutant:?}", equation.id);
            }
        }
    }
    println!("{count} wrong bounds: {refuted} false on a run, {by_rules} refused by the rules");
    assert!(
        by_rules > 100 && refuted > 30,
        "of {count}, {by_rules} are refused and {refuted} are false"
    );
}

/// `≥` instead of `≤` is refuted numerically, unless the bound is an equality.
#[test]
fn no_bound_holds_the_other_way_round() {
    for derivation in models() {
        let runs: Vec<Instance> = (1..6).map(|i| derivation.instance(i).unwrap()).collect();
        for equation in bounds(&derivation) {
            // If no run meets the condition, there is nothing to compare.
            let met = compare(equation, &equation.left, &equation.right, &runs);
            if !matches!(met, Ok(Check::Bound { .. })) {
                continue;
            }
            let turned = is_false(equation, &equation.right, &equation.left, &runs);
            assert!(turned, "{} holds both ways", equation.id);
        }
    }
}
