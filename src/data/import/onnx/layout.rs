//! Operators that move axes: Transpose, Squeeze, Unsqueeze, Expand, and those that change nothing.

use std::rc::Rc;

use ndarray::{ArrayD, IxDyn};

use super::align::parameter;
use super::facts::Out;
use super::machine::{Call, Machine, Row};
use super::pointwise::dims;
use super::value::{Axis, Body, Dim, Expr, Kind, Known, Label, Level, Source, Tensor, Value};

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "Transpose",
        inputs: (1, 1),
        attributes: &["perm"],
        run: transpose,
    },
    Row {
        op: "Squeeze",
        inputs: (1, 2),
        attributes: &["axes"],
        run: squeeze,
    },
    Row {
        op: "Unsqueeze",
        inputs: (1, 2),
        attributes: &["axes"],
        run: unsqueeze,
    },
    Row {
        op: "Expand",
        inputs: (2, 2),
        attributes: &[],
        run: expand,
    },
    Row {
        op: "Identity",
        inputs: (1, 1),
        attributes: &[],
        run: identity,
    },
    Row {
        op: "Dropout",
        inputs: (1, 3),
        attributes: &["ratio", "seed"],
        run: identity,
    },
    Row {
        op: "Cast",
        inputs: (1, 1),
        attributes: &["to", "saturate"],
        run: cast,
    },
    Row {
        op: "CastLike",
        inputs: (1, 2),
        attributes: &["saturate"],
        run: cast,
    },
];

/// Axes in an attribute before some version of the operator, and in an input after it.
pub(super) fn integers(
    m: &Machine<'_>,
    call: Call<'_>,
    name: &str,
    at: usize,
) -> Out<Option<Vec<i64>>> {
    if let Some(ints) = call.ints(name) {
        return Ok(Some(ints.to_vec()));
    }
    if let Some(a) = call.attribute(name) {
        return Ok(Some(vec![a.i]));
    }
    Ok(m.known(call, at, &format!("`{name}`"))?
        .map(|k| k.integers()))
}

/// The source after an operation that is no transpose.
pub(super) fn derived(known: &Known, operation: &str) -> Option<Source> {
    known.source.as_ref().map(|source| Source {
        name: format!("{}{operation}", source.name),
        is_transposed: source.is_transposed,
    })
}

fn transpose(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let rank = match &value {
        Value::Known(known) => known.array.ndim(),
        Value::Tensor(tensor) => tensor.axes.len(),
        _ => return Ok(vec![value]),
    };
    let order: Vec<usize> = match call.ints("perm") {
        Some(perm) => perm.iter().map(|p| m.axis(*p, rank)).collect::<Out<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(m.refuse(format!(
            "attribute `perm`: {order:?} is no order of {rank} axes"
        )));
    }
    match value {
        Value::Known(known) => {
            let array = known.array.view().permuted_axes(IxDyn(&order));
            let array = array.as_standard_layout().into_owned();
            let source = match order[..] {
                [1, 0] => known.source.clone().map(|s| Source {
                    is_transposed: !s.is_transposed,
                    ..s
                }),
                _ if order == sorted => known.source.clone(),
                _ => derived(&known, &format!(" in the order {order:?}")),
            };
            Ok(vec![Value::Known(Known {
                array: Rc::new(array),
                kind: known.kind,
                source,
            })])
        }
        Value::Tensor(tensor) => {
            let axes: Vec<Axis> = order.iter().map(|p| tensor.axes[*p].clone()).collect();
            let before: Vec<usize> = tensor.features();
            let after: Vec<usize> = order
                .iter()
                .copied()
                .filter(|p| before.contains(p))
                .collect();
            let turned = Tensor {
                axes,
                ..tensor.clone()
            };
            m.shape(&turned)?;
            if before == after || matches!(tensor.body, Body::Filled(_) | Body::Integers(_)) {
                return Ok(vec![Value::Tensor(turned)]);
            }
            let expr = m.flat(&tensor)?;
            let expr = match expr.text.strip_suffix(".T") {
                Some(text) => Expr::atom(text),
                None => Expr::atom(format!("{}.T", expr.at(Level::Atom))),
            };
            Ok(vec![Value::Tensor(turned.with_body(Body::Expr(expr)))])
        }
        other => Ok(vec![other]),
    }
}

