//! The input side of a run: checks the data, orders the samples, and sets the pointers of the
//! workers.

use ndarray::{ArrayViewD, ArrayViewMut, Axis};

use super::Program;
use super::Real;
use super::kernel::{Isa, all_finite};
use super::lane_rows;
use super::long::keeps_lost;
use super::room::Extent;
use super::workspace::{Slot, Workspace};
use crate::error::{Error, Result};
use crate::limit::{check_memory, memory_limit};
use crate::plan::{Buffer, Storage};
use crate::recurrence::{Given, View, is_class};
use crate::shape::{Kind, Rate};

/// Returns true if every number of an array of any memory layout is finite.
pub(super) fn is_finite<F: Real>(isa: Isa, x: &ArrayViewD<'_, F>) -> bool {
    match x.as_slice() {
        Some(slice) => all_finite(isa, slice),
        // The rows of an array are often contiguous.
        None if x.ndim() > 1 => x.outer_iter().all(|x| is_finite(isa, &x)),
        None => x.iter().all(|x| x.is_finite()),
    }
}

impl<F: Real> Program<F> {
    /// Checks data against the recurrence and the sizes of the program. Valid data is accepted fast
    /// and without allocation; the recurrence then finds the error in other data.
    pub(super) fn check(&self, given: &Given<'_, F>) -> Result<()> {
        if self.fits(given) {
            return Ok(());
        }
        match self.directions {
            Some(count) => (0..count).try_for_each(|lane| self.check_direction(given, lane)),
            None => self.check_one(given),
        }
    }

    /// Checks data for one direction.
    pub(super) fn check_one(&self, given: &Given<'_, F>) -> Result<()> {
        let found = self.recurrence.sizes_fitting(given)?;
        if found == self.sizes {
            return Ok(());
        }
        let names: Vec<&str> = self.recurrence.tape().dims().collect();
        Err(Error::Batch {
            reason: format!(
                "the program was compiled for sizes {:?} of {names:?}, the data has {:?}",
                self.sizes, found
            ),
        })
    }

    fn fits(&self, given: &Given<'_, F>) -> bool {
        let leaves = self.recurrence.tape().leaves();
        given.is_plain()
            && leaves.iter().enumerate().all(|(index, leaf)| {
                let Some(array) = &given.arrays[index] else {
                    return false;
                };
                let lanes = self.directions.filter(|_| self.several.leaves[index]);
                let outer: &[usize] = match leaf.ty().rate {
                    Rate::Static => &[],
                    Rate::Sample => &[given.samples],
                    Rate::Step => &[given.steps, given.samples],
                };
                let dims = leaf.ty().shape.dims();
                let own = dims.iter().map(|d| d.value(&self.sizes));
                let expected = outer.iter().copied().chain(lanes).chain(own);
                array.shape().iter().copied().eq(expected)
                    && match (leaf.ty().kind, array) {
                        (Kind::Real, View::Real(a)) => {
                            let classes = leaf.classes().map(|n| n.value(&self.sizes));
                            let known = |n| a.iter().all(|x| is_class(*x, n));
                            is_finite(self.wide, a) && classes.is_none_or(known)
                        }
                        (Kind::Class(count), View::Class(a)) => {
                            let count = count.value(&self.sizes);
                            a.iter().all(|class| *class < count)
                        }
                        _ => false,
                    }
            })
    }

    /// Orders the samples by length, longest first.
    pub(super) fn order(&self, given: &Given<'_, F>, workspace: &mut Workspace<F>) -> Result<()> {
        let samples = given.samples;
        let Workspace { order, lengths, .. } = workspace;
        let same = |(row, b): (usize, &usize)| lengths[row] == given.length(*b);
        if order.len() == samples && order.iter().enumerate().all(same) {
            return Ok(());
        }
        make_room(order, samples)?;
        make_room(lengths, samples)?;
        order.extend(0..samples);
        lengths.extend((0..samples).map(|b| given.length(b)));
        order.sort_unstable_by_key(|b| (std::cmp::Reverse(lengths[*b]), *b));
        lengths.sort_unstable_by_key(|l| std::cmp::Reverse(*l));
        Ok(())
    }

