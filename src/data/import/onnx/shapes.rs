//! Sizes of arrays, constants, and Reshape.

use ndarray::{ArrayD, IxDyn};

use super::entries;
use super::facts::Out;
use super::layout::{axes_of, reshaped};
use super::machine::{Call, Machine, Row};
use super::pointwise::dims;
use super::regroup::regrouped;
use super::value::{Axis, Body, Dim, Kind, Known, Label, Tensor, Value};

/// The most entries of an array that is made of one number.
const MOST_ENTRIES: usize = 1 << 16;

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "Constant",
        inputs: (0, 0),
        attributes: &[
            "value",
            "value_float",
            "value_floats",
            "value_int",
            "value_ints",
        ],
        run: constant,
    },
    Row {
        op: "Shape",
        inputs: (1, 1),
        attributes: &["start", "end"],
        run: shape,
    },
    Row {
        op: "Size",
        inputs: (1, 1),
        attributes: &[],
        run: count,
    },
    Row {
        op: "ConstantOfShape",
        inputs: (1, 1),
        attributes: &["value"],
        run: constant_of_shape,
    },
    Row {
        op: "Reshape",
        inputs: (1, 2),
        attributes: &["allowzero", "shape"],
        run: reshape,
    },
    Row {
        op: "Flatten",
        inputs: (1, 1),
        attributes: &["axis"],
        run: flatten,
    },
];

fn constant(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let Some(attribute) = call.node.attributes.first() else {
        return Err(m.refuse("it has no attribute `value`"));
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers beyond 2^53 are marks for the end of an axis"
    )]
    let ints = || attribute.ints.iter().map(|i| *i as f64).collect::<Vec<_>>();
    let vector =
        |numbers: Vec<f64>, kind| Known::new(ndarray::Array1::from(numbers).into_dyn(), kind);
    let scalar = |x: f64, kind| Known::new(ArrayD::from_elem(IxDyn(&[]), x), kind);
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers beyond 2^53 are marks for the end of an axis"
    )]
    let known = match (&*attribute.name, &attribute.t) {
        ("value", Some(tensor)) => entries::known(tensor).map_err(|reason| m.refuse(reason))?,
        ("value_float", _) => scalar(f64::from(attribute.f), Kind::Real),
        ("value_int", _) => scalar(attribute.i as f64, Kind::Int),
        ("value_ints", _) => vector(ints(), Kind::Int),
        ("value_floats", _) => vector(
            attribute.floats.iter().map(|x| f64::from(*x)).collect(),
            Kind::Real,
        ),
        _ => return Err(m.refuse("its attribute `value` is no array")),
    };
    Ok(vec![Value::Known(known)])
}

/// The sizes of the axes of a value.
fn sizes(m: &mut Machine<'_>, value: &Value) -> Out<Vec<Dim>> {
    let known = |n: usize| Dim::Known(i64::try_from(n).unwrap_or(i64::MAX));
    match value {
        Value::Known(k) => Ok(k.array.shape().iter().map(|n| known(*n)).collect()),
        Value::Dims(dims, is_scalar) => Ok(if *is_scalar {
            vec![]
        } else {
            vec![known(dims.len())]
        }),
        Value::Counter => Ok(vec![]),
        Value::Tensor(tensor) => tensor.axes.iter().map(|axis| size(m, axis)).collect(),
    }
}

fn size(m: &Machine<'_>, axis: &Axis) -> Out<Dim> {
    Ok(match axis.label {
        Label::Time => Dim::Steps,
        Label::Batch => Dim::Samples,
        Label::One => Dim::Known(1),
        Label::Joined(_) => Dim::Both,
        Label::Open(origin) => Dim::Open(origin),
        Label::Feature => {
            let n = m.count(axis)?;
            Dim::Known(i64::try_from(n).unwrap_or(i64::MAX))
        }
    })
}

/// Sizes as a value: known numbers if all of them are.
fn vector(dims: Vec<Dim>, is_scalar: bool) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let numbers: Option<Vec<f64>> = dims
        .iter()
        .map(|d| match d {
            Dim::Known(n) => Some(*n as f64),
            _ => None,
        })
        .collect();
    match numbers {
        Some(numbers) => {
            let array = ndarray::Array1::from(numbers.clone()).into_dyn();
            let array = match (is_scalar, numbers.first()) {
                (true, Some(x)) => ArrayD::from_elem(IxDyn(&[]), *x),
                _ => array,
            };
            Value::Known(Known::new(array, Kind::Int))
        }
        None => Value::Dims(dims, is_scalar),
    }
}

fn shape(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let all = sizes(m, &value)?;
    let rank = i64::try_from(all.len()).unwrap_or(0);
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or(0)
    };
    let start = place(call.int("start").unwrap_or(0));
    let end = place(call.int("end").unwrap_or(rank));
    Ok(vec![vector(
        all.get(start..end).unwrap_or_default().to_vec(),
        false,
    )])
}

