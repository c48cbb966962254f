//! The evaluator: node by node, in order. It is slow and simple, and the reference for every faster
//! engine.

use std::collections::HashSet;

use super::{Node, Tape};
use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::op::{LeafId, Linear, NodeId, Op, Scalar, Value};

/// The value of every node of a flat tape.
///
/// `leaf` returns the values of the leaves, already checked against their types.
///
/// # Errors
/// [`Error::CustomOp`] if the value of a custom op does not have the shape that the op declares.
pub(crate) fn evaluate<F: Scalar>(
    tape: &Tape,
    leaf: impl FnMut(LeafId) -> Value<F>,
) -> Result<Vec<Value<F>>> {
    evaluate_adjusted(tape, leaf, |_, _, _| ())
}

/// The value of every node, if each result of a rounding operation has a random relative error of
/// up to one unit in the last place. The differences from [`evaluate`] measure the rounding errors
/// (Monte Carlo arithmetic, Parker 1997).
pub(crate) fn evaluate_rounded(
    tape: &Tape,
    leaf: impl FnMut(LeafId) -> Value<f64>,
    noise: &mut Noise,
) -> Result<Vec<Value<f64>>> {
    evaluate_adjusted(tape, leaf, |id, args, value| {
        if let Value::Real(array) = value
            && tape.node(id).op.rounds(args, array)
        {
            array.mapv_inplace(|x| x * f64::EPSILON.mul_add(noise.number(), 1.0));
        }
    })
}

/// The value of every node, each adjusted before it is used.
pub(crate) fn evaluate_adjusted<F: Scalar>(
    tape: &Tape,
    mut leaf: impl FnMut(LeafId) -> Value<F>,
    mut adjust: impl FnMut(NodeId, &[&Value<F>], &mut Value<F>),
) -> Result<Vec<Value<F>>> {
    tape.assert_flat();
    let mut values: Vec<Value<F>> = Vec::with_capacity(tape.len());
    for (id, node) in tape.nodes() {
        let value = match node.op {
            Op::Leaf(id) => leaf(id),
            _ => {
                let args: smallvec::SmallVec<[&Value<F>; 3]> =
                    node.args.iter().map(|a| &values[a.index()]).collect();
                let mut value = checked(node, F::value(&node.op, &args))?;
                adjust(id, &args, &mut value);
                value
            }
        };
        values.push(value);
    }
    Ok(values)
}

/// Returns `value`, or an error if `node` is a custom op and the shape is not the declared one.
fn checked<F: Scalar>(node: &Node, value: Value<F>) -> Result<Value<F>> {
    if let (Op::Custom(op), Value::Real(array)) = (&node.op, &value) {
        let expected = node.ty.shape.as_fixed().unwrap_or_default();
        if array.shape() != expected {
            let found = array.shape();
            let reason = format!("its value has shape {found:?}, it said {expected:?}");
            return Err(Error::CustomOp {
                op: op.rule().name().into(),
                reason,
            });
        }
    }
    Ok(value)
}

/// The nodes at which NaN and infinities begin: each of their arguments is finite or has no
/// influence, e.g. an unused branch of a `select`.
pub(crate) fn causes<F: Scalar>(tape: &Tape, values: &[Value<F>], of: &[NodeId]) -> Vec<NodeId> {
    let mut seen: HashSet<NodeId> = of.iter().copied().collect();
    let mut stack = of.to_vec();
    let mut found = Vec::new();
    while let Some(id) = stack.pop() {
        let culprits = culprits(tape.node(id), values);
        if culprits.is_empty() {
            found.push(id);
        }
        stack.extend(culprits.into_iter().filter(|c| seen.insert(*c)));
    }
    found.sort_unstable();
    found
}

type Few<T> = smallvec::SmallVec<[T; 3]>;

