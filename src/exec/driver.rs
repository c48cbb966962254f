//! The driver: runs the passes, stages and steps of a plan.
//!
//! All workers run the same code on the same plan, each on its share: samples in a loop, steps in a
//! stage over many steps, entries of the result in a sum over time. The results do not depend on
//! the shares.

#![allow(
    unsafe_code,
    reason = "workers reach the buffers through pointers; a plan only names entries inside them"
)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use super::Real;
use super::edges::Legs;
use super::kernel::Isa;
use super::parallel::{Barrier, Pool, share};
use super::room::Extent;
use super::watch::Watch;
use super::workspace::{ByStep, Worker, Workspace};
use crate::error::Error;
use crate::op::Edge;
use crate::plan::{Instruction, Operand, Pass, Plan, Stage, Work};
use crate::shape::Rate;

/// The most samples for each worker whose rows are shared among workers.
const SHARED_SAMPLES: usize = 4;
/// The least size in bytes of the matrices of a step that are worth barriers if otherwise a worker would have no sample.
const LEAST_ALONE: usize = if cfg!(test) { 128 } else { 1 << 16 };
/// The same if each worker has a sample: the matrices do not stay in the cache of one worker.
const LEAST_SHARED: usize = if cfg!(test) { 256 } else { 1 << 20 };

/// The data shared by all workers of a run.
pub(super) struct Run<'a, F> {
    pub(super) plan: &'a Plan,
    pub(super) isa: Isa,
    /// The instruction set for entrywise programs on many rows; it gives the same bits as `isa`.
    pub(super) wide: Isa,
    pub(super) extent: Extent,
    /// The samples, longest first.
    pub(super) order: &'a [usize],
    /// The length of each sample, longest first.
    pub(super) lengths: &'a [usize],
    /// For each buffer, its classes, if it is a leaf of classes.
    pub(super) classes: &'a [*const usize],
    pub(super) packs: &'a [*mut F],
    /// The order of the passes, and the memory of what they carry.
    pub(super) legs: Legs<'a, F>,
    /// The arrays of outputs per step that are written after each leg.
    pub(super) results: Mutex<Vec<ByStep<F>>>,
    pub(super) barrier: Barrier,
    /// The search for values that are not finite, if it was requested.
    pub(super) watch: Option<Mutex<Watch<F>>>,
    pub(super) failure: Mutex<Option<Error>>,
}

// SAFETY: workers write to disjoint memory between two barriers.
unsafe impl<F: Real> Sync for Run<'_, F> {}

impl<'a, F: Real> Run<'a, F> {
    /// A run in the memory of a workspace that is prepared for it, with its workers and their threads.
    pub(super) fn of(
        plan: &'a Plan,
        [isa, wide]: [Isa; 2],
        workspace: &'a mut Workspace<F>,
        watch: Option<Watch<F>>,
    ) -> (Self, &'a mut [Worker<F>], &'a mut Pool) {
        let run = Self {
            plan,
            isa,
            wide,
            extent: workspace.extent,
            order: &workspace.order,
            lengths: &workspace.lengths,
            classes: &workspace.class_pointers,
            packs: &workspace.pack_pointers,
            legs: Legs {
                table: &workspace.timetable,
                edges: &workspace.edges,
                slots: &workspace.edge_pointers,
            },
            results: Mutex::new(std::mem::take(&mut workspace.by_step)),
            barrier: Barrier::default(),
            watch: watch.map(Mutex::new),
            failure: Mutex::new(None),
        };
        (run, &mut workspace.workers, &mut workspace.pool)
    }

    /// The number of samples that are longer than a step; the longest samples come first.
    pub(super) fn active(&self, step: usize) -> usize {
        match self.lengths.last() {
            Some(shortest) if *shortest > step => self.lengths.len(),
            _ => self.lengths.partition_point(|length| *length > step),
        }
    }
}

/// The part of a stage to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// All but sums over the steps.
    Values,
    Sums,
}

