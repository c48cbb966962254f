//! ONNX models: every value of the graph as an expression of the recurrence language, whose axes are steps, samples or
//! entries. What an axis means follows from the nodes that use it; a meaning that is found begins the reading again.

mod activation;
mod align;
mod cells;
mod entries;
mod facts;
mod layout;
mod machine;
mod page;
mod parts;
mod pointwise;
mod products;
mod proto;
mod recurrent;
mod reduce;
mod regroup;
mod scan;
mod shapes;
mod value;

use std::collections::BTreeMap;

use prost::Message;

use super::options::{Import, ModelLoss, States};
use super::{Imported, state::refused};
use crate::error::{Result, printable, quoted};
use crate::recurrence::{Batch, Params, Recurrence};
use facts::{Facts, Out, Stop};
use machine::{Call, GraphInput, Machine, Row};
use page::{Page, stem};
use proto::{Graph, Model, Node, entry};
use value::{Axis, Body, Expr, Label, Origin, Size, Source, Tensor, Value};

/// The operators.
const TABLES: &[&[Row]] = &[
    recurrent::ROWS,
    scan::ROWS,
    products::ROWS,
    pointwise::ROWS,
    layout::ROWS,
    parts::ROWS,
    shapes::ROWS,
    reduce::ROWS,
];

/// The most readings of a model, and nodes of one.
const MOST_READINGS: usize = 300;
const MOST_NODES: usize = 20_000;

/// The bytes of memory for a byte of a file: messages, entries as `f64`, copies of parts and the parameters.
const MEMORY: usize = 12;

/// The most axes of an input of the graph.
const MOST_AXES: usize = 6;

impl Imported {
    /// The recurrence of an ONNX model, and its parameters: RNN, LSTM and GRU with all attributes, `Scan` and `Loop`, and the
    /// operators around them that `docs/cli.md` lists. `name` is the file of the model, for the text.
    ///
    /// ```
    /// use bptt::data::{Import, Imported};
    /// let error = Imported::onnx("model.onnx", b"not a model", &Import::new()).unwrap_err();
    /// assert!(error.to_string().contains("ONNX"));
    /// ```
    ///
    /// # Errors
    /// When the bytes are no ONNX model, or when a node has an operator, an attribute or an input that has no equation in a
    /// recurrence; the error names the node and what would be accepted. When a choice of [`Import`] has no effect.
    pub fn onnx(name: &str, bytes: &[u8], options: &Import) -> Result<Self> {
        crate::limit::check_memory(bytes.len().checked_mul(MEMORY))?;
        let model = Model::decode(bytes);
        let model = model.map_err(|error| refused(format!("this is no ONNX model: {error}")))?;
        let graph = model.graph.as_ref();
        let graph = graph.ok_or_else(|| refused("this is no ONNX model: it has no graph".into()))?;
        check(&model, graph, options)?;
        let mut facts = Facts::default();
        for _ in 0..MOST_READINGS {
            match reading(&model, graph, name, options, &mut facts) {
                Ok(imported) => return Ok(imported),
                Err(Stop::Again) => {}
                Err(Stop::Error(error)) => return Err(error),
            }
        }
        Err(refused(
            "the meaning of the axes of this model could not be found: give the inputs of the graph names of sizes, such as `batch` and `seq`"
                .into(),
        ))
    }
}

/// The bytes of a file that may be a model.
pub(super) fn bytes(path: &std::path::Path) -> Result<Vec<u8>> {
    // A message begins with a field of text, of numbers or of messages.
    let begins = |bytes: &[u8]| match bytes.first() {
        Some(tag) if matches!(tag & 7, 0 | 2) && *tag >= 8 => Ok(()),
        _ => Err("this is no ONNX model".to_owned()),
    };
    crate::data::file::checked(path, begins, |bytes| bytes.len().checked_mul(MEMORY))
}

