//! The memory of a run: how much it needs, and the timetable that follows from it.

use super::Real;
use super::edges::Edges;
use super::interpret::entrywise::BLOCK;
use super::kernel::{Isa, OverRows};
use super::lane_rows;
use super::long::{self, keeps_lost};
use crate::error::{Error, Result};
use crate::limit::{check_memory, memory_limit};
use crate::plan::{Instruction, Memory, Plan, Sizes, Storage, Timetable};
use crate::shape::Rate;

/// The bytes of small lists and of alignment, for each buffer, pack, program and carry of a plan.
const SPARE: usize = 512;
/// The bytes of all other lists.
pub(super) const LISTS: usize = 1 << 14;
/// The bytes of the lists of a worker for each micro-operation and each place of a program.
const PER_OP: usize = 128;

/// The size of the data of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) steps: usize,
    pub(super) samples: usize,
    /// The number of steps of a chunk of time.
    pub(super) chunk: usize,
    /// The number of directions, or one.
    pub(super) lanes: usize,
    /// The number of steps for which the work for each direction is done at a time.
    pub(super) tile: usize,
}

impl Extent {
    /// Returns true if all sums over steps and samples are compensated.
    pub(super) const fn is_long<F: Real>(&self) -> bool {
        long::is_long::<F>(self.steps, self.samples)
    }
}

/// The run that a workspace is prepared for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) extent: Extent,
    pub(super) memory: Memory,
    /// The bytes of the copies of inputs.
    pub(super) copies: usize,
}

/// The numbers of the parts of a run's memory.
pub(super) struct Room {
    /// For each buffer, the numbers of a row, doubled if rounding errors are kept.
    widths: Vec<usize>,
    /// The numbers of a worker's memory.
    pub(super) worker: Scratch,
}

/// The memory of each worker, in numbers.
#[derive(Clone, Copy)]
pub(super) struct Scratch {
    pub(super) blocks: usize,
    pub(super) packing: usize,
    pub(super) chains: usize,
}

impl Scratch {
    fn of<F: Real>(plan: &Plan, is_long: bool) -> Self {
        let most = |f: &dyn Fn(&crate::plan::Program) -> usize| {
            plan.programs.iter().map(f).max().unwrap_or(0)
        };
        let registers = most(&|p| p.registers);
        let operands = most(&|p| p.inputs.len() + p.outputs.len());
        let packing = plan.instructions().map(|instruction| match instruction {
            Instruction::OuterTotal { a, b, .. } => OverRows::<F>::scratch(a.len, b.len),
            _ => 0,
        });
        Self {
            blocks: (registers + operands) * BLOCK,
            packing: packing.max().unwrap_or(0),
            chains: if is_long { long::scratch(plan) } else { 0 },
        }
    }
}

impl Room {
    pub(super) fn of<F: Real>(plan: &Plan, extent: Extent) -> Self {
        let is_long = extent.is_long::<F>();
        let row = |b| lane_rows::row(b, extent.lanes);
        let mut widths: Vec<usize> = plan.buffers.iter().map(row).collect();
        for instruction in plan.instructions().filter(|i| keeps_lost(i, is_long)) {
            if let Some(out) = instruction.accumulates() {
                widths[out.buffer] = row(&plan.buffers[out.buffer]).saturating_mul(2);
            }
        }
        Self {
            widths,
            worker: Scratch::of::<F>(plan, is_long),
        }
    }

    /// The numbers of each buffer; `None` if one is too large.
    pub(super) fn lens(
        &self,
        plan: &Plan,
        extent: Extent,
        table: &Timetable,
    ) -> Option<Vec<usize>> {
        let rows = |storage: Storage| match storage {
            Storage::Full => table
                .unit
                .checked_add(2)?
                .checked_mul(table.windows)?
                .checked_mul(extent.samples),
            other => rows(other, extent),
        };
        let buffers = plan.buffers.iter().zip(&self.widths);
        buffers
            .map(|(b, width)| rows(b.storage)?.checked_mul(*width))
            .collect()
    }