impl Part {
    /// Returns true if an instruction is no part of it.
    pub(super) const fn is_without(self, instruction: &Instruction) -> bool {
        match self {
            Self::All => false,
            Self::Values => instruction.ends_time(),
            Self::Sums => !instruction.ends_time(),
        }
    }
}

/// Rows that are processed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) step: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// One worker and its share of a run.
pub(super) struct WorkerRun<'a, 'w, F: Real> {
    pub(super) run: &'a Run<'a, F>,
    pub(super) own: &'w mut Worker<F>,
    pub(super) index: usize,
    pub(super) count: usize,
    /// The directions that the worker computes.
    pub(super) lanes: Range<usize>,
    /// The current direction, or the first one.
    pub(super) lane: usize,
    /// True while the directions of a sample are rows of one instruction.
    pub(super) across: bool,
}

/// The workers of a run: each belongs to one thread.
struct Workers<F: Real>(*mut Worker<F>);

// SAFETY: every thread takes a worker of its own.
unsafe impl<F: Real> Sync for Workers<F> {}

/// Executes a run with these workers: the first here, the others on the threads of the pool, of which
/// there is one for each.
pub(super) fn execute<F: Real>(run: &Run<'_, F>, workers: &mut [Worker<F>], pool: &mut Pool) {
    let count = workers.len();
    if let [own] = workers {
        return WorkerRun::new(run, own, 0, count).run();
    }
    let workers = Workers(workers.as_mut_ptr());
    pool.run(&|index| {
        let workers = &workers;
        // SAFETY: there are as many workers as threads, this one included.
        let own = unsafe { &mut *workers.0.add(index) };
        let mut worker = WorkerRun::new(run, own, index, count);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
            run.barrier.give_up();
            resume_unwind(panic);
        }
    });
}

impl<'a, 'w, F: Real> WorkerRun<'a, 'w, F> {
    pub(super) const fn new(
        run: &'a Run<'a, F>,
        own: &'w mut Worker<F>,
        index: usize,
        count: usize,
    ) -> Self {
        Self {
            run,
            own,
            index,
            count,
            lanes: 0..run.extent.lanes,
            lane: 0,
            across: false,
        }
    }

    /// Runs the plan.
    pub(super) fn run(&mut self) {
        let plan = self.run.plan;
        let is_pack = |i: &Instruction| matches!(i, Instruction::Pack(_));
        for (before, pass) in plan.once.iter().enumerate() {
            for run in pass.chunk_by(|a, b| is_pack(a) == is_pack(b)) {
                for (i, instruction) in run.iter().enumerate() {
                    // The packs are distributed over the workers.
                    let worker = if is_pack(instruction) {
                        i % self.count
                    } else {
                        0
                    };
                    if worker == self.index {
                        self.once(instruction);
                    }
                }
                self.wait();
            }
            for leg in self.run.legs.table.legs.get(before).into_iter().flatten() {
                self.leg(leg);
            }
        }
    }

    pub(super) fn wait(&self) {
        if self.count > 1 {
            self.run.barrier.wait(self.count);
        }
    }

    /// A pointer to the first entry of an operand in a row.
    #[inline(always)]
    pub(super) fn at(&self, operand: &Operand, step: usize, row: usize) -> *mut F {
        let slot = &self.own.slots[operand.buffer];
        let steps = step as isize + isize::from(operand.shift) - slot.origin as isize;
        let time = slot.ptr.wrapping_offset(steps * slot.time as isize);
        time.wrapping_add(row * slot.row + self.lane * slot.lane + operand.start)
    }

    pub(super) fn once(&mut self, instruction: &Instruction) {
        let samples = self.run.extent.samples;
        let count = match instruction.rate(&self.run.plan.programs) {
            Rate::Static => 1,
            _ => samples,
        };
        let rows = Rows {
            step: 0,
            first: 0,
            count,
        };
        match self.run.plan.is_laned(instruction) {
            true => self.everywhere(instruction, rows),
            false => self.apply(instruction, rows),
        }
    }

