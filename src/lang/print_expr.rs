//! Writes expressions of a graph in the language.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::LeafKind;
use super::roles::leaf_words;
use crate::op::{Axis, Broadcast, Linear, NodeId, Op, Over, RegisterId, Setting, Spelling, Time};
use crate::shape::{Dim, Kind, Rate, Shape};
use crate::tape::{Direction, Leaf, Role, Tape};

/// The highest precedence: names, numbers, calls.
const TIGHT: u8 = 5;

/// The lowest precedence: `<`, `<=` and `==`.
const COMPARISON: u8 = 1;

pub(super) struct Writer<'t> {
    pub(super) tape: &'t Tape,
    pub(super) dims: Vec<Arc<str>>,
    /// The names of values that have statements.
    pub(super) names: HashMap<NodeId, String>,
    pub(super) states: HashMap<RegisterId, String>,
}

type Text = Result<String, String>;

impl Writer<'_> {
    pub(super) fn dim(&self, dim: Dim) -> String {
        size(dim, &self.dims)
    }

    pub(super) fn shape(&self, shape: Shape) -> String {
        let dims: Vec<String> = shape.dims().iter().map(|d| self.dim(*d)).collect();
        match dims.is_empty() {
            true => String::new(),
            false => format!("[{}]", dims.join(", ")),
        }
    }

    /// The keyword and the text of a leaf declaration.
    pub(super) fn leaf(&self, leaf: &Leaf) -> (&'static str, String) {
        let ty = leaf.ty();
        let is_mask = self.tape.masks().any(|mask| **mask == *leaf.name());
        let keyword = match (leaf.role(), ty.rate) {
            (Role::Input, Rate::Step) if is_mask => LeafKind::AppliedMask,
            (Role::Parameter, _) => LeafKind::Param,
            (Role::Input, Rate::Sample) => LeafKind::SampleInput,
            (Role::Input, _) => LeafKind::Input,
        };
        let keyword = leaf_words(leaf.derived(), keyword);
        let item = match ty.kind {
            Kind::Class(n) => format!("{}: class({})", leaf.name(), self.dim(n)),
            Kind::Real => {
                let classes = leaf.classes().map(|n| format!(": class({})", self.dim(n)));
                let classes = classes.unwrap_or_default();
                format!("{}{}{classes}", leaf.name(), self.shape(ty.shape))
            }
        };
        (keyword, item)
    }

    /// A value in full, without omitting `Hold` or a broadcast.
    pub(super) fn value(&self, id: NodeId) -> Text {
        self.operand(id, 0)
    }

    /// The right-hand side of a value that has a name.
    pub(super) fn definition(&self, id: NodeId) -> Text {
        self.written(id, 0)
    }

    fn operand(&self, id: NodeId, strength: u8) -> Text {
        match self.names.get(&id) {
            Some(name) => Ok(name.clone()),
            None => self.written(id, strength),
        }
    }

    /// Writes an op by the spelling of its row.
    fn written(&self, id: NodeId, strength: u8) -> Text {
        if let Some(size) = self.tape.size_as_number(id) {
            return Ok(self.dim(size));
        }
        let node = self.tape.node(id);
        let spelling = match &node.op {
            Op::Constant(c) => {
                // A negative number has the precedence of a prefix operator.
                let own = if c.value().is_sign_negative() {
                    3
                } else {
                    TIGHT
                };
                return Ok(parenthesised(number(c.value())?, own, strength));
            }
            Op::Leaf(leaf) => return Ok(self.tape.leaf(*leaf).name().into()),
            Op::Read(register) => return self.read(*register),
            op => op.spelling(),
        };
        let Some(spelling) = spelling else {
            return Err(format!("`{}` is an op of your own", node.op.name()));
        };
        match spelling {
            Spelling::Infix(text, own) => {
                // Comparisons do not chain.
                let left = own + u8::from(own == COMPARISON);
                let (a, b) = (self.said(id, 0, left)?, self.said(id, 1, own + 1)?);
                Ok(parenthesised(format!("{a} {text} {b}"), own, strength))
            }
            Spelling::Prefix(text) => {
                let text = format!("{text}{}", self.said(id, 0, 4)?);
                Ok(parenthesised(text, 3, strength))
            }
            // `W^-1` would be read as an inverse.
            Spelling::Suffix(text, _) if text.starts_with("^-") && node.ty.shape.rank() == 2 => {
                Ok(format!("powi({}, {})", self.said(id, 0, 0)?, &text[1..]))
            }
            Spelling::Suffix(text, own) => {
                let text = format!("{}{text}", self.said(id, 0, TIGHT)?);
                Ok(parenthesised(text, own, strength))
            }
            Spelling::Call(name, settings) => self.call(id, &name, &settings),
            Spelling::Range(axis, start, end) => {
                let value = self.operand(node.args[0], TIGHT)?;
                let range = format!("{}:{}", self.dim(start), self.dim(end));
                Ok(match axis {
                    Axis::Rows => format!("{value}[{range}]"),
                    Axis::Columns => format!("{value}[:, {range}]"),
                })
            }
            // A second name for the same value: its definition is that value.
            Spelling::Same => self.operand(node.args[0], strength),
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
        // `Hold` of the carried or the initial value is omitted.
        let value = self.value(self.unheld(def))?;
        let name = match register.direction() {
            Direction::Forward => "delay",
            Direction::Backward => "advance",
        };
        match register.init() {
            Some(init) => {
                // The name of a constant could stand for a whole number too.
                let mut init = match (self.constant(init), self.size(init)) {
                    (Some(value), _) => number(value)?,
                    (_, Some(size)) => format!("1.0 * {}", self.dim(size)),
                    _ => self.value(self.unheld(init))?,
                };
                // A whole number could be mistaken for a number of steps.
                if init
                    .trim_start_matches('-')
                    .chars()
                    .all(|c| c.is_ascii_digit())
                {
                    init += ".0";
                }
                Ok(format!("{name}({value}, {init})"))
            }
            None => Ok(format!("{name}({value})")),
        }
    }

    /// The value that a node holds or is another name for.
    fn original(&self, mut id: NodeId) -> NodeId {
        loop {
            let node = self.tape.node(id);
            match &node.op {
                Op::Time(Time::Hold(_)) | Op::Linear(Linear::Alias(_)) => id = node.args[0],
                _ => return id,
            }
        }
    }

    fn constant(&self, id: NodeId) -> Option<f64> {
        match &self.tape.node(self.original(id)).op {
            Op::Constant(value) => Some(value.value()),
            _ => None,
        }
    }

    fn size(&self, id: NodeId) -> Option<Dim> {
        self.tape.size_as_number(self.original(id))
    }

    fn unheld(&self, id: NodeId) -> NodeId {
        let node = self.tape.node(id);
        let silent = matches!(node.op, Op::Time(Time::Hold(_))) && !self.names.contains_key(&id);
        if silent { node.args[0] } else { id }
    }

    /// The scalar that is broadcast to this value, if the value has no name.
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

    /// Argument `i` of an op; `Hold` and, beside an array, scalar broadcasts are omitted.
    fn said(&self, id: NodeId, i: usize, strength: u8) -> Text {
        let node = self.tape.node(id);
        let args = &node.args;
        let arg = self.unheld(args[i]);
        // At least one argument without `Hold` must remain, to determine the rate.
        let rate = args.iter().any(|a| self.unheld(*a) == *a);
        let arg = if rate { arg } else { args[i] };
        let spreads = node.op.spreads();
        // The first argument that is not a scalar broadcast, or else the first argument, determines the shape.
        let sayer = args
            .iter()
            .position(|a| self.unspread(*a).is_none())
            .unwrap_or(0);
        match self.unspread(arg) {
            Some(scalar) if spreads && sayer != i => self.operand(self.unheld(scalar), strength),
            _ => self.operand(arg, strength),
        }
    }

    fn call(&self, id: NodeId, name: &str, settings: &[Setting]) -> Text {
        let args = 0..self.tape.node(id).args.len();
        let mut parts: Vec<String> = args
            .map(|i| self.said(id, i, 0))
            .collect::<Result<_, _>>()?;
        parts.extend(settings.iter().map(|s| s.text(&|d| self.dim(d))));
        Ok(format!("{name}({})", parts.join(", ")))
    }
}

/// A size as it is written in a text.
pub(super) fn size(dim: Dim, names: &[Arc<str>]) -> String {
    dim.sum(names, |factor, name| format!("{factor}*{name}"))
}

/// The shortest text that reads back to the same bits.
pub(super) fn number(value: f64) -> Text {
    if !value.is_finite() {
        return Err(format!("the constant {value} is not finite"));
    }
    Ok(crate::error::number(value))
}

fn parenthesised(text: String, own: u8, strength: u8) -> String {
    if own < strength {
        format!("({text})")
    } else {
        text
    }
}
