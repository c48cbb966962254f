//! The numerical check of every line: independently computed values, evaluation of the printed formulas on them, and
//! replay of the steps.

pub(crate) mod arrays;
pub(crate) mod blocks;
pub(crate) mod call;
pub(crate) mod compare;
pub(crate) mod evaluate;
pub(crate) mod immediate;
pub(crate) mod multiply;
pub(crate) mod one_step;
pub(crate) mod oracle;
pub(crate) mod reach;
pub(crate) mod replay;
pub(crate) mod shares;
pub(crate) mod singular;
