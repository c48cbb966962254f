//! The reading of a graph: nodes of the engine as terms.

pub(crate) mod engine;
pub(crate) mod entries;
pub(crate) mod naming;
pub(crate) mod read;
