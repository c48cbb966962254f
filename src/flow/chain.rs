//! Cotangents that go back one register at a time.

use std::sync::Arc;

use ndarray::{ArrayD, Axis, Slice, Zip};

use crate::error::{Error, Result};
use crate::exec::{Program, Real, Workspace};
use crate::limit::check_memory;
use crate::op::Scalar;
use crate::recurrence::{Batch, Cut, Outputs, Params, Recurrence, Wrt};
use crate::tape::{Derived, Direction};

/// The pullback of all steps at once, at the values of one run.
#[derive(Debug)]
pub(crate) struct Chain<'a, F: Real> {
    pub(crate) cut: &'a Cut,
    batch: &'a Batch<F>,
    /// The parameters and their copies.
    params: Params<F>,
    lengths: Vec<usize>,
    /// The values that the registers read, `[T, B, …]`.
    reads: Vec<ArrayD<F>>,
    program: Program<F>,
    workspace: Workspace<F>,
    /// The names of the cotangents of the loss, of the carried values and of the initial values.
    loss_bar: Arc<str>,
    bars: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// The cotangents of the values that registers carry, and of their initial values.
#[derive(Clone, Debug)]
pub(crate) struct Carried<F> {
    /// `[T, B, …]` for each register.
    pub(crate) steps: Vec<ArrayD<F>>,
    /// `[B, …]` for each register.
    pub(crate) starts: Vec<ArrayD<F>>,
}

/// The name of the cotangent of an output of a pullback.
fn bar_of(pullback: &Recurrence, output: &str) -> Result<Arc<str>> {
    let role = Derived::Cotangent(output.into());
    let name = pullback.leaf_for(&role);
    name.map(Into::into).ok_or_else(|| Error::UnknownName {
        what: "output",
        name: output.into(),
        known: Vec::new(),
    })
}

impl<'a, F: Real> Chain<'a, F> {
    /// Runs the recurrence forwards, and prepares the pullback with respect to what it reads, and to the parameters if
    /// `with_parameters`.
    pub(crate) fn new(
        cut: &'a Cut,
        params: &Params<F>,
        batch: &'a Batch<F>,
        with_parameters: bool,
    ) -> Result<Self> {
        let known = cut.reads.known_sizes(params, batch)?;
        let sizes: Vec<(&str, usize)> = known;
        let run = cut.reads.compile_for::<F>(params, batch)?;
        let numbers = |name: &str| {
            let ty = cut.reads.output_type(name)?;
            let shape = ty.shape.values(run.sizes());
            let places = batch.steps().checked_mul(batch.samples())?;
            shape
                .iter()
                .try_fold(places, |n, size| n.checked_mul(*size))
        };
        let all = cut
            .registers
            .iter()
            .try_fold(0_usize, |n, r| n.checked_add(numbers(&r.read)?));
        // The values, their cotangents, and those that are carried.
        check_memory(all.and_then(|n| n.checked_mul(3 * size_of::<F>())))?;
        let mut found = run.evaluate(params, batch)?;
        let reads = cut
            .registers
            .iter()
            .filter_map(|r| found.take(&r.read))
            .collect();
        let mut outputs: Vec<&str> = vec!["loss"];
        let mut wrt: Vec<&str> = Vec::new();
        if with_parameters {
            wrt.extend(cut.parameters.iter().map(|p| &*p.leaf));
        }
        for register in &cut.registers {
            outputs.push(&register.carried);
            outputs.extend(register.start.as_deref());
            wrt.push(&register.read);
        }
        let pullback = cut.recurrence.pullback(&outputs, Wrt::Names(&wrt))?;
        let loss_bar = bar_of(&pullback, "loss")?;
        let bars = cut.registers.iter().map(|register| {
            let start = register.start.as_deref();
            let start = start.map(|start| bar_of(&pullback, start)).transpose()?;
            Ok((bar_of(&pullback, &register.carried)?, start))
        });
        let bars = bars.collect::<Result<_>>()?;
        let program = pullback.compile(&sizes)?;
        let mut copied = params.filtered(|_| true);
        for copy in &cut.parameters {
            if let Some(array) = params.get(&copy.parameter) {
                copied.insert(&copy.leaf, array.clone());
            }
        }
        Ok(Self {
            cut,
            batch,
            params: copied,
            lengths: batch.lengths().collect(),
            reads,
            workspace: program.workspace(),
            program,
            loss_bar,
            bars,
        })
    }

    /// The cotangents of the reads, and of the parameters, that come from the loss through no register.
    pub(crate) fn pull_loss(&mut self) -> Result<&Outputs<F>> {
        let none = self.nothing();
        self.run(F::one(), &none)
    }

    /// The same from the carried and the initial values.
    pub(crate) fn pull_carried(&mut self, carried: &Carried<F>) -> Result<&Outputs<F>> {
        self.run(F::zero(), carried)
    }

    fn run(&mut self, loss: F, carried: &Carried<F>) -> Result<&Outputs<F>> {
        let loss = ndarray::arr0(loss).into_dyn();
        let mut binding = self
            .program
            .bind(&mut self.workspace)
            .params(&self.params)
            .batch(self.batch);
        binding = binding.with(&self.loss_bar, loss.view());
        for (register, read) in self.cut.registers.iter().zip(&self.reads) {
            binding = binding.with(&register.read, read.view());
        }
        for ((step, start), (steps, starts)) in self
            .bars
            .iter()
            .zip(carried.steps.iter().zip(&carried.starts))
        {
            binding = binding.with(step, steps.view());
            if let Some(start) = start {
                binding = binding.with(start, starts.view());
            }
        }
        let found = binding.run()?;
        Ok(found)
    }

