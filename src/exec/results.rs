//! Outputs out: written to arrays in the order of the samples given, or seen where they are.

#![allow(
    unsafe_code,
    reason = "outputs are read from the buffers through the same pointers as in a run"
)]

use ndarray::{
    ArrayView, ArrayViewD, ArrayViewMutD, Axis, Dimension as _, IxDyn, ShapeBuilder as _,
};

use super::bind::is_finite;
use super::workspace::{Slot, Workspace};
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::plan::{OutputSpec, Storage};
use crate::recurrence::{LOSS, Outputs};
use crate::shape::Rate;

/// The outputs of a run as views of the memory in which they were computed, by name: `[T, B, …]`,
/// `[B, …]` or `[…]` as they vary with the step, the sample or neither.
///
/// An output that varies with the sample or the step, of samples that differ in length, is a view
/// of a copy, in which the samples are in the order given and zeros lie beyond their ends. Nothing
/// else was copied. A view of an output that varies with the step need not be in standard order.
///
/// They are made by [`Binding::run_in_place`](super::Binding::run_in_place) and last until the
/// workspace is used again.
#[derive(Clone, Copy, Debug)]
pub struct OutputViews<'w, F: Real> {
    pub(super) program: &'w Program<F>,
    pub(super) workspace: &'w Workspace<F>,
}

impl<'w, F: Real> OutputViews<'w, F> {
    /// An output; `None` when there is none of that name, or it went to an array of the caller's.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ArrayViewD<'w, F>> {
        let index = self.program.recurrence.output_index(name)?;
        self.view(index)
    }

    /// Every output with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'w str, ArrayViewD<'w, F>)> + use<'w, F> {
        let this = *self;
        let specs = this.program.plan.outputs.iter().enumerate();
        specs.filter_map(move |(index, spec)| Some((&*spec.name, this.view(index)?)))
    }

    /// The loss.
    ///
    /// # Errors
    /// [`Error::NoLoss`] when the recurrence has none.
    pub fn loss(&self) -> Result<F> {
        let loss = self.get(LOSS);
        let loss = loss.and_then(|a| a.first().copied());
        loss.ok_or_else(|| Error::NoLoss {
            recurrence: self.program.recurrence.name().into(),
        })
    }

    fn view(&self, index: usize) -> Option<ArrayViewD<'w, F>> {
        if self.workspace.elsewhere[index] {
            return None;
        }
        let spec = &self.program.plan.outputs[index];
        match self.program.in_place(spec, self.workspace) {
            Some(view) => Some(view),
            None => self.workspace.outputs.get(&spec.name).map(|a| a.view()),
        }
    }
}

/// Where the outputs of a run go that were given no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To arrays of the workspace.
    Arrays,
    /// Nowhere, if they can be seen where they are.
    Buffers,
}

