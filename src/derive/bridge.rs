//! From the double sum over pairs of steps to the recursion, and what truncation leaves out.
//!
//! Written for a recurrence with one state, where the sum can be written with matrices.

use std::sync::Arc;

use super::canon::{add, product, tidy, transpose};
use super::generate::Writer;
use super::jacobian::flow;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::truncation;
use super::{Level, Part, Range};
use crate::error::Result;

/// The double sum of every parameter, exchanged, factored and truncated.
pub(crate) fn write(writer: &mut Writer<'_>, state: &Name) -> Result<()> {
    let delta = Term::Delta(Arc::clone(state), Some(Time::var('t')));
    let id = format!("delta.{state}");
    let Some(recursion) = writer.equations.iter().find(|e| e.id == id) else {
        return Ok(());
    };
    // What the loss sends to the state directly: the part that does not look ahead.
    let parts = match recursion.right.clone() {
        Term::Add(parts) => parts,
        one => vec![one],
    };
    let ahead = |t: &Term| looks_ahead(t);
    let recursions = recursions(writer);
    // Everything that comes from later steps must come through the state alone.
    let through_state =
        |t: &Term| in_terms_of(t, state, &recursions).is_some_and(|t| is_homogeneous(&t, state));
    if !parts.iter().filter(|p| ahead(p)).all(through_state) {
        return Ok(());
    }
    let direct = add(parts.iter().filter(|p| !ahead(p)).cloned());
    if direct == Term::Zero || !parts.iter().any(ahead) {
        return Ok(());
    }
    // The loss reads the state only: everything else that it reads comes from the state.
    let later = product(vec![
        transpose(Term::StateJacobian(Time::var('t').plus(1))),
        Term::Delta(Arc::clone(state), Some(Time::var('t').plus(1))),
    ]);
    let right = add([direct.clone(), later]);
    let horner = writer.push("bridge.recursion".into(), Part::Bridge, delta, right);
    horner.range = Range::all();
    horner.rules = vec![Rule::Horner];
    horner.premises = vec![id, format!("jac.{state}.{state}")];

    let (t, k) = (Time::var('t'), Time::var('k'));
    let states = [Arc::clone(state)];
    let through = |t: Time, k: Time| transpose(flow(&states, t, k));
    let sent = product(vec![through(t.clone(), k.clone()), direct.clone()]);
    let closed = Term::Sum('t', k.clone(), Time::last(), Box::new(sent));
    let left = Term::Delta(Arc::clone(state), Some(k.clone()));
    let equation = writer.push("bridge.closed".into(), Part::Bridge, left, closed);
    equation.range = Range {
        vars: vec![('k', Time::at(1), Time::last())],
    };
    equation.rules = vec![Rule::Unrolling];
    equation.premises = vec!["bridge.recursion".into()];
    write_sums(writer, state, &direct)
}

/// `∂L/∂W` as a sum over pairs of steps, for every parameter that is reached through the state.
fn write_sums(writer: &mut Writer<'_>, state: &Name, direct: &Term) -> Result<()> {
    let gradients: Vec<(String, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Parameters)
        .map(|e| (e.id.clone(), e.left.clone(), e.right.clone()))
        .collect();
    let before = recursions(writer);
    let mut main = true;
    for (id, left, right) in gradients {
        let Term::Sum(var, _, _, body) = right else {
            continue;
        };
        // Put δ of the state in for every δ that is computed from it.
        let body = in_terms_of(&body.at(var, &Time::var('k')), state, &before);
        let Some(body) = body.filter(|b| is_homogeneous(b, state)) else {
            continue;
        };
        // The first matrix that acts on the state stands for all of them.
        let recurrent =
            body.any(&|t| matches!(t, Term::Value(n, Some(at)) if n == state && at.offset == -1));
        let level = if main && recurrent {
            Level::Sheet
        } else {
            Level::Full
        };
        main &= level == Level::Full;
        let states = [Arc::clone(state)];
        let (t, k) = (Time::var('t'), Time::var('k'));
        let through = transpose(flow(&states, t.clone(), k.clone()));
        let sent = product(vec![through, direct.clone()]);
        let pair = tidy(&put(&body, state, &sent));
        let sum = |var, from, to, body| Term::Sum(var, from, to, Box::new(body));
        let rows = sum('k', Time::at(1), t.clone(), pair.clone());
        let double = sum('t', Time::at(1), Time::last(), rows);
        let columns = sum('t', k.clone(), Time::last(), pair.clone());
        let exchanged = sum('k', Time::at(1), Time::last(), columns);
        let name = id.trim_start_matches("grad.").to_owned();
        let equation = writer.push(
            format!("bridge.double.{name}"),
            Part::Bridge,
            left.clone(),
            double.clone(),
        );
        equation.level = level;
        equation.rules = vec![Rule::Unrolling, Rule::WeightTying];
        equation.premises = vec!["bridge.closed".into(), id.clone()];
        let equation = writer.push(
            format!("bridge.exchange.{name}"),
            Part::Bridge,
            double,
            exchanged,
        );
        equation.rules = vec![Rule::Exchange];
        equation.premises = vec![format!("bridge.double.{name}")];
        equation.level = level.max(Level::Normal);

        let recurrent = level == Level::Sheet;
        of_step(writer, &name, &pair, level);
        let sums = Sums {
            name: &name,
            body: &body,
            pair: &pair,
            left: &left,
            direct,
        };
        truncation::window(writer, &sums, recurrent);
        truncation::chunks(writer, state, &sums, recurrent);
    }
    Ok(())
}

