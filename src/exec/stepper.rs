//! Runs one step at a time, with the state in memory from step to step.
//!
//! A stepper has the memory of a run of one step. Everything that does not change from step to step is done once:
//! matrices are packed, values of parameters computed, and pointers to operands set. The instructions of a step are those
//! of a long run, so that the numbers are the same.

#![allow(
    unsafe_code,
    reason = "operands are reached through pointers; a plan only names entries inside its buffers"
)]

use std::ops::Range;
use std::sync::Arc;

use ndarray::ArrayD;

use super::kept::Kept;
use super::kernel::all_finite;
use super::step_actions::{Actions, place};
use super::step_inputs::{Inputs, index_of};
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::plan::{Memory, OutputSpec, Storage};
use crate::recurrence::{Batch, Given, Outputs, Params};
use crate::shape::{Kind, Rate};
use crate::tape::Role;

/// The program and the data of a stepper; its copies share them.
#[derive(Debug)]
pub(super) struct Source<F: Real> {
    pub(super) program: Program<F>,
    pub(super) params: Params<F>,
    /// The inputs per sample, and zeros for a step.
    pub(super) batch: Batch<F>,
}

/// An output of a step.
#[derive(Clone, Debug)]
struct Output<F> {
    name: String,
    /// The first entry in the first sample.
    from: *const F,
    /// The entries from one sample to the next.
    stride: usize,
    /// The entries of a sample.
    len: usize,
    /// The place of the first entry among all outputs.
    start: usize,
}

/// A recurrence that runs one step at a time: a filter, a controller, a network at work.
///
/// [`Program::stepper`] makes it. A step takes the inputs of the step as one slice and returns the outputs of the step as
/// another; the state stays inside. Steps give the same bits as a [run](Program::run) of the program over all of them, and
/// allocate nothing.
///
/// ```
/// use bptt::{Params, Recurrence};
/// use ndarray::{arr0, array};
///
/// let text = "param a\ninput x\nstate s\ns' = a * s + x\noutput s'\n";
/// let program = Recurrence::parse("smooth.rec", text)?.compile::<f64>(&[])?;
/// let mut stepper = program.stepper(&Params::new().with("a", arr0(0.5)))?;
/// assert_eq!(stepper.step(&[1.0])?, [1.0]);
/// assert_eq!(stepper.step(&[2.0])?, [2.5]);
///
/// // The state can be read, set, saved and copied.
/// assert_eq!(stepper.state("s")?, array![2.5].into_dyn());
/// let mut other = stepper.clone();
/// stepper.set_state("s", &array![10.0])?;
/// assert_eq!(stepper.step(&[0.0])?, [5.0]);
/// assert_eq!(other.step(&[0.0])?, [1.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Layout
/// The inputs of a step are those that vary with the step, in order of declaration, each in C order; the outputs likewise.
/// With `B` samples ([`Program::stepper_of`]) each input is an array `[B, …]`. A class is given as a number: class 3 is
/// `3.0`. [`inputs`](Self::inputs) and [`outputs`](Self::outputs) list the places of all names.
///
/// # Sums so far
/// Outputs that do not vary with the step are those of the steps so far, as if the sequence ended here:
/// [`so_far`](Self::so_far), [`loss`](Self::loss). A long run adds eight steps at a time, so its sums over steps can differ
/// in their last bits.
#[derive(Debug)]
pub struct Stepper<F: Real> {
    pub(super) source: Arc<Source<F>>,
    pub(super) workspace: Workspace<F>,
    pub(super) actions: Actions<F>,
    pub(super) kept: Vec<Kept<F>>,
    inputs: Inputs<F>,
    outputs: Vec<Output<F>>,
    out: Vec<F>,
    /// The number of steps taken.
    pub(super) steps: usize,
    /// True if the parameters are in memory of the stepper, and not those of the source.
    pub(super) has_own_params: bool,
}

// SAFETY: the pointers of a stepper point to its own memory and to arrays of its source, which nothing changes.
unsafe impl<F: Real> Send for Stepper<F> {}
// SAFETY: a shared reference changes nothing.
unsafe impl<F: Real> Sync for Stepper<F> {}

