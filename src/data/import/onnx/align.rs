//! Values entry by entry: axes are aligned from the last one, and axes of size 1 are repeated.

use super::facts::Out;
use super::machine::{Machine, spread};
use super::page::stem;
use super::value::{Axis, Body, Expr, Known, Label, Level, Size, Source, Tensor, Value};

/// A function of some numbers, and of expressions.
pub(super) struct Pointwise<'f> {
    /// Its value of numbers that are known, if it is a simple one.
    pub(super) fold: Option<fn(&[f64]) -> f64>,
    pub(super) write: &'f dyn Fn(&mut Machine<'_>, &[Expr]) -> Out<Expr>,
}

/// The tensors of a node: what depends on data as it is, known numbers as parameters or numbers in the text.
pub(super) fn combine(m: &mut Machine<'_>, values: &[Value], f: &Pointwise<'_>) -> Out<Tensor> {
    let rank = values.iter().map(rank).max().unwrap_or(0);
    let mut axes = Vec::new();
    for p in 0..rank {
        axes.push(merged(m, values, p, rank)?);
    }
    let mut tensors = Vec::new();
    for value in values {
        tensors.push(tensor(m, value, &axes)?);
    }
    let numbers: Option<Vec<f64>> = tensors
        .iter()
        .map(|t| match t.body {
            Body::Filled(x) => Some(x),
            _ => None,
        })
        .collect();
    let result = Tensor {
        is_per_step: tensors.iter().any(|t| t.is_per_step),
        body: Body::Filled(0.0),
        axes,
        logits: None,
    };
    m.shape(&result)?;
    if let (Some(numbers), Some(fold)) = (numbers, f.fold) {
        let x = fold(&numbers);
        return match x.is_finite() {
            true => Ok(result.with_body(Body::Filled(x))),
            false => Err(m.refuse("its result is not finite")),
        };
    }
    if let Some(count) = common_rows(&tensors, &result) {
        let mut rows = Vec::new();
        for n in 0..count {
            let mut parts = Vec::new();
            for tensor in &tensors {
                parts.push(match &tensor.body {
                    Body::Rows(rows) => rows[n].clone(),
                    _ => m.flat(tensor)?,
                });
            }
            rows.push((f.write)(m, &parts)?);
        }
        return Ok(result.with_body(Body::Rows(rows)));
    }
    let mut parts = Vec::new();
    let mut has_shape = false;
    for tensor in &tensors {
        let (expr, is_whole) = fitted(m, tensor, &result)?;
        has_shape |= is_whole;
        parts.push(expr);
    }
    let expr = (f.write)(m, &parts)?;
    let shape = m.shape(&result)?;
    let expr = match has_shape || shape.is_empty() {
        true => expr,
        false => spread(&expr, &shape),
    };
    Ok(result.with_body(Body::Expr(expr)))
}

fn rank(value: &Value) -> usize {
    match value {
        Value::Known(known) => known.array.ndim(),
        Value::Dims(_, is_scalar) => usize::from(!is_scalar),
        Value::Tensor(tensor) => tensor.axes.len(),
        Value::Counter => 0,
    }
}

/// The axis of the result at a position.
fn merged(m: &mut Machine<'_>, values: &[Value], p: usize, rank_of_all: usize) -> Out<Axis> {
    let mut axis = Axis::one();
    for value in values {
        let Some(at) = (p + rank(value)).checked_sub(rank_of_all) else {
            continue;
        };
        if let Value::Tensor(tensor) = value {
            axis = met(m, axis, tensor.axes[at].clone())?;
        }
    }
    for value in values {
        let Some(at) = (p + rank(value)).checked_sub(rank_of_all) else {
            continue;
        };
        if let Value::Known(known) = value {
            axis = met_number(m, axis, known, at)?;
        }
    }
    Ok(axis)
}

