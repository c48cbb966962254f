//! Scan and Loop: a graph for each step becomes equations, its carried values states.

use super::facts::Out;
use super::machine::{Call, MANY, Machine, Row};
use super::page::stem;
use super::pointwise::{dims, filled};
use super::proto::Graph;
use super::value::{Axis, Body, Dim, Expr, Kind, Label, Origin, Size, Tensor, Value};

pub(super) const ROWS: &[Row] = &[
    Row {
        op: "Scan",
        inputs: (1, MANY),
        attributes: &[
            "body",
            "num_scan_inputs",
            "scan_input_axes",
            "scan_input_directions",
            "scan_output_axes",
            "scan_output_directions",
        ],
        run: scan,
    },
    Row {
        op: "Loop",
        inputs: (2, MANY),
        attributes: &["body"],
        run: repeat,
    },
];

/// A carried value: its state, and the axes and shape of it.
struct Carried {
    state: String,
    axes: Vec<Axis>,
    shape: Vec<Size>,
}

fn body<'n>(m: &Machine<'_>, call: Call<'n>) -> Out<&'n Graph> {
    let graph = call.attribute("body").and_then(|a| a.g.as_ref());
    let graph = graph.ok_or_else(|| m.refuse("attribute `body` is missing"))?;
    if m.is_in_body {
        return Err(m.refuse("a loop inside of a loop; a recurrence has one time"));
    }
    match m.facts.lengths {
        Some(_) => Err(m.refuse(
            "a loop over all steps beside a recurrent node with `sequence_lens`, which ends at the end of each sequence",
        )),
        None => Ok(graph),
    }
}

fn scan(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let graph = body(m, call)?;
    if m.opset < 9 {
        return Err(m.refuse(format!(
            "version {} of the operators; expected 9 or later: `onnx.version_converter`",
            m.opset
        )));
    }
    let all = call.node.inputs.len();
    let scanned = call
        .int("num_scan_inputs")
        .and_then(|n| usize::try_from(n).ok());
    let scanned = scanned.filter(|n| (1..=all).contains(n));
    let scanned = scanned
        .ok_or_else(|| m.refuse(format!("attribute `num_scan_inputs`: expected 1 to {all}")))?;
    let carried = all - scanned;
    let outputs = graph.outputs.len();
    if graph.inputs.len() != all || outputs < carried {
        return Err(m.refuse(format!(
            "attribute `body`: {} inputs and {outputs} outputs, expected {all} inputs and an output for each of {carried} states",
            graph.inputs.len()
        )));
    }
    let each = |name: &str, count: usize| -> Out<Vec<i64>> {
        let list = call
            .ints(name)
            .map_or_else(|| vec![0; count], <[_]>::to_vec);
        match list.len() == count {
            true => Ok(list),
            false => Err(m.refuse(format!(
                "attribute `{name}` has {} numbers, expected {count}",
                list.len()
            ))),
        }
    };
    let axes = each("scan_input_axes", scanned)?;
    let ways = each("scan_input_directions", scanned)?;
    let out_axes = each("scan_output_axes", outputs - carried)?;
    let out_ways = each("scan_output_directions", outputs - carried)?;
    let is_backward = ways[0] != 0;
    if ways
        .iter()
        .chain(&out_ways)
        .any(|w| (*w != 0) != is_backward)
    {
        return Err(m.refuse(
            "attributes `scan_input_directions` and `scan_output_directions`: expected one direction for all inputs and outputs, all 0 or all 1",
        ));
    }
    let mut inputs = Vec::new();
    for (n, axis) in axes.iter().enumerate() {
        let Value::Tensor(mut tensor) = m.need(call, carried + n)? else {
            return Err(m.refuse(format!(
                "input {}: expected an array with steps",
                carried + n
            )));
        };
        let at = m.axis(*axis, tensor.axes.len())?;
        m.expect(&tensor, at, Label::Time)?;
        tensor.axes.remove(at);
        inputs.push(Value::Tensor(tensor));
    }
    let starts = (0..carried)
        .map(|n| m.need(call, n))
        .collect::<Out<Vec<_>>>()?;
    steps(m, graph, &starts, inputs, &out_axes, is_backward)
}

