//! The gradients of each sample as sums of outer products, without the products.
//!
//! The gradient of a matrix `W` in `W x_t` is `Σ_t δ_t x_tᵀ` for each sample. Its norm follows from the vectors `δ_t` and `x_t`,
//! which are far smaller than the matrices of all samples.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{LOSS, Recurrence, Roles, Wrt};
use crate::error::Result;
use crate::op::{Axis, Build as _, Expr, Linear, NodeId, Op, Pointwise, Time};
use crate::shape::{Kind, Rate, Shape};
use crate::tape::{Scope, added_name};

/// One side of an outer product, by the name of the output that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A vector.
    Dense(Arc<str>),
    /// The unit vector of a class: the output has the number of the class.
    Class(Arc<str>),
}

/// The gradient of a parameter for each sample.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// An output with one array for each sample.
    Whole,
    /// The sum of outer products `a bᵀ`, over the steps for outputs per step, and its shape.
    Outer(Shape, Vec<(Side, Side)>),
}

/// The parts of the gradients of each sample.
#[derive(Clone, Debug)]
pub(crate) struct OuterFactors {
    /// A recurrence with the loss, the sides of the outer products and the whole gradients as outputs.
    pub(crate) recurrence: Recurrence,
    /// The parts by the names of their parameters.
    pub(crate) parts: Vec<(Arc<str>, Part)>,
}

impl Recurrence {
    /// The gradients of each sample as sums of outer products, where they have this form.
    pub(crate) fn outer_factors(&self, wrt: Wrt<'_>) -> Result<OuterFactors> {
        let (scope, loss, found) = self.pulled_per_sample(wrt)?;
        let mut outputs = IndexMap::from([(LOSS.into(), loss)]);
        let names: Vec<Arc<str>> = found.iter().map(|(name, _)| Arc::clone(name)).collect();
        let mut known: HashMap<NodeId, Arc<str>> = HashMap::new();
        let mut parts = Vec::new();
        for (name, id) in found {
            let shape = scope.type_of(id).shape;
            let Some(pieces) = pieces(&scope, id) else {
                outputs.insert(Arc::clone(&name), id);
                parts.push((name, Part::Whole));
                continue;
            };
            let mut place = |value: Factor<'_>, part: &str| {
                let (expr, is_class) = match value {
                    Factor::Dense(expr) => (expr, false),
                    Factor::Class(class) => (number(class), true),
                };
                let id = expr.id()?;
                let taken = |n: &str| outputs.contains_key(n) || names.iter().any(|of| **of == *n);
                let new = || added_name(&name, part, taken);
                let output = Arc::clone(known.entry(id).or_insert_with(new));
                outputs.insert(Arc::clone(&output), id);
                Some(match is_class {
                    true => Side::Class(output),
                    false => Side::Dense(output),
                })
            };
            let sides = pieces.into_iter();
            let sides = sides.map(|[a, b]| Some((place(a, "left")?, place(b, "right")?)));
            let sides: Option<Vec<(Side, Side)>> = sides.collect();
            parts.push((
                name,
                sides.map_or(Part::Whole, |sides| Part::Outer(shape, sides)),
            ));
        }
        let recurrence = self.derivative(scope, outputs, Roles::new(), &[], "outer factors")?;
        Ok(OuterFactors { recurrence, parts })
    }
}

