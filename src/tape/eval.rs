//! The evaluator: node by node, in order. Slow, obvious, and what everything faster is held to.

use std::collections::HashSet;

use super::{Node, Tape};
use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::op::{LeafId, Linear, NodeId, Op, Scalar, Value};

/// The value of every node of a flat tape.
///
/// `leaf` supplies the values of the leaves; they are already checked against their types.
///
/// # Errors
/// [`Error::CustomOp`] when a custom op's value has another shape than it said.
pub(crate) fn evaluate<F: Scalar>(
    tape: &Tape,
    leaf: impl FnMut(LeafId) -> Value<F>,
) -> Result<Vec<Value<F>>> {
    evaluate_adjusted(tape, leaf, |_, _, _| ())
}

/// The value of every node when each result of an operation that rounds is off by up to one unit in
/// the last place, at random: the differences from [`evaluate`] show what rounding does to each
/// value (Monte Carlo arithmetic, Parker 1997).
pub(crate) fn evaluate_rounded(
    tape: &Tape,
    leaf: impl FnMut(LeafId) -> Value<f64>,
    noise: &mut Noise,
) -> Result<Vec<Value<f64>>> {
    evaluate_adjusted(tape, leaf, |op, args, value| {
        if let Value::Real(array) = value
            && op.rounds(args, array)
        {
            array.mapv_inplace(|x| x * f64::EPSILON.mul_add(noise.number(), 1.0));
        }
    })
}

fn evaluate_adjusted<F: Scalar>(
    tape: &Tape,
    mut leaf: impl FnMut(LeafId) -> Value<F>,
    mut adjust: impl FnMut(&Op, &[&Value<F>], &mut Value<F>),
) -> Result<Vec<Value<F>>> {
    tape.assert_flat();
    let mut values: Vec<Value<F>> = Vec::with_capacity(tape.len());
    for (_, node) in tape.nodes() {
        let value = match node.op {
            Op::Leaf(id) => leaf(id),
            _ => {
                let args: smallvec::SmallVec<[&Value<F>; 3]> =
                    node.args.iter().map(|a| &values[a.index()]).collect();
                let mut value = checked(node, F::value(&node.op, &args))?;
                adjust(&node.op, &args, &mut value);
                value
            }
        };
        values.push(value);
    }
    Ok(values)
}

/// The value of a node, refused where a custom op gave one of another shape than it said.
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

/// The nodes where values that are not finite began: their arguments have nothing to do with it, be
/// they finite or of no influence, as the branch of a `select` that is not taken.
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

/// The arguments each of which makes the value of a node not finite, the others without their
/// infinities; if none does by itself, the one that does when all after it have lost theirs.
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

/// A value with 1 in the place of what is not finite.
fn cleaned<F: Scalar>(value: &Value<F>) -> Value<F> {
    let mut value = value.clone();
    if let Value::Real(array) = &mut value {
        array.mapv_inplace(|x| if x.is_finite() { x } else { F::one() });
    }
    value
}

/// The argument that makes the value of a node not finite: without its infinities, when all after it
/// have lost theirs, the value is finite.
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

/// The side of a kink on which a value lies; a value at the kink itself lies on neither.
pub(crate) type Side = Option<std::cmp::Ordering>;

/// On which side of every kink the values lie, entry by entry: two evaluations with equal answers
/// have no point of non-differentiability between them that shows.
pub(crate) fn kinks<F: Scalar>(tape: &Tape, values: &[Value<F>]) -> Vec<Side> {
    let mut sides = Vec::new();
    for (_, node) in tape.nodes() {
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
