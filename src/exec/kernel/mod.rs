//! The numeric kernels: vectors of every instruction set, matrix products, elementary functions.
//!
//! A kernel is written once, generic in [`Vector`]. [`Isa::dispatch`] compiles it for every
//! instruction set and runs it. Each file of this folder that uses `unsafe` states the reason.

#![allow(
    dead_code,
    reason = "the benchmark and the tests use more of the kernels than the driver does"
)]
#![allow(unused_imports, reason = "re-exported for the benchmark as well")]

mod finite;
mod gemm;
#[cfg(test)]
mod gemm_tests;
pub(crate) mod math;
#[cfg(test)]
mod math_tests;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod portable;
mod simd;
mod thin;
mod tile;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_partial;

pub(crate) use finite::all_finite;
pub(crate) use gemm::{Ahead, Columns, OverRows, Product, Segment, Start};
pub(crate) use pack::{Matrix, Panels};
pub(crate) use simd::{Element, Isa, Kernel, MAX_LANES, Vector};
pub(crate) use thin::Thin;
