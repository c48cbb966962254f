//! Looks for numbers that are not finite while a plan is run: in which steps of which rows a register
//! was not finite, and where something that is not finite left a pass.

#![allow(
    unsafe_code,
    reason = "rows are read through the same pointers as in a run"
)]

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::Real;
use super::driver::Crew;
use super::kernel::all_finite;
use crate::op::NodeId;
use crate::plan::{Instruction, Operand, Plan, Storage};
use crate::shape::Rate;
use crate::tape::Tape;

/// A step of a row, in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Incident {
    pub(super) pass: usize,
    pub(super) step: usize,
    pub(super) row: usize,
}

/// A value that a register carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) node: NodeId,
    pub(super) operand: Operand,
    /// Registers that depend on each other are one group.
    pub(super) group: usize,
}

/// Steps of a row without a gap, at each of which something was not finite: a register of a group, or what
/// takes a way out of the pass.
#[derive(Clone, Debug)]
pub(super) struct Streak<F> {
    /// The group, or, after all groups, the way out.
    what: usize,
    row: usize,
    /// In the order of the pass.
    pub(super) first: usize,
    last: usize,
    /// What the registers held before the last step of a way out, entry after entry.
    before: Vec<F>,
}

/// What was seen of a pass.
#[derive(Debug)]
struct Seen<F> {
    /// Group by group.
    carried: Vec<Carried>,
    groups: Vec<Range<usize>>,
    streaks: VecDeque<Streak<F>>,
    /// The number of streaks that were forgotten.
    forgotten: usize,
    /// For each row, and each group and way out, the streak that goes on, counted with those forgotten.
    open: Vec<Option<usize>>,
    /// Sums, values at an end and outputs: where what leaves the pass goes.
    ways: Vec<Operand>,
    /// What the registers held before the first step of a streak.
    before: HashMap<(usize, usize), Vec<F>>,
    order: VecDeque<(usize, usize)>,
    entries: usize,
}

/// What a run was seen to do.
#[derive(Debug)]
pub(super) struct Watch<F> {
    passes: Vec<Seen<F>>,
    /// The most streaks, and entries of registers, that are kept of a pass.
    most: usize,
}

impl<F: Real> Watch<F> {
    /// Keeps about as much as one number for each step and sample.
    pub(super) fn new(plan: &Plan, tape: &Tape, numbers: usize) -> Self {
        const LEAST: usize = 1 << 16;
        let mut component = vec![0; tape.len()];
        for (index, found) in tape.components().iter().enumerate() {
            found
                .nodes
                .iter()
                .for_each(|n| component[n.index()] = index);
        }
        let seen = |pass: usize| {
            let kept = |o: &Operand| {
                let storage = plan.buffers[o.buffer].storage;
                matches!(storage, Storage::Chunk | Storage::Full) && o.rate == Rate::Step
            };
            let values = plan.values.iter();
            let found = values.filter(|v| v.is_carried && v.pass == pass && kept(&v.operand));
            let mut carried: Vec<Carried> = found
                .map(|v| Carried {
                    node: v.node,
                    operand: v.operand,
                    group: component[v.node.index()],
                })
                .collect();
            carried.sort_by_key(|c| c.group);
            let mut groups: Vec<Range<usize>> = Vec::new();
            for group in carried.chunk_by_mut(|a, b| a.group == b.group) {
                let first = groups.last().map_or(0, |g| g.end);
                group.iter_mut().for_each(|c| c.group = groups.len());
                groups.push(first..first + group.len());
            }
            Seen {
                carried,
                groups,
                streaks: VecDeque::new(),
                forgotten: 0,
                open: Vec::new(),
                ways: Vec::new(),
                before: HashMap::new(),
                order: VecDeque::new(),
                entries: 0,
            }
        };
        Self {
            passes: (0..plan.passes.len()).map(seen).collect(),
            most: numbers.max(LEAST),
        }
    }

