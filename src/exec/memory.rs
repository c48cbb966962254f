//! The memory of a run: one allocation for each buffer, reused from run to run.

use crate::error::{Error, Result};

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
            let refuse = |bytes| Error::OutOfMemory { bytes };
            let all = len.checked_add(2 * spare).ok_or(refuse(usize::MAX))?;
            let mut space: Vec<T> = Vec::new();
            let bytes = all.saturating_mul(size_of::<T>());
            space.try_reserve_exact(all).map_err(|_| refuse(bytes))?;
            space.resize(all, T::default());
            self.start = space.as_ptr().align_offset(LINE).min(spare);
            (self.space, self.len) = (space, len);
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        self.space.len() * size_of::<T>()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.space[self.start..].as_mut_ptr()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.space[self.start..self.start + self.len]
    }
}
