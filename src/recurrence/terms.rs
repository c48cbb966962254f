//! The terms of a loss before they are summed.

use super::differentiate::Target;
use super::{Draft, LOSS, Recurrence, Roles};
use crate::error::Result;
use crate::op::{Expr, NodeId, Op, Pointwise, Time};
use crate::shape::Rate;
use crate::tape::{Role, Scope};

/// A loss as a sum over observations.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Its loss is the sum of all terms, none of them divided by a number of terms.
    pub(crate) total: Recurrence,
    /// Its output [`Terms::OUTPUT`] has one value for each observation; `None` if the loss has no terms that
    /// vary with the step or the sample.
    pub(crate) each: Option<Recurrence>,
    /// What an observation is: a step of a sample, or a sample.
    pub(crate) unit: Rate,
    /// The numbers of terms that means divide by, as outputs.
    pub(crate) counts: Option<Recurrence>,
    /// How many statements of the loss are sums; how many are means.
    pub(crate) sums: usize,
    pub(crate) means: usize,
    /// Whether a part of the loss depends on parameters only.
    pub(crate) prior: bool,
}

impl Terms {
    /// The name of the terms among the outputs, which no other name can be.
    pub(crate) const OUTPUT: &'static str = "(terms)";
}

impl Recurrence {
    /// The loss by its terms. A term that varies with the step is one observation for each step of each
    /// sample. If a term varies with the sample only, as that of a final loss does, a sample
    /// is one observation, with the sum of its terms.
    pub(crate) fn loss_terms(&self) -> Result<Terms> {
        let found = self.sort(self.loss()?);
        let rate = |id: &NodeId| self.tape.ty(*id).rate;
        let unit = match found.terms.iter().map(rate).min() {
            Some(Rate::Sample) => Rate::Sample,
            _ => Rate::Step,
        };
        let parts = |outputs: &dyn Fn(&Scope) -> Vec<Target>| {
            let scope = Scope::new(self.tape.clone());
            let draft = Draft {
                states: self.states.clone(),
                outputs: outputs(&scope).into_iter().collect(),
                roles: Roles::default(),
                initials: self.initials.clone(),
            };
            draft.finish_pruned(scope, &self.name, |_| true)
        };
        let sum = |scope: &Scope, more: &[NodeId], rate: Rate| -> Option<NodeId> {
            let own = found.terms.iter().chain(more).map(|id| scope.expr(*id));
            let summed = own.map(|term| match term.rate() > Some(rate) {
                true => term.total(rate),
                false => term,
            });
            summed.reduce(|a, b| a + b).and_then(Expr::id)
        };
        let named =
            |name: &str, id: Option<NodeId>| id.map(|id| (name.into(), id)).into_iter().collect();
        let total = parts(&|scope| named(LOSS, sum(scope, &found.alone, Rate::Static)))?;
        let each = parts(&|scope| named(Terms::OUTPUT, sum(scope, &[], unit)))?;
        let counts = parts(&|_| {
            let counts = found.counts.iter().enumerate();
            counts
                .map(|(i, (_, id))| (format!("{i}").into(), *id))
                .collect()
        })?;
        Ok(Terms {
            total,
            each: (!found.terms.is_empty()).then_some(each),
            unit,
            means: found.counts.len(),
            sums: found.terms.len() - found.counts.len(),
            counts: (!found.counts.is_empty()).then_some(counts),
            prior: found.alone.iter().any(|id| self.needs_parameters(*id)),
        })
    }

    /// Takes a loss apart.
    fn sort(&self, loss: NodeId) -> Found {
        let mut found = Found::default();
        let mut left = vec![loss];
        while let Some(id) = left.pop() {
            let node = self.tape.node(id);
            match (node.op(), node.args()) {
                (Op::Pointwise(Pointwise::Add), [a, b]) => left.extend([*b, *a]),
                (Op::Time(Time::Total(_)), [term]) => found.terms.push(*term),
                (Op::Pointwise(Pointwise::Div), [sum, count]) => {
                    let counted = self.total_of(*count).is_some() && !self.needs_parameters(*count);
                    match self.total_of(*sum) {
                        Some(term) if counted => {
                            found.terms.push(term);
                            found.counts.push((term, *count));
                        }
                        _ => found.alone.push(id),
                    }
                }
                _ => found.alone.push(id),
            }
        }
        found
    }

    fn total_of(&self, id: NodeId) -> Option<NodeId> {
        let node = self.tape.node(id);
        let total = matches!(node.op(), Op::Time(Time::Total(_)));
        node.args().first().copied().filter(|_| total)
    }

    /// Whether a value depends on a parameter.
    fn needs_parameters(&self, id: NodeId) -> bool {
        let live = self.tape.live([id]);
        let mut leaves = self.leaves(Role::Parameter);
        leaves.any(|leaf| live.get(leaf.node.index()).copied().unwrap_or(false))
    }
}

#[derive(Default)]
struct Found {
    /// The values that are summed over steps and samples, or samples.
    terms: Vec<NodeId>,
    /// Those of them that are divided by a number of terms, and that number.
    counts: Vec<(NodeId, NodeId)>,
    /// Values that vary with neither the step nor the sample.
    alone: Vec<NodeId>,
}
