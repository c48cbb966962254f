//! The inputs of a recurrence, as a reader of files needs them.

use crate::recurrence::Recurrence;
use crate::shape::{Dim, Kind, Rate};
use crate::tape::Role;

/// The array with the length of each sequence.
pub(super) const LENGTHS: &str = "lengths";
/// The input of [`Recurrence::with_resets`] on the command line.
pub(super) const RESET: &str = "reset";

/// An input of a recurrence.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) is_per_sample: bool,
    /// The number of classes, if its entries are the numbers of classes.
    pub(super) classes: Option<Dim>,
    /// The number of its own axes.
    pub(super) rank: usize,
    /// True if it marks the steps that count.
    pub(super) is_mask: bool,
    /// True if its entries at steps with a mask of 0 are not read.
    pub(super) is_masked: bool,
}

/// The inputs of a recurrence, and `reset`.
pub(super) fn of(recurrence: &Recurrence) -> Vec<Input> {
    let tape = recurrence.tape();
    let leaves = tape.leaves().iter().filter(|l| l.role() == Role::Input);
    let mut inputs: Vec<Input> = leaves
        .map(|leaf| Input {
            name: leaf.name().into(),
            is_per_sample: leaf.ty().rate == Rate::Sample,
            classes: match leaf.ty().kind {
                Kind::Class(classes) => Some(classes),
                Kind::Real => leaf.classes(),
            },
            rank: leaf.ty().shape.rank(),
            is_mask: tape.masks().any(|mask| **mask == *leaf.name()),
            is_masked: tape.is_masked(leaf),
        })
        .collect();
    if inputs.iter().all(|input| input.name != RESET) {
        inputs.push(Input {
            name: RESET.into(),
            is_per_sample: false,
            classes: None,
            rank: 0,
            is_mask: false,
            is_masked: false,
        });
    }
    inputs
}
