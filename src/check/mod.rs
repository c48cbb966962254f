//! Certification: does a gradient agree with everything that can be known about it?
//!
//! [`check`] runs the routes of the square (see `docs/architecture.md`) on a recurrence and its
//! data, and reports for each parameter and input how far the worst entry is off, and where.

mod differences;
mod instance;
mod report;
mod routes;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use instance::random_data;
pub use report::{Certificate, Finding, Route, Verdict};

use crate::error::Result;
use crate::noise::Noise;
use crate::recurrence::{Batch, Params, Recurrence};

/// Certifies the gradient and the Hessian products of a recurrence on given data.
///
/// The data should be of the kind the recurrence is meant for: sizes that differ from each other,
/// at least three steps, initial states and biases that are not zero. A gradient that is right on
/// degenerate data may be wrong on other data.
///
/// ```
/// use bptt::{Batch, Params, Recurrence};
/// use ndarray::{arr0, array};
/// let r = Recurrence::define("leaky", |r| {
///     let (a, b) = (r.param("a", ()), r.param("b", ()));
///     let s = r.state_from("s", r.sample_input("s0", ()));
///     let s = r.next(s, (a * s + b * r.input("x", ())).tanh());
///     r.loss(s.squared_error(r.input("y", ())));
/// })?;
/// let params = Params::new().with("a", arr0(0.8)).with("b", arr0(-0.6));
/// let batch = Batch::new(4, 1)
///     .with("s0", array![0.3])
///     .with("x", array![[0.5], [-1.0], [0.25], [2.0]])
///     .with("y", array![[0.1], [0.2], [-0.3], [0.4]]);
/// let certificate = bptt::check(&r, &params, &batch)?;
/// assert!(certificate.passed(), "{certificate}");
/// # Ok::<(), bptt::Error>(())
/// ```
///
/// # Errors
/// When the recurrence has no loss or the data does not fit. A gradient that is wrong is no
/// error: it is a certificate that has not [`passed`](Certificate::passed), with a
/// [`Verdict`] that says whether it is wrong or could not be told.
pub fn check(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<Certificate> {
    Check::new(recurrence).run(params, batch)
}

/// A certification with choices; [`check`] is the one with none.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    recurrence: &'a Recurrence,
    gradient: Option<&'a Recurrence>,
    hessian: Option<&'a Recurrence>,
    entries: usize,
    seed: u64,
}

impl<'a> Check<'a> {
    /// A certification of the gradient that this crate derives.
    #[must_use]
    pub const fn new(recurrence: &'a Recurrence) -> Self {
        Self {
            recurrence,
            gradient: None,
            hessian: None,
            entries: 4,
            seed: 1,
        }
    }

    /// Certifies this gradient instead: a recurrence with the outputs of
    /// [`Recurrence::gradient`] with respect to `Wrt::Everything`, however it was made.
    #[must_use]
    pub const fn gradient(self, gradient: &'a Recurrence) -> Self {
        Self {
            gradient: Some(gradient),
            ..self
        }
    }

    /// Certifies this Hessian product instead: a recurrence with the leaves and outputs of
    /// [`Recurrence::hessian_vector`] with respect to `Wrt::Everything`.
    #[must_use]
    pub const fn hessian_vector(self, hessian: &'a Recurrence) -> Self {
        Self {
            hessian: Some(hessian),
            ..self
        }
    }

    /// How many entries of each array are perturbed one by one (4 unless told); all entries
    /// together always take part in a random direction.
    #[must_use]
    pub const fn entries(self, entries: usize) -> Self {
        Self { entries, ..self }
    }

    /// The seed of the random directions and the choice of entries.
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Runs every route.
    ///
    /// # Errors
    /// As for [`check`].
    pub fn run(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Certificate> {
        routes::Runner::new(self, params, batch)?.run()
    }
}
