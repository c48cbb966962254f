//! The dependence of outputs on leaves, by the structure of the graph.

use super::Recurrence;
use crate::error::Result;
use crate::op::{NodeId, Op};
use crate::tape::{Leaf, Role, Tape};

/// The dependence of some outputs on a parameter or an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Influence {
    /// The outputs do not depend on the leaf.
    None,
    /// The leaf is only compared or used as the condition of a `select`, as resets and masks are: the
    /// derivative of the outputs is zero wherever it exists.
    Condition,
    /// The leaf is only used in values that `stop_gradient` or `surrogate` takes as constant.
    Stopped,
    /// The outputs may have a derivative with respect to the leaf.
    Real,
}

impl Influence {
    /// The outputs depend on the leaf, but their derivative with respect to it is zero everywhere.
    const fn is_constant(self) -> bool {
        matches!(self, Self::Condition | Self::Stopped)
    }
}

impl Recurrence {
    /// The parameters that the loss depends on, but whose gradient is zero wherever it exists: they occur only in comparisons and conditions,
    /// in `floor`, `ceil` and `sign`, or in values that `stop_gradient` or `surrogate` takes as constant. An optimiser
    /// leaves them as they are.
    ///
    /// ```
    /// use bptt::Recurrence;
    /// let r = Recurrence::parse("r.rec", "input x\nparam threshold, a\nloss a * (x > threshold)\n")?;
    /// assert_eq!(r.parameters_without_gradient()?, ["threshold"]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the recurrence has no loss.
    pub fn parameters_without_gradient(&self) -> Result<Vec<&str>> {
        let influences = self.influences(&[self.loss()?]);
        let leaves = self.tape.leaves().iter().zip(influences);
        let parameters = leaves.filter(|(leaf, _)| leaf.role == Role::Parameter);
        let constant = parameters.filter(|(_, influence)| influence.is_constant());
        Ok(constant.map(|(leaf, _)| leaf.name()).collect())
    }

    /// The parameters and inputs that only choose: the loss depends on them through comparisons and conditions alone, as
    /// on masks and resets. Classes, and the numbers of classes, are not among them.
    ///
    /// ```
    /// use bptt::Recurrence;
    /// let text = "input x, m\nparam a\nloss select(m > 0, a * x, 0)\n";
    /// let r = Recurrence::parse("r.rec", text)?;
    /// assert_eq!(r.conditions()?, ["m"]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the recurrence has no loss.
    pub fn conditions(&self) -> Result<Vec<&str>> {
        let influences = self.influences(&[self.loss()?]);
        let leaves = self.tape.leaves().iter().zip(influences);
        let chosen = leaves.filter(|(leaf, influence)| {
            leaf.ty.is_real() && leaf.classes.is_none() && *influence == Influence::Condition
        });
        Ok(chosen.map(|(leaf, _)| leaf.name()).collect())
    }

    /// The parameters on which a value of the loss with a declared derivative depends.
    pub(crate) fn parameters_declared(&self) -> Result<Vec<String>> {
        let live = self.tape.live([self.loss()?]);
        let declared = |id: NodeId, op: &Op| live[id.index()] && matches!(op, Op::Declared(_));
        let nodes = self
            .tape
            .nodes()
            .filter(|(id, node)| declared(*id, node.op()));
        let args: Vec<NodeId> = nodes.flat_map(|(_, node)| node.args().to_vec()).collect();
        let behind = self.tape.live(args);
        let leaves = self.tape.leaves().iter();
        let parameters = leaves.filter(|leaf| leaf.role == Role::Parameter);
        let found = parameters.filter(|leaf| behind[leaf.node.index()]);
        Ok(found.map(|leaf| leaf.name().to_owned()).collect())
    }

    /// The influence of each leaf on the roots, in order of declaration.
    pub(crate) fn influences(&self, roots: &[NodeId]) -> Vec<Influence> {
        let used = self.tape.live(roots.iter().copied());
        let varied = varied(&self.tape, roots);
        let declared = |op: &Op, i| op.is_constant_in(i) && !matches!(op, Op::Declared(_));
        let without_stops = varied_by(&self.tape, roots, declared);
        let is_mask = |leaf: &Leaf| self.tape.masks().any(|mask| *mask == leaf.name);
        let of = |leaf: &Leaf| match leaf.node.index() {
            i if !used[i] => Influence::None,
            // A mask changes what the other inputs are read as, even if it is also a number.
            _ if is_mask(leaf) || leaf.classes.is_some() => Influence::Condition,
            i if !varied[i] && without_stops[i] => Influence::Stopped,
            i if !varied[i] => Influence::Condition,
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
            .filter(|(leaf, influence)| {
                leaf.ty.is_real() && leaf.classes.is_none() && !influence.is_constant()
            })
            .map(|(leaf, _)| leaf)
    }
}

/// The nodes on which the roots depend through differentiable arguments, across registers as well.
fn varied(tape: &Tape, roots: &[NodeId]) -> Vec<bool> {
    varied_by(tape, roots, Op::is_constant_in)
}

/// The same, for another notion of a constant argument.
fn varied_by(
    tape: &Tape,
    roots: &[NodeId],
    is_constant_in: impl Fn(&Op, usize) -> bool,
) -> Vec<bool> {
    let mut varied = vec![false; tape.len()];
    let mut stack = roots.to_vec();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut varied[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        let args = node.args.iter().enumerate();
        stack.extend(
            args.filter(|(i, _)| !is_constant_in(&node.op, *i))
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
