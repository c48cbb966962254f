//! Writes a recurrence made of the cells of ONNX as a model. Its parts are recognised by the names of its parameters; the model is
//! imported again and must compute the same outputs, so that a recurrence with other equations is refused.

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, concatenate, stack};
use prost::Message;

use super::super::Imported;
use super::super::options::Import;
use super::super::state::refused;
use super::cells::Cell;
use super::proto::{
    Attribute, Dim, Graph, Info, Model, Node, Opset, Shape, Tensor, TensorType, Type, entry, kind,
};
use crate::error::{Error, Result, quoted};
use crate::op::Scalar;
use crate::recurrence::{Batch, Outputs, Params, Recurrence};
use crate::shape::{Kind, Rate};

/// The version of the operators, and of the format.
const OPSET: i64 = 17;
const FORMAT: i64 = 8;

/// The largest difference of the outputs of both, relative to the largest number.
const TOLERANCE: f64 = 1e-9;

/// A recurrence made of the cells of ONNX as an ONNX model in single precision: layers of RNN, LSTM (also with peepholes) or GRU, in one
/// or two directions, with an embedding `E` before them and a readout `W_O`, `b_q` behind them, under the names of the library and of
/// [`Imported`]. Inputs and outputs have the steps first, then the samples.
///
/// ```
/// use bptt::cells::{Cell, Loss};
/// use bptt::data::{Import, Imported, to_onnx};
/// use bptt::Params;
/// let lstm = Cell::lstm().model("lstm", Loss::SquaredError)?;
/// let params = Params::<f64>::initial(&lstm, &[("H", 3), ("K", 2), ("O", 1)], 1)?;
/// let model = to_onnx(&lstm, &params)?;
/// let again = Imported::onnx("lstm.onnx", &model, &Import::new())?;
/// assert!(again.source.contains("c' = f * c + i * g"));
/// # Ok::<(), bptt::Error>(())
/// ```
///
/// # Errors
/// When the parameters are not those of such cells, one is missing, or the equations are others, so that no output of the recurrence is that of
/// the model.
pub fn to_onnx<F: Scalar>(recurrence: &Recurrence, params: &Params<F>) -> Result<Vec<u8>> {
    // Single precision is what other programs compute these nodes in.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the model is in single precision"
    )]
    let single = |x: &F| f64::from(Scalar::to_f64(*x) as f32);
    let rounded: Params<f64> = params
        .iter()
        .map(|(name, a)| (name, a.map(single)))
        .collect();
    let batch = trial(recurrence, &rounded)?;
    let own = recurrence.evaluate(&rounded, &batch)?;
    let builder = Builder::of(recurrence, &rounded)?;
    let choices =
        [false, true].map(|second| [false, true].map(|reverse| Choice { second, reverse }));
    for choice in choices.into_iter().flatten() {
        let mut bytes = builder.clone().model(choice, "o")?.encode_to_vec();
        if let Some(name) = same_output(recurrence, &bytes, &batch, &own)? {
            bytes = builder.model(choice, &name)?.encode_to_vec();
            return Ok(bytes);
        }
    }
    Err(refused(format!(
        "no output of `{}` is that of the cells of ONNX with its parameters: {} have other equations, or another value follows them",
        recurrence.name(),
        quoted(recurrence.parameters())
    )))
}

/// The attributes that follow from no name of a parameter.
#[derive(Clone, Copy, Debug)]
struct Choice {
    /// Relu of an RNN, a reset gate of a GRU after the product.
    second: bool,
    /// Layers of one direction go backwards.
    reverse: bool,
}

