//! The dependence of outputs on leaves, by the structure of the graph.

use super::Recurrence;
use crate::op::{NodeId, Op};
use crate::tape::{Leaf, Tape};

/// The dependence of some outputs on a parameter or an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Influence {
    /// The outputs do not depend on the leaf.
    None,
    /// The leaf is only compared or used as the condition of a `select`, as resets and masks are: the
    /// derivative of the outputs is zero wherever it exists.
    Condition,
    /// The outputs may have a derivative with respect to the leaf.
    Real,
}

impl Recurrence {
    /// The influence of each leaf on the roots, in order of declaration.
    pub(crate) fn influences(&self, roots: &[NodeId]) -> Vec<Influence> {
        let used = self.tape.live(roots.iter().copied());
        let varied = varied(&self.tape, roots);
        let is_mask = |leaf: &Leaf| self.tape.masks().any(|mask| *mask == leaf.name);
        let of = |leaf: &Leaf| match leaf.node.index() {
            i if !used[i] => Influence::None,
            // A mask changes what the other inputs are read as, even if it is also a number.
            i if !varied[i] || is_mask(leaf) => Influence::Condition,
            _ => Influence::Real,
        };
        self.tape.leaves().iter().map(of).collect()
    }

    /// For each leaf, true if the derivative of the roots with respect to it uses the rule of a custom op that
    /// is not in `except`.
    pub(crate) fn uses_rules(&self, roots: &[NodeId], except: &[Op]) -> Vec<bool> {
        let varied_by_roots = varied(&self.tape, roots);
        let custom = self.tape.nodes().filter(|(id, node)| {
            let op = node.op();
            varied_by_roots[id.index()] && matches!(op, Op::Custom(_)) && !except.contains(op)
        });
        let custom: Vec<NodeId> = custom.map(|(id, _)| id).collect();
        let behind = varied(&self.tape, &custom);
        let leaves = self.tape.leaves().iter();
        leaves.map(|leaf| behind[leaf.node.index()]).collect()
    }

    /// The real leaves except conditions: some output may have a derivative with respect to them, or no output
    /// uses them.
    pub(super) fn real_leaves(&self) -> impl Iterator<Item = &Leaf> {
        let roots: Vec<NodeId> = self.outputs.values().copied().collect();
        let leaves = self.tape.leaves().iter().zip(self.influences(&roots));
        leaves
            .filter(|(leaf, influence)| leaf.ty.is_real() && *influence != Influence::Condition)
            .map(|(leaf, _)| leaf)
    }
}

/// The nodes on which the roots depend through differentiable arguments, across registers as well.
fn varied(tape: &Tape, roots: &[NodeId]) -> Vec<bool> {
    let mut varied = vec![false; tape.len()];
    let mut stack = roots.to_vec();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut varied[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        let args = node.args.iter().enumerate();
        stack.extend(
            args.filter(|(i, _)| !node.op.is_constant_in(*i))
                .map(|(_, a)| *a),
        );
        if let Op::Read(r) = node.op {
            let register = tape.register(r);
            stack.extend(register.init);
            stack.extend(register.def);
        }
    }
    varied
}