impl<F: Real> Program<F> {
    /// The shape of an output.
    fn shape<'s>(
        &self,
        spec: &'s OutputSpec,
        steps: usize,
        samples: usize,
    ) -> impl Iterator<Item = usize> + Clone + use<'s, F> {
        let outer = match spec.rate {
            Rate::Static => [None, None],
            Rate::Sample => [None, Some(samples)],
            Rate::Step => [Some(steps), Some(samples)],
        };
        outer
            .into_iter()
            .flatten()
            .chain(spec.shape.iter().copied())
    }

    /// Refuses an array that an output does not fit in.
    pub(super) fn check_place(
        &self,
        index: usize,
        place: &ArrayViewMutD<'_, F>,
        (steps, samples): (usize, usize),
    ) -> Result<()> {
        let spec = &self.plan.outputs[index];
        let expected = self.shape(spec, steps, samples);
        if place.shape().iter().copied().eq(expected.clone()) {
            return Ok(());
        }
        Err(Error::ArrayShape {
            what: "output",
            name: spec.name.clone(),
            expected: format!("{:?}", expected.collect::<Vec<_>>()),
            found: place.shape().to_vec(),
        })
    }

    /// An output where the last run computed it, when its rows lie there in the order of the
    /// samples given and none ends before the others.
    fn in_place<'w>(
        &self,
        spec: &OutputSpec,
        workspace: &'w Workspace<F>,
    ) -> Option<ArrayViewD<'w, F>> {
        let (steps, samples) = (workspace.extent.steps, workspace.extent.samples);
        let buffer = spec.operand.buffer;
        // What is merely passed through is memory of the caller's.
        if matches!(self.plan.buffers[buffer].storage, Storage::Leaf(_)) {
            return None;
        }
        let is_whole = workspace.lengths.iter().all(|l| *l == steps);
        if spec.rate != Rate::Static && !(is_whole && workspace.order.is_sorted()) {
            return None;
        }
        let slot = &workspace.workers.first()?.slots[buffer];
        let mut shape = IxDyn::zeros(spec.shape.len() + outer_axes(spec.rate));
        let mut strides = shape.clone();
        for (to, n) in shape
            .slice_mut()
            .iter_mut()
            .zip(self.shape(spec, steps, samples))
        {
            *to = n;
        }
        let (outer, inner) = strides.slice_mut().split_at_mut(outer_axes(spec.rate));
        let distances = [slot.time, slot.row];
        outer.copy_from_slice(&distances[2 - outer.len()..]);
        let mut distance = 1;
        for (to, n) in inner.iter_mut().zip(&spec.shape).rev() {
            *to = distance;
            distance *= n;
        }
        let first = source(spec, slot, 0, 0);
        // SAFETY: the buffer has a row for every step and sample, in memory of the workspace, which
        // is borrowed for as long as the view.
        Some(unsafe { ArrayView::from_shape_ptr(shape.strides(strides), first) })
    }

    /// Takes the outputs out of the buffers, in the order of the samples given.
    pub(super) fn read(
        &self,
        workspace: &mut Workspace<F>,
        places: &mut [Option<ArrayViewMutD<'_, F>>],
        place: Place,
    ) -> Result<()> {
        workspace.elsewhere.clear();
        workspace
            .elsewhere
            .extend(places.iter().map(Option::is_some));
        let mut outputs = std::mem::take(&mut workspace.outputs);
        let result = self.read_to(workspace, &mut outputs, places, place);
        workspace.outputs = outputs;
        result
    }

    fn read_to(
        &self,
        workspace: &Workspace<F>,
        outputs: &mut Outputs<F>,
        places: &mut [Option<ArrayViewMutD<'_, F>>],
        place: Place,
    ) -> Result<()> {
        let (steps, samples) = (workspace.extent.steps, workspace.extent.samples);
        let mut kept = 0;
        for (spec, own) in self.plan.outputs.iter().zip(places) {
            if let Some(own) = own {
                outputs.remove(&spec.name);
                self.write(spec, workspace, own);
                self.check_finite(spec, &own.view())?;
                continue;
            }
            if place == Place::Buffers
                && let Some(view) = self.in_place(spec, workspace)
            {
                outputs.remove(&spec.name);
                self.check_finite(spec, &view)?;
                continue;
            }
            let array = outputs.place(kept, &spec.name, self.shape(spec, steps, samples));
            kept += 1;
            self.write(spec, workspace, &mut array.view_mut());
            self.check_finite(spec, &array.view())?;
        }
        Ok(())
    }

    /// Refuses an output with an entry that is not finite.
    fn check_finite(&self, spec: &OutputSpec, array: &ArrayViewD<'_, F>) -> Result<()> {
        if is_finite(self.wide, array) {
            return Ok(());
        }
        let mut entries = array.indexed_iter();
        entries
            .find(|(_, x)| !x.is_finite())
            .map_or(Ok(()), |(index, x)| {
                Err(Error::NonFiniteValue {
                    expression: format!("output `{}`", spec.name),
                    place: "the end of the run (`Program::find_non_finite` finds where it began)"
                        .into(),
                    entry: index.as_array_view().to_vec(),
                    value: Scalar::to_f64(*x),
                    safe_form: None,
                })
            })
    }

    /// Writes an output to an array, the samples in the order given, zeros beyond their ends.
    fn write(&self, spec: &OutputSpec, workspace: &Workspace<F>, to: &mut ArrayViewMutD<'_, F>) {
        let Some(worker) = workspace.workers.first() else {
            return;
        };
        let slot = &worker.slots[spec.operand.buffer];
        let rows = |to: &mut ArrayViewMutD<'_, F>, step: usize| {
            let len = spec.operand.len.max(1);
            let runs = |row: usize| spec.rate == Rate::Sample || step < workspace.lengths[row];
            let put = |row: usize, to: &mut [F]| {
                if runs(row) {
                    copy_row(source(spec, slot, step, row), to);
                } else {
                    to.fill(F::zero());
                }
            };
            if let Some(to) = to.as_slice_mut() {
                for (row, sample) in workspace.order.iter().enumerate() {
                    put(row, &mut to[sample * len..][..len]);
                }
            } else {
                for (row, sample) in workspace.order.iter().enumerate() {
                    let mut to = to.index_axis_mut(Axis(0), *sample);
                    match to.as_slice_mut() {
                        Some(to) => put(row, to),
                        None if runs(row) => scatter(source(spec, slot, step, row), &mut to),
                        None => to.fill(F::zero()),
                    }
                }
            }
        };
        match spec.rate {
            Rate::Static => match to.as_slice_mut() {
                Some(to) => copy_row(source(spec, slot, 0, 0), to),
                None => scatter(source(spec, slot, 0, 0), to),
            },
            Rate::Sample => rows(to, 0),
            Rate::Step => {
                for (step, mut to) in to.outer_iter_mut().enumerate() {
                    rows(&mut to, step);
                }
            }
        }
    }
}

/// The axes of an output before its own.
const fn outer_axes(rate: Rate) -> usize {
    match rate {
        Rate::Static => 0,
        Rate::Sample => 1,
        Rate::Step => 2,
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

/// Copies a row to an array that is not in standard order.
fn scatter<F: Real>(from: *const F, to: &mut ArrayViewMutD<'_, F>) {
    // SAFETY: as for `copy_row`; nothing is written to the buffers meanwhile.
    let from = unsafe { std::slice::from_raw_parts(from, to.len()) };
    for (to, x) in to.iter_mut().zip(from) {
        *to = *x;
    }
}
