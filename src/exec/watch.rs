//! The findings of a search for numbers that are not finite: in which steps of which rows a register
//! was not finite, and where something that is not finite left a pass.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::Real;
use crate::op::NodeId;
use crate::plan::{Operand, Plan, Storage};
use crate::shape::Rate;
use crate::tape::Tape;

/// A pass, a step and a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Incident {
    pub(super) pass: usize,
    pub(super) step: usize,
    pub(super) row: usize,
}

/// A value carried by a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) node: NodeId,
    pub(super) operand: Operand,
    /// The index of the group; registers that depend on each other are one group.
    pub(super) group: usize,
}

/// Consecutive steps of a row, at each of which a register of a group, or a value that leaves the
/// pass, was not finite.
#[derive(Clone, Debug)]
pub(super) struct Streak<F> {
    /// The group, or, after all groups, the way out.
    pub(super) what: usize,
    pub(super) row: usize,
    /// In the order of the pass.
    pub(super) first: usize,
    pub(super) last: usize,
    /// What the registers held before the last step of a way out, entry after entry.
    pub(super) before: Vec<F>,
}

/// The records of a pass.
#[derive(Debug)]
pub(super) struct Seen<F> {
    /// Group by group.
    pub(super) carried: Vec<Carried>,
    pub(super) groups: Vec<Range<usize>>,
    pub(super) streaks: VecDeque<Streak<F>>,
    /// The number of streaks that were forgotten.
    pub(super) forgotten: usize,
    /// For each row, and each group and way out, the streak that goes on, counted with those forgotten.
    pub(super) open: Vec<Option<usize>>,
    /// Sums, values at an end and outputs: where what leaves the pass goes.
    pub(super) ways: Vec<Operand>,
    /// What the registers held before the first step of a streak.
    pub(super) before: HashMap<(usize, usize), Vec<F>>,
    pub(super) order: VecDeque<(usize, usize)>,
    pub(super) entries: usize,
}

/// The records of a run.
#[derive(Debug)]
pub(super) struct Watch<F> {
    pub(super) passes: Vec<Seen<F>>,
    /// The most streaks, and entries of registers, that are kept of a pass.
    pub(super) most: usize,
}

impl<F: Real> Watch<F> {
    /// The records take about one number for each step and sample of each pass.
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

    /// The incidents at which values that are not finite left a pass to an operand: both ends of
    /// each streak, because a pass may run in the opposite direction to the operand.
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
        // In order from both ends inwards, because only some of them are examined if there are
        // many.
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

    /// The streak of a group that contains a step of a row.
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

    /// The values of a register before a step of a row, if recorded.
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
