//! Truncated backpropagation through time: gradients of windows of long sequences.

use std::sync::OnceLock;

use ndarray::{ArrayD, Axis, CowArray, IxDyn, Slice};

use crate::error::{Error, Result};
use crate::exec::{Program, Real, Workspace};
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Window, Wrt};
use crate::shape::Rate;
use crate::tape::Role;

/// The numbers of steps of truncated backpropagation through time, `k1` and `k2` of Williams and Peng (1990).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    every: usize,
    through: usize,
}

impl Truncation {
    /// A gradient every `every` steps (k1), through `through` steps (k2).
    ///
    /// # Errors
    /// [`Error::Batch`] if `every` is 0 or larger than `through`.
    pub fn new(every: usize, through: usize) -> Result<Self> {
        let reason = match (every, through) {
            (0, _) => "a gradient every 0 steps is none; truncate to at least 1".into(),
            _ if through < every => format!(
                "a gradient every {every} steps through {through} would leave steps out; go through at least {every}"
            ),
            _ => return Ok(Self { every, through }),
        };
        Err(Error::Batch { reason })
    }

    /// The number of steps from one gradient to the next, k1.
    #[must_use]
    pub const fn every(self) -> usize {
        self.every
    }

    /// The number of steps that a gradient goes back, k2.
    #[must_use]
    pub const fn through(self) -> usize {
        self.through
    }
}

/// The gradients of a recurrence in windows of steps: truncated backpropagation through time (R. J. Williams and J. Peng,
/// "An efficient gradient-based algorithm for on-line training of recurrent network trajectories", Neural Computation 2, 1990).
///
/// With k1 = [`every`](Truncation::every) and k2 = [`through`](Truncation::through), window `n` ends after step
/// `e = min(n k1, T)`. Its **loss** is that of the steps since the window before, `(n − 1) k1 < t ≤ e`. Its **gradient** is
/// that of this loss through the steps `s < t ≤ e` with `s = max(0, e − k2)`: the states before step `s + 1` are constants,
/// those that the windows before computed with their parameters. The first windows have the initial states, and their
/// gradients include those of parameters in initial states.
///
/// * If no update comes between the windows and the loss is a sum over steps, the losses of all windows add up to the loss.
/// * A mean over steps or samples is that of the steps and samples that count in the window.
/// * A loss at the last step counts in the window that has the last step of the sample; it is zero in the others. In a product of
///   both, a sum over steps is that of the window.
/// * A term that does not depend on the steps, such as a penalty of parameters, counts in every window.
/// * A sample that has ended is no part of later windows.
///
/// A window that has all steps gives the gradient of the recurrence, bit for bit.
///
/// ```
/// use bptt::fit::{Adam, Optimizer, Truncated, Truncation};
/// use bptt::{Batch, Params, Recurrence, Wrt};
/// use ndarray::{Array2, arr0};
///
/// let text = "param a, b\ninput x, y\nstate h\nh' = tanh(a * h + b * x)\nmean loss (h' - y)^2\n";
/// let model = Recurrence::parse("model.rec", text)?;
/// let wave = |shift: f64| Array2::from_shape_fn((1000, 1), |(t, _)| (0.1 * t as f64 + shift).sin());
/// let batch = Batch::new(1000, 1).with("x", wave(0.0)).with("y", wave(-0.3));
/// let mut params = Params::new().with("a", arr0(0.1)).with("b", arr0(0.1));
///
/// let truncated = Truncated::new(&model, Wrt::Parameters)?.compile_for(&params, &batch)?;
/// let mut adam = Adam::new(0.01);
/// let mut losses = Vec::new();
/// let mut windows = truncated.windows(&batch, Truncation::new(10, 50)?)?;
/// while let Some(gradient) = windows.next(&params)? {
///     losses.push(gradient.loss()?);
///     adam.step(&mut params, gradient)?;
/// }
/// assert_eq!(losses.len(), 100);
/// assert!(losses[99] < losses[9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Truncated {
    window: Window,
    whole: Recurrence,
}

