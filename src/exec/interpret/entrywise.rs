//! Fused entrywise programs: short lists of micro-ops on blocks that stay in the first-level cache.
//!
//! A micro-op is a loop over one block. Its operands are pointers in a table: to registers and
//! constants, and directly to memory if the rows of an operand are contiguous.

#![allow(
    unsafe_code,
    reason = "blocks are read and written through the table of pointers"
)]

use super::micro_op::{Micro, Operands, value};
use crate::exec::kernel::{Element, Isa, Kernel, Vector};
use crate::op::Scalar;
use crate::plan::MicroOp;

/// The number of entries of a block.
pub(crate) const BLOCK: usize = 256;

/// An operand in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<T> {
    pub(crate) ptr: *mut T,
    /// The entries from one row to the next; zero if all rows are the same.
    pub(crate) stride: usize,
    /// True if one entry is broadcast to the whole row.
    pub(crate) spread: bool,
}

/// A program and its operands.
pub(crate) struct Entrywise<'a, T> {
    pub(crate) ops: &'a [MicroOp],
    /// The number of places before the operands: registers and constants.
    pub(crate) fixed: usize,
    /// The operands: first `inputs` that are read, then those that are written.
    pub(crate) operands: &'a [Rows<T>],
    pub(crate) inputs: usize,
    pub(crate) rows: usize,
    pub(crate) len: usize,
    /// A block for each operand.
    pub(crate) scratch: *mut T,
    /// A pointer for each place; the pointers to registers and constants are set.
    pub(crate) table: &'a mut [*mut T],
    /// The entries from one row to the next, for each place; zero for constants.
    pub(crate) strides: &'a mut [usize],
    /// The number of registers among the places.
    pub(crate) registers: usize,
}

impl<T: Element + Scalar> Entrywise<'_, T> {
    /// Runs the program on all rows.
    ///
    /// # Safety
    /// The operands are valid for `rows` rows of `len` entries (one entry if broadcast), `scratch`
    /// is valid for [`BLOCK`] entries per operand, and every pointer set in the table is valid for
    /// a block. Nothing else accesses the memory that is written.
    #[inline(always)]
    pub(crate) unsafe fn run(self, isa: Isa) {
        isa.dispatch(self);
    }
}

impl<T: Element + Scalar> Kernel<T> for Entrywise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        // SAFETY: guaranteed by the caller of `Entrywise::run`.
        unsafe { blocks::<V>(self) }
    }
}