/// Data for a run of both: waves, and classes in turn.
fn trial(recurrence: &Recurrence, params: &Params<f64>) -> Result<Batch<f64>> {
    const STEPS: usize = 3;
    const SAMPLES: usize = 2;
    let mut batch = Batch::new(STEPS, SAMPLES);
    let known = recurrence.known_sizes(params, &batch)?;
    let tape = recurrence.tape();
    let sizes: Option<Vec<usize>> = tape
        .dims()
        .map(|dim| known.iter().find(|(name, _)| *name == dim).map(|(_, n)| *n))
        .collect();
    let sizes = sizes
        .ok_or_else(|| refused("the parameters leave a size of the recurrence open".into()))?;
    for name in recurrence.inputs() {
        let Some(leaf) = tape.leaf_named(name) else {
            continue;
        };
        let ty = leaf.ty();
        let mut shape = match ty.rate {
            Rate::Step => vec![STEPS, SAMPLES],
            _ => vec![SAMPLES],
        };
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        batch = match ty.kind {
            Kind::Real => {
                shape.extend(ty.shape.values(&sizes));
                #[expect(clippy::cast_precision_loss, reason = "positions are small")]
                let numbers = (0..count(&shape))
                    .map(|i| (0.7 * i as f64 + 0.3).sin())
                    .collect();
                let array = ArrayD::from_shape_vec(IxDyn(&shape), numbers);
                batch.with(name, array.unwrap_or_else(|_| ArrayD::zeros(IxDyn(&shape))))
            }
            Kind::Class(size) => {
                let classes = size.value(&sizes).max(1);
                let array = ArrayD::from_shape_vec(
                    IxDyn(&shape),
                    (0..count(&shape)).map(|i| i % classes).collect(),
                );
                batch.with_classes(name, array.unwrap_or_else(|_| ArrayD::zeros(IxDyn(&shape))))
            }
        };
    }
    Ok(batch)
}

/// The output of the recurrence that the model computes.
fn same_output(
    recurrence: &Recurrence,
    bytes: &[u8],
    batch: &Batch<f64>,
    own: &Outputs<f64>,
) -> Result<Option<String>> {
    let again = Imported::onnx("model.onnx", bytes, &Import::new())?;
    let params: Params<f64> = again.params.params(&again.recurrence)?;
    let mut inputs = Batch::new(batch.steps(), batch.samples());
    for name in again.recurrence.inputs() {
        let is_class = again
            .recurrence
            .tape()
            .leaf_named(name)
            .is_some_and(|l| matches!(l.ty().kind, Kind::Class(_)));
        inputs = match is_class {
            true => match batch.classes(name) {
                Some(classes) => inputs.with_classes(name, classes.clone()),
                None => return Ok(None),
            },
            false => match batch.get(name) {
                Some(array) => inputs.with(name, array.clone()),
                None => return Ok(None),
            },
        };
    }
    let found = again.recurrence.evaluate(&params, &inputs)?;
    let Some((_, theirs)) = found.iter().next() else {
        return Ok(None);
    };
    let is_same = |a: &ArrayD<f64>| {
        let size = a.iter().fold(1e-30, |m: f64, x| m.max(x.abs()));
        a.shape() == theirs.shape()
            && a.iter()
                .zip(theirs)
                .all(|(a, b)| (a - b).abs() <= TOLERANCE * size)
    };
    let names: Vec<&str> = recurrence.outputs().collect();
    let same = own
        .iter()
        .find(|(name, a)| names.contains(name) && is_same(a));
    Ok(same.map(|(name, _)| name.to_owned()))
}

/// A layer: its cell, and the suffixes of its directions.
#[derive(Clone, Debug)]
struct Layer {
    cell: Cell,
    suffixes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Builder<'a> {
    recurrence: &'a Recurrence,
    params: &'a Params<f64>,
    layers: Vec<Layer>,
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
    inputs: Vec<Info>,
}

/// The letters of the weights of a gate; those of an RNN have names of their own.
fn letters(cell: Cell, gate: &str) -> [String; 3] {
    match cell {
        Cell::Rnn => ["W_X", "W_H", "b_h"].map(Into::into),
        _ => ["W", "U", "b"].map(|letter| format!("{letter}_{gate}")),
    }
}

