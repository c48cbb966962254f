//! The record of a derivation as data: lines, and the steps that lead to each.

pub(crate) mod apart;
pub(crate) mod derivation;
pub(crate) mod equation;
pub(crate) mod line;
pub(crate) mod part;
pub(crate) mod relation;
pub(crate) mod rewrite;
pub(crate) mod rule;
pub(crate) mod step;
pub(crate) mod words;
