//! Operators that sum along axes: reductions, softmax, layer norms.

use super::align::{Pointwise, combine, parameter};
use super::facts::Out;
use super::layout::integers;
use super::machine::{Call, Machine, Row};
use super::value::{Axis, Body, Expr, Label, Level, Tensor, Value, digits};

const ATTRIBUTES: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "ReduceSum",
        inputs: (1, 2),
        attributes: ATTRIBUTES,
        run: |m, c| reduced(m, c, "sum"),
    },
    Row {
        op: "ReduceMean",
        inputs: (1, 2),
        attributes: ATTRIBUTES,
        run: |m, c| reduced(m, c, "mean"),
    },
    Row {
        op: "ReduceMax",
        inputs: (1, 2),
        attributes: ATTRIBUTES,
        run: |m, c| reduced(m, c, "largest"),
    },
    Row {
        op: "ReduceMin",
        inputs: (1, 2),
        attributes: ATTRIBUTES,
        run: |m, c| reduced(m, c, "smallest"),
    },
    Row {
        op: "ReduceLogSumExp",
        inputs: (1, 2),
        attributes: ATTRIBUTES,
        run: |m, c| reduced(m, c, "logsumexp"),
    },
    Row {
        op: "Softmax",
        inputs: (1, 1),
        attributes: &["axis"],
        run: |m, c| softmax(m, c, "softmax"),
    },
    Row {
        op: "LogSoftmax",
        inputs: (1, 1),
        attributes: &["axis"],
        run: |m, c| softmax(m, c, "log_softmax"),
    },
    Row {
        op: "LayerNormalization",
        inputs: (2, 3),
        attributes: &["axis", "epsilon", "stash_type"],
        run: layer_norm,
    },
];

/// A tensor whose axis of features is the last one of its expression, `columns`, or the first one, `rows`.
fn along(tensor: &Tensor, at: usize) -> &'static str {
    match tensor.features()[..] {
        [_] => "",
        [first, _] if first == at => ", rows",
        _ => ", columns",
    }
}

fn tensor(m: &Machine<'_>, call: Call<'_>) -> Out<Tensor> {
    match m.need(call, 0)? {
        Value::Tensor(tensor) => Ok(tensor),
        _ => Err(m.refuse("input 0 does not depend on an input of the graph")),
    }
}

fn reduced(m: &mut Machine<'_>, call: Call<'_>, name: &'static str) -> Out<Vec<Value>> {
    let mut value = tensor(m, call)?;
    let rank = value.axes.len();
    let keeps = call.int("keepdims").unwrap_or(1) != 0;
    let given = integers(m, call, "axes", 1)?.filter(|axes| !axes.is_empty());
    let mut axes = match given {
        Some(axes) => axes
            .iter()
            .map(|a| m.axis(*a, rank))
            .collect::<Out<Vec<_>>>()?,
        None if call.int("noop_with_empty_axes").unwrap_or(0) != 0 => vec![],
        None => (0..rank).collect(),
    };
    axes.sort_unstable();
    axes.dedup();
    for at in axes.into_iter().rev() {
        value = one(m, &value, at, name)?;
        if keeps {
            value.axes.insert(at, Axis::one());
        }
    }
    Ok(vec![Value::Tensor(value)])
}

