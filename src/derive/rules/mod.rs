//! Rules as functions on terms. A rule takes a term and gives the next one, or nothing where it does
//! not apply; a line is made by using rules in turn, and its steps are the record of that.

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
