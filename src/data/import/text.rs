//! The text of an imported model and its parameters.

use indexmap::IndexMap;
use ndarray::ArrayD;

use super::module::{Body, Kind, Module, Origin, Stack, Tensor};
use super::names::{Cell, Counts, comment, described, ends_linear, is_tied, numbered, rows};
use super::options::{Activation, Import, ModelLoss, Nonlinearity, States};
use super::state::refused;
use crate::data::{Arrays, Element};
use crate::error::Result;

/// The longest line of a list of sources.
const LINE: usize = 110;

/// The value that the modules so far give.
struct Value {
    text: String,
    size: String,
}

/// A text in parts, and the parameters.
pub(super) struct Writer<'o> {
    options: &'o Import,
    sizes: IndexMap<String, usize>,
    declarations: Vec<String>,
    equations: Vec<String>,
    origin: Origin,
    has_norm: bool,
    is_tied: bool,
    pub(super) params: Arrays,
    pub(super) notes: Vec<String>,
    embedding: Option<Tensor>,
    used_activation: bool,
    used_nonlinearity: bool,
}

impl<'o> Writer<'o> {
    pub(super) fn new(options: &'o Import) -> Self {
        Self {
            options,
            sizes: IndexMap::new(),
            declarations: Vec::new(),
            equations: Vec::new(),
            origin: Origin::PyTorch,
            has_norm: false,
            is_tied: false,
            params: Arrays::new(),
            notes: Vec::new(),
            embedding: None,
            used_activation: false,
            used_nonlinearity: false,
        }
    }

    /// The text of the modules in this order.
    pub(super) fn write(&mut self, name: &str, modules: &[Module]) -> Result<String> {
        let stacks = modules.iter().filter_map(|m| match &m.body {
            Body::Recurrent(stack) => Some(stack.layers.len()),
            _ => None,
        });
        let count = |is: fn(&Body) -> bool| modules.iter().filter(|m| is(&m.body)).count();
        let counts = Counts {
            stacks: stacks.clone().count(),
            layers: stacks.sum(),
            norms: count(|b| matches!(b, Body::Norm(..))),
            linears: count(|b| matches!(b, Body::Linear(..))) - usize::from(ends_linear(modules)),
        };
        self.is_tied = is_tied(modules);
        self.origin = modules.first().map_or(Origin::PyTorch, |m| m.origin);
        let mut value = self.input(modules);
        let (mut stack, mut layer, mut norm, mut linear) = (0, 0, 0, 0);
        for (at, module) in modules.iter().enumerate() {
            value = match &module.body {
                Body::Embedding(weight) => self.embedding(weight),
                Body::Norm(scale, shift) => {
                    norm += 1;
                    self.norm(&value, (scale, shift.as_ref()), (norm, counts.norms))
                }
                Body::Linear(weight, bias) if at + 1 == modules.len() => {
                    self.readout(&value, weight, bias.as_ref())
                }
                Body::Linear(weight, bias) => {
                    linear += 1;
                    self.hidden(&value, (weight, bias.as_ref()), (linear, counts.linears))?
                }
                Body::Recurrent(body) => {
                    stack += 1;
                    self.stack(value, body, (stack, &mut layer), &counts)?
                }
            };
        }
        self.check_choices()?;
        let loss = self.loss(&value);
        Ok(self.text(name, modules, &value, &loss))
    }

    fn check_choices(&self) -> Result<()> {
        let useless = |choice: &str, reason: &str| {
            Err(refused(format!(
                "`Import::{choice}` has no effect: {reason}; leave it out"
            )))
        };
        if self.options.nonlinearity.is_some() && !self.used_nonlinearity {
            let reason = format!("the model has no {}", self.origin.rnn());
            return useless("nonlinearity", &reason);
        }
        if self.options.activation.is_some() && !self.used_activation {
            return useless(
                "activation",
                "no linear layer of the model has another module after it",
            );
        }
        Ok(())
    }

