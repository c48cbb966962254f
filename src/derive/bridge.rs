//! From the double sum over pairs of steps to the recursion, and what truncation leaves out.
//!
//! Written for a recurrence with one state, where the sum can be written with matrices.

use std::sync::Arc;

use super::canon::{add, product, tidy, transpose};
use super::generate::Writer;
use super::jacobian::flow;
use super::rules::Rule;
use super::term::{Base, Name, Term, Time};
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

        // A window of τ steps: pairs with t − k < τ, and what is left out.
        let window = Time {
            base: Base::Var('τ'),
            offset: 0,
        };
        let early = sum(
            't',
            Time::at(1),
            window.clone(),
            sum('k', Time::at(1), t.clone(), pair.clone()),
        );
        let first = Time {
            base: Base::Minus('t', 'τ'),
            offset: 1,
        };
        let near = sum(
            't',
            window.plus(1),
            Time::last(),
            sum('k', first.clone(), t.clone(), pair.clone()),
        );
        let far = sum(
            't',
            window.plus(1),
            Time::last(),
            sum('k', Time::at(1), first.plus(-1), pair),
        );
        let equation = writer.push(
            format!("window.{name}"),
            Part::Truncation,
            left,
            add([early, near, far]),
        );
        equation.range = Range {
            vars: vec![('τ', Time::at(1), Time::last())],
        };
        equation.level = level.max(Level::Normal);
        equation.rules = vec![Rule::Truncation];
        equation.premises = vec![format!("bridge.double.{name}")];
    }
    Ok(())
}

/// The lines of δ, by their ids.
fn recursions(writer: &Writer<'_>) -> Vec<(String, Term)> {
    writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Recursion)
        .map(|e| (e.id.clone(), e.right.clone()))
        .collect()
}

/// Whether every addend has δ of the state as a factor, once.
fn is_homogeneous(term: &Term, state: &Name) -> bool {
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
fn looks_ahead(term: &Term) -> bool {
    term.any(&|t| matches!(t, Term::Delta(_, Some(at)) if at.offset > 0))
}

/// The body of a sum with every δ written in terms of δ of the state, at the same step; `None`
/// when some δ is not.
fn in_terms_of(body: &Term, state: &Name, recursion: &[(String, Term)]) -> Option<Term> {
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
fn put(term: &Term, state: &Name, sent: &Term) -> Term {
    match term {
        Term::Delta(name, _) if name == state => sent.clone(),
        term => term.map(&mut |part| put(part, state, sent)),
    }
}
