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
    /// The tangent of each node that has one; a node without is constant along every seed.
    pub(crate) tangents: HashMap<NodeId, NodeId>,
    /// The tangent register of each register that has one.
    pub(crate) registers: IndexMap<RegisterId, RegisterId>,
    /// The nodes that were written as the tangent of a custom op, and its name: should they not
    /// be linear, it is to blame.
    pub(crate) custom: Vec<(Range<usize>, String)>,
}

impl Linearization {
    pub(crate) fn tangent<'b>(&self, scope: &'b Scope, id: NodeId) -> Option<Expr<'b>> {
        self.tangents.get(&id).map(|t| scope.expr(*t))
    }

    /// The custom op whose tangent a node belongs to.
    pub(crate) fn author(&self, id: NodeId) -> Option<&str> {
        let written = self.custom.iter().find(|(r, _)| r.contains(&id.index()));
        written.map(|(_, op)| op.as_str())
    }
}

/// Writes the tangents of `targets` for perturbations of the nodes in `seeds`.
///
/// `seeds` maps a node to the leaf that is its perturbation. For a leaf of the graph that is its
/// tangent; for an inner node it is *injected*, added to the tangent that the node has anyway.
///
/// # Errors
/// [`Error::CustomOp`] when a custom op's tangent has another shape than its value.
pub(crate) fn linearize(
    scope: &Scope,
    seeds: &IndexMap<NodeId, NodeId>,
    targets: &[NodeId],
) -> Result<Linearization> {
    // The tape grows while it is read, so what is differentiated is a copy of it.
    let primal = scope.with(Tape::clone);
    let live = primal.live(targets.iter().copied());
    let (active, active_registers) = activity(&primal, seeds, &live);
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

/// The tangent of a node, refused where a custom op gave one of another shape: a scalar would be
/// spread over the rest of the expression without a word.
pub(super) fn checked<'b>(node: &Node, tangent: Option<Expr<'b>>) -> Result<Option<Expr<'b>>> {
    match tangent {
        Some(t) if t.shape() != Some(node.ty().shape) => Err(Error::CustomOp {
            op: node.op().name().into(),
            reason: "its tangent does not have the shape of its value".into(),
        }),
        fits => Ok(fits),
    }
}

/// Which live nodes and registers depend on a seed: the least fixpoint over the register edges.
fn activity(
    tape: &Tape,
    seeds: &IndexMap<NodeId, NodeId>,
    live: &[bool],
) -> (Vec<bool>, Vec<RegisterId>) {
    let mut active = vec![false; tape.len()];
    let mut registers = vec![false; tape.registers().len()];
    let users = tape.users();
    let mut open: Vec<NodeId> = seeds.keys().copied().collect();
    while let Some(id) = open.pop() {
        if !live[id.index()] || std::mem::replace(&mut active[id.index()], true) {
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
