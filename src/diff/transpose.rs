//! Reverse mode as the transpose of a linear graph.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Linearization, accumulate};
use crate::error::{Error, Result};
use crate::op::{Edge, Expr, NodeId, Op, RegisterId};
use crate::tape::{Direction, Node, Scope, Tape};

/// One use of a transpose rule: the cotangent `y_bar` of a linear node and its contribution `x_bar`
/// to the cotangent of argument `arg`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "derive"),
    allow(dead_code, reason = "derivations read it")
)]
pub(crate) struct Adjoint {
    pub(crate) node: NodeId,
    pub(crate) arg: usize,
    pub(crate) y_bar: NodeId,
    pub(crate) x_bar: NodeId,
}

/// The cotangents, and the uses of transpose rules that built them, in order.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "derive"),
    allow(dead_code, reason = "derivations read it")
)]
pub(crate) struct Transposition {
    pub(crate) cotangents: HashMap<NodeId, NodeId>,
    /// For each primal register with a cotangent, the register that carries the cotangent.
    pub(crate) registers: HashMap<RegisterId, RegisterId>,
    pub(crate) adjoints: Vec<Adjoint>,
}

/// Writes the cotangents of the seeds, from the cotangents of some tangents.
///
/// `outputs` pairs linear nodes with their cotangents; `seeds` are leaves of the linear graph. The
/// result has no entry for a seed that no output depends on: its cotangent is zero.
///
/// # Errors
/// [`Error::CustomOp`] if the tangent of a custom op is not linear in the given tangents.
pub(crate) fn transpose(
    scope: &Scope,
    linear: &Linearization,
    outputs: &[(NodeId, NodeId)],
    seeds: &[NodeId],
) -> Result<Transposition> {
    let tape = scope.with(Tape::clone);
    let mut adjoints = Vec::new();
    let order = linear_order(&tape, linear, outputs, seeds);
    let mut cotangents: Vec<Option<Expr<'_>>> = vec![None; tape.len()];
    for (node, y_bar) in outputs {
        accumulate(&mut cotangents[node.index()], scope.expr(*y_bar));
    }
    // A delay becomes an advance: the value read at t + 1 is the definition at t, so the cotangent
    // of the read at t + 1 is added to that of the definition at t.
    let mut transposed: IndexMap<RegisterId, RegisterId> = IndexMap::new();
    let primals: HashMap<RegisterId, RegisterId> = linear
        .registers
        .iter()
        .map(|(r, tangent)| (*tangent, *r))
        .collect();
    let mut registers = HashMap::new();
    for id in order.keys() {
        let Op::Read(r) = tape.node(*id).op else {
            continue;
        };
        let register = tape.register(r);
        let direction = register.direction.reversed();
        let primal = primals[&r];
        let name = format!("{}.bar", tape.register(primal).name()).into();
        let (opposite, read) = scope.register(name, direction, register.ty, None);
        transposed.insert(r, opposite);
        registers.insert(primal, opposite);
        if let Some(def) = register.def {
            accumulate(&mut cotangents[def.index()], read);
        }
    }
    for (id, active) in order.iter().rev() {
        let Some(y_bar) = cotangents[id.index()] else {
            continue;
        };
        let node = tape.node(*id);
        if let Op::Read(r) = node.op {
            let register = tape.register(r);
            if let Some(def) = y_bar.id() {
                scope.set_register(transposed[&r], None, def);
            }
            if let Some(init) = register.init {
                let x_bar = match register.direction {
                    Direction::Forward => y_bar.pick(Edge::First),
                    Direction::Backward => y_bar.pick(Edge::Last),
                };
                accumulate(&mut cotangents[init.index()], x_bar);
            }
            continue;
        }
        if !node.op.is_linear_in(active) {
            return Err(not_linear(&tape, linear, *id));
        }
        let x: Vec<Expr<'_>> = node.args.iter().map(|a| scope.expr(*a)).collect();
        for i in (0..x.len()).filter(|i| active[*i]) {
            let x_bar = node.op.transpose(i, &x, scope.expr(*id), y_bar);
            if let Op::Custom(_) = node.op {
                check_custom(node, x_bar, x[i])?;
            }
            if let Some(x_bar) = x_bar {
                if let (Some(y_bar), Some(x_bar)) = (y_bar.id(), x_bar.id()) {
                    adjoints.push(Adjoint {
                        node: *id,
                        arg: i,
                        y_bar,
                        x_bar,
                    });
                }
                accumulate(&mut cotangents[node.args[i].index()], x_bar);
            }
        }
    }
    let found = seeds
        .iter()
        .filter_map(|seed| Some((*seed, cotangents[seed.index()]?.id()?)));
    Ok(Transposition {
        cotangents: found.collect(),
        registers,
        adjoints,
    })
}

/// Returns an error unless the transpose of a custom op exists and has the shape of the argument.
fn check_custom(node: &Node, x_bar: Option<Expr<'_>>, x: Expr<'_>) -> Result<()> {
    let reason = match x_bar {
        Some(x_bar) if x_bar.shape() == x.shape() => return Ok(()),
        Some(_) => "its transpose does not have the shape of its argument",
        None => "it says that it is linear, but gives no transpose",
    };
    Err(Error::CustomOp {
        op: node.op.name().into(),
        reason: reason.into(),
    })
}

/// The linear nodes that the outputs depend on, in topological order (a read also depends on the
/// initial value of its register). Each node comes with a flag per argument: true if the argument
/// is a linear node.
fn linear_order(
    tape: &Tape,
    linear: &Linearization,
    outputs: &[(NodeId, NodeId)],
    seeds: &[NodeId],
) -> IndexMap<NodeId, Vec<bool>> {
    let mut is_linear = vec![false; tape.len()];
    for seed in seeds {
        is_linear[seed.index()] = true;
    }
    for tangent in linear.registers.values() {
        if let Some(read) = tape.read_of(*tangent) {
            is_linear[read.index()] = true;
        }
    }
    for (id, node) in tape.nodes() {
        is_linear[id.index()] |= node.args.iter().any(|a| is_linear[a.index()]);
    }
    let live = tape.live(outputs.iter().map(|(node, _)| *node));
    let mut order = IndexMap::new();
    let mut stack: Vec<(NodeId, bool)> = Vec::new();
    for (root, _) in tape
        .nodes()
        .filter(|(id, _)| live[id.index()] && is_linear[id.index()])
    {
        stack.push((root, false));
        while let Some((id, computed)) = stack.pop() {
            if order.contains_key(&id) {
                continue;
            }
            let node = tape.node(id);
            if computed {
                let active = node.args.iter().map(|a| is_linear[a.index()]).collect();
                order.insert(id, active);
                continue;
            }
            stack.push((id, true));
            let init = match node.op {
                Op::Read(r) => tape.register(r).init,
                _ => None,
            };
            let before = node.args.iter().copied().chain(init);
            stack.extend(before.filter(|a| is_linear[a.index()]).map(|a| (a, false)));
        }
    }
    order
}

/// The error for a node that is not linear. Its author is a custom op, because all built-in rows
/// are tested for linearity.
fn not_linear(tape: &Tape, linear: &Linearization, id: NodeId) -> Error {
    Error::CustomOp {
        op: linear.author(id).unwrap_or("tangent").into(),
        reason: format!(
            "its tangent is not linear in the tangents of its arguments: `{}` multiplies or bends \
             them",
            tape.definition(id)
        ),
    }
}