    fn nothing(&self) -> Carried<F> {
        let zeros = |read: &ArrayD<F>| ArrayD::zeros(read.raw_dim());
        let starts = |read: &ArrayD<F>| ArrayD::zeros(&read.shape()[1..]);
        Carried {
            steps: self.reads.iter().map(zeros).collect(),
            starts: self.reads.iter().map(starts).collect(),
        }
    }

    /// The cotangents of the carried values: those of the reads, one step further. `chosen` selects the registers; the
    /// others carry nothing.
    pub(crate) fn carry(&self, reads: &Outputs<F>, chosen: impl Fn(usize) -> bool) -> Carried<F> {
        let mut carried = self.nothing();
        let last = self.batch.steps().saturating_sub(1);
        for (index, register) in self.cut.registers.iter().enumerate() {
            let (Some(read), true) = (reads.get(&register.read), chosen(index)) else {
                continue;
            };
            let (from, to) = match register.direction {
                Direction::Forward => (Slice::from(1..), Slice::from(..last)),
                Direction::Backward => (Slice::from(..last), Slice::from(1..)),
            };
            let mut steps = carried.steps[index].view_mut();
            steps
                .slice_axis_mut(Axis(0), to)
                .assign(&read.slice_axis(Axis(0), from));
            if register.start.is_none() {
                continue;
            }
            for (sample, length) in self.lengths.iter().enumerate() {
                let first = match register.direction {
                    Direction::Forward => Some(0),
                    Direction::Backward => length.checked_sub(1),
                };
                let Some(first) = first.filter(|step| step < length) else {
                    continue;
                };
                let value = read.index_axis(Axis(0), first);
                let mut start = carried.starts[index].index_axis_mut(Axis(0), sample);
                start.assign(&value.index_axis(Axis(0), sample));
            }
        }
        carried
    }

    /// The gradient that the whole recurrence makes of carried cotangents, through any number of registers.
    pub(crate) fn further(&self, params: &Params<F>, carried: &Carried<F>) -> Result<Outputs<F>> {
        let mut outputs: Vec<&str> = Vec::new();
        for register in &self.cut.registers {
            outputs.push(&register.carried);
            outputs.extend(register.start.as_deref());
        }
        let pullback = self.cut.whole.pullback(&outputs, Wrt::Parameters)?;
        let tape = pullback
            .tape()
            .dims()
            .zip(self.program.sizes().iter().copied());
        let sizes: Vec<(&str, usize)> = tape.collect();
        let program = pullback.compile::<F>(&sizes)?;
        let mut workspace = program.workspace();
        let mut binding = program
            .bind(&mut workspace)
            .params(params)
            .batch(self.batch);
        let mut names = Vec::new();
        for register in &self.cut.registers {
            let start = register.start.as_deref();
            let start = start.map(|start| bar_of(&pullback, start)).transpose()?;
            names.push((bar_of(&pullback, &register.carried)?, start));
        }
        for ((step, start), (steps, starts)) in
            names.iter().zip(carried.steps.iter().zip(&carried.starts))
        {
            binding = binding.with(step, steps.view());
            if let Some(start) = start {
                binding = binding.with(start, starts.view());
            }
        }
        Ok(binding.run()?.clone())
    }
}

impl<F: Scalar> Carried<F> {
    /// Nothing is carried, so nothing comes from further back.
    pub(crate) fn is_zero(&self) -> bool {
        let arrays = || self.steps.iter().chain(&self.starts);
        arrays().all(|array| array.iter().all(|x| *x == F::zero()))
    }

    /// Adds other cotangents.
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = self.steps.iter_mut().zip(&other.steps);
        let starts = self.starts.iter_mut().zip(&other.starts);
        pairs.chain(starts).for_each(|(to, array)| add(to, array));
    }

    /// Keeps the cotangents of one register.
    pub(crate) fn keep(&mut self, register: usize) {
        for (index, array) in self
            .steps
            .iter_mut()
            .enumerate()
            .chain(self.starts.iter_mut().enumerate())
        {
            if index != register {
                array.fill(F::zero());
            }
        }
    }

    /// The Euclidean norm of the cotangents of the carried values, without those of the initial values.
    pub(crate) fn norm(&self) -> f64 {
        norm(self.steps.iter())
    }
}

/// The Euclidean norm of the entries of some arrays, without overflow.
pub(crate) fn norm<'a, F: Scalar>(arrays: impl Iterator<Item = &'a ArrayD<F>> + Clone) -> f64 {
    let entries = || {
        arrays
            .clone()
            .flat_map(|array| array.iter())
            .map(|x| Scalar::to_f64(*x).abs())
    };
    let largest = entries().fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * entries().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

/// Adds an array to another.
pub(crate) fn add<F: Scalar>(to: &mut ArrayD<F>, array: &ArrayD<F>) {
    Zip::from(to).and(array).for_each(|to, x| *to += *x);
}
