//! The reading of a graph: the values of its names, the node that is read, and its attributes.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::facts::{Facts, Out, Stop};
use super::page::Page;
use super::proto::{Attribute, Dim as FileDim, Graph, Node};
use super::value::{Axis, Body, Expr, Known, Label, Origin, Size, Tensor, Value};
use crate::error::{Error, counted, printable};
use crate::limit::check_memory;

/// The most bytes of all expressions.
const LONGEST_TEXT: usize = 1 << 22;

/// The most numbers of parameters and constants for each byte of the file, and in addition.
const GROWTH: usize = 16;
const SMALL: usize = 1 << 16;

/// The bytes of an entry of a parameter, in the array and while it is made.
const ENTRY: usize = 16;

/// An expression of this length gets a name.
const LONG: usize = 90;

/// Any number of inputs.
pub(super) const MANY: usize = usize::MAX;

/// An input of the graph that is no initializer.
#[derive(Debug)]
pub(super) struct GraphInput {
    /// Its name in the file, and here.
    pub(super) source: String,
    pub(super) name: String,
    pub(super) dims: Vec<FileDim>,
    pub(super) is_integer: bool,
    /// The names of its axes that the user gave.
    pub(super) is_lengths: bool,
}

#[derive(Debug)]
pub(super) struct Machine<'m> {
    pub(super) facts: &'m mut Facts,
    pub(super) page: Page,
    pub(super) inputs: Vec<GraphInput>,
    /// The values by name, those of an inner graph last.
    pub(super) scopes: Vec<BTreeMap<String, Value>>,
    /// The names here of outputs of the graph.
    pub(super) outputs: BTreeMap<String, String>,
    /// The number of uses of each name.
    pub(super) uses: BTreeMap<String, usize>,
    /// The version of the operators.
    pub(super) opset: i64,
    /// Reads the nodes of a graph.
    pub(super) run: fn(&mut Machine<'_>, &Graph) -> Out<()>,
    /// The node that is read, in messages.
    pub(super) at: String,
    /// The recurrent nodes that were read, and all of them.
    pub(super) layers: (usize, usize),
    /// A recurrent node that reads all steps although another one has lengths.
    pub(super) without_lengths: Option<String>,
    /// The most entries of parameters and constants.
    pub(super) most_entries: usize,
    /// True in the body of a loop over the steps.
    pub(super) is_in_body: bool,
}

/// A node and its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'n> {
    pub(super) node: &'n Node,
}

/// The most entries of parameters and constants for a file of this length.
pub(super) const fn most_entries(bytes: usize) -> usize {
    bytes.saturating_mul(GROWTH).saturating_add(SMALL)
}

/// An operator: its name, the least and the most inputs, the attributes that it may have, and the values of its outputs.
pub(super) struct Row {
    pub(super) op: &'static str,
    pub(super) inputs: (usize, usize),
    pub(super) attributes: &'static [&'static str],
    pub(super) run: fn(&mut Machine<'_>, Call<'_>) -> Out<Vec<Value>>,
}

impl<'n> Call<'n> {
    pub(super) fn attribute(self, name: &str) -> Option<&'n Attribute> {
        self.node.attributes.iter().find(|a| a.name == name)
    }

    pub(super) fn int(self, name: &str) -> Option<i64> {
        self.attribute(name).map(|a| a.i)
    }

    pub(super) fn float(self, name: &str) -> Option<f64> {
        self.attribute(name).map(|a| f64::from(a.f))
    }

    pub(super) fn ints(self, name: &str) -> Option<&'n [i64]> {
        self.attribute(name).map(|a| &*a.ints)
    }

    pub(super) fn text(self, name: &str) -> Option<String> {
        let text = |a: &Attribute| String::from_utf8_lossy(&a.s).into_owned();
        self.attribute(name).map(text)
    }

    /// If an input of this position is given.
    pub(super) fn has(self, at: usize) -> bool {
        self.node
            .inputs
            .get(at)
            .is_some_and(|name| !name.is_empty())
    }
}

