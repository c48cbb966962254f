//! Arrays of the caller, bound to a program for one run.

use ndarray::{ArrayView, ArrayViewMut, ArrayViewMutD, Dimension};

use super::results::{OutputViews, Place};
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::recurrence::{Batch, Given, Outputs, Params, View};
use crate::shape::Rate;

/// One run of a [`Program`] on arrays of the caller, for inputs and for outputs.
///
/// [`Program::bind`] makes a binding. Its methods set each parameter and input by name;
/// [`run`](Self::run) or [`run_in_place`](Self::run_in_place) ends it. Parameters and inputs can be
/// views of any memory: [`Params`], a [`Batch`], slices of a long series, a flat vector of an
/// optimiser, a mapped file. If a name is set twice, the last array counts.
///
/// C-contiguous arrays are used in place, without a copy. An array in another order, e.g. every
/// second sample of a data set or a reversed one, is copied once into the workspace before the run.
/// Inputs that vary with the sample or step are copied if samples differ in length and are not
/// sorted, longest first; so are inputs with invalid entries at steps that a mask excludes. After
/// the first run of a size, nothing is allocated.
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
    /// For each output, the array of the caller that receives it, if any.
    places: Vec<Option<ArrayViewMutD<'a, F>>>,
    /// The number of steps and samples, if set.
    extent: Option<(usize, usize)>,
    /// The index at which the search for the next name begins; names are usually set in order.
    next: usize,
    error: Option<Error>,
}

/// An empty vector of views with another lifetime, in the same allocation.
fn emptied<A, B>(mut views: Vec<Option<A>>) -> Vec<Option<B>> {
    views.clear();
    // Collecting from an iterator over a vector reuses the allocation of the vector.
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

    /// Sets all parameters.
    pub fn params(mut self, params: &'a Params<F>) -> Self {
        self.given.add_params(&self.program.recurrence, params);
        self
    }

    /// Sets the inputs, the number of steps and samples, and the lengths of a batch.
    pub fn batch(mut self, batch: &'a Batch<F>) -> Self {
        self.given.add_batch(&self.program.recurrence, batch);
        self.extent = Some((batch.steps(), batch.samples()));
        self
    }

    /// Sets a parameter (`[…]`) or an input of real numbers: `[T, B, …]` if it varies with the
    /// step, `[B, …]` if it is given per sample: a view, a reference to an array, or a slice. Errors are returned by
    /// the run.
    pub fn with<'v: 'a, D: Dimension>(
        self,
        name: &str,
        array: impl Into<ArrayView<'v, F, D>>,
    ) -> Self {
        self.put(name, View::Real(array.into().into_dyn().reborrow()))
    }

    /// Sets an input of classes: `[T, B]` or `[B]`.
    pub fn with_classes<'v: 'a, D: Dimension>(
        self,
        name: &str,
        array: impl Into<ArrayView<'v, usize, D>>,
    ) -> Self {
        self.put(name, View::Class(array.into().into_dyn().reborrow()))
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

    /// Sets the number of steps `T` and samples `B`. This is required only if no input varies with
    /// the step.
    pub fn extent(mut self, steps: usize, samples: usize) -> Self {
        self.extent = Some((steps, samples));
        self
    }

    /// Sets the length of each sequence, in steps; later steps are ignored.
    pub fn lengths(mut self, lengths: &'a [usize]) -> Self {
        self.given.lengths = Some(lengths);
        self
    }

    /// Sets the array, of any memory layout, to which an output is written. The output is then not
    /// an output of the workspace. After a failed run, the content of the array is undefined.
    pub fn output<'v: 'a, D: Dimension>(
        mut self,
        name: &str,
        array: impl Into<ArrayViewMut<'v, F, D>>,
    ) -> Self {
        match self.program.recurrence.output_index(name) {
            Some(index) => self.places[index] = Some(array.into().into_dyn().reborrow()),
            None => {
                let error = self.program.recurrence.output(name).map(|_| ()).err();
                self.error = self.error.or(error);
            }
        }
        self
    }

    /// Runs the program. The outputs are written to arrays of the workspace, which are valid until
    /// its next use; outputs with an array set by [`output`](Self::output) are not among them.
    ///
    /// # Errors
    /// As for [`Program::run`]; [`Error::UnknownName`] for a name that the recurrence does not
    /// have; [`Error::ArrayShape`] for an input or output array of the wrong shape.
    pub fn run(self) -> Result<&'w mut Outputs<F>> {
        let (_, workspace) = F::compute(self, Place::Arrays)?;
        Ok(&mut workspace.outputs)
    }

    /// Runs the program. The outputs stay in the memory in which they were computed, without a
    /// copy, until the next use of the workspace.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_in_place(self) -> Result<OutputViews<'w, F>> {
        let (program, workspace) = F::compute(self, Place::Buffers)?;
        Ok(OutputViews { program, workspace })
    }

    /// Finds the first NaN or infinity that reaches an output; see [`Program::find_non_finite`]. No
    /// array set by [`output`](Self::output) is written.
    ///
    /// # Errors
    /// As for [`run`](Self::run), except for values that are not finite.
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

    /// Checks the arrays and the extent.
    fn checked(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)?;
        let (steps, samples) = self.found_extent().or_else(|unknown| {
            // A wrong name may be the reason.
            self.given.check_names(&self.program.recurrence)?;
            Err(unknown)
        })?;
        (self.given.steps, self.given.samples) = (steps, samples);
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
            let (program, places) = (self.program, &mut self.places);
            program.execute(&self.given, self.workspace, places, place)?;
            self.program.read(self.workspace, &mut self.places, place)
        });
        self.workspace.views = emptied(self.given.arrays);
        self.workspace.places = emptied(self.places);
        result.map(|()| (self.program, self.workspace))
    }

    /// The number of steps and samples: as set, or inferred from an input.
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