impl<'a> Builder<'a> {
    fn of(recurrence: &'a Recurrence, params: &'a Params<f64>) -> Result<Self> {
        let mut layers = Vec::new();
        let cell = |suffix: &str| {
            let has = |name: String| recurrence.parameters().any(|p| p == name);
            let is = |cell: &Cell| {
                cell.gates().iter().all(|gate| {
                    let [w, u, _] = letters(*cell, gate);
                    has(format!("{w}{suffix}")) && has(format!("{u}{suffix}"))
                })
            };
            [Cell::Lstm, Cell::Gru, Cell::Rnn].into_iter().find(is)
        };
        let numbers = std::iter::once(String::new()).chain((1..).map(|n| format!("_{n}")));
        for (n, number) in numbers.enumerate() {
            let both = ["_fw", "_bw"].map(|way| format!("{number}{way}"));
            match (cell(&number), cell(&both[0]), cell(&both[1])) {
                (Some(cell), _, _) => layers.push(Layer {
                    cell,
                    suffixes: vec![number],
                }),
                (None, Some(cell), Some(other)) if cell == other => {
                    layers.push(Layer {
                        cell,
                        suffixes: both.into(),
                    });
                }
                _ if n == 0 => {}
                _ => break,
            }
        }
        match layers.is_empty() {
            true => Err(Error::UnknownName {
                what: "cell of ONNX",
                name: recurrence.name().into(),
                known: vec!["rnn, rnn_relu, lstm, lstm_peephole, gru_reset_before, gru_reset_after, lstm_stacked, lstm_bidirectional".into()],
            }),
            false => Ok(Self {
                recurrence,
                params,
                layers,
                nodes: Vec::new(),
                initializers: Vec::new(),
                inputs: Vec::new(),
            }),
        }
    }

    fn get(&self, name: &str) -> Result<&'a ArrayD<f64>> {
        self.params.get(name).ok_or_else(|| Error::Missing {
            what: "parameter",
            name: name.into(),
            expected: self.recurrence.expected_shape(name),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.recurrence.parameters().any(|p| p == name)
    }

    /// The model with this output.
    fn model(mut self, choice: Choice, output: &str) -> Result<Model> {
        let layers = std::mem::take(&mut self.layers);
        let mut value = "x".to_owned();
        let axes = ["steps", "samples"];
        let mut size = 0;
        if self.has("E") {
            let table = self.get("E")?.clone();
            self.inputs.push(info("x", entry::I64, &axes, &[]));
            self.floats("E", &table);
            self.node("Gather", &["E", "x"], "e", vec![]);
            value = "e".into();
        } else {
            let [first, ..] = &layers[..] else {
                return Err(refused("no layers".into()));
            };
            let [w, _, _] = letters(first.cell, first.cell.gates()[0]);
            let weights = self.get(&format!("{w}{}", first.suffixes[0]))?;
            let columns = weights.shape().get(1).copied().unwrap_or(0);
            self.inputs.push(info("x", entry::F32, &axes, &[columns]));
        }
        for (n, layer) in layers.iter().enumerate() {
            (value, size) = self.layer(layer, (n, layers.len()), &value, choice)?;
        }
        if self.has("W_O") {
            let matrix = self.get("W_O")?.t().as_standard_layout().into_owned();
            size = matrix.shape().get(1).copied().unwrap_or(0);
            self.floats("W_O", &matrix);
            self.node("MatMul", &[&value, "W_O"], "product", vec![]);
            value = "product".into();
            if self.has("b_q") {
                let bias = self.get("b_q")?.clone();
                self.floats("b_q", &bias);
                self.node("Add", &[&value, "b_q"], "sum", vec![]);
            }
        }
        if let Some(last) = self.nodes.last_mut() {
            last.outputs[0] = output.into();
        }
        Ok(Model {
            ir_version: FORMAT,
            producer: "bptt".into(),
            graph: Some(Graph {
                name: self.recurrence.name().into(),
                nodes: self.nodes,
                initializers: self.initializers,
                inputs: self.inputs,
                outputs: vec![info(output, entry::F32, &axes, &[size])],
            }),
            opsets: vec![Opset {
                domain: String::new(),
                version: OPSET,
            }],
            functions: Vec::new(),
        })
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<Attribute>) {
        self.nodes.push(Node {
            inputs: inputs.iter().map(|i| (*i).to_owned()).collect(),
            outputs: vec![output.into()],
            name: format!("{output}_{}", op.to_lowercase()),
            op: op.into(),
            attributes,
            domain: String::new(),
        });
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the numbers were rounded before"
    )]
    fn floats(&mut self, name: &str, array: &ArrayD<f64>) {
        let raw = array
            .iter()
            .flat_map(|x| (*x as f32).to_le_bytes())
            .collect();
        self.initializers
            .push(tensor(name, entry::F32, array.shape(), raw));
    }

