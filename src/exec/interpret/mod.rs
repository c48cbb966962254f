//! The instructions of a plan, executed on vectors: fused programs, small products and copies, and
//! whole loops of a single row. Only the files of this folder and the kernels below it work on
//! vectors; each states why it needs `unsafe`.

pub(super) mod entrywise;
mod micro_op;
pub(super) mod moves;
pub(super) mod rows;
pub(super) mod steps;
pub(super) mod vector_loop;
