//! Arrays of the caller's bound to a program for one run.

use ndarray::{ArrayView, ArrayViewMut, ArrayViewMutD, Dimension};

use super::results::{OutputViews, Place};
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::recurrence::{Batch, Given, Outputs, Params, View};
use crate::shape::Rate;

/// One run of a [`Program`] on arrays that stay where they are: views in, views out.
///
/// It is made by [`Program::bind`], is told by name where each parameter and input lies, and ends
/// with [`run`](Self::run) or [`run_in_place`](Self::run_in_place). Parameters and inputs may come from
/// anywhere: [`Params`], a [`Batch`], slices of a long series, a flat vector that an optimiser owns,
/// a mapped file. What is given twice is used as given last.
///
/// An array in standard order (C order, no gaps) is read where it lies, at each use; nothing copies
/// it. An array in another order, such as every second sample of a data set or one turned round, is
/// copied once into the workspace before the run. So are inputs that vary with the sample or step when
/// samples differ in length and the longest do not come first. After the first run of a size none
/// of this allocates.
///
/// ```
/// use bptt::{Recurrence, Wrt};
/// use ndarray::{Array1, Array3, ArrayView2, s};
///
/// let rnn = Recurrence::parse("rnn.rec", "
///     dim H, K
///     input x[K], y[H]
///     param W[H,H], U[H,K]
///     state h[H]
///     h' = tanh(W @ h + U @ x)
///     loss sum((h' - y)^2)
/// ")?;
/// let program = rnn.gradient(Wrt::Parameters)?.compile::<f64>(&[("H", 2), ("K", 1)])?;
/// let mut workspace = program.workspace();
///
/// // A long series, and all parameters in one vector, as many optimisers want it.
/// let x = Array3::from_shape_fn((1000, 1, 1), |(t, ..)| (t as f64 * 0.1).sin());
/// let y = Array3::from_shape_fn((1000, 1, 2), |(t, _, i)| (t as f64 * 0.1 + i as f64).cos());
/// let mut theta = Array1::from_iter((1..=6).map(|i| 0.1 * f64::from(i)));
/// let mut slope = Array1::zeros(6);
/// let mut losses = Vec::new();
/// for first in (0..1000).step_by(50) {
///     let (w, u) = theta.as_slice().expect("it is one piece").split_at(4);
///     let (w_bar, u_bar) = slope.view_mut().split_at(ndarray::Axis(0), 4);
///     let found = program
///         .bind(&mut workspace)
///         .with("W", ArrayView2::from_shape((2, 2), w)?)
///         .with("U", ArrayView2::from_shape((2, 1), u)?)
///         .with("x", x.slice(s![first..first + 50, .., ..]))
///         .with("y", y.slice(s![first..first + 50, .., ..]))
///         .output("W", w_bar.into_shape_with_order((2, 2))?)
///         .output("U", u_bar.into_shape_with_order((2, 1))?)
///         .run_in_place()?;
///     losses.push(found.loss()?);
///     theta.scaled_add(-1e-3, &slope);
/// }
/// assert!(losses[19] < losses[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is computed before it is run"]
pub struct Binding<'w, 'a, F: Real> {
    program: &'w Program<F>,
    workspace: &'w mut Workspace<F>,
    given: Given<'a, F>,
    /// An array for each output that goes to one of the caller's.
    places: Vec<Option<ArrayViewMutD<'a, F>>>,
    /// The number of steps and samples, when they were told.
    extent: Option<(usize, usize)>,
    /// Where the search for the next name begins: names tend to be given in order.
    next: usize,
    error: Option<Error>,
}

/// Room for as many, of another lifetime.
fn emptied<A, B>(mut views: Vec<Option<A>>) -> Vec<Option<B>> {
    views.clear();
    // The memory of an iterator over a vector is used for the vector that is collected from it.
    views.into_iter().map(|_| None).collect()
}

impl<'w, 'a, F: Real> Binding<'w, 'a, F> {
    pub(super) fn new(program: &'w Program<F>, workspace: &'w mut Workspace<F>) -> Self {
        let leaves = program.recurrence.tape().leaves().len();
        let given = Given::nothing(leaves, emptied(std::mem::take(&mut workspace.views)));
        let mut places = emptied(std::mem::take(&mut workspace.places));
        places.resize_with(program.plan.outputs.len(), || None);
        Self {
            program,
            workspace,
            given,
            places,
            extent: None,
            next: 0,
            error: None,
        }
    }

    /// All of these parameters.
    pub fn params(mut self, params: &'a Params<F>) -> Self {
        self.given.add_params(&self.program.recurrence, params);
        self
    }

    /// The inputs of a batch, its steps, samples and lengths.
    pub fn batch(mut self, batch: &'a Batch<F>) -> Self {
        self.given.add_batch(&self.program.recurrence, batch);
        self.extent = Some((batch.steps(), batch.samples()));
        self
    }

    /// A parameter, or an input of real numbers: time first, `[T, B, …]`, for what varies with the
    /// step, `[B, …]` for what is given once per sample.
    pub fn with<'v: 'a, D: Dimension>(self, name: &str, array: ArrayView<'v, F, D>) -> Self {
        self.put(name, View::Real(array.into_dyn().reborrow()))
    }

