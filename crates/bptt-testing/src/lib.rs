//! Holds a forward pass, a gradient and a Hessian product, written by anyone in any language, to those of a
//! recurrence.
//!
//! A recurrence says what is to be computed. [`certify_foreign`] draws data that finds mistakes, asks the foreign
//! code for its loss and gradients, and compares them with those of `bptt`. A wrong gradient gets a
//! [diagnosis](Diagnosis): the mistake that gives exactly these numbers, if it is in the [catalogue](mistakes), and the
//! conditions under which the numbers are right.
//!
//! ```
//! use bptt::Recurrence;
//! use bptt_testing::{Answer, Case, certify_foreign};
//! use ndarray::{Array2, arr0};
//!
//! let leaky = Recurrence::parse("leaky.rec", "
//!     input x, y
//!     sample input s0
//!     param a
//!     state s = s0
//!     s' = tanh(a * s + x)
//!     loss squared_error(s', y)
//! ")?;
//! let by_hand = |case: &Case| {
//!     let (mut loss, mut da) = (0.0, 0.0);
//!     let a = case.params.get("a").unwrap()[[]];
//!     let [x, y, s0] = ["x", "y", "s0"].map(|name| case.batch.get(name).unwrap());
//!     for (b, length) in case.batch.lengths().enumerate() {
//!         let mut s = vec![s0[[b]]];
//!         for t in 0..length {
//!             s.push((a * s[t] + x[[t, b]]).tanh());
//!             loss += 0.5 * (s[t + 1] - y[[t, b]]).powi(2);
//!         }
//!         let mut ds = 0.0;
//!         for t in (0..length).rev() {
//!             ds += s[t + 1] - y[[t, b]];
//!             let before_tanh = ds * (1.0 - s[t + 1].powi(2));
//!             da += before_tanh * s[t];
//!             ds = a * before_tanh;
//!         }
//!     }
//!     Ok(Answer::new().loss(loss).gradient("a", arr0(da)))
//! };
//! let certificate = certify_foreign(&leaky, by_hand)?;
//! assert!(certificate.passed(), "{certificate}");
//! # Ok::<(), bptt::Error>(())
//! ```
//!
//! # Overview
//!
//! - [`Cases`] draws data for a recurrence, by [rules](Cases#rules) that each catch a kind of mistake; with the feature
//!   `proptest`, [`Cases::strategy`] is a strategy that shrinks.
//! - [`Certify`] has the options of [`certify_foreign`].
//! - [`Program`](process::Program) asks a program in any language.
//! - [`vectors`] writes files of test vectors.
//! - [`random`] has strategies for random recurrences.

mod answer;
mod case;
mod certificate;
mod certify;
mod diagnosis;
mod expected;
mod finding;
pub mod mistakes;
#[cfg(feature = "process")]
pub mod process;
mod quantity;
#[cfg(feature = "proptest")]
pub mod random;
mod starts;
#[cfg(feature = "proptest")]
mod strategy;
#[cfg(feature = "process")]
pub mod vectors;

pub use answer::{Answer, Failure, Foreign};
pub use case::{Case, Cases, Precision};
pub use certificate::{Certificate, Verdict};
pub use certify::{Certify, certify_foreign};
pub use diagnosis::{Circumstance, Diagnosis, NamedMistake, Outcome};
pub use expected::{Bounded, Expected, Reference, Rounding};
pub use finding::Finding;
pub use quantity::Quantity;
pub use starts::{start_of, with_start_inputs};
