//! The inputs of a step: their places, and their checks.

#![allow(
    unsafe_code,
    reason = "inputs are written through the pointers by which a step reads them"
)]

use std::ops::Range;
use std::sync::Arc;

use super::kernel::{Isa, all_finite};
use super::memory::Aligned;
use super::workspace::{Slot, Workspace};
use super::{Program, Real};
use crate::error::{Error, Result, number};
use crate::op::Scalar;
use crate::plan::Storage;
use crate::recurrence::is_class;
use crate::shape::{Kind, Rate};

/// An input of a step.
#[derive(Clone, Debug)]
struct Input {
    name: Arc<str>,
    /// Its buffer in the plan; `None` if no output needs it.
    buffer: Option<usize>,
    /// The place of its first entry among all inputs.
    start: usize,
    /// The number of entries of a sample.
    len: usize,
    samples: usize,
    shape: Vec<usize>,
    /// The number of classes, if the entries are classes.
    classes: Option<usize>,
    /// True if the classes are numbers of their own kind.
    is_class: bool,
    /// True if an entry has no influence where a mask is zero.
    is_masked: bool,
    is_mask: bool,
}

impl Input {
    /// The inputs that vary with the step, and the number of their entries.
    fn all<F: Real>(program: &Program<F>, samples: usize) -> (Vec<Self>, usize) {
        let tape = program.recurrence.tape();
        let (mut all, mut start) = (Vec::new(), 0);
        for (index, leaf) in tape.leaves().iter().enumerate() {
            if leaf.ty().rate != Rate::Step {
                continue;
            }
            let shape = leaf.ty().shape.values(&program.sizes);
            let len: usize = shape.iter().product();
            let is_own = |storage| storage == Storage::Leaf(index);
            let (classes, is_class) = match leaf.ty().kind {
                Kind::Class(n) => (Some(n), true),
                Kind::Real => (leaf.classes(), false),
            };
            all.push(Self {
                name: Arc::clone(&leaf.name),
                buffer: program.plan.buffers.iter().position(|b| is_own(b.storage)),
                start,
                len,
                samples,
                shape,
                classes: classes.map(|n| n.value(&program.sizes)),
                is_class,
                is_masked: tape.is_masked(leaf),
                is_mask: tape.masks().any(|mask| *mask == leaf.name),
            });
            start += samples * len;
        }
        (all, start)
    }

    const fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// Lets a step read the input from this memory of all inputs or of all classes.
    fn connect<F: Real>(
        &self,
        workspace: &mut Workspace<F>,
        (space, classes): (*mut F, *mut usize),
    ) {
        let Some(buffer) = self.buffer else { return };
        if self.is_class {
            workspace.class_pointers[buffer] = classes.wrapping_add(2 * self.start).cast_const();
        }
        for worker in &mut workspace.workers {
            worker.slots[buffer] = Slot {
                ptr: space.wrapping_add(self.start),
                base: space.wrapping_add(self.start),
                time: 0,
                row: self.len,
                lane: 0,
                origin: 0,
            };
        }
    }
}

/// The inputs of a step, and their memory.
#[derive(Debug)]
pub(super) struct Inputs<F> {
    all: Vec<Input>,
    has_classes: bool,
    /// The number of entries of a step.
    width: usize,
    space: Aligned<F>,
    /// The classes, twice: a step has number 0 if it is the first, and 1 otherwise.
    classes: Aligned<usize>,
}

impl<F: Real> Inputs<F> {
    /// Lets a step read its inputs from memory of their own.
    pub(super) fn new(program: &Program<F>, workspace: &mut Workspace<F>) -> Result<Self> {
        let (all, width) = Input::all(program, workspace.extent.samples);
        let (mut space, mut classes) = (Aligned::default(), Aligned::default());
        space.reserve(width)?;
        classes.reserve(2 * width)?;
        let memory = (space.as_mut_ptr(), classes.as_mut_ptr());
        all.iter()
            .for_each(|input| input.connect(workspace, memory));
        Ok(Self {
            has_classes: all.iter().any(Input::has_classes),
            all,
            width,
            space,
            classes,
        })
    }

