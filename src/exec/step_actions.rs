//! The instructions of a step, prepared once.

#![allow(
    unsafe_code,
    reason = "operands are reached through pointers; a plan only names entries inside its buffers"
)]

use std::sync::PoisonError;

use super::driver::{Rows, Run, WorkerRun};
use super::interpret::steps::{ActionList, Steps};
use super::interpret::vector_loop::VectorLoop;
use super::prepared::PreparedLoop;
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::Result;
use crate::plan::{Instruction, Operand, Plan, Storage};

/// A stage and the index of an instruction in it.
type Place = (usize, usize);

/// Instructions that run in one call.
#[derive(Debug)]
enum Group<F> {
    /// On whole vectors: each value fits one.
    Narrow(Box<PreparedLoop<F>>),
    /// With their operands listed.
    Listed(ActionList<F>),
    /// One by one, as in any run.
    Single(Vec<Place>),
}

/// A value that the next step reads, in one row.
#[derive(Clone, Copy, Debug)]
struct Carried<F> {
    from: *const F,
    to: *mut F,
    len: usize,
}

/// The instructions of a step.
///
/// A step has the memory of a run of one step: between steps, the values of registers are in the rows of that step; before a
/// step that reads them from memory they are copied to the rows before it.
#[derive(Debug)]
pub(super) struct Actions<F> {
    groups: Vec<Group<F>>,
    carried: Vec<Carried<F>>,
    /// True if some instruction reads the value of a register from memory at each step. Otherwise narrow groups keep these
    /// values from step to step.
    reads_memory: bool,
    /// True if the values of registers in memory are newer than those that narrow groups keep.
    is_fresh: bool,
    /// True before the first step of a sequence.
    is_first: bool,
}

/// A pointer to the first entry of an operand at the current step in the first sample, and the distance to the next sample.
pub(super) fn place<F: Real>(workspace: &Workspace<F>, operand: &Operand) -> (*mut F, usize) {
    let slot = workspace.workers[0].slots[operand.buffer];
    let steps = isize::from(operand.shift) * slot.time as isize;
    let first = slot.ptr.wrapping_offset(steps).wrapping_add(operand.start);
    (first, slot.row)
}