/// A Loop over the steps: its number of turns is that of the steps, and it has no other end.
fn repeat(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let graph = body(m, call)?;
    let turns = m.input(call, 0)?;
    let turns = turns
        .as_ref()
        .and_then(dims)
        .and_then(|(d, _)| d.first().copied());
    match turns {
        Some(Dim::Steps) => {}
        Some(Dim::Open(origin)) => return Err(m.facts.learn(origin, Label::Time)),
        Some(Dim::Known(n)) if steps_are(m, n).is_some() => {
            if let Some(Some(origin)) = steps_are(m, n) {
                return Err(m.facts.learn(origin, Label::Time));
            }
        }
        _ => {
            return Err(m.refuse("input 0, the number of turns: expected the number of steps, such as `Shape` of an input gives it"));
        }
    }
    if let Some(condition) = m.input(call, 1)?
        && filled(&condition).is_none_or(|x| x == 0.0)
    {
        return Err(m.refuse("input 1, the condition: expected a constant that is true"));
    }
    let carried = call.node.inputs.len().saturating_sub(2);
    let outputs = graph.outputs.len();
    if graph.inputs.len() != carried + 2 || outputs < carried + 1 {
        return Err(m.refuse("attribute `body`: its inputs and outputs do not fit the node"));
    }
    let starts = (0..carried)
        .map(|n| m.need(call, n + 2))
        .collect::<Out<Vec<_>>>()?;
    let out_axes = vec![0; outputs - carried - 1];
    let condition = super::value::Known::new(ndarray::arr0(1.0).into_dyn(), Kind::Bool);
    let mut inner = graph.clone();
    let (counter, given) = (inner.inputs.remove(0), inner.inputs.remove(0));
    let end = inner.outputs.remove(0).name;
    let scope = [
        (counter.name, Value::Counter),
        (given.name, Value::Known(condition)),
    ];
    m.scopes.push(scope.into_iter().collect());
    m.uses.entry(end.clone()).or_default();
    let found = steps_with(m, &inner, &starts, Vec::new(), &out_axes, false, Some(&end));
    m.scopes.pop();
    found
}

/// The axis of an input with so many entries, that are steps or may be.
fn steps_are(m: &Machine<'_>, n: i64) -> Option<Option<Origin>> {
    let n = usize::try_from(n).ok()?;
    let mut open = None;
    for (input, given) in m.inputs.iter().enumerate() {
        for (axis, dim) in given.dims.iter().enumerate() {
            let origin = Origin { input, axis };
            if dim.value.and_then(|v| usize::try_from(v).ok()) != Some(n) {
                continue;
            }
            match m.facts.label(origin) {
                Label::Time => return Some(None),
                Label::Open(root) => open = open.or(Some(root)),
                _ => {}
            }
        }
    }
    open.map(Some)
}

fn steps(
    m: &mut Machine<'_>,
    graph: &Graph,
    starts: &[Value],
    inputs: Vec<Value>,
    out_axes: &[i64],
    is_backward: bool,
) -> Out<Vec<Value>> {
    steps_with(m, graph, starts, inputs, out_axes, is_backward, None)
}

/// The equations of a step; the last values of the states, and the outputs of all steps.
fn steps_with(
    m: &mut Machine<'_>,
    graph: &Graph,
    starts: &[Value],
    inputs: Vec<Value>,
    out_axes: &[i64],
    is_backward: bool,
    condition: Option<&str>,
) -> Out<Vec<Value>> {
    let mut scope = std::collections::BTreeMap::new();
    let mut carried = Vec::new();
    for (start, info) in starts.iter().zip(&graph.inputs) {
        let one = carry(m, start, &info.name, is_backward)?;
        let mut tensor = Tensor::new(one.axes.clone(), Expr::atom(one.state.clone()), true);
        tensor.is_per_step = true;
        scope.insert(info.name.clone(), Value::Tensor(tensor));
        carried.push(one);
    }
    for (value, info) in inputs.into_iter().zip(&graph.inputs[starts.len()..]) {
        scope.insert(info.name.clone(), value);
    }
    m.scopes.push(scope);
    m.is_in_body = true;
    let found = inside(m, graph, &carried, (out_axes, is_backward), condition);
    m.is_in_body = false;
    m.scopes.pop();
    found
}

fn inside(
    m: &mut Machine<'_>,
    graph: &Graph,
    carried: &[Carried],
    (out_axes, is_backward): (&[i64], bool),
    condition: Option<&str>,
) -> Out<Vec<Value>> {
    let at = m.at.clone();
    (m.run)(m, graph)?;
    m.at = at;
    if let Some(name) = condition
        && m.value(name).and_then(filled).is_none_or(|x| x == 0.0)
    {
        return Err(
            m.refuse("its body computes a condition to end; expected one that is always true")
        );
    }
    let end = if is_backward { "first" } else { "last" };
    let mut values = Vec::new();
    for (n, info) in graph.outputs.iter().enumerate() {
        let value = m.value(&info.name).cloned();
        let tensor = match value {
            Some(Value::Tensor(tensor)) => tensor,
            Some(Value::Known(known)) => {
                let axes = carried.get(n).map_or_else(Vec::new, |c| c.axes.clone());
                match axes.len() == known.array.ndim() {
                    true => super::align::parameter(m, &known, &axes)?,
                    false => {
                        return Err(m.refuse(format!(
                            "the output `{}` of its body is constant",
                            info.name
                        )));
                    }
                }
            }
            _ => {
                return Err(m.refuse(format!(
                    "the output `{}` of its body is no array",
                    crate::error::printable(&info.name)
                )));
            }
        };
        if tensor.position(Label::Time).is_some() {
            return Err(m.refuse("its body uses all steps of an array; expected one step: give the array to the loop as a scan input"));
        }
        if let Some(one) = carried.get(n) {
            let aligned = next(m, one, &tensor)?;
            m.page
                .equation(format!("{}' = {}", one.state, aligned.text));
            let axes = one.axes.clone();
            let expr = Expr::atom(format!("{end}({}')", one.state));
            values.push(Value::Tensor(Tensor::new(axes, expr, false)));
        } else {
            let mut tensor = tensor;
            // The value after the step of a state that is an output as well.
            let same = graph.outputs[..carried.len()]
                .iter()
                .position(|o| o.name == info.name);
            if let Some(state) = same {
                tensor =
                    tensor.with_body(Body::Expr(Expr::atom(format!("{}'", carried[state].state))));
            }
            let at = out_axes.get(n - carried.len()).copied().unwrap_or(0);
            let at = m.axis(at, tensor.axes.len() + 1)?;
            tensor.axes.insert(at, Axis::outer(Label::Time, None));
            tensor.is_per_step = true;
            values.push(Value::Tensor(tensor));
        }
    }
    m.page.equation(String::new());
    Ok(values)
}

