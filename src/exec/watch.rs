//! Looks for numbers that are not finite while a plan is run: which step of which row came first.

#![allow(
    unsafe_code,
    reason = "rows are read through the same pointers as in a run"
)]

use std::ops::Range;

use super::Real;
use super::driver::Crew;
use super::kernel::all_finite;
use crate::plan::{Instruction, Operand, Plan, Storage};
use crate::shape::Rate;

/// A step of a row, in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) pass: usize,
    pub(super) step: usize,
    pub(super) row: usize,
}

/// How far a run has come: some steps of a pass, all of them in memory.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) pass: usize,
    pub(super) times: Range<usize>,
}

/// The search and its result.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The run is over when it has come here; without it, the run is searched.
    pub(super) goal: Option<Incident>,
    /// For each pass and row, the first of the last steps that a register was not finite at.
    pub(super) streaks: Vec<Vec<Option<usize>>>,
    /// Where something that is not finite first entered a sum or an output.
    pub(super) found: Option<Incident>,
    pub(super) reached: Option<Reached>,
    /// Whether a sum overflowed without a term that is not finite.
    overflowed: bool,
}

impl Watch {
    pub(super) fn until(goal: Incident) -> Self {
        Self {
            goal: Some(goal),
            ..Self::default()
        }
    }
}

/// What leaves a pass by itself: sums over the steps, values at an end and outputs of each step.
struct Leaving<'p> {
    sums: Vec<&'p Instruction>,
    picks: Vec<&'p Instruction>,
    outputs: Vec<Operand>,
}

impl<'p> Leaving<'p> {
    fn of(plan: &'p Plan, pass: usize) -> Self {
        let stages = plan.passes[pass].stages.iter();
        let work = stages.flat_map(|s| s.body.iter().map(|w| &w.instruction));
        let (sums, picks) = work
            .filter(|i| i.ends_time())
            .partition(|i| i.accumulates().is_some());
        let here = |operand: &Operand| {
            let mut values = plan.values.iter();
            values.any(|v| v.operand == *operand && v.pass == pass)
        };
        let outputs = plan.outputs.iter().filter(|o| o.rate == Rate::Step);
        let outputs = outputs.map(|o| o.operand).filter(here).collect();
        Self {
            sums,
            picks,
            outputs,
        }
    }
}

impl<F: Real> Crew<'_, '_, F> {
    /// Looks at the steps that were just done; whether the run is over.
    pub(super) fn watch(&self, watch: &mut Watch, pass: usize, times: &Range<usize>) -> bool {
        let is_over = match watch.goal {
            Some(goal) => goal.pass == pass && times.contains(&goal.step),
            None => self.search(watch, pass, times),
        };
        if is_over {
            let times = times.clone();
            watch.reached = Some(Reached { pass, times });
        }
        is_over
    }

    fn search(&self, watch: &mut Watch, pass: usize, times: &Range<usize>) -> bool {
        let plan = self.job.plan;
        let forward = plan.passes[pass].forward;
        let samples = self.job.extent.samples;
        let kept = |o: &Operand| {
            let storage = plan.buffers[o.buffer].storage;
            matches!(storage, Storage::Chunk | Storage::Full)
        };
        let registers = plan.values.iter().filter(|v| v.is_carried);
        let registers = registers.filter(|v| v.pass == pass && v.operand.rate == Rate::Step);
        let registers: Vec<Operand> = registers.map(|v| v.operand).filter(kept).collect();
        let leaving = Leaving::of(plan, pass);
        while watch.streaks.len() <= pass {
            watch.streaks.push(vec![None; samples]);
        }

        let length = |row: usize| self.job.lengths[row];
        let is_carried_bad = |step, row| registers.iter().any(|o| !self.is_finite(o, step, row));
        let running = || (0..samples).filter(|row| length(*row) > times.start);
        let last = |row: usize| match forward {
            true => times.end.min(length(row)) - 1,
            false => times.start,
        };
        let streaks = &mut watch.streaks[pass];
        let is_plain =
            running().all(|row| streaks[row].is_none() && !is_carried_bad(last(row), row));
        let is_summed =
            !watch.overflowed && leaving.sums.iter().any(|sum| !self.is_sum_finite(sum));
        let is_leaving = is_summed || self.leaves_early(&leaving, times);
        if is_plain && !is_leaving {
            return false;
        }

        for i in 0..times.len() {
            let step = match forward {
                true => times.start + i,
                false => times.end - 1 - i,
            };
            for (row, streak) in streaks.iter_mut().enumerate().take(self.job.active[step]) {
                let is_bad = is_carried_bad(step, row);
                if is_bad {
                    streak.get_or_insert(step);
                }
                if is_leaving && self.leaves(&leaving, step, row) {
                    let step = streak.unwrap_or(step);
                    watch.found = Some(Incident { pass, step, row });
                    return true;
                }
                if !is_bad {
                    *streak = None;
                }
            }
        }
        watch.overflowed |= is_summed;
        false
    }

