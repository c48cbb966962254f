//! The data of a run: parameters and batches.

use indexmap::IndexMap;
use ndarray::{Array, ArrayD, Axis, Dimension};

use super::Recurrence;
use crate::error::{Error, Result, counted};
use crate::limit::check_memory;
use crate::op::Scalar;
use crate::shape::{Dim, Rate};
use crate::tape::Role;

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params<F> {
    pub(super) arrays: IndexMap<String, ArrayD<F>>,
}

impl<F: Scalar> Params<F> {
    /// An empty set of parameters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            arrays: IndexMap::new(),
        }
    }

    /// Creates an array for every parameter of a recurrence by calling `f` with its name and shape; `sizes`
    /// gives the named dimensions.
    ///
    /// ```
    /// use bptt::{Params, cells::{Cell, Loss}};
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let sizes = [("K", 2), ("H", 4), ("O", 1)];
    /// let params = Params::from_fn(&rnn, &sizes, |name, shape| match name {
    ///     "W_H" => 0.5 * ndarray::Array2::eye(shape[0]).into_dyn(),
    ///     _ => ndarray::ArrayD::zeros(shape),
    /// })?;
    /// assert_eq!(params.get("W_X").map(|w| w.shape()), Some(&[4, 2][..]));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a size is missing, given twice, of an unknown dimension, or too large for the memory. The arrays
    /// are checked when they are used.
    pub fn from_fn(
        recurrence: &Recurrence,
        sizes: &[(&str, usize)],
        mut f: impl FnMut(&str, &[usize]) -> ArrayD<F>,
    ) -> Result<Self> {
        let known: Vec<&str> = recurrence.tape.dims().collect();
        let given = recurrence.sizes_given(sizes)?;
        // Only the dimensions of parameters must be known here.
        let values: Vec<usize> = given.iter().map(|d| d.unwrap_or(0)).collect();
        let mut params = Self::new();
        for leaf in recurrence.leaves(Role::Parameter) {
            let dims = leaf.ty.shape.dims();
            let mut mentioned = dims.iter().flat_map(Dim::named_terms);
            if let Some((symbol, _)) = mentioned.find(|(s, _)| given[s.index()].is_none()) {
                return Err(Error::UnknownSize {
                    dim: known[symbol.index()].into(),
                });
            }
            let shape = leaf.ty.shape.values(&values);
            check_room::<F>(&leaf.name, &shape)?;
            params.insert(&leaf.name, f(&leaf.name, &shape));
        }
        Ok(params)
    }

    /// Adds or replaces an array of the shape of the parameter.
    #[must_use]
    pub fn with<D: Dimension>(mut self, name: &str, array: Array<F, D>) -> Self {
        self.insert(name, array);
        self
    }

    /// Adds or replaces an array.
    pub fn insert<D: Dimension>(&mut self, name: &str, array: Array<F, D>) {
        self.arrays.insert(name.into(), array.into_dyn());
    }

    /// The arrays whose names are to be kept.
    pub(crate) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let arrays = self.arrays.iter().filter(|(name, _)| keep(name));
        Self {
            arrays: arrays
                .map(|(name, array)| (name.clone(), array.clone()))
                .collect(),
        }
    }

    /// Converts to another type, with rounding if it is narrower.
    #[must_use]
    pub fn cast<G: Scalar>(&self) -> Params<G> {
        let cast = |(name, a): (&String, &ArrayD<F>)| (name.clone(), cast(a));
        Params {
            arrays: self.arrays.iter().map(cast).collect(),
        }
    }

    /// A copy with other names.
    #[cfg(feature = "derive")]
    pub(crate) fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        let arrays = self.arrays.iter();
        Self {
            arrays: arrays.map(|(n, a)| (name(n), a.clone())).collect(),
        }
    }

    /// The array of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        self.arrays.get(name)
    }

    /// The array of a parameter, mutable.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<F>> {
        self.arrays.get_mut(name)
    }

    /// The arrays with their names, in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ArrayD<F>)> {
        self.arrays.iter().map(|(n, a)| (&**n, a))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data<F> {
    Real(ArrayD<F>),
    Class(ArrayD<usize>),
}

impl<F> Data<F> {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Real(a) => a.shape(),
            Self::Class(a) => a.shape(),
        }
    }
}

/// The inputs of `B` sequences of up to `T` steps, time first: `[T, B, …]` for inputs per step, `[B, …]` for
/// inputs per sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<F> {
    pub(super) steps: usize,
    pub(super) samples: usize,
    pub(super) inputs: IndexMap<String, Data<F>>,
    pub(super) lengths: Option<Vec<usize>>,
    pub(super) sizes: IndexMap<String, usize>,
}

impl<F: Scalar> Batch<F> {
    /// A batch of `samples` sequences of `steps` steps, without inputs.
    #[must_use]
    pub fn new(steps: usize, samples: usize) -> Self {
        Self {
            steps,
            samples,
            inputs: IndexMap::new(),
            lengths: None,
            sizes: IndexMap::new(),
        }
    }

