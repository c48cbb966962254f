//! Copies of entries of a row, and sums of such copies.

#![allow(unsafe_code, reason = "rows are reached through pointers and strides")]

use super::rows::chain;
use crate::exec::kernel::Element;
use crate::op::{Move, Strides};

fn offset(at: &Strides, i: usize, j: usize, class: usize) -> usize {
    at.start + i * at.rows + j * at.columns + class * at.class
}

/// Copies the entries of a move.
///
/// # Safety
/// Both sides are valid for the entries of the move, for this class.
pub(crate) unsafe fn copy<T: Copy>(moved: &Move, from: *const T, to: *mut T, class: usize) {
    let [rows, columns] = moved.extent;
    let along = |at: &Strides| if columns == 1 { at.rows } else { at.columns };
    if along(&moved.from) == 1 && along(&moved.to) == 1 {
        // Entries that are contiguous on both sides are copied at once.
        let (runs, len) = if columns == 1 {
            (1, rows)
        } else {
            (rows, columns)
        };
        for i in 0..runs {
            unsafe {
                let from = from.add(offset(&moved.from, i, 0, class));
                let to = to.add(offset(&moved.to, i, 0, class));
                std::ptr::copy_nonoverlapping(from, to, len);
            }
        }
        return;
    }
    for i in 0..rows {
        for j in 0..columns {
            unsafe {
                let from = from.add(offset(&moved.from, i, j, class));
                *to.add(offset(&moved.to, i, j, class)) = *from;
            }
        }
    }
}

/// Adds the entries of a move to the destination; the rounding error of each sum is `lost` entries
/// behind it, if it is kept.
///
/// # Safety
/// As for [`copy`].
pub(crate) unsafe fn add<T: Element>(
    moved: &Move,
    from: *const T,
    to: *mut T,
    class: usize,
    lost: Option<usize>,
) {
    for i in 0..moved.extent[0] {
        for j in 0..moved.extent[1] {
            let (from, to) = unsafe {
                (
                    from.add(offset(&moved.from, i, j, class)),
                    to.add(offset(&moved.to, i, j, class)),
                )
            };
            match lost {
                Some(lost) => unsafe { chain(from, 0, 1, (to, to.add(lost))) },
                None => unsafe { *to = *to + *from },
            }
        }
    }
}