impl<F: Real> Program<F> {
    /// A [`Stepper`]: the program one step at a time, for one sample, without inputs per sample.
    ///
    /// # Errors
    /// As for [`stepper_of`](Self::stepper_of).
    pub fn stepper(&self, params: &Params<F>) -> Result<Stepper<F>> {
        self.stepper_of(params, &Batch::new(1, 1))
    }

    /// A [`Stepper`] for the samples of a batch, from which it takes the inputs per sample, such as initial states. Inputs
    /// per step, the number of steps and the lengths of the batch have no effect.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let text = "input x\nsample input s0\nstate s = s0\ns' = s + x\noutput s'\n";
    /// let program = Recurrence::parse("sum.rec", text)?.compile::<f32>(&[])?;
    /// let batch = Batch::new(1, 2).with("s0", array![10.0, 20.0]);
    /// let mut stepper = program.stepper_of(&Params::new(), &batch)?;
    /// assert_eq!(stepper.step(&[1.0, 2.0])?, [11.0, 22.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotCausal`] if a step needs later ones: a state that runs backwards, a value at the next step, or a value of the
    /// whole sequence that steps use. Otherwise as for [`run`](Self::run).
    pub fn stepper_of(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Stepper<F>> {
        if self.directions.is_some() {
            return Err(Error::NoDirections {
                reason: "a stepper has one; make it from the program before `.directions(…)`"
                    .into(),
            });
        }
        self.check_causal()?;
        let tape = self.recurrence.tape();
        let is_input = |name: &str| self.recurrence.role_of(name) == Some(Role::Input);
        if let Some(name) = batch.names().find(|name| !is_input(name)) {
            return Err(Error::UnknownName {
                what: "input",
                name: name.into(),
                known: self.recurrence.inputs().map(Into::into).collect(),
            });
        }
        let mut own = Batch::new(1, batch.samples());
        for leaf in tape.leaves().iter().filter(|l| l.role() == Role::Input) {
            let (name, is_class) = (leaf.name(), matches!(leaf.ty().kind, Kind::Class(_)));
            let mut shape = leaf.ty().shape.values(&self.sizes);
            shape.splice(0..0, [1, batch.samples()]);
            own = match (leaf.ty().rate, batch.get(name), batch.classes(name)) {
                (Rate::Step, ..) if is_class => own.with_classes(name, ArrayD::zeros(shape)),
                (Rate::Step, ..) => own.with(name, ArrayD::zeros(shape)),
                (_, Some(array), _) => own.with(name, array.clone()),
                (_, _, Some(array)) => own.with_classes(name, array.clone()),
                _ => own,
            };
        }
        let source = Source {
            // A step keeps nothing for later passes.
            program: self.clone().threads(1).memory(Memory::All),
            params: params.clone(),
            batch: own,
        };
        F::stepper(Arc::new(source), false)
    }

    /// Refuses a recurrence of which a step needs later ones.
    pub(crate) fn check_causal(&self) -> Result<()> {
        let refuse = |reason| {
            Err(Error::NotCausal {
                recurrence: self.recurrence.name().into(),
                how: "one step at a time",
                reason,
            })
        };
        let outputs = self.recurrence.output_nodes().map(|(_, id)| id);
        if let Some(reason) = self.recurrence.needs_later_steps(outputs) {
            return refuse(reason);
        }
        match &self.plan.passes[..] {
            [pass] if pass.forward && self.plan.carries.iter().all(|c| c.forward) => Ok(()),
            [] => refuse("no value varies with the step".into()),
            passes => refuse(format!("its plan has {} passes over time", passes.len())),
        }
    }
}

impl<F: Real> Stepper<F> {
    pub(super) fn new(source: Arc<Source<F>>, has_own_params: bool) -> Result<Self> {
        let program = &source.program;
        let (params, batch) = (&source.params, &source.batch);
        let samples = batch.samples();
        let given: Given<'_, F> = program.recurrence.given(params, batch);
        program.check(&given)?;
        let mut workspace = program.workspace();
        program.make_room(1, samples, &mut workspace)?;
        program.order(&given, &mut workspace)?;
        program.connect(&given, &mut workspace)?;
        if has_own_params {
            source.copy_params(&mut workspace)?;
        }
        let inputs = Inputs::new(program, &mut workspace)?;
        let actions = Actions::new(program, &mut workspace)?;
        let kept = Kept::all(program, &workspace);
        let (mut outputs, mut start) = (Vec::new(), 0);
        for spec in program.plan.outputs.iter().filter(|o| o.rate == Rate::Step) {
            let (from, stride) = place(&workspace, &spec.operand);
            let len = spec.operand.len;
            outputs.push(Output {
                name: spec.name.clone(),
                from: from.cast_const(),
                stride,
                len,
                start,
            });
            start += samples * len;
        }
        Ok(Self {
            out: vec![F::zero(); start],
            source: Arc::clone(&source),
            workspace,
            actions,
            kept,
            inputs,
            outputs,
            steps: 0,
            has_own_params,
        })
    }

