//! Rules as functions on terms. A rule takes a term and returns the next one, or `None` if it does not apply. A line
//! results from a sequence of rules; its steps record them.

pub(crate) mod apply;
pub(crate) mod known;
pub(crate) mod linear;
pub(crate) mod norms;
pub(crate) mod partial;
pub(crate) mod paths;
pub(crate) mod proof;
pub(crate) mod same;
pub(crate) mod stacks;
pub(crate) mod sums;