/// What a parameter contributes to the loss of one step, by when it was used.
fn of_step(writer: &mut Writer<'_>, name: &str, pair: &Term, level: Level) {
    if writer.recurrence.step_loss().is_none() {
        return;
    }
    let t = Time::var('t');
    let left = Term::StepGradient(name.into(), t.clone());
    let right = Term::Sum('k', Time::at(1), t, Box::new(pair.clone()));
    let id = format!("bridge.step.{name}");
    let equation = writer.push(id, Part::Bridge, left, right);
    equation.range = Range::all();
    equation.level = level.max(Level::Normal);
    equation.rules = vec![Rule::LeftAdjoint, Rule::RightAdjoint];
    equation.premises = vec!["jac.product".into()];
}

/// A gradient as a sum over pairs of steps.
pub(crate) struct Sums<'a> {
    /// Of what.
    pub(crate) name: &'a str,
    /// The part of step k, with δ of the state.
    pub(crate) body: &'a Term,
    /// The part of the steps t and k.
    pub(crate) pair: &'a Term,
    /// The gradient.
    pub(crate) left: &'a Term,
    /// What the loss of a step sends to the state.
    pub(crate) direct: &'a Term,
}

/// The lines of δ, by their ids.
pub(crate) fn recursions(writer: &Writer<'_>) -> Vec<(String, Term)> {
    writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Recursion)
        .map(|e| (e.id.clone(), e.right.clone()))
        .collect()
}

/// Whether every addend has δ of the state as a factor, once.
pub(crate) fn is_homogeneous(term: &Term, state: &Name) -> bool {
    match term {
        Term::Delta(name, _) => name == state,
        Term::Add(parts) => parts.iter().all(|p| is_homogeneous(p, state)),
        Term::Neg(x) | Term::T(x) => is_homogeneous(x, state),
        Term::Had(parts) | Term::Mul(parts) => {
            let linear: Vec<&Term> = parts.iter().filter(|p| p.is_linear_part()).collect();
            matches!(linear[..], [one] if is_homogeneous(one, state))
        }
        _ => false,
    }
}

/// Whether a term has a δ of a later step.
pub(crate) fn looks_ahead(term: &Term) -> bool {
    term.any(&|t| matches!(t, Term::Delta(_, Some(at)) if at.offset > 0))
}

/// Whether every δ in a term is computed from values of its own step.
pub(crate) fn of_one_step(writer: &Writer<'_>, term: &Term) -> bool {
    let lines = recursions(writer);
    let mut pending = vec![term.clone()];
    let mut known: Vec<Name> = Vec::new();
    while let Some(term) = pending.pop() {
        let elsewhere = |t: &Term| match t {
            Term::Delta(_, at) => *at != Some(Time::var('t')),
            t => matches!(t, Term::Before(..) | Term::At(..)),
        };
        if term.any(&elsewhere) {
            return false;
        }
        let mut names = Vec::new();
        super::generate::visit(&term, &mut |t| {
            if let Term::Delta(name, _) = t {
                names.push(Arc::clone(name));
            }
        });
        for name in names
            .into_iter()
            .filter(|n| !known.contains(n))
            .collect::<Vec<_>>()
        {
            let id = format!("delta.{name}");
            let Some((_, right)) = lines.iter().find(|(known, _)| *known == id) else {
                return false;
            };
            pending.push(right.clone());
            known.push(name);
        }
    }
    true
}

/// The body of a sum with every δ written in terms of δ of the state, at the same step; `None`
/// when some δ is not.
pub(crate) fn in_terms_of(body: &Term, state: &Name, recursion: &[(String, Term)]) -> Option<Term> {
    match body {
        Term::Delta(name, at) if name != state => {
            let id = format!("delta.{name}");
            let (_, right) = recursion.iter().find(|(known, _)| *known == id)?;
            let at = at.clone()?;
            if looks_ahead(right) {
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

/// The term with something put in for δ of the state.
pub(crate) fn put(term: &Term, state: &Name, sent: &Term) -> Term {
    match term {
        Term::Delta(name, _) if name == state => sent.clone(),
        term => term.map(&mut |part| put(part, state, sent)),
    }
}
