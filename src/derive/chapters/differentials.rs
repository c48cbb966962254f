//! One step, linearised: the differential of every value.

use std::collections::HashSet;
use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::normal::neg;
use crate::derive::algebra::term::{Quantity, Term};
use crate::derive::reading::engine::tangent;
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::step::{Step, rules_of};
use crate::error::Result;
use crate::op::{NodeId, Op, Pointwise};
use crate::shape::Rate;

impl Writer<'_> {
    /// The tangent of a value without its perturbation, and true if its sign is negative.
    pub(crate) fn own_tangent(&self, id: NodeId) -> Option<(NodeId, bool)> {
        let tangent = *self.graph.tangents.get(&id)?;
        let Some(seed) = self.graph.seeds.get(&id).copied() else {
            return Some((tangent, false));
        };
        if tangent == seed {
            return None;
        }
        let node = self.tape.node(tangent);
        match (node.op(), node.args()) {
            (Op::Pointwise(Pointwise::Add), [a, b]) if *b == seed => Some((*a, false)),
            (Op::Pointwise(Pointwise::Add), [a, b]) if *a == seed => Some((*b, false)),
            (Op::Pointwise(Pointwise::Sub), [a, b]) if *a == seed => Some((*b, true)),
            _ => None,
        }
    }

    pub(super) fn differentials(&mut self) -> Result<()> {
        for (name, id) in self.values() {
            let Some((own, negative)) = self.own_tangent(id) else {
                continue;
            };
            let (at, range) = self.range(id);
            let right = self.reader.term(own, &at)?;
            let right = if negative { neg(right) } else { right };
            let steps = self.tangent_steps(id)?;
            let shape = self.shape(id);
            let left = Quantity::D.of([&name], at);
            let equation = self.push(
                Line::Differential(Arc::clone(&name)),
                Part::Differentials,
                left,
                right,
            );
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = rules_of(&steps);
            equation.premises = vec![Line::Definition(name)];
            equation.steps = steps;
            equation.level = Level::Normal;
        }
        Ok(())
    }

    /// The tangent rules used between a named value and the named values it depends on.
    fn tangent_steps(&self, root: NodeId) -> Result<Vec<Step>> {
        let mut order = Vec::new();
        let (mut seen, mut stack) = (HashSet::new(), vec![(root, false)]);
        while let Some((id, done)) = stack.pop() {
            let inner = id == root || !self.reader.labels.contains_key(&id);
            if !inner || matches!(self.tape.node(id).op(), Op::Read(_) | Op::Leaf(_)) {
                continue;
            }
            if done {
                order.push(id);
            } else if seen.insert(id) {
                stack.push((id, true));
                stack.extend(self.tape.node(id).args().iter().map(|a| (*a, false)));
            }
        }
        let mut steps = Vec::new();
        for id in order {
            let silent = matches!(self.tape.node(id).op(), Op::Time(_));
            if silent || self.tape.ty(id).rate != Rate::Step {
                continue;
            }
            if let Some(step) = tangent(self.reader, self.graph, id)?
                && Term::DOf(Box::new(step.after.clone())) != step.before
            {
                steps.push(step);
            }
        }
        Ok(steps)
    }
}
