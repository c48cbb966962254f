//! Expressions of a graph, written in the language.

use std::collections::HashMap;

use super::print::{Names, brackets};
use crate::op::{
    Axis, Broadcast, Concat, Gather, Hold, Linear, NodeId, Notation, Op, Over, Pad, Pointwise,
    RegisterId, Scatter, Slice, Sum, Time,
};
use crate::shape::{Dim, Rate, Shape};
use crate::tape::{Direction, Tape};

/// Binds more tightly than any operator.
const TIGHT: u8 = 5;

pub(super) struct Writer<'t> {
    pub(super) tape: &'t Tape,
    pub(super) dims: Names,
    /// How the values that have statements of their own are written.
    pub(super) names: HashMap<NodeId, String>,
    pub(super) states: HashMap<RegisterId, String>,
}

type Text = Result<String, String>;

impl Writer<'_> {
    pub(super) fn dim(&self, dim: Dim) -> String {
        let mut parts: Vec<String> = dim
            .named_terms()
            .map(|(symbol, factor)| {
                let name = &self.dims[usize::from(symbol.0)];
                match factor {
                    1 => name.to_string(),
                    n => format!("{n}*{name}"),
                }
            })
            .collect();
        if dim.constant() > 0 || parts.is_empty() {
            parts.push(dim.constant().to_string());
        }
        parts.join(" + ")
    }

    pub(super) fn shape(&self, shape: Shape) -> String {
        brackets(shape, |d| self.dim(d))
    }

    /// A value where nothing goes without saying.
    pub(super) fn value(&self, id: NodeId) -> Text {
        self.operand(id, 0)
    }

    /// A value one step further down than its name.
    pub(super) fn definition(&self, id: NodeId) -> Text {
        self.written(id, 0)
    }

    fn operand(&self, id: NodeId, strength: u8) -> Text {
        match self.names.get(&id) {
            Some(name) => Ok(name.clone()),
            None => self.written(id, strength),
        }
    }

    fn written(&self, id: NodeId, strength: u8) -> Text {
        let node = self.tape.node(id);
        let args = &node.args;
        let arg = |i: usize, strength: u8| self.operand(args[i], strength);
        let call = |name: &str, rest: &[String]| {
            let mut parts = vec![self.value(args[0])?];
            parts.extend_from_slice(rest);
            Ok(format!("{name}({})", parts.join(", ")))
        };
        match &node.op {
            Op::Constant(c) => {
                // A sign binds as a prefix does.
                let own = if c.value().is_sign_negative() {
                    3
                } else {
                    TIGHT
                };
                Ok(parenthesised(number(c.value())?, own, strength))
            }
            Op::Leaf(leaf) => Ok(self.tape.leaf(*leaf).name().into()),
            Op::Read(register) => self.read(*register),
            Op::Pointwise(op) => self.pointwise(id, *op, strength),
            Op::Reduce(op) => call(op.name(), &[]),
            Op::Custom(_) => Err(format!("`{}` is an op of your own", node.op.name())),
            Op::Time(Time::Hold(Hold(rate))) => {
                let word = match rate {
                    Rate::Sample => "sample",
                    _ => "step",
                };
                call("hold", &[word.into()])
            }
            Op::Time(_) => match node.op.notation() {
                Notation::Call { text, .. } => call(&text, &[]),
                _ => Err(format!("`{}` has no spelling", node.op.name())),
            },
            Op::Linear(op) => match op {
                Linear::MatMul(_) => {
                    let (a, b) = (self.said(id, 0, 3)?, self.said(id, 1, 4)?);
                    Ok(parenthesised(format!("{a} @ {b}"), 3, strength))
                }
                Linear::Transpose(_) => Ok(format!("{}.T", self.said(id, 0, TIGHT)?)),
                Linear::Sum(Sum(Over::All)) => call("sum", &[]),
                Linear::Sum(Sum(Over::Axis(axis))) => call("sum", &[word(*axis)]),
                Linear::Broadcast(Broadcast { shape, over }) => match (over, shape) {
                    (Over::All, shape) => call(
                        "spread",
                        &[match shape {
                            Shape::Scalar => "[]".into(),
                            shape => self.shape(*shape),
                        }],
                    ),
                    (Over::Axis(axis), Shape::Matrix(m, n)) => {
                        let count = match axis {
                            Axis::Rows => m,
                            Axis::Columns => n,
                        };
                        call("repeat", &[word(*axis), self.dim(*count)])
                    }
                    _ => Err("a vector is repeated into a matrix only".into()),
                },
                Linear::Concat(Concat { axis }) => self.call(
                    id,
                    match axis {
                        Axis::Rows => "concat",
                        Axis::Columns => "concat_columns",
                    },
                ),
                Linear::Slice(Slice { axis, start, len }) => {
                    let value = arg(0, TIGHT)?;
                    let end = self.dim(*start + *len);
                    let range = format!("{}:{end}", self.dim(*start));
                    Ok(match axis {
                        Axis::Rows => format!("{value}[{range}]"),
                        Axis::Columns => format!("{value}[:, {range}]"),
                    })
                }
                Linear::Pad(Pad {
                    axis,
                    before,
                    after,
                }) => call("pad", &[word(*axis), self.dim(*before), self.dim(*after)]),
                Linear::Gather(Gather { axis: Axis::Rows }) => self.call(id, "gather"),
                Linear::Gather(_) => self.call(id, "gather_column"),
                Linear::Scatter(Scatter {
                    axis: Axis::Rows, ..
                }) => self.call(id, "scatter"),
                Linear::Scatter(_) => self.call(id, "scatter_column"),
                Linear::Dot(_) => self.call(id, "dot"),
                Linear::Outer(_) => self.call(id, "outer"),
                Linear::Select(_) => self.call(id, "select"),
                // Another name for the same value: its definition is that value.
                Linear::Alias(_) => arg(0, strength),
            },
        }
    }

    fn read(&self, id: RegisterId) -> Text {
        if let Some(name) = self.states.get(&id) {
            return Ok(name.clone());
        }
        let register = self.tape.register(id);
        let Some(def) = register.def() else {
            return Err(format!("`{}` carries nothing", register.name()));
        };
        // Holding the carried value goes without saying, as does holding the initial one.
        let value = self.value(self.unheld(def))?;
        let name = match register.direction() {
            Direction::Forward => "delay",
            Direction::Backward => "advance",
        };
        match register.init() {
            Some(init) => {
                let init = self.value(self.unheld(init))?;
                Ok(format!("{name}({value}, {init})"))
            }
            None => Ok(format!("{name}({value})")),
        }
    }

    fn unheld(&self, id: NodeId) -> NodeId {
        let node = self.tape.node(id);
        let silent = matches!(node.op, Op::Time(Time::Hold(_))) && !self.names.contains_key(&id);
        if silent { node.args[0] } else { id }
    }

    /// The scalar that is spread over this value, if the value has no name of its own.
    fn unspread(&self, id: NodeId) -> Option<NodeId> {
        let id = self.unheld(id);
        let node = self.tape.node(id);
        let all = matches!(
            node.op,
            Op::Linear(Linear::Broadcast(Broadcast {
                over: Over::All,
                ..
            }))
        );
        (all && !self.names.contains_key(&id)).then(|| node.args[0])
    }

    /// Argument `i` of an op of several arguments, where changes of rate, and the spreading of a
    /// scalar next to an array, go without saying.
    fn said(&self, id: NodeId, i: usize, strength: u8) -> Text {
        let node = self.tape.node(id);
        let args = &node.args;
        let arg = self.unheld(args[i]);
        // Something must be left that says the rate.
        let rate = args.iter().any(|a| self.unheld(*a) == *a);
        let arg = if rate { arg } else { args[i] };
        let spreads = matches!(node.op, Op::Pointwise(_) | Op::Linear(Linear::Select(_)));
        // The first that is no spread scalar, or else the first of all, says the shape.
        let sayer = args
            .iter()
            .position(|a| self.unspread(*a).is_none())
            .unwrap_or(0);
        match self.unspread(arg) {
            Some(scalar) if spreads && sayer != i => self.operand(self.unheld(scalar), strength),
            _ => self.operand(arg, strength),
        }
    }

    fn call(&self, id: NodeId, name: &str) -> Text {
        let args = 0..self.tape.node(id).args.len();
        let args: Vec<String> = args
            .map(|i| self.said(id, i, 0))
            .collect::<Result<_, _>>()?;
        Ok(format!("{name}({})", args.join(", ")))
    }

    fn pointwise(&self, id: NodeId, op: Pointwise, strength: u8) -> Text {
        match (op, op.notation()) {
            (Pointwise::Powi(2), _) => Ok(format!("powi({}, 2)", self.said(id, 0, 0)?)),
            (Pointwise::Powi(n), _) => {
                let text = format!("{}^{n}", self.said(id, 0, TIGHT)?);
                Ok(parenthesised(text, 4, strength))
            }
            (_, Notation::Suffix { text, .. }) => {
                let text = format!("{}{text}", self.said(id, 0, TIGHT)?);
                Ok(parenthesised(text, 4, strength))
            }
            (_, Notation::Prefix { text }) => {
                let text = format!("{text}{}", self.said(id, 0, 4)?);
                Ok(parenthesised(text, 3, strength))
            }
            (
                _,
                Notation::Infix {
                    text,
                    strength: own,
                    ..
                },
            ) => {
                let (a, b) = (self.said(id, 0, own)?, self.said(id, 1, own + 1)?);
                Ok(parenthesised(format!("{a} {text} {b}"), own, strength))
            }
            (_, Notation::Call { text, .. }) => self.call(id, &text),
            (_, Notation::Atom | Notation::Silent) => self.call(id, op.name()),
        }
    }
}

/// A number, so that reading it gives the same bits.
pub(super) fn number(value: f64) -> Text {
    if !value.is_finite() {
        return Err(format!("the constant {value} is not finite"));
    }
    let size = value.abs();
    Ok(if size == 0.0 || (1e-5..1e16).contains(&size) {
        format!("{value}")
    } else {
        format!("{value:e}")
    })
}

fn word(axis: Axis) -> String {
    match axis {
        Axis::Rows => "rows".into(),
        Axis::Columns => "columns".into(),
    }
}

fn parenthesised(text: String, own: u8, strength: u8) -> String {
    if own < strength {
        format!("({text})")
    } else {
        text
    }
}