impl Truncated {
    /// The gradients of windows with respect to parameters.
    ///
    /// # Errors
    /// As for [`Recurrence::gradient`]; [`Error::NotCausal`] if the loss needs later steps, as with a state that runs backwards or
    /// a mean over steps that steps use, or the first step of the sequence; [`Error::NotDifferentiable`] for a variable that is not
    /// a parameter.
    pub fn new<'a>(recurrence: &Recurrence, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let wrt = wrt.into();
        Ok(Self {
            window: recurrence.window_gradient(wrt)?,
            whole: recurrence.gradient(wrt)?,
        })
    }

    /// Compiles the gradients for these sizes of the dimensions.
    ///
    /// # Errors
    /// As for [`Recurrence::compile`].
    pub fn compile<F: Real>(&self, sizes: &[(&str, usize)]) -> Result<TruncatedProgram<F>> {
        Ok(TruncatedProgram {
            window: self.window.clone(),
            program: self.window.gradient.compile(sizes)?,
            whole: self.whole.clone(),
            whole_program: OnceLock::new(),
        })
    }

    /// Compiles the gradients for the sizes of some data.
    ///
    /// # Errors
    /// If the data do not fit the recurrence.
    pub fn compile_for<F: Real>(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<TruncatedProgram<F>> {
        let sizes = self.whole.known_sizes(params, batch)?;
        let sizes: Vec<(&str, usize)> = sizes.iter().map(|(name, n)| (&**name, *n)).collect();
        self.compile(&sizes)
    }
}

/// Compiled [`Truncated`] gradients.
#[derive(Clone, Debug)]
pub struct TruncatedProgram<F> {
    window: Window,
    program: Program<F>,
    whole: Recurrence,
    /// The gradient of all steps, if it was needed.
    whole_program: OnceLock<Program<F>>,
}

impl<F: Real> TruncatedProgram<F> {
    /// The windows of some sequences, one after the other.
    ///
    /// # Errors
    /// If the batch has no steps or samples, its lengths do not fit, or an input has other numbers of them.
    pub fn windows<'a>(
        &'a self,
        batch: &'a Batch<F>,
        truncation: Truncation,
    ) -> Result<Windows<'a, F>> {
        let params = Params::new();
        let given = self.whole.given(&params, batch);
        given.check_names(&self.whole)?;
        given.check_extent()?;
        batch.check_axes(&self.whole)?;
        batch.check_steps(&self.whole)?;
        let lengths: Vec<usize> = batch.lengths().collect();
        let sizes = self.program.sizes();
        let leaves = self.program.recurrence().tape();
        let carried = self.window.carried.iter().filter_map(|carried| {
            let ty = leaves.leaf_named(&carried.start)?.ty();
            let mut shape = vec![batch.samples()];
            shape.extend(ty.shape.values(sizes));
            Some(ArrayD::zeros(shape))
        });
        Ok(Windows {
            carried: carried.collect(),
            program: self,
            batch,
            truncation,
            steps: lengths.iter().copied().max().unwrap_or(0),
            lengths,
            end: 0,
            workspace: self.program.workspace(),
            whole: None,
        })
    }

    fn whole(&self) -> Result<&Program<F>> {
        if let Some(program) = self.whole_program.get() {
            return Ok(program);
        }
        let names = self.program.recurrence().tape().dims();
        let all: Vec<(&str, usize)> = names.zip(self.program.sizes().iter().copied()).collect();
        let program = self.whole.compile(&all)?;
        Ok(self.whole_program.get_or_init(|| program))
    }
}

/// The windows of some sequences, see [`Truncated`].
#[derive(Debug)]
pub struct Windows<'a, F: Real> {
    program: &'a TruncatedProgram<F>,
    batch: &'a Batch<F>,
    truncation: Truncation,
    lengths: Vec<usize>,
    steps: usize,
    /// The number of steps whose loss has been counted.
    end: usize,
    /// The values before the first step of the next window, `[B, …]`.
    carried: Vec<ArrayD<F>>,
    workspace: Workspace<F>,
    /// The outputs of a window that has all steps.
    whole: Option<Outputs<F>>,
}

/// Some consecutive steps of some samples.
struct Part<'s> {
    start: usize,
    end: usize,
    /// The samples, unless all of them.
    chosen: Option<&'s [usize]>,
}

impl Part<'_> {
    /// The entries of an input.
    fn of<'d, T: Copy>(&self, rate: Rate, array: &'d ArrayD<T>) -> CowArray<'d, T, IxDyn> {
        let mut view = array.view();
        let mut samples = Axis(0);
        if rate == Rate::Step {
            view.slice_axis_inplace(Axis(0), Slice::from(self.start..self.end));
            samples = Axis(1);
        }
        match self.chosen {
            None => view.into(),
            Some(chosen) => view.select(samples, chosen).into(),
        }
    }
}

