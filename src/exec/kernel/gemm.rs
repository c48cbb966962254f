//! Matrix products: a row-major left-hand side times packed panels, and the product of two
//! row-major matrices over their common rows.
//!
//! Both compute every element of the result as one chain in a fixed order (see [`super::tile`]), so
//! that a row has the same bits alone and among others, and a caller may cut the result among
//! threads as it likes.

#![allow(
    unsafe_code,
    reason = "operands are pointers with strides, so that threads may share a result by rows; the \
              caller vouches for them"
)]

use std::ops::Range;

use super::pack::{self, Matrix, Panels};
use super::simd::MAX_LANES;
pub(crate) use super::tile::{Ahead, Start, Stretch};
use super::tile::{Right, Strip, Target, blocks};
use super::{Element, Isa, Kernel, Vector};

/// How many steps of `k` are done before the next panel's or block's turn: so much of a panel, and
/// of a block of the left-hand side, stays in the first-level cache.
const STRETCH: usize = 256;

/// How many bytes of each side a product over common rows packs at a time.
const PACKED_BYTES: usize = 1 << 19;

/// The rows by which panels in scratch space are longer than what is in them, so that their
/// beginnings do not compete for the same places of a cache.
const SPARE: usize = 4;

/// How many bytes of the left-hand side are used for all panels before the rows below: they stay
/// in the second-level cache.
const LEFT_BYTES: usize = 1 << 18;

/// Right-hand sides that are smaller are in the second-level cache anyway.
const NEAR_BYTES: usize = 1 << 19;

/// A left-hand side that stays in cache and is read no more often than this, counted in panels times
/// rows, is not packed first.
const READ_IN_PLACE: usize = 512;

/// So few rows are one block on every instruction set.
const FEW_ROWS: usize = 4;

/// `C = A B` or `C = S + A B`: `m × k` times `k × n`, where the columns of `A` come in segments. `S` may
/// be `C` itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a, T> {
    /// Entry `(0, 0)` of the result, whichever panels are computed.
    pub(crate) c: *mut T,
    pub(crate) c_stride: usize,
    pub(crate) m: usize,
    /// Segments that have `k` columns together.
    pub(crate) a: &'a [Stretch<T>],
    pub(crate) b: *const T,
    pub(crate) panels: Panels,
    /// What the products are added to.
    pub(crate) start: Option<Start<T>>,
    /// What is fetched meanwhile.
    pub(crate) ahead: Option<&'a Ahead<T>>,
}

impl<T: Element> Product<'_, T> {
    /// Compute the columns of a range of panels.
    ///
    /// # Safety
    /// `a` is valid for reading `m` rows and has the `k` of the panels together; `b` is valid for
    /// reading [`Panels::len`] elements, packed for this `isa`; `start` is valid for reading and `c`
    /// for writing `m` rows of the panels' columns, which no one else touches meanwhile, and which
    /// overlap neither operand.
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
    /// Compute all columns of a single row, from within a kernel.
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
        // SAFETY: the caller vouches for the operands.
        unsafe { strip.run::<V>() };
    }
}

/// A strip of any number of rows, which the caller of [`Product::run`] has vouched for.
struct ManyRows<'a, T>(&'a Strip<'a, T>);

impl<T: Element> Kernel<T> for ManyRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let whole = self.0;
        let k = whole.b.panels.k;
        // With one block of rows every panel is used once, and read from its first row to its last.
        if whole.rows <= V::ROWS {
            // SAFETY: the caller of `Product::run` vouches for it.
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
            // SAFETY: the rows are some of the whole, which the caller of `Product::run` vouches for.
            unsafe { panelwise::<V>(&part) };
        }
    }
}

/// A strip of any number of rows, one panel after the other.
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
            if whole.b.panels.k <= STRETCH {
                blockwise::<V>(&strip);
                continue;
            }
            for segment in whole.a {
                for stretch in segment.cut(STRETCH) {
                    blockwise::<V>(&Strip {
                        a: &[stretch],
                        ..strip.clone()
                    });
                    strip.b.k += stretch.k;
                    strip.c = strip.c.in_place();
                }
            }
        }
    }
}

/// A strip of any number of rows, one block of rows after the other.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn blockwise<V: Vector>(whole: &Strip<'_, V::Elem>) {
    // So many blocks of rows fetch the whole of what comes next.
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

/// Some columns of a row-major matrix: entry `(i, j)` lies at `ptr + i · stride + j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<T> {
    pub(crate) ptr: *const T,
    pub(crate) stride: usize,
    pub(crate) columns: usize,
}

/// `C = Aᵀ B` or `C += Aᵀ B`: `rows × m` and `rows × n`, where the columns of both come in segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverRows<'a, T> {
    pub(crate) c: *mut T,
    pub(crate) c_stride: usize,
    /// Segments side by side, `m` columns together.
    pub(crate) a: &'a [Columns<T>],
    /// Segments side by side, `n` columns together.
    pub(crate) b: &'a [Columns<T>],
    pub(crate) rows: usize,
    /// Whether the result is added to.
    pub(crate) accumulate: bool,
}

