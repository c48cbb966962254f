//! Data in, outputs out.

#![allow(
    unsafe_code,
    reason = "outputs are read from the buffers through the same pointers as in a run"
)]

use ndarray::ArrayD;

use super::Program;
use super::Real;
use super::workspace::{Slot, Workspace};
use crate::error::{Error, Result};
use crate::plan::{Buffer, OutputSpec, Storage};
use crate::recurrence::{Batch, Params};
use crate::shape::{Kind, Rate};
use crate::tape::{Leaf, Role};

/// Whether every number is finite: zero times each is zero then.
fn all_finite<F: Real>(x: &[F]) -> bool {
    let mut sums = [F::zero(); 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += *x * F::zero();
        }
    }
    let tail = rest.iter().fold(F::zero(), |sum, x| sum + *x * F::zero());
    sums.iter().fold(tail, |sum, x| sum + *x) == F::zero()
}

fn real<'a, F: Real>(
    leaf: &Leaf,
    params: &'a Params<F>,
    batch: &'a Batch<F>,
) -> Option<&'a ArrayD<F>> {
    match leaf.role {
        Role::Parameter => params.get(leaf.name()),
        Role::Input => batch.get(leaf.name()),
    }
}

impl<F: Real> Program<F> {
    /// Checks data against the recurrence and the sizes of the program. The usual case is decided
    /// quickly and without allocating; everything else is left to the recurrence.
    pub(super) fn check(&self, params: &Params<F>, batch: &Batch<F>) -> Result<()> {
        if self.fits(params, batch) {
            return Ok(());
        }
        let bound = self.recurrence.bind(params, batch)?;
        if bound.sizes() == self.sizes {
            return Ok(());
        }
        let names: Vec<&str> = self.recurrence.tape().dims().collect();
        Err(Error::Batch {
            reason: format!(
                "the program was compiled for sizes {:?} of {names:?}, the data has {:?}",
                self.sizes,
                bound.sizes()
            ),
        })
    }

    fn fits(&self, params: &Params<F>, batch: &Batch<F>) -> bool {
        let leaves = self.recurrence.tape().leaves();
        let known = params.iter().count() + batch.inputs_count() == leaves.len();
        known
            && batch.is_plain()
            && leaves.iter().all(|leaf| {
                let outer: &[usize] = match leaf.ty().rate {
                    Rate::Static => &[],
                    Rate::Sample => &[batch.samples()],
                    Rate::Step => &[batch.steps(), batch.samples()],
                };
                let dims = leaf.ty().shape.dims();
                let own = dims.iter().map(|d| d.value(&self.sizes));
                let expected = outer.iter().copied().chain(own);
                let has_shape = |shape: &[usize]| shape.iter().copied().eq(expected);
                match leaf.ty().kind {
                    Kind::Real => real(leaf, params, batch).is_some_and(|a| {
                        has_shape(a.shape()) && a.as_slice().is_some_and(all_finite)
                    }),
                    Kind::Class(count) => batch.classes(leaf.name()).is_some_and(|a| {
                        let count = count.value(&self.sizes);
                        has_shape(a.shape()) && a.iter().all(|class| *class < count)
                    }),
                }
            })
    }

    /// Puts the samples in order of their lengths, the longest first.
    pub(super) fn order(&self, batch: &Batch<F>, workspace: &mut Workspace<F>) {
        let (steps, samples) = (batch.steps(), batch.samples());
        let Workspace {
            order,
            active,
            lengths,
            ..
        } = workspace;
        let same = |(row, b): (usize, &usize)| lengths[row] == batch.length(*b);
        if active.len() == steps && order.len() == samples && order.iter().enumerate().all(same) {
            return;
        }
        order.clear();
        order.extend(0..samples);
        lengths.clear();
        lengths.extend((0..samples).map(|b| batch.length(b)));
        order.sort_unstable_by_key(|b| (std::cmp::Reverse(lengths[*b]), *b));
        lengths.sort_unstable_by_key(|l| std::cmp::Reverse(*l));
        active.clear();
        active.resize(steps, samples);
        let mut running = samples;
        for (step, active) in active.iter_mut().enumerate() {
            while running > 0 && lengths[running - 1] <= step {
                running -= 1;
            }
            *active = running;
        }
    }

