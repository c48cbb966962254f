//! The output side of a run: outputs written to arrays in the order of the given samples, or viewed
//! in place.

#![allow(
    unsafe_code,
    reason = "outputs are read from the buffers through the same pointers as in a run"
)]

use std::ops::Range;
use std::sync::PoisonError;

use ndarray::{
    ArrayView, ArrayViewD, ArrayViewMutD, Axis, Dimension as _, IxDyn, ShapeBuilder as _,
};

use super::bind::is_finite;
use super::driver::WorkerRun;
use super::workspace::{ByStep, Slot, Workspace};
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::plan::{Leg, OutputSpec, Storage};
use crate::recurrence::{LOSS, Outputs};
use crate::shape::Rate;

/// The outputs of a run by name, as views of the memory in which they were computed: `[T, B, …]` if
/// they vary with the step, `[B, …]` if with the sample only, `[…]` otherwise.
///
/// If the samples differ in length, an output that varies with the sample or the step is a view of
/// a copy, with the samples in the given order and zeros after their ends. Other outputs are not
/// copied. The view of an output that varies with the step need not be C-contiguous.
///
/// [`Binding::run_in_place`](super::Binding::run_in_place) returns them. They are valid until the
/// next use of the workspace.
#[derive(Clone, Copy, Debug)]
pub struct OutputViews<'w, F: Real> {
    pub(super) program: &'w Program<F>,
    pub(super) workspace: &'w Workspace<F>,
}

impl<'w, F: Real> OutputViews<'w, F> {
    /// An output; `None` if there is none with this name, or if it was written to an array of the
    /// caller.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ArrayViewD<'w, F>> {
        let index = self.program.recurrence.output_index(name)?;
        self.view(index)
    }

    /// All outputs with their names, except those written to arrays of the caller.
    pub fn iter(&self) -> impl Iterator<Item = (&'w str, ArrayViewD<'w, F>)> + use<'w, F> {
        let this = *self;
        let specs = this.program.plan.outputs.iter().enumerate();
        specs.filter_map(move |(index, spec)| Some((&*spec.name, this.view(index)?)))
    }

    /// The loss.
    ///
    /// # Errors
    /// [`Error::NoLoss`] if the recurrence has no loss.
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

/// The destination of outputs without an array of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Arrays of the workspace.
    Arrays,
    /// None, if they can be viewed in place.
    Buffers,
}

impl<F: Real> WorkerRun<'_, '_, F> {
    /// Writes the outputs of a leg.
    pub(super) fn write_results(&self, leg: &Leg) {
        let mut results = self.run.results.lock();
        let results = results.as_mut().unwrap_or_else(PoisonError::get_mut);
        for result in results.iter_mut() {
            let spec = &self.run.plan.outputs[result.index];
            if spec.pass != Some(leg.pass) {
                continue;
            }
            let samples = Samples {
                order: self.run.order,
                lengths: self.run.lengths,
                directions: Some(self.run.extent.lanes),
            };
            // SAFETY: the array is borrowed for the run, and one worker writes it.
            let mut to = unsafe { result.array.raw_view_mut().deref_into_view_mut() };
            let slot = &self.own.slots[spec.operand.buffer];
            samples.write(spec, slot, leg.times.clone(), &mut to);
        }
    }
}

/// The order of the samples in the buffers, longest first, and their lengths.
#[derive(Clone, Copy)]
struct Samples<'a> {
    order: &'a [usize],
    lengths: &'a [usize],
    /// The number of directions, if outputs have an axis for them.
    directions: Option<usize>,
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
        let lanes = self.directions.filter(|_| spec.laned);
        outer
            .into_iter()
            .chain([lanes])
            .flatten()
            .chain(spec.shape.iter().copied())
    }

    /// Returns an error if an array does not have the shape of an output.
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

    /// A view of an output in place, if its rows are in the order of the given samples and all
    /// samples have the same length.
    fn in_place<'w>(
        &self,
        spec: &OutputSpec,
        workspace: &'w Workspace<F>,
    ) -> Option<ArrayViewD<'w, F>> {
        let (steps, samples) = (workspace.extent.steps, workspace.extent.samples);
        let buffer = spec.operand.buffer;
        // An output that is itself a leaf is in memory of the caller.
        if matches!(self.plan.buffers[buffer].storage, Storage::Leaf(_)) {
            return None;
        }
        // Only the steps of the last leg are still there.
        if spec.rate == Rate::Step && !workspace.timetable.is_whole() {
            return None;
        }
        let is_whole = workspace.lengths.iter().all(|l| *l == steps);
        if spec.rate != Rate::Static && !(is_whole && workspace.order.is_sorted()) {
            return None;
        }
        let slot = &workspace.workers.first()?.slots[buffer];
        let by_lane = self.directions.is_some() && spec.laned;
        let outer_axes = outer_axes(spec.rate);
        let first_own = outer_axes + usize::from(by_lane);
        let mut shape = IxDyn::zeros(first_own + spec.shape.len());
        let mut strides = shape.clone();
        for (to, n) in shape
            .slice_mut()
            .iter_mut()
            .zip(self.shape(spec, steps, samples))
        {
            *to = n;
        }
        let (outer, inner) = strides.slice_mut().split_at_mut(first_own);
        let distances = [slot.time, slot.row];
        outer[..outer_axes].copy_from_slice(&distances[2 - outer_axes..]);
        outer[outer_axes..].fill(slot.lane);
        let mut distance = 1;
        for (to, n) in inner.iter_mut().zip(&spec.shape).rev() {
            *to = distance;
            distance *= n;
        }
        let first = source(spec, slot, 0, [0, 0]);
        // SAFETY: the buffer has a row for every step and sample, in memory of the workspace, which
        // is borrowed as long as the view lives.
        Some(unsafe { ArrayView::from_shape_ptr(shape.strides(strides), first) })
    }

    /// The outputs that are written leg by leg, in arrays of the caller or of the workspace.
    pub(super) fn by_step(
        &self,
        workspace: &mut Workspace<F>,
        places: &mut [Option<ArrayViewMutD<'_, F>>],
        place: Place,
    ) -> Vec<ByStep<F>> {
        if workspace.timetable.is_whole() {
            return Vec::new();
        }
        let mut outputs = std::mem::take(&mut workspace.outputs);
        let (steps, samples) = (workspace.extent.steps, workspace.extent.samples);
        let (mut found, mut kept) = (std::mem::take(&mut workspace.by_step), 0);
        for (index, (spec, own)) in self.plan.outputs.iter().zip(places).enumerate() {
            let array = match own {
                Some(own) => own.raw_view_mut(),
                None if place == Place::Buffers && self.in_place(spec, workspace).is_some() => {
                    continue;
                }
                None => {
                    let shape = self.shape(spec, steps, samples);
                    kept += 1;
                    let array = outputs.place(kept - 1, &spec.name, shape);
                    array.raw_view_mut()
                }
            };
            if spec.pass.is_some() {
                found.push(ByStep { index, array });
            }
        }
        workspace.outputs = outputs;
        found
    }

    /// Reads the outputs from the buffers, with the samples in the given order.
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

    /// Returns an error if an output has an entry that is not finite.
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

    /// Writes an output to an array, unless its legs did.
    fn write(&self, spec: &OutputSpec, workspace: &Workspace<F>, to: &mut ArrayViewMutD<'_, F>) {
        let is_written = !workspace.timetable.is_whole() && spec.pass.is_some();
        let Some(worker) = workspace.workers.first().filter(|_| !is_written) else {
            return;
        };
        let slot = &worker.slots[spec.operand.buffer];
        let samples = Samples {
            order: &workspace.order,
            lengths: &workspace.lengths,
            directions: self.directions,
        };
        samples.write(spec, slot, 0..workspace.extent.steps, to);
    }
}