    /// An input of classes.
    pub fn with_classes<'v: 'a, D: Dimension>(
        self,
        name: &str,
        array: ArrayView<'v, usize, D>,
    ) -> Self {
        self.put(name, View::Class(array.into_dyn().reborrow()))
    }

    fn put(mut self, name: &str, view: View<'a, F>) -> Self {
        let tape = self.program.recurrence.tape();
        let is_next = tape
            .leaves()
            .get(self.next)
            .is_some_and(|l| l.name() == name);
        let leaf = match is_next {
            true => Some(self.next),
            false => tape.leaf_index(name),
        };
        match leaf {
            Some(leaf) => {
                self.given.arrays[leaf] = Some(view);
                self.next = leaf + 1;
            }
            None => self.given.add_unknown("parameter or input", name),
        }
        self
    }

    /// The number of steps and samples, `T` and `B`. They need to be told only when no input varies
    /// with the step.
    pub fn extent(mut self, steps: usize, samples: usize) -> Self {
        self.extent = Some((steps, samples));
        self
    }

    /// The length of each sequence; what lies beyond is not looked at.
    pub fn lengths(mut self, lengths: &'a [usize]) -> Self {
        self.given.lengths = Some(lengths);
        self
    }

    /// An output is to be written to this array, of any order, and to nothing else. When the run
    /// fails, what is in the array has no meaning.
    pub fn output<'v: 'a, D: Dimension>(
        mut self,
        name: &str,
        array: ArrayViewMut<'v, F, D>,
    ) -> Self {
        match self.program.recurrence.output_index(name) {
            Some(index) => self.places[index] = Some(array.into_dyn().reborrow()),
            None => {
                let error = self.program.recurrence.output(name).map(|_| ()).err();
                self.error = self.error.or(error);
            }
        }
        self
    }

    /// Runs the program. The outputs are written to arrays of the workspace, where they stay until
    /// it is used again; those for which there is an [`output`](Self::output) are not among them.
    ///
    /// # Errors
    /// As for [`Program::run`]; [`Error::UnknownName`] for a name that the recurrence does not
    /// have; [`Error::ArrayShape`] for an array of the wrong shape, be it of an input or an output.
    pub fn run(self) -> Result<&'w mut Outputs<F>> {
        let (_, workspace) = F::compute(self, Place::Arrays)?;
        Ok(&mut workspace.outputs)
    }

    /// Runs the program. The outputs stay in the memory in which they were computed, and are not
    /// copied, until the workspace is used again.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_in_place(self) -> Result<OutputViews<'w, F>> {
        let (program, workspace) = F::compute(self, Place::Buffers)?;
        Ok(OutputViews { program, workspace })
    }

    /// Where a number began that is not finite and reaches an output; see
    /// [`Program::find_non_finite`]. Nothing is written to an [`output`](Self::output).
    ///
    /// # Errors
    /// As for [`run`](Self::run), numbers that are not finite aside.
    pub fn find_non_finite(self) -> Result<Option<Error>> {
        F::trace(self)
    }

    pub(super) fn trace(mut self) -> Result<Option<Error>> {
        let result = self.checked().and_then(|()| {
            let program = self.program;
            program.trace(&self.given, self.workspace)
        });
        self.workspace.views = emptied(self.given.arrays);
        self.workspace.places = emptied(self.places);
        result
    }

    /// Checks what was given.
    fn checked(&mut self) -> Result<()> {
        let (steps, samples) = self.found_extent()?;
        (self.given.steps, self.given.samples) = (steps, samples);
        self.error.take().map_or(Ok(()), Err)?;
        self.program.check(&self.given)?;
        for (index, array) in self.places.iter().enumerate() {
            if let Some(array) = array {
                self.program.check_place(index, array, (steps, samples))?;
            }
        }
        Ok(())
    }

    pub(super) fn compute(
        mut self,
        place: Place,
    ) -> Result<(&'w Program<F>, &'w mut Workspace<F>)> {
        let result = self.checked().and_then(|()| {
            self.program.execute(&self.given, self.workspace)?;
            self.program.read(self.workspace, &mut self.places, place)
        });
        self.workspace.views = emptied(self.given.arrays);
        self.workspace.places = emptied(self.places);
        result.map(|()| (self.program, self.workspace))
    }

    /// The number of steps and samples, told or read off an input.
    fn found_extent(&self) -> Result<(usize, usize)> {
        if let Some(extent) = self.extent {
            return Ok(extent);
        }
        let leaves = self.program.recurrence.tape().leaves().iter();
        let mut inputs = leaves.zip(&self.given.arrays);
        let found = inputs.find_map(|(leaf, array)| {
            let shape = array.as_ref()?.shape();
            match (leaf.ty().rate, shape) {
                (Rate::Step, [steps, samples, ..]) => Some((*steps, *samples)),
                _ => None,
            }
        });
        found.ok_or_else(|| Error::Batch {
            reason: "no input says how many steps and samples there are; `Binding::extent` can"
                .into(),
        })
    }
}
