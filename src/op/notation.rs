//! The notation of ops, in the recurrence language and in LaTeX.

use super::axis::Axis;
use crate::shape::{Dim, Shape};

/// The notation of an op around its arguments: `text` in the recurrence language, `latex` on paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notation {
    /// A name or a number.
    Atom,
    /// The argument alone: a change of rate, which equations omit.
    Silent,
    /// An operator between two arguments.
    Infix {
        /// The operator in text.
        text: &'static str,
        /// The operator in LaTeX.
        latex: &'static str,
        /// The binding strength: 1 for a comparison, 2 for a sum, 3 for a product.
        strength: u8,
    },
    /// A sign before the argument.
    Prefix {
        /// The operator in text and in LaTeX.
        text: &'static str,
    },
    /// A suffix of the argument, with the highest binding strength of an operator: `x^2`, `Wᵀ`.
    Suffix {
        /// The suffix in text.
        text: String,
        /// The suffix in LaTeX.
        latex: String,
    },
    /// A function call.
    Call {
        /// The name of the function in text.
        text: String,
        /// The name of the function in LaTeX.
        latex: String,
        /// Settings written after the arguments, such as the axis of a sum.
        settings: Vec<Setting>,
    },
}

/// A setting of an op, written after its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// A word.
    Word(&'static str),
    /// A size.
    Size(Dim),
    /// A shape.
    Shape(Shape),
}

impl Setting {
    /// The setting as text, with sizes written by `size`.
    pub(crate) fn text(&self, size: &dyn Fn(Dim) -> String) -> String {
        match self {
            Self::Word(word) => (*word).into(),
            Self::Size(dim) => size(*dim),
            Self::Shape(shape) => {
                let sizes: Vec<String> = shape.dims().iter().map(|d| size(*d)).collect();
                format!("[{}]", sizes.join(", "))
            }
        }
    }
}

impl Notation {
    /// A function call without settings.
    #[must_use]
    pub fn call(text: &str, latex: &str) -> Self {
        Self::Call {
            text: text.into(),
            latex: latex.into(),
            settings: Vec::new(),
        }
    }

    pub(crate) const fn infix(text: &'static str, latex: &'static str, strength: u8) -> Self {
        Self::Infix {
            text,
            latex,
            strength,
        }
    }

    /// The binding strength of the whole, for parentheses; 5 never needs any.
    pub(crate) const fn strength(&self) -> u8 {
        match self {
            Self::Infix { strength, .. } => *strength,
            Self::Prefix { .. } => 3,
            Self::Suffix { .. } => 4,
            Self::Atom | Self::Silent | Self::Call { .. } => 5,
        }
    }
}

/// The complete spelling of an op in the recurrence language, with nothing left implicit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// An operator between the arguments, with its binding strength.
    Infix(&'static str, u8),
    /// A sign before the argument.
    Prefix(&'static str),
    /// A suffix of the argument, with its binding strength.
    Suffix(String, u8),
    /// A call, with settings after the arguments.
    Call(String, Vec<Setting>),
    /// The indices from the first size up to the second, `x[a:b]` or `x[:, a:b]`.
    Range(Axis, Dim, Dim),
    /// The argument itself.
    Same,
}

impl From<Notation> for Spelling {
    fn from(notation: Notation) -> Self {
        let strength = notation.strength();
        match notation {
            Notation::Atom | Notation::Silent => Self::Same,
            Notation::Infix { text, .. } => Self::Infix(text, strength),
            Notation::Prefix { text } => Self::Prefix(text),
            Notation::Suffix { text, .. } => Self::Suffix(text, strength),
            Notation::Call { text, settings, .. } => Self::Call(text, settings),
        }
    }
}

impl Spelling {
    pub(super) fn call(name: &str, settings: Vec<Setting>) -> Self {
        Self::Call(name.into(), settings)
    }
}
