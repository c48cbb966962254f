//! The algebra of formulas: terms in normal form, their shapes, and their parts.

pub(crate) mod chain;
pub(crate) mod change;
pub(crate) mod conditions;
pub(crate) mod fold;
pub(crate) mod function;
pub(crate) mod normal;
pub(crate) mod numbers;
pub(crate) mod quantity;
pub(crate) mod shapes;
pub(crate) mod simplify;
pub(crate) mod span;
pub(crate) mod term;