    /// The names of the inputs and their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let range = |i: &Input| i.start..i.start + i.samples * i.len;
        self.all.iter().map(move |i| (&*i.name, range(i)))
    }

    /// Checks the inputs of a step and copies them to the memory of the step.
    pub(super) fn take(&mut self, inputs: &[F], step: usize, isa: Isa) -> Result<()> {
        if inputs.len() != self.width {
            return Err(self.wrong_count(inputs.len()));
        }
        let is_plain = !self.has_classes && all_finite(isa, inputs);
        if !is_plain {
            return self.take_one_by_one(inputs, step);
        }
        let to = self.space.as_mut_ptr();
        // SAFETY: the memory has this many entries.
        unsafe { std::ptr::copy_nonoverlapping(inputs.as_ptr(), to, inputs.len()) };
        Ok(())
    }

    #[cold]
    fn wrong_count(&self, found: usize) -> Error {
        let each = |i: &Input| match i.samples * i.len {
            1 => format!("1 for `{}`", i.name),
            n => format!("{n} for `{}`", i.name),
        };
        let all: Vec<String> = self.all.iter().map(each).collect();
        let all = match all.is_empty() {
            true => "it has no inputs that vary with the step".into(),
            false => all.join(", "),
        };
        Error::Array {
            reason: format!(
                "a step takes {} numbers, found {found}: {all}, in this order",
                self.width
            ),
        }
    }

    fn take_one_by_one(&mut self, inputs: &[F], step: usize) -> Result<()> {
        let (space, classes) = (self.space.as_mut_ptr(), self.classes.as_mut_ptr());
        for input in &self.all {
            for i in 0..input.samples * input.len {
                let (sample, x) = (i / input.len, inputs[input.start + i]);
                let is_good = match input.classes {
                    Some(n) => is_class(x, n),
                    None => x.is_finite(),
                };
                let is_read = is_good || input.is_masked && self.is_inactive(inputs, sample);
                if !is_read {
                    return Err(refuse(input, step, i, x));
                }
                let x = if is_good { x } else { F::zero() };
                // SAFETY: the memory has a place for each entry of a step, and two for each class.
                unsafe {
                    *space.add(input.start + i) = x;
                    if input.is_class {
                        let class = whole(Scalar::to_f64(x));
                        *classes.add(2 * input.start + i) = class;
                        *classes.add(2 * input.start + input.samples + i) = class;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns true if a mask is zero for a sample.
    fn is_inactive(&self, inputs: &[F], sample: usize) -> bool {
        let mut masks = self.all.iter().filter(|i| i.is_mask);
        masks.any(|mask| inputs[mask.start + sample] == F::zero())
    }
}

#[cold]
fn refuse<F: Real>(input: &Input, step: usize, entry: usize, x: F) -> Error {
    let (name, value) = (input.name.to_string(), Scalar::to_f64(x));
    let sample = entry / input.len;
    let mut index = vec![step, sample];
    match input.classes {
        Some(classes) if value.fract() == 0.0 => Error::ClassOutOfRange {
            name,
            index,
            // A negative number has no class.
            value: if value < 0.0 {
                usize::MAX
            } else {
                whole(value).min(usize::MAX - 1)
            },
            classes,
        },
        Some(classes) => Error::Array {
            reason: format!(
                "input `{name}`: step {step}, sample {sample} (counted from 0) is {}, expected a class: a whole \
                 number from 0 to {}",
                number(value),
                classes.saturating_sub(1)
            ),
        },
        None => {
            index.extend(index_of(entry % input.len, &input.shape));
            Error::NonFiniteData {
                what: "input",
                name,
                index,
                value,
            }
        }
    }
}

/// A number without its fraction; one below zero is zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the conversion ends at the largest number"
)]
pub(super) const fn whole(x: f64) -> usize {
    x as usize
}

/// The index of an entry, counted in C order, in an array of this shape.
pub(super) fn index_of(mut entry: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (to, size) in index.iter_mut().zip(shape).rev() {
        (*to, entry) = (entry % size, entry / size);
    }
    index
}
