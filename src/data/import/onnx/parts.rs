//! Operators that take parts: Gather, Slice, Split, `OneHot`.

use std::rc::Rc;

use ndarray::{ArrayD, Axis as Along, IxDyn, Slice};

use super::align::whole;
use super::facts::Out;
use super::layout::{derived, entry, integers, without};
use super::machine::{Call, Machine, Row};
use super::value::{Axis, Body, Dim, Expr, Known, Label, Level, Size, Source, Tensor, Value};

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "Gather",
        inputs: (2, 2),
        attributes: &["axis"],
        run: gather,
    },
    Row {
        op: "Slice",
        inputs: (1, 5),
        attributes: &["axes", "starts", "ends"],
        run: slice,
    },
    Row {
        op: "Split",
        inputs: (1, 2),
        attributes: &["axis", "split", "num_outputs"],
        run: split,
    },
    Row {
        op: "OneHot",
        inputs: (3, 3),
        attributes: &["axis"],
        run: one_hot,
    },
];

/// A position along `count` entries, which may count from the end, within `0..=count`.
fn place(at: i64, count: usize) -> usize {
    let n = i64::try_from(count).unwrap_or(i64::MAX);
    let at = if at < 0 { at.saturating_add(n) } else { at };
    usize::try_from(at.clamp(0, n)).unwrap_or(0)
}

fn gather(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let (data, indices) = (m.need(call, 0)?, m.need(call, 1)?);
    let axis = call.int("axis").unwrap_or(0);
    if let Value::Dims(all, false) = &data
        && let Value::Known(known) = &indices
    {
        let pick = |at: i64| {
            let at = if at < 0 {
                at + i64::try_from(all.len()).unwrap_or(0)
            } else {
                at
            };
            usize::try_from(at).ok().and_then(|at| all.get(at)).copied()
        };
        let found: Option<Vec<Dim>> = known.integers().into_iter().map(pick).collect();
        let found = found.ok_or_else(|| m.refuse("an index beyond the shape"))?;
        return Ok(vec![Value::Dims(found, known.array.ndim() == 0)]);
    }
    match (data, indices) {
        (Value::Known(table), Value::Known(indices)) => {
            let axis = m.axis(axis, table.array.ndim())?;
            let count = table.array.len_of(Along(axis));
            let n = i64::try_from(count).unwrap_or(i64::MAX);
            let all: Option<Vec<usize>> = indices
                .integers()
                .into_iter()
                .map(|i| {
                    usize::try_from(if i < 0 { i + n } else { i })
                        .ok()
                        .filter(|i| *i < count)
                })
                .collect();
            let all =
                all.ok_or_else(|| m.refuse(format!("an index beyond the {count} entries")))?;
            if all.len().saturating_mul(table.array.len() / count.max(1))
                > table.array.len().max(1 << 12)
            {
                return Err(m.refuse("it repeats the rows of an initializer"));
            }
            let array = table.array.select(Along(axis), &all);
            let mut shape = array.shape().to_vec();
            shape.splice(axis..=axis, indices.array.shape().iter().copied());
            let array = array
                .into_shape_with_order(IxDyn(&shape))
                .map_err(|_| m.refuse("its shapes do not fit"))?;
            let source = derived(&table, &format!("[{all:?}]"));
            Ok(vec![Value::Known(Known {
                array: Rc::new(array),
                kind: table.kind,
                source,
            })])
        }
        (Value::Known(table), Value::Tensor(indices)) => {
            embedding(m, &table, &indices, axis).map(|t| vec![t])
        }
        (Value::Tensor(tensor), Value::Known(indices)) => {
            let at = m.axis(axis, tensor.axes.len())?;
            let (Some(n), true) = (
                indices.integers().first().copied(),
                indices.array.len() == 1,
            ) else {
                let list = indices.integers();
                let is_range = list.windows(2).all(|w| w[1] == w[0].saturating_add(1));
                if let (true, Some(first), true) =
                    (is_range, list.first(), indices.array.ndim() == 1)
                {
                    let count = m.count(&tensor.axes[at])?;
                    let begin = place(*first, count);
                    return range(m, &tensor, at, (begin, begin + list.len()))
                        .map(|t| vec![Value::Tensor(t)]);
                }
                return Err(m.refuse(format!(
                    "input 1: the indices {list:?} are neither one index nor a range"
                )));
            };
            let mut found = one(m, &tensor, at, n)?;
            // Indices of rank 1 keep the axis.
            for _ in 0..indices.array.ndim() {
                found.axes.insert(at, Axis::one());
            }
            Ok(vec![Value::Tensor(found)])
        }
        (Value::Tensor(mut tensor), Value::Counter) => {
            let at = m.axis(axis, tensor.axes.len())?;
            m.expect(&tensor, at, Label::Time)?;
            tensor.axes.remove(at);
            Ok(vec![Value::Tensor(tensor)])
        }
        _ => Err(m.refuse("input 1: expected known indices, or an input of classes and a matrix")),
    }
}