fn squeeze(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let given = integers(m, call, "axes", 1)?;
    match value {
        Value::Known(known) => {
            let shape = known.array.shape();
            let away = match given {
                Some(axes) => axes
                    .iter()
                    .map(|a| m.axis(*a, shape.len()))
                    .collect::<Out<Vec<_>>>()?,
                None => (0..shape.len()).filter(|a| shape[*a] == 1).collect(),
            };
            if let Some(a) = away.iter().find(|a| shape[**a] != 1) {
                return Err(m.refuse(format!("axis {a} of an array of shape {shape:?} is not 1")));
            }
            let kept: Vec<usize> = (0..shape.len())
                .filter(|a| !away.contains(a))
                .map(|a| shape[a])
                .collect();
            reshaped(m, &known, &kept).map(|k| vec![k])
        }
        Value::Dims(dims, _) if dims.len() == 1 => Ok(vec![Value::Dims(dims, true)]),
        Value::Tensor(tensor) => {
            let rank = tensor.axes.len();
            let away = match given {
                Some(axes) => axes
                    .iter()
                    .map(|a| m.axis(*a, rank))
                    .collect::<Out<Vec<_>>>()?,
                None => {
                    let outer = tensor
                        .axes
                        .iter()
                        .find(|a| a.label != Label::One && a.size.number == Some(1));
                    if let Some(axis) = outer {
                        return Err(m.refuse(format!(
                            "without `axes` it would remove the axis of {} as well, which has the size 1 in the file; give it axes",
                            axis.described()
                        )));
                    }
                    (0..rank)
                        .filter(|a| tensor.axes[*a].label == Label::One)
                        .collect()
                }
            };
            let mut found = tensor.clone();
            let mut sorted = away;
            sorted.sort_unstable();
            sorted.dedup();
            for at in sorted.into_iter().rev() {
                found = without(m, &found, at)?;
            }
            Ok(vec![Value::Tensor(found)])
        }
        other => Ok(vec![other]),
    }
}

/// The tensor without an axis of size 1.
pub(super) fn without(m: &mut Machine<'_>, tensor: &Tensor, at: usize) -> Out<Tensor> {
    let axis = &tensor.axes[at];
    let mut axes = tensor.axes.clone();
    axes.remove(at);
    let is_single = axis.size.number == Some(1);
    match axis.label {
        Label::One => Ok(Tensor {
            axes,
            ..tensor.clone()
        }),
        // A model for one sample, or for one step.
        Label::Batch | Label::Time if is_single => Ok(Tensor {
            axes,
            ..tensor.clone()
        }),
        Label::Open(origin) if is_single => Err(m.facts.learn(origin, Label::One)),
        Label::Open(origin) => Err(m.guess(origin)),
        Label::Feature if is_single => entry(m, tensor, at, 0),
        _ => Err(m.refuse(format!(
            "axis {at} of its array {} is not known to be 1",
            tensor.described()
        ))),
    }
}

