//! One leg of a timetable: a pass over consecutive steps, chunk by chunk.
//!
//! Values of other legs are read from the window, and what registers carry over its ends from slots.

#![allow(
    unsafe_code,
    reason = "rows beside the steps of a window are copied through pointers"
)]

use std::ops::Range;
use std::sync::PoisonError;

use super::Real;
use super::driver::WorkerRun;
use super::workspace::Slot;
use crate::op::Edge;
use crate::plan::{Carry, Leg, Storage};

impl<F: Real> WorkerRun<'_, '_, F> {
    pub(super) fn leg(&mut self, leg: &Leg) {
        let pass = &self.run.plan.passes[leg.pass];
        let chunk = self.run.extent.chunk;
        let count = leg.times.len().div_ceil(chunk);
        self.enter_window(leg);
        let mut previous: Option<Range<usize>> = None;
        for i in 0..count {
            let index = if pass.forward { i } else { count - 1 - i };
            let start = leg.times.start + index * chunk;
            let times = start..(start + chunk).min(leg.times.end);
            if self.index == 0 {
                let carries = self.run.plan.carries.iter().enumerate();
                for (index, carry) in carries.filter(|(_, c)| c.is_placed_by(leg)) {
                    for lane in 0..self.several(self.is_several(carry)) {
                        self.lane = lane;
                        self.carry((index, carry), leg, &times, previous.as_ref());
                    }
                }
                self.lane = 0;
            }
            self.enter(times.start);
            self.wait();
            self.stages(leg.pass, &times, leg.again);
            if let Some(watch) = self.run.watch.as_ref().filter(|_| !leg.again) {
                if self.index == 0 {
                    let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
                    self.watch(&mut watch, leg.pass, &times);
                }
                self.wait();
            }
            previous = Some(times);
        }
        if self.index == 0 && leg.save.iter().any(Option::is_some) {
            self.save(leg);
        }
        if self.index == 0 && !leg.again {
            self.write_results(leg);
        }
        // The next leg may use the same window.
        if !self.run.legs.table.is_whole() {
            self.wait();
        }
    }

    /// Sets the first row of the buffers that are kept for other passes.
    fn enter_window(&mut self, leg: &Leg) {
        let rows = self.run.legs.table.unit + 2;
        for (slot, buffer) in self.own.slots.iter_mut().zip(&self.run.plan.buffers) {
            if buffer.storage == Storage::Full {
                let window = leg.window * rows * slot.time;
                slot.ptr = slot.base.wrapping_add(window + slot.time);
                slot.origin = leg.times.start;
            }
        }
    }

    /// Sets the first step of the chunk buffers.
    fn enter(&mut self, first: usize) {
        for (slot, buffer) in self.own.slots.iter_mut().zip(&self.run.plan.buffers) {
            if buffer.storage == Storage::Chunk {
                slot.origin = first;
            }
        }
    }

    /// A pointer to the carried value of a row, relative to the step at which the rows of its buffer begin.
    fn beside(&self, carry: &Carry, step: isize, row: usize) -> *mut F {
        let slot: &Slot<F> = &self.own.slots[carry.value.buffer];
        let time = slot.ptr.wrapping_offset(step * slot.time as isize);
        time.wrapping_add(row * slot.row + self.lane * slot.lane + carry.value.start)
    }

    /// A pointer to a carried value of a row in a slot of the pass that computes it.
    fn slot(&self, (index, carry): (usize, &Carry), slot: usize, row: usize) -> *mut F {
        let legs = &self.run.legs;
        let edges = &legs.edges[carry.defined];
        let start = edges.starts[index].unwrap_or(0);
        let row = slot * self.run.extent.samples + row;
        let start = start + self.lane * carry.value.len;
        legs.slots[carry.defined].wrapping_add(row * edges.width + start)
    }

    /// Copies the values of a register that the first step of a chunk or of a window reads: the initial value, the
    /// value of the last step of the previous chunk, or that in a slot.
    fn carry(
        &self,
        (index, carry): (usize, &Carry),
        leg: &Leg,
        times: &Range<usize>,
        previous: Option<&Range<usize>>,
    ) {
        let is_chunk = self.run.plan.buffers[carry.value.buffer].storage == Storage::Chunk;
        if !is_chunk && previous.is_some() {
            return;
        }
        let span = if is_chunk { times } else { &leg.times };
        let len = carry.value.len;
        let saved = leg.restore[usize::from(!carry.forward)];
        let saved = saved.filter(|_| carry.defined == leg.pass);
        for row in 0..self.run.extent.samples {
            let length = self.run.lengths[row];
            // Rows have one before the first step and one behind the last.
            let (edge, starts) = match carry.forward {
                true => (span.start as isize - 1, span.start == 0),
                false if length <= span.start => continue,
                false => (length.min(span.end) as isize, length <= span.end),
            };
            let to = self.beside(carry, edge - span.start as isize, row);
            let from = match (previous, saved) {
                _ if starts => carry.init.map(|init| self.at(&init, 0, row)),
                (Some(previous), _) => {
                    Some(self.beside(carry, edge - previous.start as isize, row))
                }
                (None, Some(slot)) => Some(self.slot((index, carry), slot, row)),
                (None, None) => continue,
            };
            // SAFETY: the buffer has a row on both sides of its steps for every sample. The rows are one if
            // a chunk has one step.
            unsafe {
                match from {
                    Some(from) => std::ptr::copy(from, to, len),
                    None => std::slice::from_raw_parts_mut(to, len).fill(F::zero()),
                }
            }
        }
    }

    /// Returns true if there is one of a carried value for each direction.
    fn is_several(&self, carry: &Carry) -> bool {
        self.run.plan.buffers[carry.value.buffer].laned
    }

    /// Saves what registers carry out of a leg.
    fn save(&mut self, leg: &Leg) {
        let carries = self.run.plan.carries.iter().enumerate();
        for (index, carry) in carries.filter(|(_, c)| c.defined == leg.pass) {
            let Some(slot) = leg.save[usize::from(carry.forward)] else {
                continue;
            };
            let step = match carry.forward {
                true => leg.times.end - 1,
                false => leg.times.start,
            };
            let origin = self.own.slots[carry.value.buffer].origin;
            for lane in 0..self.several(self.is_several(carry)) {
                self.lane = lane;
                for row in 0..self.run.extent.samples {
                    let from = self.beside(carry, step as isize - origin as isize, row);
                    let to = self.slot((index, carry), slot, row);
                    // SAFETY: the last chunk of the leg has the step, and the slot an entry for each of the value.
                    unsafe { std::ptr::copy_nonoverlapping(from, to, carry.value.len) };
                }
            }
            self.lane = 0;
        }
    }

    /// Returns true if a step is the first or last step of a sample.
    pub(super) fn is_edge(&self, edge: Edge, step: usize, row: usize) -> bool {
        match edge {
            Edge::First => step == 0,
            Edge::Last => step + 1 == self.run.lengths[row],
        }
    }
}
