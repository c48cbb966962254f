//! Names and facts that the text of an imported model is made of.

use ndarray::{ArrayD, Axis, Slice};

use super::module::{Body, Kind, Layer, Module};
use crate::error::printable;

/// The numbers of modules of each kind, which decide whether names are numbered.
pub(super) struct Counts {
    pub(super) stacks: usize,
    pub(super) layers: usize,
    pub(super) norms: usize,
    pub(super) linears: usize,
}

pub(super) fn numbered(name: &str, number: usize, count: usize) -> String {
    match count {
        1 => name.into(),
        _ => format!("{name}_{number}"),
    }
}

/// Names of a file in one line of a comment.
pub(super) fn comment(text: &str) -> String {
    printable(&text.replace(['\n', '\r'], " ")).into_owned()
}

/// If the last linear layer has the matrix of the embedding.
pub(super) fn is_tied(modules: &[Module]) -> bool {
    match [modules.first(), modules.last()].map(|m| m.map(|m| &m.body)) {
        [Some(Body::Embedding(one)), Some(Body::Linear(other, _))] => one.array == other.array,
        _ => false,
    }
}

pub(super) fn ends_linear(modules: &[Module]) -> bool {
    matches!(modules.last().map(|m| &m.body), Some(Body::Linear(..)))
}

/// A layer in one direction, and its names.
pub(super) struct Cell<'a> {
    pub(super) kind: Kind,
    pub(super) layer: &'a Layer,
    pub(super) suffix: String,
    pub(super) hidden: &'a str,
    pub(super) out: &'a str,
    pub(super) is_backward: bool,
}

/// The rows of one of `count` gates.
pub(super) fn rows(array: &ArrayD<f64>, gate: usize, count: usize) -> ArrayD<f64> {
    let size = array.shape().first().map_or(0, |rows| rows / count);
    array
        .slice_axis(Axis(0), Slice::from(gate * size..(gate + 1) * size))
        .to_owned()
}

pub(super) fn described(module: &Module) -> String {
    let Body::Recurrent(stack) = &module.body else {
        return module.kind().into();
    };
    let kind = module.kind();
    let layers = match stack.layers.len() {
        1 => kind.into(),
        n => format!("{n} layers of {kind}"),
    };
    match stack.layers.first().map(Vec::len) {
        Some(2) => format!("{layers} in both directions"),
        _ => layers,
    }
}
