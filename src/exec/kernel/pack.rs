//! Panels: the layout of the right-hand side of a matrix product.
//!
//! A `k × n` matrix is divided into panels, two vectors wide. A panel stores its rows one after the
//! other, so a product reads it from the first element to the last. The last panel is padded with
//! zeros. Several matrices may be packed side by side and above each other.

#![allow(
    unsafe_code,
    reason = "matrices are read through pointers with strides, which the caller vouches for"
)]

use super::transpose::{self, SIDE};
use super::{Element, Isa, Kernel, Vector};

/// A matrix in memory: entry `(i, j)` is at `ptr + i · row_stride + j · column_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<T> {
    pub(crate) ptr: *const T,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

/// The layout of a `k × n` matrix in panels, for one instruction set and element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panels {
    pub(super) k: usize,
    pub(super) n: usize,
    /// The number of columns of a panel.
    pub(super) width: usize,
}

impl Panels {
    pub(crate) fn new<T: Element>(isa: Isa, k: usize, n: usize) -> Self {
        let width = 2 * isa.lanes::<T>();
        Self { k, n, width }
    }

    /// The number of rows of the matrix.
    pub(crate) fn k(self) -> usize {
        self.k
    }

    /// The number of columns of the matrix.
    pub(crate) fn n(self) -> usize {
        self.n
    }

    /// The number of panels.
    pub(crate) fn count(self) -> usize {
        self.n.div_ceil(self.width)
    }

    /// The number of columns of a panel; the last panel may include padding.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// The number of elements of all panels.
    pub(crate) fn len(self) -> usize {
        self.count() * self.stride()
    }

    /// The number of elements from one panel to the next.
    pub(super) fn stride(self) -> usize {
        self.k * self.width
    }

    /// Packs a matrix; its entry `(0, 0)` becomes entry `at` of the whole.
    ///
    /// The matrix with the last column also writes the padding.
    ///
    /// # Safety
    /// The matrix is valid for reading.
    ///
    /// # Panics
    /// If `dst` is shorter than [`len`](Self::len), or the matrix exceeds the whole.
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

/// [`Panels::pack`], after its checks.
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
        // SAFETY: `dst` and `at` were checked; the caller guarantees the matrix.
        unsafe { pack::<V>(self.panels, self.dst, self.at, self.src) }
    }
}

/// [`Panels::pack`] within a kernel.
///
/// # Safety
/// The matrix is valid for reading and inside the whole; `dst` has the length of the panels.
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
    // SAFETY: the columns `offset..end`, counted from panel `first` on, are the columns of the
    // matrix, which is inside the whole by guarantee of the caller; `fill` ends with the last
    // panel.
    unsafe {
        let dst = dst.add(first * panels.stride() + at.0 * width);
        if src.column_stride == 1 {
            // The columns in panels shared with other matrices, and the whole panels between them.
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

/// The number of panels written at once: their rows are a few cache lines of the matrix, and the
/// number of destinations is small enough.
const TOGETHER: usize = 4;

/// The number of rows by which the prefetch of a matrix is ahead of the copy.
const AHEAD: usize = 16;

/// Copies whole panels from a matrix with contiguous rows; `from` is column 0 of the first panel.
///
/// # Safety
/// The columns of the panels are valid for reading in all rows of the matrix, and the panels for
/// writing.
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
        // Each row may be in another page, which the hardware does not prefetch.
        let ahead = from.wrapping_add((i + AHEAD) * src.row_stride);
        for line in (0..count * width).step_by(V::LINE) {
            V::prefetch(ahead.wrapping_add(line));
        }
        for panel in 0..count {
            // SAFETY: one row of one of the panels.
            unsafe {
                let from = from.add(i * src.row_stride + panel * width);
                copy::<V>(from, to.add(panel * panels.stride() + i * width), width);
            }
        }
    }
}

/// Copies `n` elements.
///
/// # Safety
/// `from` is valid for reading `n` elements, `to` for writing; they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy<V: Vector>(from: *const V::Elem, to: *mut V::Elem, n: usize) {
    // SAFETY: all vectors but the last are inside the `n` elements, and the last in part.
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

/// Sets `n` elements to zero.
///
/// # Safety
/// `to` is valid for writing `n` elements.
#[inline(always)]
unsafe fn zero<V: Vector>(to: *mut V::Elem, n: usize) {
    let zero = V::splat(V::Elem::ZERO);
    let whole = n - n % V::LANES;
    // SAFETY: all vectors but the last are inside the `n` elements, and the last in part.
    unsafe {
        for i in (0..whole).step_by(V::LANES) {
            zero.store(to.add(i));
        }
        if whole < n {
            zero.store_partial(to.add(whole), n - whole);
        }
    }
}

/// Packs a matrix of any strides, in blocks of rows that stay in cache. Its column 0 becomes column
/// `offset` of the panel at `dst`.
///
/// # Safety
/// As for [`pack`].
#[inline(always)]
unsafe fn gather<T: Element>(src: Matrix<T>, panels: Panels, dst: *mut T, offset: usize) {
    const BLOCK: usize = 16;
    let in_blocks = src.row_stride == 1 && panels.width.is_multiple_of(SIDE);
    for top in (0..src.rows).step_by(BLOCK) {
        let end = (top + BLOCK).min(src.rows);
        let mut j = 0;
        while j < src.columns {
            let column = offset + j;
            let place = column / panels.width * panels.stride() + column % panels.width;
            // Some contiguous columns of one panel are transposed in blocks.
            let (mut i, mut count) = (top, 1);
            if in_blocks && column.is_multiple_of(SIDE) && j + SIDE <= src.columns {
                count = SIDE;
                while i + SIDE <= end {
                    // SAFETY: the block is inside the matrix and inside one panel, because the
                    // width of panels is a multiple of its side.
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
