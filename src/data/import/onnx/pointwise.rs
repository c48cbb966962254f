//! Operators that compute entry by entry.

use std::rc::Rc;

use ndarray::{ArrayD, Axis, IxDyn, Zip};

use super::activation::{FUNCTIONS, Function};
use super::align::{Pointwise, combine};
use super::facts::Out;
use super::machine::{Call, MANY, Machine, Row};
use super::value::{Body, Dim, Expr, Kind, Known, Level, Source, Value, digits};

pub(super) const ROWS: &[Row] = &[
    row("Add", (2, 2), add),
    row("Sub", (2, 2), |m, c| two(m, c, "-", |x| x[0] - x[1])),
    row("Mul", (2, 2), |m, c| two(m, c, "*", |x| x[0] * x[1])),
    row("Div", (2, 2), |m, c| two(m, c, "/", |x| x[0] / x[1])),
    row("Sum", (1, MANY), add),
    row("Mean", (1, MANY), mean),
    row("Neg", (1, 1), |m, c| {
        one(m, c, Some(|x| -x[0]), |_, e| {
            Ok(Expr::new(
                format!("-{}", e[0].at(Level::Power)),
                Level::Sign,
            ))
        })
    }),
    row("Sqrt", (1, 1), |m, c| {
        called(m, c, "sqrt", Some(|x| x[0].sqrt()))
    }),
    row("Reciprocal", (1, 1), |m, c| {
        one(m, c, Some(|x| 1.0 / x[0]), |_, e| {
            Ok(Expr::new(
                format!("1 / {}", e[0].at(Level::Power)),
                Level::Product,
            ))
        })
    }),
    row("Pow", (2, 2), |m, c| {
        one(m, c, Some(|x| x[0].powf(x[1])), |_, e| {
            Ok(Expr::new(
                format!("{} ^ {}", e[0].at(Level::Atom), e[1].at(Level::Atom)).replace(" ^ ", "^"),
                Level::Power,
            ))
        })
    }),
    row("Max", (1, MANY), |m, c| {
        several(m, c, "max", |x| x[0].max(x[1]))
    }),
    row("Min", (1, MANY), |m, c| {
        several(m, c, "min", |x| x[0].min(x[1]))
    }),
    row("Less", (2, 2), |m, c| compared(m, c, "<")),
    row("LessOrEqual", (2, 2), |m, c| compared(m, c, "<=")),
    row("Greater", (2, 2), |m, c| compared(m, c, ">")),
    row("GreaterOrEqual", (2, 2), |m, c| compared(m, c, ">=")),
    row("Equal", (2, 2), |m, c| compared(m, c, "==")),
    row("And", (2, 2), |m, c| compared(m, c, "and")),
    row("Or", (2, 2), |m, c| compared(m, c, "or")),
    row("Not", (1, 1), |m, c| {
        one(m, c, Some(|x| 1.0 - x[0]), |_, e| {
            Ok(Expr::call("not", &[&e[0].text]))
        })
    }),
    row("Where", (3, 3), |m, c| {
        one(
            m,
            c,
            Some(|x| if x[0] == 0.0 { x[2] } else { x[1] }),
            |_, e| Ok(Expr::call("select", &[&e[0].text, &e[1].text, &e[2].text])),
        )
    }),
    Row {
        op: "Clip",
        inputs: (1, 3),
        attributes: &["min", "max"],
        run: clip,
    },
    Row {
        op: "Gelu",
        inputs: (1, 1),
        attributes: &["approximate"],
        run: gelu,
    },
    Row {
        op: "PRelu",
        inputs: (2, 2),
        attributes: &[],
        run: prelu,
    },
];

const fn row(
    op: &'static str,
    inputs: (usize, usize),
    run: fn(&mut Machine<'_>, Call<'_>) -> Out<Vec<Value>>,
) -> Row {
    Row {
        op,
        inputs,
        attributes: &[],
        run,
    }
}

type Write = fn(&mut Machine<'_>, &[Expr]) -> Out<Expr>;
type Fold = Option<fn(&[f64]) -> f64>;

fn inputs(m: &Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    (0..call.node.inputs.len())
        .map(|at| m.need(call, at))
        .collect()
}

fn one(m: &mut Machine<'_>, call: Call<'_>, fold: Fold, write: Write) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    of(m, call, &values, fold, &write)
}

