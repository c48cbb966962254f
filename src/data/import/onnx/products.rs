//! Matrix products: `MatMul` and `Gemm`.

use super::align::{Pointwise, combine, met, whole};
use super::facts::Out;
use super::layout::reshaped;
use super::machine::{Call, Machine, Row};
use super::value::{Axis, Expr, Known, Label, Level, Source, Tensor, Value};

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "MatMul",
        inputs: (2, 2),
        attributes: &[],
        run: matmul,
    },
    Row {
        op: "Gemm",
        inputs: (2, 3),
        attributes: &["alpha", "beta", "transA", "transB"],
        run: gemm,
    },
];

fn matmul(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let (a, b) = (m.need(call, 0)?, m.need(call, 1)?);
    product(m, a, b).map(|t| vec![Value::Tensor(t)])
}

fn product(m: &mut Machine<'_>, a: Value, b: Value) -> Out<Tensor> {
    match (a, b) {
        (Value::Tensor(a), Value::Known(b)) => by_weights(m, &a, &b),
        (Value::Tensor(a), Value::Tensor(b)) => of_tensors(m, &a, &b),
        (Value::Known(a), Value::Tensor(b)) if a.array.ndim() == 2 && b.axes.len() <= 2 => {
            // `A B` of a matrix and a vector or matrix without steps and samples before it.
            let Some(first) = b.features().first().copied() else {
                return Err(m.refuse(format!("a matrix times an array with the axes {}", b.described())));
            };
            if first != 0 {
                return Err(m.refuse(format!("a matrix times an array with the axes {}", b.described())));
            }
            let rows = a.array.shape()[0];
            m.sized(&b.axes[0], a.array.shape()[1])?;
            let out = m.page.size(m.facts, "O", rows);
            let name = whole(m, &a, &[out.clone(), b.axes[0].size.clone()])?;
            let expr = m.shaped(&b)?;
            let expr = Expr::binary("@", &Expr::atom(name), &expr);
            let mut axes = b.axes.clone();
            axes[0] = Axis::feature(out);
            Ok(Tensor::new(axes, expr, b.is_per_step))
        }
        (Value::Known(_), Value::Known(_)) => Err(m.refuse(
            "a product of two initializers; fold it: `onnxsim` or `onnxruntime` with basic optimisations writes such a model",
        )),
        _ => Err(m.refuse("a product of values that are no arrays of numbers")),
    }
}

/// `x W`, written as `W x` with the transposed matrix.
fn by_weights(m: &mut Machine<'_>, x: &Tensor, weights: &Known) -> Out<Tensor> {
    let weights = match weights.array.shape() {
        [1, rows, columns] => {
            let shape = [*rows, *columns];
            match reshaped(m, weights, &shape)? {
                Value::Known(known) => known,
                _ => weights.clone(),
            }
        }
        _ => weights.clone(),
    };
    let (rows, columns) = match *weights.array.shape() {
        [rows, columns] => (rows, Some(columns)),
        [rows] => (rows, None),
        ref other => {
            return Err(m.refuse(format!(
                "its weights have the shape {other:?}; expected a matrix"
            )));
        }
    };
    let Some(last) = x.axes.len().checked_sub(1) else {
        return Err(m.refuse("its array is a number"));
    };
    match x.axes[last].label {
        Label::Open(origin) => return Err(m.facts.learn(origin, Label::Feature)),
        Label::Feature => m.sized(&x.axes[last], rows)?,
        Label::One if rows == 1 => {
            // A number for each step is a vector with one entry.
            let expr = m.shaped(x)?;
            let mut axes = x.axes.clone();
            let one = m.page.size(m.facts, "K", 1);
            axes[last] = Axis::feature(one.clone());
            let expr = super::machine::spread(&expr, &[one]);
            return by_weights(m, &Tensor::new(axes, expr, x.is_per_step), &weights);
        }
        _ => {
            return Err(m.refuse(format!(
                "the product sums over axis {last} of its array {}; expected an axis of entries there",
                x.described()
            )));
        }
    }
    let expr = m.shaped(x)?;
    let input = x.axes[last].size.clone();
    let mut axes = x.axes.clone();
    let Some(columns) = columns else {
        let name = whole(m, &weights, &[input])?;
        axes.pop();
        return Ok(Tensor::new(
            axes,
            Expr::binary("@", &expr, &Expr::atom(name)),
            x.is_per_step,
        ));
    };
    if columns == 0 || rows == 0 {
        return Err(m.refuse("its weights have no entries"));
    }
    let out = m.page.size(m.facts, "O", columns);
    axes[last] = Axis::feature(out.clone());
    let turned = turned(&weights);
    let name = whole(m, &turned, &[out, input])?;
    let result = match x.features().len() {
        1 => {
            let matrix = Expr::atom(name);
            Expr::binary("@", &matrix, &expr)
        }
        _ => {
            let name = name
                .strip_suffix(".T")
                .map_or_else(|| format!("{name}.T"), str::to_owned);
            Expr::binary("@", &expr, &Expr::atom(name))
        }
    };
    Ok(Tensor::new(axes, result, x.is_per_step))
}

