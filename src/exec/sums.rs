//! Sums over steps and samples.
//!
//! Such a sum can have millions of terms. In `f32` its rounding errors must not add up: a second
//! entry for each entry, behind all rows of the buffer, holds the rounding error of the last
//! addition, which is added to the next term. A sum of outer products or of moved entries, which can
//! be a large matrix, has these entries in long runs only; there, outer products are added up a few
//! rows at a time first.

#![allow(
    unsafe_code,
    reason = "operands are reached through pointers; a plan only names entries inside its buffers"
)]

use std::ops::Range;

use super::Real;
use super::driver::{Rows, WorkerRun};
use super::interpret::rows::{self, SumRows};
use super::kernel::{Columns, OverRows, Thin};
use super::lane_rows;
use super::long::{CHAIN, CHAINS, ENTRIES, WIDTH, apart};
use crate::plan::Operand;
use crate::shape::Rate;

impl<F: Real> WorkerRun<'_, '_, F> {
    /// The distance in entries from a sum to its rounding error.
    pub(super) fn lost(&self, out: &Operand) -> usize {
        let rows = match out.rate {
            Rate::Static => 1,
            _ => self.run.extent.samples,
        };
        rows * lane_rows::row(&self.run.plan.buffers[out.buffer], self.run.extent.lanes)
    }

    /// `out += aᵀ b`, summed over some rows, for some of the columns of `a`.
    pub(super) fn outer(
        &mut self,
        [out, a, b]: [&Operand; 3],
        strong: bool,
        rows: Rows,
        columns: Range<usize>,
    ) {
        if columns.is_empty() || rows.count == 0 {
            return;
        }
        let some = |this: &Self, o: &Operand, columns: Range<usize>| Columns {
            ptr: this
                .at(o, rows.step, rows.first)
                .wrapping_add(columns.start)
                .cast_const(),
            stride: this.stride(o),
            columns: columns.len(),
        };
        let to = |this: &Self, i: usize, j: usize| this.at(out, 0, 0).wrapping_add(i * b.len + j);
        if !self.run.extent.is_long::<F>() {
            let sides = [some(self, a, columns.clone()), some(self, b, 0..b.len)];
            let out = to(self, columns.start, 0);
            return self.outer_chain(sides, strong, rows.count, (out, b.len), true);
        }
        let beside = self.lost(out);
        let width = b.len.clamp(1, WIDTH);
        let height = ENTRIES / width;
        for i in columns.clone().step_by(height) {
            for j in (0..b.len).step_by(width) {
                let left = some(self, a, i..columns.end.min(i + height));
                let right = some(self, b, j..b.len.min(j + width));
                let tile = (to(self, i, j), b.len, beside);
                self.outer_tile([left, right], strong, rows.count, tile);
            }
        }
    }

    /// Adds the outer products of some rows to a tile of a matrix with this distance between rows,
    /// and this distance to the rounding errors.
    fn outer_tile(
        &mut self,
        [a, b]: [Columns<F>; 2],
        strong: bool,
        rows: usize,
        (out, out_stride, beside): (*mut F, usize, usize),
    ) {
        let stride = apart(a.columns * b.columns);
        // Rows without gaps are one row.
        let (lines, len) = match b.columns == out_stride {
            true => (1, a.columns * b.columns),
            false => (a.columns, b.columns),
        };
        for first in (0..rows).step_by(CHAINS * CHAIN) {
            let count = (rows - first).min(CHAINS * CHAIN);
            let chains = count.div_ceil(CHAIN);
            let space = self.own.chains.as_mut_ptr();
            for chain in 0..chains {
                let start = chain * CHAIN;
                let sides = [a, b].map(|side| Columns {
                    ptr: side.ptr.wrapping_add((first + start) * side.stride),
                    ..side
                });
                let to = space.wrapping_add(chain * stride);
                let count = CHAIN.min(count - start);
                self.outer_chain(sides, strong, count, (to, b.columns), false);
            }
            for line in 0..lines {
                let out = out.wrapping_add(line * out_stride);
                self.run.wide.dispatch(SumRows {
                    from: space.wrapping_add(line * len).cast_const(),
                    stride,
                    rows: chains,
                    len,
                    close: false,
                    out,
                    lost: out.wrapping_add(beside),
                });
            }
        }
    }

    /// The outer products of some rows, one after the other: they are added to a matrix, or replace
    /// one without gaps.
    fn outer_chain(
        &mut self,
        [a, b]: [Columns<F>; 2],
        strong: bool,
        rows: usize,
        (c, c_stride): (*mut F, usize),
        accumulate: bool,
    ) {
        let thin = Thin::of((a, b), (c, c_stride), rows);
        if !accumulate && (strong || thin.is_some()) {
            // SAFETY: the matrix is scratch memory of this worker.
            unsafe { std::slice::from_raw_parts_mut(c, a.columns * b.columns) }.fill(F::zero());
        }
        let product = OverRows {
            c,
            c_stride,
            a: &[a],
            b: &[b],
            rows,
            accumulate,
        };
        // SAFETY: operands of a plan lie inside the buffers; workers have different columns, and
        // scratch memory of their own.
        if strong && unsafe { rows::strong_outer(a, b, c, rows) } {
            return;
        }
        if let Some(thin) = thin {
            return self.run.isa.dispatch(thin);
        }
        // SAFETY: as above.
        unsafe { product.run(self.run.isa, self.own.packing.as_mut_slice()) };
    }

    /// `out += Σ from`, over some rows, for some of the entries; `close` is that of the instruction.
    pub(super) fn total(
        &mut self,
        (out, from, close): (&Operand, &Operand, bool),
        rows: Rows,
        entries: Range<usize>,
    ) {
        let isa = self.run.wide;
        let beside = self.lost(out);
        let sum = |first: usize, count: usize| {
            isa.dispatch(SumRows {
                from: self
                    .at(from, rows.step, first)
                    .wrapping_add(entries.start)
                    .cast_const(),
                stride: self.stride(from),
                rows: count,
                len: entries.len(),
                close: close && self.stride(from) > 0 && !entries.is_empty(),
                out: self.at(out, 0, first).wrapping_add(entries.start),
                lost: self.at(out, 0, first).wrapping_add(beside + entries.start),
            });
        };
        if out.rate == Rate::Static {
            sum(rows.first, rows.count);
        } else if self.stride(out) == 0 {
            // With one sample, the steps are added one after the other, as with several samples.
            let (first, stride) = (self.at(from, rows.step, rows.first), self.stride(from));
            let to = self.at(out, 0, 0).wrapping_add(entries.start);
            for (i, entry) in entries.enumerate() {
                let from = first.wrapping_add(entry).cast_const();
                // SAFETY: operands of a plan lie inside the buffers.
                unsafe { rows::chain(from, stride, rows.count, (to.add(i), to.add(beside + i))) };
            }
        } else {
            (rows.first..rows.first + rows.count).for_each(|row| sum(row, 1));
        }
    }
}