    /// Runs a part of a stage, given by its pass and its index in the pass.
    pub(super) fn stage(
        &mut self,
        (pass, index): (usize, usize),
        times: &Range<usize>,
        part: Part,
    ) {
        let Pass { forward, stages } = &self.run.plan.passes[pass];
        let (stage, forward) = (&stages[index], *forward);
        if stage.is_loop && part == Part::Sums {
            return;
        }
        if stage.is_loop {
            let joins = stage.body.iter().any(|w| w.instruction.joins_samples());
            if !joins && !stage.laned && self.shares_rows(stage) {
                return self.shared_loop(stage, times, forward);
            }
            // A sum over samples needs the rows of all of them at each step.
            let samples = self.run.extent.samples;
            let share = match (joins, self.index) {
                // Few samples may have many directions.
                (false, _) if stage.laned && samples < self.count => {
                    self.lanes = share(self.run.extent.lanes, self.index, self.count);
                    0..samples
                }
                (false, _) => share(samples, self.index, self.count),
                (true, 0) => 0..samples,
                (true, _) => 0..0,
            };
            let running = times.end > 0 && self.run.active(times.end - 1) >= share.end;
            let alone = share.len() == 1 && running;
            if alone && self.loops((pass, index), share.start, times) {
                self.lanes = 0..self.run.extent.lanes;
                return;
            }
            for i in 0..times.len() {
                let step = if forward {
                    times.start + i
                } else {
                    times.end - 1 - i
                };
                let end = share.end.min(self.run.active(step));
                let rows = Rows {
                    step,
                    first: share.start,
                    count: end.saturating_sub(share.start),
                };
                if rows.count > 0 {
                    let next = (i + 1 < times.len()).then_some(if forward {
                        step + 1
                    } else {
                        step.wrapping_sub(1)
                    });
                    self.look_ahead(&stage.kept, rows, next);
                    for work in &stage.body {
                        match stage.laned {
                            true => self.everywhere(&work.instruction, rows),
                            false => self.apply(&work.instruction, rows),
                        }
                    }
                }
            }
            self.own.ahead.clear();
            self.lanes = 0..self.run.extent.lanes;
            return;
        }
        // All workers begin a stage together.
        let mut is_together = true;
        for (i, work) in stage.body.iter().enumerate() {
            let Work {
                instruction,
                is_uniform,
                is_uniform_alone,
                looks_aside,
            } = work;
            if part.is_without(instruction) {
                continue;
            }
            let apart = instruction.ends_time() || *looks_aside;
            if apart && !is_together {
                self.wait();
            }
            if !instruction.ends_time() && !matches!(instruction, Instruction::Impulse { .. }) {
                let own = share(times.len(), self.index, self.count);
                let own = times.start + own.start..times.start + own.end;
                let alone = *is_uniform_alone && self.run.extent.samples == 1;
                for rows in self.blocks(own, *is_uniform || alone) {
                    match stage.laned {
                        true => self.everywhere(instruction, rows),
                        false => self.apply(instruction, rows),
                    }
                }
            } else {
                for lane in 0..self.several(stage.laned) {
                    self.lane = lane;
                    self.over_time(instruction, times);
                }
                self.lane = 0;
            }
            // Sums over time only read existing values, and their results are not read before the
            // end of the stage, so consecutive sums need no barrier.
            let next = stage.body.get(i + 1);
            is_together = apart && next.is_some();
            if is_together
                && !(instruction.is_sum() && next.is_some_and(|w| w.instruction.is_sum()))
            {
                self.wait();
            }
        }
    }

    /// Returns true if the workers share the entries of each row in a loop, and not the rows: there are few rows, and
    /// the matrices are so large that they are worth a barrier after each instruction.
    fn shares_rows(&self, stage: &Stage) -> bool {
        let samples = self.run.extent.samples;
        if self.count < 2 || samples > SHARED_SAMPLES * self.count {
            return false;
        }
        let numbers = stage.body.iter().map(|w| match &w.instruction {
            Instruction::Gemm { pack, .. } => {
                let pack = &self.run.plan.packs[*pack];
                pack.k * pack.n
            }
            _ => 0,
        });
        let bytes = numbers.sum::<usize>() * size_of::<F>();
        let least = match samples < self.count {
            true => LEAST_ALONE,
            false => LEAST_SHARED,
        };
        bytes >= least
    }

