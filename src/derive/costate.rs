//! The state as a whole: what it gets from the loss and from later steps.
//!
//! δ of one state contains what other states of the same step send to it. With λ the share of each
//! state is told apart, and the recursion becomes that of the general theorem.

use std::sync::Arc;

use super::bridge::{looks_ahead, of_one_step};
use super::chain::{self, Carried};
use super::delayed;
use super::generate::Writer;
use super::rewrite::{Argument, At, Made, Proof, Rewrite};
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Equation, Level, Part, Range};

/// `λ_t = e_t + J_{t+1}ᵀ λ_{t+1}` for several states.
pub(crate) fn write(writer: &mut Writer<'_>, parts: &[Carried]) {
    if chain::is_delayed(parts) {
        return delayed::costates(writer, parts);
    }
    let states = writer.states.clone();
    if states.len() < 2 {
        return;
    }
    let t = Time::var('t');
    let mut written = Vec::new();
    for state in &states {
        let left = Term::Delta(Arc::clone(state), Some(t.clone()));
        let proof = Proof::of(writer.known(), left.clone()).by(Rewrite::Shares(Arc::clone(state)));
        let Some(made) = proof.map(Proof::done) else {
            return;
        };
        let follows =
            |e: &&Equation| e.id.starts_with("within.") && e.id.ends_with(&format!(".{state}"));
        let follow = writer
            .equations
            .iter()
            .filter(follows)
            .map(|e| e.id.clone());
        written.push((format!("costate.{state}"), left, made, follow.collect()));
    }
    let at = writer.equations.len();
    for (id, left, made, follow) in written {
        let equation = writer.prove(id, Part::Costate, left, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
        equation.premises = follow;
    }
    let left = writer.stack(&|s| Term::Costate(Arc::clone(s), t.clone()));
    let Some(made) = recursion(writer, left.clone()) else {
        writer.equations.truncate(at);
        return;
    };
    let equation = writer.prove("costate".into(), Part::Costate, left, made);
    equation.range = Range::all();
    equation.rules.extend([Rule::IndexShift, Rule::Boundary]);
    equation.level = Level::Normal;
    let left = writer.stack(&|s| Term::Gradient(Arc::clone(s), Some(Time::at(0))));
    let made = Proof::of(writer.known(), left.clone()).by(Rewrite::Start);
    if let Some(made) = made.map(Proof::done) {
        let equation = writer.prove("costate.start".into(), Part::Costate, left, made);
        equation.level = Level::Normal;
    }
}

/// The shares of all states, from what the readers of each send back.
fn recursion(writer: &Writer<'_>, stack: Term) -> Option<Made> {
    let (states, next) = (&writer.states, Time::var('t').plus(1));
    let at_next = |line: String| At::new(line, &[('t', next.clone())]);
    let share = |s: &Name| Argument::Costate(Arc::clone(s), next.clone());
    let mut proof = Proof::of(writer.known(), stack);
    for state in states {
        proof = proof.by(Rewrite::OwnShare(Arc::clone(state)))?;
    }
    let Term::Matrix(rows) = &proof.term else {
        return None;
    };
    // What the loss sends has to come at its own step, and some of it has to come.
    let direct = rows.iter().flatten().map(direct).collect::<Vec<_>>();
    let at_its_step = |part: &Term| of_one_step(writer, part);
    if direct.iter().all(Vec::is_empty) || !direct.iter().flatten().all(at_its_step) {
        return None;
    }
    proof = proof.down_to(states, &next)?;
    for state in states {
        proof = proof.if_it_applies(Rewrite::Unfold(at_next(format!("costate.{state}"))));
    }
    for state in states {
        proof = proof.if_it_applies(Rewrite::Factor(share(state)));
    }
    for to in states {
        for of in states {
            let line = at_next(format!("jac.{of}.{to}"));
            proof = proof.by(Rewrite::Transposed(line, share(of)))?;
        }
    }
    let whole = Rewrite::Fold(at_next("jac".into()));
    Some(proof.by(Rewrite::StateProduct)?.by(whole)?.done())
}

/// What of a sum does not come from the next step.
fn direct(sum: &Term) -> Vec<Term> {
    let parts = match sum {
        Term::Add(parts) => parts.clone(),
        Term::Zero => Vec::new(),
        one => vec![one.clone()],
    };
    parts.into_iter().filter(|p| !looks_ahead(p)).collect()
}