/// Refuses what is beyond the import as a whole.
fn check(model: &Model, graph: &Graph, options: &Import) -> Result<()> {
    let useless = [
        (options.nonlinearity.is_some(), "nonlinearity"),
        (options.activation.is_some(), "activation"),
        (!options.order.is_empty(), "order"),
        (!options.ignored.is_empty(), "ignoring"),
        (options.states != States::Zero, "states"),
    ];
    if let Some((_, choice)) = useless.into_iter().find(|(is_given, _)| *is_given) {
        return Err(refused(format!(
            "`Import::{choice}` has no effect: an ONNX model says it itself; leave it out"
        )));
    }
    if let Some(function) = model.functions.first() {
        return Err(refused(format!(
            "the model has functions of its own, such as `{}`: save it with `onnx.inliner.inline_local_functions(model)`",
            printable(&function.name)
        )));
    }
    match count(graph, 0) {
        n if n > MOST_NODES => Err(refused(format!("the model has more than {MOST_NODES} nodes"))),
        _ => Ok(()),
    }
}

fn graphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.iter().filter_map(|a| a.g.as_ref())
}

fn count(graph: &Graph, depth: usize) -> usize {
    let inner = graph.nodes.iter().flat_map(graphs);
    let inner: usize = match depth {
        0..8 => inner.map(|g| count(g, depth + 1)).sum(),
        _ => MOST_NODES,
    };
    graph.nodes.len() + inner
}

fn layers(graph: &Graph) -> usize {
    let is_layer = |n: &&Node| matches!(&*n.op, "RNN" | "LSTM" | "GRU");
    graph.nodes.iter().filter(is_layer).count()
}

fn count_uses(graph: &Graph, uses: &mut BTreeMap<String, usize>) {
    for node in &graph.nodes {
        for name in &node.inputs {
            *uses.entry(name.clone()).or_default() += 1;
        }
        graphs(node).for_each(|g| count_uses(g, uses));
    }
    for output in &graph.outputs {
        *uses.entry(output.name.clone()).or_default() += 1;
    }
}

fn reading(
    model: &Model,
    graph: &Graph,
    name: &str,
    options: &Import,
    facts: &mut Facts,
) -> Out<Imported> {
    let mut uses = BTreeMap::new();
    count_uses(graph, &mut uses);
    let opset = model.opsets.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    let mut m = Machine {
        facts,
        page: Page::default(),
        inputs: Vec::new(),
        scopes: vec![BTreeMap::new()],
        uses,
        opset: opset.map_or(1, |o| o.version),
        run,
        at: "the inputs of the graph".into(),
        layers: (0, layers(graph)),
        without_lengths: None,
        is_in_body: false,
    };
    // Outputs have their names before values do.
    let outputs: Vec<String> = graph.outputs.iter().map(|o| m.page.unique(&stem(&o.name, "y"))).collect();
    inputs(&mut m, graph)?;
    run(&mut m, graph)?;
    m.at = "the outputs of the graph".into();
    let last = write_outputs(&mut m, graph, &outputs)?;
    loss(&mut m, options.loss, &last)?;
    declare_inputs(&mut m)?;
    let source = m.page.text(m.facts, name);
    let recurrence = Recurrence::parse(name, &source).map_err(|error| {
        refused(format!(
            "the text of this model is no recurrence, which is a mistake of the import: {error}\n{source}"
        ))
    })?;
    let params: Params<f64> = m.page.params.params(&recurrence)?;
    recurrence.known_sizes(&params, &Batch::new(1, 1))?;
    Ok(Imported {
        recurrence,
        source,
        params: m.page.params,
        notes: m.page.notes,
    })
}