/// The axis that two axes become.
pub(super) fn met(m: &mut Machine<'_>, one: Axis, other: Axis) -> Out<Axis> {
    match (one.label, other.label) {
        (Label::One, _) => Ok(other),
        (_, Label::One) => Ok(one),
        (Label::Open(a), Label::Open(b)) if a == b => Ok(one),
        (Label::Open(a), Label::Open(b)) => Err(m.facts.learn_same(a, b)),
        (Label::Open(a), label) => {
            let is_repeated = one.size.number == Some(1) && other.size.number != Some(1);
            Err(m
                .facts
                .learn(a, if is_repeated { Label::One } else { label }))
        }
        (_, Label::Open(_)) => met(m, other, one),
        (Label::Feature, Label::Feature) => {
            if one.size.number == Some(1) && other.size.number != Some(1) {
                return Ok(other);
            }
            if other.size.number == Some(1) && one.size.number != Some(1) {
                return Ok(one);
            }
            m.equal(&one, &other)?;
            Ok(one)
        }
        (a, b) if a == b => Ok(one),
        _ => Err(m.refuse(format!(
            "an axis of {} meets one of {}; transpose one of its arrays in the model",
            one.described(),
            other.described()
        ))),
    }
}

/// The axis of a result where an array of known numbers has this many entries.
fn met_number(m: &mut Machine<'_>, axis: Axis, known: &Known, at: usize) -> Out<Axis> {
    let n = known.array.shape()[at];
    if n == 1
        || known
            .constant()
            .is_some_and(|_| axis.size.number == Some(n))
    {
        return Ok(axis);
    }
    match axis.label {
        Label::One => Ok(Axis::feature(m.page.size(m.facts, "N", n))),
        Label::Open(origin) => Err(m.facts.learn(origin, Label::Feature)),
        Label::Feature if axis.size.number == Some(1) => {
            Ok(Axis::feature(m.page.size(m.facts, "N", n)))
        }
        Label::Feature => {
            m.sized(&axis, n)?;
            Ok(axis)
        }
        _ => Err(m.refuse(format!(
            "{} has {n} entries along an axis of {}; an array with an entry for each step or sample belongs to the data: make \
             it an input of the graph",
            named(known),
            axis.described()
        ))),
    }
}

fn named(known: &Known) -> String {
    match &known.source {
        Some(source) => format!("`{}`", crate::error::printable(&source.name)),
        None => "a constant".into(),
    }
}

/// A value with axes. Known numbers take the sizes of the axes that they meet.
fn tensor(m: &mut Machine<'_>, value: &Value, axes: &[Axis]) -> Out<Tensor> {
    match value {
        Value::Tensor(tensor) => Ok(tensor.clone()),
        Value::Known(known) => parameter(m, known, &axes[axes.len() - known.array.ndim()..]),
        Value::Dims(..) => Err(m.refuse(
            "the number of steps or samples is used as a number; a recurrence has no sizes of the data in its equations",
        )),
        Value::Counter => Err(m.refuse("the number of the step is used in an equation; give it as an input")),
    }
}

/// Known numbers beside axes that they meet: a number in the text, or a parameter.
pub(super) fn parameter(m: &mut Machine<'_>, known: &Known, axes: &[Axis]) -> Out<Tensor> {
    let is_scalar = known.array.len() == 1;
    let is_number = known.array.ndim() == 0 || known.source.is_none();
    if let Some(x) = known.constant()
        && is_number
    {
        if !x.is_finite() {
            return Err(
                m.refuse("a constant is not finite, and the language has finite numbers only")
            );
        }
        let own = axes.iter().zip(known.array.shape());
        let axes = own.map(|(axis, n)| if *n == 1 { Axis::one() } else { axis.clone() });
        let axes = axes.collect();
        return Ok(Tensor {
            axes,
            body: Body::Filled(x),
            is_per_step: false,
            logits: None,
        });
    }
    let mut own = Vec::new();
    for (axis, n) in axes.iter().zip(known.array.shape()) {
        own.push(match (*n, axis.label) {
            (1, Label::Feature) if axis.size.number == Some(1) && !is_scalar => axis.clone(),
            (1, Label::Feature) if axis.size.number == Some(1) && axes.len() == 1 => axis.clone(),
            (1, _) => Axis::one(),
            (n, Label::Feature) if axis.size.number == Some(n) => axis.clone(),
            (n, _) => Axis::feature(m.page.size(m.facts, "N", n)),
        });
    }
    let sizes: Vec<Size> = own
        .iter()
        .filter(|a| a.is_feature())
        .map(|a| a.size.clone())
        .collect();
    let name = whole(m, known, &sizes)?;
    Ok(Tensor::new(own, Expr::atom(name), false))
}

