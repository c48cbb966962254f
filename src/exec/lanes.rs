//! Values of which there are several, one for each direction of a run.
//!
//! Their rows for the directions follow one another: row `sample · k + direction` of a step. So all
//! directions are rows of one product with a matrix that they share. Any other instruction runs once
//! for each direction.

use std::ops::Range;

use super::Real;
use super::driver::{Part, Rows, WorkerRun};
use super::prepared::Place;
use crate::plan::{Instruction, Operand};

impl<F: Real> WorkerRun<'_, '_, F> {
    /// Runs the stages of a pass for a chunk of time. The work for each direction is done for a few
    /// steps at a time, because its values are many; sums over the steps are over the whole chunk, as
    /// for one direction, because their rounding depends on it. There are no sums if the leg runs
    /// `again`.
    pub(super) fn stages(&mut self, pass: usize, times: &Range<usize>, again: bool) {
        let forward = self.run.plan.passes[pass].forward;
        let stages = &self.run.plan.passes[pass].stages;
        let once = stages.iter().take_while(|s| !s.laned).count();
        let part = if again { Part::Values } else { Part::All };
        for stage in 0..once {
            self.stage((pass, stage), times, part);
            self.wait();
        }
        if once == stages.len() {
            return;
        }
        let tile = self.run.extent.tile;
        for i in 0..times.len().div_ceil(tile) {
            let some = match forward {
                true => times.start + i * tile..times.end.min(times.start + (i + 1) * tile),
                false => {
                    let end = times.end - i * tile;
                    times.start.max(end.saturating_sub(tile))..end
                }
            };
            for stage in once..stages.len() {
                self.stage((pass, stage), &some, Part::Values);
                self.wait();
            }
        }
        for stage in (once..stages.len()).filter(|_| !again) {
            self.stage((pass, stage), times, Part::Sums);
            self.wait();
        }
    }

    /// The number of directions of a value.
    pub(super) const fn several(&self, laned: bool) -> usize {
        if laned { self.run.extent.lanes } else { 1 }
    }

    /// Executes an instruction on some rows, for each direction of the worker.
    pub(super) fn everywhere(&mut self, instruction: &Instruction, rows: Rows) {
        let lanes = self.lanes.clone();
        if self.goes_across(instruction) && lanes.len() > 1 && rows.count > 0 {
            let whole = || lanes.len() == self.run.extent.lanes && self.is_even(instruction);
            if rows.count == 1 || whole() {
                return self.cross(instruction, rows);
            }
            if rows.count < lanes.len() {
                for row in 0..rows.count {
                    let first = rows.first + row;
                    let row = Rows {
                        first,
                        count: 1,
                        ..rows
                    };
                    self.cross(instruction, row);
                }
                return;
            }
        }
        for lane in lanes {
            self.lane = lane;
            self.apply(instruction, rows);
        }
        self.lane = 0;
    }

    /// Executes an instruction on the rows of all directions together.
    fn cross(&mut self, instruction: &Instruction, rows: Rows) {
        (self.lane, self.across) = (self.lanes.start, true);
        let count = rows.count * self.lanes.len();
        self.apply(instruction, Rows { count, ..rows });
        (self.lane, self.across) = (0, false);
    }

    /// Returns true if the directions can be rows of an instruction.
    fn goes_across(&self, instruction: &Instruction) -> bool {
        match instruction {
            Instruction::Program(_) | Instruction::Contract { .. } => true,
            Instruction::Gemm { pack, .. } => !self.run.plan.packs[*pack].laned,
            _ => false,
        }
    }

    /// Returns true if the rows of all samples and directions are equally far apart.
    fn is_even(&self, instruction: &Instruction) -> bool {
        let lanes = self.run.extent.lanes;
        let is_even = |operand: &Operand| {
            let slot = &self.own.slots[operand.buffer];
            slot.row == lanes * slot.lane
        };
        match instruction {
            Instruction::Program(index) => {
                let program = &self.run.plan.programs[*index];
                let mut inputs = program.inputs.iter().map(|input| &input.operand);
                inputs.all(is_even) && program.outputs.iter().all(is_even)
            }
            Instruction::Gemm {
                out,
                start,
                segments,
                ..
            } => segments.iter().chain(start).chain([out]).all(is_even),
            Instruction::Contract { out, a, b, .. } => [a, out].into_iter().chain(b).all(is_even),
            _ => false,
        }
    }

    /// Runs the loop of a stage for a single row in one call for each direction; returns false if the
    /// stage does not allow it, or if all directions together are faster.
    pub(super) fn loops(&mut self, (pass, index): Place, row: usize, times: &Range<usize>) -> bool {
        let plan = self.run.plan;
        let stage = &plan.passes[pass].stages[index];
        let forward = plan.passes[pass].forward;
        if !stage.laned {
            return self.vector_loop((pass, index), row, times.clone())
                || self.steps(stage, row, times.clone(), forward);
        }
        let lanes = self.lanes.clone();
        let all = lanes.len();
        let done = lanes.take_while(|lane| {
            self.lane = *lane;
            self.vector_loop((pass, index), row, times.clone())
                || (all == 1 && self.steps(stage, row, times.clone(), forward))
        });
        let done = done.count();
        self.lane = 0;
        done == all
    }
}
