//! The steps and samples whose terms count in a loss.

use std::collections::{BTreeSet, HashMap};

use super::Recurrence;
use crate::op::{Expr, Linear, NodeId, Op, Pointwise, Time};
use crate::shape::Rate;
use crate::tape::{Role, Scope, Tape};

/// A weight that is zero where a term is zero for all parameters: where a mask is 0, at the steps that a `select`
/// excludes, at all steps but the last of a final loss. A term that happens to be zero counts.
pub(super) struct Weights<'a, 'b> {
    tape: &'a Tape,
    scope: &'b Scope,
    /// For each node, true if it depends on a parameter.
    fitted: Vec<bool>,
    /// The weights known so far; `None` is a positive number.
    known: HashMap<NodeId, Option<Expr<'b>>>,
}

impl<'a, 'b> Weights<'a, 'b> {
    pub(super) fn new(recurrence: &'a Recurrence, scope: &'b Scope) -> Self {
        Self {
            tape: &recurrence.tape,
            scope,
            fitted: fitted(&recurrence.tape),
            known: HashMap::new(),
        }
    }

    /// The weight of the sum of these terms at this rate.
    pub(super) fn of_sum(&mut self, terms: &[NodeId], rate: Rate) -> Option<Expr<'b>> {
        let ones = |this: &Self| {
            let first = this.scope.expr(*terms.first()?);
            Some(first.constant(1.0).hold(rate))
        };
        let mut sum: Option<Expr<'b>> = None;
        for term in terms {
            let Some(weight) = self.of(*term) else {
                return ones(self);
            };
            let weight = match weight.rate() > Some(rate) {
                true => weight.total(rate),
                false => weight.hold(rate),
            };
            sum = Some(sum.map_or(weight, |sum| sum + weight));
        }
        sum
    }

    /// The weight of a node. The nesting of terms is not bounded, so its parts are listed first.
    fn of(&mut self, id: NodeId) -> Option<Expr<'b>> {
        let (mut parts, mut left) = (BTreeSet::new(), vec![id]);
        while let Some(id) = left.pop() {
            if !self.known.contains_key(&id) && parts.insert(id) {
                left.extend(self.parts(id));
            }
        }
        // The arguments of a node come before it.
        for part in parts {
            let weight = self.weight(part);
            self.known.insert(part, weight);
        }
        self.known.get(&id).copied().flatten()
    }

    /// The arguments whose weights determine that of the node.
    fn parts(&self, id: NodeId) -> &'a [NodeId] {
        let node = self.tape.node(id);
        let args = node.args();
        match node.op() {
            Op::Pointwise(op) if op.signs().is_some() => args,
            Op::Pointwise(Pointwise::Mul | Pointwise::StrongMul) => args,
            Op::Pointwise(
                Pointwise::Div | Pointwise::Square | Pointwise::Abs | Pointwise::Powi(1..),
            ) => &args[..1],
            Op::Linear(Linear::Select(_)) => &args[1..],
            Op::Linear(Linear::Sum(_) | Linear::Broadcast(_) | Linear::Slice(_)) => args,
            Op::Linear(Linear::Alias(_)) | Op::Time(_) => args,
            _ => &[],
        }
    }

    fn weight(&self, id: NodeId) -> Option<Expr<'b>> {
        let node = self.tape.node(id);
        let of = |id: &NodeId| self.known.get(id).copied().flatten();
        let like = |id: &NodeId| of(id).unwrap_or_else(|| self.one(*id));
        let parts = self.parts(id);
        match (node.op(), parts) {
            (Op::Constant(_), _) => (constant(node.op()) == Some(0.0)).then(|| self.scope.expr(id)),
            (Op::Pointwise(Pointwise::Mul | Pointwise::StrongMul), [a, b]) => {
                match (self.factor(*a), self.factor(*b)) {
                    (Some(a), Some(b)) => Some(a * b),
                    (a, b) => a.or(b),
                }
            }
            (Op::Pointwise(op), [a]) if *op != Pointwise::Neg => self.factor(*a),
            (Op::Pointwise(_), [first, rest @ ..]) => {
                let mut sum = of(first)?;
                for part in rest {
                    sum = sum + of(part)?;
                }
                Some(sum)
            }
            (Op::Linear(Linear::Select(_)), [yes, no]) => {
                if of(yes).is_none() && of(no).is_none() {
                    return None;
                }
                let condition = self.scope.expr(node.args()[0]);
                Some(condition.select(like(yes), like(no)))
            }
            (Op::Time(Time::Impulse(_)), [x]) => Some(Expr::apply(node.op().clone(), &[like(x)])),
            (Op::Linear(Linear::Alias(_)), [x]) => of(x),
            (op @ (Op::Linear(_) | Op::Time(_)), [x]) => Some(Expr::apply(op.clone(), &[of(x)?])),
            _ => None,
        }
    }

    /// The weight of a factor. A factor without parameters excludes the entries where it is zero.
    fn factor(&self, id: NodeId) -> Option<Expr<'b>> {
        let is_data = !self.fitted[id.index()] && constant(self.tape.node(id).op()).is_none();
        match is_data {
            true => Some(self.scope.expr(id).sign().square()),
            false => self.known.get(&id).copied().flatten(),
        }
    }

    /// Ones of the shape and rate of a node.
    fn one(&self, id: NodeId) -> Expr<'b> {
        let like = self.scope.expr(id);
        let ones = like.full_like(1.0);
        like.rate().map_or(ones, |rate| ones.hold(rate))
    }
}

fn constant(op: &Op) -> Option<f64> {
    match op {
        Op::Constant(value) => Some(value.value()),
        _ => None,
    }
}

/// For each node, true if it depends on a parameter, also through registers.
fn fitted(tape: &Tape) -> Vec<bool> {
    let mut users: Vec<Vec<NodeId>> = vec![Vec::new(); tape.len()];
    for (id, node) in tape.nodes() {
        let mut uses = node.args().to_vec();
        if let Op::Read(r) = node.op() {
            let register = tape.register(*r);
            uses.extend(register.init.into_iter().chain(register.def));
        }
        for used in uses {
            users[used.index()].push(id);
        }
    }
    let parameters = tape.leaves().iter().filter(|l| l.role() == Role::Parameter);
    let mut left: Vec<NodeId> = parameters.map(|leaf| leaf.node).collect();
    let mut fitted = vec![false; tape.len()];
    while let Some(id) = left.pop() {
        if !std::mem::replace(&mut fitted[id.index()], true) {
            left.extend(&users[id.index()]);
        }
    }
    fitted
}
