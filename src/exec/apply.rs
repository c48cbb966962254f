//! The execution of one instruction on some rows.

#![allow(
    unsafe_code,
    reason = "operands are reached through pointers; a plan only names entries inside its buffers"
)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{ArrayView, ArrayViewD, ArrayViewMut, Dimension, IxDyn, ShapeBuilder, StrideShape};
use smallvec::SmallVec;

use super::Real;
use super::driver::{Rows, WorkerRun};
use super::interpret::entrywise::{BLOCK, Entrywise, Rows as Strided};
use super::interpret::moves;
use super::interpret::rows::Contraction;
use super::interpret::steps::{Action, ActionList, Cursor, Programs, Steps};
use super::kernel::{Matrix, Panels, Product, Segment, Start};
use super::parallel::share;
use crate::error::Error;
use crate::op::{Custom, Dense, Extent, Slices};
use crate::plan::{Instruction, MicroOp, Operand, Plan, Stage};
use crate::shape::Rate;

/// The entries of a cache line: workers do not write to the same one.
const LINE: usize = 16;

impl<F: Real> WorkerRun<'_, '_, F> {
    /// The number of entries from one row of an operand to the next; the rows of a sample for each
    /// direction are rows of their own if the worker goes across.
    pub(super) fn stride(&self, operand: &Operand) -> usize {
        let slot = &self.own.slots[operand.buffer];
        if self.across { slot.lane } else { slot.row }
    }