/// The parameter of an initializer with these sizes, its axes of size 1 left out; a second use is the same parameter.
pub(super) fn whole(m: &mut Machine<'_>, known: &Known, sizes: &[Size]) -> Out<String> {
    if sizes.len() > 2 {
        return Err(m.refuse(format!(
            "{} has more than two axes; a parameter is a number, a vector or a matrix",
            named(known)
        )));
    }
    let source = known.source.clone().unwrap_or_else(|| Source {
        name: String::new(),
        is_transposed: false,
    });
    if let Some((param, is_turned)) = m.page.known(&source)
        && !source.name.is_empty()
        && param.dims.len() == sizes.len()
    {
        let (name, mut dims) = (param.name.clone(), param.dims.clone());
        if is_turned {
            dims.reverse();
        }
        for (one, other) in dims.iter().zip(sizes) {
            if one.text != other.text {
                return Err(m.facts.learn_equal(&one.text, &other.text));
            }
        }
        return Ok(match is_turned && sizes.len() == 2 {
            true => format!("{name}.T"),
            false => name,
        });
    }
    let numbers: Vec<usize> = sizes.iter().filter_map(|s| s.number).collect();
    let array = known.array.to_shape(numbers).map(|a| a.to_owned());
    let array = array.map_err(|_| m.refuse(format!("{} does not fit its sizes", named(known))))?;
    let usual = if sizes.len() == 2 { "W" } else { "b" };
    let param = m.page.param(&stem(&source.name, usual), sizes, array);
    let what = if source.is_transposed {
        ", transposed"
    } else {
        ""
    };
    let from = match source.name.is_empty() {
        true => "a constant of the model".to_owned(),
        false => source.name.clone(),
    };
    m.page.declare(&[from], what, std::slice::from_ref(&param));
    if !source.name.is_empty() {
        m.page.remember(&source, &param);
    }
    Ok(param.name)
}

/// The number of rows, if every tensor is made of that many, or has no entries along their axis.
fn common_rows(tensors: &[Tensor], result: &Tensor) -> Option<usize> {
    let first = *result.features().first()?;
    let rank = result.axes.len();
    let mut count = None;
    for tensor in tensors {
        match &tensor.body {
            Body::Rows(rows) if count.is_none_or(|n| n == rows.len()) => count = Some(rows.len()),
            Body::Rows(_) => return None,
            Body::Filled(_) => {}
            _ => {
                let at = (first + tensor.axes.len()).checked_sub(rank);
                let is_along = at.is_some_and(|at| tensor.axes[at].is_feature());
                let is_vector = tensor.features().len() == 1;
                if is_along || is_vector && result.features().len() < 2 {
                    return None;
                }
            }
        }
    }
    count
}

/// The expression of a tensor in the shape of the result, or a scalar; and if it has that shape.
fn fitted(m: &mut Machine<'_>, tensor: &Tensor, result: &Tensor) -> Out<(Expr, bool)> {
    let mut expr = m.flat(tensor)?;
    if matches!(tensor.body, Body::Filled(_)) {
        return Ok((expr, false));
    }
    let shift = result.axes.len() - tensor.axes.len();
    let features = result.features();
    // The positions in the result of the axes that the tensor has.
    let mut own: Vec<usize> = Vec::new();
    let all = tensor.features();
    let single = |at: &usize| {
        tensor.axes[*at].size.number == Some(1) && result.axes[at + shift].size.number != Some(1)
    };
    let dropped: Vec<usize> = (0..all.len()).filter(|n| single(&all[*n])).collect();
    match (all.len(), &dropped[..]) {
        (_, []) => {}
        (1, [_]) | (2, [0]) => expr = Expr::atom(format!("{}[0]", expr.at(Level::Atom))),
        (2, [1]) => expr = Expr::atom(format!("{}[:, 0]", expr.at(Level::Atom))),
        _ => expr = Expr::atom(format!("{}[0, 0]", expr.at(Level::Atom))),
    }
    for (n, at) in all.iter().enumerate() {
        if !dropped.contains(&n) {
            own.push(at + shift);
        }
    }
    if own == features {
        return Ok((expr, true));
    }
    if own.is_empty() {
        return Ok((expr, false));
    }
    let text = &expr.text;
    let repeated = match features[..] {
        [rows, columns] if own == [columns] => {
            format!("repeat({text}, rows, {})", result.axes[rows].size.text)
        }
        [_, columns] => format!(
            "repeat({text}, columns, {})",
            result.axes[columns].size.text
        ),
        _ => return Err(m.refuse("its arrays do not fit each other")),
    };
    Ok((Expr::atom(repeated), true))
}