    fn text(&self, name: &str, modules: &[Module], value: &Value, loss: &[String]) -> String {
        let kinds: Vec<String> = modules.iter().map(described).collect();
        let mut lines = vec![format!(
            "# Imported from {}: {}.",
            comment(name),
            kinds.join(", ")
        )];
        let sizes: Vec<String> = self
            .sizes
            .iter()
            .map(|(name, size)| format!("{name} = {size}"))
            .collect();
        lines.push(format!("# Sizes of the file: {}.", sizes.join(", ")));
        let names: Vec<&str> = self.sizes.keys().map(String::as_str).collect();
        lines.push(format!("dim {}", names.join(", ")));
        lines.extend(self.declarations.iter().cloned());
        lines.push(String::new());
        if self.has_norm {
            let [epsilon, name] = self.origin.epsilon();
            lines.push(format!(
                "# The constant is the default {name}, which is not in the file."
            ));
            lines.push(format!(
                "fn layer_norm(x, scale) = scale * (x - mean(x)) / sqrt(mean((x - mean(x))^2) + {epsilon})"
            ));
        }
        lines.extend(self.equations.iter().cloned());
        lines.push(format!("output o = {}", value.text));
        lines.extend(loss.iter().cloned());
        lines.join("\n") + "\n"
    }

    fn size(&mut self, name: String, size: usize) -> String {
        // A shared matrix is read on both sides, so that sizes equal to that of the embedding have its name.
        if self.is_tied && self.sizes.get("D") == Some(&size) {
            return "D".into();
        }
        self.sizes.insert(name.clone(), size);
        name
    }

    fn param(&mut self, name: String, shape: &[&str], array: ArrayD<f64>) -> String {
        self.params.insert(&name, f64::array(array));
        format!("{name}[{}]", shape.join(", "))
    }

    fn declare(&mut self, params: &[String]) {
        self.declarations
            .push(format!("param {}", params.join(", ")));
    }

    /// A comment with the arrays that the next parameters are made of.
    fn source(&mut self, tensors: &[&Tensor], what: &str) {
        let mut line = "#".to_owned();
        for (n, tensor) in tensors.iter().enumerate() {
            // Two biases of the same rows are added.
            let end = match tensors.get(n + 1) {
                None => what,
                Some(_) if tensor.source.contains("bias_ih") => " +",
                Some(_) => ",",
            };
            let word = format!(" {}{end}", comment(&tensor.source));
            if line.len() + word.len() > LINE {
                let full = std::mem::replace(&mut line, "#".into());
                self.declarations.push(full);
            }
            line += &word;
        }
        self.declarations.push(line);
    }

    fn input(&mut self, modules: &[Module]) -> Value {
        let takes = modules.first().and_then(Module::takes);
        let declaration = match takes {
            None => "input x: class(C)".to_owned(),
            Some(size) => {
                self.size("K".into(), size);
                "input x[K]".into()
            }
        };
        self.declarations.push(declaration);
        Value {
            text: "x".into(),
            size: "K".into(),
        }
    }

    fn embedding(&mut self, weight: &Tensor) -> Value {
        self.size("C".into(), weight.rows());
        let size = self.size("D".into(), weight.columns());
        self.source(&[weight], "");
        let matrix = self.param("E".into(), &["C", "D"], weight.array.clone());
        self.declare(&[matrix]);
        self.embedding = Some(weight.clone());
        self.equations.push("e = gather(E, x)".into());
        Value {
            text: "e".into(),
            size,
        }
    }

    fn norm(
        &mut self,
        value: &Value,
        (scale, shift): (&Tensor, Option<&Tensor>),
        (number, count): (usize, usize),
    ) -> Value {
        self.has_norm = true;
        let sources: Vec<&Tensor> = [scale].into_iter().chain(shift).collect();
        self.source(&sources, "");
        let [scale_name, shift_name, name] =
            ["scale", "shift", "normed"].map(|n| numbered(n, number, count));
        let size = value.size.as_str();
        let mut params = vec![self.param(scale_name.clone(), &[size], scale.array.clone())];
        let mut end = String::new();
        if let Some(shift) = shift {
            params.push(self.param(shift_name.clone(), &[size], shift.array.clone()));
            end = format!(" + {shift_name}");
        }
        self.declare(&params);
        let text = format!("{name} = layer_norm({}, {scale_name}){end}", value.text);
        self.equations.push(text);
        Value {
            text: name,
            size: value.size.clone(),
        }
    }