    /// Executes an instruction on some rows, for the current direction.
    pub(super) fn apply(&mut self, instruction: &Instruction, rows: Rows) {
        // At a step that no sample reaches there are no rows.
        if rows.count == 0 {
            return;
        }
        match instruction {
            Instruction::Program(index) => {
                let len = self.run.plan.programs[*index].len;
                self.program(*index, rows, 0..len);
            }
            Instruction::Pack(index) => self.pack(*index),
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                let panels = 0..self.panels(*pack).count();
                self.gemm(out, start.as_ref(), segments, *pack, rows, panels);
            }
            Instruction::OuterTotal { out, a, b, strong } => {
                self.outer([out, a, b], *strong, rows, 0..a.len);
            }
            Instruction::Total { out, from, close } => {
                self.total((out, from, *close), rows, 0..out.len);
            }
            Instruction::Pool { out, from } => self.pool(out, from, rows),
            Instruction::Contract {
                out,
                a,
                b,
                contract,
            } => {
                let at = |o: &Operand| self.at(o, rows.step, rows.first);
                let right = b.unwrap_or(*a);
                let call = Contraction {
                    contract: *contract,
                    a: at(a),
                    b: b.as_ref().map(|b| at(b).cast_const()),
                    out: at(out),
                    rows: rows.count,
                    lens: [a.len, right.len],
                    strides: [self.stride(a), self.stride(&right), self.stride(out)],
                };
                self.run.isa.dispatch(call);
            }
            Instruction::Dense { out, args, op } => self.dense(*op, args, out, rows),
            Instruction::Custom {
                out,
                args,
                shape,
                op,
            } => self.custom(op, args, (out, shape), rows),
            _ => {
                for row in rows.first..rows.first + rows.count {
                    self.row(instruction, rows.step, row);
                }
            }
        }
    }

    /// The sum over the rows of a step, in each of them.
    fn pool(&self, out: &Operand, from: &Operand, rows: Rows) {
        let at = |operand: &Operand, i: usize| self.at(operand, rows.step, rows.first + i);
        let first = at(out, 0);
        for i in 0..rows.count {
            let from = at(from, i).cast_const();
            for entry in 0..out.len {
                // SAFETY: both have `len` entries in each row; where they are the same, a row is read before it is written.
                unsafe {
                    let x = *from.add(entry);
                    let sum = first.add(entry);
                    *sum = if i == 0 { x } else { *sum + x };
                }
            }
        }
        for i in 1..rows.count {
            // SAFETY: the rows of a value are apart.
            unsafe { std::ptr::copy_nonoverlapping(first, at(out, i), out.len) };
        }
    }

    /// Executes an instruction that works on one row at a time.
    fn row(&mut self, instruction: &Instruction, step: usize, row: usize) {
        let at = |operand: &Operand| self.at(operand, step, row);
        match instruction {
            Instruction::MoveTotal {
                out,
                from,
                moved,
                class,
            } => {
                let class = self.class(class.as_ref(), step, row);
                let lost = self.run.extent.is_long::<F>().then(|| self.lost(out));
                // SAFETY: the class was checked to be in its range.
                unsafe { moves::add(moved, at(from), at(out), class, lost) };
            }
            Instruction::Move { out, moves, class } => {
                let class = self.class(class.as_ref(), step, row);
                let covered: usize = moves.iter().map(|(m, _)| m.extent[0] * m.extent[1]).sum();
                // SAFETY: as above.
                unsafe {
                    if covered < out.len {
                        std::slice::from_raw_parts_mut(at(out), out.len).fill(F::zero());
                    }
                    for (moved, from) in moves {
                        moves::copy(moved, at(from), at(out), class);
                    }
                }
            }
            Instruction::Pick { out, from, edge } => {
                if self.is_edge(*edge, step, row) {
                    // SAFETY: both have `len` entries.
                    unsafe { std::ptr::copy_nonoverlapping(at(from), at(out), out.len) };
                }
            }
            Instruction::Impulse { out, from, edge } => {
                // SAFETY: both have `len` entries.
                unsafe {
                    if self.is_edge(*edge, step, row) {
                        std::ptr::copy_nonoverlapping(at(from), at(out), out.len);
                    } else {
                        std::slice::from_raw_parts_mut(at(out), out.len).fill(F::zero());
                    }
                }
            }
            Instruction::Reduce { out, from, op } => {
                // SAFETY: the entries of one row, and of a different value.
                let (x, y) = unsafe {
                    (
                        std::slice::from_raw_parts(at(from).cast_const(), from.len),
                        std::slice::from_raw_parts_mut(at(out), out.len),
                    )
                };
                op.eval_row(x, y);
            }
            _ => unreachable!("instructions on many rows are done elsewhere"),
        }
    }

    /// Evaluates a function of whole arrays on some rows.
    fn dense(&self, op: Dense, args: &[(Operand, Extent)], out: &Operand, rows: Rows) {
        for row in rows.first..rows.first + rows.count {
            let mut slices: Slices<'_, F> = SmallVec::new();
            for (operand, extent) in args {
                let from = self.at(operand, rows.step, row).cast_const();
                // SAFETY: the entries of one row, which are not written now.
                slices.push((
                    unsafe { std::slice::from_raw_parts(from, operand.len) },
                    *extent,
                ));
            }
            let to = self.at(out, rows.step, row);
            // SAFETY: the entries of one row, and of a different value; only this worker accesses them.
            op.row(&slices, unsafe {
                std::slice::from_raw_parts_mut(to, out.len)
            });
        }
    }

    /// Evaluates a custom op on some rows. If it fails or panics, the result is zero and the run fails.
    fn custom(
        &self,
        op: &Custom,
        args: &[(Operand, Vec<usize>)],
        (out, shape): (&Operand, &[usize]),
        rows: Rows,
    ) {
        let views: SmallVec<[ArrayViewD<'_, F>; 4]> = args
            .iter()
            .map(|(operand, shape)| {
                let ptr = self.at(operand, rows.step, rows.first).cast_const();
                // SAFETY: these rows of the operand lie inside its buffer, and are not written now.
                unsafe { ArrayView::from_shape_ptr(self.by_row(operand, shape, rows), ptr) }
            })
            .collect();
        let ptr = self.at(out, rows.step, rows.first);
        // SAFETY: these rows of the result lie inside its buffer, and only this worker accesses them.
        let view = unsafe { ArrayViewMut::from_shape_ptr(self.by_row(out, shape, rows), ptr) };
        let value = catch_unwind(AssertUnwindSafe(|| F::call_rows(op.rule(), &views, view)));
        if let Err(reason) = value.unwrap_or_else(|_| Err("it panicked".into())) {
            for row in rows.first..rows.first + rows.count {
                let to = self.at(out, rows.step, row);
                // SAFETY: the entries of one row.
                unsafe { std::slice::from_raw_parts_mut(to, out.len) }.fill(F::zero());
            }
            self.fail(Error::CustomOp {
                op: op.rule().name().into(),
                reason,
            });
        }
    }

    /// The shape and the strides of some rows of an operand.
    fn by_row(&self, operand: &Operand, shape: &[usize], rows: Rows) -> StrideShape<IxDyn> {
        let mut sizes = IxDyn::zeros(shape.len() + 1);
        sizes[0] = rows.count;
        sizes.slice_mut()[1..].copy_from_slice(shape);
        let mut strides = IxDyn::zeros(shape.len() + 1);
        strides[0] = self.stride(operand);
        let mut distance = 1;
        for axis in (0..shape.len()).rev() {
            strides[axis + 1] = distance;
            distance *= shape[axis];
        }
        sizes.strides(strides)
    }

    fn fail(&self, error: Error) {
        let mut failure = match self.run.failure.lock() {
            Ok(failure) => failure,
            Err(poisoned) => poisoned.into_inner(),
        };
        failure.get_or_insert(error);
    }

    fn class(&self, class: Option<&Operand>, step: usize, row: usize) -> usize {
        let Some(class) = class else {
            return 0;
        };
        let index = match class.rate {
            Rate::Step => step * self.run.extent.samples + row,
            _ => row,
        };
        // SAFETY: there is a class per sample, and per step if it varies with the step.
        unsafe { *self.run.classes[class.buffer].add(index) }
    }

    /// Executes this worker's part of the entries of some rows.
    pub(super) fn apply_part(&mut self, instruction: &Instruction, rows: Rows) {
        match instruction {
            Instruction::Program(index) => {
                let len = self.run.plan.programs[*index].len;
                let blocks = share(len.div_ceil(LINE), self.index, self.count);
                let entries = blocks.start * LINE..(blocks.end * LINE).min(len);
                if !entries.is_empty() {
                    self.program(*index, rows, entries);
                }
            }
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                let panels = share(self.panels(*pack).count(), self.index, self.count);
                self.gemm(out, start.as_ref(), segments, *pack, rows, panels);
            }
            _ if self.index == 0 => self.apply(instruction, rows),
            _ => {}
        }
    }

    /// Runs some entries of a fused program.
    fn program(&mut self, index: usize, rows: Rows, entries: Range<usize>) {
        let program = &self.run.plan.programs[index];
        self.own.operands.clear();
        for input in &program.inputs {
            let offset = if input.spread { 0 } else { entries.start };
            let operand = Strided {
                ptr: self
                    .at(&input.operand, rows.step, rows.first)
                    .wrapping_add(offset),
                stride: self.stride(&input.operand),
                spread: input.spread,
            };
            self.own.operands.push(operand);
        }
        for output in &program.outputs {
            let operand = Strided {
                ptr: self
                    .at(output, rows.step, rows.first)
                    .wrapping_add(entries.start),
                stride: self.stride(output),
                spread: false,
            };
            self.own.operands.push(operand);
        }
        let isa = match rows.count {
            1 => self.run.isa,
            _ => self.run.wide,
        };
        let count = self.own.operands.len();
        let table = &mut self.own.tables[index];
        let fixed = table.len() - count;
        let strides = &mut self.own.strides[..table.len()];
        strides[program.registers..fixed].fill(0);
        let call = Entrywise {
            ops: &program.ops,
            fixed,
            operands: &self.own.operands,
            inputs: program.inputs.len(),
            rows: rows.count,
            len: entries.len(),
            scratch: self.own.staging,
            table,
            strides,
            registers: program.registers,
        };
        // SAFETY: operands of a plan lie inside the buffers, and each output has one program.
        unsafe { call.run(isa) };
    }

    /// Runs the loop of a stage for a single row in one call; returns false if the stage does
    /// not allow it.
    pub(super) fn steps(
        &mut self,
        stage: &Stage,
        row: usize,
        times: Range<usize>,
        forward: bool,
    ) -> bool {
        let mut list = std::mem::take(&mut self.own.list);
        list.clear();
        let fits = stage
            .body
            .iter()
            .all(|work| self.add(&work.instruction, row, &mut list));
        self.own.list = list;
        if !fits {
            return false;
        }
        let own = &mut *self.own;
        let steps = Steps {
            list: &own.list,
            programs: self.run.plan,
            tables: &mut own.tables,
            segments: &mut own.segments,
            scratch: own.staging,
            first: times.start,
            end: times.end,
            forward,
        };
        // SAFETY: operands of a plan lie inside the buffers, and each output has one program.
        unsafe { steps.run(self.run.isa) };
        true
    }

    /// Adds an instruction to the actions of a step; returns false if it is not among those of a loop of one row.
    pub(super) fn add(
        &self,
        instruction: &Instruction,
        row: usize,
        list: &mut ActionList<F>,
    ) -> bool {
        let (programs, first) = (&self.run.plan.programs, list.cursors.len());
        let mut push = |operand: &Operand, len: usize| {
            list.cursors.push(self.cursor(operand, row, len));
        };
        match instruction {
            Instruction::Program(index) if programs[*index].len <= BLOCK => {
                let program = &programs[*index];
                for input in &program.inputs {
                    push(&input.operand, if input.spread { 0 } else { program.len });
                }
                for output in &program.outputs {
                    push(output, program.len);
                }
                list.actions.push(Action::Program {
                    program: *index,
                    first,
                    count: program.inputs.len() + program.outputs.len(),
                });
            }
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                push(out, out.len);
                push(start.as_ref().unwrap_or(out), out.len);
                for segment in segments {
                    push(segment, segment.len);
                }
                let spec = &self.run.plan.packs[*pack];
                list.actions.push(Action::Product {
                    first,
                    count: segments.len(),
                    b: self.matrix(*pack).cast_const(),
                    panels: Panels::new::<F>(self.run.isa, spec.k, spec.n),
                    starts: start.is_some(),
                });
            }
            _ => return false,
        }
        true
    }

    /// A cursor that follows an operand through the steps.
    pub(super) fn cursor(&self, operand: &Operand, row: usize, len: usize) -> Cursor<F> {
        Cursor {
            ptr: self.at(operand, 0, row),
            stride: self.own.slots[operand.buffer].time,
            len,
        }
    }

    /// The packed matrix for the current direction.
    fn matrix(&self, index: usize) -> *mut F {
        let pack = &self.run.plan.packs[index];
        let lane = if pack.laned { self.lane } else { 0 };
        let len = || Panels::new::<F>(self.run.isa, pack.k, pack.n).len();
        self.run.packs[index].wrapping_add(if lane > 0 { lane * len() } else { 0 })
    }

    fn pack(&self, index: usize) {
        let pack = &self.run.plan.packs[index];
        let panels = Panels::new::<F>(self.run.isa, pack.k, pack.n);
        // SAFETY: the space was allocated for these panels, and only one worker packs them.
        let space = unsafe { std::slice::from_raw_parts_mut(self.matrix(index), panels.len()) };
        for part in &pack.parts {
            // The product of a row and the transpose of the stored matrix.
            let (row_stride, column_stride) = if part.transposed {
                (part.columns, 1)
            } else {
                (1, part.columns)
            };
            let matrix = Matrix {
                ptr: self.at(&part.matrix, 0, 0).cast_const(),
                rows: part.k,
                columns: part.n,
                row_stride,
                column_stride,
            };
            // SAFETY: the matrix is a value of the plan.
            unsafe { panels.pack(self.run.isa, space, (part.at[0], part.at[1]), matrix) };
        }
    }

    fn panels(&self, pack: usize) -> Panels {
        let spec = &self.run.plan.packs[pack];
        Panels::new::<F>(self.run.isa, spec.k, spec.n)
    }

    /// Computes the columns of some panels.
    fn gemm(
        &mut self,
        out: &Operand,
        start: Option<&Operand>,
        segments: &[Operand],
        pack: usize,
        rows: Rows,
        columns: Range<usize>,
    ) {
        self.own.segments.clear();
        for segment in segments {
            let ptr = self.at(segment, rows.step, rows.first).cast_const();
            let segment = Segment::columns(ptr, self.stride(segment), segment.len);
            self.own.segments.push(segment);
        }
        let panels = self.panels(pack);
        let product = Product {
            c: self.at(out, rows.step, rows.first),
            c_stride: self.stride(out),
            m: rows.count,
            a: &self.own.segments,
            b: self.matrix(pack).cast_const(),
            panels,
            start: start.map(|start| Start {
                ptr: self.at(start, rows.step, rows.first).cast_const(),
                stride: self.stride(start),
            }),
            ahead: Some(&self.own.ahead),
        };
        // SAFETY: operands of a plan lie inside the buffers, and matrices are packed before
        // products.
        unsafe { product.run(self.run.isa, columns) };
    }

    /// Sets the entries of an operand to zero in some rows.
    pub(super) fn clear(&self, out: &Operand, rows: Rows) {
        for row in rows.first..rows.first + rows.count {
            let to = self.at(out, rows.step, row);
            // SAFETY: the entries of one row.
            unsafe { std::slice::from_raw_parts_mut(to, out.len) }.fill(F::zero());
        }
    }
}

impl Programs for Plan {
    fn ops(&self, program: usize) -> &[MicroOp] {
        &self.programs[program].ops
    }

    fn len(&self, program: usize) -> usize {
        self.programs[program].len
    }
}