/// The entry `n` along an axis of features, which is left out.
pub(super) fn entry(m: &mut Machine<'_>, tensor: &Tensor, at: usize, n: usize) -> Out<Tensor> {
    let features = tensor.features();
    let place = features.iter().position(|f| *f == at);
    let mut axes = tensor.axes.clone();
    axes.remove(at);
    let count = m.count(&tensor.axes[at])?;
    if n >= count {
        return Err(m.refuse(format!("entry {n} along an axis of {count}")));
    }
    let body = match (&tensor.body, place) {
        (Body::Filled(x), _) => Body::Filled(*x),
        (Body::Rows(rows), Some(0)) => Body::Expr(rows[n].clone()),
        (_, place) => {
            m.counted(&tensor.axes[at])?;
            let expr = m.flat(tensor)?;
            let text = expr.at(Level::Atom);
            // An entry of a part is one of the whole.
            let (text, n) = match (place, part(&text)) {
                (Some(0), Some((whole, begin))) => (whole.to_owned(), begin + n),
                _ => (text, n),
            };
            Body::Expr(Expr::atom(match place {
                Some(0) => format!("{text}[{n}]"),
                _ => format!("{text}[:, {n}]"),
            }))
        }
    };
    Ok(Tensor {
        axes,
        ..tensor.with_body(body)
    })
}

/// A text `x[a:b]` as `x` and `a`.
fn part(text: &str) -> Option<(&str, usize)> {
    let (whole, range) = text.strip_suffix(']')?.rsplit_once('[')?;
    let (begin, end) = range.split_once(':')?;
    let is_number = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_digit());
    (is_number(begin) && is_number(end)).then_some(())?;
    Some((whole, begin.parse().ok()?))
}

fn unsqueeze(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let given = integers(m, call, "axes", 1)?;
    let given = given.ok_or_else(|| m.refuse("`axes` is missing"))?;
    let rank = match &value {
        Value::Known(known) => known.array.ndim(),
        Value::Tensor(tensor) => tensor.axes.len(),
        Value::Dims(..) | Value::Counter => 0,
    };
    let all = rank.saturating_add(given.len());
    if all > 16 {
        return Err(m.refuse(format!("an array with {all} axes")));
    }
    let mut at = given
        .iter()
        .map(|a| m.axis(*a, all))
        .collect::<Out<Vec<_>>>()?;
    at.sort_unstable();
    match value {
        Value::Known(known) => {
            let mut shape = known.array.shape().to_vec();
            at.iter()
                .for_each(|a| shape.insert((*a).min(shape.len()), 1));
            reshaped(m, &known, &shape).map(|k| vec![k])
        }
        Value::Dims(dims, _) => Ok(vec![Value::Dims(dims, false)]),
        Value::Tensor(mut tensor) => {
            for a in at {
                tensor.axes.insert(a.min(tensor.axes.len()), Axis::one());
            }
            Ok(vec![Value::Tensor(tensor)])
        }
        Value::Counter => Ok(vec![Value::Counter]),
    }
}

/// Known numbers in another shape.
pub(super) fn reshaped(m: &Machine<'_>, known: &Known, shape: &[usize]) -> Out<Value> {
    let array = (*known.array).clone().into_shape_with_order(IxDyn(shape));
    let array: ArrayD<f64> = array.map_err(|_| {
        m.refuse(format!(
            "an array of shape {:?} does not fit the shape {shape:?}",
            known.array.shape()
        ))
    })?;
    let large = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|n| *n != 1)
            .collect::<Vec<_>>()
    };
    let source = match large(shape) == large(known.array.shape()) {
        true => known.source.clone(),
        false => derived(known, &format!(" as {shape:?}")),
    };
    Ok(Value::Known(Known {
        array: Rc::new(array),
        kind: known.kind,
        source,
    }))
}

/// The axes of a shape, for a number that is the same everywhere.
pub(super) fn axes_of(m: &mut Machine<'_>, shape: &[Dim]) -> Out<Vec<Axis>> {
    shape
        .iter()
        .map(|dim| match *dim {
            Dim::Known(1) => Ok(Axis::one()),
            Dim::Known(n) => {
                let n = usize::try_from(n).map_err(|_| m.refuse(format!("a size of {n}")))?;
                Ok(Axis::feature(m.page.size(m.facts, "N", n)))
            }
            Dim::Steps => Ok(Axis::outer(Label::Time, None)),
            Dim::Samples => Ok(Axis::outer(Label::Batch, None)),
            Dim::Both => Ok(Axis::outer(Label::Joined(true), None)),
            Dim::Open(origin) => Ok(Axis {
                origin: Some(origin),
                ..Axis::outer(Label::Open(origin), None)
            }),
        })
        .collect()
}

