//! The innermost loops of matrix products: a few rows of the result, held in registers.
//!
//! Each element of a result is one chain of fused multiply-adds over `k`, from the first to the
//! last, that starts at a given value or at zero. A chain may be stored in memory between two
//! segments of `k`. So its bits depend only on the numbers, and not on the number of rows, the
//! position of the row, the division of the work, or the instruction set. The parallelism that
//! hides the latency of an addition comes from several rows or columns, never from a division of
//! `k`.

#![allow(
    unsafe_code,
    reason = "operands are read through pointers with strides, which the caller vouches for"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;

use super::pack::Panels;
use super::{Element, Kernel, Vector};

/// A segment of a left-hand side: entry `(i, l)` is at `ptr + i · row + l · step`, `l < k`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<T> {
    pub(super) ptr: *const T,
    pub(super) row: usize,
    pub(super) step: usize,
    pub(super) k: usize,
}

impl<T> Segment<T> {
    /// `k` columns of a row-major matrix whose rows are `stride` apart.
    pub(crate) fn columns(ptr: *const T, stride: usize, k: usize) -> Self {
        let row = stride;
        Self {
            ptr,
            row,
            step: 1,
            k,
        }
    }

    /// Divides the segment into parts of at most `most` steps.
    #[inline(always)]
    pub(super) fn cut(self, most: usize) -> impl Iterator<Item = Self> {
        (0..self.k).step_by(most).map(move |l| Self {
            ptr: self.ptr.wrapping_add(l * self.step),
            k: most.min(self.k - l),
            ..self
        })
    }
}

/// The initial values of a result: entry `(i, j)` is at `ptr + i · stride + j`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<T> {
    pub(crate) ptr: *const T,
    /// Zero if all rows have the same initial values.
    pub(crate) stride: usize,
}

/// The memory of the result, and its initial values; `None` is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<T> {
    pub(super) ptr: *mut T,
    pub(super) stride: usize,
    pub(super) start: Option<Start<T>>,
}

impl<T> Target<T> {
    /// The result from a row on.
    #[inline(always)]
    pub(super) fn below(self, row: usize) -> Self {
        let start = self.start.map(|start| Start {
            ptr: start.ptr.wrapping_add(row * start.stride),
            ..start
        });
        Self {
            ptr: self.ptr.wrapping_add(row * self.stride),
            start,
            ..self
        }
    }

    /// The result from a column on.
    #[inline(always)]
    fn right(self, column: usize) -> Self {
        let start = self.start.map(|start| Start {
            ptr: start.ptr.wrapping_add(column),
            ..start
        });
        Self {
            ptr: self.ptr.wrapping_add(column),
            start,
            ..self
        }
    }

    /// The result, with its current values as initial values.
    #[inline(always)]
    pub(super) fn in_place(self) -> Self {
        let start = Some(Start {
            ptr: self.ptr.cast_const(),
            stride: self.stride,
        });
        Self { start, ..self }
    }
}

/// The right-hand side: panels from row `k` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right<T> {
    pub(super) ptr: *const T,
    pub(super) panels: Panels,
    /// The row at which the first segment starts.
    pub(super) k: usize,
}

/// The number of rows of a left-hand side that are addressed from one pointer: at 0, 1, 2 and 3
/// times the distance of two rows, which an instruction adds by itself.
const GROUP: usize = 4;

/// The number of groups in the maximum number of rows that registers hold.
const GROUPS: usize = 3;

/// Memory that is prefetched during products, because the next step of a loop reads or writes it
/// and no step has accessed it recently.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    regions: Vec<(*const T, usize)>,
    /// The current region, and the number of its elements already prefetched.
    at: Cell<(usize, usize)>,
}

impl<T: Element> Ahead<T> {
    /// Memory for this many regions.
    pub(crate) fn with_capacity(regions: usize) -> Self {
        Self {
            regions: Vec::with_capacity(regions),
            at: Cell::default(),
        }
    }

    /// Removes all regions.
    pub(crate) fn clear(&mut self) {
        self.regions.clear();
        self.at.set((0, 0));
    }