    fn integers(&mut self, name: &str, numbers: &[i64]) {
        let raw = numbers.iter().flat_map(|i| i.to_le_bytes()).collect();
        self.initializers
            .push(tensor(name, entry::I64, &[numbers.len()], raw));
    }

    /// Writes a layer; the name of its output, and its size.
    fn layer(
        &mut self,
        layer: &Layer,
        (n, count): (usize, usize),
        x: &str,
        choice: Choice,
    ) -> Result<(String, usize)> {
        let end = if count == 1 {
            String::new()
        } else {
            format!("_{}", n + 1)
        };
        let ways = layer.suffixes.len();
        let mut inputs = vec![x.to_owned()];
        let mut arrays: [Vec<ArrayD<f64>>; 4] = Default::default();
        for suffix in &layer.suffixes {
            for (list, array) in arrays.iter_mut().zip(self.direction(layer.cell, suffix)?) {
                list.extend(array);
            }
        }
        let hidden = arrays[1]
            .first()
            .and_then(|r| r.shape().get(1).copied())
            .unwrap_or(0);
        for (letter, list) in ["W", "R", "B", "P"].into_iter().zip(&arrays) {
            let name = format!("{letter}{end}");
            match list.len() {
                0 => inputs.push(String::new()),
                n if n == ways => {
                    let views: Vec<ArrayViewD<'_, f64>> = list.iter().map(|a| a.view()).collect();
                    let array = stack(Axis(0), &views);
                    let array = array.map_err(|_| {
                        refused(format!("the directions of {letter} differ in their shapes"))
                    })?;
                    self.floats(&name, &array);
                    inputs.push(name);
                }
                _ => return Err(refused(format!("{letter} belongs to one direction only"))),
            }
        }
        let peepholes = inputs.pop().unwrap_or_default();
        inputs.push(String::new());
        for state in layer.cell.states() {
            inputs.push(self.start(state, &layer.suffixes, &end, hidden)?);
        }
        if !peepholes.is_empty() {
            inputs.push(peepholes);
        }
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let int = |name: &str, i: i64| Attribute {
            name: name.into(),
            i,
            kind: kind::INT,
            ..Default::default()
        };
        let mut attributes = vec![int("hidden_size", i64::try_from(hidden).unwrap_or(0))];
        let direction = match ways {
            2 => Some("bidirectional"),
            _ => choice.reverse.then_some("reverse"),
        };
        if let Some(direction) = direction {
            attributes.push(Attribute {
                name: "direction".into(),
                s: direction.into(),
                kind: kind::STRING,
                ..Default::default()
            });
        }
        let (op, has_choice) = match layer.cell {
            Cell::Rnn => ("RNN", true),
            Cell::Lstm => ("LSTM", false),
            Cell::Gru => ("GRU", true),
        };
        if has_choice && choice.second {
            attributes.push(match layer.cell {
                Cell::Gru => int("linear_before_reset", 1),
                _ => Attribute {
                    name: "activations".into(),
                    strings: vec![b"Relu".to_vec(); ways],
                    kind: kind::STRINGS,
                    ..Default::default()
                },
            });
        }
        let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let y = format!("y{end}");
        self.node(op, &names, &y, attributes);
        let h = format!("h{end}");
        if ways == 1 {
            let axes = format!("axes{end}");
            self.integers(&axes, &[1]);
            self.node("Squeeze", &[&y, &axes], &h, vec![]);
            return Ok((h, hidden));
        }
        let turned = format!("turned{end}");
        let perm = Attribute {
            name: "perm".into(),
            ints: vec![0, 2, 1, 3],
            kind: kind::INTS,
            ..Default::default()
        };
        self.node("Transpose", &[&y], &turned, vec![perm]);
        let shape = format!("shape{end}");
        self.integers(&shape, &[0, 0, -1]);
        self.node("Reshape", &[&turned, &shape], &h, vec![]);
        Ok((h, 2 * hidden))
    }