    /// A linear layer with another module after it.
    fn hidden(
        &mut self,
        value: &Value,
        (weight, bias): (&Tensor, Option<&Tensor>),
        (number, count): (usize, usize),
    ) -> Result<Value> {
        let function = match self.options.activation {
            Some(Activation::None) => None,
            Some(Activation::Relu) => Some("relu"),
            Some(Activation::Tanh) => Some("tanh"),
            Some(Activation::Sigmoid) => Some("sigmoid"),
            Some(Activation::Gelu) => Some("gelu"),
            Some(Activation::Silu) => Some("silu"),
            None => {
                return Err(refused(format!(
                    "the file does not say which function comes after the linear layer `{}`: give `Import::activation`, one of \
                     none, relu, tanh, sigmoid, gelu, silu",
                    weight.source
                )));
            }
        };
        self.used_activation = true;
        let names = ["N", "W", "b", "a"].map(|n| match n {
            "N" | "a" => numbered(n, number, count),
            _ => format!("{n}_{number}"),
        });
        let [size, matrix, vector, name] = names;
        let size = self.size(size, weight.rows());
        let sum = self.affine(value, (weight, bias), (&matrix, &vector), &size);
        let text = match function {
            Some(function) => format!("{name} = {function}({sum})"),
            None => format!("{name} = {sum}"),
        };
        self.equations.push(text);
        Ok(Value { text: name, size })
    }