/// The state of a carried value.
fn carry(m: &mut Machine<'_>, start: &Value, name: &str, is_backward: bool) -> Out<Carried> {
    let state = m.page.unique(&stem(name, "s"));
    let (axes, text) = match start {
        Value::Tensor(tensor) => {
            if tensor.is_per_step {
                return Err(m.refuse("the start of a state differs between steps"));
            }
            let text = match tensor.body {
                Body::Filled(0.0) => None,
                _ => Some(m.shaped(tensor)?.text),
            };
            (tensor.axes.clone(), text)
        }
        Value::Known(known) => {
            let rank = known.array.ndim();
            let mut axes: Vec<Axis> = Vec::new();
            let mut array = (*known.array).clone();
            for at in 0..rank {
                let n = known.array.len_of(ndarray::Axis(at));
                // The first axis of several is that of the samples.
                if at == 0 && rank > 1 {
                    if !super::pointwise::is_constant_along(&known.array, 0) {
                        return Err(m.refuse(
                            "the start of a state is an initializer that differs between samples; make it an input of the graph",
                        ));
                    }
                    array = array
                        .slice_axis(ndarray::Axis(0), ndarray::Slice::from(0..1))
                        .to_owned();
                    axes.push(Axis::outer(Label::Batch, Some(n)));
                } else {
                    axes.push(Axis::feature(m.page.size(m.facts, "H", n)));
                }
            }
            let text = match known.constant() {
                Some(0.0) => None,
                _ => {
                    let known = super::value::Known {
                        array: std::rc::Rc::new(array),
                        ..known.clone()
                    };
                    let expr = super::align::parameter(m, &known, &axes)?;
                    Some(m.shaped(&expr)?.text)
                }
            };
            (axes, text)
        }
        _ => return Err(m.refuse("the start of a state is no array of numbers")),
    };
    if let Some(Label::Open(origin)) = axes
        .iter()
        .map(|a| a.label)
        .find(|l| matches!(l, Label::Open(_)))
    {
        let is_last = axes.last().is_some_and(|a| a.label == Label::Open(origin)) && axes.len() > 1;
        return Err(match is_last {
            true => m.facts.learn(origin, Label::Feature),
            false => m.guess(origin),
        });
    }
    let shape: Vec<Size> = axes
        .iter()
        .filter(|a| a.is_feature())
        .map(|a| a.size.clone())
        .collect();
    if shape.len() > 2 {
        return Err(m.refuse("a state with more than two axes beside the samples"));
    }
    let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
    let sizes = if sizes.is_empty() {
        String::new()
    } else {
        format!("[{}]", sizes.join(", "))
    };
    let word = if is_backward {
        "backward state"
    } else {
        "state"
    };
    let start = text.map_or_else(String::new, |t| format!(" = {t}"));
    m.page.declaration(format!("{word} {state}{sizes}{start}"));
    Ok(Carried { state, axes, shape })
}

/// The next value of a state, which has the axes of the start.
fn next(m: &mut Machine<'_>, one: &Carried, tensor: &Tensor) -> Out<Expr> {
    let found: Vec<Axis> = tensor
        .axes
        .iter()
        .filter(|a| a.is_feature())
        .cloned()
        .collect();
    for axis in &tensor.axes {
        if let Label::Open(origin) = axis.label {
            let place = tensor.axes.iter().position(|a| a == axis);
            let own = place.and_then(|p| one.axes.get(p));
            return Err(match own {
                Some(own) if !matches!(own.label, Label::Open(_)) => {
                    m.facts.learn(origin, own.label)
                }
                _ => m.guess(origin),
            });
        }
    }
    if tensor.axes.len() != one.axes.len() || found.len() != one.shape.len() {
        let before = Tensor::new(one.axes.clone(), Expr::atom(""), true).described();
        return Err(m.refuse(format!(
            "a state begins with the axes {before} and goes on with {}",
            tensor.described()
        )));
    }
    let own: Vec<Axis> = one
        .axes
        .iter()
        .filter(|a| a.is_feature())
        .cloned()
        .collect();
    for (own, found) in own.iter().zip(&found) {
        m.equal(own, found)?;
    }
    m.shaped(tensor)
}
