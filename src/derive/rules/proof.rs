//! A sequence of rules from one term to another, with its record.

use std::collections::HashSet;

use super::known::Known;
use super::partial::{first, reaches};
use crate::derive::algebra::term::{Base, Name, Quantity, Term, Time, visit};
use crate::derive::record::line::Line;
use crate::derive::record::rewrite::{Argument, At, Rewrite};
use crate::derive::record::step::{Site, Step};

/// A term, the rules applied so far, and the lines they used.
pub(crate) struct Proof<'k> {
    known: Known<'k>,
    pub(crate) term: Term,
    steps: Vec<Step>,
    premises: Vec<Line>,
}

/// The result of a proof.
pub(crate) struct Made {
    pub(crate) term: Term,
    pub(crate) steps: Vec<Step>,
    pub(crate) premises: Vec<Line>,
}

impl<'k> Proof<'k> {
    /// Begins with a term.
    pub(crate) fn of(known: Known<'k>, term: Term) -> Self {
        Self {
            known,
            term,
            steps: Vec::new(),
            premises: Vec::new(),
        }
    }

    /// Applies a rule; `None` if it does not apply.
    pub(crate) fn by(self, rewrite: Rewrite) -> Option<Self> {
        let after = rewrite.apply(&self.term, &self.known)?;
        Some(self.with(rewrite, after))
    }

    /// Applies a rule if it applies.
    pub(crate) fn if_it_applies(self, rewrite: Rewrite) -> Self {
        match rewrite.apply(&self.term, &self.known) {
            Some(after) => self.with(rewrite, after),
            None => self,
        }
    }

    fn with(mut self, rewrite: Rewrite, after: Term) -> Self {
        for premise in rewrite.premises() {
            if !self.premises.contains(&premise) {
                self.premises.push(premise);
            }
        }
        let step = Step::new(
            rewrite.rule(),
            Site::Line(rewrite),
            self.term,
            after.clone(),
        );
        self.steps.push(step);
        self.term = after;
        self
    }

    /// The result and its record, without the data for look-ups.
    pub(crate) fn done(self) -> Made {
        Made {
            term: self.term,
            steps: self.steps,
            premises: self.premises,
        }
    }

    /// Expands every `δ` at a step by its line until only those of the given states remain; `None` if a `δ` on the way
    /// reads later steps.
    pub(crate) fn down_to(mut self, states: &[Name], at: &Time) -> Option<Self> {
        while let Some(name) = other(&self.term, states, at) {
            let line = Line::Delta(name);
            // Expanding a δ that looks ahead would not terminate.
            let right = &self.known.line(&line)?.right;
            if crate::derive::algebra::term::looks_ahead(right) {
                return None;
            }
            // Beyond the last step, the contribution of the loss is zero, and so is that of a chain in the other
            // direction, whose δ may be of an earlier step.
            let later = at.base == Base::Var('t') && at.offset > 0;
            let beyond = |of: &Time| of.base == at.base && of.offset >= 0;
            let whole = right.addends().iter();
            let whole = whole.clone().all(|part| part.ends_with_deltas(&beyond));
            let line = At::new(line, &[('t', at.clone())]);
            self = self.by(match later && !whole {
                true => Rewrite::Beyond(line),
                false => Rewrite::Unfold(line),
            })?;
        }
        Some(self)
    }

    /// Expands every `δ` of step t whose line leads to a state of the same step, down to those states.
    pub(crate) fn through_states(mut self) -> Option<Self> {
        let known = self.known;
        while let Some(name) = by_way_of_state(&self.term, &known) {
            self = self.by(Rewrite::Unfold(Line::Delta(name).into()))?;
        }
        Some(self)
    }

    /// Expands every differential that depends on `to`, down to `to` and the given states of the step.
    pub(crate) fn towards(mut self, to: &Argument, states: &[Name]) -> Option<Self> {
        let (known, x) = (self.known, to.term(&self.known));
        let wanted = |d: &Term| *d != x && !is_one_of(d, states) && reaches(d, &x, &known);
        while let Some(line) = first(&self.term, &wanted) {
            self = self.by(Rewrite::Unfold(line.into()))?;
        }
        Some(self)
    }

    /// Expands every differential, down to external quantities and the given states.
    pub(crate) fn outwards(mut self, states: &[Name]) -> Option<Self> {
        let known = self.known;
        let wanted = |d: &Term| match d.symbol() {
            Some((Quantity::D, [name], _)) => {
                !is_one_of(d, states)
                    && known.line(&Line::Differential(Name::clone(name))).is_some()
            }
            _ => false,
        };
        while let Some(line) = first(&self.term, &wanted) {
            self = self.by(Rewrite::Unfold(line.into()))?;
        }
        Some(self)
    }
}

fn is_one_of(differential: &Term, states: &[Name]) -> bool {
    matches!(differential.symbol(), Some((Quantity::D, [name], _)) if states.contains(name))
}

/// The first value with a `δ` at a step that is not one of the given states.
fn other(term: &Term, states: &[Name], at: &Time) -> Option<Name> {
    match term.symbol() {
        Some((Quantity::Delta, [name], [step])) if !states.contains(name) && step == at => {
            Some(Name::clone(name))
        }
        _ => term.parts().into_iter().find_map(|p| other(p, states, at)),
    }
}

/// The first value that is not a state and whose `δ` depends on δ of a state of the same step.
fn by_way_of_state(term: &Term, known: &Known<'_>) -> Option<Name> {
    match of_this_step(term) {
        Some(name) => comes_from_state(name, known).then(|| Name::clone(name)),
        None => term
            .parts()
            .into_iter()
            .find_map(|p| by_way_of_state(p, known)),
    }
}

/// The value, if a term is a `δ` of step t.
fn of_this_step(term: &Term) -> Option<&Name> {
    match term.symbol() {
        Some((Quantity::Delta, [name], [at])) if *at == Time::var('t') => Some(name),
        _ => None,
    }
}

fn comes_from_state(value: &Name, known: &Known<'_>) -> bool {
    let (mut seen, mut pending) = (HashSet::new(), vec![Name::clone(value)]);
    if known.carries(value) {
        return false;
    }
    while let Some(name) = pending.pop() {
        if known.carries(&name) {
            return true;
        }
        if let (Some(line), true) = (
            known.line(&Line::Delta(Name::clone(&name))),
            seen.insert(Name::clone(&name)),
        ) {
            visit(&line.right, &mut |t| {
                pending.extend(of_this_step(t).cloned());
            });
        }
    }
    false
}