/// Does something with the first worker of a workspace, for a step that is the last of its sequence.
fn with_worker<F: Real>(
    program: &Program<F>,
    workspace: &mut Workspace<F>,
    act: impl FnOnce(&mut WorkerRun<'_, '_, F>) -> Result<()>,
) -> Result<()> {
    let isas = [program.isa, program.wide];
    let (run, workers, _) = Run::of(&program.plan, isas, workspace, None);
    let mut worker = WorkerRun::new(&run, &mut workers[0], 0, 1);
    act(&mut worker)?;
    let failure = run.failure.into_inner();
    let failure = failure.unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

impl<F: Real> Actions<F> {
    /// Computes everything that does not vary with the step, and prepares a step.
    pub(super) fn new(program: &Program<F>, workspace: &mut Workspace<F>) -> Result<Self> {
        let plan = &program.plan;
        let mut groups = Vec::new();
        with_worker(program, workspace, |worker| {
            plan.once[0].iter().for_each(|i| worker.once(i));
            groups = groups_of(program, worker)?;
            Ok(())
        })?;
        let samples = workspace.extent.samples;
        let carried = plan.carries.iter().flat_map(|carry| {
            let before = Operand {
                shift: carry.value.shift - 1,
                ..carry.value
            };
            let ((from, row), (to, _)) =
                (place(workspace, &carry.value), place(workspace, &before));
            (0..samples).map(move |sample| Carried {
                from: from.wrapping_add(sample * row).cast_const(),
                to: to.wrapping_add(sample * row),
                len: carry.value.len,
            })
        });
        let mut actions = Self {
            reads_memory: reads_memory(plan, &groups),
            carried: carried.collect(),
            groups,
            is_fresh: true,
            is_first: true,
        };
        actions.start(program, workspace);
        Ok(actions)
    }

    /// Computes again everything that does not vary with the step, for a step whose number `enter` then tells.
    pub(super) fn renew(
        &mut self,
        program: &Program<F>,
        workspace: &mut Workspace<F>,
    ) -> Result<()> {
        self.enter(workspace, true);
        with_worker(program, workspace, |worker| {
            program.plan.once[0].iter().for_each(|i| worker.once(i));
            for group in &mut self.groups {
                if let Group::Narrow(prepared) = group {
                    worker.connect(prepared, 0);
                }
            }
            Ok(())
        })
    }

    /// Sets the registers to their initial values and the sums to zero.
    pub(super) fn start(&mut self, program: &Program<F>, workspace: &mut Workspace<F>) {
        let samples = workspace.extent.samples;
        for carry in &program.plan.carries {
            let (to, row) = place(workspace, &carry.value);
            let from = carry.init.map(|init| place(workspace, &init));
            for sample in 0..samples {
                let to = to.wrapping_add(sample * row);
                // SAFETY: both have a row for each sample, and `len` entries.
                unsafe {
                    match from {
                        Some((from, row)) => {
                            let from = from.wrapping_add(sample * row);
                            std::ptr::copy(from, to, carry.value.len);
                        }
                        None => std::slice::from_raw_parts_mut(to, carry.value.len).fill(F::zero()),
                    }
                }
            }
        }
        for buffer in sums(&program.plan) {
            workspace.buffers[buffer].as_mut_slice().fill(F::zero());
        }
        self.enter(workspace, true);
    }

    /// Takes note that the values of registers in memory have changed, and whether the next step is the first.
    pub(super) fn enter(&mut self, workspace: &mut Workspace<F>, is_first: bool) {
        self.is_fresh = true;
        // The first step has number 0, and any other number 1.
        let step = usize::from(!is_first);
        self.is_first = is_first;
        workspace.lengths.fill(step + 1);
        for slot in &mut workspace.workers[0].slots {
            if slot.time > 0 {
                slot.origin = step;
            }
        }
    }

    /// Takes a step.
    pub(super) fn run(&mut self, program: &Program<F>, workspace: &mut Workspace<F>) -> Result<()> {
        if self.is_fresh || self.reads_memory {
            for Carried { from, to, len } in &self.carried {
                // SAFETY: both are rows of one buffer.
                unsafe { std::ptr::copy_nonoverlapping(*from, *to, *len) };
            }
        }
        let step = usize::from(!self.is_first);
        let rows = Rows {
            step,
            first: 0,
            count: workspace.extent.samples,
        };
        let mut result = Ok(());
        for group in &self.groups {
            match group {
                Group::Narrow(prepared) => {
                    let vector_loop = VectorLoop {
                        before: if self.is_fresh { &prepared.before } else { &[] },
                        loads: &prepared.loads,
                        ops: &prepared.ops,
                        terms: &prepared.terms,
                        pieces: &prepared.pieces,
                        carried: &prepared.carried,
                        first: 0,
                        end: 1,
                        forward: true,
                    };
                    // SAFETY: operands of a plan lie inside the buffers, each output has one program, and the slots
                    // have the width of the vectors of this instruction set.
                    unsafe { vector_loop.run(program.isa) };
                }
                Group::Listed(list) => {
                    let own = &mut workspace.workers[0];
                    let steps = Steps {
                        list,
                        programs: &program.plan,
                        tables: &mut own.tables,
                        segments: &mut own.segments,
                        scratch: own.staging,
                        first: 0,
                        end: 1,
                        forward: true,
                    };
                    // SAFETY: as above.
                    unsafe { steps.run(program.isa) };
                }
                Group::Single(places) => {
                    let found = with_worker(program, workspace, |worker| {
                        for (stage, index) in places {
                            let body = &program.plan.passes[0].stages[*stage].body;
                            worker.apply(&body[*index].instruction, rows);
                        }
                        Ok(())
                    });
                    result = result.and(found);
                }
            }
        }
        self.is_fresh = false;
        if self.is_first {
            self.enter(workspace, false);
            self.is_fresh = false;
        }
        result
    }

    /// Computes the values after the last step.
    pub(super) fn finish(&self, program: &Program<F>, workspace: &mut Workspace<F>) -> Result<()> {
        with_worker(program, workspace, |worker| {
            program.plan.once[1].iter().for_each(|i| worker.once(i));
            Ok(())
        })
    }

    /// Takes over the step of other actions on the same plan, whose memory was copied.
    pub(super) fn go_on_from(&mut self, other: &Self, workspace: &mut Workspace<F>) {
        self.enter(workspace, other.is_first);
    }
}

/// The buffers of sums over steps, and of values of the first or the last.
pub(super) fn sums(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    written(plan, |_| true)
}

/// The buffers of sums over steps.
pub(super) fn totals(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    written(plan, |instruction| {
        !matches!(instruction, Instruction::Pick { .. })
    })
}

/// The buffers of values that do not vary with the step, and that some instructions of a step write.
fn written<'a>(
    plan: &'a Plan,
    by: impl Fn(&Instruction) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    let is_written = move |index: usize| {
        let works = plan.passes[0].stages.iter().flat_map(|s| &s.body);
        let works = works.map(|work| &work.instruction).filter(|i| by(i));
        let mut writes = works.flat_map(|i| i.writes(&plan.programs));
        writes.any(|o| o.buffer == index)
    };
    let buffers = plan.buffers.iter().enumerate();
    buffers
        .filter(move |(index, buffer)| {
            matches!(buffer.storage, Storage::Static | Storage::Sample) && is_written(*index)
        })
        .map(|(index, _)| index)
}