/// The reduction along one axis.
fn one(m: &mut Machine<'_>, value: &Tensor, at: usize, name: &str) -> Out<Tensor> {
    let axis = value.axes[at].clone();
    let mut axes = value.axes.clone();
    axes.remove(at);
    let with = |expr: Expr, is_per_step: bool| Tensor::new(axes.clone(), expr, is_per_step);
    match axis.label {
        Label::One => Ok(Tensor { axes, ..value.clone() }),
        Label::Feature => {
            if let (Body::Rows(rows), Some(0), true) =
                (&value.body, value.features().iter().position(|f| *f == at), matches!(name, "sum" | "mean"))
            {
                let first = rows[0].clone();
                let sum = rows[1..].iter().fold(first, |sum, row| Expr::binary("+", &sum, row));
                let expr = match name {
                    "sum" => sum,
                    _ => Expr::new(format!("{} / {}", sum.at(Level::Product), rows.len()), Level::Product),
                };
                return Ok(with(expr, value.is_per_step));
            }
            let along = along(value, at);
            let expr = m.shaped(value)?;
            Ok(with(Expr::atom(format!("{name}({}{along})", expr.text)), value.is_per_step))
        }
        Label::Time if matches!(name, "sum" | "mean") => {
            if m.facts.lengths.is_some() {
                return Err(m.refuse(
                    "a sum over the steps of an array with `sequence_lens`, which counts the steps behind the end as well",
                ));
            }
            let expr = m.shaped(value)?;
            let sum = Expr::call("total_steps", &[&expr.text]);
            let expr = match name {
                "sum" => sum,
                _ => Expr::new(format!("{} / total_steps(hold(1, step))", sum.text), Level::Product),
            };
            Ok(with(expr, false))
        }
        Label::Open(origin) => Err(m.guess(origin)),
        _ => Err(m.refuse(format!(
            "axis {at} of its array {}: expected an axis of entries, or a sum or mean over the steps",
            value.described()
        ))),
    }
}

fn softmax(m: &mut Machine<'_>, call: Call<'_>, name: &'static str) -> Out<Vec<Value>> {
    let value = tensor(m, call)?;
    let rank = value.axes.len();
    let usual = if m.opset < 13 { 1 } else { -1 };
    let at = m.axis(call.int("axis").unwrap_or(usual), rank)?;
    if m.opset < 13 && at + 1 != rank {
        return Err(m.refuse(format!(
            "attribute `axis` is {at} of {rank} axes; before version 13 it joins all axes after it, expected the last one"
        )));
    }
    if let Label::Open(origin) = value.axes[at].label {
        return Err(m.facts.learn(origin, Label::Feature));
    }
    if value.axes[at].label != Label::Feature {
        return Err(m.refuse(format!(
            "attribute `axis`: axis {at} of its array {}; expected an axis of entries",
            value.described()
        )));
    }
    let along = along(&value, at);
    let logits = m.shaped(&value)?;
    let expr = Expr::atom(format!("{name}({}{along})", logits.text));
    let mut result = value.with_body(Body::Expr(expr));
    if along.is_empty() {
        result.logits = Some(logits);
    }
    Ok(vec![Value::Tensor(result)])
}

/// Over the last axis.
fn layer_norm(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let value = tensor(m, call)?;
    let rank = value.axes.len();
    let at = m.axis(call.int("axis").unwrap_or(-1), rank)?;
    if at + 1 != rank {
        return Err(m.refuse(format!(
            "attribute `axis` is {at} of {rank} axes; expected the last one"
        )));
    }
    match value.axes[at].label {
        Label::Open(origin) => return Err(m.facts.learn(origin, Label::Feature)),
        Label::Feature if value.features().len() == 1 => {}
        _ => {
            return Err(m.refuse(format!(
                "its array has the axes {}; expected one axis of entries",
                value.described()
            )));
        }
    }
    let epsilon = digits(call.float("epsilon").unwrap_or(1e-5));
    let body = format!("(x - mean(x)) / sqrt(mean((x - mean(x))^2) + {epsilon})");
    let name = m.page.function("normed", "x", &body);
    let expr = m.shaped(&value)?;
    let mut result = value.with_body(Body::Expr(Expr::call(&name, &[&expr.text])));
    for (at, op) in [(1, "*"), (2, "+")] {
        if let Some(Value::Known(known)) = m.input(call, at)? {
            let shift = rank
                .checked_sub(known.array.ndim())
                .ok_or_else(|| m.refuse("its scale has too many axes"))?;
            let scale = parameter(m, &known, &value.axes[shift..])?;
            let write = move |_: &mut Machine<'_>, e: &[Expr]| {
                Ok(if op == "*" {
                    Expr::binary("*", &e[1], &e[0])
                } else {
                    Expr::binary("+", &e[0], &e[1])
                })
            };
            let both = [Value::Tensor(result), Value::Tensor(scale)];
            result = combine(
                m,
                &both,
                &Pointwise {
                    fold: None,
                    write: &write,
                },
            )?;
        } else if call.has(at) {
            return Err(m.refuse(format!("input {at}: expected an initializer")));
        }
    }
    Ok(vec![Value::Tensor(result)])
}
