//! The axes of a value, and helpers for the rows of the linear ops.

use super::Reason;
use crate::shape::{Dim, Rate, Shape, Type};

/// An axis of a matrix; a vector has only rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The first axis, numbered from top to bottom.
    Rows,
    /// The second axis, numbered from left to right.
    Columns,
}

impl Axis {
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Rows => 0,
            Self::Columns => 1,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Rows => Self::Columns,
            Self::Columns => Self::Rows,
        }
    }

    /// The axis with this word in the recurrence language.
    pub(crate) fn named(word: &str) -> Option<Self> {
        let axes = [Self::Rows, Self::Columns];
        axes.into_iter().find(|axis| axis.text() == word)
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
        }
    }
}

/// The axes that a sum adds up or a broadcast repeats along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// All axes: the other side is a scalar.
    All,
    /// One axis of a matrix: the other side is a vector.
    Axis(Axis),
}

fn rate(args: &[Type]) -> Rate {
    args.first().map_or(Rate::Static, |t| t.rate)
}

pub(super) fn real(args: &[Type], shape: Shape) -> Type {
    Type::real(shape, rate(args))
}

pub(super) fn all_real(args: &[Type]) -> Result<(), Reason> {
    if args.iter().all(|t| t.is_real()) {
        Ok(())
    } else {
        Err("a class is not a number; use `gather`, `one_hot` or `number`")
    }
}

/// The size of a fixed dimension; the evaluator runs only tapes without named dimensions.
pub(super) fn fixed(d: Dim) -> usize {
    d.as_fixed().expect("an evaluated tape has fixed sizes")
}

pub(super) fn size(shape: Shape, axis: Axis) -> Option<Dim> {
    shape.dims().get(axis.index()).copied()
}

pub(super) fn with_size(shape: Shape, axis: Axis, len: Dim) -> Shape {
    let mut dims = shape.dims();
    dims[axis.index()] = len;
    Shape::from_dims(&dims).unwrap_or(shape)
}
