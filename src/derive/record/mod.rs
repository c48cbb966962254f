//! The record: the lines of a derivation with the steps that lead to each, as data.

pub(crate) mod apart;
pub(crate) mod derivation;
pub(crate) mod equation;
pub(crate) mod part;
pub(crate) mod relation;
pub(crate) mod rewrite;
pub(crate) mod rule;
pub(crate) mod step;
pub(crate) mod words;