/// The inputs of the graph that are no initializers.
fn inputs(m: &mut Machine<'_>, graph: &Graph) -> Out<()> {
    let is_initializer = |name: &str| graph.initializers.iter().any(|t| t.name == name);
    for info in graph.inputs.iter().filter(|i| !is_initializer(&i.name)) {
        let source = info.name.clone();
        let tensor = info.ty.as_ref().and_then(|t| t.tensor.as_ref());
        let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dims.clone());
        let (Some(tensor), Some(dims)) = (tensor, dims) else {
            return Err(m.refuse(format!("`{}` is no array with a number of axes", printable(&source))));
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
        let is_integer = !matches!(tensor.entry, entry::F32 | entry::F64 | entry::F16 | entry::BF16);
        m.inputs.push(GraphInput {
            source: source.clone(),
            name: name.clone(),
            dims,
            is_integer,
            is_lengths: m.facts.lengths == Some(at),
        });
        let axes = axes(m, at);
        let is_per_step = axes.iter().any(|a| a.label == Label::Time);
        let is_number = m.facts.numbers.contains(&at);
        let tensor = Tensor {
            axes,
            body: match is_integer && !is_number {
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
    let mut labels = (0..m.inputs[input].dims.len()).map(|axis| m.facts.label(Origin { input, axis }));
    let letter = if labels.any(|l| l == Label::Time) { "K" } else { "H" };
    (0..m.inputs[input].dims.len())
        .map(|axis| {
            let origin = Origin { input, axis };
            let own = m.inputs[input].dims[axis].value.and_then(|v| usize::try_from(v).ok());
            let number = own.filter(|n| *n > 0).or_else(|| m.facts.size(origin));
            let label = m.facts.label(origin);
            let size = match (label, number) {
                (Label::Feature, Some(n)) if m.facts.is_counted(origin) => Size::number(n),
                (Label::Feature, Some(n)) => m.page.size(m.facts, letter, n),
                _ => Size { number, text: String::new() },
            };
            Axis { label, size, origin: Some(origin) }
        })
        .collect()
}

/// Reads the nodes of a graph.
fn run(m: &mut Machine<'_>, graph: &Graph) -> Out<()> {
    for tensor in &graph.initializers {
        let mut known = entries::known(tensor).map_err(|reason| m.refuse(reason))?;
        known.source = Some(Source {
            name: tensor.name.clone(),
            is_transposed: false,
        });
        if let Some(scope) = m.scopes.last_mut() {
            scope.insert(tensor.name.clone(), Value::Known(known));
        }
    }
    for node in &graph.nodes {
        let name = match &*node.name {
            "" => node.outputs.iter().find(|o| !o.is_empty()).map_or("", |o| o),
            name => name,
        };
        m.at = format!("node `{}` ({})", printable(name), printable(&node.op));
        apply(m, node)?;
    }
    Ok(())
}

fn apply(m: &mut Machine<'_>, node: &Node) -> Out<()> {
    let call = Call { node };
    if !matches!(&*node.domain, "" | "ai.onnx") {
        return Err(m.refuse(format!(
            "an operator of `{}`; expected one of ONNX itself",
            printable(&node.domain)
        )));
    }
    let row = TABLES.iter().flat_map(|t| t.iter()).find(|r| r.op == node.op);
    let function = pointwise::function(&node.op);
    let accepted: Vec<&str> = match (row, function) {
        (Some(row), _) => row.attributes.to_vec(),
        (None, Some(function)) => function.settings.iter().map(|(name, _)| *name).collect(),
        (None, None) => {
            let known = TABLES.iter().flat_map(|t| t.iter()).map(|r| r.op);
            let known: Vec<&str> = known.chain(activation::FUNCTIONS.iter().map(|f| f.name)).collect();
            return Err(m.refuse(format!(
                "no equation of a recurrence is known for this operator; known are {}",
                known.join(", ")
            )));
        }
    };
    if let Some(other) = node.attributes.iter().find(|a| !accepted.contains(&&*a.name)) {
        let list = match accepted.is_empty() {
            true => "it has none".to_owned(),
            false => format!("accepted are {}", quoted(accepted)),
        };
        return Err(m.refuse(format!("attribute `{}`; {list}", printable(&other.name))));
    }
    let (least, most) = row.map_or((1, 1), |row| row.inputs);
    let found = node.inputs.len();
    if !(least..=most).contains(&found) {
        let most = if most == machine::MANY { "any number".to_owned() } else { most.to_string() };
        return Err(m.refuse(format!("it has {found} inputs, expected {least} to {most}")));
    }
    let values = match (row, function) {
        (Some(row), _) => (row.run)(m, call)?,
        (_, Some(function)) => pointwise::apply(m, call, function)?,
        _ => Vec::new(),
    };
    let names: Vec<String> = node.outputs.clone();
    let mut values = values.into_iter();
    for name in names {
        match values.next() {
            Some(value) => m.bind(&name, value)?,
            // A use of it is told where it is used.
            None => break,
        }
    }
    Ok(())
}

/// The last output of the graph that a loss can have: its name, its logits, and its shape.
struct Last {
    expr: Expr,
    logits: Option<Expr>,
    shape: Vec<Size>,
    is_log: bool,
}

fn write_outputs(m: &mut Machine<'_>, graph: &Graph, names: &[String]) -> Out<Option<Last>> {
    let mut last = None;
    for (info, name) in graph.outputs.iter().zip(names) {
        let tensor = match m.value(&info.name) {
            Some(Value::Tensor(tensor)) => tensor.clone(),
            Some(_) => {
                return Err(m.refuse(format!("`{}` does not depend on the data", printable(&info.name))));
            }
            None => return Err(m.refuse(format!("no node computes `{}`", printable(&info.name)))),
        };
        m.decided(&tensor)?;
        let expr = m.shaped(&tensor)?;
        m.page.outputs.push(format!("output {name} = {}", expr.text));
        let shape = m.shape(&tensor)?;
        let features: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
        let outer: &[&str] = if tensor.is_per_step { &["T", "B"] } else { &["B"] };
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
            expr: Expr::atom(name.clone()),
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

fn loss(m: &mut Machine<'_>, loss: ModelLoss, last: &Option<Last>) -> Out<()> {
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
            m.page.inputs.push(format!("input {target}: class({})", size.text));
            let line = match (&last.logits, last.is_log) {
                (Some(_), true) => format!("mean loss -gather({o}, {target})"),
                (Some(logits), false) => format!("mean loss softmax_cross_entropy({}, {target})", logits.text),
                (None, _) => format!("mean loss softmax_cross_entropy({o}, {target})"),
            };
            m.page.outputs.push(line);
        }
        (ModelLoss::Softmax, shape) => {
            return Err(m.refuse(format!("`Import::loss`: the softmax takes an output that is a vector, `{o}` has {} axes", shape.len())));
        }
        (ModelLoss::Squared, shape) => {
            let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
            let (declared, mean) = match sizes.is_empty() {
                true => (target.clone(), format!("({o} - {target})^2")),
                false => (format!("{target}[{}]", sizes.join(", ")), format!("mean(({o} - {target})^2)")),
            };
            m.page.inputs.push(format!("input {declared}"));
            m.page.outputs.push(format!("mean loss {mean}"));
        }
    }
    Ok(())
}

/// The declarations of the inputs, once their axes are known.
fn declare_inputs(m: &mut Machine<'_>) -> Out<()> {
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
            m.page.note(format!("no node uses the input `{}`", printable(&source)));
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
        let mut here: Vec<&str> = if word == "input" { vec!["T", "B"] } else { vec!["B"] };
        here.extend(&sizes);
        let there = layout(m, &tensor);
        if there != here.join(", ") {
            m.page.note(format!("input `{name}` is [{}] here and [{there}] in the model", here.join(", ")));
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
                m.page.note(format!("axis {} of the input `{}` is taken as {word}, which no node decides", axis.axis, printable(&source)));
            }
        }
    }
    lines.append(&mut m.page.inputs);
    m.page.inputs = lines;
    Ok(())
}