    /// The bytes that decide about the timetable; `None` if they overflow.
    fn sizes<F: Real>(
        &self,
        plan: &Plan,
        isa: Isa,
        wanted: &Wanted,
        threads: usize,
        edges: &[Edges<F>],
    ) -> Option<Sizes> {
        let Extent {
            steps,
            samples,
            chunk,
            lanes,
            ..
        } = wanted.extent;
        let (mut fixed, mut step) = (0usize, 0usize);
        for (buffer, width) in plan.buffers.iter().zip(&self.widths) {
            if buffer.storage == Storage::Full {
                step = step.checked_add(samples.checked_mul(*width)?)?;
            } else {
                let rows = rows(buffer.storage, wanted.extent)?;
                fixed = fixed.checked_add(rows.checked_mul(*width)?)?;
            }
        }
        for pack in &plan.packs {
            fixed = fixed.checked_add(lane_rows::packed::<F>(pack, isa, lanes))?;
        }
        let constants = plan.programs.iter().map(|p| p.constants.len() * BLOCK);
        let Scratch {
            blocks,
            packing,
            chains,
        } = self.worker;
        let worker = blocks.checked_add(packing)?.checked_add(chains)?;
        fixed = fixed
            .checked_add(constants.sum())?
            .checked_add(worker.checked_mul(threads)?)?;
        let number = size_of::<F>();
        let lists = samples
            .checked_mul(2 * size_of::<usize>())?
            .checked_add(LISTS)?;
        let parts =
            plan.buffers.len() + plan.packs.len() + plan.programs.len() + plan.carries.len();
        let ops = plan.programs.iter().map(|p| {
            let places = p.registers + p.constants.len() + p.inputs.len() + p.outputs.len();
            p.ops.len() + places
        });
        let of_worker = PER_OP.checked_mul(ops.sum())?;
        let edges = edges.iter().map(|e| {
            let numbers = e.width.checked_mul(samples)?;
            numbers.checked_mul(number)
        });
        Some(Sizes {
            steps,
            chunk,
            fixed: fixed
                .checked_mul(number)?
                .checked_add(lists)?
                .checked_add(parts.checked_mul(SPARE)?)?
                .checked_add(of_worker.checked_mul(threads)?)?
                .checked_add(wanted.copies)?,
            step: step.checked_mul(number)?,
            edges: edges.collect::<Option<_>>()?,
        })
    }

    /// The timetable of a run, and the bytes that it needs together with its results.
    pub(super) fn timetable<F: Real>(
        &self,
        plan: &Plan,
        isa: Isa,
        wanted: &Wanted,
        threads: usize,
        edges: &[Edges<F>],
    ) -> Result<(Timetable, usize)> {
        let steps = wanted.extent.steps;
        let all = Timetable::all(plan, steps);
        let results = results::<F>(plan, wanted.extent);
        let sizes = self.sizes(plan, isa, wanted, threads, edges);
        let (Some(sizes), Some(results)) = (sizes, results) else {
            check_memory(None)?;
            return Ok((all, 0));
        };
        let whole = all.bytes(&sizes).and_then(|b| b.checked_add(results));
        let table = match wanted.memory {
            Memory::All => all,
            Memory::Available if check_memory(whole).is_ok() => all,
            Memory::Available => {
                let limit = memory_limit();
                let refuse = |least: usize| Error::OutOfMemory {
                    bytes: least.saturating_add(results),
                    limit,
                };
                let free = limit.saturating_sub(results);
                Timetable::within(plan, &sizes, free).map_err(refuse)?
            }
            Memory::Bytes(given) => Timetable::within(plan, &sizes, given)
                .map_err(|least| Error::MemoryTooSmall { least, given })?,
            Memory::Sqrt => Timetable::sqrt(plan, &sizes),
        };
        let bytes = table.bytes(&sizes).and_then(|b| b.checked_add(results));
        check_memory(bytes)?;
        Ok((table, bytes.unwrap_or(0)))
    }
}

/// The rows of a buffer that does not depend on the timetable.
const fn rows(storage: Storage, extent: Extent) -> Option<usize> {
    match storage {
        Storage::Leaf(_) | Storage::Full => Some(0),
        Storage::Static => Some(1),
        Storage::Sample | Storage::Local => Some(extent.samples),
        Storage::Chunk => (extent.chunk + 2).checked_mul(extent.samples),
    }
}

/// The bytes of all outputs.
fn results<F>(plan: &Plan, extent: Extent) -> Option<usize> {
    let numbers = plan.outputs.iter().map(|o| {
        let places = match o.rate {
            Rate::Static => 1,
            Rate::Sample => extent.samples,
            Rate::Step => extent.steps.checked_mul(extent.samples)?,
        };
        let lanes = if o.laned { extent.lanes } else { 1 };
        places.checked_mul(lanes)?.checked_mul(o.operand.len)
    });
    let numbers = { numbers }.try_fold(0usize, |all, len| all.checked_add(len?))?;
    numbers.checked_mul(size_of::<F>())
}
