//! The part of the data on which every route runs, and the progress of the work.

use std::cell::Cell;

use super::differences;
use crate::error::Result;
use crate::recurrence::{Batch, Params, Recurrence};
use crate::shape::Rate;

/// The work of a certification, in evaluations of a node: some seconds of it.
const BUDGET: f64 = 1e7;
/// Fewer steps than this are a worse check than fewer samples.
const ENOUGH_STEPS: usize = 32;
/// The fewest steps and samples on which a mistake about time or samples shows.
const FEWEST: (usize, usize) = (3, 2);
/// An array with this many entries is as much work as a node by itself.
const ENTRIES: f64 = 128.0;
/// The work of unrolling and differentiating, in evaluations of the loss: for first order, …
pub(super) const FIRST: f64 = 100.0;
/// … and for second order.
pub(super) const SECOND: f64 = 200.0;
/// A node runs on the compiled engine in this part of the time.
const COMPILED: f64 = 1.0 / 50.0;

/// The work of one evaluation of the loss, as it grows with the data.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    fixed: f64,
    per_sample: f64,
    per_step: f64,
}

impl Cost {
    pub(super) fn of(
        recurrence: &Recurrence,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Self> {
        let bound = recurrence.bind(params, batch)?;
        let tape = recurrence.tape();
        let entries = |id| {
            let shape = tape.ty(id).shape.values(bound.sizes());
            shape.iter().map(|n| *n as f64).product::<f64>()
        };
        // Every evaluation looks at the array of each leaf.
        let mut cost = Self {
            fixed: tape.leaves().len() as f64,
            ..Self::default()
        };
        let live = tape.live([recurrence.loss()?]);
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            let size = entries(id) + node.args().iter().map(|a| entries(*a)).sum::<f64>();
            let own = 1.0 + size / ENTRIES;
            // A sum over steps has a term for each.
            let args = node.args().iter().map(|a| tape.ty(*a).rate);
            match args.chain([node.ty().rate]).max().unwrap_or(Rate::Static) {
                Rate::Static => cost.fixed += own,
                Rate::Sample => cost.per_sample += own,
                Rate::Step => cost.per_step += own,
            }
        }
        Ok(cost)
    }

    /// The work for the first steps of the first samples.
    fn on(self, lengths: &[usize], steps: usize, samples: usize) -> f64 {
        let places: usize = lengths.iter().take(samples).map(|l| *l.min(&steps)).sum();
        self.fixed + self.per_sample * samples as f64 + self.per_step * places as f64
    }
}

/// The part of the data on which every route runs, and the directions that are tried on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) steps: usize,
    pub(super) samples: usize,
    /// The entries of each array that move one by one.
    pub(super) entries: usize,
    /// The groups of arrays that move together; with as many groups as arrays, each moves alone.
    pub(super) groups: usize,
    /// The work of one evaluation of the loss.
    pub(super) loss: f64,
}

impl Scope {
    /// As much of the data as the budget allows, from the first step on, and fewer directions where
    /// even little data is too much.
    pub(super) fn within_budget(
        cost: Cost,
        batch: &Batch<f64>,
        targets: usize,
        (entries, most_steps): (usize, usize),
    ) -> Self {
        let lengths: Vec<usize> = batch.lengths().collect();
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let mut scope = Self {
            steps: longest.min(most_steps.max(1)),
            samples: batch.samples(),
            entries,
            groups: targets,
            loss: 0.0,
        };
        loop {
            scope.loss = cost.on(&lengths, scope.steps, scope.samples);
            let excess = scope.work() / BUDGET;
            if excess <= 1.0 {
                return scope;
            }
            let Self {
                steps,
                samples,
                entries,
                groups,
                ..
            } = scope;
            if steps > ENOUGH_STEPS {
                scope.steps = less(steps, excess).max(ENOUGH_STEPS);
            } else if samples > FEWEST.1 {
                scope.samples = less(samples, excess).max(FEWEST.1);
            } else if steps > FEWEST.0 {
                scope.steps = less(steps, excess).max(FEWEST.0);
            } else if entries > 0 {
                scope.entries = entries - 1;
            } else if groups > 1 {
                scope.groups = less(groups, excess);
            } else {
                return scope;
            }
        }
    }

    /// A fourth of the steps, where the loss bends too strongly over all of them.
    pub(super) fn shorter(self, cost: Cost, batch: &Batch<f64>) -> Option<Self> {
        let steps = self.steps / 4;
        (steps >= FEWEST.0).then(|| self.with_steps(steps, cost, batch))
    }

    /// Twice the steps, where the loss has no value on the first ones alone.
    pub(super) fn longer(self, cost: Cost, batch: &Batch<f64>) -> Option<Self> {
        let steps = self.steps.saturating_mul(2).min(batch.steps());
        (steps > self.steps).then(|| self.with_steps(steps, cost, batch))
    }

    fn with_steps(self, steps: usize, cost: Cost, batch: &Batch<f64>) -> Self {
        Self {
            steps,
            loss: cost.on(&batch.lengths().collect::<Vec<_>>(), steps, self.samples),
            ..self
        }
    }

    /// If it leaves out a part of the data.
    pub(super) fn is_partial(&self, batch: &Batch<f64>) -> bool {
        let longest = batch.lengths().max().unwrap_or(0);
        self.steps < longest || self.samples < batch.samples()
    }

    /// The directions that are tried.
    pub(super) fn directions(&self) -> f64 {
        ((self.entries + 1) * self.groups) as f64
    }

    /// The work of everything but the compiled engine.
    pub(super) fn work(&self) -> f64 {
        let evaluations = (differences::EVALUATIONS + 2) as f64 * self.directions();
        self.loss * (evaluations + FIRST + SECOND)
    }

    /// The work of the compiled engine on all of the data.
    pub(super) fn whole(&self, cost: Cost, batch: &Batch<f64>) -> f64 {
        let all = cost.on(
            &batch.lengths().collect::<Vec<_>>(),
            batch.steps(),
            batch.samples(),
        );
        COMPILED * all * (6 + 4 * self.groups) as f64
    }
}

/// A number that is at least halved when the excess is large, and smaller in any case.
fn less(n: usize, excess: f64) -> usize {
    if excess >= 2.0 { n / 2 } else { n - 1 - n / 16 }.max(1)
}

/// The part of the work that is done, reported to the caller.
pub(super) struct Meter<'a> {
    done: Cell<f64>,
    total: Cell<f64>,
    /// The part that was reported before the work began anew.
    before: Cell<f64>,
    report: Option<&'a (dyn Fn(f64) + Sync)>,
}

impl<'a> Meter<'a> {
    pub(super) const fn new(report: Option<&'a (dyn Fn(f64) + Sync)>) -> Self {
        Self {
            done: Cell::new(0.0),
            total: Cell::new(1.0),
            before: Cell::new(0.0),
            report,
        }
    }

    /// The work begins, or begins anew.
    pub(super) fn begin(&self, total: f64) {
        self.before.set(self.part());
        self.done.set(0.0);
        self.total.set(total.max(1.0));
    }

    fn part(&self) -> f64 {
        let before = self.before.get();
        before + (1.0 - before) * (self.done.get() / self.total.get()).min(1.0)
    }

    /// Some more work is done.
    pub(super) fn add(&self, work: f64) {
        self.done.set(self.done.get() + work);
        if let Some(report) = self.report {
            report(self.part());
        }
    }

    /// All work is done.
    pub(super) fn finish(&self) {
        self.add(self.total.get());
    }
}
