//! The memory of a run, apart from the plan and the data, and the private memory of each worker.

use std::fmt;
use std::sync::Arc;

use ndarray::{ArrayViewMutD, IxDyn, RawArrayViewMut};

use super::Real;
use super::edges::Edges;
use super::interpret::entrywise::{BLOCK, Rows};
use super::interpret::steps::ActionList;
use super::kernel::{Ahead, Isa, Segment};
use super::lane_rows;
use super::memory::Aligned;
use super::parallel::Pool;
use super::prepared::PreparedLoop;
use super::room::{Extent, LISTS, Room, Scratch, Wanted};
use crate::error::{Error, Result};
use crate::limit::check_memory;
use crate::plan::{Instruction, Plan, Timetable};
use crate::recurrence::{Outputs, Recurrence, View};

/// The maximum size in bytes of the buffers of a chunk of time together: they should stay in cache.
const CHUNK_BYTES: usize = 1 << 21;
/// The minimum number of rows of a product over a chunk.
const CHUNK_ROWS: usize = 256;

/// The location of the entries of a buffer: `ptr + (t − origin) · time + row · row + lane · lane`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<T> {
    pub(super) ptr: *mut T,
    /// The first entry of the buffer.
    pub(super) base: *mut T,
    pub(super) time: usize,
    pub(super) row: usize,
    /// The entries from one direction of a run to the next; zero for values that all share.
    pub(super) lane: usize,
    /// The step whose rows begin at `ptr`.
    pub(super) origin: usize,
}

/// An output per step that is written leg by leg, because its buffer has the steps of one leg only.
pub(super) struct ByStep<F> {
    /// The index of the output.
    pub(super) index: usize,
    pub(super) array: RawArrayViewMut<F, IxDyn>,
}

impl<F> fmt::Debug for ByStep<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByStep")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The private memory of one worker.
#[derive(Debug)]
pub(super) struct Worker<T> {
    pub(super) slots: Vec<Slot<T>>,
    /// For each program, a pointer for each place.
    pub(super) tables: Vec<Vec<*mut T>>,
    /// The entries from one row to the next, for each place of a program.
    pub(super) strides: Vec<usize>,
    pub(super) operands: Vec<Rows<T>>,
    pub(super) segments: Vec<Segment<T>>,
    /// The memory that the next step of a loop reads or writes.
    pub(super) ahead: Ahead<T>,
    pub(super) list: ActionList<T>,
    /// For each stage of each pass, its loop prepared for narrow values.
    pub(super) loops: Vec<Vec<Option<PreparedLoop<T>>>>,
    /// The blocks of registers, then of operands.
    _blocks: Aligned<T>,
    /// The first block of operands, after those of registers.
    pub(super) staging: *mut T,
    pub(super) packing: Aligned<T>,
    /// Sums of a few outer products, which are added to their total together.
    pub(super) chains: Aligned<T>,
}

/// The memory of runs of a [`Program`](super::Program). [`Program::workspace`](super::Program::workspace) makes it;
/// it grows at the first run of a size, and is then used again without allocation.
#[derive(Debug)]
pub struct Workspace<F: Real> {
    /// The identity of the program that made the workspace.
    pub(super) identity: Arc<()>,
    pub(super) wanted: Wanted,
    pub(super) extent: Extent,
    /// The order of the passes.
    pub(super) timetable: Timetable,
    /// For each pass, what its registers carry over boundaries.
    pub(super) edges: Vec<Edges<F>>,
    pub(super) edge_pointers: Vec<*mut F>,
    pub(super) buffers: Vec<Aligned<F>>,
    pub(super) packs: Vec<Aligned<F>>,
    /// The constants of each program, a block each.
    pub(super) constants: Vec<Aligned<F>>,
    /// The copies of inputs in another order of samples or another memory layout, or with masked
    /// entries replaced.
    pub(super) copies: Vec<Aligned<F>>,
    pub(super) classes: Vec<Vec<usize>>,
    pub(super) class_pointers: Vec<*const usize>,
    pub(super) pack_pointers: Vec<*mut F>,
    pub(super) workers: Vec<Worker<F>>,
    pub(super) outputs: Outputs<F>,
    /// For each output of the last run, true if it was written to an array of the caller.
    pub(super) elsewhere: Vec<bool>,
    /// Empty between runs; the memory is reused for the views of the next run.
    pub(super) by_step: Vec<ByStep<F>>,
    pub(super) views: Vec<Option<View<'static, F>>>,
    pub(super) places: Vec<Option<ArrayViewMutD<'static, F>>>,
    /// The samples, longest first.
    pub(super) order: Vec<usize>,
    pub(super) lengths: Vec<usize>,
    pub(super) threads: usize,
    pub(super) pool: Pool,
}