impl Machine<'_> {
    pub(super) fn refuse(&self, reason: impl Display) -> Stop {
        Stop::Error(Error::Array {
            reason: format!("{}: {reason}", self.at),
        })
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// The input of a node at this position; `None` if it is left out.
    pub(super) fn input(&self, call: Call<'_>, at: usize) -> Out<Option<Value>> {
        let Some(name) = call.node.inputs.get(at).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        match self.value(name) {
            Some(value) => Ok(Some(value.clone())),
            None => Err(self.refuse(format!(
                "input {at}, `{}`, is no output of a node before it, no initializer and no input of the graph",
                printable(name)
            ))),
        }
    }

    pub(super) fn need(&self, call: Call<'_>, at: usize) -> Out<Value> {
        self.input(call, at)?
            .ok_or_else(|| self.refuse(format!("input {at} is missing")))
    }

    /// An input whose numbers must be known.
    pub(super) fn known(&self, call: Call<'_>, at: usize, what: &str) -> Out<Option<Known>> {
        match self.input(call, at)? {
            None => Ok(None),
            Some(Value::Known(known)) => Ok(Some(known)),
            Some(_) => Err(self.refuse(format!(
                "input {at}, {what}, is computed or an input of the graph; expected an initializer or a constant"
            ))),
        }
    }

    /// Counts so many more numbers of parameters and constants, which must be in proportion to the file.
    pub(super) fn room(&mut self, entries: usize) -> Out<()> {
        self.page.entries = self.page.entries.saturating_add(entries);
        match self.page.entries > self.most_entries {
            true => Err(self.refuse(format!(
                "the parameters and constants grow to more than {} numbers, {GROWTH} for each byte of the file",
                self.most_entries
            ))),
            false => Ok(check_memory(self.page.entries.checked_mul(ENTRY))?),
        }
    }

    /// Binds a name. An expression with several uses, or a long one, becomes an equation.
    pub(super) fn bind(&mut self, name: &str, value: Value) -> Out<()> {
        if name.is_empty() {
            return Ok(());
        }
        let uses = self.uses.get(name).copied().unwrap_or(0);
        self.room(match &value {
            Value::Known(known) => known.array.len(),
            _ => 0,
        })?;
        let value = match value {
            Value::Tensor(mut tensor) => {
                let own = self.outputs.get(name).filter(|_| self.scopes.len() == 1);
                let mut name_it = |expr: &mut Expr| {
                    let is_long = expr.text.len() > LONG;
                    if uses > 0 && !expr.is_atom() && (uses > 1 || is_long) {
                        *expr = match own {
                            Some(own) => self.page.define_as(own, expr),
                            None => self.page.define(&super::page::stem(name, "v"), expr),
                        };
                    }
                    self.page.length = self.page.length.saturating_add(expr.text.len());
                };
                match &mut tensor.body {
                    Body::Expr(expr) => name_it(expr),
                    Body::Rows(rows) => {
                        let mut name_it = |expr: &mut Expr| {
                            if uses > 1 && !expr.is_atom() {
                                *expr = self.page.define(&super::page::stem(name, "v"), expr);
                            }
                        };
                        rows.iter_mut().for_each(&mut name_it);
                    }
                    Body::Filled(_) | Body::Integers(_) => {}
                }
                Value::Tensor(tensor)
            }
            other => other,
        };
        if self.page.length > LONGEST_TEXT {
            return Err(self.refuse(format!(
                "the text of the recurrence is longer than {LONGEST_TEXT} bytes; export a smaller part of the model"
            )));
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// The position of an axis, which may count from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Out<usize> {
        let rank_signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let at = if axis < 0 {
            axis.saturating_add(rank_signed)
        } else {
            axis
        };
        usize::try_from(at)
            .ok()
            .filter(|at| *at < rank)
            .ok_or_else(|| self.refuse(format!("axis {axis} of an array with {}", axes(rank))))
    }

    /// The axis must have this meaning.
    pub(super) fn expect(&mut self, tensor: &Tensor, at: usize, label: Label) -> Out<()> {
        match (tensor.axes[at].label, label) {
            (Label::Open(origin), label) => Err(self.facts.learn(origin, label)),
            (found, expected) if found == expected => Ok(()),
            (_, expected) => {
                let word = match expected {
                    Label::Time => "the steps",
                    Label::Batch => "the samples",
                    _ => "entries",
                };
                Err(self.refuse(format!(
                    "axis {at} of its array {} should be {word}",
                    tensor.described()
                )))
            }
        }
    }

    /// The tensor, whose axes all have a meaning; where no node decides, it is taken from names and positions.
    pub(super) fn decided(&mut self, tensor: &Tensor) -> Out<()> {
        let open = tensor.axes.iter().find_map(|a| match a.label {
            Label::Open(origin) => Some(origin),
            _ => None,
        });
        open.map_or(Ok(()), |origin| Err(self.guess(origin)))
    }

    /// Takes a meaning for an axis that no node decides.
    pub(super) fn guess(&mut self, origin: Origin) -> Stop {
        let input = &self.inputs[origin.input];
        let labels: Vec<Label> = (0..input.dims.len())
            .map(|axis| {
                self.facts.label(Origin {
                    input: origin.input,
                    axis,
                })
            })
            .collect();
        let by_name: Vec<Option<Label>> = input.dims.iter().map(named).collect();
        let has = |label: Label| labels.contains(&label) || by_name.contains(&Some(label));
        let own = by_name[origin.axis].filter(|label| !labels.contains(label));
        let dim = &input.dims[origin.axis];
        let is_last = origin.axis + 1 == input.dims.len() && input.dims.len() > 1;
        let label = if let Some(label) = own {
            label
        } else if is_last && !input.is_integer && dim.value.is_some() {
            Label::Feature
        } else if !has(Label::Batch) {
            Label::Batch
        } else if !has(Label::Time) && dim.value.is_none() {
            Label::Time
        } else {
            Label::Feature
        };
        self.facts.guess(origin, label)
    }

    /// Two sizes must be equal.
    pub(super) fn equal(&mut self, one: &Axis, other: &Axis) -> Out<()> {
        match (one.size.number, other.size.number) {
            (Some(a), Some(b)) if a != b => {
                Err(self.refuse(format!("an axis of size {a} meets one of size {b}")))
            }
            (Some(a), None) => self.sized(other, a),
            (None, Some(b)) => self.sized(one, b),
            (None, None) => match (one.origin, other.origin) {
                (Some(a), Some(b)) if self.facts.root(a) != self.facts.root(b) => {
                    Err(self.facts.learn_same(a, b))
                }
                _ => Ok(()),
            },
            _ if one.size.text != other.size.text => {
                Err(self.facts.learn_equal(&one.size.text, &other.size.text))
            }
            _ => Ok(()),
        }
    }

    /// The axis must have this many entries.
    pub(super) fn sized(&mut self, axis: &Axis, n: usize) -> Out<()> {
        match (axis.size.number, axis.origin) {
            (Some(found), _) if found == n => Ok(()),
            (Some(found), _) => Err(self.refuse(format!(
                "its array has {} along an axis where {n} are expected",
                counted(found, "entry").replace("entrys", "entries")
            ))),
            (None, Some(origin)) => Err(self.facts.learn_size(origin, n)),
            (None, None) => Err(self.refuse("the size of an axis is not known")),
        }
    }

    /// The size of the axis must be a number in the text, as entries of it are taken by their positions.
    pub(super) fn counted(&mut self, axis: &Axis) -> Out<()> {
        if axis.size.text.chars().all(|c| c.is_ascii_digit()) {
            return Ok(());
        }
        match axis.origin {
            Some(origin) if !self.facts.is_counted(origin) => Err(self.facts.learn_counted(origin)),
            _ => {
                self.facts.is_numeric = true;
                Err(Stop::Again)
            }
        }
    }

    /// The number of entries of an axis of features.
    pub(super) fn count(&self, axis: &Axis) -> Out<usize> {
        axis.size.number.ok_or_else(|| {
            self.refuse(
                "the size of an axis is not in the file; export the model with a fixed number of features",
            )
        })
    }

    /// The sizes of features as a shape of the language.
    pub(super) fn shape(&self, tensor: &Tensor) -> Out<Vec<Size>> {
        let features = tensor.axes.iter().filter(|a| a.is_feature());
        let sizes: Vec<Size> = features.map(|a| a.size.clone()).collect();
        match sizes.len() {
            0..=2 => Ok(sizes),
            _ => Err(self.refuse(format!(
                "its array {} has more than two axes beside steps and samples; a recurrence has vectors and matrices",
                tensor.described()
            ))),
        }
    }

    /// The numbers of a tensor as one expression; a number that is everywhere is a scalar.
    pub(super) fn flat(&mut self, tensor: &Tensor) -> Out<Expr> {
        match &tensor.body {
            Body::Expr(expr) => Ok(expr.clone()),
            Body::Filled(x) => Ok(Expr::number(*x)),
            Body::Integers(input) => Err(self.refuse(format!(
                "the integers `{}` are computed with; expected a Cast to real numbers, or the classes of a Gather",
                printable(&self.inputs[*input].source)
            ))),
            Body::Rows(rows) => {
                let shape = self.shape(tensor)?;
                let rows: Vec<String> = rows
                    .iter()
                    .map(|row| match shape.get(1) {
                        Some(size) => format!("reshape({}, [1, {}])", row.text, size.text),
                        None => row.text.clone(),
                    })
                    .collect();
                Ok(match &rows[..] {
                    [one] if shape.len() == 1 => Expr::atom(format!("spread({one}, [1])")),
                    [one] => Expr::atom(one.clone()),
                    _ => Expr::atom(format!("concat({})", rows.join(", "))),
                })
            }
        }
    }

    /// As [`flat`](Self::flat), with the shape that the axes have.
    pub(super) fn shaped(&mut self, tensor: &Tensor) -> Out<Expr> {
        let expr = self.flat(tensor)?;
        let shape = self.shape(tensor)?;
        Ok(match (&tensor.body, shape.is_empty()) {
            (Body::Filled(_), false) => spread(&expr, &shape),
            _ => expr,
        })
    }

    /// A short name for an expression that is used several times.
    pub(super) fn named(&mut self, stem: &str, expr: &Expr) -> Expr {
        match expr.is_atom() {
            true => expr.clone(),
            false => self.page.define(stem, expr),
        }
    }
}

/// The meaning of an axis that the name of its size tells.
fn named(dim: &FileDim) -> Option<Label> {
    let name = dim.name.as_deref()?.to_lowercase();
    let is_one_of = |words: &[&str], letters: &[&str]| {
        words.iter().any(|w| name.contains(w)) || letters.contains(&&*name)
    };
    if is_one_of(&["batch", "sample"], &["b", "n"]) {
        return Some(Label::Batch);
    }
    is_one_of(&["seq", "time", "step", "len", "frame"], &["t", "l", "s"]).then_some(Label::Time)
}

/// `spread(s, [H, K])`
pub(super) fn spread(expr: &Expr, shape: &[Size]) -> Expr {
    let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
    Expr::atom(format!("spread({}, [{}])", expr.text, sizes.join(", ")))
}

fn axes(rank: usize) -> String {
    match rank {
        1 => "1 axis".into(),
        n => format!("{n} axes"),
    }
}
