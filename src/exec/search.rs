//! Looks for numbers that are not finite while a plan is run.

#![allow(
    unsafe_code,
    reason = "rows are read through the same pointers as in a run"
)]

use std::ops::Range;

use super::Real;
use super::driver::WorkerRun;
use super::kernel::all_finite;
use super::watch::{Carried, Incident, Seen, Streak, Watch};
use crate::plan::{Instruction, Operand, Plan};
use crate::shape::Rate;

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

    /// Where what leaves goes, in the order of sums, values at an end, outputs.
    fn ways(&self) -> Vec<Operand> {
        let to = |i: &&Instruction| match i {
            Instruction::Pick { out, .. } => Some(*out),
            other => other.accumulates().copied(),
        };
        let inner = self.sums.iter().chain(&self.picks).filter_map(to);
        inner.chain(self.outputs.iter().copied()).collect()
    }
}

impl<F: Real> WorkerRun<'_, '_, F> {
    /// Looks at the steps that were just done.
    pub(super) fn watch(&self, watch: &mut Watch<F>, pass: usize, times: &Range<usize>) {
        let samples = self.run.extent.samples;
        let most = watch.most;
        let seen = &mut watch.passes[pass];
        let leaving = Leaving::of(self.run.plan, pass);
        if seen.open.is_empty() {
            seen.ways = leaving.ways();
            seen.open = vec![None; samples * (seen.groups.len() + seen.ways.len())];
        }
        let sums = leaving.sums.iter().enumerate();
        let sums: Vec<(usize, &Instruction)> = sums
            .filter(|(_, sum)| !self.is_sum_finite(sum))
            .map(|(index, sum)| (index, *sum))
            .collect();
        let forward = self.run.plan.passes[pass].forward;
        for i in 0..times.len() {
            let step = match forward {
                true => times.start + i,
                false => times.end - 1 - i,
            };
            for row in 0..self.run.active(step) {
                let at = Incident { pass, step, row };
                self.look_at_registers(seen, at, most);
                self.look_at_ways_out(seen, &leaving, &sums, at, most);
            }
        }
    }

    fn look_at_registers(&self, seen: &mut Seen<F>, at: Incident, most: usize) {
        for group in 0..seen.groups.len() {
            let mut carried = seen.carried[seen.groups[group].clone()].iter();
            let is_bad = carried.any(|c| !self.is_finite(&c.operand, at.step, at.row));
            self.note(seen, group, at, is_bad, most);
        }
    }

    fn look_at_ways_out(
        &self,
        seen: &mut Seen<F>,
        leaving: &Leaving<'_>,
        sums: &[(usize, &Instruction)],
        at: Incident,
        most: usize,
    ) {
        let Incident { step, row, .. } = at;
        let groups = seen.groups.len();
        let picked = leaving.picks.iter().enumerate();
        let picked = picked.map(|(i, pick)| (leaving.sums.len() + i, *pick));
        for (index, instruction) in sums.iter().copied().chain(picked) {
            let is_bad = self.is_lost(instruction, step, row);
            self.note(seen, groups + index, at, is_bad, most);
        }
        let first = leaving.sums.len() + leaving.picks.len();
        for (i, output) in leaving.outputs.iter().enumerate() {
            let is_bad = !self.is_finite(output, step, row);
            self.note(seen, groups + first + i, at, is_bad, most);
        }
    }

    /// Begins, lengthens or ends a streak.
    fn note(&self, seen: &mut Seen<F>, what: usize, at: Incident, is_bad: bool, most: usize) {
        let Incident { step, row, .. } = at;
        let place = row * (seen.groups.len() + seen.ways.len()) + what;
        let open = seen.open[place].and_then(|i| i.checked_sub(seen.forgotten));
        match (is_bad, open) {
            (false, _) => seen.open[place] = None,
            (true, Some(open)) => {
                let streak = &mut seen.streaks[open];
                streak.last = step;
                if what >= seen.groups.len() {
                    streak.before.clear();
                    self.read_before(&seen.carried, at, &mut streak.before);
                }
            }
            (true, None) => {
                seen.open[place] = Some(seen.forgotten + seen.streaks.len());
                seen.streaks.push_back(Streak {
                    what,
                    row,
                    first: step,
                    last: step,
                    before: Vec::new(),
                });
                if seen.streaks.len() > most / 4 {
                    seen.streaks.pop_front();
                    seen.forgotten += 1;
                }
                self.keep(seen, at, most);
            }
        }
    }

    /// Keeps what the registers held at the step before.
    fn keep(&self, seen: &mut Seen<F>, at: Incident, most: usize) {
        let key = (at.step, at.row);
        if seen.before.contains_key(&key) {
            return;
        }
        let mut entries = Vec::new();
        self.read_before(&seen.carried, at, &mut entries);
        if entries.is_empty() {
            return;
        }
        seen.entries += entries.len();
        seen.before.insert(key, entries);
        seen.order.push_back(key);
        while seen.entries > most {
            let oldest = seen.order.pop_front().and_then(|k| seen.before.remove(&k));
            seen.entries -= oldest.map_or(seen.entries, |o| o.len());
        }
    }

    fn read_before(&self, carried: &[Carried], at: Incident, to: &mut Vec<F>) {
        let Incident { pass, step, row } = at;
        let before = match self.run.plan.passes[pass].forward {
            true => step.checked_sub(1),
            false => Some(step + 1).filter(|t| *t < self.run.lengths[row]),
        };
        if let Some(before) = before {
            let entries = |c: &Carried| self.entries(&c.operand, before, row);
            to.extend(carried.iter().flat_map(entries).copied());
        }
    }

    /// Whether all that a sum has added up so far is finite.
    fn is_sum_finite(&self, sum: &Instruction) -> bool {
        let rows = |o: &Operand| match o.rate {
            Rate::Static => 1,
            _ => self.run.extent.samples,
        };
        let out = sum.accumulates();
        out.is_none_or(|o| (0..rows(o)).all(|row| self.is_finite(o, 0, row)))
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
            _ => all_finite(self.run.wide, entries),
        }
    }

    fn entries(&self, operand: &Operand, step: usize, row: usize) -> &[F] {
        // SAFETY: the operand names entries of its buffer, which has this row of this step; no worker
        // writes while one looks.
        unsafe { std::slice::from_raw_parts(self.at(operand, step, row), operand.len) }
    }
}
