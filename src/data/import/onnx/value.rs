//! Values of an ONNX graph as an import knows them: numbers, sizes, or expressions of the recurrence language with
//! labelled axes.

use std::rc::Rc;

use ndarray::ArrayD;

use crate::error::number;

/// An axis of an input of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) input: usize,
    pub(super) axis: usize,
}

/// The meaning of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// The steps.
    Time,
    /// The samples.
    Batch,
    /// One entry; it is no axis of the expression.
    One,
    /// An axis of the expression.
    Feature,
    /// Steps and samples as one axis, in this order if `true`.
    Joined(bool),
    /// Not known yet.
    Open(Origin),
}

/// The number of entries of an axis, and its text in the recurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) number: Option<usize>,
    pub(super) text: String,
}

impl Size {
    pub(super) fn number(n: usize) -> Self {
        Self {
            number: Some(n),
            text: n.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) label: Label,
    pub(super) size: Size,
    /// The axis of an input that it is.
    pub(super) origin: Option<Origin>,
}

impl Axis {
    pub(super) fn one() -> Self {
        Self {
            label: Label::One,
            size: Size::number(1),
            origin: None,
        }
    }

    pub(super) const fn feature(size: Size) -> Self {
        Self {
            label: Label::Feature,
            size,
            origin: None,
        }
    }

    /// An axis of steps or samples.
    pub(super) const fn outer(label: Label, number: Option<usize>) -> Self {
        let size = Size {
            number,
            text: String::new(),
        };
        Self {
            label,
            size,
            origin: None,
        }
    }

    pub(super) fn is_feature(&self) -> bool {
        self.label == Label::Feature
    }

    /// The axis in messages.
    pub(super) fn described(&self) -> String {
        let size = |name: &str| match self.size.number {
            Some(n) => format!("{name} ({n})"),
            None => name.into(),
        };
        match self.label {
            Label::Time => size("steps"),
            Label::Batch => size("samples"),
            Label::One => "1".into(),
            Label::Feature if self.size.text.is_empty() => size("entries"),
            Label::Feature => self.size.text.clone(),
            Label::Joined(_) => "steps × samples".into(),
            Label::Open(_) => size("?"),
        }
    }
}

/// The operator that binds an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// `and`, `or`
    Joint,
    Comparison,
    Sum,
    Product,
    Sign,
    Power,
    Atom,
}

/// An expression of the recurrence language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expr {
    pub(super) text: String,
    pub(super) level: Level,
}

impl Expr {
    pub(super) fn atom(text: impl Into<String>) -> Self {
        let level = Level::Atom;
        Self {
            text: text.into(),
            level,
        }
    }

    pub(super) fn new(text: String, level: Level) -> Self {
        Self { text, level }
    }

    /// A number that is finite.
    pub(super) fn number(x: f64) -> Self {
        let text = digits(x);
        let level = if x < 0.0 { Level::Sign } else { Level::Atom };
        Self { text, level }
    }

    /// The text, in parentheses unless its operator binds at least as strongly as `level`.
    pub(super) fn at(&self, level: Level) -> String {
        match self.level >= level {
            true => self.text.clone(),
            false => format!("({})", self.text),
        }
    }

    /// A call of a function.
    pub(super) fn call(name: &str, arguments: &[&str]) -> Self {
        Self::atom(format!("{name}({})", arguments.join(", ")))
    }

    /// `a op b` with an operator of sums or products.
    pub(super) fn binary(op: &str, a: &Self, b: &Self) -> Self {
        let (level, right) = match op {
            "+" => (Level::Sum, Level::Product),
            "-" => (Level::Sum, Level::Product),
            _ => (Level::Product, Level::Power),
        };
        let text = format!("{} {op} {}", a.at(level), b.at(right));
        Self { text, level }
    }

    pub(super) fn is_atom(&self) -> bool {
        self.level == Level::Atom && !self.text.contains('(')
    }
}

/// A number as the language reads it: the shortest decimal of an `f32` if it is one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is compared with the rounded one"
)]
pub(super) fn digits(x: f64) -> String {
    let short = x as f32;
    match f64::from(short) == x {
        true => number(short),
        false => number(x),
    }
}

/// The numbers of a tensor in a recurrence.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// The same number everywhere.
    Filled(f64),
    Expr(Expr),
    /// Rows, each an expression, stacked along the first axis of features.
    Rows(Vec<Expr>),
    /// An input of integers, by its position.
    Integers(usize),
}

/// A value that depends on the data. The axes of features, in their order, are those of the expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) axes: Vec<Axis>,
    pub(super) body: Body,
    /// It differs between steps; an axis of steps may have been left out.
    pub(super) is_per_step: bool,
    /// The logits, if this is their softmax.
    pub(super) logits: Option<Expr>,
}

impl Tensor {
    pub(super) fn new(axes: Vec<Axis>, expr: Expr, is_per_step: bool) -> Self {
        Self {
            axes,
            body: Body::Expr(expr),
            is_per_step,
            logits: None,
        }
    }

    pub(super) fn with_body(&self, body: Body) -> Self {
        Self {
            axes: self.axes.clone(),
            body,
            is_per_step: self.is_per_step,
            logits: None,
        }
    }

    /// The positions of the axes of features.
    pub(super) fn features(&self) -> Vec<usize> {
        (0..self.axes.len())
            .filter(|a| self.axes[*a].is_feature())
            .collect()
    }

    pub(super) fn position(&self, label: Label) -> Option<usize> {
        self.axes.iter().position(|a| a.label == label)
    }

    /// The axes in messages.
    pub(super) fn described(&self) -> String {
        let all: Vec<String> = self.axes.iter().map(Axis::described).collect();
        format!("[{}]", all.join(", "))
    }
}

/// The type of known entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    Int,
    Bool,
}

/// The initializer that an array is, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// Its name in the file, and the operations on it.
    pub(super) name: String,
    pub(super) is_transposed: bool,
}

/// Numbers that are known now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) array: Rc<ArrayD<f64>>,
    pub(super) kind: Kind,
    pub(super) source: Option<Source>,
}

impl Known {
    pub(super) fn new(array: ArrayD<f64>, kind: Kind) -> Self {
        Self {
            array: Rc::new(array),
            kind,
            source: None,
        }
    }

    /// The number, if all entries are the same.
    pub(super) fn constant(&self) -> Option<f64> {
        let first = *self.array.first()?;
        self.array
            .iter()
            .all(|x| x.to_bits() == first.to_bits())
            .then_some(first)
    }

    pub(super) fn scalar(&self) -> Option<f64> {
        match self.array.len() {
            1 => self.array.first().copied(),
            _ => None,
        }
    }

    /// The entries as integers.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "numbers beyond the range are marks for the end of an axis"
    )]
    pub(super) fn integers(&self) -> Vec<i64> {
        self.array.iter().map(|x| *x as i64).collect()
    }
}

/// An entry of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    Known(i64),
    Steps,
    Samples,
    /// The product of both.
    Both,
    Open(Origin),
}

/// A value of an ONNX graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Known(Known),
    /// Integers, one or a vector, that are sizes of the data.
    Dims(Vec<Dim>, bool),
    Tensor(Tensor),
    /// The number of the step in the body of a loop.
    Counter,
}