/// The arguments that make the value of a node NaN or infinite, each alone (all others made finite
/// by [`cleaned`]). If none does so alone, the single argument found by [`culprit`].
fn culprits<F: Scalar>(node: &Node, values: &[Value<F>]) -> Few<NodeId> {
    let is_bad = |a: &NodeId| !values[a.index()].is_finite();
    let bad: Few<NodeId> = node.args.iter().copied().filter(is_bad).collect();
    if let ([], _) | ([_], 1) = (&bad[..], node.args.len()) {
        return bad;
    }
    let cleaned: Few<Value<F>> = node
        .args
        .iter()
        .map(|a| cleaned(&values[a.index()]))
        .collect();
    let alone = |id: &NodeId| {
        let args = node.args.iter().zip(&cleaned);
        let args: Few<&Value<F>> = args
            .map(|(a, cleaned)| match a == id {
                true => &values[a.index()],
                false => cleaned,
            })
            .collect();
        !F::value(&node.op, &args).is_finite()
    };
    let found: Few<NodeId> = bad.iter().copied().filter(alone).collect();
    match found.is_empty() {
        true => culprit(node, values).into_iter().collect(),
        false => found,
    }
}

/// The value with 1 in place of each NaN or infinity.
fn cleaned<F: Scalar>(value: &Value<F>) -> Value<F> {
    let mut value = value.clone();
    if let Value::Real(array) = &mut value {
        array.mapv_inplace(|x| if x.is_finite() { x } else { F::one() });
    }
    value
}

/// The argument at which the value of a node becomes finite, if the arguments are made finite one
/// after another from the last to the first.
fn culprit<F: Scalar>(node: &Node, values: &[Value<F>]) -> Option<NodeId> {
    if node.args.iter().all(|a| values[a.index()].is_finite()) {
        return None;
    }
    let mut args: smallvec::SmallVec<[Value<F>; 3]> = node
        .args
        .iter()
        .map(|a| values[a.index()].clone())
        .collect();
    for (i, id) in node.args.iter().enumerate().rev() {
        let Value::Real(array) = &mut args[i] else {
            continue;
        };
        if array.iter().all(|x| x.is_finite()) {
            continue;
        }
        array.mapv_inplace(|x| if x.is_finite() { x } else { F::one() });
        let args: smallvec::SmallVec<[&Value<F>; 3]> = args.iter().collect();
        if F::value(&node.op, &args).is_finite() {
            return Some(*id);
        }
    }
    None
}

/// The side of a kink on which a value lies: `Equal` at the kink itself, `None` for NaN.
pub(crate) type Side = Option<std::cmp::Ordering>;

/// The side of every kink on which the values lie, entry by entry. Two evaluations with equal sides
/// have no visible kink between them.
pub(crate) fn kinks<F: Scalar>(tape: &Tape, values: &[Value<F>]) -> Vec<Side> {
    kinks_of(tape, values, |_| true)
}

/// The same for some of the nodes.
pub(crate) fn kinks_of<F: Scalar>(
    tape: &Tape,
    values: &[Value<F>],
    wanted: impl Fn(NodeId) -> bool,
) -> Vec<Side> {
    let mut sides = Vec::new();
    for (id, node) in tape.nodes().filter(|(id, _)| wanted(*id)) {
        let op = match node.op {
            Op::Pointwise(op) => op,
            Op::Linear(Linear::Select(_)) => {
                let condition = values[node.args[0].index()].real();
                sides.extend(
                    condition
                        .iter()
                        .map(|c| Some((*c != F::zero()).cmp(&false))),
                );
                continue;
            }
            Op::Dense(op) => {
                let (x, y) = (
                    values[node.args[0].index()].real(),
                    values[id.index()].real(),
                );
                op.sides(x, y, &mut sides);
                continue;
            }
            _ => continue,
        };
        let mut side = |args: &[F]| sides.extend(op.kink(args).map(|k| k.partial_cmp(&F::zero())));
        match *node.args {
            [x] => values[x.index()].real().iter().for_each(|x| side(&[*x])),
            [a, b] => {
                let (a, b) = (values[a.index()].real(), values[b.index()].real());
                a.iter().zip(b.iter()).for_each(|(a, b)| side(&[*a, *b]));
            }
            _ => {}
        }
    }
    sides
}
