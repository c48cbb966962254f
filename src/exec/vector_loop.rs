//! Loops prepared to run on whole vectors, with a slot for each value.

#![allow(
    unsafe_code,
    reason = "matrices are read through pointers; a plan only names entries inside its buffers"
)]

use std::ops::Range;

use super::Real;
use super::driver::WorkerRun;
use super::interpret::vector_loop::VectorLoop;
use super::prepared::{Place, PreparedLoop, nowhere};
use super::slots::Rows;
use crate::plan::Operand;

impl<F: Real> WorkerRun<'_, '_, F> {
    /// Runs the loop of a stage for a single row, if it is prepared.
    pub(super) fn vector_loop(
        &mut self,
        (pass, stage): Place,
        row: usize,
        times: Range<usize>,
    ) -> bool {
        let Some(mut prepared) = self.own.loops[pass][stage].take() else {
            return false;
        };
        self.connect(&mut prepared, row);
        let vector_loop = VectorLoop {
            before: &prepared.before,
            loads: &prepared.loads,
            ops: &prepared.ops,
            terms: &prepared.terms,
            pieces: &prepared.pieces,
            carried: &prepared.carried,
            first: times.start,
            end: times.end,
            forward: self.run.plan.passes[pass].forward,
        };
        // SAFETY: operands of a plan lie inside the buffers, and each output has one program; the
        // slots have the width of the vectors of this instruction set.
        unsafe { vector_loop.run(self.run.isa) };
        self.own.loops[pass][stage] = Some(prepared);
        true
    }

    /// Sets the pointers of a loop to the memory and the matrices of this run.
    pub(super) fn connect(&self, prepared: &mut PreparedLoop<F>, row: usize) {
        let cursor = |operand: &Operand| self.cursor(operand, row, operand.len);
        for (load, operand) in prepared.before.iter_mut().zip(&prepared.before_at) {
            load.from = cursor(operand);
        }
        for (load, operand) in prepared.loads.iter_mut().zip(&prepared.loads_at) {
            load.from = cursor(operand);
        }
        for (op, operand) in prepared.ops.iter_mut().zip(&prepared.ops_at) {
            op.memory = operand.as_ref().map_or(nowhere(), cursor);
        }
        for (piece, operand) in prepared.pieces.iter_mut().zip(&prepared.pieces_at) {
            piece.memory = operand.as_ref().map_or(nowhere(), cursor);
        }
        let matrix = prepared.matrix.as_mut_slice();
        for Rows { pack, columns } in &prepared.rows {
            for part in &self.run.plan.packs[*pack].parts {
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
