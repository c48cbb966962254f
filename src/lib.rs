//! Differentiates recurrences: write one step as on paper and get exact, certified gradients of any
//! order.
//!
//! A recurrence `s_t = f(s_{t-1}, x_t, θ)` is a graph of operations on signals plus registers, and
//! its meaning is this loop:
//!
//! ```text
//! for t in 1..=T:  compute every node at t, reading forward registers at t-1
//!                  and backward registers at t+1
//! ```
//!
//! Its gradient is again a recurrence, in which each delay has become an advance; so is the
//! derivative of the gradient, and so on. `docs/architecture.md` describes the design,
//! `docs/math.md` the notation, the conventions and the values at points without a derivative.
//!
//! # Example
//!
//! A network with a custom cell, its gradient, a Hessian-vector product and a certificate:
//!
//! ```
//! use bptt::{Batch, Params, Recurrence, Wrt};
//! use ndarray::{Array1, Array2, Array3};
//!
//! let cell = Recurrence::define("leaky integrator", |r| {
//!     let (hidden, inputs) = (r.dim("H"), r.dim("K"));
//!     let (w, u) = (r.param("W", [hidden, inputs]), r.param("U", [hidden, hidden]));
//!     let leak = r.param("leak", [hidden]).sigmoid();
//!     let h0 = r.param("h0", [hidden]);
//!     let x = r.input("x", [inputs]);
//!     let y = r.input("y", [hidden]);
//!
//!     let h = r.state_from("h", h0);                              // h_{t-1}
//!     let drive = (w.dot(x) + u.dot(h)).tanh();
//!     let h = r.next(h, leak * h + (1.0 - leak) * drive);         // h_t
//!     r.output("h", h);
//!     r.mean_loss(h.squared_error(y));
//! })?;
//!
//! // Sizes are inferred from the data: H = 3, K = 2, T = 5 steps, B = 2 sequences.
//! let wave = |i: usize| (i as f64 * 1.7 + 0.3).sin();
//! let params = Params::new()
//!     .with("W", Array2::from_shape_fn((3, 2), |(i, j)| wave(2 * i + j)))
//!     .with("U", Array2::from_shape_fn((3, 3), |(i, j)| wave(i + 5 * j + 7)))
//!     .with("leak", Array1::from_shape_fn(3, wave))
//!     .with("h0", Array1::from_shape_fn(3, |i| wave(i + 20)));
//! let batch = Batch::new(5, 2)
//!     .with("x", Array3::from_shape_fn((5, 2, 2), |(t, b, i)| wave(t + 9 * b + 3 * i)))
//!     .with("y", Array3::from_shape_fn((5, 2, 3), |(t, b, i)| wave(4 * t + b + i)));
//!
//! let gradient = cell.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
//! assert_eq!(gradient["U"].shape(), [3, 3]);
//!
//! // δ_t, the gradient with respect to the hidden state at every step.
//! let delta = cell.gradient(&["h"])?.evaluate(&params, &batch)?;
//! assert_eq!(delta["h"].shape(), [5, 2, 3]);
//!
//! // The Hessian times a direction, by forward mode over the gradient.
//! let direction = params.clone().with("U.dot", Array2::ones((3, 3)));
//! let product = cell.hessian_vector(&["U"])?.evaluate(&direction, &batch)?;
//! assert_eq!(product["U"].shape(), [3, 3]);
//!
//! // Five independent checks agree.
//! let certificate = bptt::check(&cell, &params, &batch)?;
//! assert!(certificate.passed(), "{certificate}");
//! # Ok::<(), bptt::Error>(())
//! ```
//!
//! # Overview
//!
//! - [`Recurrence::define`] and [`Definition`] write a recurrence in Rust; [`Expr`] is an
//!   expression of it.
//! - [`Recurrence::parse`] reads a recurrence from text, [`Recurrence::source`] writes it; see
//!   [`lang`].
//! - [`Recurrence::gradient`], [`tangent`](Recurrence::tangent), [`pullback`](Recurrence::pullback)
//!   and [`hessian_vector`](Recurrence::hessian_vector) differentiate it.
//! - [`Params`] and [`Batch`] hold data. [`Recurrence::evaluate`] is the simple reference;
//!   [`Recurrence::compile`] and [`Program::run`] give the same numbers, fast.
//! - [`Derivation`] prints the equations of a gradient.
//! - [`flow`] measures how gradients flow through the states;
//! - [`fit`] has optimisers; [`data`] reads and writes files (feature `data`).
//! - [`set_memory_limit`] limits the memory of a run; a run that needs more is refused.
//! - [`check()`] certifies gradients; [`CustomOp`] adds an operation; [`cells`] has the classical
//!   networks.

#![warn(clippy::print_stdout)]

#[cfg(test)]
extern crate self as bptt;

pub mod check;
#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "derive")]
pub mod derive;
mod diff;
mod error;
mod exec;
pub mod export;
pub mod fit;
pub mod flow;
mod graph;
pub mod lang;
mod language;
mod limit;
mod noise;
mod op;
mod plan;
mod recurrence;
#[cfg(feature = "derive")]
pub mod render;
mod shape;
mod stack;
mod tape;
mod xml;

pub use check::{Certificate, Check, check};
#[cfg(feature = "derive")]
pub use derive::Derivation;
pub use error::{Error, Mistake, Premise, Result};
#[doc(hidden)]
pub use error::{counted, number, placed, printable, quoted};
pub use exec::{Binding, OutputViews, Program, Real, Stepper, Workspace, instruction_sets};
pub use lang::{Diagnostic, Diagnostics};
pub use language::Lang;
pub use limit::{memory_limit, set_memory_limit};
/// Random numbers of tests and programs of this repository.
#[doc(hidden)]
pub use noise::Noise;
pub use op::{
    Axis, Constant, CustomOp, Edge, Expr, LeafId, NodeId, Notation, Op, RegisterId, Scalar,
    ScalarFunction, Setting, Value, concat,
};
pub use plan::{Counts, Leg, Memory, Plan, Tally};
pub use recurrence::{
    Batch, Definition, Initial, Outputs, Params, Recurrence, Spread, Unrolled, Wrt, cells,
};
pub use shape::{Dim, Kind, Rate, Shape, Type};
#[doc(hidden)]
pub use shape::{MAX_TERMS, Symbol};
pub use tape::{Derived, Direction, Leaf, Node, Register, Role, Tape};
/// Edits of graphs, for tests that break them.
#[doc(hidden)]
pub use tape::{Edit, NodeSite, RegisterEdit, RegisterSite};

/// The families of the op table, one enum each.
pub mod ops {
    pub use crate::op::{Declared, Dense, Linear, Over, Pointwise, Reduce, Time};
}

/// The examples of the README, as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of a page, as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/long-sequences.md")]
struct LongSequences;

/// The examples of a page, as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/flow.md")]
struct FlowPage;
