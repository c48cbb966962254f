//! Converts nodes of the engine's graphs to terms.

pub(crate) mod engine;
pub(crate) mod entries;
pub(crate) mod naming;
pub(crate) mod ones;
pub(crate) mod read;