    /// Adds or replaces real data.
    #[must_use]
    pub fn with<D: Dimension>(mut self, name: &str, array: Array<F, D>) -> Self {
        self.insert(name, array);
        self
    }

    /// Adds or replaces real data.
    pub fn insert<D: Dimension>(&mut self, name: &str, array: Array<F, D>) {
        self.inputs
            .insert(name.into(), Data::Real(array.into_dyn()));
    }

    /// Adds or replaces classes.
    #[must_use]
    pub fn with_classes<D: Dimension>(mut self, name: &str, array: Array<usize, D>) -> Self {
        self.inputs
            .insert(name.into(), Data::Class(array.into_dyn()));
        self
    }

    /// Sets the length of each sequence; data beyond it is ignored.
    #[must_use]
    pub fn with_lengths(mut self, lengths: impl Into<Vec<usize>>) -> Self {
        self.lengths = Some(lengths.into());
        self
    }

    /// Sets the size of a named dimension that no array determines.
    #[must_use]
    pub fn size(mut self, dim: &str, size: usize) -> Self {
        self.sizes.insert(dim.into(), size);
        self
    }

    /// A minibatch of the given samples, in the given order. The recurrence determines which inputs are per
    /// step and which per sample.
    ///
    /// ```
    /// use bptt::{Batch, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x\nsample input a\nloss a * x\n")?;
    /// let batch = Batch::new(1, 3)
    ///     .with("x", ndarray::array![[1.0, 2.0, 3.0]])
    ///     .with("a", ndarray::array![4.0, 5.0, 6.0]);
    /// let part = batch.samples_of(&r, &[2, 0])?;
    /// assert_eq!(part.get("x"), Some(&ndarray::array![[3.0, 1.0]].into_dyn()));
    /// assert_eq!(part.get("a"), Some(&ndarray::array![6.0, 4.0].into_dyn()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a sample does not exist, or an input has no sample axis.
    pub fn samples_of(&self, recurrence: &Recurrence, chosen: &[usize]) -> Result<Self> {
        if let Some(sample) = chosen.iter().find(|s| **s >= self.samples) {
            let reason = match self.samples.checked_sub(1) {
                Some(last) => format!("there is no sample {sample}, only 0 to {last}"),
                None => format!("there is no sample {sample}: the batch has no samples (B = 0)"),
            };
            return Err(Error::Batch { reason });
        }
        self.check_axes(recurrence)?;
        Ok(self.selected(recurrence, chosen))
    }

    /// Refuses an input without a sample axis.
    pub(crate) fn check_axes(&self, recurrence: &Recurrence) -> Result<()> {
        let samples = Some(&self.samples);
        let lacks = |(name, data): &(&String, &Data<F>)| {
            data.shape().get(sample_axis(recurrence, name).index()) != samples
        };
        match self.inputs.iter().find(lacks) {
            None => Ok(()),
            Some((name, _)) => Err(Error::Batch {
                reason: format!(
                    "input `{name}` has no axis of {}",
                    counted(self.samples, "sample")
                ),
            }),
        }
    }

