//! The check of every line, in numbers: values that come from elsewhere, what is printed evaluated on them,
//! and steps replayed.

pub(crate) mod arrays;
pub(crate) mod blocks;
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
