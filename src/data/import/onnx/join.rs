//! Concat: parts joined along an axis.

use std::rc::Rc;

use ndarray::{Axis as Along, concatenate};

use super::align::{met, parameter};
use super::facts::Out;
use super::machine::{Call, MANY, Machine, Row};
use super::pointwise::dims;
use super::value::{Axis, Body, Expr, Kind, Known, Label, Size, Source, Tensor, Value};

pub(super) const ROWS: &[Row] = &[Row {
    op: "Concat",
    inputs: (1, MANY),
    attributes: &["axis"],
    run: concat,
}];

fn concat(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let values: Vec<Value> = (0..call.node.inputs.len())
        .map(|at| m.need(call, at))
        .collect::<Out<_>>()?;
    let axis = call.int("axis").unwrap_or(1);
    if values.iter().any(|v| matches!(v, Value::Dims(..))) {
        let all: Option<Vec<_>> = values.iter().map(dims).collect();
        let all = all.ok_or_else(|| m.refuse("sizes are joined with other values"))?;
        return Ok(vec![Value::Dims(
            all.into_iter().flat_map(|(d, _)| d).collect(),
            false,
        )]);
    }
    let known: Option<Vec<&Known>> = values
        .iter()
        .map(|v| match v {
            Value::Known(known) => Some(known),
            _ => None,
        })
        .collect();
    if let Some(known) = known {
        let first = known.first().ok_or_else(|| m.refuse("it has no inputs"))?;
        let at = m.axis(axis, first.array.ndim())?;
        let entries = known.iter().map(|k| k.array.len());
        let entries = entries.fold(0usize, usize::saturating_add);
        m.room(entries)?;
        let views: Vec<_> = known.iter().map(|k| k.array.view()).collect();
        let array = concatenate(Along(at), &views)
            .map_err(|_| m.refuse("its arrays do not fit each other"))?;
        let names: Vec<&str> = known
            .iter()
            .filter_map(|k| k.source.as_ref())
            .map(|s| s.name.as_str())
            .collect();
        let source = (!names.is_empty()).then(|| Source {
            name: names.join(" and "),
            is_transposed: false,
        });
        let kind = if known.iter().all(|k| k.kind == Kind::Int) {
            Kind::Int
        } else {
            first.kind
        };
        return Ok(vec![Value::Known(Known {
            array: Rc::new(array),
            kind,
            source,
        })]);
    }
    joined(m, &values, axis).map(|t| vec![Value::Tensor(t)])
}

/// Tensors joined along an axis of features.
fn joined(m: &mut Machine<'_>, values: &[Value], axis: i64) -> Out<Tensor> {
    let first = values.iter().find_map(|v| match v {
        Value::Tensor(t) => Some(t.clone()),
        _ => None,
    });
    let first = first.ok_or_else(|| m.refuse("it has no arrays"))?;
    let rank = first.axes.len();
    let at = m.axis(axis, rank)?;
    let mut tensors = Vec::new();
    for value in values {
        let tensor = match value {
            Value::Tensor(tensor) => tensor.clone(),
            Value::Known(known) if known.array.ndim() == rank => {
                let mut axes = first.axes.clone();
                axes[at] = Axis::feature(m.page.size(m.facts, "N", known.array.len_of(Along(at))));
                parameter(m, known, &axes)?
            }
            _ => return Err(m.refuse("its arrays have different numbers of axes")),
        };
        if tensor.axes.len() != rank {
            return Err(m.refuse("its arrays have different numbers of axes"));
        }
        match tensor.axes[at].label {
            Label::Open(origin) => return Err(m.facts.learn(origin, Label::Feature)),
            Label::Feature | Label::One => {}
            _ => {
                return Err(m.refuse(format!("it joins axes of {}", tensor.axes[at].described())));
            }
        }
        tensors.push(tensor);
    }
    let mut axes = first.axes.clone();
    for tensor in &tensors[1..] {
        for (p, axis) in axes.iter_mut().enumerate() {
            if p != at {
                *axis = met(m, axis.clone(), tensor.axes[p].clone())?;
            }
        }
    }
    let is_per_step = tensors.iter().any(|t| t.is_per_step);
    let sizes: Vec<Size> = tensors.iter().map(|t| t.axes[at].size.clone()).collect();
    axes[at] = Axis::feature(sum(m, &sizes)?);
    let result = Tensor {
        axes,
        body: Body::Filled(0.0),
        is_per_step,
        logits: None,
    };
    let shape = m.shape(&result)?;
    let is_first = result.features().first() == Some(&at);
    // Arrays with one row, or made of rows, stay rows.
    let mut rows = Vec::new();
    for tensor in &tensors {
        match (&tensor.body, tensor.axes[at].label) {
            (Body::Rows(own), _) if tensor.features().first() == Some(&at) => {
                rows.extend(own.iter().cloned());
            }
            (_, Label::One) if is_first => rows.push(m.shaped(&Tensor {
                axes: tensor.axes.clone(),
                ..tensor.clone()
            })?),
            _ => {
                rows.clear();
                break;
            }
        }
    }
    if rows.len() == result.axes[at].size.number.unwrap_or(0) && shape.len() == 2 {
        return Ok(result.with_body(Body::Rows(rows)));
    }
    let mut texts = Vec::new();
    for tensor in &tensors {
        let expr = m.shaped(tensor)?;
        // A scalar joins a vector as one entry, a vector joins a matrix as one row or column.
        let is_vector = shape.len() == 2 && tensor.axes[at].label == Label::One;
        texts.push(match (is_vector, is_first) {
            (false, _) => expr.text,
            (true, true) => format!("reshape({}, [1, {}])", expr.text, shape[1].text),
            (true, false) => format!("reshape({}, [{}, 1])", expr.text, shape[0].text),
        });
    }
    let name = if is_first { "concat" } else { "concat_columns" };
    Ok(result.with_body(Body::Expr(Expr::atom(format!(
        "{name}({})",
        texts.join(", ")
    )))))
}

/// The sum of sizes: `2*H`, `H + K`.
fn sum(m: &Machine<'_>, sizes: &[Size]) -> Out<Size> {
    let mut number = 0usize;
    let mut counts: Vec<(String, usize)> = Vec::new();
    for size in sizes {
        let n = size
            .number
            .ok_or_else(|| m.refuse("the size of an axis is not in the file"))?;
        number = number.saturating_add(n);
        match counts.iter_mut().find(|(text, _)| *text == size.text) {
            Some((_, count)) => *count += 1,
            None => counts.push((size.text.clone(), 1)),
        }
    }
    let is_simple = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if m.facts.is_numeric || counts.iter().all(|(text, _)| is_number(text)) {
        return Ok(Size::number(number));
    }
    let terms: Vec<String> = counts
        .iter()
        .map(|(text, count)| match (count, is_simple(text)) {
            (1, _) => text.clone(),
            (n, true) => format!("{n}*{text}"),
            (n, false) => format!("{n}*({text})"),
        })
        .collect();
    let text = terms.join(" + ");
    Ok(Size {
        number: Some(number),
        text,
    })
}