    /// Takes one step: from the inputs of the step to its outputs, both as one slice, see [the layout](Self#layout). The
    /// outputs are valid until the next step.
    ///
    /// # Errors
    /// If the number of inputs is wrong, a number is not finite, or a class is out of range: the step is then not taken. If an
    /// output is not finite, or a custom op fails: the step is then taken, and states and sums so far may have values that are
    /// not finite. [`set_state`](Self::set_state) repairs a state, [`reset`](Self::reset) states and sums. Steps are counted from 0.
    pub fn step(&mut self, inputs: &[F]) -> Result<&[F]> {
        F::step(self, inputs)
    }

    pub(super) fn advance(&mut self, inputs: &[F]) -> Result<&[F]> {
        let (step, isa) = (self.steps, self.source.program.isa);
        self.inputs.take(inputs, step, isa)?;
        self.steps = step.saturating_add(1);
        self.actions
            .run(&self.source.program, &mut self.workspace)?;
        let samples = self.source.batch.samples();
        let found = match &self.outputs[..] {
            // SAFETY: the buffer of an output has a row for each sample.
            [one] if samples == 1 || one.stride == one.len => unsafe {
                std::slice::from_raw_parts(one.from, samples * one.len)
            },
            outputs => {
                for output in outputs {
                    let rows = &mut self.out[output.start..][..samples * output.len];
                    for (row, to) in rows.chunks_exact_mut(output.len.max(1)).enumerate() {
                        let from = output.from.wrapping_add(row * output.stride);
                        // SAFETY: as above.
                        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
                    }
                }
                &self.out
            }
        };
        match all_finite(isa, found) {
            true => Ok(found),
            false => Err(self.not_finite(found, step)),
        }
    }

    #[cold]
    fn not_finite(&self, found: &[F], step: usize) -> Error {
        let at = found.iter().position(|x| !x.is_finite()).unwrap_or(0);
        let behind = |o: &&Output<F>| o.start <= at;
        let (name, place, entry) = match self.outputs.iter().rfind(behind) {
            Some(output) => {
                let (sample, entry) = (
                    (at - output.start) / output.len,
                    (at - output.start) % output.len,
                );
                (
                    &*output.name,
                    format!("step {step} of sample {sample}"),
                    entry,
                )
            }
            None => ("", format!("step {step}"), at),
        };
        let specs = self.source.program.plan.outputs.iter();
        let shape = specs
            .filter(|o| o.name == name)
            .map(|o| &o.shape[..])
            .next();
        Error::NonFiniteValue {
            expression: format!("output `{name}`"),
            place,
            entry: index_of(entry, shape.unwrap_or_default()),
            value: Scalar::to_f64(found[at]),
            safe_form: None,
        }
    }

    /// The inputs of a step: their names and their places in the slice that a step takes.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.inputs.places()
    }

