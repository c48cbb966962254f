//! The same for values that are read again after several steps: the state is a stack of values and
//! their delays, and its Jacobian has companion form.
//!
//! These lines are written as they follow from those before, without single steps.

use std::sync::Arc;

use super::bridge::{is_homogeneous, looks_ahead, of_one_step, recursions};
use super::canon::{add, product, settle, summed, transpose};
use super::chain::{self, Carried, flow};
use super::generate::Writer;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range};
use crate::op::Op;

/// The differential of the state, one step and many steps back.
pub(crate) fn responses(writer: &mut Writer<'_>, parts: &[Carried]) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let states = &chain::names(parts);
    let mut immediate = Vec::new();
    for state in states {
        let id = format!("d.{state}");
        let Some(right) = writer.right(&id).cloned() else {
            return;
        };
        match at_once(writer, &right, states, state) {
            Some(found) => immediate.push((Arc::clone(state), found, id)),
            None => return,
        }
    }
    let all = |made: &dyn Fn(&Carried) -> Term| {
        Term::Matrix(parts.iter().map(|s| vec![made(s)]).collect())
    };
    let d = |at: Time| all(&|s| Term::D(Arc::clone(&s.name), Some(at.plus(-s.delay))));
    // What is carried on enters by itself.
    let plus = |at: Time| {
        all(&|s| match s.delay {
            0 => Term::DPlus(Arc::clone(&s.name), at.clone()),
            _ => Term::Zero,
        })
    };
    let back = Term::Mul(vec![Term::StateJacobian(t.clone()), d(t.plus(-1))]);
    let right = Term::Add(vec![back, plus(t.clone())]);
    let step = writer.push(
        "jac.differential".into(),
        Part::Jacobian,
        d(t.clone()),
        right,
    );
    step.range = Range::all();
    step.rules = vec![Rule::Linearity, Rule::Diagonal];
    step.premises = immediate.iter().map(|(_, _, id)| id.clone()).collect();
    step.level = Level::Normal;
    for (state, right, id) in &immediate {
        let left = Term::DPlus(Arc::clone(state), t.clone());
        let equation = writer.push(
            format!("jac.plus.{state}"),
            Part::Jacobian,
            left,
            right.clone(),
        );
        equation.range = Range::all();
        equation.rules = vec![Rule::Substitution];
        equation.premises = vec![id.clone()];
        equation.level = Level::Normal;
    }
    let start = Term::Mul(vec![flow(parts, t.clone(), Time::at(0)), d(Time::at(0))]);
    let entered = Term::Mul(vec![flow(parts, t.clone(), k.clone()), plus(k.clone())]);
    let entered = summed('k', Time::at(1), t.clone(), entered);
    let right = Term::Add(vec![start, entered]);
    let many = writer.push("jac.unrolled".into(), Part::Jacobian, d(t), right);
    many.range = Range::all();
    many.rules = vec![Rule::Unrolling];
    many.premises = vec!["jac.differential".into(), "jac.product".into()];
    many.level = Level::Normal;
}

/// The differential of a state with everything put in down to what comes from outside and to other
/// states, the states before the step held fixed.
fn at_once(writer: &Writer<'_>, term: &Term, states: &[Name], own: &Name) -> Option<Term> {
    let others: Vec<Name> = states.iter().filter(|s| *s != own).cloned().collect();
    let put = put_in(writer, term, (states, &others), 0)?;
    Some(settle(&put))
}

fn put_in(
    writer: &Writer<'_>,
    term: &Term,
    (states, others): (&[Name], &[Name]),
    depth: usize,
) -> Option<Term> {
    if depth > 40 {
        return None;
    }
    if let Term::D(name, at) = term {
        let leaf = writer.tape.named(name);
        let leaf = leaf.is_some_and(|n| matches!(writer.tape.node(n).op(), Op::Leaf(_)));
        return match at {
            // A delayed input comes from outside like any other.
            Some(at) if at.offset != 0 && leaf => Some(term.clone()),
            Some(at) if at.offset != 0 => states.contains(name).then_some(Term::Zero),
            Some(at) if others.contains(name) => Some(Term::DPlus(Arc::clone(name), at.clone())),
            _ if leaf => Some(term.clone()),
            _ => {
                let line = writer.right(&format!("d.{name}"))?;
                put_in(writer, line, (states, others), depth + 1)
            }
        };
    }
    if !term.is_linear_part() {
        return Some(term.clone());
    }
    let mut failed = false;
    let put = term.map(&mut |part| {
        put_in(writer, part, (states, others), depth + 1).unwrap_or_else(|| {
            failed = true;
            Term::Zero
        })
    });
    (!failed).then_some(put)
}

/// The recursion of `λ` of several values.
pub(crate) fn costates(writer: &mut Writer<'_>, parts: &[Carried]) {
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
    let within: Vec<(Name, Name)> = within(writer);
    let costate = |name: &Name, at: Time| Term::Costate(Arc::clone(name), at);
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
    recursions_of_costates(writer, parts, sent);
}

/// Which state depends on which within a step.
fn within(writer: &Writer<'_>) -> Vec<(Name, Name)> {
    let line = |e: &super::Equation| match &e.left {
        Term::Jacobian(of, to, by, from) if to == from && e.id.starts_with("within.") => {
            Some((Arc::clone(of), Arc::clone(by)))
        }
        _ => None,
    };
    writer.equations.iter().filter_map(line).collect()
}

/// The recursion of each `λ` by itself, one part for each value and lag.
fn recursions_of_costates(writer: &mut Writer<'_>, parts: &[Carried], sent: Vec<Vec<Term>>) {
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

/// The body of a sum with every δ written in terms of δ of the state, at the same step; `None`
/// when some δ is not.
fn in_terms_of(body: &Term, state: &Name, recursion: &[(String, Term)]) -> Option<Term> {
    match body {
        Term::Delta(name, at) if name != state => {
            let id = format!("delta.{name}");
            let (_, right) = recursion.iter().find(|(known, _)| *known == id)?;
            let at = at.clone()?;
            // A δ of another step, later or earlier, would never come to an end.
            let other = |t: &Term| matches!(t, Term::Delta(_, Some(at)) if at.offset != 0);
            if right.any(&other) {
                return None;
            }
            in_terms_of(&right.at('t', &at), state, recursion)
        }
        Term::Delta(..) => Some(body.clone()),
        _ if !body.is_linear_part() => Some(body.clone()),
        _ => {
            let mut failed = false;
            let mapped = body.map(&mut |part| {
                in_terms_of(part, state, recursion).unwrap_or_else(|| {
                    failed = true;
                    Term::Zero
                })
            });
            (!failed).then_some(mapped)
        }
    }
}
