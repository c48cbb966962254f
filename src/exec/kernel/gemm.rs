//! Matrix products: a row-major left-hand side times packed panels, and the product of two
//! row-major matrices over their common rows.
//!
//! Both compute each element of the result as one chain in a fixed order (see [`super::tile`]). So
//! a row has the same bits alone and among others, and a caller may divide the result among threads
//! in any way.

#![allow(
    unsafe_code,
    reason = "operands are pointers with strides, so that threads may share a result by rows; the \
              caller vouches for them"
)]

use std::ops::Range;

use super::pack::{self, Matrix, Panels};
use super::simd::MAX_LANES;
pub(crate) use super::tile::{Ahead, Segment, Start};
use super::tile::{Right, Strip, Target, blocks};
use super::{Element, Isa, Kernel, Vector};

/// The number of steps of `k` before the next panel or block: this much of a panel, and of a block
/// of the left-hand side, stays in the first-level cache.
const SEGMENT: usize = 256;

/// The number of bytes of each side that a product over common rows packs at a time.
const PACKED_BYTES: usize = 1 << 19;

/// The number of extra rows of panels in scratch memory, so that the starts of panels do not share
/// cache sets.
const SPARE: usize = 4;

/// The number of bytes of the left-hand side that are used for all panels before the next rows;
/// they stay in the second-level cache.
const LEFT_BYTES: usize = 1 << 18;

/// A right-hand side of fewer bytes is in the second-level cache anyway.
const NEAR_BYTES: usize = 1 << 19;

/// A left-hand side in cache with at most this many reads (panels times rows) is not packed.
const READ_IN_PLACE: usize = 512;

/// This many rows are one block on every instruction set.
const FEW_ROWS: usize = 4;

/// `C = A B` or `C = S + A B`: `m × k` times `k × n`, where the columns of `A` are in segments. `S`
/// may be `C` itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a, T> {
    /// Entry `(0, 0)` of the result, for any range of panels.
    pub(crate) c: *mut T,
    pub(crate) c_stride: usize,
    pub(crate) m: usize,
    /// The segments, with `k` columns together.
    pub(crate) a: &'a [Segment<T>],
    pub(crate) b: *const T,
    pub(crate) panels: Panels,
    /// The initial value of the result.
    pub(crate) start: Option<Start<T>>,
    /// The memory to prefetch meanwhile.
    pub(crate) ahead: Option<&'a Ahead<T>>,
}

impl<T: Element> Product<'_, T> {
    /// Computes the columns of a range of panels.
    ///
    /// # Safety
    /// `a` is valid for reading `m` rows, and its segments have the `k` columns of the panels
    /// together; `b` is valid for reading [`Panels::len`] elements, packed for this `isa`; `start`
    /// is valid for reading and `c` for writing `m` rows of the columns of the panels. Nothing else
    /// accesses `c` meanwhile, and it does not overlap the operands.
    #[inline(always)]
    pub(crate) unsafe fn run(&self, isa: Isa, panels: Range<usize>) {
        debug_assert_eq!(
            self.a.iter().map(|s| s.k).sum::<usize>(),
            self.panels.k,
            "the segments have a column for every row of the right-hand side"
        );
        debug_assert_eq!(
            self.panels,
            Panels::new::<T>(isa, self.panels.k, self.panels.n),
            "the panels were made for this instruction set"
        );
        let whole = Strip {
            a: self.a,
            first_row: 0,
            rows: self.m,
            b: Right {
                ptr: self.b,
                panels: self.panels,
                k: 0,
            },
            panels,
            c: Target {
                ptr: self.c,
                stride: self.c_stride,
                start: self.start,
            },
            fetch: (self.panels.len() * size_of::<T>() > NEAR_BYTES).then_some(0),
            ahead: self.ahead,
        };
        if (1..=FEW_ROWS).contains(&self.m) {
            isa.dispatch(&whole);
        } else {
            isa.dispatch(ManyRows(&whole));
        }
    }
}

