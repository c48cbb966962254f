//! The terms of a loss before summation.

use std::collections::HashSet;

use super::differentiate::Target;
use super::observed::Weights;
use super::{Draft, LOSS, Recurrence, Roles};
use crate::error::Result;
use crate::op::{Expr, NodeId, Op, Pointwise, Time};
use crate::shape::Rate;
use crate::tape::{Role, Scope};

/// A loss as a sum over observations.
#[derive(Debug)]
pub(crate) struct Terms {
    /// A recurrence whose loss is the sum of all terms, without the division of means.
    pub(crate) total: Recurrence,
    /// A recurrence with the output [`Terms::OUTPUT`], one value per observation; `None` if no term of the loss
    /// varies with the step or the sample.
    pub(crate) each: Option<Recurrence>,
    /// A recurrence with the output [`Terms::OUTPUT`], positive for each observation that counts in the loss.
    pub(crate) observed: Recurrence,
    /// The rate of an observation: `Step` for a step of a sample, `Sample` for a sample.
    pub(crate) unit: Rate,
    /// A recurrence whose outputs are the divisors of the means; `None` if there are no means.
    pub(crate) counts: Option<Recurrence>,
    /// The numbers of sum and mean terms in the loss.
    pub(crate) sums: usize,
    pub(crate) means: usize,
    /// True if a part of the loss depends on parameters only.
    pub(crate) prior: bool,
    /// True if a term has the number of steps or samples as a factor or divisor, so that its scale is unknown.
    pub(crate) scaled: bool,
}

impl Terms {
    /// The name of the output of terms, which is not a valid name of a definition.
    pub(crate) const OUTPUT: &'static str = "(terms)";
}

impl Recurrence {
    /// Splits the loss into observations. Normally, each step of each sample is an observation. If a term
    /// varies with the sample only, as in a final loss, each sample is an observation, with the sum of its
    /// terms.
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
        let observed = parts(&|scope| {
            let weight = Weights::new(self, scope).of_sum(&found.terms, unit);
            named(Terms::OUTPUT, weight.and_then(Expr::id))
        })?;
        let counts = parts(&|_| {
            let counts = found.counts.iter().enumerate();
            counts
                .map(|(i, (_, id))| (format!("{i}").into(), *id))
                .collect()
        })?;
        Ok(Terms {
            total,
            each: (!found.terms.is_empty()).then_some(each),
            observed,
            unit,
            means: found.counts.len(),
            sums: found.terms.len() - found.counts.len(),
            counts: (!found.counts.is_empty()).then_some(counts),
            prior: found.alone.iter().any(|id| self.needs_parameters(*id)),
            scaled: found.terms.iter().any(|id| self.is_scaled(*id)),
        })
    }

    /// Splits a loss into terms.
    fn sort(&self, loss: NodeId) -> Found {
        let mut found = Found::default();
        let mut left = vec![loss];
        while let Some(id) = left.pop() {
            let node = self.tape.node(id);
            match (node.op(), node.args()) {
                (Op::Pointwise(Pointwise::Add), [a, b]) => left.extend([*b, *a]),
                (Op::Time(Time::Total(_)), [term]) => match self.of_mean(*term) {
                    Some((term, count)) => {
                        found.terms.push(term);
                        found.counts.push((term, count));
                    }
                    None => found.terms.push(*term),
                },
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

    /// The term and the divisor of a mean whose terms are divided one by one, `l / total(hold(1, step))`.
    fn of_mean(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        let node = self.tape.node(id);
        let (Op::Pointwise(Pointwise::Div), [term, divisor]) = (node.op(), node.args()) else {
            return None;
        };
        let held = self.tape.node(*divisor);
        let count = match (held.op(), held.args()) {
            (Op::Time(Time::Hold(_)), [count]) => *count,
            _ => *divisor,
        };
        self.is_count(count).then_some((*term, count))
    }

    /// Returns true for a number of steps or samples: a total that depends on no parameter and no input but masks.
    fn is_count(&self, id: NodeId) -> bool {
        if self.total_of(id).is_none() {
            return false;
        }
        let live = self.tape.live([id]);
        let leaves = self.tape.leaves().iter();
        let mut used = leaves.filter(|leaf| live.get(leaf.node.index()).copied().unwrap_or(false));
        used.all(|leaf| self.tape.masks().any(|mask| **mask == *leaf.name()))
    }

    /// Returns true if a number of steps or samples is a factor or divisor of a value.
    fn is_scaled(&self, id: NodeId) -> bool {
        let (mut seen, mut left) = (HashSet::new(), vec![id]);
        while let Some(id) = left.pop() {
            if !seen.insert(id) {
                continue;
            }
            if self.is_count(id) {
                return true;
            }
            let node = self.tape.node(id);
            let is_product = match node.op() {
                Op::Pointwise(op) => matches!(
                    op,
                    Pointwise::Mul | Pointwise::StrongMul | Pointwise::Div | Pointwise::Neg
                ),
                Op::Time(_) => true,
                _ => false,
            };
            if is_product {
                left.extend(node.args());
            }
        }
        false
    }

    fn total_of(&self, id: NodeId) -> Option<NodeId> {
        let node = self.tape.node(id);
        let total = matches!(node.op(), Op::Time(Time::Total(_)));
        node.args().first().copied().filter(|_| total)
    }

    /// Returns true if a value depends on a parameter.
    fn needs_parameters(&self, id: NodeId) -> bool {
        let live = self.tape.live([id]);
        let mut leaves = self.leaves(Role::Parameter);
        leaves.any(|leaf| live.get(leaf.node.index()).copied().unwrap_or(false))
    }
}

#[derive(Default)]
struct Found {
    /// The values that are summed over steps, samples, or both.
    terms: Vec<NodeId>,
    /// The terms of means, each with its divisor.
    counts: Vec<(NodeId, NodeId)>,
    /// Other summands of the loss, such as values of parameters alone.
    alone: Vec<NodeId>,
}