fn count(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let all = sizes(m, &value)?;
    let known: Option<i64> = all.iter().try_fold(1i64, |n, d| match d {
        Dim::Known(d) => n.checked_mul(*d),
        _ => None,
    });
    match known {
        Some(n) => Ok(vec![vector(vec![Dim::Known(n)], true)]),
        None => Err(m.refuse("the number of all entries depends on the data")),
    }
}

fn constant_of_shape(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let shape = m.need(call, 0)?;
    let (shape, _) = dims(&shape).ok_or_else(|| m.refuse("input 0, the shape, is not known"))?;
    let (x, kind) = match call.attribute("value").and_then(|a| a.t.as_ref()) {
        None => (0.0, Kind::Real),
        Some(tensor) => {
            let known = entries::known(tensor).map_err(|reason| m.refuse(reason))?;
            let x = known
                .scalar()
                .ok_or_else(|| m.refuse("attribute `value` is no number"))?;
            (x, known.kind)
        }
    };
    let numbers: Option<Vec<usize>> = shape
        .iter()
        .map(|d| match d {
            Dim::Known(n) => usize::try_from(*n).ok(),
            _ => None,
        })
        .collect();
    if let Some(numbers) = numbers {
        let count = numbers.iter().try_fold(1usize, |a, n| a.checked_mul(*n));
        if count.is_some_and(|n| n <= MOST_ENTRIES) && numbers.len() <= 16 {
            return Ok(vec![Value::Known(Known::new(
                ArrayD::from_elem(IxDyn(&numbers), x),
                kind,
            ))]);
        }
    }
    if !x.is_finite() {
        return Err(m.refuse("attribute `value` is not finite"));
    }
    let axes = axes_of(m, &shape)?;
    Ok(vec![Value::Tensor(Tensor {
        axes,
        body: Body::Filled(x),
        is_per_step: false,
        logits: None,
    })])
}

fn reshape(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let shape = match call.ints("shape") {
        Some(ints) => ints.iter().map(|i| Dim::Known(*i)).collect(),
        None => {
            let shape = m.need(call, 1)?;
            dims(&shape)
                .ok_or_else(|| m.refuse("input 1, the shape, is not known"))?
                .0
        }
    };
    let keeps_zero = call.int("allowzero").unwrap_or(0) != 0;
    in_shape(m, value, &shape, keeps_zero)
}

fn in_shape(m: &mut Machine<'_>, value: Value, shape: &[Dim], keeps_zero: bool) -> Out<Vec<Value>> {
    match value {
        Value::Known(known) => {
            let own = known.array.shape();
            let mut found = Vec::new();
            let mut open = None;
            for (at, dim) in shape.iter().enumerate() {
                found.push(match dim {
                    Dim::Known(-1) if open.is_none() => {
                        open = Some(at);
                        1
                    }
                    Dim::Known(0) if !keeps_zero => own.get(at).copied().unwrap_or(0),
                    Dim::Known(n) => {
                        usize::try_from(*n).map_err(|_| m.refuse(format!("a size of {n}")))?
                    }
                    _ => return Err(m.refuse("an initializer takes a shape of the data")),
                });
            }
            if let Some(at) = open {
                let rest = found
                    .iter()
                    .try_fold(1usize, |a, n| a.checked_mul(*n))
                    .unwrap_or(0);
                found[at] = known.array.len().checked_div(rest).unwrap_or(0);
            }
            reshaped(m, &known, &found).map(|k| vec![k])
        }
        Value::Dims(dims, _) => Ok(vec![Value::Dims(dims, shape.is_empty())]),
        Value::Counter => Ok(vec![Value::Counter]),
        Value::Tensor(tensor) => {
            let mut target = shape.to_vec();
            for (at, dim) in target.iter_mut().enumerate() {
                if *dim == Dim::Known(0) && !keeps_zero {
                    let axis = tensor.axes.get(at);
                    let axis = axis.ok_or_else(|| {
                        m.refuse(format!(
                            "size {at} of the shape is 0, and there is no such axis"
                        ))
                    })?;
                    *dim = match axis.label {
                        Label::Feature => size(m, axis)?,
                        _ => size(m, axis)?,
                    };
                }
            }
            Ok(vec![Value::Tensor(regrouped(m, &tensor, &target)?)])
        }
    }
}

fn flatten(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let all = sizes(m, &value)?;
    let axis = match call.int("axis").unwrap_or(1) {
        n if usize::try_from(n).is_ok_and(|n| n == all.len()) => all.len(),
        n => m.axis(n, all.len())?,
    };
    let joined = |dims: &[Dim]| match dims {
        [] => Dim::Known(1),
        [one] => *one,
        [Dim::Steps, Dim::Samples] | [Dim::Samples, Dim::Steps] => Dim::Both,
        _ => Dim::Known(-1),
    };
    let shape = [joined(&all[..axis]), joined(&all[axis..])];
    in_shape(m, value, &shape, true)
}