fn of(
    m: &mut Machine<'_>,
    call: Call<'_>,
    values: &[Value],
    fold: Fold,
    write: &dyn Fn(&mut Machine<'_>, &[Expr]) -> Out<Expr>,
) -> Out<Vec<Value>> {
    if let Some(fold) = fold
        && let Some(known) = folded(call, values, fold)
    {
        return Ok(vec![Value::Known(known)]);
    }
    Ok(vec![Value::Tensor(combine(
        m,
        values,
        &Pointwise { fold, write },
    )?)])
}

/// The numbers of a function of known numbers.
fn folded(call: Call<'_>, values: &[Value], fold: fn(&[f64]) -> f64) -> Option<Known> {
    let known: Option<Vec<&Known>> = values
        .iter()
        .map(|v| match v {
            Value::Known(known) => Some(known),
            _ => None,
        })
        .collect();
    let known = known?;
    let rank = known.iter().map(|k| k.array.ndim()).max()?;
    let mut shape = vec![1; rank];
    for one in &known {
        for (at, n) in one.array.shape().iter().rev().enumerate() {
            let own = &mut shape[rank - 1 - at];
            *own = if *own == 1 { *n } else { *own };
        }
    }
    let largest = known.iter().map(|k| k.array.len()).max()?;
    // A sum of a column and a row would be larger than both.
    if shape.iter().try_fold(1usize, |a, n| a.checked_mul(*n))? > largest {
        return None;
    }
    let views: Option<Vec<_>> = known
        .iter()
        .map(|k| k.array.broadcast(IxDyn(&shape)))
        .collect();
    let views = views?;
    let mut array = ArrayD::zeros(IxDyn(&shape));
    match &views[..] {
        [a] => Zip::from(&mut array)
            .and(a)
            .for_each(|y, a| *y = fold(&[*a])),
        [a, b] => Zip::from(&mut array)
            .and(a)
            .and(b)
            .for_each(|y, a, b| *y = fold(&[*a, *b])),
        [a, b, c] => Zip::from(&mut array)
            .and(a)
            .and(b)
            .and(c)
            .for_each(|y, a, b, c| *y = fold(&[*a, *b, *c])),
        _ => return None,
    }
    let kind = known.last()?.kind;
    if kind == Kind::Int && call.node.op == "Div" {
        array.mapv_inplace(f64::trunc);
    }
    let kind = match &*call.node.op {
        "Not" => Kind::Bool,
        _ => kind,
    };
    let sources: Vec<&Source> = known.iter().filter_map(|k| k.source.as_ref()).collect();
    let source = (!sources.is_empty()).then(|| {
        let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
        Source {
            name: format!("{} of {}", call.node.op, names.join(", ")),
            is_transposed: false,
        }
    });
    Some(Known {
        array: Rc::new(array),
        kind,
        source,
    })
}

/// The sizes of the data in a vector of integers.
pub(super) fn dims(value: &Value) -> Option<(Vec<Dim>, bool)> {
    match value {
        Value::Dims(dims, is_scalar) => Some((dims.clone(), *is_scalar)),
        Value::Known(known) if known.kind == Kind::Int && known.array.ndim() < 2 => {
            let dims = known.integers().into_iter().map(Dim::Known);
            Some((dims.collect(), known.array.ndim() == 0))
        }
        _ => None,
    }
}

fn add(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    two(m, call, "+", |x| x.iter().sum())
}

fn two(
    m: &mut Machine<'_>,
    call: Call<'_>,
    op: &'static str,
    fold: fn(&[f64]) -> f64,
) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    if values.iter().any(|v| matches!(v, Value::Dims(..))) && op != "+" {
        let parts: Vec<_> = values.iter().filter_map(dims).collect();
        if let [(a, is_scalar), (b, is_also)] = &parts[..]
            && (a.len() == b.len() || a.len() == 1 || b.len() == 1)
        {
            let n = a.len().max(b.len());
            let at = |v: &[Dim], i: usize| if v.len() == 1 { v[0] } else { v[i] };
            let each: Option<Vec<Dim>> = (0..n).map(|i| sized(op, at(a, i), at(b, i))).collect();
            if let Some(each) = each {
                return Ok(vec![Value::Dims(each, *is_scalar && *is_also)]);
            }
        }
    }
    let write = |_: &mut Machine<'_>, e: &[Expr]| {
        let first = e[0].clone();
        Ok(e[1..]
            .iter()
            .fold(first, |sum, e| Expr::binary(op, &sum, e)))
    };
    of(m, call, &values, Some(fold), &write)
}

/// A product or quotient of sizes.
fn sized(op: &str, a: Dim, b: Dim) -> Option<Dim> {
    match (op, a, b) {
        ("*", Dim::Known(a), Dim::Known(b)) => a.checked_mul(b).map(Dim::Known),
        ("/", Dim::Known(a), Dim::Known(b)) => a.checked_div(b).map(Dim::Known),
        ("-", Dim::Known(a), Dim::Known(b)) => a.checked_sub(b).map(Dim::Known),
        ("*" | "/", a, Dim::Known(1)) | ("*", Dim::Known(1), a) => Some(a),
        ("*", Dim::Steps, Dim::Samples) | ("*", Dim::Samples, Dim::Steps) => Some(Dim::Both),
        ("/", Dim::Both, Dim::Samples) => Some(Dim::Steps),
        ("/", Dim::Both, Dim::Steps) => Some(Dim::Samples),
        _ => None,
    }
}

fn mean(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    let n = values.len();
    let write = move |_: &mut Machine<'_>, e: &[Expr]| {
        let first = e[0].clone();
        let sum = e[1..]
            .iter()
            .fold(first, |sum, e| Expr::binary("+", &sum, e));
        Ok(Expr::new(
            format!("{} / {n}", sum.at(Level::Product)),
            Level::Product,
        ))
    };
    of(m, call, &values, None, &write)
}

