//! The lines and values that rules may look up.

use std::collections::HashSet;

use crate::derive::algebra::chain::{self, Carried};
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::equation::Equation;
use crate::derive::record::line::Line;
use crate::derive::record::relation::Relation;
use crate::derive::record::rewrite::{Argument, At};
use crate::op::NodeId;
use crate::shape::Shape;
use crate::tape::Tape;

/// The data that rules may look up.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) lines: &'a [Equation],
    /// The names of scalar values.
    pub(crate) scalars: &'a HashSet<Name>,
    /// The state whose Jacobians are derived.
    pub(crate) state: &'a [Carried],
    /// The tape of the linearised and transposed recurrence.
    pub(crate) tape: &'a Tape,
}

impl Known<'_> {
    pub(super) fn line(&self, id: &Line) -> Option<&Equation> {
        self.lines.iter().find(|e| e.id == *id)
    }

    /// The values of the state, in order, without delays.
    pub(super) fn states(&self) -> impl Iterator<Item = &Name> {
        let values = self.state.iter().filter(|part| part.delay == 0);
        values.map(|part| &part.name)
    }

    /// Returns true if a value is carried from one step to the next.
    pub(super) fn carries(&self, name: &Name) -> bool {
        self.state.iter().any(|part| part.name == *name)
    }

    /// The derivative of a value of the state with respect to a part of the previous state; zero if its line says so.
    pub(super) fn block(&self, of: &Name, by: &Carried, at: &Time) -> Term {
        match self.line(&Line::block(of, &by.name, by.delay + 1)) {
            Some(line) if line.right == Term::Zero => Term::Zero,
            _ => self.jacobian(of, by, at),
        }
    }

    pub(super) fn jacobian(&self, of: &Name, by: &Carried, at: &Time) -> Term {
        match self.state {
            [_] => Quantity::StateJacobian.of([], [at.clone()]),
            state => chain::block(state, of, by, at),
        }
    }

    /// Both sides of a line, at its steps; `None` if the line is an inequality and `inequality` is false, or the
    /// reverse.
    pub(super) fn sides(&self, at: &At, inequality: bool) -> Option<(Term, Term)> {
        let line = self.line(&at.line)?;
        if (line.relation == Relation::AtMost) != inequality {
            return None;
        }
        Some((at.put(&line.left), at.put(&line.right)))
    }
}

impl Argument {
    pub(super) fn term(&self, known: &Known<'_>) -> Term {
        match self {
            Self::Delta(of, at) => Quantity::Delta.of([of], [at.clone()]),
            Self::Costate(of, at) => Quantity::Costate.of([of], [at.clone()]),
            Self::D(of, at) => Quantity::D.of([of], at.clone()),
            Self::States(at) => {
                let row = |of: &Carried| vec![Quantity::D.of([&of.name], [at.plus(-of.delay)])];
                Term::Matrix(known.state.iter().map(row).collect())
            }
            Self::Jacobian(of, to, by, from) => {
                Quantity::Jacobian.of([of, by], [to.clone(), from.clone()])
            }
        }
    }

    /// Returns true if the argument is a scalar.
    pub(super) fn is_scalar(&self, known: &Known<'_>) -> bool {
        let number = |name: &Name| known.scalars.contains(name);
        match self {
            Self::Delta(of, _) | Self::Costate(of, _) | Self::D(of, _) => number(of),
            Self::Jacobian(of, _, by, _) => number(of) && number(by),
            Self::States(_) => false,
        }
    }
}

/// The line of a block of the Jacobian, or of a derivative within a step, at its step.
pub(crate) fn line_of(term: &Term) -> Option<At> {
    let (line, at) = match term.symbol()? {
        (Quantity::Block, [of, by], [at]) => (Line::block(of, by, 1), at),
        (Quantity::Direct, [of, by], [at, from]) => {
            let lag = at.offset - from.offset;
            (Line::block(of, by, lag), at)
        }
        (Quantity::Jacobian, [of, by], [a, b]) if a == b => (Line::within(of, by), a),
        _ => return None,
    };
    Some(At::new(line, &[('t', at.clone())]))
}

/// Replaces every occurrence of `from` in a term with `to`.
pub(super) fn replaced(term: &Term, from: &Term, to: &Term) -> Term {
    if term == from {
        return to.clone();
    }
    term.map(&mut |part| replaced(part, from, to))
}

/// The names of scalar values.
pub(crate) fn scalars(tape: &Tape) -> HashSet<Name> {
    let number = |id: NodeId| tape.ty(id).shape == Shape::Scalar;
    let names = tape.names().filter(|(_, id)| number(*id));
    names.map(|(name, _)| Name::clone(name)).collect()
}