#[inline(always)]
unsafe fn blocks<V: Vector>(call: Entrywise<'_, V::Elem>)
where
    V::Elem: Scalar,
{
    let (fixed, len) = (call.fixed, call.len);
    if call.rows == 1 && len <= BLOCK {
        for (i, operand) in call.operands.iter().enumerate() {
            call.table[fixed + i] = operand.ptr;
            if operand.spread {
                let block = unsafe { call.scratch.add(i * BLOCK) };
                call.table[fixed + i] = block;
                unsafe { gather::<V>(operand, block, 1, len, 0, 0) };
            }
        }
        unsafe { Extent::row(call.table, len).run::<V>(call.ops) };
        return;
    }
    let dense = |o: &Rows<V::Elem>| !o.spread && o.stride == len;
    let (rows, len) = if call.operands.iter().all(dense) {
        (1, len * call.rows)
    } else {
        (call.rows, len)
    };
    if rows > 1 && (V::LANES..BLOCK).contains(&len) {
        unsafe { by_rows::<V>(call) };
        return;
    }
    // A block has some whole rows, or some entries of one row.
    let (some_rows, some) = if len >= BLOCK {
        (1, BLOCK)
    } else {
        ((BLOCK / len).min(rows), len)
    };
    // Operands that are the same for all blocks are gathered once.
    for (i, operand) in call.operands.iter().enumerate() {
        if operand.stride == 0 && i < call.inputs && (some == len || operand.spread) {
            let block = unsafe { call.scratch.add(i * BLOCK) };
            call.table[fixed + i] = block;
            unsafe { gather::<V>(operand, block, some_rows, some, 0, 0) };
        }
    }
    let mut row = 0;
    while row < rows {
        let count = some_rows.min(rows - row);
        let mut column = 0;
        while column < len {
            let width = some.min(len - column);
            for (i, operand) in call.operands.iter().enumerate() {
                let place = fixed + i;
                if operand.stride == 0 && i < call.inputs && (some == len || operand.spread) {
                    continue;
                }
                let direct = !operand.spread && (count == 1 || operand.stride == len);
                if direct {
                    call.table[place] = unsafe { operand.ptr.add(row * operand.stride + column) };
                } else {
                    call.table[place] = unsafe { call.scratch.add(i * BLOCK) };
                    if i < call.inputs {
                        unsafe {
                            gather::<V>(operand, call.table[place], count, width, row, column);
                        }
                    }
                }
            }
            unsafe { Extent::row(call.table, count * width).run::<V>(call.ops) };
            for (i, operand) in call.operands.iter().enumerate().skip(call.inputs) {
                if count > 1 && operand.stride != len {
                    unsafe { scatter::<V>(operand, call.table[fixed + i], count, width, row) };
                }
            }
            column += width;
        }
        row += count;
    }
}

/// Runs the program on several rows at a time, each of at least one vector, directly in memory.
#[inline(always)]
unsafe fn by_rows<V: Vector>(call: Entrywise<'_, V::Elem>)
where
    V::Elem: Scalar,
{
    let Entrywise { fixed, len, .. } = call;
    call.strides[..call.registers].fill(len);
    for (stride, operand) in call.strides[fixed..].iter_mut().zip(call.operands) {
        *stride = if operand.spread { len } else { operand.stride };
    }
    let most = BLOCK / len;
    let mut row = 0;
    while row < call.rows {
        let count = most.min(call.rows - row);
        for (i, operand) in call.operands.iter().enumerate() {
            if !operand.spread {
                call.table[fixed + i] = unsafe { operand.ptr.add(row * operand.stride) };
            } else if row == 0 || operand.stride > 0 {
                let block = unsafe { call.scratch.add(i * BLOCK) };
                call.table[fixed + i] = block;
                unsafe { gather::<V>(operand, block, most.min(call.rows - row), len, row, 0) };
            }
        }
        let extent = Extent {
            table: call.table,
            strides: call.strides,
            rows: count,
            count: len,
        };
        unsafe { extent.run::<V>(call.ops) };
        row += count;
    }
}

/// Copies rows of an operand to a block, without gaps.
#[inline(always)]
unsafe fn gather<V: Vector>(
    operand: &Rows<V::Elem>,
    block: *mut V::Elem,
    rows: usize,
    len: usize,
    row: usize,
    column: usize,
) {
    for r in 0..rows {
        let to = unsafe { block.add(r * len) };
        let from = unsafe { operand.ptr.add((row + r) * operand.stride) };
        if operand.spread {
            let x = unsafe { *from };
            for i in 0..len {
                unsafe { *to.add(i) = x };
            }
        } else {
            unsafe { copy::<V>(from.add(column), to, len) };
        }
    }
}

/// Copies a block to rows of an operand.
#[inline(always)]
unsafe fn scatter<V: Vector>(
    operand: &Rows<V::Elem>,
    block: *const V::Elem,
    rows: usize,
    len: usize,
    row: usize,
) {
    for r in 0..rows {
        let to = unsafe { operand.ptr.add((row + r) * operand.stride) };
        unsafe { copy::<V>(block.add(r * len), to, len) };
    }
}

/// Copies some entries; a few of them without a call.
#[inline(always)]
unsafe fn copy<V: Vector>(from: *const V::Elem, to: *mut V::Elem, len: usize) {
    if len <= V::LANES {
        unsafe { V::load_pieces(from, len).store_pieces(to, len) };
    } else {
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
    }
}

/// A micro-op with its blocks: two pointers, which a call passes in registers.
struct Loop<'a, T> {
    op: &'a MicroOp,
    extent: &'a Extent<'a, T>,
}

/// The blocks of a program, shared by all its micro-ops.
pub(super) struct Extent<'a, T> {
    table: &'a [*mut T],
    /// The entries from one row to the next, for each place; used if there are several rows.
    strides: &'a [usize],
    rows: usize,
    /// The number of entries of a row.
    count: usize,
}

