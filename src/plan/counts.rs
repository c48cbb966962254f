//! The cost of a plan: operations by kind, floating-point operations, numbers moved and kept.

use super::{Instruction, Plan, Storage};
use crate::shape::Rate;
use crate::tape::Direction;

/// The cost of some instructions, per row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Matrix products with a constant matrix.
    pub products: usize,
    /// Sums over time of outer products; each is one matrix product over all steps and samples.
    pub outer_products: usize,
    /// Fused entrywise passes.
    pub programs: usize,
    /// All other instructions.
    pub others: usize,
    /// Floating-point operations in matrix products and sums of outer products.
    pub product_flops: usize,
    /// All floating-point operations; a function such as `tanh` counts as one.
    pub flops: usize,
    /// Numbers read and written, without matrices of products.
    pub moved: usize,
}

impl Tally {
    fn add(&mut self, plan: &Plan, instruction: &Instruction) {
        let flops = plan.flops(instruction);
        self.flops += flops;
        self.moved += plan.moved(instruction);
        match instruction {
            Instruction::Pack(_) => {}
            Instruction::Program(_) => self.programs += 1,
            Instruction::Gemm { .. } => {
                self.products += 1;
                self.product_flops += flops;
            }
            Instruction::OuterTotal { .. } => {
                self.outer_products += 1;
                self.product_flops += flops;
            }
            _ => self.others += 1,
        }
    }
}

/// The structure and the cost of a [`Plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// The loops in the order they run: the direction, and the cost per step and sample.
    pub loops: Vec<(Direction, Tally)>,
    /// The cost, per step and sample, of the work outside loops, done for many steps at once.
    pub outside: Tally,
    /// The cost per sample of the work done once per sample.
    pub per_sample: Tally,
    /// The cost of the work done once.
    pub once: Tally,
    /// The numbers kept from one pass over time to another, per step and sample, without data and
    /// outputs that vary with the step.
    pub saved: usize,
}

impl Counts {
    /// The floating-point operations of a run of `steps` steps and `samples` samples.
    #[must_use]
    pub fn flops(&self, steps: usize, samples: usize) -> usize {
        self.sum(steps, samples, |t| t.flops)
    }

    /// The floating-point operations in the matrix products of such a run.
    #[must_use]
    pub fn product_flops(&self, steps: usize, samples: usize) -> usize {
        self.sum(steps, samples, |t| t.product_flops)
    }

    fn sum(&self, steps: usize, samples: usize, of: impl Fn(&Tally) -> usize) -> usize {
        let loops: usize = self.loops.iter().map(|(_, tally)| of(tally)).sum();
        ((loops + of(&self.outside)) * steps + of(&self.per_sample)) * samples + of(&self.once)
    }
}

impl Plan {
    /// Counts the operations of the plan.
    ///
    /// ```
    /// use bptt::{Wrt, cells::{Cell, Loss}};
    /// let gradient = Cell::lstm().model("lstm", Loss::SquaredError)?.gradient(Wrt::Parameters)?;
    /// let program = gradient.compile::<f32>(&[("H", 128), ("K", 64), ("O", 10)])?;
    /// let counts = program.plan().counts();
    /// // One loop forward and one backward in time, and one matrix product in a step of each.
    /// assert_eq!(counts.loops.iter().map(|(_, step)| step.products).collect::<Vec<_>>(), [1, 1]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            saved: self.saved().map(|b| self.buffers[b].width).sum(),
            ..Counts::default()
        };
        for instruction in self.once.iter().flatten() {
            match instruction.rate(&self.programs) {
                Rate::Static => counts.once.add(self, instruction),
                _ => counts.per_sample.add(self, instruction),
            }
        }
        for pass in &self.passes {
            for stage in &pass.stages {
                let direction = if pass.forward {
                    Direction::Forward
                } else {
                    Direction::Backward
                };
                let mut tally = Tally::default();
                for work in &stage.body {
                    tally.add(self, &work.instruction);
                }
                if stage.is_loop {
                    counts.loops.push((direction, tally));
                } else {
                    for work in &stage.body {
                        counts.outside.add(self, &work.instruction);
                    }
                }
            }
        }
        counts
    }

    /// The buffers that are kept for the whole sequence and are not outputs.
    pub(super) fn saved(&self) -> impl Iterator<Item = usize> {
        let is_output = |b: &usize| self.outputs.iter().any(|o| o.operand.buffer == *b);
        let all = 0..self.buffers.len();
        all.filter(move |b| self.buffers[*b].storage == Storage::Full && !is_output(b))
    }

    /// The floating-point operations of an instruction, per row.
    pub(super) fn flops(&self, instruction: &Instruction) -> usize {
        match instruction {
            Instruction::Program(index) => {
                let program = &self.programs[*index];
                let ops = program.ops.iter().map(|op| op.code.flops());
                program.len * ops.sum::<usize>()
            }
            Instruction::Gemm { pack, .. } => 2 * self.packs[*pack].k * self.packs[*pack].n,
            Instruction::OuterTotal { a, b, .. } => 2 * a.len * b.len,
            Instruction::Contract { contract, .. } => 2 * contract.m * contract.k * contract.n,
            Instruction::Total { from, .. }
            | Instruction::MoveTotal { from, .. }
            | Instruction::Pool { from, .. }
            | Instruction::Reduce { from, .. } => from.len,
            Instruction::Pack(_)
            | Instruction::Pick { .. }
            | Instruction::Impulse { .. }
            | Instruction::Move { .. }
            | Instruction::Dense { .. }
            | Instruction::Custom { .. } => 0,
        }
    }

    /// The numbers read and written by an instruction, per row, without the matrices of products,
    /// which many rows share.
    pub(super) fn moved(&self, instruction: &Instruction) -> usize {
        let rate = instruction.rate(&self.programs);
        let operands = instruction.operands(&self.programs);
        let by_row = operands.iter().filter(|o| o.rate == rate).map(|o| o.len);
        by_row.sum::<usize>()
    }
}
