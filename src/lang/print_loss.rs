//! The losses of a printed recurrence.

use std::collections::HashSet;

use super::print::Printer;
use super::print_expr::Writer;
use crate::op::{Edge, NodeId, Op, Pick, Pointwise, Time, Total};
use crate::recurrence::LOSS;
use crate::shape::Rate;

impl Printer<'_> {
    /// The terms of a sum, from left to right.
    pub(super) fn loss_terms(&self, id: NodeId) -> Vec<NodeId> {
        let mut terms = Vec::new();
        let mut left = id;
        while self.tape.node(left).op == Op::Pointwise(Pointwise::Add) {
            let args = &self.tape.node(left).args;
            terms.push(args[1]);
            left = args[0];
        }
        terms.push(left);
        terms.reverse();
        // A sum without a total over steps or samples is a single loss term.
        let counted = |id: &NodeId| {
            let node = self.tape.node(*id);
            let total = |id: NodeId| matches!(self.tape.node(id).op, Op::Time(Time::Total(_)));
            total(*id) || (node.op == Op::Pointwise(Pointwise::Div) && total(node.args[0]))
        };
        if terms.iter().any(counted) {
            terms
        } else {
            vec![id]
        }
    }

    /// The additions that join the loss terms. They have no statement, so a value shared by two of them is not
    /// counted twice.
    pub(super) fn loss_sums(&self) -> HashSet<NodeId> {
        let loss = self.recurrence.output(LOSS).ok();
        let left = |id: &NodeId| self.tape.node(*id).args.first().copied();
        let terms = self.losses.len().saturating_sub(1);
        std::iter::successors(loss, left).take(terms).collect()
    }

    pub(super) fn loss(&self, term: NodeId, writer: &Writer<'_>) -> Result<String, String> {
        let (words, value) = self.loss_parts(term);
        Ok(format!("{words} {}", writer.value(value)?))
    }

    /// The keywords of a loss statement and its value.
    pub(super) fn loss_parts(&self, term: NodeId) -> (&'static str, NodeId) {
        let total = |id: NodeId| {
            let node = self.tape.node(id);
            (node.op == Op::Time(Time::Total(Total(Rate::Static)))).then(|| node.args[0])
        };
        let last = |id: NodeId| {
            let node = self.tape.node(id);
            let last = node.op == Op::Time(Time::Pick(Pick(Edge::Last)));
            last.then(|| node.args[0])
        };
        let node = self.tape.node(term);
        let (mut words, mut value) = ("loss", term);
        if let Some(inner) = total(term) {
            value = inner;
        } else if node.op == Op::Pointwise(Pointwise::Div)
            && let (Some(sum), Some(count)) = (total(node.args[0]), total(node.args[1]))
            && self.tape.fill(count) == Some(1.0)
            && self.tape.ty(count) == self.tape.ty(sum)
        {
            (words, value) = ("mean loss", sum);
        }
        if value != term
            && self.is_inline(value)
            && let Some(inner) = last(value)
        {
            words = match words {
                "loss" => "final loss",
                _ => "mean final loss",
            };
            value = inner;
        }
        (words, value)
    }
}