    /// Adds a region of some elements, valid or not.
    pub(crate) fn push(&mut self, ptr: *const T, len: usize) {
        self.regions.push((ptr, len));
    }

    /// A pointer to the next `some` elements, if any are left; they may extend beyond the region.
    #[inline(always)]
    pub(super) fn take(&self, some: usize) -> Option<*const T> {
        let (region, done) = self.at.get();
        let &(ptr, len) = self.regions.get(region)?;
        let next = if done + some < len {
            (region, done + some)
        } else {
            (region + 1, 0)
        };
        self.at.set(next);
        Some(ptr.wrapping_add(done))
    }
}

/// The surroundings of a tile.
#[derive(Clone, Copy)]
struct Around<T> {
    /// The number of columns of the last vector.
    last: usize,
    /// The number of elements from here to the next tile of the result.
    next: usize,
    /// The memory to prefetch: a cache line at every step of `k`.
    fetch: *const T,
}

/// Computes `MR` rows by `NV` vectors of the result; prefetches the next memory if `FETCH`.
///
/// # Safety
/// The operands are valid for `MR` rows, and the result for `MR` rows of the columns.
#[inline(always)]
unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const FETCH: bool>(
    a: &[Segment<V::Elem>],
    first_row: usize,
    mut b: *const V::Elem,
    panel: usize,
    c: Target<V::Elem>,
    around: Around<V::Elem>,
) {
    let Around {
        last,
        next,
        mut fetch,
    } = around;
    let width = 2 * V::LANES;
    let mut sums = [[V::splat(V::Elem::ZERO); NV]; MR];
    // SAFETY: the caller guarantees the operands; vector `v` of a row of the right-hand side is
    // half of panel `v / 2`, which is full including its padding.
    unsafe {
        if let Some(start) = c.start {
            for (i, row) in sums.iter_mut().enumerate() {
                let at = start.ptr.add(i * start.stride);
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = if v + 1 < NV || last == V::LANES {
                        V::load(at.add(v * V::LANES))
                    } else {
                        V::load_partial(at.add(v * V::LANES), last)
                    };
                }
            }
        }
        // The memory of the next tile is prefetched while this one is computed.
        for i in 0..if MR >= 4 { MR } else { 0 } {
            let next = c.ptr.wrapping_add(next + i * c.stride);
            for line in (0..NV * V::LANES).step_by(V::LINE) {
                V::prefetch(next.wrapping_add(line));
            }
        }
        for segment in a {
            let row = segment.row;
            let first = segment.ptr.wrapping_add(first_row * row);
            let mut groups = [first; GROUPS];
            for (g, group) in groups.iter_mut().enumerate() {
                *group = first.wrapping_add(GROUP * g * row);
            }
            // The compiler must not turn the distances into a chain of additions, in which each
            // would wait for the previous one.
            let mut away = [0; GROUP];
            for (i, away) in away.iter_mut().enumerate() {
                *away = black_box(i * row);
            }
            for _ in 0..segment.k {
                if FETCH {
                    V::prefetch(fetch);
                    fetch = fetch.wrapping_add(V::LINE);
                }
                let mut right = [V::splat(V::Elem::ZERO); NV];
                for (v, x) in right.iter_mut().enumerate() {
                    *x = V::load(b.add(v / 2 * panel + v % 2 * V::LANES));
                }
                for (i, row_sums) in sums.iter_mut().enumerate() {
                    let x = V::splat(*groups[i / GROUP].add(away[i % GROUP]));
                    for (v, sum) in row_sums.iter_mut().enumerate() {
                        *sum = x.mul_add(right[v], *sum);
                    }
                }
                b = b.wrapping_add(width);
                for group in &mut groups[..MR.div_ceil(GROUP)] {
                    *group = group.wrapping_add(segment.step);
                }
            }
        }
        for (i, row) in sums.iter().enumerate() {
            let at = c.ptr.add(i * c.stride);
            for (v, sum) in row.iter().enumerate() {
                if v + 1 < NV || last == V::LANES {
                    sum.store(at.add(v * V::LANES));
                } else {
                    sum.store_partial(at.add(v * V::LANES), last);
                }
            }
        }
    }
}