impl<T: Element> OverRows<'_, T> {
    /// The elements of scratch space that [`run`](Self::run) needs for `m` columns of `A` and `n`
    /// of `B`.
    pub(crate) fn scratch(m: usize, n: usize) -> usize {
        let transposed = if n <= NARROW { m * n } else { 0 };
        panel_space::<T>(m) + panel_space::<T>(n) + transposed
    }

    /// Compute the product.
    ///
    /// # Safety
    /// `a` and `b` are valid for reading `rows` rows, `c` for reading and writing as many rows as
    /// `a` has columns, of as many columns as `b` has, which no one else touches meanwhile, and
    /// which overlap neither operand.
    ///
    /// # Panics
    /// When the scratch space is smaller than [`scratch`](Self::scratch) says.
    pub(crate) unsafe fn run(&self, isa: Isa, scratch: &mut [T]) {
        let [m, n] = [self.a, self.b].map(total);
        assert!(
            scratch.len() >= Self::scratch(m, n),
            "the scratch space is as large as was asked for"
        );
        isa.dispatch(RunOverRows(self, scratch.as_mut_ptr()));
    }
}

/// How many columns are packed at once.
const fn at_once<T>() -> usize {
    PACKED_BYTES / STRETCH / size_of::<T>()
}

/// The most columns that a result has to be computed transposed.
const NARROW: usize = MAX_LANES / 2;

/// The elements that the panels of one side take, of `2 · LANES` or `ROWS` columns each.
fn panel_space<T>(columns: usize) -> usize {
    (columns.min(at_once::<T>()) + 2 * MAX_LANES) * (STRETCH + SPARE)
}

/// The columns of segments side by side.
fn total<T>(segments: &[Columns<T>]) -> usize {
    segments.iter().map(|s| s.columns).sum()
}

/// A product that the caller of [`OverRows::run`] has vouched for.
struct RunOverRows<'a, T>(&'a OverRows<'a, T>, *mut T);

impl<T: Element> Kernel<T> for RunOverRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let Self(p, scratch) = self;
        let [m, n] = [p.a, p.b].map(total);
        // SAFETY: the scratch space was checked, the caller of `OverRows::run` vouches for the rest.
        unsafe {
            if n >= m || n > NARROW.min(V::LANES / 2) {
                over_rows::<V>(p, scratch);
                return;
            }
            // A result of few columns is computed transposed, or most lanes would be idle.
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

/// Write an `m × n` matrix as an `n × m` one, given by their beginnings and row strides.
///
/// # Safety
/// The first is valid for reading, the second for writing; they do not overlap.
#[inline(always)]
unsafe fn transpose<T: Copy>(from: (*mut T, usize), to: (*mut T, usize), (m, n): (usize, usize)) {
    for i in 0..m {
        for j in 0..n {
            // SAFETY: `(i, j)` is an entry of the first matrix, `(j, i)` one of the second.
            unsafe { *to.0.add(j * to.1 + i) = *from.0.add(i * from.1 + j) };
        }
    }
}

/// [`OverRows::run`] for a kernel, with the left-hand side in the rows of the result.
///
/// # Safety
/// As there; the scratch space has room for the panels of both sides.
#[inline(always)]
unsafe fn over_rows<V: Vector>(p: &OverRows<'_, V::Elem>, scratch: *mut V::Elem) {
    let most = at_once::<V::Elem>();
    let [m, n] = [p.a, p.b].map(total);
    // A product over no rows is zero.
    for top in (0..p.rows.max(1)).step_by(STRETCH) {
        let k = STRETCH.min(p.rows - top);
        for left in (0..n).step_by(most) {
            // SAFETY: the caller vouches for it.
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

/// Pack rows `top .. top + k` and columns `left .. left + n` of segments side by side.
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

/// The product of rows `top .. top + k` of segments with a few panels: what is read once or twice
/// need not be packed.
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
    for segment in segments {
        let stretch = Stretch {
            ptr: segment.ptr.wrapping_add(top * segment.stride),
            row: 1,
            step: segment.stride,
            k,
        };
        let strip = Strip {
            a: &[stretch],
            first_row: 0,
            rows: segment.columns,
            b,
            panels: 0..b.panels.count(),
            c,
            fetch: None,
            ahead: None,
        };
        // SAFETY: the columns of the segment are rows of the result.
        unsafe { blockwise::<V>(&strip) };
        c = c.below(segment.columns);
    }
}

/// The product of two packed sides over `k` steps: all panels of the result for one panel of the
/// left-hand side after the other.
///
/// # Safety
/// As for [`Strip::run`].
#[inline(always)]
unsafe fn packed<V: Vector>(left: Right<V::Elem>, b: Right<V::Elem>, k: usize, c: Target<V::Elem>) {
    for panel in 0..left.panels.count() {
        let row = panel * V::ROWS;
        let stretch = Stretch {
            ptr: left.ptr.wrapping_add(panel * left.panels.stride()),
            row: 1,
            step: V::ROWS,
            k,
        };
        let strip = Strip {
            a: &[stretch],
            first_row: 0,
            rows: V::ROWS.min(left.panels.n - row),
            b,
            panels: 0..b.panels.count(),
            c: c.below(row),
            fetch: None,
            ahead: None,
        };
        // SAFETY: the rows from `row` on are those of the panel.
        unsafe { strip.run::<V>() };
    }
}