/// The instructions of a step in groups.
fn groups_of<F: Real>(
    program: &Program<F>,
    worker: &mut WorkerRun<'_, '_, F>,
) -> Result<Vec<Group<F>>> {
    let stages = &program.plan.passes[0].stages;
    let is_alone = worker.run.extent.samples == 1;
    let mut runs: Vec<(bool, Vec<Place>)> = Vec::new();
    for (stage, group) in stages.iter().enumerate() {
        for (index, work) in group.body.iter().enumerate() {
            let mut list = ActionList::default();
            let fits = is_alone && worker.add(&work.instruction, 0, &mut list);
            match runs.last_mut() {
                Some((together, places)) if *together == fits => places.push((stage, index)),
                _ => runs.push((fits, vec![(stage, index)])),
            }
        }
    }
    let mut groups = Vec::new();
    for (fits, places) in runs {
        if !fits {
            groups.push(Group::Single(places));
        } else if let Some(narrow) = narrow(program, worker, &places)? {
            groups.push(narrow);
        } else {
            for places in places.chunk_by(|a, b| a.0 == b.0) {
                groups.push(match narrow(program, worker, places)? {
                    Some(narrow) => narrow,
                    None => listed(program, worker, places),
                });
            }
        }
    }
    Ok(groups)
}

fn at<'p>(plan: &'p Plan, (stage, index): &Place) -> &'p Instruction {
    &plan.passes[0].stages[*stage].body[*index].instruction
}

/// A group on whole vectors, if all values are narrow.
fn narrow<F: Real>(
    program: &Program<F>,
    worker: &WorkerRun<'_, '_, F>,
    places: &[Place],
) -> Result<Option<Group<F>>> {
    let plan = &program.plan;
    let body: Vec<&Instruction> = places.iter().map(|place| at(plan, place)).collect();
    let stages = plan.passes[0].stages.iter().enumerate();
    let all = stages.flat_map(|(s, stage)| (0..stage.body.len()).map(move |i| (s, i)));
    let others = all.filter(|place| !places.contains(place));
    let others = others.map(|place| at(plan, &place));
    let mut elsewhere: Vec<Operand> = others
        .chain(plan.once.iter().flatten())
        .flat_map(|i| i.operands(&plan.programs))
        .collect();
    elsewhere.extend(plan.outputs.iter().map(|o| o.operand));
    elsewhere.extend(plan.carries.iter().map(|c| c.value));
    let found = |value: &Operand| elsewhere.iter().any(|o| o.overlaps(value));
    let lanes = program.isa.lanes::<F>();
    let prepared = PreparedLoop::of_body(plan, &body, (true, lanes), &found)?;
    Ok(prepared.map(|mut prepared| {
        worker.connect(&mut prepared, 0);
        Group::Narrow(Box::new(prepared))
    }))
}

fn listed<F: Real>(
    program: &Program<F>,
    worker: &WorkerRun<'_, '_, F>,
    places: &[Place],
) -> Group<F> {
    let mut list = ActionList::default();
    for place in places {
        worker.add(at(&program.plan, place), 0, &mut list);
    }
    Group::Listed(list)
}

/// Returns true if an instruction or an output reads the value of a register from memory.
fn reads_memory<F: Real>(plan: &Plan, groups: &[Group<F>]) -> bool {
    let is_earlier = |operand: &Operand| operand.shift != 0;
    let narrow = |prepared: &PreparedLoop<F>| {
        let loads = prepared.loads_at.iter();
        loads
            .chain(prepared.ops_at.iter().flatten())
            .any(is_earlier)
    };
    groups.iter().any(|group| match group {
        Group::Narrow(prepared) => narrow(prepared),
        Group::Listed(_) | Group::Single(_) => true,
    }) || plan.outputs.iter().any(|o| is_earlier(&o.operand))
}
