//! What a plan consists of: operations on rows of buffers.

use super::program::MicroOp;
use crate::op::{Contract, Custom, Edge, Move, Reduce};
use crate::shape::Rate;

/// A run of entries in the rows of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) buffer: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// How many steps later or earlier than the current one.
    pub(crate) shift: i8,
    /// What the rows stand for.
    pub(crate) rate: Rate,
}

impl Operand {
    /// Whether `next` follows in the same rows.
    pub(crate) fn continues_in(&self, next: &Self) -> bool {
        self.buffer == next.buffer
            && self.shift == next.shift
            && self.start + self.len == next.start
    }
}

/// An operand of a fused program; a single entry may stand for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) operand: Operand,
    pub(crate) spread: bool,
}

/// Fused entrywise work on rows of `len` entries.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) len: usize,
    pub(crate) ops: Vec<MicroOp>,
    pub(crate) registers: usize,
    pub(crate) constants: Vec<f64>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Operand>,
}

/// A matrix, packed once for the products that use it.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// Rows: the entries of the vectors it multiplies.
    pub(crate) k: usize,
    /// Columns: the entries of the products.
    pub(crate) n: usize,
    pub(crate) parts: Vec<PackPart>,
}

/// One matrix of a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackPart {
    pub(crate) matrix: Operand,
    /// The number of columns the matrix has in memory.
    pub(crate) columns: usize,
    /// Whether the product is with the transpose of the matrix.
    pub(crate) transposed: bool,
    /// Where it starts in the pack.
    pub(crate) at: [usize; 2],
    /// How many entries it multiplies, and how many it makes.
    pub(crate) k: usize,
    pub(crate) n: usize,
}

/// An operation on rows.
#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    /// Entrywise work.
    Program(Program),
    /// Packs a matrix.
    Pack(usize),
    /// `out (+)= segments · pack`, row by row.
    Gemm {
        out: Operand,
        accumulate: bool,
        segments: Vec<Operand>,
        pack: usize,
    },
    /// `out += aᵀ b`, over all rows.
    OuterTotal {
        out: Operand,
        a: Operand,
        b: Operand,
    },
    /// `out += Σ from`, over the rows that `out` does not tell apart.
    Total { out: Operand, from: Operand },
    /// Adds entries at a place that a class may choose.
    MoveTotal {
        out: Operand,
        from: Operand,
        moved: Move,
        class: Option<Operand>,
    },
    Pick {
        out: Operand,
        from: Operand,
        edge: Edge,
    },
    Impulse {
        out: Operand,
        from: Operand,
        edge: Edge,
    },
    Move {
        out: Operand,
        moves: Vec<(Move, Operand)>,
        class: Option<Operand>,
    },
    Contract {
        out: Operand,
        a: Operand,
        b: Option<Operand>,
        contract: Contract,
    },
    Reduce {
        out: Operand,
        from: Operand,
        op: Reduce,
    },
    Custom {
        out: Operand,
        args: Vec<(Operand, Vec<usize>)>,
        shape: Vec<usize>,
        op: Custom,
    },
}

/// A register's value before its first step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carry {
    /// The value carried, at the step it is defined.
    pub(crate) value: Operand,
    /// What is read where nothing was defined; `None` is zero.
    pub(crate) init: Option<Operand>,
    /// Whether it is carried to the step after (or, if not, to the step before).
    pub(crate) forward: bool,
    /// The pass in which the value is defined.
    pub(crate) pass: usize,
}

/// Instructions that run together.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Whether they run step by step.
    pub(crate) is_loop: bool,
    pub(crate) body: Vec<Instruction>,
}

/// One way over time.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) forward: bool,
    pub(crate) stages: Vec<Stage>,
}
