//! The part of the data that every route uses, and the progress of the work.

use std::cell::Cell;

use super::differences;
use crate::error::Result;
use crate::op::NodeId;
use crate::recurrence::{Batch, Params, Recurrence, Wrt};
use crate::shape::Rate;

/// The work of a certification, in evaluations of a node: a few seconds.
const BUDGET: f64 = 1e7;
/// Below this number of steps, samples are reduced rather than steps.
const ENOUGH_STEPS: usize = 32;
/// The minimum numbers of steps and samples that show an error in the treatment of time or samples.
const FEWEST: (usize, usize) = (3, 2);
/// The number of array entries that take as long as the overhead of a node.
const ENTRIES: f64 = 128.0;
/// The work of unrolling, differentiating and ordering a node, in evaluations.
const BUILT: f64 = 8.0;
/// The work of an entry with random rounding, relative to one without.
const ROUNDED: f64 = 3.0;
/// The time of a node on the compiled engine, relative to its evaluation.
const COMPILED: f64 = 1.0 / 50.0;
/// The number of evaluations with random rounding; a few may all round to the same values.
const DRAWS: usize = 8;
/// The same for large arrays, whose entries are many random draws at once.
const FEWEST_DRAWS: usize = 3;
/// Second order is omitted if even its minimum takes this multiple of the budget.
const TOO_MUCH: f64 = 4.0;

/// The number of nodes of a tape, and of the entries of their arguments and results.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    nodes: f64,
    entries: f64,
}

impl Load {
    const fn plus(self, times: f64, other: Self) -> Self {
        Self {
            nodes: self.nodes + times * other.nodes,
            entries: self.entries + times * other.entries,
        }
    }

    /// The work of one evaluation.
    pub(super) const fn evaluated(self) -> f64 {
        self.nodes + self.entries / ENTRIES
    }

    /// The work of building the tape.
    pub(super) const fn built(self) -> f64 {
        BUILT * self.nodes
    }

    /// The work of an evaluation with random rounding.
    const fn drawn(self) -> f64 {
        self.nodes + ROUNDED * self.entries / ENTRIES
    }

    /// The work of two routes to a derivative, and of estimating the rounding errors of its entries.
    const fn compared(self, draws: usize) -> f64 {
        2.0 * self.built() + 3.0 * self.evaluated() + draws as f64 * self.drawn()
    }
}

/// The load of a recurrence as a function of the data.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    fixed: Load,
    per_sample: Load,
    per_step: Load,
}

impl Growth {
    fn of(recurrence: &Recurrence, roots: Vec<NodeId>, sizes: &[usize]) -> Self {
        let tape = recurrence.tape();
        let entries = |id| {
            let shape = tape.ty(id).shape.values(sizes);
            shape.iter().map(|n| *n as f64).product::<f64>()
        };
        let mut found = Self::default();
        // Every evaluation accesses the array of each leaf.
        found.fixed.nodes = tape.leaves().len() as f64;
        let live = tape.live(roots);
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            let own = Load {
                nodes: 1.0,
                entries: entries(id) + node.args().iter().map(|a| entries(*a)).sum::<f64>(),
            };
            // A sum over steps has a term for each step.
            let args = node.args().iter().map(|a| tape.ty(*a).rate);
            let load = match args.chain([node.ty().rate]).max().unwrap_or(Rate::Static) {
                Rate::Static => &mut found.fixed,
                Rate::Sample => &mut found.per_sample,
                Rate::Step => &mut found.per_step,
            };
            *load = load.plus(1.0, own);
        }
        found
    }

    /// The load on the first `steps` steps of the first samples.
    fn on(self, lengths: &[usize], steps: usize, samples: usize) -> Load {
        let places: usize = lengths.iter().take(samples).map(|l| *l.min(&steps)).sum();
        let samples = self.fixed.plus(samples as f64, self.per_sample);
        samples.plus(places as f64, self.per_step)
    }
}

/// The load of the loss and of its derivatives as a function of the data.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    loss: Growth,
    tangent: Growth,
    gradient: Growth,
    hessian: Growth,
}

impl Cost {
    pub(super) fn of(
        recurrence: &Recurrence,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Self> {
        let bound = recurrence.bind(params, batch)?;
        let whole = |derived: Recurrence| {
            let roots = derived.output_nodes().map(|(_, id)| id).collect();
            Growth::of(&derived, roots, bound.sizes())
        };
        Ok(Self {
            loss: Growth::of(recurrence, vec![recurrence.loss()?], bound.sizes()),
            tangent: whole(recurrence.tangent(Wrt::Everything)?),
            gradient: whole(recurrence.gradient(Wrt::Everything)?),
            hessian: whole(recurrence.hessian_vector(Wrt::Everything)?),
        })
    }

    fn on(self, lengths: &[usize], steps: usize, samples: usize) -> Loads {
        let on = |growth: Growth| growth.on(lengths, steps, samples);
        Loads {
            loss: on(self.loss),
            tangent: on(self.tangent),
            gradient: on(self.gradient),
            hessian: on(self.hessian),
        }
    }
}

/// The load of the loss and of its derivatives on a part of the data.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loads {
    pub(super) loss: Load,
    pub(super) tangent: Load,
    pub(super) gradient: Load,
    pub(super) hessian: Load,
}