// SAFETY: the pointers of a worker point to memory that no other worker accesses between two
// barriers.
#[allow(unsafe_code, reason = "workers are handed to their threads")]
unsafe impl<T: Real> Send for Worker<T> {}

// SAFETY: the pointers of a workspace point to its own memory, or are set by every run.
#[allow(unsafe_code, reason = "the pointers are its own")]
unsafe impl<F: Real> Send for Workspace<F> {}
// SAFETY: a shared reference changes nothing.
#[allow(unsafe_code, reason = "a shared workspace is only looked at")]
unsafe impl<F: Real> Sync for Workspace<F> {}

impl<F: Real> Workspace<F> {
    pub(super) fn new(
        plan: &Plan,
        identity: &Arc<()>,
        recurrence: &Recurrence,
        (threads, lanes): (usize, usize),
    ) -> Self {
        let leaves = recurrence.tape().leaves().len();
        let empty = |n: usize| (0..n).map(|_| Aligned::default()).collect::<Vec<_>>();
        Self {
            identity: Arc::clone(identity),
            wanted: Wanted::default(),
            extent: Extent::default(),
            timetable: Timetable::default(),
            edges: Edges::of(plan, lanes),
            edge_pointers: Vec::new(),
            buffers: empty(plan.buffers.len()),
            packs: empty(plan.packs.len()),
            constants: empty(plan.programs.len()),
            copies: empty(leaves),
            classes: vec![Vec::new(); leaves],
            class_pointers: Vec::new(),
            pack_pointers: Vec::new(),
            workers: Vec::new(),
            outputs: Outputs::with_roles(recurrence.roles().clone()),
            elsewhere: Vec::new(),
            by_step: Vec::new(),
            views: Vec::new(),
            places: Vec::new(),
            order: Vec::new(),
            lengths: Vec::new(),
            threads: threads.max(1),
            pool: Pool::default(),
        }
    }

    /// The outputs of the last run.
    #[must_use]
    pub const fn outputs(&self) -> &Outputs<F> {
        &self.outputs
    }

    /// The outputs of the last run, mutable.
    pub(crate) const fn outputs_mut(&mut self) -> &mut Outputs<F> {
        &mut self.outputs
    }