    /// Runs a loop whose workers share the entries of each row.
    fn shared_loop(&mut self, stage: &Stage, times: &Range<usize>, forward: bool) {
        for i in 0..times.len() {
            let step = if forward {
                times.start + i
            } else {
                times.end - 1 - i
            };
            let rows = Rows {
                step,
                first: 0,
                count: self.run.active(step),
            };
            for work in &stage.body {
                if rows.count > 0 {
                    self.apply_part(&work.instruction, rows);
                }
                self.wait();
            }
        }
    }

    /// Executes an instruction that reduces over the steps, or depends on which step is the first or
    /// last, for the current direction.
    fn over_time(&mut self, instruction: &Instruction, times: &Range<usize>) {
        match instruction {
            Instruction::OuterTotal { out, a, b, strong } => {
                let columns = share(a.len, self.index, self.count);
                for rows in self.blocks(times.clone(), true) {
                    self.outer([out, a, b], *strong, rows, columns.clone());
                }
            }
            Instruction::Total { out, from, close } => {
                let columns = share(out.len, self.index, self.count);
                let merged = out.rate == Rate::Static || self.run.extent.samples == 1;
                for rows in self.blocks(times.clone(), merged) {
                    self.total((out, from, *close), rows, columns.clone());
                }
            }
            Instruction::Pick { edge, .. } => {
                if self.index == 0 {
                    self.edges(instruction, *edge, times);
                }
            }
            Instruction::Impulse { out, edge, .. } => {
                let own = share(times.len(), self.index, self.count);
                let own = times.start + own.start..times.start + own.end;
                for rows in self.blocks(own.clone(), true) {
                    self.clear(out, rows);
                }
                self.edges(instruction, *edge, &own);
            }
            _ => {
                if self.index == 0 {
                    for rows in self.blocks(times.clone(), false) {
                        self.apply(instruction, rows);
                    }
                }
            }
        }
    }

    /// Records the rows of some buffers that the next step of a loop accesses.
    fn look_ahead(&mut self, buffers: &[usize], rows: Rows, next: Option<usize>) {
        self.own.ahead.clear();
        let Some(next) = next else {
            return;
        };
        for &buffer in buffers {
            let slot = &self.own.slots[buffer];
            let step = slot
                .ptr
                .wrapping_offset((next as isize - slot.origin as isize) * slot.time as isize);
            let from = step.wrapping_add(rows.first * slot.row);
            self.own
                .ahead
                .push(from.cast_const(), rows.count * slot.row);
        }
    }

    /// The rows of some steps: as one block if all samples reach the last of them and the work is
    /// the same at each step, otherwise one block per step.
    fn blocks(
        &self,
        times: Range<usize>,
        mergeable: bool,
    ) -> impl Iterator<Item = Rows> + use<'a, F> {
        let samples = self.run.extent.samples;
        let all = times.is_empty() || self.run.active(times.end - 1) == samples;
        let merged = mergeable && all && !times.is_empty();
        let run = self.run;
        let count = if merged { 1 } else { times.len() };
        (0..count).map(move |i| {
            let step = times.start + i;
            Rows {
                step,
                first: 0,
                count: if merged {
                    times.len() * samples
                } else {
                    run.active(step)
                },
            }
        })
    }

    /// Executes an instruction on the rows that have their first or last step among these steps.
    fn edges(&mut self, instruction: &Instruction, edge: Edge, times: &Range<usize>) {
        for first in 0..self.run.extent.samples {
            let step = match edge {
                Edge::First => 0,
                Edge::Last => self.run.lengths[first].saturating_sub(1),
            };
            if times.contains(&step) && first < self.run.active(step) {
                let rows = Rows {
                    step,
                    first,
                    count: 1,
                };
                self.apply(instruction, rows);
            }
        }
    }
}