/// The transposed matrix.
fn turned(known: &Known) -> Known {
    let array = known.array.t().as_standard_layout().into_owned();
    let source = known.source.clone().map(|s| Source {
        is_transposed: !s.is_transposed,
        ..s
    });
    Known {
        source,
        ..Known::new(array, known.kind)
    }
}

fn of_tensors(m: &mut Machine<'_>, a: &Tensor, b: &Tensor) -> Out<Tensor> {
    let (ra, rb) = (a.axes.len(), b.axes.len());
    if ra < 2 || rb < 2 {
        return Err(m.refuse("a product of two arrays, one of which has a single axis"));
    }
    let (inner, other) = (&a.axes[ra - 1], &b.axes[rb - 2]);
    for axis in [inner, other] {
        match axis.label {
            Label::Open(origin) => return Err(m.facts.learn(origin, Label::Feature)),
            Label::Feature => {}
            _ => {
                return Err(m.refuse(format!(
                    "the product sums over an axis of {}; expected an axis of entries",
                    axis.described()
                )));
            }
        }
    }
    m.equal(inner, other)?;
    let outer = ra.max(rb) - 2;
    let mut axes = Vec::new();
    for p in 0..outer {
        let of = |t: &Tensor, r: usize| {
            (p + r)
                .checked_sub(outer + 2)
                .map_or_else(Axis::one, |at| t.axes[at].clone())
        };
        axes.push(met(m, of(a, ra), of(b, rb))?);
    }
    if axes.iter().any(Axis::is_feature) {
        return Err(m.refuse("a product of more than two axes of entries"));
    }
    let (rows, columns) = (a.axes[ra - 2].clone(), b.axes[rb - 1].clone());
    for axis in [&rows, &columns] {
        if !matches!(axis.label, Label::Feature | Label::One) {
            return Err(m.refuse(format!("the product has an axis of {}", axis.described())));
        }
    }
    axes.extend([rows, columns]);
    let (x, y) = (m.shaped(a)?, m.shaped(b)?);
    let expr = Expr::binary("@", &Expr::atom(x.at(Level::Product)), &y);
    Ok(Tensor::new(axes, expr, a.is_per_step || b.is_per_step))
}

/// `alpha A B + beta C`
fn gemm(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let flag = |name: &str| call.int(name).unwrap_or(0) != 0;
    if flag("transA") {
        return Err(m.refuse("attribute `transA`: expected 0, the samples as rows"));
    }
    let mut b = m.need(call, 1)?;
    if flag("transB") {
        b = match b {
            Value::Known(known) if known.array.ndim() == 2 => Value::Known(turned(&known)),
            _ => return Err(m.refuse("input 1: expected an initializer that is a matrix")),
        };
    }
    let a = m.need(call, 0)?;
    let mut sum = Value::Tensor(product(m, a, b)?);
    let scale = |m: &mut Machine<'_>, value: Value, factor: f64| -> Out<Value> {
        if factor == 1.0 {
            return Ok(value);
        }
        let write =
            |_: &mut Machine<'_>, e: &[Expr]| Ok(Expr::binary("*", &Expr::number(factor), &e[0]));
        let fold = None;
        Ok(Value::Tensor(combine(
            m,
            &[value],
            &Pointwise {
                fold,
                write: &write,
            },
        )?))
    };
    let factor = |name: &str| call.float(name).unwrap_or(1.0);
    sum = scale(m, sum, factor("alpha"))?;
    if let Some(c) = m.input(call, 2)? {
        let c = scale(m, c, factor("beta"))?;
        let write = |_: &mut Machine<'_>, e: &[Expr]| Ok(Expr::binary("+", &e[0], &e[1]));
        sum = Value::Tensor(combine(
            m,
            &[sum, c],
            &Pointwise {
                fold: None,
                write: &write,
            },
        )?);
    }
    Ok(vec![sum])
}