/// The part of the data that every route uses, and the number of directions on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) steps: usize,
    pub(super) samples: usize,
    /// The number of entries of each array that are perturbed one by one.
    pub(super) entries: usize,
    /// The number of groups of arrays that are perturbed together; each array alone if there are as many groups as
    /// arrays.
    pub(super) groups: usize,
    /// The number of evaluations with random rounding.
    pub(super) draws: usize,
    /// True if second derivatives are certified.
    pub(super) second: bool,
    pub(super) loads: Loads,
}

impl Scope {
    /// The largest part of the data within the budget, from the first step on, with fewer directions if even little
    /// data takes too long.
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
            draws: DRAWS,
            second: true,
            loads: Loads::default(),
        };
        loop {
            scope.loads = cost.on(&lengths, scope.steps, scope.samples);
            let excess = scope.work() / BUDGET;
            if excess <= 1.0 {
                return scope;
            }
            let Self {
                steps,
                samples,
                entries,
                groups,
                draws,
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
            } else if draws > FEWEST_DRAWS {
                scope.draws = FEWEST_DRAWS;
            } else if groups > 1 {
                scope.groups = less(groups, excess);
            } else if excess > TOO_MUCH && scope.second {
                scope.second = false;
            } else {
                return scope;
            }
        }
    }

    /// A quarter of the steps, for a loss that is too curved over all of them.
    pub(super) fn shorter(self, cost: Cost, batch: &Batch<f64>) -> Option<Self> {
        let steps = self.steps / 4;
        (steps >= FEWEST.0).then(|| self.with_steps(steps, cost, batch))
    }

    /// Twice the steps, for a loss that is undefined on the first ones alone.
    pub(super) fn longer(self, cost: Cost, batch: &Batch<f64>) -> Option<Self> {
        let steps = self.steps.saturating_mul(2).min(batch.steps());
        (steps > self.steps).then(|| self.with_steps(steps, cost, batch))
    }

    fn with_steps(self, steps: usize, cost: Cost, batch: &Batch<f64>) -> Self {
        Self {
            steps,
            loads: cost.on(&batch.lengths().collect::<Vec<_>>(), steps, self.samples),
            ..self
        }
    }

    /// Returns true if a part of the data is omitted.
    pub(super) fn is_partial(&self, batch: &Batch<f64>) -> bool {
        let longest = batch.lengths().max().unwrap_or(0);
        self.steps < longest || self.samples < batch.samples()
    }

    /// The number of directions.
    pub(super) fn directions(&self) -> f64 {
        ((self.entries + 1) * self.groups) as f64
    }

    /// The work of comparing the gradient by two routes.
    pub(super) fn first_order(&self) -> f64 {
        let Loads { loss, gradient, .. } = self.loads;
        loss.built() + loss.evaluated() + gradient.compared(self.draws)
    }

    /// The work of comparing the Hessian product by two routes.
    pub(super) fn second_order(&self) -> f64 {
        self.loads.hessian.compared(self.draws)
    }

    /// The work of all routes without the compiled engine.
    pub(super) fn work(&self) -> f64 {
        let Loads {
            loss,
            tangent,
            gradient,
            ..
        } = self.loads;
        let evaluations = differences::EVALUATIONS as f64;
        let second = match self.second {
            true => self.second_order() + evaluations * gradient.evaluated(),
            false => 0.0,
        };
        let direction = tangent.evaluated() + evaluations * loss.evaluated();
        let movable = 2.0 * self.groups as f64 * loss.evaluated();
        self.first_order() + tangent.built() + movable + self.directions() * direction + second
    }

    /// The work of the compiled engine on all of the data.
    pub(super) fn whole(&self, cost: Cost, batch: &Batch<f64>) -> f64 {
        let all = cost.on(
            &batch.lengths().collect::<Vec<_>>(),
            batch.steps(),
            batch.samples(),
        );
        COMPILED * all.loss.evaluated() * (6 + 4 * self.groups) as f64
    }
}

/// Reduces `n`: at least halves it if the excess is 2 or more, and by about a sixteenth otherwise.
fn less(n: usize, excess: f64) -> usize {
    if excess >= 2.0 { n / 2 } else { n - 1 - n / 16 }.max(1)
}

/// Reports the completed part of the work to the caller.
pub(super) struct Meter<'a> {
    done: Cell<f64>,
    total: Cell<f64>,
    /// The part that was reported before the work was restarted.
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

    /// Starts or restarts the work.
    pub(super) fn begin(&self, total: f64) {
        self.before.set(self.part());
        self.done.set(0.0);
        self.total.set(total.max(1.0));
    }

    fn part(&self) -> f64 {
        let before = self.before.get();
        before + (1.0 - before) * (self.done.get() / self.total.get()).min(1.0)
    }

    /// Adds completed work.
    pub(super) fn add(&self, work: f64) {
        self.done.set(self.done.get() + work);
        if let Some(report) = self.report {
            report(self.part());
        }
    }

    /// Completes all work.
    pub(super) fn finish(&self) {
        self.add(self.total.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget limits the time on large arrays only if their entries count in every kind of work.
    #[test]
    fn work_on_large_arrays_is_proportional_to_their_entries() {
        let load = |entries| Load {
            nodes: 10.0,
            entries,
        };
        for work in [Load::evaluated, Load::drawn] {
            let ratio = work(load(2e6)) / work(load(1e6));
            assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
        }
    }
}