impl Samples<'_> {
    /// Writes some steps of an output to an array, with the samples in the given order and zeros after
    /// their ends.
    fn write<F: Real>(
        self,
        spec: &OutputSpec,
        slot: &Slot<F>,
        times: Range<usize>,
        to: &mut ArrayViewMutD<'_, F>,
    ) {
        let lanes = self.directions.filter(|_| spec.laned);
        let len = spec.operand.len.max(1);
        let whole = len * lanes.unwrap_or(1);
        // All directions of a row.
        let put = |step: usize, row: usize, to: &mut [F]| {
            for (lane, to) in to.chunks_exact_mut(len).enumerate() {
                copy_row(source(spec, slot, step, [row, lane]), to);
            }
        };
        let place = |step: usize, row: usize, to: &mut ArrayViewMutD<'_, F>| {
            if let Some(to) = to.as_slice_mut() {
                put(step, row, to);
            } else if lanes.is_none() {
                scatter(source(spec, slot, step, [row, 0]), to);
            } else {
                for (lane, mut to) in to.outer_iter_mut().enumerate() {
                    scatter(source(spec, slot, step, [row, lane]), &mut to);
                }
            }
        };
        let rows = |to: &mut ArrayViewMutD<'_, F>, step: usize| {
            let runs = |row: usize| spec.rate == Rate::Sample || step < self.lengths[row];
            let order = self.order.iter().enumerate();
            if let Some(to) = to.as_slice_mut() {
                for (row, sample) in order {
                    let to = &mut to[sample * whole..][..whole];
                    match runs(row) {
                        true => put(step, row, to),
                        false => to.fill(F::zero()),
                    }
                }
            } else {
                for (row, sample) in order {
                    let mut to = to.index_axis_mut(Axis(0), *sample);
                    match runs(row) {
                        true => place(step, row, &mut to),
                        false => to.fill(F::zero()),
                    }
                }
            }
        };
        match spec.rate {
            Rate::Static => place(0, 0, to),
            Rate::Sample => rows(to, 0),
            Rate::Step => {
                for step in times {
                    rows(&mut to.index_axis_mut(Axis(0), step), step);
                }
            }
        }
    }
}

/// The number of axes before those of the value: `[T, B]`, `[B]` or none.
const fn outer_axes(rate: Rate) -> usize {
    match rate {
        Rate::Static => 0,
        Rate::Sample => 1,
        Rate::Step => 2,
    }
}

/// A pointer to the first entry of an output in the row of a sample and a direction.
fn source<F: Real>(
    spec: &OutputSpec,
    slot: &Slot<F>,
    step: usize,
    [row, lane]: [usize; 2],
) -> *const F {
    let steps = step as isize + isize::from(spec.operand.shift) - slot.origin as isize;
    let time = slot.ptr.wrapping_offset(steps * slot.time as isize);
    time.wrapping_add(row * slot.row + lane * slot.lane + spec.operand.start)
        .cast_const()
}

fn copy_row<F: Real>(from: *const F, to: &mut [F]) {
    // SAFETY: the buffer of an output is full: it has a row for every sample and step.
    unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
}

/// Copies a row to an array that is not C-contiguous.
fn scatter<F: Real>(from: *const F, to: &mut ArrayViewMutD<'_, F>) {
    // SAFETY: as for `copy_row`; the buffers are not written meanwhile.
    let from = unsafe { std::slice::from_raw_parts(from, to.len()) };
    for (to, x) in to.iter_mut().zip(from) {
        *to = *x;
    }
}
