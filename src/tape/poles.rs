//! The values that can be infinite or NaN for finite data.
//!
//! An op with a pole (`ln`, `/`, `exp`, …) makes such a value, and so can every op and register
//! that depends on it. Overflow of sums and products does not count. Derivatives multiply by such
//! factors with care: see `Expr::applied_to`.

use super::Tape;
use crate::op::{Linear, NodeId, Op, Pointwise, RegisterId, Time};

impl Tape {
    /// Returns true if the value of a node can be infinite or NaN for finite data.
    pub(crate) fn has_pole(&self, id: NodeId) -> bool {
        self.poles[id.index()]
    }

    /// Gives a leaf the pole and the flag of the value of another tape that it stands for.
    pub(crate) fn stands_for(&mut self, leaf: NodeId, other: &Self, value: NodeId) {
        self.poles[leaf.index()] = other.has_pole(value);
        self.flags[leaf.index()] = other.is_flag(value);
    }

    /// Derives [`has_pole`](Self::has_pole) of the node at `index` from its op and its arguments.
    pub(super) fn finds_pole(&self, index: usize) -> bool {
        let node = self.node(NodeId::new(index));
        let args = || node.args.iter().map(|a| self.has_pole(*a));
        match &node.op {
            Op::Constant(c) => !c.value().is_finite(),
            Op::Leaf(_) => false,
            Op::Read(r) => {
                let register = self.register(*r);
                let mut carried = register.init.into_iter().chain(register.def);
                carried.any(|id| self.has_pole(id))
            }
            Op::Pointwise(op) => {
                let args: Vec<(bool, Option<f64>)> = args()
                    .zip(&node.args)
                    .map(|(pole, a)| (pole, self.multiple_of(*a)))
                    .collect();
                op.has_pole(&args)
            }
            Op::Linear(_) | Op::Reduce(_) | Op::Time(_) | Op::Declared(_) => {
                args().any(|pole| pole)
            }
            Op::Dense(op) => op.has_pole() || args().any(|pole| pole),
            // The function of a custom op is unknown.
            Op::Custom(_) => true,
        }
    }

    /// The constant of which every entry is a multiple, as of a size that is used as a number; a quotient by it has
    /// no pole.
    fn multiple_of(&self, mut id: NodeId) -> Option<f64> {
        loop {
            let node = self.node(id);
            match &node.op {
                Op::Constant(c) => return Some(c.value()),
                Op::Linear(Linear::Broadcast(_) | Linear::Sum(_)) | Op::Time(Time::Hold(_)) => {
                    id = node.args[0];
                }
                _ => return None,
            }
        }
    }

    /// Returns true if a value is exactly zero in a whole region: a comparison, a product with one, or a sum of
    /// them. It is a factor of the derivatives of `max`, `min`, `relu` and of choices written as products.
    pub(crate) fn is_flag(&self, id: NodeId) -> bool {
        self.flags[id.index()]
    }

    /// Derives [`is_flag`](Self::is_flag) of the node at `index` from its op and its arguments.
    pub(super) fn finds_flag(&self, index: usize) -> bool {
        let node = self.node(NodeId::new(index));
        let mut args = node.args.iter().map(|a| self.is_flag(*a));
        match &node.op {
            Op::Pointwise(op) if op.is_comparison() => true,
            Op::Pointwise(Pointwise::Mul) => args.any(|flag| flag),
            Op::Pointwise(op) => op.signs().is_some() && args.all(|flag| flag),
            Op::Time(Time::Hold(_)) | Op::Linear(Linear::Alias(_) | Linear::Broadcast(_)) => {
                args.all(|flag| flag)
            }
            _ => false,
        }
    }

    /// Propagates the poles of the initial value and the definition of a register to its read and
    /// onwards.
    pub(super) fn spread_poles(&mut self, id: RegisterId) {
        let mut open: Vec<NodeId> = self.read_of(id).into_iter().collect();
        if !open.iter().any(|read| self.gets_pole(*read)) {
            return;
        }
        // The lists of users are built on first use, because most tapes do not need them.
        let mut users = std::mem::take(&mut self.users);
        users.update(self);
        while let Some(node) = open.pop() {
            if !self.gets_pole(node) {
                continue;
            }
            self.poles[node.index()] = true;
            open.extend_from_slice(users.of(node));
            let registers = self.registers_at(node);
            open.extend(registers.filter_map(|r| self.read_of(r)));
        }
        self.users = users;
    }

    fn gets_pole(&self, id: NodeId) -> bool {
        !self.has_pole(id) && self.finds_pole(id.index())
    }
}
