//! The inputs and outputs of a graph as those of a recurrence, and its loss.

use super::cells::is_value;
use super::facts::Out;
use super::machine::{GraphInput, Machine};
use super::page::stem;
use super::proto::{Graph, entry};
use super::value::{Axis, Body, Expr, Label, Origin, Size, Tensor, Value};
use crate::data::import::options::ModelLoss;
use crate::error::printable;

/// The most axes of an input of the graph.
const MOST_AXES: usize = 6;

/// Takes the names of the outputs before values have them, except those of a state, which may be the output.
pub(super) fn name_outputs(m: &mut Machine<'_>, graph: &Graph) {
    for output in &graph.outputs {
        let short = stem(&output.name, "y");
        if !is_value(&short) {
            let name = m.page.unique(&short);
            m.outputs.insert(output.name.clone(), name);
        }
    }
}

/// The inputs of the graph that are no initializers.
pub(super) fn inputs(m: &mut Machine<'_>, graph: &Graph) -> Out<()> {
    let is_initializer = |name: &str| graph.initializers.iter().any(|t| t.name == name);
    for info in graph.inputs.iter().filter(|i| !is_initializer(&i.name)) {
        let source = info.name.clone();
        let tensor = info.ty.as_ref().and_then(|t| t.tensor.as_ref());
        let dims = tensor
            .and_then(|t| t.shape.as_ref())
            .map(|s| s.dims.clone());
        let (Some(tensor), Some(dims)) = (tensor, dims) else {
            return Err(m.refuse(format!(
                "`{}` is no array with a number of axes",
                printable(&source)
            )));
        };
        if dims.len() > MOST_AXES {
            return Err(m.refuse(format!("`{}` has {} axes", printable(&source), dims.len())));
        }
        let mut short = stem(&source, "x");
        if short.len() == 1 {
            short.make_ascii_lowercase();
        }
        let name = m.page.unique(&short);
        let at = m.inputs.len();
        let is_integer = !matches!(
            tensor.entry,
            entry::F32 | entry::F64 | entry::F16 | entry::BF16
        );
        m.inputs.push(GraphInput {
            source: source.clone(),
            name: name.clone(),
            dims,
            is_integer,
            is_lengths: m.facts.lengths == Some(at),
        });
        let axes = axes(m, at);
        let is_per_step = axes.iter().any(|a| a.label == Label::Time);
        let tensor = Tensor {
            axes,
            body: match is_integer {
                true => Body::Integers(at),
                false => Body::Expr(Expr::atom(name)),
            },
            is_per_step,
            logits: None,
        };
        m.scopes[0].insert(source, Value::Tensor(tensor));
    }
    Ok(())
}

/// The axes of an input, as far as they are known.
fn axes(m: &mut Machine<'_>, input: usize) -> Vec<Axis> {
    let mut labels =
        (0..m.inputs[input].dims.len()).map(|axis| m.facts.label(Origin { input, axis }));
    let letter = if labels.any(|l| l == Label::Time) {
        "K"
    } else {
        "H"
    };
    (0..m.inputs[input].dims.len())
        .map(|axis| {
            let origin = Origin { input, axis };
            let own = m.inputs[input].dims[axis]
                .value
                .and_then(|v| usize::try_from(v).ok());
            let number = own.filter(|n| *n > 0).or_else(|| m.facts.size(origin));
            let label = m.facts.label(origin);
            let size = match (label, number) {
                (Label::Feature, Some(n)) if m.facts.is_counted(origin) => Size::number(n),
                (Label::Feature, Some(n)) => m.page.size(m.facts, letter, n),
                _ => Size {
                    number,
                    text: String::new(),
                },
            };
            Axis {
                label,
                size,
                origin: Some(origin),
            }
        })
        .collect()
}

/// The last output of the graph that a loss can have: its name, its logits, and its shape.
pub(super) struct Last {
    expr: Expr,
    logits: Option<Expr>,
    shape: Vec<Size>,
    is_log: bool,
}

pub(super) fn write_outputs(m: &mut Machine<'_>, graph: &Graph) -> Out<Option<Last>> {
    let mut last = None;
    let mut seen = std::collections::BTreeSet::new();
    for info in &graph.outputs {
        let tensor = match m.value(&info.name) {
            Some(Value::Tensor(tensor)) => tensor.clone(),
            Some(_) => {
                return Err(m.refuse(format!(
                    "`{}` does not depend on the data",
                    printable(&info.name)
                )));
            }
            None => return Err(m.refuse(format!("no node computes `{}`", printable(&info.name)))),
        };
        m.decided(&tensor)?;
        let expr = m.shaped(&tensor)?;
        let short = stem(&info.name, "y");
        let known = m.outputs.get(&info.name).cloned();
        let (name, line) = match known {
            Some(name) if name == expr.text => (name.clone(), format!("output {name}")),
            Some(name) => (name.clone(), format!("output {name} = {}", expr.text)),
            None if expr.text == format!("{short}'") => (short.clone(), format!("output {short}'")),
            None => {
                let name = m.page.unique(&short);
                (name.clone(), format!("output {name} = {}", expr.text))
            }
        };
        if !seen.insert(name.clone()) {
            return Err(m.refuse(format!("`{}` is an output twice", printable(&info.name))));
        }
        m.page.outputs.push(line);
        let shape = m.shape(&tensor)?;
        let features: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
        let outer: &[&str] = if tensor.is_per_step {
            &["T", "B"]
        } else {
            &["B"]
        };
        let here: Vec<&str> = outer.iter().copied().chain(features).collect();
        let there = layout(m, &tensor);
        if there != here.join(", ") {
            m.page.note(format!(
                "output `{name}` is [{}] here and [{there}] in the model",
                here.join(", ")
            ));
        }
        last = Some(Last {
            is_log: tensor.logits.is_some() && expr.text.starts_with("log_softmax"),
            expr: match m.page.outputs.last() {
                Some(line) if line.ends_with('\'') => expr,
                _ => Expr::atom(name),
            },
            logits: tensor.logits,
            shape,
        });
    }
    Ok(last)
}