impl<F: Real> Windows<'_, F> {
    /// The number of windows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a window")]
    pub const fn len(&self) -> usize {
        self.steps.div_ceil(self.truncation.every)
    }

    /// The loss and the gradient of the next window at these parameters; `None` after the last. The outputs are those of
    /// [`Recurrence::gradient`], and are valid until the next window; they may be changed, as by
    /// [`clip_global_norm`](super::clip_global_norm).
    ///
    /// # Errors
    /// As for [`Program::run`]; the window is then not counted.
    pub fn next(&mut self, params: &Params<F>) -> Result<Option<&mut Outputs<F>>> {
        if self.end >= self.steps {
            return Ok(None);
        }
        let Truncation { every, through } = self.truncation;
        let end_of = |counted: usize| counted.saturating_add(every).min(self.steps);
        let end = end_of(self.end);
        if end == self.steps && self.end == 0 {
            let program = self.program.whole()?;
            let found = program.evaluate(params, self.batch)?;
            self.end = end;
            return Ok(Some(self.whole.insert(found)));
        }
        let (start, counted) = (end.saturating_sub(through), self.end);
        let running = |b: &usize| self.lengths[*b] > counted;
        let chosen: Vec<usize> = (0..self.batch.samples()).filter(running).collect();
        let lengths = chosen.iter().map(|b| self.lengths[*b].min(end) - start);
        let lengths: Vec<usize> = lengths.collect();
        let (steps, samples) = (lengths.iter().copied().max().unwrap_or(0), chosen.len());
        let part = Part {
            start,
            end: start + steps,
            chosen: (samples < self.batch.samples()).then_some(&chosen),
        };

        let window = &self.program.window;
        let flag = |is: bool| if is { F::one() } else { F::zero() };
        let counts = ArrayD::from_shape_fn(vec![steps, samples], |i| flag(start + i[0] >= counted));
        let ends =
            ArrayD::from_shape_fn(vec![samples], |i| flag(self.lengths[chosen[i[0]]] <= end));
        let begins = ArrayD::from_elem(vec![samples], flag(start == 0));
        let mut reals = vec![
            (&*window.counts, counts.view().into()),
            (&*window.ends, ends.view().into()),
            (&*window.begins, begins.view().into()),
        ];
        for (carried, value) in window.carried.iter().zip(&self.carried) {
            reals.push((&*carried.start, part.of(Rate::Sample, value)));
        }
        let mut classes = Vec::new();
        for leaf in self.program.whole.tape().leaves() {
            let (name, rate) = (leaf.name(), leaf.ty().rate);
            match (leaf.role(), self.batch.get(name), self.batch.classes(name)) {
                (Role::Input, Some(array), _) => reals.push((name, part.of(rate, array))),
                (Role::Input, _, Some(array)) => classes.push((name, part.of(rate, array))),
                _ => {}
            }
        }
        let sizes = self.program.program.sizes();
        let mut values: Vec<ArrayD<F>> = Vec::new();
        for carried in &window.carried {
            let ty = self
                .program
                .program
                .recurrence()
                .output_type(&carried.value);
            let mut shape = vec![steps, samples];
            shape.extend(ty.into_iter().flat_map(|ty| ty.shape.values(sizes)));
            values.push(ArrayD::zeros(shape));
        }
        let binding = self.program.program.bind(&mut self.workspace);
        let mut binding = binding
            .params(params)
            .extent(steps, samples)
            .lengths(&lengths);
        for (name, array) in &reals {
            binding = binding.with(name, array.view());
        }
        for (name, array) in &classes {
            binding = binding.with_classes(name, array.view());
        }
        for (carried, value) in window.carried.iter().zip(&mut values) {
            binding = binding.output(&carried.value, value.view_mut());
        }
        binding.run()?;
        drop((reals, classes));
        self.end = end;
        let next = end_of(end).saturating_sub(through);
        if let Some(last) = (next - start).checked_sub(1) {
            for (to, value) in self.carried.iter_mut().zip(&values) {
                let value = value.index_axis(Axis(0), last.min(steps - 1));
                for (row, sample) in chosen.iter().enumerate() {
                    let from = value.index_axis(Axis(0), row);
                    to.index_axis_mut(Axis(0), *sample).assign(&from);
                }
            }
        }
        Ok(Some(self.workspace.outputs_mut()))
    }
}
