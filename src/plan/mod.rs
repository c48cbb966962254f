//! Plans: the instructions that run a recurrence, derived from its graph alone.
//!
//! | step | file |
//! |---|---|
//! | sizes fixed, memory patterns instead of ops | `graph` |
//! | chains of additions become one sum | `sums` |
//! | sums of products become one operation, and leave the loop where they can | `products` |
//! | copies where a value must be in memory | `access` |
//! | passes over time, loops, and work for many steps at once | `schedule` |
//! | values kept for a later pass or computed again | `recompute` |
//! | values of which there are several, one for each direction | `lanes` |
//! | adjacent values and their lifetimes | `layout`, `rows` |
//! | entrywise work fused | `program` |
//! | legs of a run: the order of passes over units of steps | `timetable`, `chain` |
//! | instructions | `instruction`, `emit`, `multiply` |
//! | a check of the whole plan | `verify` |
//!
//! `counts` returns the cost of a plan, `describe` a description.

mod access;
mod chain;
mod counts;
mod describe;
mod emit;
mod formula;
mod graph;
mod instruction;
mod lanes;
mod layout;
mod multiply;
mod products;
mod program;
mod recompute;
mod rows;
mod schedule;
mod storage;
mod sums;
mod timetable;
mod verify;
#[cfg(test)]
mod verify_tests;

pub use counts::{Counts, Tally};
pub(crate) use instruction::{
    Carry, Found, Instruction, Operand, Pack, Pass, Program, Stage, Work,
};
pub(crate) use layout::Buffer;
pub(crate) use program::{Code, MicroOp};
pub(crate) use storage::Storage;
pub use timetable::{Leg, Memory};
pub(crate) use timetable::{Sizes, Timetable};

use crate::op::{Move, Strides};
use crate::recurrence::Recurrence;
use crate::shape::Rate;

/// An output of a plan.
#[derive(Clone, Debug)]
pub(crate) struct OutputSpec {
    pub(crate) name: String,
    pub(crate) operand: Operand,
    pub(crate) shape: Vec<usize>,
    pub(crate) rate: Rate,
    /// The pass that computes it; `None` if it does not vary with the step, or is an input.
    pub(crate) pass: Option<usize>,
    /// True if there is one for each direction of a run.
    pub(crate) laned: bool,
}

/// The instructions that run a recurrence, for fixed sizes of its dimensions and any number of
/// steps and samples.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) packs: Vec<Pack>,
    pub(crate) programs: Vec<Program>,
    /// For each pass, the instructions that run once, or once per sample, before it; then those
    /// after the last pass.
    pub(crate) once: Vec<Vec<Instruction>>,
    pub(crate) passes: Vec<Pass>,
    pub(crate) carries: Vec<Carry>,
    pub(crate) outputs: Vec<OutputSpec>,
    /// The values of the recurrence in memory, beginning with the values of registers.
    pub(crate) values: Vec<Found>,
    /// The entries of a row of all buffers of a chunk of time, if there is one direction.
    pub(crate) chunked: usize,
}

/// The directions of a plan: the leaves and the outputs that there are several of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directions {
    pub(crate) leaves: Vec<bool>,
    pub(crate) outputs: Vec<bool>,
}

impl Plan {
    /// Plans a recurrence for these sizes of its dimensions, in order of declaration, and for runs in
    /// one direction, or in several at once.
    pub(crate) fn of(recurrence: &Recurrence, sizes: &[usize], several: &Directions) -> Self {
        let mut graph = graph::Graph::of(recurrence, sizes);
        graph.fuse_products();
        graph.materialise();
        graph.recompute(&schedule::Schedule::of(&graph));
        graph.recompute_states(&schedule::Schedule::of(&graph));
        let schedule = schedule::Schedule::of(&graph);
        let one = layout::Layout::of(&graph, &schedule, vec![false; graph.nodes.len()]);
        let is_direction = |leaf: usize| several.leaves.get(leaf) == Some(&true);
        let laned = graph.lanes(&is_direction);
        let layout = match laned.contains(&true) {
            true => &layout::Layout::of(&graph, &schedule, laned),
            false => &one,
        };
        let mut plan = emit::Emitter::emit(&graph, &schedule, [layout, &one], several);
        for i in 0..plan.outputs.len() {
            plan.outputs[i].pass = plan.computes(&plan.outputs[i]);
        }
        plan
    }
}

impl Plan {
    /// The pass that computes an output per step; `None` for other outputs and for inputs.
    fn computes(&self, output: &OutputSpec) -> Option<usize> {
        let out = &output.operand;
        let is_leaf = matches!(self.buffers[out.buffer].storage, Storage::Leaf(_));
        let writes = |pass: &Pass| {
            let work = pass.stages.iter().flat_map(|s| &s.body);
            let mut written = work.flat_map(|w| w.instruction.writes(&self.programs));
            written.any(|w| w.overlaps(out))
        };
        let is_by_step = output.rate == Rate::Step && !is_leaf;
        is_by_step
            .then(|| self.passes.iter().rposition(writes))
            .flatten()
    }

    /// All instructions.
    pub(crate) fn instructions(&self) -> impl Iterator<Item = &Instruction> {
        let stages = self.passes.iter().flat_map(|p| &p.stages);
        let in_time = stages.flat_map(|s| s.body.iter().map(|w| &w.instruction));
        self.once.iter().flatten().chain(in_time)
    }

    /// Returns true if an instruction computes values for each direction of a run.
    pub(crate) fn is_laned(&self, instruction: &Instruction) -> bool {
        let out = match instruction {
            Instruction::Pack(pack) => return self.packs.get(*pack).is_some_and(|p| p.laned),
            Instruction::Program(index) => {
                self.programs.get(*index).and_then(|p| p.outputs.first())
            }
            other => other.out(),
        };
        let buffer = out.and_then(|out| self.buffers.get(out.buffer));
        buffer.is_some_and(|buffer| buffer.laned)
    }
}

/// A copy of `len` entries to consecutive entries from `start` on.
fn contiguous(start: usize, len: usize) -> Move {
    let along = |start| Strides {
        start,
        rows: 1,
        columns: 1,
        class: 0,
    };
    Move {
        extent: [len, 1],
        from: along(0),
        to: along(start),
    }
}
