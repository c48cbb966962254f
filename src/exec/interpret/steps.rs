//! A whole loop over time of a single row, in one function.
//!
//! A recurrence of few entries spends most of its time on overhead. Here the overhead is small: the
//! operands of the next step are one addition away, and there are few calls.

#![allow(
    unsafe_code,
    reason = "operands are reached through pointers that move from step to step"
)]

use super::entrywise::{BLOCK, Extent};
use crate::exec::kernel::Panels;
use crate::exec::kernel::Product;
use crate::exec::kernel::Segment;
use crate::exec::kernel::Start;
use crate::exec::kernel::{Element, Isa, Kernel, Vector};
use crate::op::Scalar;
use crate::plan::MicroOp;

/// The maximum number of terms of a product of at most one vector that is computed inline.
const IN_PLACE: usize = 32;

/// An operand that moves from step to step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<T> {
    /// The operand at step 0.
    pub(crate) ptr: *mut T,
    /// The entries from one step to the next.
    pub(crate) stride: usize,
    /// The number of entries; 0 for one entry that is broadcast.
    pub(crate) len: usize,
}

impl<T> Cursor<T> {
    #[inline(always)]
    pub(super) fn at(&self, step: usize) -> *mut T {
        self.ptr.wrapping_add(step * self.stride)
    }
}

/// An operation of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action<T> {
    /// A fused program: its index among the programs, and its operands among the cursors.
    Program {
        program: usize,
        first: usize,
        count: usize,
    },
    /// A product: the result, the initial value if any, and the segments, among the cursors.
    Product {
        first: usize,
        count: usize,
        b: *const T,
        panels: Panels,
        /// True if there is an initial value.
        starts: bool,
    },
}

/// The operations of a step, and their operands.
#[derive(Clone, Debug)]
pub(crate) struct ActionList<T> {
    pub(crate) actions: Vec<Action<T>>,
    pub(crate) cursors: Vec<Cursor<T>>,
}

impl<T> Default for ActionList<T> {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl<T> ActionList<T> {
    pub(crate) fn with_capacity(actions: usize, cursors: usize) -> Self {
        Self {
            actions: Vec::with_capacity(actions),
            cursors: Vec::with_capacity(cursors),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.actions.clear();
        self.cursors.clear();
    }
}

/// The programs, as used by the loop.
pub(crate) trait Programs {
    fn ops(&self, program: usize) -> &[MicroOp];
    fn len(&self, program: usize) -> usize;
}

/// The loop.
pub(crate) struct Steps<'a, T, P> {
    pub(crate) list: &'a ActionList<T>,
    pub(crate) programs: &'a P,
    /// For each program, a pointer for each place; the pointers to registers and constants are set.
    pub(crate) tables: &'a mut [Vec<*mut T>],
    /// Memory for the segments of a product.
    pub(crate) segments: &'a mut Vec<Segment<T>>,
    /// A block for each operand of a program.
    pub(crate) scratch: *mut T,
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) forward: bool,
}

impl<T: Element + Scalar, P: Programs> Steps<'_, T, P> {
    /// Runs all steps.
    ///
    /// # Safety
    /// The operands are valid at every step, programs have at most [`BLOCK`] entries, and nothing
    /// else accesses the memory that is written.
    pub(crate) unsafe fn run(self, isa: Isa) {
        isa.dispatch(self);
    }
}

impl<T: Element + Scalar, P: Programs> Kernel<T> for Steps<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(mut self) {
        for i in 0..self.end - self.first {
            let step = if self.forward {
                self.first + i
            } else {
                self.end - 1 - i
            };
            for action in &self.list.actions {
                // SAFETY: guaranteed by the caller of `Steps::run`.
                unsafe {
                    match *action {
                        Action::Program {
                            program,
                            first,
                            count,
                        } => self.program::<V>(program, first, count, step),
                        Action::Product {
                            first,
                            count,
                            b,
                            panels,
                            starts,
                        } => {
                            let cursors = &self.list.cursors[first..];
                            let (c, a) = (cursors[0], &cursors[2..][..count]);
                            let start = cursors[1].at(step).cast_const();
                            let start = starts.then_some(start);
                            let small = panels.n() <= V::LANES && panels.k() <= IN_PLACE;
                            if small {
                                product::<V>(c, a, b, panels, start, step);
                            } else {
                                self.segments.clear();
                                for a in a {
                                    let ptr = a.at(step).cast_const();
                                    self.segments.push(Segment::columns(ptr, a.len, a.len));
                                }
                                Product {
                                    c: c.at(step),
                                    c_stride: c.len,
                                    m: 1,
                                    a: self.segments,
                                    b,
                                    panels,
                                    start: start.map(|ptr| Start { ptr, stride: 0 }),
                                    ahead: None,
                                }
                                .run_one::<V>();
                            }
                        }
                    }
                }
            }
        }
    }
}

impl<T: Element + Scalar, P: Programs> Steps<'_, T, P> {
    #[inline(always)]
    unsafe fn program<V: Vector<Elem = T>>(
        &mut self,
        program: usize,
        first: usize,
        count: usize,
        step: usize,
    ) {
        let len = self.programs.len(program);
        let table = &mut self.tables[program];
        let fixed = table.len() - count;
        let operands = &self.list.cursors[first..first + count];
        for (i, (place, operand)) in table[fixed..].iter_mut().zip(operands).enumerate() {
            *place = operand.at(step);
            if operand.len == 0 {
                let block = unsafe { self.scratch.add(i * BLOCK) };
                let x = unsafe { **place };
                for entry in 0..len {
                    unsafe { *block.add(entry) = x };
                }
                *place = block;
            }
        }
        let ops = self.programs.ops(program);
        unsafe { Extent::row(table, len).run::<V>(ops) };
    }
}

/// A product of at most one vector, in the same order of terms as every other product.
#[inline(always)]
unsafe fn product<V: Vector>(
    c: Cursor<V::Elem>,
    a: &[Cursor<V::Elem>],
    mut b: *const V::Elem,
    panels: Panels,
    start: Option<*const V::Elem>,
    step: usize,
) {
    let to = c.at(step);
    unsafe {
        let mut sum = match start {
            Some(start) => V::load_pieces(start, panels.n()),
            None => V::splat(V::Elem::ZERO),
        };
        for segment in a {
            let from = segment.at(step);
            for l in 0..segment.len {
                sum = V::splat(*from.add(l)).mul_add(V::load(b), sum);
                b = b.add(panels.width());
            }
        }
        sum.store_pieces(to, panels.n());
    }
}
