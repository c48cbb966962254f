//! The memory of a run: one allocation for each buffer, reused from run to run.

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::limit::{check_memory, memory_limit};

/// Numbers aligned to a cache line; grown when needed, never shrunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Aligned<T> {
    space: Vec<T>,
    start: usize,
    len: usize,
}

/// The bytes of a cache line.
const LINE: usize = 64;

impl<T: Copy + Default> Aligned<T> {
    /// Makes room for `len` numbers; what was there is lost when it has to grow.
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

    pub(super) fn bytes(&self) -> usize {
        self.space.len() * size_of::<T>()
    }

    /// Where the numbers begin. Pointers got earlier stay valid: none is derived from a reference
    /// to the numbers, which the next one would end.
    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.space.as_mut_ptr().wrapping_add(self.start)
    }

    /// The numbers; while they are borrowed, no pointer to them is used.
    #[allow(
        unsafe_code,
        reason = "a slice made by indexing would end the validity of pointers got earlier"
    )]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as many numbers follow the start, all of them set.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

/// Asks the system to back memory that was not touched yet by large pages, so that products which
/// run down its columns find their addresses translated. It may decline.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code, reason = "a call of the system")]
fn ask_for_large_pages(start: *mut u8, bytes: usize) {
    use std::ffi::{c_int, c_void};

    /// From this many bytes on, memory is worth large pages.
    const LARGE: usize = 1 << 22;
    const HUGEPAGE: c_int = 14;
    const PAGE: usize = 1 << 16;

    unsafe extern "C" {
        fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    }

    let skip = start.align_offset(PAGE);
    if bytes >= LARGE && skip < bytes {
        // SAFETY: the range lies inside one allocation, begins at a page of any size that a system
        // has, and the advice changes nothing that a program can see.
        unsafe { madvise(start.wrapping_add(skip).cast(), bytes - skip, HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn ask_for_large_pages(_start: *mut u8, _bytes: usize) {}
