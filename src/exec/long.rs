//! Long runs: the rounding errors of their sums, and the memory for them.

use super::Real;
use crate::plan::{Instruction, Plan};

/// The maximum number of rows (steps times samples) of a short run.
const SHORT: usize = 1 << 14;

/// The number of rows whose outer products are one chain of additions in a long run. Its relative
/// error is at most half as many units of roundoff if all terms have one sign.
pub(super) const CHAIN: usize = 32;

/// The number of chains that are added up together.
pub(super) const CHAINS: usize = 8;

/// The maximum number of entries of a chain, so that all chains stay in cache.
pub(super) const ENTRIES: usize = if cfg!(test) { 8 } else { 1 << 14 };

/// The maximum number of columns of a tile, which is then high enough to use each of them often.
pub(super) const WIDTH: usize = if cfg!(test) { 4 } else { 1 << 8 };

/// Returns true if a run of this size compensates all of its sums over steps and samples.
pub(super) const fn is_long<F: Real>(steps: usize, samples: usize) -> bool {
    // The small runs of unit tests are of both kinds.
    let short = if cfg!(test) { 8 } else { SHORT };
    F::COMPENSATED && steps.saturating_mul(samples) > short
}

/// Returns true if an instruction adds to a buffer that has a second entry for each rounding error.
pub(super) const fn keeps_lost(instruction: &Instruction, is_long: bool) -> bool {
    match instruction {
        Instruction::Total { .. } => true,
        _ => is_long && instruction.accumulates().is_some(),
    }
}

/// The entries from one chain to the next. It is never 1, so that a chain of a single entry is not
/// taken for consecutive terms, and no large power of two, so that chains do not share cache sets.
pub(super) const fn apart(entries: usize) -> usize {
    entries.next_multiple_of(16) + 16
}

/// The entries of scratch memory that the sums of a long run need.
pub(super) fn scratch(plan: &Plan) -> usize {
    let entries = plan.instructions().map(|instruction| match instruction {
        Instruction::OuterTotal { a, b, .. } => ENTRIES.min(a.len.saturating_mul(b.len)),
        _ => 0,
    });
    match entries.max() {
        None | Some(0) => 0,
        Some(most) => CHAINS * apart(most),
    }
}
