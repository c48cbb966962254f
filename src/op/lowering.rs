//! The memory patterns of ops, for an engine faster than the evaluator.
//!
//! A value is a row of numbers; a matrix is stored row by row. Each linear row of the table names
//! one of a few memory patterns, so a planner knows patterns and not ops.

use super::{Custom, Dense, Edge, Pointwise, Reduce};

/// The numbers of rows and columns; `[n, 1]` for a vector, `[1, 1]` for a scalar.
pub(crate) type Extent = [usize; 2];

/// The memory pattern of an op.
#[derive(Clone, Debug)]
pub(crate) enum Lowering {
    /// A constant.
    Constant(f64),
    /// A value from outside, or the read of a register.
    Source,
    /// An entrywise op.
    Pointwise(Pointwise),
    /// An entrywise choice by the first argument between the other two.
    Select,
    /// The argument itself, possibly at another rate.
    Same,
    /// The single entry of the argument, repeated.
    Spread,
    /// Consecutive entries of the argument, from this index on.
    Part(usize),
    /// The concatenation of the entries of the arguments.
    Join,
    /// The transpose of a matrix.
    Transpose,
    /// The product of two matrices, or of a matrix and a vector.
    Product,
    /// The outer product of two vectors; if strong, zero times infinity is zero.
    Outer { strong: bool },
    /// The sum over the steps, the samples, or both.
    Total,
    /// The sum over the samples at each step.
    Pool,
    /// The value at the first or last step.
    Pick(Edge),
    /// The value at the first or last step, zero elsewhere.
    Impulse(Edge),
    /// A copy of blocks of entries, one block per argument, zero elsewhere; a class can shift the
    /// block.
    Move(Vec<Move>),
    /// Sums of products of entries.
    Contract(Contract),
    /// A reduction of a vector.
    Reduce(Reduce),
    /// A function of whole arrays.
    Dense(Dense),
    /// A custom op.
    Custom(Custom),
}

/// A strided copy of a block of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Move {
    pub(crate) extent: Extent,
    pub(crate) from: Strides,
    pub(crate) to: Strides,
}

/// The index of entry (i, j): `start + i·rows + j·columns + class·class_stride`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Strides {
    pub(crate) start: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// The shift of the index per class; the class is the last argument of the op.
    pub(crate) class: usize,
}

impl Strides {
    pub(super) const fn of(rows: usize, columns: usize) -> Self {
        Self {
            start: 0,
            rows,
            columns,
            class: 0,
        }
    }

    pub(super) const fn starting(self, start: usize) -> Self {
        Self { start, ..self }
    }

    pub(super) const fn chosen(self, class: usize) -> Self {
        Self { class, ..self }
    }
}

/// `out[i, j] = Σ_k a[i, k] b[k, j]`, with `b = 1` for a single argument; the result is stored row
/// by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Contract {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// The strides of the first argument along i and k.
    pub(crate) a: [usize; 2],
    /// The strides of the second argument along k and j.
    pub(crate) b: [usize; 2],
    /// True if zero times infinity is zero.
    pub(crate) strong: bool,
}

impl Contract {
    /// The product of a matrix `[m, k]` and a matrix `[k, n]`.
    pub(crate) const fn product([m, k]: Extent, n: usize, strong: bool) -> Self {
        Self {
            m,
            k,
            n,
            a: [k, 1],
            b: [n, 1],
            strong,
        }
    }
}

/// The number of entries.
pub(crate) const fn entries(extent: Extent) -> usize {
    extent[0] * extent[1]
}
