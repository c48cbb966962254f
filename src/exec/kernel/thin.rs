//! Sums of outer products with a short factor: the result stays in registers, and the rows are read
//! in place.
//!
//! Each element is one chain of fused multiply-adds over the rows, as in every other product.

#![allow(
    unsafe_code,
    reason = "rows are read through pointers with strides, which the caller vouches for"
)]

use super::gemm::Columns;
use super::{Element, Kernel, Vector};

/// The maximum number of entries of the shorter factor.
const SHORT: usize = 4;

/// The maximum number of entries of the longer factor: for longer ones, other kernels make better
/// use of the cache.
const LONG: usize = 64;

/// `C += Σ a bᵀ` over rows of two factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thin<T> {
    c: *mut T,
    /// The distance between entries of the result, along the longer and along the shorter factor.
    strides: [usize; 2],
    long: Columns<T>,
    short: Columns<T>,
    rows: usize,
}

impl<T: Element> Thin<T> {
    /// The sum of `rows` outer products, added to `c` with rows `c_stride` apart; `None` if the
    /// factors are too long. The caller that runs it guarantees that the factors are valid for reading,
    /// that `c` is valid for writing, and that nothing else accesses `c` meanwhile.
    pub(crate) fn of(
        (a, b): (Columns<T>, Columns<T>),
        (c, c_stride): (*mut T, usize),
        rows: usize,
    ) -> Option<Self> {
        let (long, short, strides) = if a.columns > b.columns {
            (a, b, [c_stride, 1])
        } else {
            (b, a, [1, c_stride])
        };
        (short.columns <= SHORT && long.columns <= LONG).then_some(Self {
            c,
            strides,
            long,
            short,
            rows,
        })
    }

    /// Computes some vectors of the longer factor times the whole shorter factor.
    #[inline(always)]
    unsafe fn block<V: Vector<Elem = T>, const VECTORS: usize, const ENTRIES: usize>(
        &self,
        first: usize,
    ) {
        let mut sums = [[V::splat(T::ZERO); ENTRIES]; VECTORS];
        let last = (self.long.columns - first - (VECTORS - 1) * V::LANES).min(V::LANES);
        unsafe {
            self.exchange::<V, VECTORS, ENTRIES, false>(first, &mut sums);
            let (mut long, mut short) = (self.long.ptr.add(first), self.short.ptr);
            for _ in 0..self.rows {
                let mut x = [V::splat(T::ZERO); VECTORS];
                for (i, x) in x.iter_mut().enumerate() {
                    *x = if i + 1 < VECTORS {
                        V::load(long.add(i * V::LANES))
                    } else {
                        V::load_partial(long.add(i * V::LANES), last)
                    };
                }
                for j in 0..ENTRIES {
                    let y = V::splat(*short.add(j));
                    for (i, sums) in sums.iter_mut().enumerate() {
                        sums[j] = y.mul_add(x[i], sums[j]);
                    }
                }
                long = long.wrapping_add(self.long.stride);
                short = short.wrapping_add(self.short.stride);
            }
            self.exchange::<V, VECTORS, ENTRIES, true>(first, &mut sums);
        }
    }

    /// Loads the result from memory, or stores it if `STORE`.
    #[inline(always)]
    unsafe fn exchange<
        V: Vector<Elem = T>,
        const VECTORS: usize,
        const ENTRIES: usize,
        const STORE: bool,
    >(
        &self,
        first: usize,
        sums: &mut [[V; ENTRIES]; VECTORS],
    ) {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                let start = first + i * V::LANES;
                let count = V::LANES.min(self.long.columns - start);
                let mut lanes = sum.to_array();
                for (l, lane) in lanes.iter_mut().take(count).enumerate() {
                    let at = (start + l) * self.strides[0] + j * self.strides[1];
                    // SAFETY: `at` is an entry of the result.
                    unsafe {
                        if STORE {
                            *self.c.add(at) = *lane;
                        } else {
                            *lane = *self.c.add(at);
                        }
                    }
                }
                // SAFETY: no vector has more lanes than the array.
                *sum = unsafe { V::load(lanes.as_ptr()) };
            }
        }
    }
}

impl<T: Element> Kernel<T> for Thin<T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let mut first = 0;
        while first < self.long.columns {
            let two = self.long.columns - first > V::LANES;
            // SAFETY: guaranteed by the maker.
            unsafe {
                match (two, self.short.columns) {
                    (false, 1) => self.block::<V, 1, 1>(first),
                    (false, 2) => self.block::<V, 1, 2>(first),
                    (false, 3) => self.block::<V, 1, 3>(first),
                    (false, _) => self.block::<V, 1, SHORT>(first),
                    (true, 1) => self.block::<V, 2, 1>(first),
                    (true, 2) => self.block::<V, 2, 2>(first),
                    (true, 3) => self.block::<V, 2, 3>(first),
                    (true, _) => self.block::<V, 2, SHORT>(first),
                }
            }
            first += (1 + usize::from(two)) * V::LANES;
        }
    }
}
