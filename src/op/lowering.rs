//! What an op does to numbers laid out in memory, for an engine faster than the evaluator.
//!
//! A value is a row of numbers, a matrix row by row. Every linear row of the table says here which
//! of a few memory patterns it is; a planner then needs to know patterns, not ops.

use super::{Custom, Edge, Pointwise, Reduce};

/// Rows and columns; a vector is one column, a scalar one entry.
pub(crate) type Extent = [usize; 2];

/// The memory pattern of an op.
#[derive(Clone, Debug)]
pub(crate) enum Lowering {
    /// A constant.
    Constant(f64),
    /// Given from outside, or read from a register.
    Source,
    /// Entry by entry.
    Pointwise(Pointwise),
    /// Entry by entry: the first argument chooses between the other two.
    Select,
    /// The argument itself, perhaps at another rate.
    Same,
    /// The one entry of the argument, repeated.
    Spread,
    /// A run of the argument's entries that starts here.
    Part(usize),
    /// The entries of the arguments, one argument after the other.
    Join,
    /// The transpose of a matrix.
    Transpose,
    /// The product of two matrices, or of a matrix and a vector.
    Product,
    /// The outer product of two vectors; if it is strong, a zero wins against an infinity.
    Outer { strong: bool },
    /// The sum over what the result no longer varies with.
    Total,
    /// The value at an end of the sequence.
    Pick(Edge),
    /// The value at an end of the sequence, zero elsewhere.
    Impulse(Edge),
    /// Each argument's entries put somewhere, zero elsewhere; a class may shift where.
    Move(Vec<Move>),
    /// Sums of products of entries.
    Contract(Contract),
    /// A reduction of a vector.
    Reduce(Reduce),
    /// A user's op.
    Custom(Custom),
}

/// A block of entries copied from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Move {
    pub(crate) extent: Extent,
    pub(crate) from: Strides,
    pub(crate) to: Strides,
}

/// Where the entry (i, j) is: `start + i·rows + j·columns + class·class_stride`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Strides {
    pub(crate) start: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// How far one class shifts the place; the class is the last argument of the op.
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

/// `out[i, j] = Σ_k a[i, k] b[k, j]`, with `b = 1` when there is one argument; the result is row by
/// row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Contract {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Strides of the first argument along i and k.
    pub(crate) a: [usize; 2],
    /// Strides of the second argument along k and j.
    pub(crate) b: [usize; 2],
    /// If a zero wins against an infinity.
    pub(crate) strong: bool,
}

impl Contract {
    /// The product of a matrix of `m × k` entries with one of `k × n`.
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