fn called(m: &mut Machine<'_>, call: Call<'_>, name: &'static str, fold: Fold) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    of(m, call, &values, fold, &|_, e| {
        Ok(Expr::call(name, &[&e[0].text]))
    })
}

/// `max(max(a, b), c)`
fn several(
    m: &mut Machine<'_>,
    call: Call<'_>,
    name: &'static str,
    fold: fn(&[f64]) -> f64,
) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    let fold = (values.len() == 2).then_some(fold);
    of(m, call, &values, fold, &|_, e| {
        let first = e[0].clone();
        Ok(e[1..]
            .iter()
            .fold(first, |a, b| Expr::call(name, &[&a.text, &b.text])))
    })
}

fn compared(m: &mut Machine<'_>, call: Call<'_>, op: &'static str) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    let fold: Option<fn(&[f64]) -> f64> = match op {
        "==" => Some(|x| f64::from(u8::from(x[0] == x[1]))),
        "<" => Some(|x| f64::from(u8::from(x[0] < x[1]))),
        ">" => Some(|x| f64::from(u8::from(x[0] > x[1]))),
        "and" => Some(|x| x[0] * x[1]),
        _ => None,
    };
    of(m, call, &values, fold, &|_, e| {
        let (level, inner) = match op {
            "and" | "or" => (Level::Joint, Level::Comparison),
            _ => (Level::Comparison, Level::Sum),
        };
        Ok(Expr::new(
            format!("{} {op} {}", e[0].at(inner), e[1].at(inner)),
            level,
        ))
    })
}

/// 1 for a number that is not zero, else 0.
pub(super) fn truth(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let values = inputs(m, call)?;
    let number = values.get(..1).unwrap_or_default();
    of(m, call, number, None, &|_, e| {
        let text = format!("{} != 0", e[0].at(Level::Sum));
        Ok(Expr::new(text, Level::Comparison))
    })
}

/// The limits are attributes before version 11 and inputs after it.
fn clip(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let limit = |m: &Machine<'_>, at: usize, name: &str| -> Out<Option<f64>> {
        if let Some(x) = call.float(name) {
            return Ok(Some(x));
        }
        let known = m.known(call, at, "a limit")?;
        match known.map(|k| k.scalar()) {
            Some(None) => Err(m.refuse(format!("its limit `{name}` is no number"))),
            Some(x) => Ok(x),
            None => Ok(None),
        }
    };
    let (low, high) = (limit(m, 1, "min")?, limit(m, 2, "max")?);
    let open = |x: Option<f64>| x.filter(|x| x.abs() < 3e38);
    let value = m.need(call, 0)?;
    of(m, call, &[value], None, &move |_, e| {
        let x = &e[0].text;
        Ok(match (open(low), open(high)) {
            (None, None) => e[0].clone(),
            (Some(low), None) => Expr::call("max", &[x, &digits(low)]),
            (None, Some(high)) => Expr::call("min", &[x, &digits(high)]),
            (Some(low), Some(high)) => Expr::call("clamp", &[x, &digits(low), &digits(high)]),
        })
    })
}

fn gelu(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    match call.text("approximate").as_deref() {
        None | Some("none") => called(m, call, "gelu", None),
        Some("tanh") => one(m, call, None, |m, e| {
            let body = "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))";
            let name = m.page.function("gelu_tanh", "x", body);
            Ok(Expr::call(&name, &[&e[0].text]))
        }),
        Some(other) => Err(m.refuse(format!(
            "attribute `approximate`: expected none or tanh, found {other:?}"
        ))),
    }
}

fn prelu(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    one(m, call, None, |m, e| {
        let name = m.page.function("prelu", "x, a", "select(x < 0, a * x, x)");
        Ok(Expr::call(&name, &[&e[0].text, &e[1].text]))
    })
}

/// The functions of recurrent nodes and others of one value.
pub(super) fn function(op: &str) -> Option<&'static Function> {
    FUNCTIONS
        .iter()
        .find(|f| f.name == op && f.name != "Affine" && f.name != "ScaledTanh")
}

/// A node that is such a function.
pub(super) fn apply(
    m: &mut Machine<'_>,
    call: Call<'_>,
    function: &'static Function,
) -> Out<Vec<Value>> {
    let settings: Vec<f64> = function
        .settings
        .iter()
        .map(|(name, usual)| call.float(name).unwrap_or(*usual))
        .collect();
    let value = m.need(call, 0)?;
    let write = |m: &mut Machine<'_>, e: &[Expr]| function.of(m, &e[0], &settings);
    of(m, call, &[value], None, &write)
}

/// Sizes of the axis along which all rows of an array are the same.
pub(super) fn is_constant_along(array: &ArrayD<f64>, axis: usize) -> bool {
    let mut lanes = array.axis_iter(Axis(axis));
    let Some(first) = lanes.next() else {
        return true;
    };
    lanes.all(|lane| lane == first)
}

/// The same number everywhere.
pub(super) fn filled(value: &Value) -> Option<f64> {
    match value {
        Value::Known(known) => known.constant(),
        Value::Tensor(tensor) => match tensor.body {
            Body::Filled(x) => Some(x),
            _ => None,
        },
        _ => None,
    }
}
