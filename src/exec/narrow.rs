//! Loops prepared to run on whole vectors, with a slot for each value.

#![allow(
    unsafe_code,
    reason = "matrices are read through pointers; a plan only names entries inside its buffers"
)]

use std::ops::Range;

use super::Real;
use super::driver::Crew;
use super::interpret::narrow::Narrow;
use super::ready::{Place, Ready, nowhere};
use super::slots::Rows;
use crate::plan::Operand;

impl<F: Real> Crew<'_, '_, F> {
    /// Runs the loop of a stage for a single row, if it is prepared.
    pub(super) fn narrow(&mut self, (pass, stage): Place, row: usize, times: Range<usize>) -> bool {
        let Some(mut ready) = self.own.narrow[pass][stage].take() else {
            return false;
        };
        self.connect(&mut ready, row);
        let narrow = Narrow {
            before: &ready.before,
            loads: &ready.loads,
            acts: &ready.acts,
            terms: &ready.terms,
            pieces: &ready.pieces,
            carried: &ready.carried,
            first: times.start,
            end: times.end,
            forward: self.job.plan.passes[pass].forward,
        };
        // SAFETY: operands of a plan lie inside the buffers, and each output has one program; the
        // slots have the width of the vectors of this instruction set.
        unsafe { narrow.run(self.job.isa) };
        self.own.narrow[pass][stage] = Some(ready);
        true
    }

    /// Sets the pointers of a loop to the memory and the matrices of this run.
    fn connect(&self, ready: &mut Ready<F>, row: usize) {
        let cursor = |operand: &Operand| self.cursor(operand, row, operand.len);
        for (load, operand) in ready.before.iter_mut().zip(&ready.before_at) {
            load.from = cursor(operand);
        }
        for (load, operand) in ready.loads.iter_mut().zip(&ready.loads_at) {
            load.from = cursor(operand);
        }
        for (act, operand) in ready.acts.iter_mut().zip(&ready.acts_at) {
            act.memory = operand.as_ref().map_or(nowhere(), cursor);
        }
        for (piece, operand) in ready.pieces.iter_mut().zip(&ready.pieces_at) {
            piece.memory = operand.as_ref().map_or(nowhere(), cursor);
        }
        let matrix = ready.matrix.as_mut_slice();
        for Rows { pack, columns } in &ready.rows {
            for part in &self.job.plan.packs[*pack].parts {
                let from = self.at(&part.matrix, 0, 0).cast_const();
                for l in 0..part.k {
                    for j in 0..part.n {
                        let (place, row) = columns[part.at[1] + j];
                        let entry = if part.transposed {
                            l * part.columns + j
                        } else {
                            j * part.columns + l
                        };
                        // SAFETY: the matrix has this entry.
                        matrix[place + (part.at[0] + l) * row] = unsafe { *from.add(entry) };
                    }
                }
            }
        }
    }
}
