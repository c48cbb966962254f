//! The instructions of a plan: operations on rows of buffers.

use super::program::MicroOp;
use crate::op::{Contract, Custom, Dense, Edge, Extent, Move, NodeId, Reduce};
use crate::shape::Rate;

/// Consecutive entries in the rows of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operand {
    pub(crate) buffer: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// The number of steps from the current step to the step of the row: −1, 0 or 1.
    pub(crate) shift: i8,
    /// The rate of the rows: one row, a row per sample, or a row per sample and step.
    pub(crate) rate: Rate,
}

impl Operand {
    /// Returns true if `next` follows directly in the same rows.
    pub(crate) fn continues_in(&self, next: &Self) -> bool {
        self.buffer == next.buffer
            && self.shift == next.shift
            && self.start + self.len == next.start
    }

    /// Returns true if both operands share an entry, possibly at different steps.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.start < other.start + other.len
            && other.start < self.start + self.len
    }
}

/// An operand of a fused program; if `spread`, a single entry is broadcast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) operand: Operand,
    pub(crate) spread: bool,
}

/// A fused entrywise program on rows of `len` entries.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) len: usize,
    /// The rate of the rows.
    pub(crate) rate: Rate,
    pub(crate) ops: Vec<MicroOp>,
    pub(crate) registers: usize,
    pub(crate) constants: Vec<f64>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<Operand>,
}

impl Program {
    /// The number of uses of the result of a micro-op before its place is overwritten.
    pub(crate) fn uses(&self, index: usize) -> usize {
        let to = self.ops[index].to;
        let mut uses = 0;
        for op in &self.ops[index + 1..] {
            let from = &op.from[..op.code.arity()];
            uses += from.iter().filter(|place| **place == to).count();
            if op.to == to {
                break;
            }
        }
        uses
    }
}

/// A matrix, packed once for all products that use it.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// The number of rows: the entries of the vectors it multiplies.
    pub(crate) k: usize,
    /// The number of columns: the entries of the products.
    pub(crate) n: usize,
    pub(crate) parts: Vec<PackPart>,
    /// True if there is one for each direction of a run.
    pub(crate) laned: bool,
}

/// One matrix of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackPart {
    pub(crate) matrix: Operand,
    /// The number of columns of the matrix in memory.
    pub(crate) columns: usize,
    /// True if the product is with the transpose of the matrix.
    pub(crate) transposed: bool,
    /// The row and column in the pack at which the matrix starts.
    pub(crate) at: [usize; 2],
    /// The number of rows in the pack.
    pub(crate) k: usize,
    /// The number of columns in the pack.
    pub(crate) n: usize,
}

/// An operation on rows.
#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    /// A fused entrywise program.
    Program(usize),
    /// Packs a matrix.
    Pack(usize),
    /// `out = start + segments · pack`, row by row; `start` may be `out` itself.
    Gemm {
        out: Operand,
        start: Option<Operand>,
        segments: Vec<Operand>,
        pack: usize,
    },
    /// `out += aᵀ b`, summed over all rows.
    OuterTotal {
        out: Operand,
        a: Operand,
        b: Operand,
        /// True if zero times infinity is zero.
        strong: bool,
    },
    /// `out += Σ from`, over the rows of `from` that share a row of `out`.
    Total {
        out: Operand,
        from: Operand,
        /// True if the rows of `from` are single entries, which follow one another in memory if there
        /// is one direction.
        close: bool,
    },
    /// Adds a strided copy of the entries, whose place may depend on a class.
    MoveTotal {
        out: Operand,
        from: Operand,
        moved: Move,
        class: Option<Operand>,
    },
    /// `out = Σ from`, over the rows of a step.
    Pool { out: Operand, from: Operand },
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
    /// A function of whole arrays, with the numbers of rows and columns of the arguments.
    Dense {
        out: Operand,
        args: Vec<(Operand, Extent)>,
        op: Dense,
    },
    Custom {
        out: Operand,
        args: Vec<(Operand, Vec<usize>)>,
        shape: Vec<usize>,
        op: Custom,
    },
}

