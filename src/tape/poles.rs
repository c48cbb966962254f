//! Which values can be infinite or NaN though all data are finite.
//!
//! An op with a pole (`ln`, `/`, `exp`, …) makes one, and everything computed from such a value may
//! be one too, a step later as well. Overflow of sums and products does not count. Derivatives treat
//! such factors with care: see `Expr::applied_to`.

use super::Tape;
use crate::op::{NodeId, Op, RegisterId};

impl Tape {
    /// Whether the value of a node can be infinite or NaN though all data are finite.
    pub(crate) fn has_pole(&self, id: NodeId) -> bool {
        self.poles[id.index()]
    }

    /// The same for the node at `index`, from its arguments.
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
                    .map(|(pole, a)| (pole, self.fill(*a)))
                    .collect();
                op.has_pole(&args)
            }
            Op::Linear(_) | Op::Reduce(_) | Op::Time(_) => args().any(|pole| pole),
            // Nothing is known about a user's function.
            Op::Custom(_) => true,
        }
    }

    /// Passes on what a register now carries.
    pub(super) fn spread_poles(&mut self, id: RegisterId) {
        let register = self.register(id);
        let mut changed = register
            .init
            .into_iter()
            .chain(register.def)
            .any(|n| self.has_pole(n));
        while changed {
            changed = false;
            for index in 0..self.nodes.len() {
                if !self.poles[index] && self.finds_pole(index) {
                    self.poles[index] = true;
                    changed = true;
                }
            }
        }
    }
}
