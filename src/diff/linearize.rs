//! Forward mode: the tangent of every node, as nodes of the same graph.

use std::collections::HashMap;
use std::ops::Range;

use indexmap::IndexMap;

use crate::error::{Error, Result};
use crate::op::{Expr, NodeId, Op, RegisterId};
use crate::shape::Rate;
use crate::tape::{Node, Scope, Tape};

/// The linear graph: tangents and the registers that carry them.
#[derive(Debug)]
pub(crate) struct Linearization {
    /// The tangent of each node that has one; a missing tangent is zero for every seed.
    pub(crate) tangents: HashMap<NodeId, NodeId>,
    /// The tangent register of each register that has one.
    pub(crate) registers: IndexMap<RegisterId, RegisterId>,
    /// The ranges of nodes written by the tangents of custom ops, with the names of the ops. A
    /// tangent that is not linear is reported with this name.
    pub(crate) custom: Vec<(Range<usize>, String)>,
}

impl Linearization {
    pub(crate) fn tangent<'b>(&self, scope: &'b Scope, id: NodeId) -> Option<Expr<'b>> {
        self.tangents.get(&id).map(|t| scope.expr(*t))
    }

    /// The name of the custom op whose tangent contains this node, if any.
    pub(crate) fn author(&self, id: NodeId) -> Option<&str> {
        let written = self.custom.iter().find(|(r, _)| r.contains(&id.index()));
        written.map(|(_, op)| op.as_str())
    }
}

/// Writes the tangents of `targets` for perturbations of the nodes in `seeds`.
///
/// `seeds` maps a node to a leaf, its perturbation. If the node is a leaf of the graph, the
/// perturbation is its tangent. If it is an inner node, the perturbation is *injected*: added to
/// the tangent of the node.
///
/// # Errors
/// [`Error::CustomOp`] if the tangent of a custom op does not have the shape of its value.
pub(crate) fn linearize(
    scope: &Scope,
    seeds: &IndexMap<NodeId, NodeId>,
    targets: &[NodeId],
) -> Result<Linearization> {
    linearize_within(scope, seeds, targets, Within::Sequence)
}

/// The part of a graph that tangents pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// All of it.
    Sequence,
    /// The values that vary with the step, within one step; or, if a seed does not vary with the step, the values that do not.
    Step,
}

/// The same, within a part of the graph.
pub(crate) fn linearize_within(
    scope: &Scope,
    seeds: &IndexMap<NodeId, NodeId>,
    targets: &[NodeId],
    within: Within,
) -> Result<Linearization> {
    // The tape grows while it is read, so a copy of it is differentiated.
    let primal = scope.with(Tape::clone);
    let live = primal.live(targets.iter().copied());
    let (active, active_registers) = activity(&primal, seeds, &live, within);
    let mut result = Linearization {
        tangents: HashMap::new(),
        registers: IndexMap::new(),
        custom: Vec::new(),
    };
    for r in active_registers {
        let register = primal.register(r);
        let name = format!("{}.dot", register.name).into();
        let (tangent, read) = scope.register(name, register.direction, register.ty, None);
        result.registers.insert(r, tangent);
        if let (Some(node), Some(read)) = (primal.read_of(r), read.id()) {
            result.tangents.insert(node, read);
        }
    }
    for (id, node) in primal.nodes() {
        if !active[id.index()] {
            continue;
        }
        let own = match node.op {
            Op::Read(_) => result.tangent(scope, id),
            _ => {
                let x: Vec<Expr<'_>> = node.args.iter().map(|a| scope.expr(*a)).collect();
                let x_dot: Vec<_> = node
                    .args
                    .iter()
                    .map(|a| result.tangent(scope, *a))
                    .collect();
                if x_dot.iter().any(Option::is_some) {
                    let start = scope.with(Tape::len);
                    let tangent = checked(node, node.op.tangent(&x, scope.expr(id), &x_dot))?;
                    if let Op::Custom(_) = node.op {
                        let written = start..scope.with(Tape::len);
                        result.custom.push((written, node.op.name().into()));
                    }
                    tangent
                } else {
                    None
                }
            }
        };
        let seed = seeds.get(&id).map(|s| scope.expr(*s));
        if let Some(tangent) = Expr::sum_all(own.into_iter().chain(seed)).and_then(Expr::id) {
            result.tangents.insert(id, tangent);
        }
    }
    for (r, tangent) in &result.registers {
        let register = primal.register(*r);
        let carried = |id: Option<NodeId>| id.and_then(|id| result.tangent(scope, id));
        let init = carried(register.init).and_then(Expr::id);
        // A register can be active through its initial value alone; it then carries zeros.
        let def = carried(register.def).or_else(|| Some(scope.expr(register.def?).zeros_like()));
        if let Some(def) = def.and_then(|d| d.hold(Rate::Step).id()) {
            scope.set_register(*tangent, init, def);
        }
    }
    Ok(result)
}

/// Returns the tangent, or an error if a custom op gave it another shape than that of the value: a
/// scalar would silently be broadcast.
pub(super) fn checked<'b>(node: &Node, tangent: Option<Expr<'b>>) -> Result<Option<Expr<'b>>> {
    match tangent {
        Some(t) if t.shape() != Some(node.ty().shape) => Err(Error::CustomOp {
            op: node.op().name().into(),
            reason: "its tangent does not have the shape of its value".into(),
        }),
        fits => Ok(fits),
    }
}

/// The live nodes and registers that depend on a seed: the least fixpoint over the register edges.
fn activity(
    tape: &Tape,
    seeds: &IndexMap<NodeId, NodeId>,
    live: &[bool],
    within: Within,
) -> (Vec<bool>, Vec<RegisterId>) {
    let mut active = vec![false; tape.len()];
    let mut registers = vec![false; tape.registers().len()];
    let users = tape.users();
    let mut open: Vec<NodeId> = seeds.keys().copied().collect();
    while let Some(id) = open.pop() {
        if !live[id.index()] || std::mem::replace(&mut active[id.index()], true) {
            continue;
        }
        if within == Within::Step {
            let is_step = |id: NodeId| tape.ty(id).rate == Rate::Step;
            let users = users.of(id).iter().copied();
            open.extend(users.filter(|user| is_step(*user) == is_step(id)));
            continue;
        }
        open.extend_from_slice(users.of(id));
        for r in tape.registers_at(id) {
            if !std::mem::replace(&mut registers[r.index()], true) {
                open.extend(tape.read_of(r));
            }
        }
    }
    let found = (0..registers.len())
        .filter(|i| registers[*i])
        .map(RegisterId::new);
    (active, found.collect())
}