/// Rows of a matrix, by the classes of an input.
fn embedding(m: &mut Machine<'_>, table: &Known, indices: &Tensor, axis: i64) -> Out<Value> {
    let Body::Integers(input) = indices.body else {
        return Err(m.refuse("input 1: indices that are computed; expected an input of integers"));
    };
    if m.facts.numbers.contains(&input) {
        return Err(
            m.refuse("input 1 is used as a number elsewhere; an input is a class or a number")
        );
    }
    let ([rows, columns], 0) = (table.array.shape(), m.axis(axis, table.array.ndim())?) else {
        return Err(m.refuse(format!(
            "input 0 has the shape {:?}; expected a matrix whose rows are taken, `axis` 0",
            table.array.shape()
        )));
    };
    if *rows == 0 || *columns == 0 {
        return Err(m.refuse("its matrix has no entries"));
    }
    let size = m.page.size(m.facts, "D", *columns);
    let classes = m.page.size(m.facts, "C", *rows);
    class(m, input, &classes)?;
    let table = Known {
        source: Some(table.source.clone().unwrap_or_else(|| Source {
            name: "E".into(),
            is_transposed: false,
        })),
        ..table.clone()
    };
    let name = whole(m, &table, &[classes, size.clone()])?;
    let mut axes = indices.axes.clone();
    axes.push(Axis::feature(size));
    let expr = Expr::call("gather", &[&name, &m.inputs[input].name]);
    Ok(Value::Tensor(Tensor::new(axes, expr, indices.is_per_step)))
}

/// The input is a class of this size.
fn class(m: &mut Machine<'_>, input: usize, size: &Size) -> Out<()> {
    match m.facts.classes.get(&input).filter(|c| **c != size.text) {
        Some(before) => {
            let before = before.clone();
            m.facts.classes.remove(&input);
            Err(m.facts.learn_equal(&before, &size.text))
        }
        None => {
            m.facts.classes.insert(input, size.text.clone());
            Ok(())
        }
    }
}

/// One entry along an axis, which is left out.
fn one(m: &mut Machine<'_>, tensor: &Tensor, at: usize, n: i64) -> Out<Tensor> {
    let axis = tensor.axes[at].clone();
    match axis.label {
        Label::Feature => {
            let count = m.count(&axis)?;
            let n = if n < 0 {
                n.saturating_add(i64::try_from(count).unwrap_or(0))
            } else {
                n
            };
            entry(m, tensor, at, usize::try_from(n).unwrap_or(usize::MAX))
        }
        Label::Time => step(m, tensor, at, n),
        Label::Open(origin) if axis.size.number != Some(1) => Err(m.guess(origin)),
        _ if n == 0 || n == -1 => without(m, tensor, at),
        _ => Err(m.refuse(format!("index {n} along an axis of {}", axis.described()))),
    }
}

/// The value at the first or the last step.
fn step(m: &mut Machine<'_>, tensor: &Tensor, at: usize, n: i64) -> Out<Tensor> {
    let is_last = n == -1
        || tensor.axes[at]
            .size
            .number
            .and_then(|t| i64::try_from(t).ok())
            .is_some_and(|t| t - 1 == n);
    if !is_last && n != 0 {
        return Err(m.refuse(format!(
            "step {n} of a sequence; expected the first (0) or the last (-1)"
        )));
    }
    if is_last && n != 0 && m.facts.lengths.is_some() {
        return Err(m.refuse(
            "the last step of the array, which is behind the end of shorter sequences; use the output Y_h of the recurrent node, which is at the end of each",
        ));
    }
    let name = if is_last { "last" } else { "first" };
    let mut axes = tensor.axes.clone();
    axes.remove(at);
    let of = |e: &Expr| match tensor.is_per_step {
        true => Expr::call(name, &[&e.text]),
        false => e.clone(),
    };
    let body = match &tensor.body {
        Body::Filled(x) => Body::Filled(*x),
        Body::Rows(rows) => Body::Rows(rows.iter().map(of).collect()),
        _ => Body::Expr(of(&m.flat(tensor)?)),
    };
    Ok(Tensor {
        axes,
        body,
        is_per_step: false,
        logits: None,
    })
}