    /// Returns an error if an input per step does not have the steps of the batch.
    pub(crate) fn check_steps(&self, recurrence: &Recurrence) -> Result<()> {
        for (name, data) in &self.inputs {
            let leaf = recurrence.tape().leaf_named(name);
            let by_step = leaf.is_some_and(|leaf| leaf.ty().rate == Rate::Step);
            match data.shape().first() {
                Some(found) if by_step && *found != self.steps => {
                    let reason = format!(
                        "input `{name}` has {}, expected {}, as many as the batch",
                        counted(*found, "step"),
                        self.steps
                    );
                    return Err(Error::Batch { reason });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The given samples, which exist, of inputs with a sample axis.
    pub(super) fn selected(&self, recurrence: &Recurrence, chosen: &[usize]) -> Self {
        let inputs = self.inputs.iter().map(|(name, data)| {
            let axis = sample_axis(recurrence, name);
            let part = match data {
                Data::Real(a) => Data::Real(a.select(axis, chosen)),
                Data::Class(a) => Data::Class(a.select(axis, chosen)),
            };
            (name.clone(), part)
        });
        let of = |lengths: &Vec<usize>| {
            chosen
                .iter()
                .filter_map(|s| lengths.get(*s))
                .copied()
                .collect()
        };
        Self {
            steps: self.steps,
            samples: chosen.len(),
            inputs: inputs.collect(),
            lengths: self.lengths.as_ref().map(of),
            sizes: self.sizes.clone(),
        }
    }

    /// One sample, cut to its length.
    ///
    /// ```
    /// use bptt::{Batch, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x\nloss x\n")?;
    /// let batch = Batch::new(2, 2)
    ///     .with("x", ndarray::array![[1.0, 2.0], [3.0, 0.0]])
    ///     .with_lengths([2, 1]);
    /// let second = batch.sequence(&r, 1)?;
    /// assert_eq!(second.get("x"), Some(&ndarray::array![[2.0]].into_dyn()));
    /// assert_eq!(second.steps(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`samples_of`](Self::samples_of); also when the lengths do not fit.
    pub fn sequence(&self, recurrence: &Recurrence, sample: usize) -> Result<Self> {
        recurrence.given(&Params::new(), self).check_extent()?;
        let mut one = self.samples_of(recurrence, &[sample])?;
        let length = one.lengths.take().map_or(one.steps, |l| l[0]);
        Ok(one.first_steps(recurrence, length))
    }

    /// At most the first `steps` steps of every sample. Inputs without a step axis stay unchanged.
    pub(crate) fn first_steps(mut self, recurrence: &Recurrence, steps: usize) -> Self {
        for (name, data) in &mut self.inputs {
            let step = is_step_input(recurrence, name);
            if !step || data.shape().first() != Some(&self.steps) {
                continue;
            }
            let kept = ndarray::Slice::from(..steps);
            match data {
                Data::Real(a) => a.slice_axis_inplace(Axis(0), kept),
                Data::Class(a) => a.slice_axis_inplace(Axis(0), kept),
            }
        }
        if let Some(lengths) = &mut self.lengths {
            lengths.iter_mut().for_each(|l| *l = (*l).min(steps));
        }
        self.steps = steps;
        self
    }

    /// Converts to another type, with rounding if it is narrower.
    #[must_use]
    pub fn cast<G: Scalar>(&self) -> Batch<G> {
        let cast = |(name, data): (&String, &Data<F>)| {
            let data = match data {
                Data::Real(a) => Data::Real(cast(a)),
                Data::Class(a) => Data::Class(a.clone()),
            };
            (name.clone(), data)
        };
        Batch {
            steps: self.steps,
            samples: self.samples,
            inputs: self.inputs.iter().map(cast).collect(),
            lengths: self.lengths.clone(),
            sizes: self.sizes.clone(),
        }
    }

    /// A copy with other names of inputs and sizes.
    #[cfg(feature = "derive")]
    pub(crate) fn renamed(&self, name: impl Fn(&str) -> String) -> Self {
        let inputs = self.inputs.iter().map(|(n, data)| (name(n), data.clone()));
        Self {
            inputs: inputs.collect(),
            sizes: self
                .sizes
                .iter()
                .map(|(n, size)| (name(n), *size))
                .collect(),
            lengths: self.lengths.clone(),
            ..*self
        }
    }

    /// The number of steps `T`, the greatest length of a sequence.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The number of sequences `B`.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// The names of the inputs, in order of insertion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(|name| &**name)
    }

    /// The real data of an input.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        match self.inputs.get(name)? {
            Data::Real(a) => Some(a),
            Data::Class(_) => None,
        }
    }

    /// The real data of an input, mutable.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<F>> {
        match self.inputs.get_mut(name)? {
            Data::Real(a) => Some(a),
            Data::Class(_) => None,
        }
    }

    /// The classes of an input.
    #[must_use]
    pub fn classes(&self, name: &str) -> Option<&ArrayD<usize>> {
        match self.inputs.get(name)? {
            Data::Class(a) => Some(a),
            Data::Real(_) => None,
        }
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let given = self.lengths.iter().flatten().copied();
        let whole = if self.lengths.is_none() {
            self.samples
        } else {
            0
        };
        given.chain(std::iter::repeat_n(self.steps, whole))
    }
}

/// Refuses an array that would exceed the memory limit, before it is allocated.
pub(crate) fn check_room<F>(name: &str, shape: &[usize]) -> Result<()> {
    let bytes = shape
        .iter()
        .try_fold(size_of::<F>(), |n, size| n.checked_mul(*size));
    let Some(bytes) = bytes.filter(|b| isize::try_from(*b).is_ok()) else {
        return Err(Error::Batch {
            reason: format!("`{name}` would have shape {shape:?}, which is too large"),
        });
    };
    check_memory(Some(bytes))
}

fn cast<F: Scalar, G: Scalar>(array: &ArrayD<F>) -> ArrayD<G> {
    array.mapv(|x| G::of(Scalar::to_f64(x)))
}

/// The axis of samples of an input.
fn sample_axis(recurrence: &Recurrence, name: &str) -> Axis {
    Axis(usize::from(is_step_input(recurrence, name)))
}

/// Returns true if there is an input of this name with a step axis.
fn is_step_input(recurrence: &Recurrence, name: &str) -> bool {
    let leaf = recurrence.tape.leaf_named(name);
    leaf.is_some_and(|l| l.role == Role::Input && l.ty.rate == Rate::Step)
}
