//! Reverse mode on a flat tape: visits the nodes in reverse order and accumulates cotangents.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Linearization, accumulate, transpose};
use crate::error::{Error, Result};
use crate::op::{Expr, NodeId, Op};
use crate::shape::{Rate, Shape, Type};
use crate::tape::{Node, Role, Scope, Tape};

/// Writes the derivative of the scalar `output` with respect to each node of `wrt`.
///
/// # Errors
/// [`Error::CustomOp`] if a custom op violates its contract.
pub(crate) fn reverse(
    scope: &Scope,
    output: NodeId,
    wrt: &[NodeId],
) -> Result<HashMap<NodeId, NodeId>> {
    let tape = scope.with(Tape::clone);
    let needed = depends_on(&tape, wrt);
    let mut cotangents: Vec<Option<Expr<'_>>> = vec![None; tape.len()];
    cotangents[output.index()] = Some(scope.expr(output).full_like(1.0));
    for (id, node) in (0..=output.index()).rev().map(|i| {
        let id = NodeId::new(i);
        (id, tape.node(id))
    }) {
        if !needed[id.index()] {
            continue;
        }
        let Some(y_bar) = cotangents[id.index()] else {
            continue;
        };
        for (i, arg) in node
            .args
            .iter()
            .enumerate()
            .filter(|(_, a)| needed[a.index()])
        {
            if let Some(x_bar) = pullback(scope, &tape, id, i, y_bar)? {
                accumulate(&mut cotangents[arg.index()], x_bar);
            }
        }
    }
    Ok(wrt
        .iter()
        .filter_map(|id| Some((*id, cotangents[id.index()]?.id()?)))
        .collect())
}

fn depends_on(tape: &Tape, wrt: &[NodeId]) -> Vec<bool> {
    let mut depends = vec![false; tape.len()];
    for id in wrt {
        depends[id.index()] = true;
    }
    for (id, node) in tape.nodes() {
        depends[id.index()] |= node.args.iter().any(|a| depends[a.index()]);
    }
    depends
}

/// The contribution to the cotangent of argument `i` from the cotangent `y_bar` of a node.
fn pullback<'b>(
    scope: &'b Scope,
    tape: &Tape,
    id: NodeId,
    i: usize,
    y_bar: Expr<'b>,
) -> Result<Option<Expr<'b>>> {
    let node = tape.node(id);
    let x: Vec<Expr<'b>> = node.args.iter().map(|a| scope.expr(*a)).collect();
    if !tape.ty(node.args[i]).is_real() {
        return Ok(None);
    }
    match node.op {
        // The condition of a `select` is the only argument in which a linear op is constant.
        Op::Linear(_) | Op::Time(_) if !node.op.is_linear_in(&only(i, x.len())) => Ok(None),
        Op::Reduce(_) | Op::Dense(_) | Op::Custom(_) => {
            through_tangent(scope, node, scope.expr(id), &x, i, y_bar)
        }
        _ => Ok(node.op.transpose(i, &x, scope.expr(id), y_bar)),
    }
}

fn only(i: usize, count: usize) -> Vec<bool> {
    (0..count).map(|k| k == i).collect()
}

/// The cotangent of an argument of an op whose row has only a tangent: writes the tangent and
/// transposes it, on a small tape of its own, and copies the result.
fn through_tangent<'b>(
    scope: &'b Scope,
    node: &Node,
    y: Expr<'b>,
    x: &[Expr<'b>],
    i: usize,
    y_bar: Expr<'b>,
) -> Result<Option<Expr<'b>>> {
    let aside = Scope::default();
    let mut outside = Vec::new();
    let mut leaf_for = |e: Expr<'b>| {
        outside.push(e);
        let ty = Type::real(e.shape().unwrap_or(Shape::Scalar), Rate::Static);
        let leaf = aside.leaf("x".into(), Role::Input, ty).1;
        if let (Some(leaf), Some(value)) = (leaf.id(), e.id()) {
            scope.with(|tape| aside.stands_for(leaf, tape, value));
        }
        leaf
    };
    let inner_x: Vec<Expr<'_>> = x.iter().map(|e| leaf_for(*e)).collect();
    let (inner_y, inner_bar) = (leaf_for(y), leaf_for(y_bar));
    let seed = leaf_for(x[i]);
    let mut x_dot = vec![None; x.len()];
    x_dot[i] = Some(seed);
    let Some(tangent) = node.op.tangent(&inner_x, inner_y, &x_dot) else {
        return Ok(None);
    };
    let fits = tangent.shape() == y.shape();
    let (Some(seed), Some(tangent), Some(y_bar), true) =
        (seed.id(), tangent.id(), inner_bar.id(), fits)
    else {
        return Err(Error::CustomOp {
            op: node.op.name().into(),
            reason: "its tangent does not have the shape of its value".into(),
        });
    };
    let linear = Linearization {
        tangents: HashMap::new(),
        registers: IndexMap::new(),
        custom: vec![(0..aside.with(Tape::len), node.op.name().into())],
    };
    let found = transpose(&aside, &linear, &[(tangent, y_bar)], &[seed])?.cotangents;
    let (small, _) = aside.finish();
    Ok(found
        .get(&seed)
        .map(|result| copy_over(&small, *result, scope, &outside)))
}

/// Copies an expression of a small tape to `scope`, with leaf `i` replaced by `leaves[i]`.
fn copy_over<'b>(small: &Tape, result: NodeId, scope: &'b Scope, leaves: &[Expr<'b>]) -> Expr<'b> {
    let mut copied: Vec<Expr<'b>> = Vec::with_capacity(small.len());
    for (id, node) in small.nodes().filter(|(id, _)| *id <= result) {
        debug_assert_eq!(copied.len(), id.index(), "nodes are copied in order");
        copied.push(match &node.op {
            Op::Leaf(leaf) => leaves[leaf.index()],
            op => {
                let args: Vec<Expr<'b>> = node.args.iter().map(|a| copied[a.index()]).collect();
                Expr::apply_in(scope, op.clone(), &args)
            }
        });
    }
    copied[result.index()]
}
