//! Matrices that are read off differentials: one step of the state, and one state within a step.

use std::sync::Arc;

use super::generate::Writer;
use super::rewrite::{Argument, At, Made, Proof, Rewrite};
use super::term::{Name, Term, Time};

impl Writer<'_> {
    /// A stack with something for each state; for a single state, that.
    pub(crate) fn stack(&self, made: &dyn Fn(&Name) -> Term) -> Term {
        match &self.states[..] {
            [one] => made(one),
            many => Term::Matrix(many.iter().map(|s| vec![made(s)]).collect()),
        }
    }
}

/// How a state depends on one before the step, the other states before it being held fixed.
pub(crate) fn block(writer: &Writer<'_>, of: &Name, by: &Name) -> Option<Made> {
    let before = Time::var('t').plus(-1);
    let by = Argument::D(Arc::clone(by), Some(before));
    matrix(writer, of, by, &writer.states)
}

/// How a state depends on another of the same step, all states before it being held fixed.
pub(crate) fn within(writer: &Writer<'_>, of: &Name, by: &Name) -> Option<Made> {
    let by = Argument::D(Arc::clone(by), Some(Time::var('t')));
    matrix(writer, of, by, &[])
}

fn matrix(writer: &Writer<'_>, of: &Name, by: Argument, follow: &[Name]) -> Option<Made> {
    let differential = Term::D(Arc::clone(of), Some(Time::var('t')));
    let held = Proof::of(writer.known(), differential)
        .by(Rewrite::Unfold(At::new(format!("d.{of}"), &[])))?
        .towards(&by, follow)?
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
    let stack = writer.stack(&|s| Term::D(Arc::clone(s), Some(now.clone())));
    Proof::of(writer.known(), stack)
        .by(Rewrite::Partials)?
        .by(Rewrite::StateProduct)?
        .by(Rewrite::ReadOff(Argument::States(now.plus(-1))))
        .map(Proof::done)
}