impl Instruction {
    /// The rate of the rows that the instruction runs on.
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
            | Self::Pool { out, .. }
            | Self::Move { out, .. }
            | Self::Contract { out, .. }
            | Self::Reduce { out, .. }
            | Self::Dense { out, .. }
            | Self::Custom { out, .. } => out.rate,
        }
    }

    /// Returns true if the instruction reduces over the steps.
    pub(crate) const fn ends_time(&self) -> bool {
        matches!(
            self,
            Self::OuterTotal { .. }
                | Self::Total { .. }
                | Self::MoveTotal { .. }
                | Self::Pick { .. }
        )
    }

    /// Returns true if the instruction adds up rows, entry by entry.
    pub(crate) const fn is_sum(&self) -> bool {
        matches!(self, Self::OuterTotal { .. } | Self::Total { .. })
    }

    /// The operand that the instruction adds to; it must be zero at the start of a run.
    pub(crate) const fn accumulates(&self) -> Option<&Operand> {
        match self {
            Self::OuterTotal { out, .. }
            | Self::Total { out, .. }
            | Self::MoveTotal { out, .. } => Some(out),
            _ => None,
        }
    }

    /// Returns true if the instruction reads the rows of all samples.
    pub(crate) const fn joins_samples(&self) -> bool {
        matches!(self, Self::Pool { .. })
    }

    /// All operands read and written, without the matrices of products.
    pub(crate) fn operands(&self, programs: &[Program]) -> Vec<Operand> {
        let mut all = self.reads(programs);
        all.extend(self.writes(programs));
        all
    }

    /// The operands read in a row, without the matrices of products.
    pub(crate) fn reads(&self, programs: &[Program]) -> Vec<Operand> {
        match self {
            Self::Program(index) => {
                let inputs = programs[*index].inputs.iter();
                inputs.map(|input| input.operand).collect()
            }
            Self::Pack(_) => Vec::new(),
            Self::Gemm {
                start, segments, ..
            } => segments.iter().copied().chain(*start).collect(),
            Self::OuterTotal { a, b, .. } => vec![*a, *b],
            Self::Total { from, .. }
            | Self::Pick { from, .. }
            | Self::Impulse { from, .. }
            | Self::Pool { from, .. }
            | Self::Reduce { from, .. } => vec![*from],
            Self::MoveTotal { from, class, .. } => [*from].into_iter().chain(*class).collect(),
            Self::Move { moves, class, .. } => {
                let from = moves.iter().map(|(_, from)| *from);
                from.chain(*class).collect()
            }
            Self::Contract { a, b, .. } => [*a].into_iter().chain(*b).collect(),
            Self::Dense { args, .. } => args.iter().map(|(a, _)| *a).collect(),
            Self::Custom { args, .. } => args.iter().map(|(a, _)| *a).collect(),
        }
    }

    /// The operands written in a row, or added to.
    pub(crate) fn writes(&self, programs: &[Program]) -> Vec<Operand> {
        match self {
            Self::Program(index) => programs[*index].outputs.clone(),
            other => other.out().into_iter().copied().collect(),
        }
    }

    /// The operand written in a row, or added to, of all instructions but programs.
    pub(crate) const fn out(&self) -> Option<&Operand> {
        match self {
            Self::Program(_) | Self::Pack(_) => None,
            Self::Gemm { out, .. }
            | Self::OuterTotal { out, .. }
            | Self::Total { out, .. }
            | Self::MoveTotal { out, .. }
            | Self::Pick { out, .. }
            | Self::Impulse { out, .. }
            | Self::Pool { out, .. }
            | Self::Move { out, .. }
            | Self::Contract { out, .. }
            | Self::Reduce { out, .. }
            | Self::Dense { out, .. }
            | Self::Custom { out, .. } => Some(out),
        }
    }
}

/// The initial value of a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carry {
    /// The value carried, at the step of its definition.
    pub(crate) value: Operand,
    /// The initial value; `None` is zero.
    pub(crate) init: Option<Operand>,
    /// True if the value is carried to the next step, false if to the previous one.
    pub(crate) forward: bool,
    /// The first pass in which the value and the initial value are known.
    pub(crate) pass: usize,
    /// The pass that computes the value.
    pub(crate) defined: usize,
}

/// The place in memory of a value of the recurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The node of the recurrence.
    pub(crate) node: NodeId,
    pub(crate) operand: Operand,
    /// For a value per step, the pass that computes it; for others, the first pass that can use it.
    pub(crate) pass: usize,
    /// True if a register carries the value, so that it is kept from one chunk of time to the next.
    pub(crate) is_carried: bool,
}

/// Instructions that run together.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// True if they run step by step.
    pub(crate) is_loop: bool,
    /// True if they run for each direction of a run.
    pub(crate) laned: bool,
    pub(crate) body: Vec<Work>,
    /// The buffers of all steps that a loop reads or writes. Their rows at a step are not in cache,
    /// because no earlier step used them recently.
    pub(crate) kept: Vec<usize>,
}

/// An instruction in a stage.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) instruction: Instruction,
    /// True if the instruction can process the rows of many steps as if they were one step: its
    /// operands vary with the step or are constant, and it does not depend on the index of the
    /// step.
    pub(crate) is_uniform: bool,
    /// The same for a single sample, whose operands per sample are constant too.
    pub(crate) is_uniform_alone: bool,
    /// True if the instruction reads values of other steps.
    pub(crate) looks_aside: bool,
}

impl Work {
    pub(super) fn new(instruction: Instruction, programs: &[Program]) -> Self {
        let operands = instruction.operands(programs);
        let by_step = match instruction {
            Instruction::Move { class, .. } => class.is_some(),
            Instruction::MoveTotal { .. }
            | Instruction::Impulse { .. }
            | Instruction::Pool { .. }
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

/// One pass over time, in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) forward: bool,
    pub(crate) stages: Vec<Stage>,
}
