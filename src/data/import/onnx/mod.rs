//! ONNX models: every value of the graph as an expression of the recurrence language, whose axes are steps, samples or
//! entries. What an axis means follows from the nodes that use it; a meaning that is found begins the reading again.

mod activation;
mod align;
mod cells;
mod entries;
mod export;
mod facts;
mod interface;
mod join;
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
mod update;
mod value;

use std::collections::BTreeMap;

pub use export::to_onnx;
pub use update::updated_onnx;

use prost::Message;

use super::options::{Import, States};
use super::{Imported, state::refused};
use crate::data::{Arrays, Element};
use crate::error::{Result, printable, quoted};
use crate::recurrence::{Batch, Params, Recurrence};
use facts::{Facts, Out, Stop};
use machine::{Call, Machine, Row};
use page::Page;
use proto::{Graph, Model, Node};
use value::{Source, Value};

/// The operators.
const TABLES: &[&[Row]] = &[
    recurrent::ROWS,
    scan::ROWS,
    products::ROWS,
    pointwise::ROWS,
    layout::ROWS,
    parts::ROWS,
    join::ROWS,
    shapes::ROWS,
    reduce::ROWS,
];

/// The most readings of a model, and nodes of one.
const MOST_READINGS: usize = 300;
const MOST_NODES: usize = 20_000;

/// The bytes of memory for a byte of a file: messages, entries as `f64`, copies of parts and the parameters.
const MEMORY: usize = 20;

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
        let (model, graph) = decoded(bytes)?;
        check(&model, &graph, options)?;
        let mut facts = Facts::default();
        for _ in 0..MOST_READINGS {
            match reading((&model, bytes.len()), &graph, name, options, &mut facts) {
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

/// The initializers of a model, as real numbers.
pub(super) fn initializers(bytes: &[u8]) -> Result<Arrays> {
    let mut arrays = Arrays::new();
    for tensor in &decoded(bytes)?.1.initializers {
        let known = entries::known(tensor).map_err(refused)?;
        arrays.insert(&tensor.name, f64::array((*known.array).clone()));
    }
    Ok(arrays)
}

fn decoded(bytes: &[u8]) -> Result<(Model, Graph)> {
    crate::limit::check_memory(bytes.len().checked_mul(MEMORY))?;
    let model = Model::decode(bytes);
    let mut model = model.map_err(|error| refused(format!("this is no ONNX model: {error}")))?;
    match model.graph.take() {
        Some(graph) => Ok((model, graph)),
        None => Err(refused("this is no ONNX model: it has no graph".into())),
    }
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
        n if n > MOST_NODES => Err(refused(format!(
            "the model has more than {MOST_NODES} nodes"
        ))),
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
    (model, length): (&Model, usize),
    graph: &Graph,
    name: &str,
    options: &Import,
    facts: &mut Facts,
) -> Out<Imported> {
    let mut uses = BTreeMap::new();
    count_uses(graph, &mut uses);
    let opset = model
        .opsets
        .iter()
        .find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    let mut m = Machine {
        facts,
        page: Page::default(),
        inputs: Vec::new(),
        scopes: vec![BTreeMap::new()],
        outputs: BTreeMap::new(),
        uses,
        opset: opset.map_or(1, |o| o.version),
        run,
        at: "the inputs of the graph".into(),
        layers: (0, layers(graph)),
        without_lengths: None,
        most_entries: machine::most_entries(length),
        is_in_body: false,
    };
    interface::name_outputs(&mut m, graph);
    interface::inputs(&mut m, graph)?;
    run(&mut m, graph)?;
    m.at = "the outputs of the graph".into();
    let last = interface::write_outputs(&mut m, graph)?;
    interface::loss(&mut m, options.loss, last.as_ref())?;
    interface::declare_inputs(&mut m)?;
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
            "" => node
                .outputs
                .iter()
                .find(|o| !o.is_empty())
                .map_or("", |o| o),
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
    let row = TABLES
        .iter()
        .flat_map(|t| t.iter())
        .find(|r| r.op == node.op);
    let function = pointwise::function(&node.op);
    let accepted: Vec<&str> = match (row, function) {
        (Some(row), _) => row.attributes.to_vec(),
        (None, Some(function)) => function.settings.iter().map(|(name, _)| *name).collect(),
        (None, None) => {
            let known = TABLES.iter().flat_map(|t| t.iter()).map(|r| r.op);
            let known: Vec<&str> = known
                .chain(activation::FUNCTIONS.iter().map(|f| f.name))
                .collect();
            return Err(m.refuse(format!(
                "no equation of a recurrence is known for this operator; known are {}",
                known.join(", ")
            )));
        }
    };
    if let Some(other) = node
        .attributes
        .iter()
        .find(|a| !accepted.contains(&&*a.name))
    {
        let list = match accepted.is_empty() {
            true => "it has none".to_owned(),
            false => format!("accepted are {}", quoted(accepted)),
        };
        return Err(m.refuse(format!("attribute `{}`; {list}", printable(&other.name))));
    }
    let (least, most) = row.map_or((1, 1), |row| row.inputs);
    let found = node.inputs.len();
    if !(least..=most).contains(&found) {
        let most = if most == machine::MANY {
            "any number".to_owned()
        } else {
            most.to_string()
        };
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
