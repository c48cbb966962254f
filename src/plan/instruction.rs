//! What a plan consists of: operations on rows of buffers.

use super::program::MicroOp;
use crate::op::{Contract, Custom, Edge, Move, NodeId, Reduce};
use crate::shape::Rate;

/// A run of entries in the rows of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// What its rows stand for.
    pub(crate) rate: Rate,
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
    Program(usize),
    /// Packs a matrix.
    Pack(usize),
    /// `out = start + segments · pack`, row by row; what it starts from may be `out` itself.
    Gemm {
        out: Operand,
        start: Option<Operand>,
        segments: Vec<Operand>,
        pack: usize,
    },
    /// `out += aᵀ b`, over all rows.
    OuterTotal {
        out: Operand,
        a: Operand,
        b: Operand,
        /// If a zero wins against an infinity.
        strong: bool,
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

impl Instruction {
    /// What its rows stand for.
    pub(crate) fn rate(&self, programs: &[Program]) -> Rate {
        match self {
            Self::Program(index) => programs[*index].rate,
            Self::Pack(_) => Rate::Static,
            Self::OuterTotal { a, .. } => a.rate,
            Self::Total { from, .. } | Self::MoveTotal { from, .. } | Self::Pick { from, .. } => {
                from.rate
            }
            Self::Gemm { out, .. }
            | Self::Impulse { out, .. }
            | Self::Move { out, .. }
            | Self::Contract { out, .. }
            | Self::Reduce { out, .. }
            | Self::Custom { out, .. } => out.rate,
        }
    }

    /// Whether it gathers something over the steps.
    pub(crate) const fn ends_time(&self) -> bool {
        matches!(
            self,
            Self::OuterTotal { .. }
                | Self::Total { .. }
                | Self::MoveTotal { .. }
                | Self::Pick { .. }
        )
    }

    /// Whether it adds up rows, entry by entry.
    pub(crate) const fn is_sum(&self) -> bool {
        matches!(self, Self::OuterTotal { .. } | Self::Total { .. })
    }

    /// Whether what its additions lose is kept beside the sum.
    pub(crate) const fn keeps_lost(&self) -> bool {
        matches!(self, Self::Total { .. })
    }

    /// Where it adds to what is there, which must be zero when a run begins.
    pub(crate) const fn accumulates(&self) -> Option<&Operand> {
        match self {
            Self::OuterTotal { out, .. }
            | Self::Total { out, .. }
            | Self::MoveTotal { out, .. } => Some(out),
            _ => None,
        }
    }

    /// Everything it reads and writes, matrices of products aside.
    pub(crate) fn operands(&self, programs: &[Program]) -> Vec<Operand> {
        match self {
            Self::Program(index) => {
                let program = &programs[*index];
                let inputs = program.inputs.iter().map(|i| i.operand);
                inputs.chain(program.outputs.iter().copied()).collect()
            }
            Self::Pack(_) => Vec::new(),
            Self::Gemm {
                out,
                start,
                segments,
                ..
            } => segments
                .iter()
                .copied()
                .chain([*out])
                .chain(*start)
                .collect(),
            Self::OuterTotal { out, a, b, .. } => vec![*out, *a, *b],
            Self::Total { out, from }
            | Self::Pick { out, from, .. }
            | Self::Impulse { out, from, .. }
            | Self::Reduce { out, from, .. } => vec![*out, *from],
            Self::MoveTotal {
                out, from, class, ..
            } => [*out, *from].into_iter().chain(*class).collect(),
            Self::Move { out, moves, class } => {
                let from = moves.iter().map(|(_, from)| *from);
                from.chain([*out]).chain(*class).collect()
            }
            Self::Contract { out, a, b, .. } => [*out, *a].into_iter().chain(*b).collect(),
            Self::Custom { out, args, .. } => args.iter().map(|(a, _)| *a).chain([*out]).collect(),
        }
    }
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
    /// The first pass in which the value and what it starts from are known.
    pub(crate) pass: usize,
}

/// Where a value of the recurrence is found in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The node of the recurrence.
    pub(crate) node: NodeId,
    pub(crate) operand: Operand,
    /// The pass that computes it, for a value per step; otherwise the first that can use it.
    pub(crate) pass: usize,
    /// Whether a register carries it, so that it is kept from one chunk of time to the next.
    pub(crate) is_carried: bool,
}

/// Instructions that run together.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Whether they run step by step.
    pub(crate) is_loop: bool,
    pub(crate) body: Vec<Work>,
    /// The buffers of all steps that a loop reads or writes: each step finds them where no step before
    /// has been for long.
    pub(crate) kept: Vec<usize>,
}

/// An instruction in a stage.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) instruction: Instruction,
    /// Whether it can be done for the rows of many steps as if they were one step's: its operands
    /// vary with the step or not at all, and nothing depends on which step it is.
    pub(crate) is_uniform: bool,
    /// The same for a single sample, whose own values do not vary with the step either.
    pub(crate) is_uniform_alone: bool,
    /// Whether it reads values of other steps.
    pub(crate) looks_aside: bool,
}

impl Work {
    pub(super) fn new(instruction: Instruction, programs: &[Program]) -> Self {
        let operands = instruction.operands(programs);
        let by_step = match instruction {
            Instruction::Move { class, .. } => class.is_some(),
            Instruction::MoveTotal { .. }
            | Instruction::Impulse { .. }
            | Instruction::Pick { .. } => true,
            _ => false,
        };
        Self {
            is_uniform_alone: !by_step,
            is_uniform: !by_step && operands.iter().all(|o| o.rate != Rate::Sample),
            looks_aside: operands.iter().any(|o| o.shift != 0),
            instruction,
        }
    }
}

/// One way over time.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) forward: bool,
    pub(crate) stages: Vec<Stage>,
}