    /// Whether all that a sum has added up so far is finite.
    fn is_sum_finite(&self, sum: &Instruction) -> bool {
        let rows = |o: &Operand| match o.rate {
            Rate::Static => 1,
            _ => self.job.extent.samples,
        };
        let out = sum.accumulates();
        out.is_none_or(|o| (0..rows(o)).all(|row| self.is_finite(o, 0, row)))
    }

    /// Whether an output, or a value at an end, is not finite at one of these steps.
    fn leaves_early(&self, leaving: &Leaving<'_>, times: &Range<usize>) -> bool {
        if leaving.picks.is_empty() && leaving.outputs.is_empty() {
            return false;
        }
        let rows = |step: usize| (0..self.job.active[step]).map(move |row| (step, row));
        let mut places = times.clone().flat_map(rows);
        places.any(|(step, row)| {
            let mut picks = leaving.picks.iter();
            let mut outputs = leaving.outputs.iter();
            outputs.any(|o| !self.is_finite(o, step, row))
                || picks.any(|pick| self.is_lost(pick, step, row))
        })
    }

    /// Whether something that is not finite leaves the pass at a step of a row.
    fn leaves(&self, leaving: &Leaving<'_>, step: usize, row: usize) -> bool {
        let mut lost = leaving.sums.iter().chain(&leaving.picks);
        let mut outputs = leaving.outputs.iter();
        outputs.any(|o| !self.is_finite(o, step, row)) || lost.any(|i| self.is_lost(i, step, row))
    }

    /// Whether an instruction takes something that is not finite out of a pass at a step of a row.
    fn is_lost(&self, instruction: &Instruction, step: usize, row: usize) -> bool {
        match instruction {
            Instruction::Total { from, .. } | Instruction::MoveTotal { from, .. } => {
                !self.is_finite(from, step, row)
            }
            Instruction::Pick { from, edge, .. } => {
                self.is_edge(*edge, step, row) && !self.is_finite(from, step, row)
            }
            Instruction::OuterTotal { a, b, .. } => {
                let largest = |o: &Operand| {
                    let entries = self.entries(o, step, row).iter();
                    entries.fold(
                        F::zero(),
                        |most, x| if x.abs() <= most { most } else { x.abs() },
                    )
                };
                !self.is_finite(a, step, row)
                    || !self.is_finite(b, step, row)
                    || !(largest(a) * largest(b)).is_finite()
            }
            _ => false,
        }
    }

    fn is_finite(&self, operand: &Operand, step: usize, row: usize) -> bool {
        let entries = self.entries(operand, step, row);
        match entries {
            [x] => x.is_finite(),
            _ => all_finite(self.job.wide, entries),
        }
    }

    fn entries(&self, operand: &Operand, step: usize, row: usize) -> &[F] {
        // SAFETY: the operand names entries of its buffer, which has this row of this step; no worker
        // writes while one looks.
        unsafe { std::slice::from_raw_parts(self.at(operand, step, row), operand.len) }
    }
}
