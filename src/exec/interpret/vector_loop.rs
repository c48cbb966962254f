//! A loop over time of a single row whose values each fit one vector.
//!
//! With few entries, most of the time is spent between the operations: on finding operands, and on
//! waiting for vectors that were stored in parts. Here every value has a slot, a whole vector at a
//! fixed address. A value computed in a step, or carried to the next, is read from its slot as it
//! was stored. Other memory is accessed only for values from outside the loop and values that are
//! kept.

#![allow(
    unsafe_code,
    reason = "slots and operands are reached through pointers, which the caller vouches for"
)]

use super::micro_op::{Micro, Operands, value};
use super::steps::Cursor;
use crate::exec::kernel::{Element, Isa, Kernel, Vector};
use crate::op::Scalar;
use crate::plan::Code;

/// The maximum number of vectors that one product computes at a time.
pub(crate) const PIECES: usize = 4;

/// A value to load from memory into its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<T> {
    pub(crate) from: Cursor<T>,
    /// True if one entry is broadcast to the whole slot.
    pub(crate) spread: bool,
    pub(crate) to: *mut T,
}

/// The operation of an op.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    /// A micro-op on whole vectors.
    Micro(Code),
    /// A load from memory, for a value that was assembled there.
    Load,
    /// A broadcast of a single entry.
    Spread,
    /// The sum of `terms` numbers, each times a row of a matrix of `pieces` vectors.
    Product {
        first_term: usize,
        terms: usize,
        first_piece: usize,
        pieces: usize,
        /// True if there is an initial value.
        starts: bool,
    },
}

/// One operation of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorOp<T> {
    pub(crate) operation: Operation,
    /// The slots of the arguments; for a product, the matrix.
    pub(crate) from: [*const T; 3],
    pub(crate) to: *mut T,
    /// The memory of the value.
    pub(crate) memory: Cursor<T>,
}

/// One vector of the result of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<T> {
    /// The slot of the initial value, if any; it may be `slot`.
    pub(crate) start: *const T,
    pub(crate) slot: *mut T,
    pub(crate) memory: Cursor<T>,
}

/// The loop.
pub(crate) struct VectorLoop<'a, T> {
    /// The loads before the first step: constants, and initial values.
    pub(crate) before: &'a [Load<T>],
    /// The loads at the start of every step.
    pub(crate) loads: &'a [Load<T>],
    pub(crate) ops: &'a [VectorOp<T>],
    pub(crate) terms: &'a [*const T],
    pub(crate) pieces: &'a [Piece<T>],
    /// The slots copied at the end of a step, from the first to the second.
    pub(crate) carried: &'a [(*const T, *mut T)],
    /// The step whose operands have the values before the first step.
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) forward: bool,
}

impl<T: Element + Scalar> VectorLoop<'_, T> {
    /// Runs all steps.
    ///
    /// # Safety
    /// The operands are valid at every step and have at most as many entries as a vector has lanes;
    /// the slots have the size of a vector; nothing else accesses the memory that is written.
    pub(crate) unsafe fn run(self, isa: Isa) {
        isa.dispatch(self);
    }
}

impl<T: Element + Scalar> Kernel<T> for VectorLoop<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let count = self.end - self.first;
        let nth = |i: usize| {
            if self.forward {
                self.first + i
            } else {
                self.end - 1 - i
            }
        };
        // SAFETY: guaranteed by the caller of `VectorLoop::run`.
        unsafe {
            for load in self.before {
                bring::<V>(load, nth(0));
            }
            for i in 0..count {
                let step = nth(i);
                for load in self.loads {
                    bring::<V>(load, step);
                }
                for op in self.ops {
                    self.op::<V>(op, step);
                }
                for (from, to) in self.carried {
                    V::load(*from).store(*to);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn bring<V: Vector>(load: &Load<V::Elem>, step: usize) {
    let from = load.from.at(step);
    unsafe {
        let x = if load.spread {
            V::splat(*from)
        } else {
            V::load_partial(from, load.from.len)
        };
        x.store(load.to);
    }
}

/// A micro-op on one vector of each argument.
struct Slots<T>([*const T; 3]);

impl<V: Vector> Operands<V> for Slots<V::Elem> {
    type Output = V;
    #[inline(always)]
    unsafe fn each<M: Micro<V::Elem>>(self, micro: M) -> V {
        let [a, b, c] = self.0;
        unsafe {
            let x = V::load(a);
            let y = if M::ARGS > 1 { V::load(b) } else { x };
            let z = if M::ARGS > 2 { V::load(c) } else { x };
            micro.call(x, y, z)
        }
    }
}

impl<T: Element + Scalar> VectorLoop<'_, T> {
    #[inline(always)]
    unsafe fn op<V: Vector<Elem = T>>(&self, op: &VectorOp<T>, step: usize) {
        unsafe {
            let y = match op.operation {
                Operation::Micro(code) => value::<V, _>(code, Slots(op.from)),
                Operation::Load => {
                    let y = V::load_pieces(op.memory.at(step), op.memory.len);
                    return y.store(op.to);
                }
                Operation::Spread => return V::splat(*op.from[0]).store(op.to),
                Operation::Product {
                    first_term,
                    terms,
                    first_piece,
                    pieces,
                    starts,
                } => {
                    let terms = self.terms.get_unchecked(first_term..first_term + terms);
                    let to = self.pieces.get_unchecked(first_piece..first_piece + pieces);
                    let matrix = op.from[0];
                    return match pieces {
                        1 => product::<V, 1>(terms, matrix, to, starts, step),
                        2 => product::<V, 2>(terms, matrix, to, starts, step),
                        3 => product::<V, 3>(terms, matrix, to, starts, step),
                        _ => product::<V, PIECES>(terms, matrix, to, starts, step),
                    };
                }
            };
            y.store(op.to);
            if op.memory.len > 0 {
                y.store_pieces(op.memory.at(step), op.memory.len);
            }
        }
    }
}

/// Computes some pieces of a product. Each entry is one chain over the terms, as in every other
/// product.
#[inline(always)]
unsafe fn product<V: Vector, const N: usize>(
    terms: &[*const V::Elem],
    mut matrix: *const V::Elem,
    to: &[Piece<V::Elem>],
    starts: bool,
    step: usize,
) {
    unsafe {
        let mut sums = [V::splat(V::Elem::ZERO); N];
        if starts {
            for (i, piece) in to.iter().enumerate().take(N) {
                sums[i] = V::load(piece.start);
            }
        }
        for term in terms {
            let x = V::splat(**term);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = x.mul_add(V::load(matrix.add(i * V::LANES)), *sum);
            }
            matrix = matrix.add(N * V::LANES);
        }
        for (i, piece) in to.iter().enumerate().take(N) {
            sums[i].store(piece.slot);
            if piece.memory.len > 0 {
                sums[i].store_pieces(piece.memory.at(step), piece.memory.len);
            }
        }
    }
}
