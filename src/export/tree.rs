//! Expressions of numbers, as a target language writes them.

use super::memory::Place;

/// An operation on numbers that every target language has, or that its helpers define.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Primitive {
    Add,
    Sub,
    Mul,
    Div,
    Neg,
    Exp,
    Ln,
    Sqrt,
    /// A whole power.
    Powi(i32),
    Powf,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Softplus,
    Abs,
    Sign,
    /// The larger of two numbers, NaN if either is.
    Larger,
    Less,
    LessEq,
    Equal,
    /// The product in which zero wins.
    StrongMul,
    /// The second where the first is nonzero, the third where it is zero, NaN where it is NaN.
    Select,
    /// A function by the name of its row.
    Function(&'static str),
}

/// An expression for an entry of a fused program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Number(f64),
    /// The current entry of a value; if `spread`, its only entry.
    Entry {
        place: Place,
        spread: bool,
    },
    /// A value that the program has computed before, by its number.
    Local(usize),
    Apply(Primitive, Vec<Self>),
}

impl Tree {
    pub(super) fn of<const N: usize>(primitive: Primitive, args: [Self; N]) -> Self {
        Self::Apply(primitive, args.into())
    }
}

/// A line of a fused program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// A value with this number.
    Local(usize, Tree),
    /// The current entry of an output.
    Store(Place, Tree),
}
