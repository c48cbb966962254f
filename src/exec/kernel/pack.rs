//! Panels: the layout in which a matrix product reads its right-hand side.
//!
//! A matrix of `k × n` is cut into panels of two vectors' width; a panel stores its rows one after
//! the other, so that a product reads it from the first element to the last. The last panel is
//! filled up with zeros. Several matrices may be packed side by side and on top of one another.

#![allow(
    unsafe_code,
    reason = "matrices are read through pointers with strides, which the caller vouches for"
)]

use super::transpose::{self, SIDE};
use super::{Element, Isa, Kernel, Vector};

/// A matrix in memory: entry `(i, j)` lies at `ptr + i · row_stride + j · column_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<T> {
    pub(crate) ptr: *const T,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// How a `k × n` matrix is laid out in panels, for one instruction set and element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panels {
    pub(super) k: usize,
    pub(super) n: usize,
    /// The columns of a panel.
    pub(super) width: usize,
}

impl Panels {
    pub(crate) fn new<T: Element>(isa: Isa, k: usize, n: usize) -> Self {
        let width = 2 * isa.lanes::<T>();
        Self { k, n, width }
    }

    /// The rows of the matrix.
    pub(crate) fn k(self) -> usize {
        self.k
    }

    /// The columns of the matrix.
    pub(crate) fn n(self) -> usize {
        self.n
    }

    /// The number of panels.
    pub(crate) fn count(self) -> usize {
        self.n.div_ceil(self.width)
    }

    /// The columns of one panel; the last panel may have fewer that count.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// The elements that the panels take.
    pub(crate) fn len(self) -> usize {
        self.count() * self.stride()
    }

    /// The elements from one panel to the next.
    pub(super) fn stride(self) -> usize {
        self.k * self.width
    }

    /// Pack a matrix so that its entry `(0, 0)` becomes entry `at` of the whole.
    ///
    /// The matrix that has the last column writes the zeros beyond it.
    ///
    /// # Safety
    /// The matrix is valid for reading.
    ///
    /// # Panics
    /// When `dst` is shorter than [`len`](Self::len), or the matrix exceeds the whole.
    pub(crate) unsafe fn pack<T: Element>(
        self,
        isa: Isa,
        dst: &mut [T],
        at: (usize, usize),
        src: Matrix<T>,
    ) {
        assert!(dst.len() >= self.len(), "the panels have their space");
        assert!(
            at.0 + src.rows <= self.k && at.1 + src.columns <= self.n,
            "the matrix lies inside the whole"
        );
        isa.dispatch(Pack {
            panels: self,
            dst: dst.as_mut_ptr(),
            at,
            src,
        });
    }
}

/// [`Panels::pack`], checked.
struct Pack<T> {
    panels: Panels,
    dst: *mut T,
    at: (usize, usize),
    src: Matrix<T>,
}

impl<T: Element> Kernel<T> for Pack<T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        // SAFETY: the space and the place were checked; the caller vouches for the matrix.
        unsafe { pack::<V>(self.panels, self.dst, self.at, self.src) }
    }
}

/// [`Panels::pack`] for a kernel.
///
/// # Safety
/// The matrix is valid for reading and lies inside the whole; `dst` has the panels' length.
#[inline(always)]
pub(super) unsafe fn pack<V: Vector>(
    panels: Panels,
    dst: *mut V::Elem,
    at: (usize, usize),
    src: Matrix<V::Elem>,
) {
    if src.rows == 0 || src.columns == 0 {
        return;
    }
    let width = panels.width;
    let (first, offset) = (at.1 / width, at.1 % width);
    let end = offset + src.columns;
    let fill = if at.1 + src.columns == panels.n {
        end.next_multiple_of(width) - end
    } else {
        0
    };
    // SAFETY: the columns `offset..end`, counted from panel `first` on, are those of the matrix,
    // which the caller says lies inside the whole; `fill` ends with the last panel.
    unsafe {
        let dst = dst.add(first * panels.stride() + at.0 * width);
        if src.column_stride == 1 {
            // What lies in panels that have other columns too, and between them whole panels.
            let head = (width - offset).min(src.columns) % width;
            let count = (src.columns - head) / width;
            let tail = src.columns - head - count * width;
            let panel = |i: usize| dst.wrapping_add(i * panels.stride());
            let after = usize::from(head > 0);
            for first in (0..count).step_by(TOGETHER) {
                let some = TOGETHER.min(count - first);
                let from = src.ptr.add(head + first * width);
                copy_panels::<V>(src, from, panel(after + first), panels, some);
            }
            for i in 0..src.rows {
                let from = src.ptr.add(i * src.row_stride);
                copy::<V>(from, dst.add(i * width + offset), head);
                let to = panel(after + count).wrapping_add(i * width);
                copy::<V>(from.add(src.columns - tail), to, tail);
            }
        } else {
            gather(src, panels, dst, offset);
        }
        if fill > 0 {
            let last = dst.add((end - 1) / width * panels.stride() + width - fill);
            for i in 0..src.rows {
                zero::<V>(last.add(i * width), fill);
            }
        }
    }
}

