//! The slots of a timetable: what registers carry over the boundaries of units of steps.

use super::Real;
use super::memory::Aligned;
use crate::error::Result;
use crate::plan::{Plan, Timetable};

/// The values that registers carry over the boundaries of units, for one pass.
#[derive(Debug, Default)]
pub(super) struct Edges<F> {
    /// For each carry of the plan, the first of its entries in a row; `None` for those of other passes.
    pub(super) starts: Vec<Option<usize>>,
    /// The entries of a row of a slot.
    pub(super) width: usize,
    space: Aligned<F>,
}

impl<F: Real> Edges<F> {
    /// For each pass, no slots yet, for runs in this many directions.
    pub(super) fn of(plan: &Plan, lanes: usize) -> Vec<Self> {
        let pass = |pass: usize| {
            let mut width = 0;
            let starts = plan.carries.iter().map(|c| {
                let start = width;
                let own = c.defined == pass;
                let several = if plan.buffers[c.value.buffer].laned {
                    lanes
                } else {
                    1
                };
                width += if own {
                    c.value.len.saturating_mul(several)
                } else {
                    0
                };
                own.then_some(start)
            });
            let starts = starts.collect();
            Self {
                starts,
                width,
                space: Aligned::default(),
            }
        };
        (0..plan.passes.len()).map(pass).collect()
    }

    /// Reserves memory for this many slots.
    pub(super) fn reserve(&mut self, slots: usize, samples: usize) -> Result<()> {
        self.space.reserve(slots * samples * self.width)
    }

    pub(super) fn bytes(&self) -> usize {
        self.space.bytes()
    }

    pub(super) fn forget(&mut self) {
        self.space = Aligned::default();
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut F {
        self.space.as_mut_ptr()
    }
}

/// The memory of the legs of a run.
pub(super) struct Legs<'a, F> {
    pub(super) table: &'a Timetable,
    pub(super) edges: &'a [Edges<F>],
    pub(super) slots: &'a [*mut F],
}