impl<T: Element> Product<'_, T> {
    /// Computes all columns of a single row, within a kernel.
    ///
    /// # Safety
    /// As for [`run`](Self::run), with one row.
    #[inline(always)]
    pub(crate) unsafe fn run_one<V: Vector<Elem = T>>(&self) {
        let strip = Strip {
            a: self.a,
            first_row: 0,
            rows: 1,
            b: Right {
                ptr: self.b,
                panels: self.panels,
                k: 0,
            },
            panels: 0..self.panels.count(),
            c: Target {
                ptr: self.c,
                stride: self.c_stride,
                start: self.start,
            },
            fetch: None,
            ahead: None,
        };
        // SAFETY: the caller guarantees the operands.
        unsafe { strip.run::<V>() };
    }
}

/// A strip of any number of rows, guaranteed by the caller of [`Product::run`].
struct ManyRows<'a, T>(&'a Strip<'a, T>);

impl<T: Element> Kernel<T> for ManyRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let whole = self.0;
        let k = whole.b.panels.k;
        // With one block of rows, each panel is used once and read from its first row to its last.
        if whole.rows <= V::ROWS {
            // SAFETY: guaranteed by the caller of `Product::run`.
            unsafe { blockwise::<V>(whole) };
            return;
        }
        let most = (LEFT_BYTES / size_of::<T>() / k.max(1)).max(4 * V::ROWS);
        for (first_row, rows) in blocks(whole.rows, most) {
            let c = whole.c.below(first_row);
            let part = Strip {
                first_row,
                rows,
                c,
                ..whole.clone()
            };
            // SAFETY: the rows are some of the whole, guaranteed by the caller of `Product::run`.
            unsafe { panelwise::<V>(&part) };
        }
    }
}

/// Computes a strip of any number of rows, one panel after the other.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn panelwise<V: Vector>(whole: &Strip<'_, V::Elem>) {
    for panel in whole.panels.clone() {
        let mut strip = Strip {
            panels: panel..panel + 1,
            ..whole.clone()
        };
        // SAFETY: these are parts of the whole.
        unsafe {
            if whole.b.panels.k <= SEGMENT {
                blockwise::<V>(&strip);
                continue;
            }
            for segment in whole.a {
                for part in segment.cut(SEGMENT) {
                    blockwise::<V>(&Strip {
                        a: &[part],
                        ..strip.clone()
                    });
                    strip.b.k += part.k;
                    strip.c = strip.c.in_place();
                }
            }
        }
    }
}

/// Computes a strip of any number of rows, one block of rows after the other.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn blockwise<V: Vector>(whole: &Strip<'_, V::Elem>) {
    // The number of blocks of rows that prefetch all of the next memory.
    let parts = 2 * V::LANES / V::LINE;
    for (i, (row, rows)) in blocks(whole.rows, V::ROWS).enumerate() {
        let first_row = whole.first_row + row;
        let c = whole.c.below(row);
        // SAFETY: the rows are some of the whole.
        unsafe {
            Strip {
                first_row,
                rows,
                c,
                fetch: whole.fetch.filter(|_| i < parts).map(|_| i),
                ..whole.clone()
            }
            .run::<V>();
        };
    }
}

/// Some columns of a row-major matrix: entry `(i, j)` is at `ptr + i · stride + j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<T> {
    pub(crate) ptr: *const T,
    pub(crate) stride: usize,
    pub(crate) columns: usize,
}

/// `C = Aᵀ B` or `C += Aᵀ B`: `rows × m` and `rows × n`, where the columns of both are in segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverRows<'a, T> {
    pub(crate) c: *mut T,
    pub(crate) c_stride: usize,
    /// Adjacent segments with `m` columns together.
    pub(crate) a: &'a [Columns<T>],
    /// Adjacent segments with `n` columns together.
    pub(crate) b: &'a [Columns<T>],
    pub(crate) rows: usize,
    /// True if the product is added to `c`.
    pub(crate) accumulate: bool,
}

