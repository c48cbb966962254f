//! The data of a run: a borrowed array for each leaf.

use indexmap::IndexMap;
use ndarray::ArrayViewD;

use super::data::Data;
use super::{Batch, Params, Recurrence};
use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::shape::Dim;
use crate::tape::Role;

/// A borrowed array.
#[derive(Clone, Debug)]
pub(crate) enum View<'a, F> {
    Real(ArrayViewD<'a, F>),
    Class(ArrayViewD<'a, usize>),
}

impl<F> View<'_, F> {
    /// A reborrow with a shorter lifetime.
    fn view(&self) -> View<'_, F> {
        match self {
            Self::Real(a) => View::Real(a.view()),
            Self::Class(a) => View::Class(a.view()),
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Real(a) => a.shape(),
            Self::Class(a) => a.shape(),
        }
    }
}

/// The data given to a run, not yet checked against the recurrence.
#[derive(Clone, Debug)]
pub(crate) struct Given<'a, F> {
    pub(crate) steps: usize,
    pub(crate) samples: usize,
    /// The length of each sequence; `None` if all have `steps` steps.
    pub(crate) lengths: Option<&'a [usize]>,
    pub(super) sizes: Option<&'a IndexMap<String, usize>>,
    /// The array of each leaf, in order of declaration.
    pub(crate) arrays: Vec<Option<View<'a, F>>>,
    /// The kind and the name of each array given for an unknown name.
    unknown: Vec<(&'static str, String)>,
}

impl<'a, F: Scalar> Given<'a, F> {
    /// Data without any arrays. The vector is reused, so that a run does not allocate.
    pub(crate) fn nothing(leaves: usize, mut arrays: Vec<Option<View<'a, F>>>) -> Self {
        arrays.clear();
        arrays.resize_with(leaves, || None);
        Self {
            steps: 0,
            samples: 0,
            lengths: None,
            sizes: None,
            arrays,
            unknown: Vec::new(),
        }
    }

    /// A reborrow with a shorter lifetime.
    pub(crate) fn view(&self) -> Given<'_, F> {
        Given {
            steps: self.steps,
            samples: self.samples,
            lengths: self.lengths,
            sizes: self.sizes,
            arrays: self
                .arrays
                .iter()
                .map(|a| a.as_ref().map(View::view))
                .collect(),
            unknown: Vec::new(),
        }
    }

    /// Records an unknown name, to be reported when the data is checked.
    pub(crate) fn add_unknown(&mut self, what: &'static str, name: &str) {
        self.unknown.push((what, name.into()));
    }

    pub(crate) fn add_params(&mut self, recurrence: &Recurrence, params: &'a Params<F>) {
        let mut found = 0;
        for (leaf, place) in recurrence.tape.leaves().iter().zip(&mut self.arrays) {
            if leaf.role == Role::Parameter
                && let Some(array) = params.get(&leaf.name)
            {
                *place = Some(View::Real(array.view()));
                found += 1;
            }
        }
        if found < params.arrays.len() {
            let known = |name: &str| recurrence.role_of(name) == Some(Role::Parameter);
            let unknown = params.iter().find(|(name, _)| !known(name));
            unknown
                .into_iter()
                .for_each(|(name, _)| self.add_unknown("parameter", name));
        }
    }

    pub(crate) fn add_batch(&mut self, recurrence: &Recurrence, batch: &'a Batch<F>) {
        let mut found = 0;
        for (leaf, place) in recurrence.tape.leaves().iter().zip(&mut self.arrays) {
            if leaf.role == Role::Input
                && let Some(data) = batch.inputs.get(&*leaf.name)
            {
                *place = Some(match data {
                    Data::Real(a) => View::Real(a.view()),
                    Data::Class(a) => View::Class(a.view()),
                });
                found += 1;
            }
        }
        if found < batch.inputs.len() {
            let known = |name: &str| recurrence.role_of(name) == Some(Role::Input);
            let unknown = batch.inputs.keys().find(|name| !known(name));
            unknown
                .into_iter()
                .for_each(|name| self.add_unknown("input", name));
        }
        (self.steps, self.samples) = (batch.steps, batch.samples);
        self.lengths = batch.lengths.as_deref();
        self.sizes = Some(&batch.sizes);
    }

    /// The length of one sequence.
    pub(crate) fn length(&self, sample: usize) -> usize {
        self.lengths.map_or(self.steps, |l| l[sample])
    }

    /// Returns true if the numbers of steps and samples are positive and not too large, the lengths fit, no
    /// size is given by name and all names are known.
    pub(crate) fn is_plain(&self) -> bool {
        self.steps > 0
            && self.samples > 0
            && !self.is_too_long()
            && self.sizes.is_none_or(IndexMap::is_empty)
            && self.unknown.is_empty()
            && self.lengths.is_none_or(|l| {
                l.len() == self.samples && l.iter().all(|l| (1..=self.steps).contains(l))
            })
    }

    fn is_too_long(&self) -> bool {
        let all = self.steps.checked_mul(self.samples);
        all.is_none_or(Dim::is_too_large)
    }

    /// Refuses data that fits no recurrence.
    pub(crate) fn check_extent(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Batch { reason });
        if self.steps == 0 {
            return refuse("it has no steps (T = 0)".into());
        }
        if self.samples == 0 {
            return refuse("it has no samples (B = 0)".into());
        }
        if self.is_too_long() {
            return refuse(format!(
                "it has too many steps (T = {}, B = {})",
                self.steps, self.samples
            ));
        }
        let Some(lengths) = self.lengths else {
            return Ok(());
        };
        if lengths.len() != self.samples {
            let found = lengths.len();
            return refuse(format!("expected {} lengths, found {found}", self.samples));
        }
        match lengths.iter().position(|l| *l == 0 || *l > self.steps) {
            Some(i) => refuse(format!(
                "the length of sample {i} is {}, expected 1 to {} (samples are counted from 0)",
                lengths[i], self.steps
            )),
            None => Ok(()),
        }
    }

    /// Refuses unknown names.
    pub(crate) fn check_names(&self, recurrence: &Recurrence) -> Result<()> {
        let refuse = |what, name: &str, known: Vec<&str>| {
            Err(Error::UnknownName {
                what,
                name: name.into(),
                known: known.into_iter().map(Into::into).collect(),
            })
        };
        if let Some((what, name)) = self.unknown.first() {
            let known = match *what {
                "parameter" => recurrence.parameters().collect(),
                "input" => recurrence.inputs().collect(),
                _ => recurrence.parameters().chain(recurrence.inputs()).collect(),
            };
            return refuse(what, name, known);
        }
        let sizes = || self.sizes.into_iter().flatten();
        if let Some((name, _)) = sizes().find(|(n, _)| recurrence.tape.dimension(n).is_none()) {
            return refuse("dimension", name, recurrence.tape.dims().collect());
        }
        for (dim, size) in sizes() {
            if Dim::is_too_large(*size) {
                return Err(Error::Batch {
                    reason: format!("dimension {dim} is {size}, which is too large"),
                });
            }
        }
        Ok(())
    }

    /// The size given by name for a dimension.
    pub(super) fn size(&self, dim: &str) -> Option<usize> {
        self.sizes?.get(dim).copied()
    }
}

impl Recurrence {
    /// Parameters and a batch, as views.
    pub(crate) fn given<'a, F: Scalar>(
        &self,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
    ) -> Given<'a, F> {
        let mut given = Given::nothing(self.tape.leaves().len(), Vec::new());
        given.add_params(self, params);
        given.add_batch(self, batch);
        given
    }
}
