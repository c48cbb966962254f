//! Checks of the invariants of a tape. They run on every finished recurrence.

use super::Tape;
use crate::op::Op;
use crate::shape::{Rate, Type};

impl Tape {
    /// A message for each violated invariant; empty for a valid tape.
    pub(crate) fn verify(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, node) in self.nodes() {
            if node.args.iter().any(|a| *a >= id) {
                wrong.push(format!("%{} uses a later node", id.index()));
                continue;
            }
            let types: Vec<Type> = node.args.iter().map(|a| self.ty(*a)).collect();
            let expected = match node.op {
                Op::Leaf(leaf) => Ok(self.leaf(leaf).ty),
                Op::Read(register) => Ok(self.register(register).ty),
                _ => node.op.infer(&types),
            };
            if expected != Ok(node.ty) {
                wrong.push(format!(
                    "%{} is typed {:?}, expected {expected:?}",
                    id.index(),
                    node.ty
                ));
            }
        }
        for register in self.registers() {
            let Some(def) = register.def else {
                wrong.push(format!("state `{}` has no next value", register.name));
                continue;
            };
            if self.ty(def) != register.ty {
                wrong.push(format!("register `{}` carries another type", register.name));
            }
            if register
                .init
                .is_some_and(|i| self.ty(i) != register.ty.at(Rate::Sample))
            {
                wrong.push(format!(
                    "register `{}` starts with another type",
                    register.name
                ));
            }
        }
        if wrong.is_empty() {
            wrong.extend(self.components().iter().filter_map(|c| self.obstacle(c)));
        }
        wrong
    }

    /// Returns true if every value is static and of fixed shape, and there are no registers. Only
    /// such a tape can be evaluated node by node.
    pub(crate) fn is_flat(&self) -> bool {
        self.registers.is_empty()
            && self
                .nodes
                .iter()
                .all(|n| n.ty.rate == Rate::Static && n.ty.shape.as_fixed().is_some())
    }

    /// Panics in debug builds if the tape is not flat.
    pub(crate) fn assert_flat(&self) {
        debug_assert!(
            self.is_flat(),
            "an unrolled tape has no time ops, registers or named sizes"
        );
    }
}