    /// The last linear layer.
    fn readout(&mut self, value: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Value {
        let shared = self.embedding.clone();
        if let Some(tied) = shared.filter(|_| self.is_tied && value.size == "D") {
            self.notes.push(format!(
                "`{}` and `{}` are equal: both are the parameter `E`",
                tied.source, weight.source
            ));
            self.source(&[&tied, weight], ": one matrix, E");
            let mut text = format!("E @ {}", value.text);
            if let Some(bias) = bias {
                self.source(&[bias], "");
                let vector = self.param("b_q".into(), &["C"], bias.array.clone());
                self.declare(&[vector]);
                text += " + b_q";
            }
            return Value {
                text,
                size: "C".into(),
            };
        }
        let size = self.size("O".into(), weight.rows());
        let text = self.affine(value, (weight, bias), ("W_O", "b_q"), &size);
        Value { text, size }
    }

    fn affine(
        &mut self,
        value: &Value,
        (weight, bias): (&Tensor, Option<&Tensor>),
        (matrix, vector): (&str, &str),
        size: &str,
    ) -> String {
        let sources: Vec<&Tensor> = [weight].into_iter().chain(bias).collect();
        self.source(&sources, "");
        let mut params =
            vec![self.param(matrix.into(), &[size, &value.size], weight.array.clone())];
        let mut text = format!("{matrix} @ {}", value.text);
        if let Some(bias) = bias {
            params.push(self.param(vector.into(), &[size], bias.array.clone()));
            text += &format!(" + {vector}");
        }
        self.declare(&params);
        text
    }

    fn stack(
        &mut self,
        mut value: Value,
        stack: &Stack,
        (number, layer): (usize, &mut usize),
        counts: &Counts,
    ) -> Result<Value> {
        let hidden = self.size(numbered("H", number, counts.stacks), stack.hidden);
        let is_projected = stack
            .layers
            .iter()
            .flatten()
            .any(|l| l.projection.is_some());
        let out = match is_projected {
            true => self.size(numbered("P", number, counts.stacks), stack.projected),
            false => hidden.clone(),
        };
        for directions in &stack.layers {
            *layer += 1;
            if value.text.contains('(') {
                let name = format!("x_{layer}");
                self.equations.push(format!("{name} = {}", value.text));
                value.text = name;
            }
            let mut outputs = Vec::new();
            for (n, one) in directions.iter().enumerate() {
                let mut suffix = numbered("", *layer, counts.layers);
                if directions.len() > 1 {
                    suffix += if n == 0 { "_fw" } else { "_bw" };
                }
                let cell = Cell {
                    kind: stack.kind,
                    layer: one,
                    suffix,
                    hidden: &hidden,
                    out: &out,
                    is_backward: n > 0,
                };
                outputs.push(self.cell(&value, &cell)?);
            }
            value = match &outputs[..] {
                [one] => Value {
                    text: one.clone(),
                    size: out.clone(),
                },
                both => Value {
                    text: format!("concat({})", both.join(", ")),
                    size: format!("2*{out}"),
                },
            };
        }
        Ok(value)
    }

    /// Writes one layer in one direction; returns its output.
    fn cell(&mut self, x: &Value, cell: &Cell<'_>) -> Result<String> {
        let (layer, suffix) = (cell.layer, &cell.suffix);
        let gates = cell.kind.gates();
        let all = [
            Some(&layer.of_input),
            Some(&layer.of_state),
            layer.bias.as_ref(),
            layer.second_bias.as_ref(),
        ];
        let sources: Vec<&Tensor> = all.into_iter().flatten().collect();
        let what = match cell.kind {
            Kind::Rnn => String::new(),
            _ if self.origin == Origin::Keras => match cell.kind {
                Kind::Lstm => ": the columns of i, f, g, o".into(),
                Kind::Gru => ": the columns of z, r, n, where n keeps two biases".into(),
                _ => ": the columns of z, r, n".into(),
            },
            Kind::Gru => ": the rows of r, z, n, where n keeps two biases".into(),
            _ => format!(": the rows of {}", gates.join(", ")),
        };
        self.source(&sources, &what);
        let mut sums = Vec::new();
        for (n, gate) in gates.iter().enumerate() {
            let part = |tensor: &Tensor| rows(&tensor.array, n, gates.len());
            let [w, u, b] = match cell.kind {
                Kind::Rnn => ["W_X", "W_H", "b_h"].map(|name| format!("{name}{suffix}")),
                _ => ["W", "U", "b"].map(|name| format!("{name}_{gate}{suffix}")),
            };
            let mut params = vec![
                self.param(w.clone(), &[cell.hidden, &x.size], part(&layer.of_input)),
                self.param(u.clone(), &[cell.hidden, cell.out], part(&layer.of_state)),
            ];
            let input = format!("{w} @ {}", x.text);
            let state = match (cell.kind, *gate) {
                (Kind::GruBefore, "n") => format!("{u} @ (r{suffix} * h{suffix})"),
                _ => format!("{u} @ h{suffix}"),
            };
            let [one, two] = [&layer.bias, &layer.second_bias].map(|b| b.as_ref().map(part));
            // The reset gate of a GRU multiplies the second bias.
            if cell.kind == Kind::Gru && *gate == "n" {
                let mut biased = |value: String, name: String, bias: Option<ArrayD<f64>>| match bias
                {
                    None => value,
                    Some(array) => {
                        params.push(self.param(name.clone(), &[cell.hidden], array));
                        format!("{value} + {name}")
                    }
                };
                sums.push(biased(input, b, one));
                sums.push(biased(state, format!("b_u{suffix}"), two));
            } else {
                let bias = match (one, two) {
                    (Some(one), Some(two)) => Some(one + two),
                    (one, two) => one.or(two),
                };
                let mut sum = format!("{input} + {state}");
                if let Some(array) = bias {
                    params.push(self.param(b.clone(), &[cell.hidden], array));
                    sum += &format!(" + {b}");
                }
                sums.push(sum);
            }
            self.declare(&params);
        }
        if let Some(projection) = &layer.projection {
            self.source(&[projection], "");
            let matrix = self.param(
                format!("W_p{suffix}"),
                &[cell.out, cell.hidden],
                projection.array.clone(),
            );
            self.declare(&[matrix]);
        }
        self.states(cell);
        let equations = self.equations_of(cell, &sums)?;
        let lines = equations
            .into_iter()
            .map(|(name, text)| format!("{name} = {text}"));
        self.equations.extend(lines);
        self.equations.push(String::new());
        Ok(format!("h{suffix}'"))
    }

    fn states(&mut self, cell: &Cell<'_>) {
        let suffix = &cell.suffix;
        let states: &[(&str, &str)] = match cell.kind {
            Kind::Lstm => &[("h", cell.out), ("c", cell.hidden)],
            _ => &[("h", cell.out)],
        };
        let listed = |of: &dyn Fn(&str, &str) -> String| {
            states
                .iter()
                .map(|(name, size)| of(name, size))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let word = if cell.is_backward {
            "backward state"
        } else {
            "state"
        };
        let line = match self.options.states {
            States::Zero => listed(&|name, size| format!("{name}{suffix}[{size}]")),
            States::Inputs => {
                let inputs = listed(&|name, size| format!("{name}0{suffix}[{size}]"));
                self.declarations.push(format!("sample input {inputs}"));
                listed(&|name, size| format!("{name}{suffix}[{size}] = {name}0{suffix}"))
            }
        };
        self.declarations.push(format!("{word} {line}"));
    }

    fn equations_of(&mut self, cell: &Cell<'_>, sums: &[String]) -> Result<Vec<(String, String)>> {
        let s = &cell.suffix;
        let gate = |name: &str, function: &str, sum: &String| {
            (format!("{name}{s}"), format!("{function}({sum})"))
        };
        Ok(match (cell.kind, sums) {
            (Kind::Lstm, [i, f, g, o]) => {
                let new = format!("og{s} * tanh(c{s}')");
                let new = match cell.layer.projection {
                    Some(_) => format!("W_p{s} @ ({new})"),
                    None => new,
                };
                vec![
                    gate("i", "sigmoid", i),
                    gate("f", "sigmoid", f),
                    gate("g", "tanh", g),
                    gate("og", "sigmoid", o),
                    (format!("c{s}'"), format!("f{s} * c{s} + i{s} * g{s}")),
                    (format!("h{s}'"), new),
                ]
            }
            (Kind::GruBefore, [r, z, n]) => vec![
                gate("r", "sigmoid", r),
                gate("z", "sigmoid", z),
                gate("n", "tanh", n),
                (format!("h{s}'"), format!("(1 - z{s}) * n{s} + z{s} * h{s}")),
            ],
            (Kind::Gru, [r, z, n, u]) => vec![
                gate("r", "sigmoid", r),
                gate("z", "sigmoid", z),
                (format!("u{s}"), u.clone()),
                (format!("n{s}"), format!("tanh({n} + r{s} * u{s})")),
                (format!("h{s}'"), format!("(1 - z{s}) * n{s} + z{s} * h{s}")),
            ],
            (_, sums) => {
                let function = match self.options.nonlinearity {
                    Some(Nonlinearity::Tanh) => "tanh",
                    Some(Nonlinearity::Relu) => "relu",
                    None => {
                        return Err(refused(format!(
                            "`{}` is that of a layer {}, and the file does not say which function it uses: give \
                             `Import::nonlinearity`, tanh or relu (tanh is the default)",
                            cell.layer.of_state.source,
                            self.origin.rnn()
                        )));
                    }
                };
                self.used_nonlinearity = true;
                vec![(
                    format!("h{s}'"),
                    format!("{function}({})", sums.join(" + ")),
                )]
            }
        })
    }

    /// The lines of the loss.
    fn loss(&self, value: &Value) -> Vec<String> {
        let size = &value.size;
        let lines = match self.options.loss {
            ModelLoss::None => vec![
                "# For a loss, add two lines: `input y[…]` and `mean loss mean((o - y)^2)`, or `input y: class(…)` and".into(),
                "# `mean loss softmax_cross_entropy(o, y)`.".into(),
            ],
            ModelLoss::Softmax => vec![
                format!("input y: class({size})"),
                "mean loss softmax_cross_entropy(o, y)".into(),
            ],
            ModelLoss::Squared => vec![format!("input y[{size}]"), "mean loss mean((o - y)^2)".into()],
        };
        lines
            .into_iter()
            .map(|line: String| line.replace('…', size))
            .collect()
    }
}
