//! Matrices that are read off differentials: one step of the state, and one state within a step.

use std::sync::Arc;

use super::algebra::chain::{self, Carried};
use super::algebra::term::{Name, Term, Time};
use super::generate::Writer;
use super::record::rewrite::{Argument, At, Rewrite};
use super::rules::proof::{Made, Proof};

impl Writer<'_> {
    /// A stack with something for each part of the state; for a single part, that.
    pub(crate) fn stack(&self, made: &dyn Fn(&Carried) -> Term) -> Term {
        match &self.state[..] {
            [one] => made(one),
            parts => Term::Matrix(parts.iter().map(|part| vec![made(part)]).collect()),
        }
    }

    /// The differential of the state at a step.
    pub(crate) fn differential(&self, at: &Time) -> Term {
        self.stack(&|part| Term::D(Arc::clone(&part.name), Some(at.plus(-part.delay))))
    }
}

/// How a value of the state depends on a part of it before the step, the others being held fixed.
pub(crate) fn block(writer: &Writer<'_>, of: &Name, by: &Carried) -> Option<Made> {
    let read = by.read_at(&Time::var('t'));
    let by = Argument::D(Arc::clone(&by.name), Some(read));
    matrix(writer, of, by, &chain::names(&writer.state))
}

/// How a value of the state depends on another of the same step, all of the state before it being
/// held fixed.
pub(crate) fn within(writer: &Writer<'_>, of: &Name, by: &Name) -> Option<Made> {
    let by = Argument::D(Arc::clone(by), Some(Time::var('t')));
    matrix(writer, of, by, &[])
}

fn matrix(writer: &Writer<'_>, of: &Name, by: Argument, follow: &[Name]) -> Option<Made> {
    let differential = Term::D(Arc::clone(of), Some(Time::var('t')));
    let held = Proof::of(writer.known(), differential)
        .if_it_applies(Rewrite::Unfold(At::new(format!("d.{of}"), &[])))
        .towards(&by, follow)?
        .if_it_applies(Rewrite::Partition)
        .if_it_applies(Rewrite::Alone(by.clone()));
    if held.term == Term::Zero {
        return Some(held.done());
    }
    let factored = held.if_it_applies(Rewrite::Factor(by.clone()));
    factored.by(Rewrite::ReadOff(by)).map(Proof::done)
}

/// The Jacobian of the state as the matrix of its blocks.
pub(crate) fn whole(writer: &Writer<'_>) -> Option<Made> {
    let now = Time::var('t');
    Proof::of(writer.known(), writer.differential(&now))
        .by(Rewrite::Partials)?
        .by(Rewrite::StateProduct)?
        .by(Rewrite::ReadOff(Argument::States(now.plus(-1))))
        .map(Proof::done)
}