/// A side of an outer product.
#[derive(Clone, Copy)]
enum Factor<'b> {
    Dense(Expr<'b>),
    Class(Expr<'b>),
}

/// A linear map of matrices that maps an outer product to an outer product.
#[derive(Clone)]
enum Map<'b> {
    Transpose,
    Negate,
    /// The product with a scalar.
    Scale(Expr<'b>),
    /// A slice or padding of the rows or columns, as an op of a vector.
    Along(Axis, Op),
    /// The product with a matrix from the left.
    Left(Expr<'b>),
    /// The product with a matrix from the right.
    Right(Expr<'b>),
}

impl<'b> Map<'b> {
    fn apply(&self, [left, right]: [Factor<'b>; 2]) -> Option<[Factor<'b>; 2]> {
        let dense = |factor, f: &dyn Fn(Expr<'b>) -> Expr<'b>| match factor {
            Factor::Dense(expr) => Some(Factor::Dense(f(expr))),
            Factor::Class(_) => None,
        };
        let either = |f: &dyn Fn(Expr<'b>) -> Expr<'b>| match dense(left, f) {
            Some(left) => Some([left, right]),
            None => Some([left, dense(right, f)?]),
        };
        let moved = |op: &Op, x: Expr<'b>| Expr::apply(op.clone(), &[x]);
        match self {
            Self::Transpose => Some([right, left]),
            Self::Negate => either(&|x| -x),
            Self::Scale(by) => either(&|x| *by * x),
            Self::Along(Axis::Rows, op) => Some([dense(left, &|x| moved(op, x))?, right]),
            Self::Along(Axis::Columns, op) => Some([left, dense(right, &|x| moved(op, x))?]),
            Self::Left(by) => Some([dense(left, &|x| by.dot(x))?, right]),
            Self::Right(by) => Some([left, dense(right, &|x| by.t().dot(x))?]),
        }
    }
}

/// The outer products of which a value per sample is the sum; `None` if it is no such sum.
fn pieces<'b>(scope: &'b Scope, value: NodeId) -> Option<Vec<[Factor<'b>; 2]>> {
    if !matches!(scope.type_of(value).shape, Shape::Matrix(..)) {
        return None;
    }
    let mut found = Vec::new();
    // The nesting of sums is not bounded, so the stack is explicit. A flag marks values below a sum over the steps.
    let mut open: Vec<(NodeId, bool, Vec<Map<'b>>)> = vec![(value, false, Vec::new())];
    while let Some((id, is_summed, maps)) = open.pop() {
        if scope.with(|tape| tape.fill(id)) == Some(0.0) {
            continue;
        }
        let node = scope.with(|tape| tape.node(id).clone());
        let args = node.args();
        let with = |map: Map<'b>| {
            let mut maps = maps.clone();
            maps.push(map);
            maps
        };
        let mut end = |ends: [Factor<'b>; 2]| {
            let mapped = maps
                .iter()
                .rev()
                .try_fold(ends, |ends, map| map.apply(ends))?;
            found.push(mapped);
            Some(())
        };
        let expr = |id: NodeId| scope.expr(id);
        match (node.op(), args) {
            (Op::Pointwise(Pointwise::Add), [a, b]) => {
                open.push((*b, is_summed, maps.clone()));
                open.push((*a, is_summed, maps));
            }
            (Op::Pointwise(Pointwise::Sub), [a, b]) => {
                open.push((*b, is_summed, with(Map::Negate)));
                open.push((*a, is_summed, maps));
            }
            (Op::Pointwise(Pointwise::Neg), [a]) => open.push((*a, is_summed, with(Map::Negate))),
            (Op::Pointwise(Pointwise::Mul), [a, b]) => {
                let (by, of) = match (spread(scope, *a), spread(scope, *b)) {
                    (Some(by), _) => (by, *b),
                    (None, Some(by)) => (by, *a),
                    (None, None) => return None,
                };
                open.push((of, is_summed, with(Map::Scale(expr(by)))));
            }
            (Op::Time(Time::Total(total)), [a]) if total.0 == Rate::Sample && !is_summed => {
                open.push((*a, true, maps));
            }
            (Op::Time(Time::Impulse(_)), [a]) if is_summed => open.push((*a, false, maps)),
            (Op::Linear(Linear::Alias(_)), [a]) => open.push((*a, is_summed, maps)),
            (Op::Linear(Linear::Transpose(_)), [a]) => {
                open.push((*a, is_summed, with(Map::Transpose)));
            }
            (Op::Linear(Linear::Slice(slice)), [a]) => {
                let axis = slice.axis;
                let mut own = *slice;
                own.axis = Axis::Rows;
                open.push((*a, is_summed, with(Map::Along(axis, own.into()))));
            }
            (Op::Linear(Linear::Pad(pad)), [a]) => {
                let mut own = *pad;
                own.axis = Axis::Rows;
                open.push((*a, is_summed, with(Map::Along(pad.axis, own.into()))));
            }
            (Op::Linear(Linear::MatMul(product)), [a, b]) if !product.strong => {
                // One of the two is a cotangent, the other a matrix of the recurrence.
                let (of, map) = match (is_outer(scope, *a), is_outer(scope, *b)) {
                    (true, false) => (*a, Map::Right(expr(*b))),
                    (false, true) => (*b, Map::Left(expr(*a))),
                    _ => return None,
                };
                open.push((of, is_summed, with(map)));
            }
            (Op::Linear(Linear::Outer(outer)), [a, b]) if !outer.strong => {
                end([Factor::Dense(expr(*a)), Factor::Dense(expr(*b))])?;
            }
            (Op::Linear(Linear::Scatter(scatter)), [a, class]) => {
                let (value, class) = (Factor::Dense(expr(*a)), Factor::Class(expr(*class)));
                match scatter.axis {
                    Axis::Rows => end([class, value])?,
                    Axis::Columns => end([value, class])?,
                }
            }
            _ => return None,
        }
    }
    Some(found)
}

/// The scalar that a node repeats in every entry, if it does.
fn spread(scope: &Scope, mut id: NodeId) -> Option<NodeId> {
    loop {
        let node = scope.with(|tape| tape.node(id).clone());
        match node.op() {
            Op::Linear(Linear::Broadcast(_)) => {
                let is_number = scope.type_of(node.args()[0]).shape == Shape::Scalar;
                return is_number.then_some(node.args()[0]);
            }
            Op::Time(Time::Hold(_)) => id = node.args()[0],
            _ => return None,
        }
    }
}

/// True if a value is a sum of outer products.
fn is_outer(scope: &Scope, id: NodeId) -> bool {
    pieces(scope, id).is_some_and(|found| !found.is_empty())
}

/// A class as a number.
fn number(class: Expr<'_>) -> Expr<'_> {
    match class.ty().map(|ty| ty.kind) {
        Some(Kind::Class(n)) => class.numbered(n).gather(class),
        _ => class,
    }
}