    /// Where something that is not finite left a pass on the way to an operand: the ends of each streak, for a
    /// pass may run against the direction of what it takes out.
    pub(super) fn leaks(&self, pass: usize, to: Operand) -> Vec<Incident> {
        let Some(seen) = self.passes.get(pass) else {
            return Vec::new();
        };
        let groups = seen.groups.len();
        let leaks = seen.streaks.iter().filter(|s| {
            let way = s.what.checked_sub(groups).map(|way| seen.ways[way]);
            way.is_some_and(|way| to == way)
        });
        let ends = leaks.flat_map(|s| [s.first, s.last].map(|step| (step, s.row)));
        let mut ends: Vec<(usize, usize)> = ends.collect();
        ends.sort_unstable();
        ends.dedup();
        // From both ends inwards: of very many, only some are looked at.
        let half = ends.len().div_ceil(2);
        let (early, late) = (ends[..half].iter(), ends[half..].iter().rev());
        let mut late = late.copied();
        let inwards = early.flat_map(|end| [Some(*end), late.next()]).flatten();
        inwards
            .map(|(step, row)| Incident { pass, step, row })
            .collect()
    }

    pub(super) fn carried(&self, pass: usize) -> &[Carried] {
        self.passes.get(pass).map_or(&[], |seen| &seen.carried)
    }

    /// The streak of a group that a step of a row lies in.
    pub(super) fn streak(
        &self,
        pass: usize,
        group: usize,
        row: usize,
        step: usize,
    ) -> Option<&Streak<F>> {
        let streaks = self.passes.get(pass)?.streaks.iter();
        streaks.rev().find(|s| {
            let steps = s.first.min(s.last)..=s.first.max(s.last);
            s.what == group && s.row == row && steps.contains(&step)
        })
    }

    /// What a register held when a step of a row began.
    pub(super) fn before(&self, at: Incident, node: NodeId) -> Option<&[F]> {
        let seen = self.passes.get(at.pass)?;
        let first = seen.before.get(&(at.step, at.row));
        let is_last = |s: &&Streak<F>| (s.last, s.row) == (at.step, at.row) && !s.before.is_empty();
        let last = || seen.streaks.iter().find(is_last).map(|s| &s.before);
        let mut entries = &first.or_else(last)?[..];
        for carried in &seen.carried {
            let (own, rest) = entries.split_at(carried.operand.len);
            if carried.node == node {
                return Some(own);
            }
            entries = rest;
        }
        None
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

impl<F: Real> Crew<'_, '_, F> {
    /// Looks at the steps that were just done.
    pub(super) fn watch(&self, watch: &mut Watch<F>, pass: usize, times: &Range<usize>) {
        let samples = self.job.extent.samples;
        let most = watch.most;
        let seen = &mut watch.passes[pass];
        let leaving = Leaving::of(self.job.plan, pass);
        if seen.open.is_empty() {
            seen.ways = leaving.ways();
            seen.open = vec![None; samples * (seen.groups.len() + seen.ways.len())];
        }
        let sums = leaving.sums.iter().enumerate();
        let sums: Vec<(usize, &Instruction)> = sums
            .filter(|(_, sum)| !self.is_sum_finite(sum))
            .map(|(index, sum)| (index, *sum))
            .collect();
        let forward = self.job.plan.passes[pass].forward;
        for i in 0..times.len() {
            let step = match forward {
                true => times.start + i,
                false => times.end - 1 - i,
            };
            for row in 0..self.job.active[step] {
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
        let before = match self.job.plan.passes[pass].forward {
            true => step.checked_sub(1),
            false => Some(step + 1).filter(|t| *t < self.job.lengths[row]),
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
            _ => self.job.extent.samples,
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
            _ => all_finite(self.job.wide, entries),
        }
    }

    fn entries(&self, operand: &Operand, step: usize, row: usize) -> &[F] {
        // SAFETY: the operand names entries of its buffer, which has this row of this step; no worker
        // writes while one looks.
        unsafe { std::slice::from_raw_parts(self.at(operand, step, row), operand.len) }
    }
}
