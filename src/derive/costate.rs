//! The state as a whole: what it gets from the loss and from later steps.
//!
//! δ of one state contains what other states of the same step send to it. With λ the share of each
//! state is told apart, and the recursion becomes that of the general theorem.

use std::sync::Arc;

use super::bridge::{in_terms_of, is_homogeneous, looks_ahead, of_one_step, recursions};
use super::canon::{add, product, transpose};
use super::chain::{self, Carried};
use super::generate::Writer;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range};

/// `λ_t = e_t + J_{t+1}ᵀ λ_{t+1}` for several states; `within` says which state depends on which at
/// the same step.
pub(crate) fn write(writer: &mut Writer<'_>, parts: &[Carried], within: &[(Name, Name)]) {
    let states = &chain::names(parts);
    if states.len() < 2 {
        return;
    }
    let t = Time::var('t');
    let lines = recursions(writer);
    let mut sent = Vec::new();
    for state in states {
        let id = format!("delta.{state}");
        let Some(right) = writer.right(&id).cloned() else {
            return;
        };
        let parts = match right {
            Term::Add(parts) => parts,
            one => vec![one],
        };
        // What comes from later steps has to come through the states as well.
        let mut later = parts.iter().filter(|p| looks_ahead(p));
        if !later.all(|part| ends_in(part, states, &lines, 0)) {
            return;
        }
        let mut direct = Vec::new();
        for part in parts.iter().filter(|p| !looks_ahead(p)) {
            let through = |other: &Name| {
                in_terms_of(part, other, &lines).is_some_and(|t| is_homogeneous(&t, other))
            };
            if !states.iter().any(through) {
                // What the loss sends must not come through a state.
                let reaches = |t: &Term| matches!(t, Term::Delta(n, _) if states.contains(n));
                if part.any(&reaches) || !of_one_step(writer, part) {
                    return;
                }
                direct.push(part.clone());
            }
        }
        sent.push(vec![add(direct)]);
    }
    if sent.iter().all(|row| row[0] == Term::Zero) {
        return;
    }
    let costate = |name: &Name, at: Time| Term::Costate(Arc::clone(name), at);
    let stack = |at: Time| {
        let rows = states.iter().map(|s| vec![costate(s, at.clone())]);
        Term::Matrix(rows.collect())
    };
    for state in states {
        let others = within.iter().filter(|(_, by)| by == state).map(|(of, by)| {
            let jacobian = Term::Jacobian(Arc::clone(of), t.clone(), Arc::clone(by), t.clone());
            product(vec![transpose(jacobian), costate(of, t.clone())])
        });
        let right = add(std::iter::once(costate(state, t.clone())).chain(others));
        let left = Term::Delta(Arc::clone(state), Some(t.clone()));
        let equation = writer.push(format!("costate.{state}"), Part::Costate, left, right);
        equation.range = Range::all();
        equation.rules = vec![Rule::Consumer, Rule::PathSum];
        equation.level = Level::Normal;
    }
    if chain::is_delayed(parts) {
        delayed(writer, parts, sent);
        return;
    }
    let later = product(vec![
        transpose(Term::StateJacobian(t.plus(1))),
        stack(t.plus(1)),
    ]);
    let right = Term::Add(vec![Term::Matrix(sent), later]);
    let equation = writer.push("costate".into(), Part::Costate, stack(t.clone()), right);
    equation.range = Range::all();
    equation.rules = vec![Rule::Consumer, Rule::IndexShift, Rule::Boundary];
    equation.premises = vec!["jac".into()];
    equation.level = Level::Normal;
    let starts = states.iter().map(|s| {
        let start = Term::Gradient(Arc::clone(s), Some(Time::at(0)));
        vec![start]
    });
    let right = product(vec![
        transpose(Term::StateJacobian(Time::at(1))),
        stack(Time::at(1)),
    ]);
    let left = Term::Matrix(starts.collect());
    let equation = writer.push("costate.start".into(), Part::Costate, left, right);
    equation.rules = vec![Rule::Boundary];
    equation.premises = vec!["costate".into()];
    equation.level = Level::Normal;
}

/// The recursion of each `λ` by itself, where values are read again after several steps: one part
/// for each value and lag.
fn delayed(writer: &mut Writer<'_>, parts: &[Carried], sent: Vec<Vec<Term>>) {
    let t = Time::var('t');
    let states = chain::names(parts);
    for (state, sent) in states.iter().zip(sent) {
        let mut sum = sent;
        let mut premises = Vec::new();
        for of in &states {
            for by in parts.iter().filter(|part| part.name == *state) {
                let line = chain::block_line(of, state, by.delay + 1);
                if writer.right(&line).is_none_or(|block| *block == Term::Zero) {
                    continue;
                }
                let later = t.plus(by.delay + 1);
                let jacobian = chain::block(parts, of, by, &later);
                sum.push(product(vec![
                    transpose(jacobian),
                    Term::Costate(Arc::clone(of), later),
                ]));
                premises.push(line);
            }
        }
        let left = Term::Costate(Arc::clone(state), t.clone());
        let id = format!("costate.next.{state}");
        let equation = writer.push(id, Part::Costate, left, add(sum));
        equation.range = Range::all();
        equation.rules = vec![Rule::Consumer, Rule::IndexShift, Rule::Boundary];
        equation.premises = premises;
        equation.level = Level::Normal;
    }
}

/// Whether every way that a term sends something back begins at one of some states: each of its parts
/// has a `δ`, of a state or of a value with a line of which the same holds.
fn ends_in(term: &Term, states: &[Name], lines: &[(String, Term)], depth: usize) -> bool {
    let ends = |part: &Term| ends_in(part, states, lines, depth + 1);
    match term {
        _ if depth > 60 => false,
        Term::Delta(name, _) if states.contains(name) => true,
        Term::Delta(name, _) => {
            let id = format!("delta.{name}");
            let line = lines.iter().find(|(known, _)| *known == id);
            line.is_some_and(|(_, right)| ends(right))
        }
        Term::Add(parts) => parts.iter().all(ends),
        term => {
            let mut linear = term.parts().into_iter().filter(|p| p.is_linear_part());
            linear.next().is_some_and(ends) && linear.all(ends)
        }
    }
}