/// Rows `first_row .. first_row + rows` of the result, at most [`Vector::ROWS`], for a range of
/// panels. The target `c` begins at the first of these rows and at column 0.
#[derive(Clone)]
pub(super) struct Strip<'a, T> {
    pub(super) a: &'a [Segment<T>],
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) b: Right<T>,
    pub(super) panels: Range<usize>,
    pub(super) c: Target<T>,
    /// The part of the memory after each panel to prefetch, if any: a block of rows prefetches a
    /// cache line at each step of `k`.
    pub(super) fetch: Option<usize>,
    /// The memory to prefetch by blocks of rows without such a part.
    pub(super) ahead: Option<&'a Ahead<T>>,
}

impl<T: Element> Strip<'_, T> {
    /// # Safety
    /// The operands are valid for reading, and the result for reading and writing.
    #[inline(always)]
    pub(super) unsafe fn run<V: Vector<Elem = T>>(&self) {
        V::outline(self);
    }
}

/// Built and run only by [`Strip::run`], whose caller guarantees the pointers.
impl<T: Element> Kernel<T> for &Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        let width = 2 * V::LANES;
        let stride = self.b.panels.stride();
        let end = self.b.panels.n.min(self.panels.end * width);
        // With few rows, several panels at once are needed to hide the latency.
        let most = V::LANES
            * match self.rows {
                1 => 8,
                2 | 3 => 4,
                _ => 2,
            };
        let k: usize = self.a.iter().map(|segment| segment.k).sum();
        let mut column = self.panels.start * width;
        while column < end {
            let columns = most.min(end - column);
            let vectors = columns.div_ceil(V::LANES);
            let last = columns - (vectors - 1) * V::LANES;
            // SAFETY: the panel of `column` has row `b.k`; the caller guarantees the rest.
            unsafe {
                let b = self.b.ptr.add(column / width * stride + self.b.k * width);
                let c = self.c.right(column);
                let next = if self.panels.len() > 1 {
                    columns
                } else {
                    self.rows * c.stride
                };
                let fetch = match self.fetch {
                    Some(part) => Some(b.wrapping_add(k * (width + V::LINE * part))),
                    None if self.rows >= 4 => self.ahead.and_then(|a| a.take(k * V::LINE)),
                    None => None,
                };
                let around = Around {
                    last,
                    next,
                    fetch: fetch.unwrap_or(b),
                };
                macro_rules! tile {
                    ($mr:literal, $nv:literal, $fetch:literal) => {
                        tile::<V, $mr, $nv, $fetch>(self.a, self.first_row, b, stride, c, around)
                    };
                }
                macro_rules! tiles {
                    ($($mr:literal x $($nv:literal)+;)+) => {
                        match (self.rows, vectors) {
                            // A constant: no machine code for tiles that registers do not hold.
                            $($(($mr, $nv) if const { $mr <= V::ROWS } => {
                                if $mr >= 4 && $nv == 2 && fetch.is_some() {
                                    tile!($mr, $nv, true);
                                } else {
                                    tile!($mr, $nv, false);
                                }
                            })+)+
                            _ => unreachable!("a strip has no more rows than registers hold"),
                        }
                    };
                }
                tiles! {
                    1 x 1 2 3 4 5 6 7 8;
                    2 x 1 2 3 4;
                    3 x 1 2 3 4;
                    4 x 1 2;
                    5 x 1 2;
                    6 x 1 2;
                    7 x 1 2;
                    8 x 1 2;
                    9 x 1 2;
                    10 x 1 2;
                    11 x 1 2;
                    12 x 1 2;
                }
            }
            column += columns;
        }
    }
}

/// Divides `m` rows into as few blocks of at most `most` rows as possible, of nearly equal size.
/// Returns the first row and the number of rows of each.
#[inline(always)]
pub(super) fn blocks(m: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = m.div_ceil(most).max(1);
    let (size, larger) = (m / count, m % count);
    (0..if m == 0 { 0 } else { count }).map(move |i| {
        let first = i * size + i.min(larger);
        (first, size + usize::from(i < larger))
    })
}
