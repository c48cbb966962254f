//! The data of a recurrence as dual numbers, by sample.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis};

use super::dual::{Dual, M, V};

/// Parameters and inputs by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) params: BTreeMap<String, ArrayD<Dual>>,
    /// Per step `[T, B, …]`, or per sample `[B, …]`.
    pub(crate) inputs: BTreeMap<String, ArrayD<Dual>>,
    pub(crate) classes: BTreeMap<String, ArrayD<usize>>,
    pub(crate) lengths: Vec<usize>,
}

/// The data of one sample, for a loop over its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'d> {
    pub(crate) data: &'d Data,
    pub(crate) b: usize,
}

fn row(array: &ArrayD<Dual>, place: &[usize]) -> V {
    let view = place
        .iter()
        .fold(array.view(), |v, i| v.index_axis_move(Axis(0), *i));
    view.iter().copied().collect()
}

impl Sample<'_> {
    pub(crate) fn steps(&self) -> std::ops::Range<usize> {
        0..self.data.lengths[self.b]
    }

    /// A scalar parameter.
    pub(crate) fn number(&self, name: &str) -> Dual {
        self.vector(name)[0]
    }

    /// A vector parameter.
    pub(crate) fn vector(&self, name: &str) -> V {
        row(&self.data.params[name], &[])
    }

    /// A matrix parameter.
    pub(crate) fn matrix(&self, name: &str) -> M {
        let array = &self.data.params[name];
        let rows = 0..array.shape()[0];
        rows.map(|i| row(array, &[i])).collect()
    }

    /// An input at a step.
    pub(crate) fn at(&self, name: &str, t: usize) -> V {
        row(&self.data.inputs[name], &[t, self.b])
    }

    /// A scalar input at a step.
    pub(crate) fn number_at(&self, name: &str, t: usize) -> Dual {
        self.at(name, t)[0]
    }

    /// An input given once per sample.
    pub(crate) fn once(&self, name: &str) -> V {
        row(&self.data.inputs[name], &[self.b])
    }

    pub(crate) fn class(&self, name: &str, t: usize) -> usize {
        self.data.classes[name][[t, self.b]]
    }

    /// A class given once per sample.
    pub(crate) fn class_once(&self, name: &str) -> usize {
        self.data.classes[name][[self.b]]
    }

    /// An input at all steps.
    pub(crate) fn all(&self, name: &str) -> Vec<V> {
        self.steps().map(|t| self.at(name, t)).collect()
    }
}