impl<T: Element> OverRows<'_, T> {
    /// The number of elements of scratch memory that [`run`](Self::run) needs for `m` columns of
    /// `A` and `n` of `B`.
    pub(crate) fn scratch(m: usize, n: usize) -> usize {
        let transposed = if n <= NARROW { m * n } else { 0 };
        panel_space::<T>(m) + panel_space::<T>(n) + transposed
    }

    /// Computes the product.
    ///
    /// # Safety
    /// `a` and `b` are valid for reading `rows` rows. `c` is valid for reading and writing as many
    /// rows as `a` has columns, of as many columns as `b` has. Nothing else accesses `c` meanwhile,
    /// and it does not overlap the operands.
    ///
    /// # Panics
    /// If the scratch memory is smaller than [`scratch`](Self::scratch).
    pub(crate) unsafe fn run(&self, isa: Isa, scratch: &mut [T]) {
        let [m, n] = [self.a, self.b].map(total);
        assert!(
            scratch.len() >= Self::scratch(m, n),
            "the scratch space is as large as was asked for"
        );
        isa.dispatch(RunOverRows(self, scratch.as_mut_ptr()));
    }
}

/// The number of columns that are packed at once.
const fn at_once<T>() -> usize {
    PACKED_BYTES / SEGMENT / size_of::<T>()
}

/// The maximum number of columns of a result that is computed transposed.
const NARROW: usize = MAX_LANES / 2;

/// The number of elements of the panels of one side, of `2 · LANES` or `ROWS` columns each.
fn panel_space<T>(columns: usize) -> usize {
    (columns.min(at_once::<T>()) + 2 * MAX_LANES) * (SEGMENT + SPARE)
}

/// The number of columns of adjacent segments.
fn total<T>(segments: &[Columns<T>]) -> usize {
    segments.iter().map(|s| s.columns).sum()
}

/// A product guaranteed by the caller of [`OverRows::run`].
struct RunOverRows<'a, T>(&'a OverRows<'a, T>, *mut T);

impl<T: Element> Kernel<T> for RunOverRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let Self(p, scratch) = self;
        let [m, n] = [p.a, p.b].map(total);
        // SAFETY: the scratch memory was checked; the caller of `OverRows::run` guarantees the
        // rest.
        unsafe {
            if n >= m || n > NARROW.min(V::LANES / 2) {
                over_rows::<V>(p, scratch);
                return;
            }
            // A result of few columns is computed transposed; otherwise most lanes would be idle.
            let space = scratch.add(panel_space::<T>(m) + panel_space::<T>(n));
            let swapped = OverRows {
                c: space,
                c_stride: m,
                a: p.b,
                b: p.a,
                ..*p
            };
            if p.accumulate {
                transpose((p.c, p.c_stride), (space, m), (m, n));
            }
            over_rows::<V>(&swapped, scratch);
            transpose((space, m), (p.c, p.c_stride), (n, m));
        }
    }
}

/// Writes the transpose of an `m × n` matrix. Both matrices are given by their first entries and
/// row strides.
///
/// # Safety
/// The first is valid for reading, the second for writing; they do not overlap.
#[inline(always)]
unsafe fn transpose<T: Copy>(from: (*mut T, usize), to: (*mut T, usize), (m, n): (usize, usize)) {
    for i in 0..m {
        for j in 0..n {
            // SAFETY: `(i, j)` is an entry of the first matrix, `(j, i)` an entry of the second.
            unsafe { *to.0.add(j * to.1 + i) = *from.0.add(i * from.1 + j) };
        }
    }
}

