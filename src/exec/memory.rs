//! The memory of a run: one allocation per buffer, reused between runs.

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::limit::{check_memory, memory_limit};

/// Numbers aligned to a cache line; the memory grows on demand and never shrinks.
#[derive(Clone, Debug, Default)]
pub(super) struct Aligned<T> {
    space: Vec<T>,
    start: usize,
    len: usize,
}

/// The size of a cache line in bytes.
const LINE: usize = 64;

impl<T: Copy + Default> Aligned<T> {
    /// Reserves memory for `len` numbers; growing loses the content.
    pub(super) fn reserve(&mut self, len: usize) -> Result<()> {
        if len > self.len || self.space.is_empty() {
            let spare = LINE / size_of::<T>();
            let refuse = |bytes| Error::OutOfMemory {
                bytes,
                limit: memory_limit(),
            };
            let all = len.checked_add(2 * spare);
            let all = all.ok_or_else(|| refuse(usize::MAX))?;
            let mut space: Vec<T> = Vec::new();
            let bytes = all.saturating_mul(size_of::<T>());
            check_memory(Some(bytes))?;
            space.try_reserve_exact(all).map_err(|_| refuse(bytes))?;
            ask_for_large_pages(space.as_mut_ptr().cast(), bytes);
            space.resize(all, T::default());
            self.start = space.as_ptr().align_offset(LINE).min(spare);
            (self.space, self.len) = (space, len);
        }
        Ok(())
    }

    /// Copies the numbers of memory of the same size.
    pub(super) fn copy_from(&mut self, from: &Self) {
        self.as_mut_slice().copy_from_slice(&from.to_vec());
    }

    /// A copy of the numbers.
    pub(super) fn to_vec(&self) -> Vec<T> {
        self.space[self.start..self.start + self.len].to_vec()
    }

    pub(super) fn bytes(&self) -> usize {
        self.space.len() * size_of::<T>()
    }

    /// A pointer to the first number. Pointers obtained earlier stay valid, because none is derived
    /// from a reference to the numbers.
    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.space.as_mut_ptr().wrapping_add(self.start)
    }

    /// The numbers. While they are borrowed, no pointer to them may be used.
    #[allow(
        unsafe_code,
        reason = "a slice made by indexing would end the validity of pointers got earlier"
    )]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised numbers follow the start.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

/// Advises the system to back fresh memory with large pages, which saves address translations in
/// products that access memory by columns. The system may ignore it.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code, reason = "a call of the system")]
fn ask_for_large_pages(start: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};

    /// The smallest size in bytes for which large pages pay off.
    const LARGE: usize = 1 << 22;
    const HUGEPAGE: c_int = 14;
    const PAGE: usize = 1 << 16;

    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }

    let skip = start.align_offset(PAGE);
    if bytes >= LARGE && skip < bytes {
        // SAFETY: the range is inside one allocation and begins at a page boundary for any page
        // size, and the advice has no visible effect on a program.
        unsafe { madvise(start.wrapping_add(skip).cast(), bytes - skip, HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn ask_for_large_pages(_start: *mut u8, _bytes: usize) {}
