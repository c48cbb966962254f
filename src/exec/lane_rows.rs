//! The memory of values of which there are several, one for each direction of a run.

use super::Real;
use super::kernel::{Isa, Panels};
use crate::plan::{Buffer, Pack, Plan, Storage};

/// The maximum size in bytes of the values of some steps for all directions: they should stay in cache.
const TILE_BYTES: usize = 1 << 19;
/// The minimum number of rows of a product over some steps.
const TILE_ROWS: usize = 32;

/// The distance in entries from one direction to the next in a buffer; zero if all share a row. Wide
/// rows are not a power of two apart, so that those of several steps do not share cache sets.
pub(super) const fn lane(buffer: &Buffer) -> usize {
    const PART: usize = 16;
    match buffer.storage {
        _ if !buffer.laned => 0,
        Storage::Leaf(_) => buffer.width,
        _ if buffer.width < 2 * PART => buffer.width,
        _ => (buffer.width.div_ceil(PART) | 1) * PART,
    }
}

/// The entries of a row of a buffer, for all directions.
pub(super) const fn row(buffer: &Buffer, lanes: usize) -> usize {
    if buffer.laned {
        lane(buffer).saturating_mul(lanes)
    } else {
        buffer.width
    }
}

/// The numbers of a packed matrix, for all directions if it depends on them.
pub(super) fn packed<F: Real>(pack: &Pack, isa: Isa, lanes: usize) -> usize {
    let one = Panels::new::<F>(isa, pack.k, pack.n).len();
    one.saturating_mul(if pack.laned { lanes } else { 1 })
}

/// The number of steps for which the work for each direction is done at a time.
pub(super) fn tile<F>(plan: &Plan, [samples, lanes, chunk]: [usize; 3]) -> usize {
    let is_kept = |storage| matches!(storage, Storage::Chunk | Storage::Full);
    let kept = plan
        .buffers
        .iter()
        .filter(|b| b.laned && is_kept(b.storage));
    let width: usize = kept.map(|b| row(b, lanes)).sum();
    let step = width.saturating_mul(samples);
    let fits = TILE_BYTES / step.saturating_mul(size_of::<F>()).max(1);
    let enough = TILE_ROWS.div_ceil(samples);
    fits.max(enough).min(chunk).max(1)
}
