//! What a plan costs: operations by kind, floating-point operations, numbers moved and kept.

use super::{Instruction, Plan, Storage};
use crate::shape::Rate;
use crate::tape::Direction;

/// What some instructions cost, for each of the rows they run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Matrix products whose matrix does not vary.
    pub products: usize,
    /// Sums over time of outer products, each one matrix product over all steps and samples.
    pub outer_products: usize,
    /// Fused entrywise passes.
    pub programs: usize,
    /// Everything else.
    pub others: usize,
    /// Floating-point operations in matrix products, of both kinds.
    pub product_flops: usize,
    /// All floating-point operations; a function such as `tanh` counts as one.
    pub flops: usize,
    /// Numbers read and written, matrices not included.
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

/// What a [`Plan`] consists of and costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The loops in the order they run: their direction, and what each step costs for each sample.
    pub loops: Vec<(Direction, Tally)>,
    /// What is done for many steps at once: for each step and sample.
    pub outside: Tally,
    /// What is done once for each sample.
    pub per_sample: Tally,
    /// What is done once.
    pub once: Tally,
    /// How many numbers are kept from one pass over time to another, for each step and sample;
    /// data and outputs that vary with the step are not counted.
    pub saved: usize,
}

impl Counts {
    /// All floating-point operations of a run.
    #[must_use]
    pub fn flops(&self, steps: usize, samples: usize) -> usize {
        self.sum(steps, samples, |t| t.flops)
    }

    /// The floating-point operations in matrix products of a run.
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
    /// Counts operations.
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

    /// The buffers that are kept for the whole sequence, and not because they are outputs.
    pub(super) fn saved(&self) -> impl Iterator<Item = usize> {
        let is_output = |b: &usize| self.outputs.iter().any(|o| o.operand.buffer == *b);
        let all = 0..self.buffers.len();
        all.filter(move |b| self.buffers[*b].storage == Storage::Full && !is_output(b))
    }

    /// The floating-point operations of an instruction, for each row it runs on.
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
            | Instruction::Reduce { from, .. } => from.len,
            Instruction::Pack(_)
            | Instruction::Pick { .. }
            | Instruction::Impulse { .. }
            | Instruction::Move { .. }
            | Instruction::Custom { .. } => 0,
        }
    }

    /// The numbers an instruction reads and writes for each row it runs on, without the matrices
    /// of products, which many rows share.
    pub(super) fn moved(&self, instruction: &Instruction) -> usize {
        let rate = instruction.rate(&self.programs);
        let operands = instruction.operands(&self.programs);
        let by_row = operands.iter().filter(|o| o.rate == rate).map(|o| o.len);
        by_row.sum::<usize>()
    }
}
