//! The notation: how terms look as formulas, and how a formula is read back as a term.

pub(crate) mod collect;
pub(crate) mod factors;
pub(crate) mod lexicon;
pub(crate) mod parse;
pub(crate) mod show;
pub(crate) mod symbols;
pub(crate) mod tokens;