    /// The outputs of a step: their names and their places in the slice that a step returns.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let samples = self.samples();
        let range = move |o: &Output<F>| o.start..o.start + samples * o.len;
        self.outputs.iter().map(move |o| (&*o.name, range(o)))
    }

    /// The shape of an output of a sample; `None` if no output per step has this name.
    #[must_use]
    pub fn output_shape(&self, name: &str) -> Option<&[usize]> {
        let mut outputs = self.source.program.plan.outputs.iter();
        let output = outputs.find(|o| o.rate == Rate::Step && o.name == name)?;
        Some(&output.shape)
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.source.batch.samples()
    }

    /// The number of steps taken since the stepper was made or [reset](Self::reset).
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The outputs that do not vary with the step, as if the sequence ended here.
    ///
    /// # Errors
    /// If an output is not finite, such as the mean of no steps, or a custom op fails.
    pub fn so_far(&mut self) -> Result<Outputs<F>> {
        F::so_far(self)
    }

    /// The loss of the steps so far.
    ///
    /// ```
    /// use bptt::{Params, Recurrence};
    /// let program = Recurrence::parse("r.rec", "input x\nmean loss x^2\noutput y = 2 * x\n")?.compile::<f64>(&[])?;
    /// let mut stepper = program.stepper(&Params::new())?;
    /// stepper.step(&[1.0])?;
    /// assert_eq!(stepper.loss()?, 1.0);
    /// stepper.step(&[3.0])?;
    /// assert_eq!(stepper.loss()?, 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoLoss`] if the recurrence has none; otherwise as for [`so_far`](Self::so_far).
    pub fn loss(&mut self) -> Result<F> {
        self.so_far()?.loss().map_err(|_| Error::NoLoss {
            recurrence: self.source.program.recurrence.name().into(),
        })
    }

    pub(super) fn finish(&mut self) -> Result<Outputs<F>> {
        let program = &self.source.program;
        // The values after the last step may replace sums in their memory.
        let is_sum = |index: usize| {
            let storage = program.plan.buffers[index].storage;
            matches!(storage, Storage::Static | Storage::Sample)
        };
        let buffers = self.workspace.buffers.iter_mut().enumerate();
        let before: Vec<(usize, Vec<F>)> = buffers
            .filter(|(index, _)| is_sum(*index))
            .map(|(index, buffer)| (index, buffer.as_mut_slice().to_vec()))
            .collect();
        let outputs = self.actions.finish(program, &mut self.workspace);
        let outputs = outputs.and_then(|()| self.read_all());
        for (index, values) in before {
            self.workspace.buffers[index]
                .as_mut_slice()
                .copy_from_slice(&values);
        }
        outputs
    }

    fn read_all(&self) -> Result<Outputs<F>> {
        let program = &self.source.program;
        let samples = self.samples();
        let mut outputs = Outputs::with_roles(program.recurrence.roles().clone());
        let specs = program.plan.outputs.iter().filter(|o| o.rate != Rate::Step);
        for (index, spec) in specs.enumerate() {
            let rows = if spec.rate == Rate::Static {
                1
            } else {
                samples
            };
            let outer = (spec.rate == Rate::Sample).then_some(samples);
            let shape = outer.into_iter().chain(spec.shape.iter().copied());
            let array = outputs.place(index, &spec.name, shape);
            let (from, stride) = place(&self.workspace, &spec.operand);
            let mut entries = array.iter_mut();
            for row in 0..rows {
                for (entry, to) in (0..spec.operand.len).zip(&mut entries) {
                    // SAFETY: the buffer of an output has a row for each sample.
                    *to = unsafe { *from.wrapping_add(row * stride + entry) };
                }
            }
            self.check_finite(spec, array)?;
        }
        Ok(outputs)
    }

    fn check_finite(&self, spec: &OutputSpec, array: &ArrayD<F>) -> Result<()> {
        let bad = array.indexed_iter().find(|(_, x)| !x.is_finite());
        bad.map_or(Ok(()), |(index, x)| {
            Err(Error::NonFiniteValue {
                expression: format!("output `{}`", spec.name),
                place: match self.steps {
                    0 => "the start, before the first step".into(),
                    steps => format!("the end of step {}", steps - 1),
                },
                entry: ndarray::Dimension::as_array_view(&index).to_vec(),
                value: Scalar::to_f64(*x),
                safe_form: None,
            })
        })
    }
}

impl<F: Real> Clone for Stepper<F> {
    /// A stepper with the same state, which goes its own way.
    ///
    /// # Panics
    /// If the [memory limit](crate::memory_limit) no longer allows a second one.
    fn clone(&self) -> Self {
        let new = F::stepper(Arc::clone(&self.source), self.has_own_params).and_then(|mut new| {
            new.go_on_from(self)?;
            Ok(new)
        });
        new.expect("the copy of a stepper needs as much memory as the stepper")
    }
}