    /// Points every worker at the buffers and the data.
    pub(super) fn connect(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        workspace: &mut Workspace<F>,
    ) -> Result<()> {
        let samples = workspace.extent.samples;
        let in_order = workspace.order.is_sorted();
        workspace.class_pointers.clear();
        workspace.pack_pointers.clear();
        for (index, buffer) in self.plan.buffers.iter().enumerate() {
            let mut class = std::ptr::null();
            let slot = match buffer.storage {
                Storage::Leaf(leaf) => {
                    let spec = &self.recurrence.tape().leaves()[leaf];
                    let permuted = !in_order && spec.ty().rate != Rate::Static;
                    let mut ptr = std::ptr::null_mut();
                    if let Some(classes) = batch.classes(spec.name()) {
                        class = match classes.as_slice().filter(|_| !permuted) {
                            Some(slice) => slice.as_ptr(),
                            None => {
                                let copy = &mut workspace.classes[leaf];
                                copy.resize(classes.len(), 0);
                                copy_permuted(spec, classes, &workspace.order, copy);
                                copy.as_ptr()
                            }
                        };
                    } else if let Some(array) = real(spec, params, batch) {
                        match array.as_slice().filter(|_| !permuted) {
                            Some(slice) => ptr = slice.as_ptr().cast_mut(),
                            None => {
                                let copy = &mut workspace.copies[leaf];
                                copy.reserve(array.len())?;
                                copy_permuted(spec, array, &workspace.order, copy.as_mut_slice());
                                ptr = copy.as_mut_ptr();
                            }
                        }
                    }
                    let (time, row) = match spec.ty().rate {
                        Rate::Static => (0, 0),
                        Rate::Sample => (0, sample_row(buffer.width, samples)),
                        Rate::Step => (samples * buffer.width, buffer.width),
                    };
                    Slot {
                        ptr,
                        time,
                        row,
                        origin: 0,
                    }
                }
                _ => own_slot(buffer, workspace.buffers[index].as_mut_ptr(), samples),
            };
            workspace.class_pointers.push(class);
            for worker in &mut workspace.workers {
                worker.slots[index] = slot;
            }
        }
        for pack in &mut workspace.packs {
            workspace.pack_pointers.push(pack.as_mut_ptr());
        }
        for instruction in self.plan.instructions() {
            if let Some(out) = instruction.accumulates() {
                let rows = if out.rate == Rate::Static { 1 } else { samples };
                let width = self.plan.buffers[out.buffer].width;
                let space = workspace.buffers[out.buffer].as_mut_slice();
                for row in 0..rows {
                    let start = row * width + out.start;
                    space[start..start + out.len].fill(F::zero());
                }
            }
        }
        Ok(())
    }

    /// Copies the outputs out of the buffers, in the order of the samples given.
    pub(super) fn read(&self, workspace: &mut Workspace<F>) -> Result<()> {
        let (steps, samples) = (workspace.extent.steps, workspace.extent.samples);
        let Some(worker) = workspace.workers.first() else {
            return Ok(());
        };
        for spec in &self.plan.outputs {
            let outer: &[usize] = match spec.rate {
                Rate::Static => &[],
                Rate::Sample => &[samples],
                Rate::Step => &[steps, samples],
            };
            let array = workspace.outputs.place(&spec.name, outer, &spec.shape);
            let len = spec.operand.len.max(1);
            let Some(to) = array.as_slice_mut() else {
                continue;
            };
            let slot = worker.slots[spec.operand.buffer];
            let source = |step: usize, row: usize| source(spec, &slot, step, row);
            match spec.rate {
                Rate::Static => copy_row(source(0, 0), to),
                Rate::Sample => {
                    for (row, sample) in workspace.order.iter().enumerate() {
                        copy_row(source(0, row), &mut to[sample * len..][..len]);
                    }
                }
                Rate::Step => {
                    for step in 0..steps {
                        let to = &mut to[step * samples * len..][..samples * len];
                        for (row, sample) in workspace.order.iter().enumerate() {
                            let to = &mut to[sample * len..][..len];
                            if step < workspace.lengths[row] {
                                copy_row(source(step, row), to);
                            } else {
                                to.fill(F::zero());
                            }
                        }
                    }
                }
            }
            if !all_finite(to) {
                let bad = array.indexed_iter().find(|(_, x)| !x.is_finite());
                if let Some((index, value)) = bad {
                    let index = ndarray::Dimension::as_array_view(&index).to_vec();
                    return Err(self.not_finite(&spec.name, index, *value));
                }
            }
        }
        Ok(())
    }
}

/// Where the entries of an output lie.
fn source<F: Real>(spec: &OutputSpec, slot: &Slot<F>, step: usize, row: usize) -> *const F {
    let steps = step as isize + isize::from(spec.operand.shift);
    let time = slot.ptr.wrapping_offset(steps * slot.time as isize);
    time.wrapping_add(row * slot.row + spec.operand.start)
        .cast_const()
}

fn copy_row<F: Real>(from: *const F, to: &mut [F]) {
    // SAFETY: an output is kept in full, for every sample and step.
    unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
}

/// From the row of one sample to the next; nowhere when there is only one, whose row then stands for
/// every step of many done at once.
const fn sample_row(width: usize, samples: usize) -> usize {
    if samples == 1 { 0 } else { width }
}

fn own_slot<F: Real>(buffer: &Buffer, ptr: *mut F, samples: usize) -> Slot<F> {
    let (time, row) = match buffer.storage {
        Storage::Static | Storage::Leaf(_) => (0, 0),
        Storage::Sample => (0, sample_row(buffer.width, samples)),
        Storage::Local => (0, buffer.width),
        Storage::Chunk | Storage::Full => (samples * buffer.width, buffer.width),
    };
    // Before the first step there is one more, for what registers hold at the start.
    Slot {
        ptr: ptr.wrapping_add(time),
        time,
        row,
        origin: 0,
    }
}

/// Copies a leaf's data, the samples in this order.
fn copy_permuted<T: Copy>(leaf: &Leaf, array: &ArrayD<T>, order: &[usize], to: &mut [T]) {
    if leaf.ty().rate == Rate::Static {
        for (to, x) in to.iter_mut().zip(array) {
            *to = *x;
        }
        return;
    }
    let mut rest = to;
    let mut put = |row: ndarray::ArrayViewD<'_, T>| {
        let (now, later) = std::mem::take(&mut rest).split_at_mut(row.len());
        for (to, x) in now.iter_mut().zip(&row) {
            *to = *x;
        }
        rest = later;
    };
    if leaf.ty().rate == Rate::Sample {
        for b in order {
            put(array.index_axis(ndarray::Axis(0), *b));
        }
        return;
    }
    for step in array.outer_iter() {
        for b in order {
            put(step.index_axis(ndarray::Axis(0), *b));
        }
    }
}