impl<V: Vector> Operands<V> for Loop<'_, V::Elem> {
    type Output = ();
    #[inline(always)]
    unsafe fn each<M: Micro<V::Elem>>(self, micro: M) {
        let each = Each { this: self, micro };
        // An operation of several arguments is cheap: a call would take as long as the work.
        // Unoptimised, the locals of all operations would add up in one frame.
        if cfg!(debug_assertions) || M::ARGS == 1 {
            V::outline(each);
        } else {
            each.run::<V>();
        }
    }
}

/// A micro-op on its blocks. Each elementary function is a separate function: inlined, they would
/// be most of the machine code of the library, and in a debug build their locals would take a
/// megabyte of one stack frame.
struct Each<'a, T, M> {
    this: Loop<'a, T>,
    micro: M,
}

impl<T: Element, M: Micro<T>> Kernel<T> for Each<'_, T, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        // SAFETY: guaranteed by the caller of `value`.
        unsafe { each::<V, M>(&self.this, self.micro) }
    }
}

impl<'a, T: Element + Scalar> Extent<'a, T> {
    /// The first `count` entries of each block.
    #[inline(always)]
    pub(super) const fn row(table: &'a [*mut T], count: usize) -> Self {
        Self {
            table,
            strides: &[],
            rows: 1,
            count,
        }
    }

    /// Runs some micro-ops in order.
    ///
    /// # Safety
    /// All places of the ops are valid for these entries.
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector<Elem = T>>(&self, ops: &[MicroOp]) {
        V::outline(Run { extent: self, ops });
    }
}

/// Micro-ops on the same blocks: one function for all callers.
struct Run<'a, T> {
    extent: &'a Extent<'a, T>,
    ops: &'a [MicroOp],
}

impl<T: Element + Scalar> Kernel<T> for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        for op in self.ops {
            let this = Loop {
                op,
                extent: self.extent,
            };
            // SAFETY: guaranteed by the caller of `Extent::run`.
            unsafe { value::<V, _>(op.code, this) };
        }
    }
}

/// Applies one micro-op to all entries of its blocks; the last vector of a row may be partial.
#[inline(always)]
unsafe fn each<V: Vector, M: Micro<V::Elem>>(this: &Loop<'_, V::Elem>, micro: M) {
    let Loop { op, extent } = this;
    let places = [op.from[0], op.from[1], op.from[2], op.to];
    let mut blocks = [std::ptr::null_mut(); 4];
    for (i, block) in blocks.iter_mut().enumerate() {
        *block = unsafe { *extent.table.get_unchecked(places[i] as usize) };
    }
    let mut left = extent.rows;
    loop {
        unsafe { row::<V, M>(blocks, extent.count, micro) };
        left -= 1;
        if left == 0 {
            return;
        }
        for (i, block) in blocks.iter_mut().enumerate() {
            let stride = unsafe { *extent.strides.get_unchecked(places[i] as usize) };
            *block = block.wrapping_add(stride);
        }
    }
}

/// Applies one micro-op to a row of three arguments and of the result.
#[inline(always)]
unsafe fn row<V: Vector, M: Micro<V::Elem>>(blocks: [*mut V::Elem; 4], count: usize, micro: M) {
    let [a, b, c, to] = blocks;
    let mut i = 0;
    macro_rules! vector {
        () => {
            unsafe {
                let x = V::load(a.add(i));
                let y = if M::ARGS > 1 { V::load(b.add(i)) } else { x };
                let z = if M::ARGS > 2 { V::load(c.add(i)) } else { x };
                micro.call(x, y, z).store(to.add(i));
            }
            i += V::LANES;
        };
    }
    // An operation of several arguments is cheap: counting would take as long as the work.
    while M::ARGS > 1 && i + 4 * V::LANES <= count {
        vector!();
        vector!();
        vector!();
        vector!();
    }
    while i + V::LANES <= count {
        vector!();
    }
    let rest = count - i;
    if rest > 0 {
        unsafe {
            let x = V::load_pieces(a.add(i), rest);
            let y = if M::ARGS > 1 {
                V::load_pieces(b.add(i), rest)
            } else {
                x
            };
            let z = if M::ARGS > 2 {
                V::load_pieces(c.add(i), rest)
            } else {
                x
            };
            micro.call(x, y, z).store_pieces(to.add(i), rest);
        }
    }
}
