//! Facts about a model that are found while its nodes are read: the meaning of the axes of its inputs. A new fact begins the
//! reading again, which every value then agrees with.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Label, Origin};
use crate::error::Error;

/// The end of a reading.
#[derive(Debug)]
pub(super) enum Stop {
    /// A fact was found; read again.
    Again,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(super) type Out<T> = Result<T, Stop>;

#[derive(Debug, Default)]
pub(super) struct Facts {
    labels: BTreeMap<Origin, Label>,
    /// An axis that has the meaning of another one.
    same: BTreeMap<Origin, Origin>,
    sizes: BTreeMap<Origin, usize>,
    /// Axes whose size is written as a number, since parts of them are taken.
    counted: BTreeSet<Origin>,
    /// Names of sizes that are another one.
    names: BTreeMap<String, String>,
    /// Sizes are written as numbers, since sums of names did not fit.
    pub(super) is_numeric: bool,
    /// Inputs of integers that are used as numbers.
    pub(super) numbers: BTreeSet<usize>,
    /// The size of the class of an input.
    pub(super) classes: BTreeMap<usize, String>,
    /// The input that has the lengths.
    pub(super) lengths: Option<usize>,
    /// The axes whose meaning no node decides, with the one that was taken.
    pub(super) guessed: BTreeMap<Origin, Label>,
}

impl Facts {
    /// The axis that this one is the same as.
    pub(super) fn root(&self, mut axis: Origin) -> Origin {
        while let Some(other) = self.same.get(&axis) {
            axis = *other;
        }
        axis
    }

    pub(super) fn label(&self, axis: Origin) -> Label {
        let root = self.root(axis);
        self.labels
            .get(&root)
            .or_else(|| self.guessed.get(&root))
            .copied()
            .unwrap_or(Label::Open(root))
    }

    pub(super) fn size(&self, axis: Origin) -> Option<usize> {
        self.sizes.get(&self.root(axis)).copied()
    }

    /// The axis has this meaning.
    pub(super) fn learn(&mut self, axis: Origin, label: Label) -> Stop {
        let root = self.root(axis);
        self.labels.insert(root, label);
        Stop::Again
    }

    pub(super) fn learn_size(&mut self, axis: Origin, size: usize) -> Stop {
        let root = self.root(axis);
        self.sizes.insert(root, size);
        Stop::Again
    }

    pub(super) fn is_counted(&self, axis: Origin) -> bool {
        self.counted.contains(&self.root(axis))
    }

    /// The size of the axis is written as a number.
    pub(super) fn learn_counted(&mut self, axis: Origin) -> Stop {
        let root = self.root(axis);
        self.counted.insert(root);
        Stop::Again
    }

    /// Both axes have one meaning.
    pub(super) fn learn_same(&mut self, one: Origin, other: Origin) -> Stop {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.same.insert(other, one);
        }
        Stop::Again
    }

    pub(super) fn guess(&mut self, axis: Origin, label: Label) -> Stop {
        let root = self.root(axis);
        self.guessed.insert(root, label);
        Stop::Again
    }

    /// The name that a size has.
    pub(super) fn name<'n>(&'n self, mut name: &'n str) -> &'n str {
        while let Some(other) = self.names.get(name) {
            name = other;
        }
        name
    }

    /// Two texts are one size: two names become one, and for sums all sizes become numbers.
    pub(super) fn learn_equal(&mut self, one: &str, other: &str) -> Stop {
        let is_name = |text: &str| {
            text.starts_with(|c: char| c.is_alphabetic()) && !text.contains([' ', '*'])
        };
        match is_name(one) && is_name(other) && self.name(one) != self.name(other) {
            true => {
                let mut both = [self.name(one).to_owned(), self.name(other).to_owned()];
                // The names of inputs and states come before those of products in the alphabet.
                both.sort();
                let [one, other] = both;
                self.names.insert(other, one);
            }
            false => self.is_numeric = true,
        }
        Stop::Again
    }
}