    /// The arrays W, R, B, P of a direction, in the order of ONNX.
    fn direction(&self, cell: Cell, suffix: &str) -> Result<[Option<ArrayD<f64>>; 4]> {
        let gates = cell.gates();
        let named = |name: &str| format!("{name}{suffix}");
        let mut parts: [Vec<ArrayD<f64>>; 5] = Default::default();
        for gate in gates {
            let [w, u, b] = letters(cell, gate).map(|name| named(&name));
            let weights = self.get(&w)?;
            let rows = weights.shape().first().copied().unwrap_or(0);
            let zeros = || ArrayD::zeros(IxDyn(&[rows]));
            parts[0].push(weights.clone());
            parts[1].push(self.get(&u)?.clone());
            let keeps_two = cell == Cell::Gru && *gate == "n" && self.has(&named("b_u"));
            let bias = |name: &str| {
                if self.has(name) {
                    self.get(name).cloned()
                } else {
                    Ok(zeros())
                }
            };
            parts[2].push(bias(&b)?);
            parts[3].push(if keeps_two {
                self.get(&named("b_u"))?.clone()
            } else {
                zeros()
            });
        }
        if cell == Cell::Lstm {
            for gate in &gates[..3] {
                let name = ["P", "p"]
                    .map(|p| named(&format!("{p}_{gate}")))
                    .into_iter()
                    .find(|n| self.has(n));
                if let Some(name) = name {
                    parts[4].push(self.get(&name)?.clone());
                }
            }
        }
        let has_bias = gates
            .iter()
            .any(|gate| self.has(&named(&letters(cell, gate)[2])))
            || self.has(&named("b_u"));
        let joined = |parts: &[ArrayD<f64>]| {
            let views: Vec<ArrayViewD<'_, f64>> = parts.iter().map(|a| a.view()).collect();
            concatenate(Axis(0), &views)
                .map_err(|_| refused(format!("the gates of `{suffix}` differ in their shapes")))
        };
        let [w, u, one, two, p] = &parts;
        let bias = match has_bias {
            true => Some(joined(&[joined(one)?, joined(two)?])?),
            false => None,
        };
        let peepholes = match p.len() {
            0 => None,
            3 => Some(joined(p)?),
            _ => {
                return Err(refused(
                    "ONNX has peepholes of the gates i, f and o, or none".into(),
                ));
            }
        };
        Ok([Some(joined(w)?), Some(joined(u)?), bias, peepholes])
    }

    /// The states before the first step: nothing, or an input or parameter for each direction.
    fn start(
        &mut self,
        state: &str,
        suffixes: &[String],
        end: &str,
        hidden: usize,
    ) -> Result<String> {
        let names: Vec<String> = suffixes.iter().map(|s| format!("{state}0{s}")).collect();
        let name = format!("initial_{state}{end}");
        if names
            .iter()
            .all(|n| self.recurrence.inputs().any(|i| i == n))
        {
            let axes = format!("first_{state}{end}");
            self.integers(&axes, &[0]);
            let mut parts = Vec::new();
            for own in &names {
                self.inputs
                    .push(info(own, entry::F32, &["samples"], &[hidden]));
                let part = if names.len() == 1 {
                    name.clone()
                } else {
                    format!("{own}_row")
                };
                self.node("Unsqueeze", &[own, &axes], &part, vec![]);
                parts.push(part);
            }
            if parts.len() > 1 {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let axis = Attribute {
                    name: "axis".into(),
                    i: 0,
                    kind: kind::INT,
                    ..Default::default()
                };
                self.node("Concat", &parts, &name, vec![axis]);
            }
            return Ok(name);
        }
        Ok(String::new())
    }
}

fn tensor(name: &str, ty: i32, shape: &[usize], raw: Vec<u8>) -> Tensor {
    Tensor {
        dims: shape
            .iter()
            .map(|n| i64::try_from(*n).unwrap_or(0))
            .collect(),
        ty,
        name: name.into(),
        raw,
        ..Default::default()
    }
}

/// An input or output with named axes, then sizes.
fn info(name: &str, ty: i32, axes: &[&str], sizes: &[usize]) -> Info {
    let named = axes.iter().map(|a| Dim {
        name: Some((*a).to_owned()),
        value: None,
    });
    let sized = sizes.iter().map(|n| Dim {
        name: None,
        value: i64::try_from(*n).ok(),
    });
    Info {
        name: name.into(),
        ty: Some(Type {
            tensor: Some(TensorType {
                entry: ty,
                shape: Some(Shape {
                    dims: named.chain(sized).collect(),
                }),
            }),
        }),
    }
}
