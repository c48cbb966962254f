//! The costate: the contributions of the loss and of later steps to the state as a whole.
//!
//! δ of one state contains contributions of other states of the same step. λ holds the share of each state separately,
//! so the recursion becomes that of the general theorem.

use std::sync::Arc;

use super::pairing::pairing;
use super::writer::Writer;
use crate::derive::algebra::chain::{self, Carried};
use crate::derive::algebra::term::{Fold, Name, Quantity, Term, Time, looks_ahead};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{Argument, At, Rewrite};
use crate::derive::record::rule::Rule;
use crate::derive::rules::proof::{Made, Proof};

/// `λ_t = e_t + J_{t+1}ᵀ λ_{t+1}` for several states. With delays there is one line for each state instead, since
/// delayed values have no λ of their own.
pub(crate) fn write(writer: &mut Writer<'_>) {
    let states = chain::names(&writer.state);
    if states.len() < 2 {
        return;
    }
    let at = writer.equations.len();
    let found = match shares(writer, &states) {
        Some(()) if chain::is_delayed(&writer.state) => each(writer, &states),
        Some(()) => whole(writer, &states),
        None => None,
    };
    if found.is_none() {
        writer.equations.truncate(at);
    }
}

/// δ of every state as its own λ plus the contributions of the states of the same step.
fn shares(writer: &mut Writer<'_>, states: &[Name]) -> Option<()> {
    for state in states {
        let left = Quantity::Delta.of([state], [Time::var('t')]);
        let made = Proof::of(writer.known(), left.clone())
            .by(Rewrite::Shares(Arc::clone(state)))?
            .done();
        let follows = |id: &&Line| matches!(id, Line::Within(_, by) if by == state);
        let ids = writer.equations.iter().map(|e| &e.id);
        let follow = ids.filter(follows).cloned().collect();
        let id = Line::Shares(Arc::clone(state));
        let equation = writer.prove(id, Part::Costate, left, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
        equation.premises = follow;
    }
    Some(())
}

/// The recursion of the stack of all λ.
fn whole(writer: &mut Writer<'_>, states: &[Name]) -> Option<()> {
    let t = Time::var('t');
    let left = writer.stack(&|s| Quantity::Costate.of([&s.name], [t.clone()]));
    let made = from_readers(writer, left.clone(), states)?
        .by(Rewrite::StateProduct)?
        .by(Rewrite::Fold(At::new(Line::Jacobian, &[('t', t.plus(1))])))?
        .done();
    // Without a term from the loss, the stack would be zero.
    if !matches!(made.term, Term::Add(_)) {
        return None;
    }
    let equation = writer.prove(Line::Costate, Part::Costate, left.clone(), made);
    equation.range = Range::all();
    equation.rules.extend([Rule::IndexShift, Rule::Boundary]);
    equation.level = Level::Normal;
    pairing(writer, Line::Costate, Line::CostatePairing, Part::Costate);
    let left = left.at('t', &Time::var('k'));
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unroll(Line::Costate))
        .and_then(|p| p.by(Rewrite::Fold(Line::JacobianProduct.into())));
    if let Some(made) = made.map(Proof::done) {
        let equation = writer.prove(Line::CostateClosed, Part::Costate, left, made);
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        equation.level = Level::Normal;
    }
    let left = writer.stack(&|s| Quantity::Gradient.of([&s.name], [Time::at(0)]));
    let made = Proof::of(writer.known(), left.clone()).by(Rewrite::Start);
    if let Some(made) = made.map(Proof::done) {
        let equation = writer.prove(Line::CostateStart, Part::Costate, left, made);
        equation.level = Level::Normal;
    }
    Some(())
}

/// The recursion of each λ, with a term for each value and lag.
fn each(writer: &mut Writer<'_>, states: &[Name]) -> Option<()> {
    let mut found: Vec<(Line, Term, Made)> = Vec::new();
    for state in states {
        let left = Quantity::Costate.of([state], [Time::var('t')]);
        let made = from_readers(writer, left.clone(), std::slice::from_ref(state))?.done();
        found.push((Line::CostateOf(Arc::clone(state)), left, made));
    }
    // At least one term must come from the loss.
    let sent = |part: &Term| !part.any(&|t| t.is(Quantity::Costate));
    let mut ends = found.iter().flat_map(|(.., made)| addends(&made.term));
    if !ends.any(|part| sent(&part)) {
        return None;
    }
    for (id, left, made) in found {
        let equation = writer.prove(id, Part::Costate, left, made);
        equation.range = Range::all();
        equation.rules.extend([Rule::IndexShift, Rule::Boundary]);
        equation.level = Level::Normal;
    }
    Some(())
}

/// The λ of some states as the contributions of the readers of each: those of the loss, and transposed Jacobians times
/// the λ of later steps.
fn from_readers<'w>(writer: &'w Writer<'_>, left: Term, states: &[Name]) -> Option<Proof<'w>> {
    let all = chain::names(&writer.state);
    let delayed = chain::is_delayed(&writer.state);
    let mut proof = Proof::of(writer.known(), left);
    for state in states {
        proof = proof.by(Rewrite::ByReaders(Arc::clone(state)))?;
    }
    proof = proof.through_states()?.if_it_applies(Rewrite::Still);
    let lags = writer.state.iter().filter(|by| states.contains(&by.name));
    let mut lags: Vec<i64> = lags.map(|by| by.delay + 1).collect();
    lags.sort_unstable();
    lags.dedup();
    for lag in lags {
        let next = Time::var('t').plus(lag);
        let at_next = |line: Line| At::new(line, &[('t', next.clone())]);
        let share = |of: &Name| Argument::Costate(Arc::clone(of), next.clone());
        proof = proof
            .down_to(&all, &next)?
            .if_it_applies(Rewrite::Partition);
        for of in &all {
            proof = proof.if_it_applies(Rewrite::Unfold(at_next(Line::Shares(Arc::clone(of)))));
        }
        for of in &all {
            proof = proof.if_it_applies(Rewrite::Factor(share(of)));
        }
        let read = |by: &&Carried| states.contains(&by.name) && by.delay + 1 == lag;
        for by in writer.state.iter().filter(read) {
            for of in &all {
                let id = Line::block(of, &by.name, lag);
                // The matrix of all blocks keeps blocks that are zero.
                if delayed && *writer.right(&id)? == Term::Zero {
                    continue;
                }
                proof = proof.by(Rewrite::Transposed(at_next(id), share(of)))?;
            }
        }
    }
    // The other terms must come from the loss directly. A step that reads a value of one fixed step contributes at all
    // steps.
    let own = addends(&proof.term).into_iter();
    let sums = |p: &Term| {
        let over = |t: &Term| matches!(t, Term::Over(Fold::Sum, ..));
        p.any(&over) && p.any(&|t| t.is(Quantity::Delta))
    };
    let by_other_ways =
        |p: &Term| !p.any(&|t| t.is(Quantity::Costate)) && (looks_ahead(p) || sums(p));
    (!own.into_iter().any(|p| by_other_ways(&p))).then_some(proof)
}

/// The nonzero terms of a sum, or of all rows of a stack.
fn addends(term: &Term) -> Vec<Term> {
    let rows = match term {
        Term::Matrix(rows) => rows.iter().flatten().collect(),
        one => vec![one],
    };
    let parts = rows.into_iter().flat_map(Term::addends);
    parts.filter(|p| **p != Term::Zero).cloned().collect()
}
