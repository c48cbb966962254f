//! A chain of rules from one term to another, and the record of it.

use super::{At, Known, Rewrite};
use crate::derive::step::{Site, Step};
use crate::derive::term::{Name, Term, Time};

/// A term, how it came about, and from what lines.
pub(crate) struct Proof<'k> {
    known: Known<'k>,
    pub(crate) term: Term,
    steps: Vec<Step>,
    premises: Vec<String>,
}

/// What a chain of rules has made.
pub(crate) struct Made {
    pub(crate) term: Term,
    pub(crate) steps: Vec<Step>,
    pub(crate) premises: Vec<String>,
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

    /// Uses a rule; nothing where it does not apply.
    pub(crate) fn by(self, rewrite: Rewrite) -> Option<Self> {
        let after = rewrite.apply(&self.term, &self.known)?;
        Some(self.with(rewrite, after))
    }

    /// Uses a rule where it applies.
    pub(crate) fn if_it_applies(self, rewrite: Rewrite) -> Self {
        match rewrite.apply(&self.term, &self.known) {
            Some(after) => self.with(rewrite, after),
            None => self,
        }
    }

    fn with(mut self, rewrite: Rewrite, after: Term) -> Self {
        if let Some(premise) = rewrite.premise()
            && !self.premises.iter().any(|p| p == premise)
        {
            self.premises.push(premise.to_owned());
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

    /// The record, without what it was looked up in.
    pub(crate) fn done(self) -> Made {
        Made {
            term: self.term,
            steps: self.steps,
            premises: self.premises,
        }
    }

    /// Puts in, one line after the other, what every `δ` at a step is until only those of one state
    /// are left; nothing where there are others.
    pub(crate) fn down_to(mut self, state: &Name, at: &Time) -> Option<Self> {
        while let Some(name) = other(&self.term, state, at) {
            let line = format!("delta.{name}");
            // A δ that looks ahead would never come to an end.
            if super::super::bridge::looks_ahead(&self.known.line(&line)?.right) {
                return None;
            }
            self = self.by(Rewrite::Unfold(At::new(line, &[('t', at.clone())])))?;
        }
        Some(self)
    }
}

/// The first value other than a state with a `δ` at a step.
fn other(term: &Term, state: &Name, at: &Time) -> Option<Name> {
    match term {
        Term::Delta(name, Some(step)) if name != state && step == at => Some(Name::clone(name)),
        term => term.parts().into_iter().find_map(|p| other(p, state, at)),
    }
}
