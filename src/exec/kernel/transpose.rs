//! Transposition of small blocks of a matrix, by exchanges between registers.

#![allow(
    unsafe_code,
    reason = "blocks are read and written through pointers with strides, which the caller vouches for"
)]

use super::Element;

/// The number of rows and of columns of a block.
pub(super) const SIDE: usize = 4;

/// Writes the transpose of a block. The rows of the source are `from_stride` apart, those of the
/// destination `to_stride`.
///
/// # Safety
/// `from` is valid for reading a block and `to` for writing one; they do not overlap.
#[inline(always)]
pub(super) unsafe fn block<T: Element>(
    from: *const T,
    from_stride: usize,
    to: *mut T,
    to_stride: usize,
) {
    // SAFETY: elements are `f32` or `f64`; the caller guarantees the blocks.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        if size_of::<T>() == size_of::<f32>() {
            singles(from.cast(), from_stride, to.cast(), to_stride);
        } else {
            doubles(from.cast(), from_stride, to.cast(), to_stride);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    for i in 0..SIDE {
        for j in 0..SIDE {
            // SAFETY: the caller guarantees the blocks.
            unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
        }
    }
}

/// [`block`] for `f32`, with instructions that all x86-64 processors have.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn singles(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller guarantees the blocks.
    unsafe {
        let row = |i: usize| _mm_loadu_ps(from.add(i * from_stride));
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(to.add(to_stride), _mm_movehl_ps(cd, ab));
        let (ab, cd) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        _mm_storeu_ps(to.add(2 * to_stride), _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(to.add(3 * to_stride), _mm_movehl_ps(cd, ab));
    }
}

/// [`block`] for `f64`, in four parts.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn doubles(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
    use std::arch::x86_64::*;
    for i in (0..SIDE).step_by(2) {
        for j in (0..SIDE).step_by(2) {
            // SAFETY: the caller guarantees the blocks.
            unsafe {
                let from = from.add(i * from_stride + j);
                let to = to.add(j * to_stride + i);
                let (a, b) = (_mm_loadu_pd(from), _mm_loadu_pd(from.add(from_stride)));
                _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
                _mm_storeu_pd(to.add(to_stride), _mm_unpackhi_pd(a, b));
            }
        }
    }
}