/// The entries `a..b` along an axis of features.
fn range(m: &mut Machine<'_>, tensor: &Tensor, at: usize, (a, b): (usize, usize)) -> Out<Tensor> {
    let count = m.count(&tensor.axes[at])?;
    if a == 0 && b == count {
        return Ok(tensor.clone());
    }
    if a >= b || b > count {
        return Err(m.refuse(format!("the entries {a} to {b} of {count}")));
    }
    let is_first = tensor.features().first() == Some(&at);
    let mut axes = tensor.axes.clone();
    axes[at] = Axis::feature(Size::number(b - a));
    let text = |m: &mut Machine<'_>| -> Out<String> {
        m.counted(&tensor.axes[at])?;
        let expr = m.flat(tensor)?;
        Ok(expr.at(Level::Atom))
    };
    let body = match &tensor.body {
        Body::Filled(x) => Body::Filled(*x),
        Body::Rows(rows) if is_first => Body::Rows(rows[a..b].to_vec()),
        _ => Body::Expr(Expr::atom(match is_first {
            true => format!("{}[{a}:{b}]", text(m)?),
            false => format!("{}[:, {a}:{b}]", text(m)?),
        })),
    };
    Ok(Tensor {
        axes,
        ..tensor.with_body(body)
    })
}

fn slice(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let mut value = m.need(call, 0)?;
    let missing = |name: &str| m.refuse(format!("`{name}` is missing"));
    let starts = integers(m, call, "starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = integers(m, call, "ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = integers(m, call, "axes", 3)?;
    let steps = m.known(call, 4, "`steps`")?.map(|k| k.integers());
    if let Some(step) = steps.iter().flatten().find(|s| **s != 1) {
        return Err(m.refuse(format!("input 4, `steps`: expected 1, found {step}")));
    }
    let all = 0..i64::try_from(starts.len()).unwrap_or(0);
    let axes = axes.unwrap_or_else(|| all.collect());
    if axes.len() != starts.len() || ends.len() != starts.len() {
        return Err(m.refuse("`starts`, `ends` and `axes` have different lengths"));
    }
    for ((axis, start), end) in axes.iter().zip(starts).zip(ends) {
        value = match value {
            Value::Known(known) => {
                let at = m.axis(*axis, known.array.ndim())?;
                let count = known.array.len_of(Along(at));
                let (a, b) = (
                    place(start, count),
                    place(end, count).max(place(start, count)),
                );
                let array = known
                    .array
                    .slice_axis(Along(at), Slice::from(a..b))
                    .to_owned();
                let source = match a == 0 && b == count {
                    true => known.source.clone(),
                    false => derived(&known, &format!("[{a}:{b}] of axis {at}")),
                };
                Value::Known(Known {
                    array: Rc::new(array),
                    kind: known.kind,
                    source,
                })
            }
            Value::Dims(dims, false) => {
                let (a, b) = (place(start, dims.len()), place(end, dims.len()));
                Value::Dims(dims.get(a..b).unwrap_or_default().to_vec(), false)
            }
            Value::Tensor(tensor) => {
                let at = m.axis(*axis, tensor.axes.len())?;
                Value::Tensor(sliced(m, &tensor, at, (start, end))?)
            }
            _ => return Err(m.refuse("input 0 is no array")),
        };
    }
    Ok(vec![value])
}

fn sliced(
    m: &mut Machine<'_>,
    tensor: &Tensor,
    at: usize,
    (start, end): (i64, i64),
) -> Out<Tensor> {
    let axis = &tensor.axes[at];
    let is_all = start == 0
        && (end >= i64::from(i32::MAX)
            || axis
                .size
                .number
                .is_some_and(|n| i64::try_from(n).is_ok_and(|n| end >= n)));
    if is_all {
        return Ok(tensor.clone());
    }
    match axis.label {
        Label::Feature => {
            let count = m.count(axis)?;
            range(m, tensor, at, (place(start, count), place(end, count)))
        }
        Label::Time => {
            let count = axis.size.number;
            let is_first = start == 0 && end == 1;
            let is_last = match count {
                Some(n) => place(start, n) + 1 == place(end, n) && place(end, n) == n,
                None => start == -1 && end >= i64::from(i32::MAX),
            };
            let n = match (is_first, is_last) {
                (true, _) => 0,
                (_, true) => -1,
                _ => {
                    return Err(m.refuse(
                        "a part of the steps; expected all of them, the first or the last",
                    ));
                }
            };
            let mut found = step(m, tensor, at, n)?;
            found.axes.insert(at, Axis::one());
            Ok(found)
        }
        Label::Open(origin) => {
            // Parts of a fixed number are those of layers; steps have a first and a last one.
            let is_end = start == 0 && end == 1 || start == -1;
            Err(match is_end && axis.size.number.is_none() {
                true => m.guess(origin),
                false => m.facts.learn(origin, Label::Feature),
            })
        }
        Label::One if place(start, 1) == 0 && place(end, 1) == 1 => Ok(tensor.clone()),
        _ => Err(m.refuse(format!("a part of an axis of {}", axis.described()))),
    }
}

fn split(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = m.need(call, 0)?;
    let axis = call.int("axis").unwrap_or(0);
    let (at, count) = match &value {
        Value::Known(known) => {
            let at = m.axis(axis, known.array.ndim())?;
            (at, known.array.len_of(Along(at)))
        }
        Value::Tensor(tensor) => {
            let at = m.axis(axis, tensor.axes.len())?;
            match tensor.axes[at].label {
                Label::Feature => (at, m.count(&tensor.axes[at])?),
                Label::One => (at, 1),
                Label::Open(origin) => return Err(m.facts.learn(origin, Label::Feature)),
                _ => {
                    return Err(m.refuse(format!(
                        "parts of an axis of {}",
                        tensor.axes[at].described()
                    )));
                }
            }
        }
        _ => return Err(m.refuse("input 0 is no array")),
    };
    let parts = call.node.outputs.len().max(1);
    let sizes = match integers(m, call, "split", 1)? {
        Some(sizes) => sizes
            .iter()
            .map(|s| usize::try_from(*s).unwrap_or(0))
            .collect(),
        None => {
            let each = count.div_ceil(parts);
            let last = count.saturating_sub(each * (parts - 1));
            let mut sizes = vec![each; parts];
            sizes[parts - 1] = last;
            sizes
        }
    };
    if sizes.len() != parts
        || sizes.iter().try_fold(0usize, |a, n| a.checked_add(*n)) != Some(count)
    {
        return Err(m.refuse(format!(
            "the sizes {sizes:?} are not {parts} parts of {count} entries"
        )));
    }
    let mut begin = 0;
    let mut found = Vec::new();
    for size in sizes {
        let end = begin + size;
        found.push(match &value {
            Value::Known(known) => {
                let array: ArrayD<f64> = known
                    .array
                    .slice_axis(Along(at), Slice::from(begin..end))
                    .to_owned();
                let source = derived(known, &format!("[{begin}:{end}] of axis {at}"));
                Value::Known(Known {
                    array: Rc::new(array),
                    kind: known.kind,
                    source,
                })
            }
            Value::Tensor(tensor) => Value::Tensor(range(m, tensor, at, (begin, end))?),
            _ => return Err(m.refuse("input 0 is no array")),
        });
        begin = end;
    }
    Ok(found)
}

fn one_hot(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let depth = m
        .known(call, 1, "`depth`")?
        .and_then(|k| k.integers().first().copied());
    let values = m.known(call, 2, "`values`")?.map(|k| k.integers());
    let indices = m.need(call, 0)?;
    let (Value::Tensor(tensor), Some(depth)) =
        (&indices, depth.and_then(|d| usize::try_from(d).ok()))
    else {
        return Err(m.refuse("input 1, `depth`: expected a number"));
    };
    let Body::Integers(input) = tensor.body else {
        return Err(m.refuse("input 0: expected an input of integers"));
    };
    let is_last = call.int("axis").unwrap_or(-1);
    if values.as_deref() != Some(&[0, 1]) || is_last != -1 || depth == 0 {
        return Err(m.refuse("expected the values 0 and 1, along the last axis"));
    }
    let size = m.page.size(m.facts, "C", depth);
    class(m, input, &size)?;
    let mut axes = tensor.axes.clone();
    axes.push(Axis::feature(size));
    let expr = Expr::call("one_hot", &[&m.inputs[input].name]);
    Ok(vec![Value::Tensor(Tensor::new(
        axes,
        expr,
        tensor.is_per_step,
    ))])
}
