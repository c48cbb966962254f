//! The adjoint of each line: `⟨δ, dy⟩` rewritten as inner products with the differentials that `dy` depends on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::normal::{add, inner, is_negative, neg, scale, together};
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Fold, Index, Quantity, Term, Time};
use crate::derive::reading::engine::{Reapply, adjoint};
use crate::derive::reading::read::step_at;
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rule::Rule;
use crate::derive::record::step::{now, rules_of};
use crate::error::Result;
use crate::op::{Edge, NodeId, Op};
use crate::shape::Rate;

impl Writer<'_> {
    /// The linear nodes between a differential and the differentials it depends on.
    fn linear_region(&self, root: NodeId) -> HashSet<NodeId> {
        let mut region = HashSet::new();
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            if !self.is_end(id) && region.insert(id) {
                stack.extend(self.tape.node(id).args().iter().copied());
            }
        }
        region
    }

    /// The nodes of a region in the order in which they were transposed.
    fn in_order(&self, region: &HashSet<NodeId>) -> Vec<NodeId> {
        let mut order = Vec::new();
        for used in &self.graph.adjoints {
            if region.contains(&used.node) && !order.contains(&used.node) {
                order.push(used.node);
            }
        }
        order
    }

    /// The linear nodes used by more than one line. The cotangent of such a node sums the contributions of all these
    /// lines, so no line can be written separately.
    fn shared(&self, loss: NodeId) -> HashSet<NodeId> {
        let values = self.values();
        let own = values
            .iter()
            .filter_map(|(_, id)| Some(self.own_tangent(*id)?.0));
        // The differential of an initial value has no line of its own.
        let registers = self.tape.registers().iter();
        let starts = registers.filter_map(|r| self.graph.tangents.get(&r.init()?).copied());
        let roots = own.chain(self.graph.tangents.get(&loss).copied());
        let roots = roots.chain(starts);
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        for root in roots {
            for node in self.linear_region(root) {
                let linear = self.graph.adjoints.iter().any(|u| u.node == node);
                if linear && !seen.insert(node) {
                    shared.insert(node);
                }
            }
        }
        // A held value is part of every line that reads it.
        for used in &self.graph.adjoints {
            let node = self.tape.node(used.node);
            if matches!(node.op(), Op::Time(crate::op::Time::Hold(_))) {
                shared.extend(self.linear_region(node.args()[0]));
            }
        }
        shared
    }

    /// Returns true if a linear node ends a line: a named differential, a read, a leaf or a held value.
    fn is_end(&self, id: NodeId) -> bool {
        self.reader.labels.contains_key(&id)
            || match self.tape.node(id).op() {
                Op::Read(_) | Op::Leaf(_) => true,
                // A held value is the same at every step; it has its own line.
                Op::Time(crate::op::Time::Hold(_)) => true,
                _ => false,
            }
    }

    /// Writes the line of `⟨δ, dy⟩` for every value, in terms of the differentials that `dy` depends on.
    pub(super) fn adjoints(&mut self) -> Result<()> {
        let loss = self.recurrence.loss_node()?;
        let shared = self.shared(loss);
        let tangent = self.graph.tangents.get(&loss).copied();
        if let Some(tangent) = tangent.filter(|t| self.linear_region(*t).is_disjoint(&shared)) {
            let right = match self.is_end(tangent) {
                // The loss is a parameter: its differential is that of the loss.
                true => inner(Term::Num(1.0), self.reader.term(tangent, &None)?),
                false => self.contributions(loss, tangent)?,
            };
            if let (Some(_), Some(body)) = (self.recurrence.step_loss(), without_sum(&right)) {
                let left = Quantity::DLoss.of([], [Time::var('t')]);
                let equation = self.push(Line::StepLossAdjoint, Part::Adjoints, left, body);
                equation.range = Range::all();
                equation.rules = vec![Rule::Total];
                equation.premises = vec![Line::StepLoss];
                equation.level = Level::Normal;
            }
            let left = Quantity::DLoss.of([], []);
            let equation = self.push(Line::LossAdjoint, Part::Adjoints, left, right);
            equation.rules = vec![Rule::Total, Rule::InnerLinearity];
            equation.premises = vec![Line::Loss];
            equation.level = Level::Normal;
        }
        for (name, id) in self.values().into_iter().rev() {
            let Some((own, _)) = self.own_tangent(id) else {
                continue;
            };
            let delta = self.cotangent(&name);
            let (Some(delta), (at, range)) = (delta, self.range(id)) else {
                continue;
            };
            let delta = self.reader.term(delta, &at)?;
            let own_delta = Quantity::Delta.of([&name], at.clone());
            if !self.linear_region(own).is_disjoint(&shared) {
                continue;
            }
            let right = self.contributions(id, own)?;
            if right == Term::Zero {
                continue;
            }
            let mut steps = Vec::new();
            for node in self.in_order(&self.linear_region(own)) {
                if let Some(step) = adjoint(self.reader, self.graph, node, Reapply::History)?
                    && step.before != step.after
                {
                    steps.push(step);
                }
            }
            let left = inner(own_delta, Quantity::D.of([&name], at));
            let same =
                matches!(delta.symbol(), Some((Quantity::Delta, [other], _)) if *other != name);
            let equation = self.push(
                Line::Adjoint(Arc::clone(&name)),
                Part::Adjoints,
                left,
                right,
            );
            equation.range = range;
            equation.rules = match steps.is_empty() {
                // The differential equals that of another value; substitute the line of that value.
                true => vec![Rule::Substitution],
                false => rules_of(&steps),
            };
            equation.premises = vec![Line::Differential(name)];
            equation.steps = if same { Vec::new() } else { steps };
            equation.level = Level::Normal;
        }
        Ok(())
    }

    /// For each linear node below a value that varies with the step, the impulse between them, if there is one: the line
    /// reads the node at that step only. `None` if a node is reached in several ways; its cotangent is their sum.
    fn impulses(&self, root: NodeId) -> Option<HashMap<NodeId, Option<Edge>>> {
        let mut found = HashMap::new();
        if self.tape.ty(root).rate != Rate::Step {
            return Some(found);
        }
        let mut pending = vec![(root, None)];
        while let Some((id, impulse)) = pending.pop() {
            match found.insert(id, impulse) {
                Some(other) if other != impulse => return None,
                Some(_) => continue,
                None if self.is_end(id) => continue,
                None => {}
            }
            let node = self.tape.node(id);
            let below = match node.op() {
                Op::Time(crate::op::Time::Impulse(own)) => impulse.or(Some(own.0)),
                _ => impulse,
            };
            let uses = self.graph.adjoints.iter().filter(|used| used.node == id);
            pending.extend(uses.filter_map(|used| Some((*node.args().get(used.arg)?, below))));
        }
        Some(found)
    }

    /// The contribution of the line of a value to each differential in it.
    fn contributions(&self, value: NodeId, root: NodeId) -> Result<Term> {
        if self.is_end(root) {
            // The line is a single differential, which receives the whole cotangent of the value.
            let whole = self.graph.tangents.get(&value);
            let mut uses = self.graph.adjoints.iter();
            let used = uses.find(|u| {
                Some(&u.node) == whole && self.tape.node(u.node).args().get(u.arg) == Some(&root)
            });
            let Some(used) = used else {
                return Ok(Term::Zero);
            };
            let at = now();
            let x_bar = self.reader.term(used.x_bar, &at)?;
            return Ok(inner(x_bar, self.reader.term(root, &at)?));
        }
        let Some(impulses) = self.impulses(root) else {
            return Ok(Term::Zero);
        };
        let region = self.linear_region(root);
        let mut parts = Vec::new();
        for used in &self.graph.adjoints {
            let Some(arg) = self.tape.node(used.node).args().get(used.arg).copied() else {
                continue;
            };
            if !region.contains(&used.node) || !self.is_end(arg) {
                continue;
            }
            let step = self.tape.ty(arg).rate == Rate::Step;
            let impulse = impulses.get(&arg).copied().flatten();
            // The variable of a sum over all steps at which the line reads the value.
            let over = match (self.tape.ty(root).rate, impulse) {
                (Rate::Step, None) => None,
                (Rate::Step, Some(_)) => Some('s'),
                _ => Some('t'),
            };
            let at = Some(over.map_or(Time::var('t'), Time::var)).filter(|_| step);
            let mut x_bar = self.reader.term(used.x_bar, &at)?;
            if let Some(edge) = impulse {
                let reached = Term::At(Time::var('t'), step_at(edge));
                x_bar = scale(vec![reached], Some(x_bar));
            }
            let part = self.reader.paired(x_bar, self.reader.term(arg, &at)?);
            parts.push(match over.filter(|_| step) {
                Some(var) => summed(Index::all(var), part),
                None => part,
            });
        }
        // The rules were applied from the end of the line to its beginning.
        Ok(add(paired(parts.into_iter().rev())))
    }
}

/// `⟨a, x⟩ − ⟨b, x⟩` as `⟨a − b, x⟩`.
fn paired(parts: impl Iterator<Item = Term>) -> Vec<Term> {
    let split = |part: &Term| match part.unsigned() {
        Term::Inner(a, x) if is_negative(part) => Some((neg((**a).clone()), (**x).clone())),
        Term::Inner(a, x) => Some(((**a).clone(), (**x).clone())),
        _ => None,
    };
    together(parts, |first, part| {
        let ((a, x), (b, y)) = (split(first)?, split(part)?);
        (x == y).then(|| inner(add([a, b]), x))
    })
}

/// The summand of a sum over all steps, or of an expression in such sums.
fn without_sum(term: &Term) -> Option<Term> {
    match term {
        Term::Over(Fold::Sum, index, body) if *index == Index::all('t') => Some((**body).clone()),
        Term::Neg(x) => without_sum(x).map(neg),
        Term::Add(parts) => {
            let bodies: Option<Vec<Term>> = parts.iter().map(without_sum).collect();
            Some(add(bodies?))
        }
        _ => None,
    }
}