/// The axes of a tensor of the model, for a note.
fn layout(m: &Machine<'_>, tensor: &Tensor) -> String {
    let one = |a: &Axis| match a.label {
        Label::Time => "T".to_owned(),
        Label::Batch => "B".into(),
        Label::One => "1".into(),
        Label::Joined(true) => "T·B".into(),
        Label::Joined(false) => "B·T".into(),
        Label::Feature | Label::Open(_) => match a.size.text.as_str() {
            "" => a.size.number.map_or_else(|| "?".into(), |n| n.to_string()),
            text => m.facts.name(text).to_owned(),
        },
    };
    tensor.axes.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub(super) fn loss(m: &mut Machine<'_>, loss: ModelLoss, last: Option<&Last>) -> Out<()> {
    let Some(last) = last else {
        return Err(m.refuse("the graph has no outputs"));
    };
    let target = m.page.first_free(["y", "target"]);
    let o = &last.expr.text;
    match (loss, &last.shape[..]) {
        (ModelLoss::None, [size]) => {
            let size = &size.text;
            m.page.outputs.push(format!(
                "# For a loss, add two lines: `input {target}[{size}]` and `mean loss mean(({o} - {target})^2)`, or `input {target}: class({size})`"
            ));
            m.page.outputs.push(format!("# and `mean loss softmax_cross_entropy({o}, {target})`, where the first argument are logits."));
        }
        (ModelLoss::None, _) => {}
        (ModelLoss::Softmax, [size]) => {
            m.page
                .inputs
                .push(format!("input {target}: class({})", size.text));
            let line = match (&last.logits, last.is_log) {
                (Some(_), true) => format!("mean loss -gather({o}, {target})"),
                (Some(logits), false) => {
                    format!("mean loss softmax_cross_entropy({}, {target})", logits.text)
                }
                (None, _) => format!("mean loss softmax_cross_entropy({o}, {target})"),
            };
            m.page.outputs.push(line);
        }
        (ModelLoss::Softmax, shape) => {
            return Err(m.refuse(format!(
                "`Import::loss`: the softmax takes an output that is a vector, `{o}` has {} axes",
                shape.len()
            )));
        }
        (ModelLoss::Squared, shape) => {
            let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
            let (declared, mean) = match sizes.is_empty() {
                true => (target.clone(), format!("({o} - {target})^2")),
                false => (
                    format!("{target}[{}]", sizes.join(", ")),
                    format!("mean(({o} - {target})^2)"),
                ),
            };
            m.page.inputs.push(format!("input {declared}"));
            m.page.outputs.push(format!("mean loss {mean}"));
        }
    }
    Ok(())
}

/// The declarations of the inputs, once their axes are known.
pub(super) fn declare_inputs(m: &mut Machine<'_>) -> Out<()> {
    let mut lines = Vec::new();
    for at in 0..m.inputs.len() {
        let source = m.inputs[at].source.clone();
        let value = m.value(&source).cloned();
        if m.inputs[at].is_lengths {
            m.page.note(format!(
                "`{}` is the array `lengths` of the data; steps behind the end are zero in outputs and no part of a loss",
                printable(&source)
            ));
            continue;
        }
        if m.uses.get(&source).copied().unwrap_or(0) == 0 {
            m.page
                .note(format!("no node uses the input `{}`", printable(&source)));
            continue;
        }
        let Some(Value::Tensor(tensor)) = value else {
            continue;
        };
        m.decided(&tensor)?;
        let name = m.inputs[at].name.clone();
        let shape = m.shape(&tensor)?;
        let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
        if sizes.contains(&"") {
            return Err(m.refuse(format!(
                "the number of entries of `{}` is not known; export the model with a fixed number of features",
                printable(&source)
            )));
        }
        let has = |label: Label| tensor.axes.iter().any(|a| a.label == label);
        let word = match (has(Label::Time), has(Label::Batch)) {
            (true, _) => "input",
            (false, true) => "sample input",
            _ => {
                return Err(m.refuse(format!(
                    "`{}` has neither steps nor samples; make it an initializer",
                    printable(&source)
                )));
            }
        };
        let mut here: Vec<&str> = if word == "input" {
            vec!["T", "B"]
        } else {
            vec!["B"]
        };
        here.extend(&sizes);
        let there = layout(m, &tensor);
        if there != here.join(", ") {
            m.page.note(format!(
                "input `{name}` is [{}] here and [{there}] in the model",
                here.join(", ")
            ));
        }
        lines.push(match m.facts.classes.get(&at) {
            Some(size) => format!("{word} {name}: class({})", m.facts.name(size)),
            None if sizes.is_empty() => format!("{word} {name}"),
            None => format!("{word} {name}[{}]", sizes.join(", ")),
        });
        for (axis, label) in m.facts.guessed.clone() {
            if axis.input == at {
                let word = match label {
                    Label::Time => "the steps",
                    Label::Batch => "the samples",
                    _ => "entries",
                };
                m.page.note(format!(
                    "axis {} of the input `{}` is taken as {word}, which no node decides",
                    axis.axis,
                    printable(&source)
                ));
            }
        }
    }
    lines.append(&mut m.page.inputs);
    m.page.inputs = lines;
    Ok(())
}