fn expand(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let shape = m.need(call, 1)?;
    let (shape, _) = dims(&shape).ok_or_else(|| m.refuse("input 1, the shape, is not known"))?;
    let mut target = axes_of(m, &shape)?;
    let tensor = match &value {
        Value::Tensor(tensor) => tensor.clone(),
        Value::Known(known) => {
            let sizes: Vec<Axis> = known
                .array
                .shape()
                .iter()
                .map(|n| match n {
                    1 => Axis::one(),
                    n => Axis::feature(m.page.size(m.facts, "N", *n)),
                })
                .collect();
            parameter(m, known, &sizes)?
        }
        _ => return Err(m.refuse("input 0 is no array of numbers")),
    };
    let rank = target.len().max(tensor.axes.len());
    while target.len() < rank {
        target.insert(0, Axis::one());
    }
    let mut own = tensor.axes.clone();
    while own.len() < rank {
        own.insert(0, Axis::one());
    }
    let mut axes = Vec::new();
    for (own, target) in own.iter().zip(target) {
        axes.push(match (own.label, target.label) {
            (_, Label::One) => own.clone(),
            (Label::One, Label::Feature) if !matches!(tensor.body, Body::Filled(_)) => {
                return Err(
                    m.refuse("it repeats entries; give the repeated array as an initializer")
                );
            }
            (Label::One, _) => target,
            _ => own.clone(),
        });
    }
    Ok(vec![Value::Tensor(Tensor { axes, ..tensor })])
}

/// One value for each output that the value passes; a mask of Dropout is refused where it is used.
fn identity(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    if let Some(mode) = m.known(call, 2, "`training_mode`")?
        && mode.constant() != Some(0.0)
    {
        return Err(m.refuse(
            "input 2, `training_mode`, is true; export the model for inference: `model.eval()`",
        ));
    }
    Ok(vec![m.need(call, 0)?])
}

fn cast(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    use super::proto::entry;
    let ty = call.int("to").and_then(|to| i32::try_from(to).ok());
    let kind = match ty {
        Some(entry::F32 | entry::F64 | entry::F16 | entry::BF16) | None => Kind::Real,
        Some(entry::BOOL) => Kind::Bool,
        Some(_) => Kind::Int,
    };
    Ok(vec![match (m.need(call, 0)?, kind) {
        (Value::Known(known), kind) => {
            let array = match kind {
                Kind::Real => known.array,
                Kind::Int => Rc::new(known.array.mapv(f64::trunc)),
                Kind::Bool => Rc::new(known.array.mapv(|x| f64::from(u8::from(x != 0.0)))),
            };
            Value::Known(Known { array, kind, source: known.source })
        }
        (Value::Tensor(tensor), Kind::Real) => match tensor.body {
            Body::Integers(input) => {
                if m.facts.classes.contains_key(&input) {
                    return Err(m.refuse("the input is a class elsewhere; an input is a class or a number"));
                }
                m.facts.numbers.insert(input);
                let name = Expr::atom(m.inputs[input].name.clone());
                Value::Tensor(tensor.with_body(Body::Expr(name)))
            }
            _ => Value::Tensor(tensor),
        },
        // Integers and truth values remain so.
        (Value::Tensor(tensor), _) => match tensor.body {
            Body::Integers(_) => Value::Tensor(tensor),
            _ if kind == Kind::Bool => return super::pointwise::truth(m, call),
            _ => return Err(m.refuse("attribute `to`: real numbers become integers, which has no derivative; leave the node out")),
        },
        (value, _) => value,
    }])
}
