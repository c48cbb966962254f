//! Rewrites applied on insertion. They change no bit of any result in `f64`. Constants are folded
//! in `f64`, which is at least as accurate as folding them in `f32`.

use super::{Args, Node, Tape};
use crate::op::{Broadcast, Hold, Linear, NodeId, Op, Over, Pointwise, Scalar, Sum, Time};
use crate::shape::{Rate, Shape, Type};

impl Tape {
    /// A simpler or existing node equal to `op(args)`, if a rewrite applies.
    pub(super) fn simplify(&mut self, op: &Op, args: &[NodeId], ty: Type) -> Option<NodeId> {
        match op {
            Op::Time(Time::Hold(_)) if self.ty(args[0]) == ty => Some(args[0]),
            Op::Time(Time::Hold(_) | Time::Total(_)) => self.merge_rate_changes(op, args[0]),
            Op::Constant(_) | Op::Leaf(_) | Op::Read(_) | Op::Time(_) => None,
            Op::Pointwise(p) => self
                .fold_constants(*p, args, ty)
                .or_else(|| self.hoist(op, args, ty))
                .or_else(|| self.simplify_pointwise(*p, args)),
            Op::Linear(Linear::Transpose(_)) => match self.node(args[0]) {
                inner if inner.op == *op => Some(inner.args[0]),
                _ => self.hoist(op, args, ty),
            },
            Op::Linear(Linear::Concat(_)) if args.len() == 1 => Some(args[0]),
            Op::Linear(Linear::Slice(s)) => {
                let dims = self.ty(args[0]).shape.dims();
                let whole = dims.contains(&s.len) && self.ty(args[0]).shape == ty.shape;
                if whole {
                    Some(args[0])
                } else {
                    self.hoist(op, args, ty)
                }
            }
            Op::Linear(Linear::Sum(_) | Linear::Broadcast(_)) if self.ty(args[0]) == ty => {
                Some(args[0])
            }
            // The sum over a scattered scalar is the scalar.
            Op::Linear(Linear::Sum(Sum(Over::All))) => match self.node(args[0]) {
                inner if self.is_scattered_number(inner) => Some(inner.args[0]),
                _ => self.hoist(op, args, ty),
            },
            // An alias keeps its rate, because it is a named value or a state.
            Op::Linear(Linear::Alias(_)) => None,
            Op::Linear(_) | Op::Reduce(_) | Op::Dense(_) | Op::Declared(_) | Op::Custom(_) => {
                self.hoist(op, args, ty)
            }
        }
    }

    fn is_scattered_number(&self, node: &Node) -> bool {
        let is_scatter = matches!(node.op, Op::Linear(Linear::Scatter(_)));
        is_scatter && self.ty(node.args[0]).shape == Shape::Scalar
    }

    /// `hold(hold(x)) = hold(x)` and `total(total(x)) = total(x)`: two changes of rate are one.
    fn merge_rate_changes(&mut self, op: &Op, arg: NodeId) -> Option<NodeId> {
        let inner = self.node(arg);
        let same = matches!(
            (op, &inner.op),
            (Op::Time(Time::Hold(_)), Op::Time(Time::Hold(_)))
                | (Op::Time(Time::Total(_)), Op::Time(Time::Total(_)))
        );
        let args = inner.args.clone();
        same.then(|| self.push_valid(op.clone(), &args))
    }

    /// The argument of a hold and its rate; for any other node, the node and its rate.
    pub(super) fn held(&self, id: NodeId) -> (NodeId, Rate) {
        match self.node(id) {
            n if matches!(n.op, Op::Time(Time::Hold(_))) => (n.args[0], self.ty(n.args[0]).rate),
            n => (id, n.ty.rate),
        }
    }

    /// An op of held values becomes the held op of the values, so loop-invariant values are
    /// computed outside the loop.
    fn hoist(&mut self, op: &Op, args: &[NodeId], ty: Type) -> Option<NodeId> {
        let rate = args.iter().map(|a| self.held(*a).1).max()?;
        if rate >= ty.rate {
            return None;
        }
        let inner: Args = args
            .iter()
            .map(|a| match self.held(*a) {
                (id, r) if r == rate => id,
                (id, _) => self.push_valid(Hold(rate).into(), &[id]),
            })
            .collect();
        let inner = self.push_valid(op.clone(), &inner);
        Some(self.push_valid(Hold(ty.rate).into(), &[inner]))
    }

    /// The constant that fills every entry of a node, if there is one.
    pub(crate) fn fill(&self, mut id: NodeId) -> Option<f64> {
        loop {
            let node = self.node(id);
            match &node.op {
                Op::Constant(c) => return Some(c.value()),
                Op::Linear(Linear::Broadcast(Broadcast {
                    over: Over::All, ..
                }))
                | Op::Time(Time::Hold(_)) => id = node.args[0],
                _ => return None,
            }
        }
    }

    fn fold_constants(&mut self, op: Pointwise, args: &[NodeId], ty: Type) -> Option<NodeId> {
        let fills: Vec<f64> = args.iter().map(|a| self.fill(*a)).collect::<Option<_>>()?;
        let value: f64 = op.eval(&fills);
        if !value.is_finite() || f64::of(value).is_nan() {
            return None;
        }
        let mut id = self.push_valid(Op::constant(value), &[]);
        if ty.shape != Shape::Scalar {
            let broadcast = Broadcast {
                shape: ty.shape,
                over: Over::All,
            };
            id = self.push_valid(broadcast.into(), &[id]);
        }
        if ty.rate != Rate::Static {
            id = self.push_valid(Hold(ty.rate).into(), &[id]);
        }
        Some(id)
    }

    fn simplify_pointwise(&mut self, op: Pointwise, args: &[NodeId]) -> Option<NodeId> {
        let negated = |id: NodeId| match self.node(id) {
            n if n.op == Op::Pointwise(Pointwise::Neg) => Some(n.args[0]),
            _ => None,
        };
        let rewritten = match (op, args) {
            (Pointwise::Neg, [x]) => return negated(*x),
            (Pointwise::Add, [a, b]) => match (negated(*a), negated(*b)) {
                (_, Some(b)) => (Pointwise::Sub, [*a, b]),
                (Some(a), None) => (Pointwise::Sub, [*b, a]),
                (None, None) => return None,
            },
            (Pointwise::Sub, [a, b]) => (Pointwise::Add, [*a, negated(*b)?]),
            (Pointwise::Mul, [a, b]) => match (self.fill(*a), self.fill(*b)) {
                (Some(1.0), _) => return Some(*b),
                (_, Some(1.0)) => return Some(*a),
                (Some(-1.0), _) => return Some(self.push_valid(Pointwise::Neg.into(), &[*b])),
                (_, Some(-1.0)) => return Some(self.push_valid(Pointwise::Neg.into(), &[*a])),
                _ => return None,
            },
            (Pointwise::StrongMul, [a, b]) => match (self.fill(*a), self.fill(*b)) {
                // A product with a finite nonzero number is the plain product.
                (Some(x), _) | (_, Some(x)) if x != 0.0 && x.is_finite() => {
                    (Pointwise::Mul, [*a, *b])
                }
                (Some(x), _) if x.to_bits() == 0 => return Some(*a),
                (_, Some(x)) if x.to_bits() == 0 => return Some(*b),
                _ => return None,
            },
            _ => return None,
        };
        Some(self.push_valid(rewritten.0.into(), &rewritten.1))
    }
}