    /// Sets the pointers of every worker to the buffers and the data.
    pub(super) fn connect(&self, given: &Given<'_, F>, workspace: &mut Workspace<F>) -> Result<()> {
        let extent = workspace.extent;
        let samples = extent.samples;
        let in_order = workspace.order.is_sorted();
        workspace.class_pointers.clear();
        workspace.pack_pointers.clear();
        for (index, buffer) in self.plan.buffers.iter().enumerate() {
            let mut class = std::ptr::null();
            let slot = match buffer.storage {
                Storage::Leaf(leaf) => {
                    let spec = &self.recurrence.tape().leaves()[leaf];
                    let permuted = !in_order && spec.ty().rate != Rate::Static;
                    let is_masked = self.recurrence.tape().is_masked(spec);
                    let mut ptr = std::ptr::null_mut();
                    match &given.arrays[leaf] {
                        Some(View::Class(classes)) => {
                            let count = match spec.ty().kind {
                                Kind::Class(n) => n.value(&self.sizes),
                                Kind::Real => usize::MAX,
                            };
                            let is_bad = |class: &usize| *class >= count;
                            let mended = is_masked && classes.iter().any(is_bad);
                            class = match classes.as_slice().filter(|_| !permuted && !mended) {
                                Some(slice) => slice.as_ptr(),
                                None => {
                                    let copy = &mut workspace.classes[leaf];
                                    if copy.len() != classes.len() {
                                        make_room(copy, classes.len())?;
                                        copy.resize(classes.len(), 0);
                                    }
                                    let order = permuted.then_some(&*workspace.order);
                                    copy_in_order(spec.ty().rate, classes, order, copy);
                                    if mended {
                                        mend(copy, is_bad, 0);
                                    }
                                    copy.as_ptr()
                                }
                            };
                        }
                        Some(View::Real(array)) => {
                            let mended = is_masked && !is_finite(self.wide, array);
                            ptr = match array.as_slice().filter(|_| !permuted && !mended) {
                                Some(slice) => slice.as_ptr().cast_mut(),
                                None => {
                                    let copy = &mut workspace.copies[leaf];
                                    copy.reserve(array.len())?;
                                    let order = permuted.then_some(&*workspace.order);
                                    let to = &mut copy.as_mut_slice()[..array.len()];
                                    copy_in_order(spec.ty().rate, array, order, to);
                                    if mended {
                                        mend(to, |x| !x.is_finite(), F::zero());
                                    }
                                    copy.as_mut_ptr()
                                }
                            };
                        }
                        None => {}
                    }
                    let width = lane_rows::row(buffer, extent.lanes);
                    let (time, row) = match spec.ty().rate {
                        Rate::Static => (0, 0),
                        Rate::Sample => (0, sample_row(width, samples)),
                        Rate::Step => (samples * width, width),
                    };
                    Slot {
                        ptr,
                        base: ptr,
                        time,
                        row,
                        lane: lane_rows::lane(buffer),
                        origin: 0,
                    }
                }
                _ => own_slot(buffer, workspace.buffers[index].as_mut_ptr(), extent),
            };
            workspace.class_pointers.push(class);
            for worker in &mut workspace.workers {
                worker.slots[index] = slot;
            }
        }
        for pack in &mut workspace.packs {
            workspace.pack_pointers.push(pack.as_mut_ptr());
        }
        workspace.edge_pointers.clear();
        for edges in &mut workspace.edges {
            workspace.edge_pointers.push(edges.as_mut_ptr());
        }
        let is_long = workspace.extent.is_long::<F>();
        for instruction in self.plan.instructions() {
            if let Some(out) = instruction.accumulates() {
                let rows = if out.rate == Rate::Static { 1 } else { samples };
                let buffer = &self.plan.buffers[out.buffer];
                let width = lane_rows::row(buffer, extent.lanes);
                let (count, lane) = match buffer.laned {
                    true => (extent.lanes, lane_rows::lane(buffer)),
                    false => (1, 0),
                };
                let space = workspace.buffers[out.buffer].as_mut_slice();
                // The rounding errors of a compensated sum follow all of its rows.
                let halves = if keeps_lost(instruction, is_long) {
                    2
                } else {
                    1
                };
                for row in 0..rows * halves {
                    for direction in 0..count {
                        let start = row * width + direction * lane + out.start;
                        space[start..start + out.len].fill(F::zero());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Replaces the bad entries of masked data: they have no influence, but would give NaN.
fn mend<T: Copy>(entries: &mut [T], is_bad: impl Fn(&T) -> bool, by: T) {
    entries
        .iter_mut()
        .filter(|x| is_bad(x))
        .for_each(|x| *x = by);
}

/// Empties a list and reserves memory for `len` entries.
///
/// # Errors
/// [`Error::OutOfMemory`].
fn make_room(list: &mut Vec<usize>, len: usize) -> Result<()> {
    list.clear();
    check_memory(len.checked_mul(size_of::<usize>()))?;
    list.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
        bytes: len.saturating_mul(size_of::<usize>()),
        limit: memory_limit(),
    })
}

/// The distance in entries from the row of one sample to the next. It is 0 for a single sample, so
/// that its row serves all steps of an instruction on many steps.
const fn sample_row(width: usize, samples: usize) -> usize {
    if samples == 1 { 0 } else { width }
}

fn own_slot<F: Real>(buffer: &Buffer, ptr: *mut F, extent: Extent) -> Slot<F> {
    let (samples, width) = (extent.samples, lane_rows::row(buffer, extent.lanes));
    let (time, row) = match buffer.storage {
        Storage::Static | Storage::Leaf(_) => (0, 0),
        Storage::Sample => (0, sample_row(width, samples)),
        Storage::Local => (0, width),
        Storage::Chunk | Storage::Full => (samples * width, width),
    };
    // An extra row before the first step holds the initial values of registers.
    Slot {
        ptr: ptr.wrapping_add(time),
        base: ptr,
        time,
        row,
        lane: lane_rows::lane(buffer),
        origin: 0,
    }
}

/// Copies an array to C order, with the samples in this order.
fn copy_in_order<T: Copy>(
    rate: Rate,
    array: &ArrayViewD<'_, T>,
    order: Option<&[usize]>,
    to: &mut [T],
) {
    let Some(order) = order else {
        copy(array, to);
        return;
    };
    let rows = |samples: &ArrayViewD<'_, T>, to: &mut [T]| {
        let len = samples.len() / order.len();
        for (b, to) in order.iter().zip(to.chunks_exact_mut(len)) {
            copy(&samples.index_axis(Axis(0), *b), to);
        }
    };
    if rate == Rate::Step {
        let len = array.len() / array.len_of(Axis(0));
        for (step, to) in array.outer_iter().zip(to.chunks_exact_mut(len)) {
            rows(&step, to);
        }
    } else {
        rows(array, to);
    }
}

/// Copies an array to C order.
fn copy<T: Copy>(array: &ArrayViewD<'_, T>, to: &mut [T]) {
    if let Some(from) = array.as_slice() {
        to.copy_from_slice(from);
    } else if let Ok(mut to) = ArrayViewMut::from_shape(array.raw_dim(), to) {
        to.assign(array);
    }
}