/// How many panels are written at once: their rows are a few cache lines of the matrix, and few
/// enough places are written to.
const TOGETHER: usize = 4;

/// How many rows ahead of those that are copied a matrix is fetched.
const AHEAD: usize = 16;

/// Copy whole panels from a matrix without gaps in its rows; column 0 of the first lies at `from`.
///
/// # Safety
/// The panels' columns are valid for reading in all rows of the matrix, and the panels for writing.
#[inline(always)]
unsafe fn copy_panels<V: Vector>(
    src: Matrix<V::Elem>,
    from: *const V::Elem,
    to: *mut V::Elem,
    panels: Panels,
    count: usize,
) {
    let width = panels.width;
    for i in 0..src.rows {
        // Each row may lie in a page of its own, into which no hardware looks ahead.
        let ahead = from.wrapping_add((i + AHEAD) * src.row_stride);
        for line in (0..count * width).step_by(V::LINE) {
            V::prefetch(ahead.wrapping_add(line));
        }
        for panel in 0..count {
            // SAFETY: it is one row of one of the panels.
            unsafe {
                let from = from.add(i * src.row_stride + panel * width);
                copy::<V>(from, to.add(panel * panels.stride() + i * width), width);
            }
        }
    }
}

/// Copy `n` elements.
///
/// # Safety
/// `from` is valid for reading and `to` for writing them; they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy<V: Vector>(from: *const V::Elem, to: *mut V::Elem, n: usize) {
    // SAFETY: every vector but the last lies inside the `n` elements, the last in part.
    unsafe {
        let mut i = 0;
        while i + V::LANES <= n {
            V::load(from.add(i)).store(to.add(i));
            i += V::LANES;
        }
        if i < n {
            V::load_partial(from.add(i), n - i).store_partial(to.add(i), n - i);
        }
    }
}

/// Set `n` elements to zero.
///
/// # Safety
/// `to` is valid for writing them.
#[inline(always)]
unsafe fn zero<V: Vector>(to: *mut V::Elem, n: usize) {
    let zero = V::splat(V::Elem::ZERO);
    let whole = n - n % V::LANES;
    // SAFETY: every vector but the last lies inside the `n` elements, the last in part.
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            zero.store(to.add(i));
        }
        if whole < n {
            zero.store_partial(to.add(whole), n - whole);
        }
    }
}

/// Pack a matrix of any strides, in blocks of rows that stay in cache; its column 0 becomes column
/// `offset` of the panel at `dst`.
///
/// # Safety
/// As for [`pack`].
#[inline(always)]
unsafe fn gather<T: Element>(src: Matrix<T>, panels: Panels, dst: *mut T, offset: usize) {
    const BLOCK: usize = 16;
    for top in (0..src.rows).step_by(BLOCK) {
        let end = (top + BLOCK).min(src.rows);
        let mut j = 0;
        while j < src.columns {
            let column = offset + j;
            let place = column / panels.width * panels.stride() + column % panels.width;
            // Some columns of one panel, whose entries follow each other, are exchanged with rows.
            let (mut i, mut count) = (top, 1);
            if src.row_stride == 1 && column.is_multiple_of(SIDE) && j + SIDE <= src.columns {
                count = SIDE;
                while i + SIDE <= end {
                    // SAFETY: the block lies inside the matrix and, since the width of panels is a
                    // multiple of its side, inside one panel.
                    unsafe {
                        let from = src.ptr.add(i + j * src.column_stride);
                        let to = dst.add(place + i * panels.width);
                        transpose::block(from, src.column_stride, to, panels.width);
                    }
                    i += SIDE;
                }
            }
            for j in j..j + count {
                let place = place + j - (column - offset);
                for i in i..end {
                    // SAFETY: `(i, j)` is an entry of the matrix.
                    unsafe {
                        let x = *src.ptr.add(i * src.row_stride + j * src.column_stride);
                        dst.add(place + i * panels.width).write(x);
                    }
                }
            }
            j += count;
        }
    }
}
