//! The results of a run: arrays by name.

use std::ops::Index;
use std::sync::Arc;

use indexmap::IndexMap;
use ndarray::ArrayD;

use super::Roles;
use crate::error::{Error, Result, quoted};
use crate::op::Scalar;
use crate::tape::Derived;

/// The values of outputs by name: `[T, B, …]` per step, `[B, …]` per sample, or `[…]`. Entries beyond the
/// length of a sample are zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs<F> {
    pub(super) arrays: IndexMap<Arc<str>, ArrayD<F>>,
    pub(super) roles: Roles,
}

impl<F: Scalar> Outputs<F> {
    /// An output.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        self.arrays.get(name)
    }

    /// All outputs with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ArrayD<F>)> {
        self.arrays.iter().map(|(n, a)| (&**n, a))
    }

    /// The role of an output, as returned by [`Recurrence::role`](super::Recurrence::role).
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Derived> {
        self.roles.get(name)
    }

    /// No arrays yet; `roles` are those of the recurrence that will be run.
    pub(crate) fn with_roles(roles: Roles) -> Self {
        let arrays = IndexMap::new();
        Self { arrays, roles }
    }

    /// The loss.
    ///
    /// # Errors
    /// [`Error::NoLoss`] when the recurrence has none.
    pub fn loss(&self) -> Result<F> {
        let loss = self.get(super::LOSS).and_then(|a| a.first());
        loss.copied().ok_or_else(|| Error::NoLoss {
            recurrence: "evaluated".into(),
        })
    }

    /// The first entry of an output.
    pub(crate) fn first_mut(&mut self, name: &str) -> Option<&mut F> {
        self.arrays.get_mut(name)?.first_mut()
    }

    /// The gradients among the outputs, mutable.
    pub(crate) fn gradients_mut(&mut self) -> impl Iterator<Item = &mut ArrayD<F>> {
        let roles = &self.roles;
        let gradient = |name: &str| matches!(roles.get(name), Some(Derived::Cotangent(_)));
        let arrays = self.arrays.iter_mut();
        arrays.filter_map(move |(n, a)| gradient(n).then_some(a))
    }

    /// The array of output `index`, reallocated if its shape has changed.
    pub(crate) fn place(
        &mut self,
        index: usize,
        name: &str,
        shape: impl Iterator<Item = usize> + Clone,
    ) -> &mut ArrayD<F> {
        let fits = |a: &ArrayD<F>| a.shape().iter().copied().eq(shape.clone());
        if !self.arrays.get(name).is_some_and(fits) {
            self.remove(name);
            let array = ArrayD::zeros(shape.collect::<Vec<_>>());
            self.arrays.shift_insert(index, name.into(), array);
        }
        &mut self.arrays[name]
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.arrays.shift_remove(name);
    }

    /// The array of an output, which is then no output any more.
    pub(crate) fn take(&mut self, name: &str) -> Option<ArrayD<F>> {
        self.arrays.shift_remove(name)
    }

    /// Adds the gradient of a parameter.
    pub(crate) fn insert_gradient(&mut self, name: &str, array: ArrayD<F>) {
        self.insert(name, array);
        self.roles
            .insert(name.into(), Derived::Cotangent(name.into()));
    }

    pub(crate) fn insert(&mut self, name: &str, array: ArrayD<F>) {
        self.arrays.insert(name.into(), array);
    }
}

impl<F> Index<&str> for Outputs<F> {
    type Output = ArrayD<F>;

    /// An output.
    ///
    /// # Panics
    /// When there is none of that name; [`Outputs::get`] does not.
    fn index(&self, name: &str) -> &ArrayD<F> {
        self.arrays.get(name).unwrap_or_else(|| {
            let known = quoted(self.arrays.keys().map(|k| &**k));
            panic!("no output named `{name}`; known: {known}")
        })
    }
}