    /// The memory in bytes that the workspace holds for values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let all = self.buffers.iter().chain(&self.packs).chain(&self.copies);
        let classes = self.classes.iter().map(|c| c.len() * size_of::<usize>());
        let edges = self.edges.iter().map(Edges::bytes);
        all.map(Aligned::bytes).chain(classes).chain(edges).sum()
    }

    /// Reserves memory for a run of this size, in chunks of at most `wanted.extent.chunk` steps.
    pub(super) fn prepare(&mut self, plan: &Plan, isa: Isa, wanted: Wanted) -> Result<()> {
        if self.wanted == wanted {
            return Ok(());
        }
        // After an error, the next run prepares again.
        self.wanted = Wanted::default();
        let Extent { steps, samples, .. } = wanted.extent;
        let chunk = chunk::<F>(plan, steps, samples)
            .min(wanted.extent.chunk)
            .max(1);
        let extent = Extent {
            chunk,
            ..wanted.extent
        };
        let tile = lane_rows::tile::<F>(plan, [samples, extent.lanes, chunk]);
        let extent = Extent { tile, ..extent };
        let room = Room::of::<F>(plan, extent);
        let asked = Wanted { extent, ..wanted };
        let (table, bytes) = room.timetable(plan, isa, &asked, self.threads, &self.edges)?;
        let Some(lens) = room.lens(plan, extent, &table) else {
            return check_memory(None);
        };
        if !table.is_whole() {
            // The budget has no room for the memory of an earlier run.
            self.buffers
                .iter_mut()
                .for_each(|b| *b = Aligned::default());
            self.edges.iter_mut().for_each(Edges::forget);
        }
        // All memory is requested at once first, so that nothing is filled if it does not fit.
        let mut probe: Vec<u8> = Vec::new();
        let limit = bytes.saturating_sub(1);
        let refused = |_| Error::OutOfMemory { bytes, limit };
        let made = table.own_bytes() + LISTS;
        let missing = bytes.saturating_sub(made);
        probe.try_reserve_exact(missing).map_err(refused)?;
        drop(probe);
        for (buffer, len) in self.buffers.iter_mut().zip(lens) {
            buffer.reserve(len)?;
        }
        for (edges, slots) in self.edges.iter_mut().zip(&table.slots) {
            edges.reserve(*slots, samples)?;
        }
        for (pack, space) in plan.packs.iter().zip(&mut self.packs) {
            space.reserve(lane_rows::packed::<F>(pack, isa, extent.lanes))?;
        }
        for (program, space) in plan.programs.iter().zip(&mut self.constants) {
            space.reserve(program.constants.len() * BLOCK)?;
            for (block, value) in space
                .as_mut_slice()
                .chunks_mut(BLOCK)
                .zip(&program.constants)
            {
                block.fill(F::of(*value));
            }
        }
        self.prepare_workers(plan, isa, room.worker)?;
        (self.extent, self.timetable, self.wanted) = (extent, table, wanted);
        Ok(())
    }

    fn prepare_workers(&mut self, plan: &Plan, isa: Isa, scratch: Scratch) -> Result<()> {
        let most = |f: &dyn Fn(&crate::plan::Program) -> usize| {
            plan.programs.iter().map(f).max().unwrap_or(0)
        };
        let registers = most(&|p| p.registers);
        let operands = most(&|p| p.inputs.len() + p.outputs.len());
        let segments = plan.instructions().map(|instruction| match instruction {
            Instruction::Gemm { segments, .. } => segments.len(),
            _ => 0,
        });
        let segments = segments.max().unwrap_or(0);
        let loops = || {
            plan.passes
                .iter()
                .flat_map(|p| &p.stages)
                .filter(|s| s.is_loop)
        };
        let actions = loops().map(|s| s.body.len()).max().unwrap_or(0);
        let cursors = actions * (operands.max(segments) + 2);
        self.workers.clear();
        // The results do not depend on the number of threads, if the system refuses more.
        let others = self.pool.grow(self.threads - 1);
        for _ in 0..=others {
            let mut blocks = Aligned::default();
            blocks.reserve(scratch.blocks)?;
            let mut space = Aligned::default();
            space.reserve(scratch.packing)?;
            let mut partial = Aligned::default();
            partial.reserve(scratch.chains)?;
            let first = blocks.as_mut_ptr();
            let mut tables = Vec::with_capacity(plan.programs.len());
            for (program, constants) in plan.programs.iter().zip(&mut self.constants) {
                let of =
                    |start: *mut F, n: usize| (0..n).map(move |i| start.wrapping_add(i * BLOCK));
                let mut table: Vec<*mut F> = of(first, program.registers).collect();
                table.extend(of(constants.as_mut_ptr(), program.constants.len()));
                let count = program.inputs.len() + program.outputs.len();
                table.resize(table.len() + count, first);
                tables.push(table);
            }
            let null = std::ptr::null_mut();
            let places = tables.iter().map(Vec::len).max().unwrap_or(0);
            self.workers.push(Worker {
                loops: PreparedLoop::all(plan, isa.lanes::<F>())?,
                slots: vec![
                    Slot {
                        ptr: null,
                        base: null,
                        time: 0,
                        row: 0,
                        lane: 0,
                        origin: 0,
                    };
                    plan.buffers.len()
                ],
                tables,
                strides: vec![0; places],
                operands: Vec::with_capacity(operands),
                segments: Vec::with_capacity(segments),
                ahead: Ahead::with_capacity(plan.buffers.len()),
                list: ActionList::with_capacity(actions, cursors),
                staging: first.wrapping_add(registers * BLOCK),
                _blocks: blocks,
                packing: space,
                chains: partial,
            });
        }
        Ok(())
    }
}

/// The number of steps of a chunk: the chunk buffers should fit into the cache, and products over a
/// chunk should have many rows. It does not depend on the number of directions, because the order of
/// some sums depends on it.
fn chunk<F>(plan: &Plan, steps: usize, samples: usize) -> usize {
    let step = (plan.chunked * samples * size_of::<F>()).max(1);
    let fits = CHUNK_BYTES / step;
    let enough = CHUNK_ROWS.div_ceil(samples);
    fits.max(enough).clamp(1, steps)
}