/// [`OverRows::run`] within a kernel, with the left-hand side in the rows of the result.
///
/// # Safety
/// As for [`OverRows::run`]; the scratch memory has room for the panels of both sides.
#[inline(always)]
unsafe fn over_rows<V: Vector>(p: &OverRows<'_, V::Elem>, scratch: *mut V::Elem) {
    let most = at_once::<V::Elem>();
    let [m, n] = [p.a, p.b].map(total);
    // A product over no rows is zero.
    for top in (0..p.rows.max(1)).step_by(SEGMENT) {
        let k = SEGMENT.min(p.rows - top);
        for left in (0..n).step_by(most) {
            // SAFETY: guaranteed by the caller.
            unsafe {
                let columns = most.min(n - left);
                let b = pack_columns::<V>(p.b, (top, k), (left, columns), 2 * V::LANES, scratch);
                let c = Target {
                    ptr: p.c.add(left),
                    stride: p.c_stride,
                    start: None,
                };
                let c = if p.accumulate || top > 0 {
                    c.in_place()
                } else {
                    c
                };
                let is_near = m * k * size_of::<V::Elem>() <= LEFT_BYTES;
                if b.panels.count() == 1 || is_near && b.panels.count() * k <= READ_IN_PLACE {
                    unpacked::<V>(p.a, (top, k), b, c);
                    continue;
                }
                let space = scratch.add(panel_space::<V::Elem>(n));
                for first in (0..m).step_by(most) {
                    let rows = most.min(m - first);
                    let a = pack_columns::<V>(p.a, (top, k), (first, rows), V::ROWS, space);
                    packed::<V>(a, b, k, c.below(first));
                }
            }
        }
    }
}

/// Packs rows `top .. top + k` and columns `left .. left + n` of adjacent segments.
///
/// # Safety
/// The segments are valid for reading these rows, `space` for writing the panels.
#[inline(always)]
unsafe fn pack_columns<V: Vector>(
    segments: &[Columns<V::Elem>],
    (top, k): (usize, usize),
    (left, n): (usize, usize),
    width: usize,
    space: *mut V::Elem,
) -> Right<V::Elem> {
    let panels = Panels {
        k: k + SPARE,
        n,
        width,
    };
    let mut first = 0;
    for segment in segments {
        let from = left.max(first);
        let to = (left + n).min(first + segment.columns);
        if from < to {
            // SAFETY: columns `from..to` of the whole are columns of this segment.
            unsafe {
                let src = Matrix {
                    ptr: segment.ptr.add(top * segment.stride + from - first),
                    rows: k,
                    columns: to - from,
                    row_stride: segment.stride,
                    column_stride: 1,
                };
                pack::pack::<V>(panels, space, (0, from - left), src);
            }
        }
        first += segment.columns;
    }
    Right {
        ptr: space.cast_const(),
        panels,
        k: 0,
    }
}

/// Computes the product of rows `top .. top + k` of segments with a few panels, without packing the
/// left-hand side, which is read only once or twice.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn unpacked<V: Vector>(
    segments: &[Columns<V::Elem>],
    (top, k): (usize, usize),
    b: Right<V::Elem>,
    mut c: Target<V::Elem>,
) {
    for columns in segments {
        let segment = Segment {
            ptr: columns.ptr.wrapping_add(top * columns.stride),
            row: 1,
            step: columns.stride,
            k,
        };
        let strip = Strip {
            a: &[segment],
            first_row: 0,
            rows: columns.columns,
            b,
            panels: 0..b.panels.count(),
            c,
            fetch: None,
            ahead: None,
        };
        // SAFETY: the columns of the segment are rows of the result.
        unsafe { blockwise::<V>(&strip) };
        c = c.below(columns.columns);
    }
}

/// Computes the product of two packed sides over `k` steps: for each panel of the left-hand side,
/// all panels of the right-hand side.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn packed<V: Vector>(left: Right<V::Elem>, b: Right<V::Elem>, k: usize, c: Target<V::Elem>) {
    for panel in 0..left.panels.count() {
        let row = panel * V::ROWS;
        let segment = Segment {
            ptr: left.ptr.wrapping_add(panel * left.panels.stride()),
            row: 1,
            step: V::ROWS,
            k,
        };
        let strip = Strip {
            a: &[segment],
            first_row: 0,
            rows: V::ROWS.min(left.panels.n - row),
            b,
            panels: 0..b.panels.count(),
            c: c.below(row),
            fetch: None,
            ahead: None,
        };
        // SAFETY: the rows from `row` on are the rows of the panel.
        unsafe { strip.run::<V>() };
    }
}
