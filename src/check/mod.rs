//! Certification of gradients and Hessian products by independent routes.
//!
//! [`check`] runs the routes of the square (see `docs/architecture.md`) on a recurrence and its data, and reports the
//! worst entry of each parameter and input, with its error.

mod differences;
mod instance;
mod near;
mod remark;
mod report;
mod routes;
mod scale;
mod second;
mod subject;
mod whole;
mod work;

use std::collections::HashSet;
use std::fmt;

pub use instance::random_data;
pub use remark::Remark;
pub use report::{Certificate, Extent, Finding, Route, Verdict};

use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::recurrence::{Batch, Influence, Params, Recurrence};
use crate::tape::Leaf;
use routes::Runner;
use subject::{Data, first_part};
use work::{Cost, Meter, Scope};

/// The maximum number of scalar parameters without influence on the loss that are compared like others. Further ones
/// are only listed: their gradient is a constant zero.
const MOST_UNUSED: usize = 100;

/// Certifies the gradient and the Hessian products of a recurrence on given data.
///
/// The data should be typical of the recurrence: sizes that differ from each other, at least three steps, nonzero
/// initial states and biases. A gradient that is right on degenerate data may be wrong on other data.
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
/// If the recurrence has no loss or the data does not fit. A wrong gradient is not an error: the certificate has then
/// not [`passed`](Certificate::passed), and its [`Verdict`] distinguishes a wrong gradient from an incomplete check.
pub fn check(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<Certificate> {
    Check::new(recurrence).run(params, batch)
}

/// A certification with options; [`check`] uses the defaults.
#[derive(Clone)]
pub struct Check<'a> {
    recurrence: &'a Recurrence,
    gradient: Option<&'a Recurrence>,
    hessian: Option<&'a Recurrence>,
    entries: usize,
    steps: usize,
    seed: u64,
    progress: Option<&'a (dyn Fn(f64) + Sync)>,
}

impl fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("recurrence", &self.recurrence.name())
            .field("entries", &self.entries)
            .field("steps", &self.steps)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
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
            steps: usize::MAX,
            seed: 1,
            progress: None,
        }
    }

    /// Certifies this gradient instead: a recurrence with the outputs of [`Recurrence::gradient`] with respect to
    /// `Wrt::Everything`, from any source.
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

    /// The number of entries of each array that are perturbed one by one (default: 4, fewer if a single step takes
    /// very long). All entries together are always perturbed in a random direction.
    #[must_use]
    pub const fn entries(self, entries: usize) -> Self {
        Self { entries, ..self }
    }

    /// The maximum number of steps of each sequence that every route runs on (default: as many as take about five
    /// seconds). In a chaotic system, differences resolve the derivative over a few steps only.
    #[must_use]
    pub const fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// The seed for the random directions and the choice of entries.
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Calls `progress` during the run with the completed part of the work, from 0 to 1. The part never decreases,
    /// and is roughly proportional to time.
    ///
    /// ```
    /// use bptt::{Check, cells::{Cell, Loss}, check::random_data};
    /// use std::sync::Mutex;
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let (params, batch) = random_data(&rnn, &[("H", 2), ("K", 3), ("O", 1)], &[4], 1)?;
    /// let done = Mutex::new(0.0);
    /// Check::new(&rnn).progress(&|part| *done.lock().unwrap() = part).run(&params, &batch)?;
    /// assert_eq!(*done.lock().unwrap(), 1.0);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    pub fn progress(self, progress: &'a (dyn Fn(f64) + Sync)) -> Self {
        Self {
            progress: Some(progress),
            ..self
        }
    }

    /// Runs every route.
    ///
    /// The time and the memory of the routes on the unrolled tape are bounded: on long sequences they use the first
    /// steps only ([`Certificate::extent`]), and the compiled engine compares reverse with forward mode on all of the
    /// data ([`Route::AllSteps`]).
    ///
    /// # Errors
    /// As for [`check`]; also [`Error::OutOfMemory`], before any computation, if a run on all of the data would need
    /// more memory than [`memory_limit`](crate::memory_limit) allows.
    pub fn run(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Certificate> {
        let influences = self.recurrence.influences(&[self.recurrence.loss()?]);
        let leaves = self.recurrence.tape().leaves().iter().zip(&influences);
        let unused: Vec<&Leaf> = leaves
            .filter(|(_, influence)| **influence == Influence::None)
            .map(|(leaf, _)| leaf)
            .filter(|leaf| leaf.ty().is_real() && leaf.is_scalar_parameter())
            .collect();
        let is_derived = self.gradient.is_none() && self.hessian.is_none();
        if unused.len() <= MOST_UNUSED || !is_derived {
            return self.run_on(params, batch);
        }
        self.recurrence.bind(params, batch)?;
        let reduced = self.recurrence.loss_alone()?;
        let names: HashSet<&str> = unused.iter().map(|leaf| leaf.name()).collect();
        let params = params.filtered(|name| !names.contains(name));
        let check = Check {
            recurrence: &reduced,
            gradient: None,
            hessian: None,
            entries: self.entries,
            steps: self.steps,
            seed: self.seed,
            progress: self.progress,
        };
        let mut certificate = check.run_on(&params, batch)?;
        let remarks = unused
            .iter()
            .map(|leaf| (leaf.name().into(), Remark::Unused));
        certificate.remarks.extend(remarks);
        Ok(certificate)
    }

    fn run_on(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Certificate> {
        let cost = Cost::of(self.recurrence, params, batch)?;
        let influences = self.recurrence.influences(&[self.recurrence.loss()?]);
        let targets = influences.iter().filter(|i| **i == Influence::Real);
        let targets = targets.count().max(1);
        let mut scope = Scope::within_budget(cost, batch, targets, (self.entries, self.steps));
        if scope.is_partial(batch) {
            whole::check_room(self.recurrence, params, batch)?;
        }
        let meter = Meter::new(self.progress);
        loop {
            let whole = match scope.is_partial(batch) {
                true => scope.whole(cost, batch),
                false => 0.0,
            };
            meter.begin(scope.work() + whole);
            let part = first_part(self.recurrence, batch, scope.steps, scope.samples)?;
            let base = Data {
                params: params.clone(),
                batch: part,
            };
            let runner = match Runner::new(self, base, scope, &meter) {
                // The loss may be undefined on the first steps though it is defined on all, e.g. a mean over a mask.
                Err(error @ Error::NonFiniteValue { .. }) => match scope.longer(cost, batch) {
                    None => return Err(error),
                    Some(longer) => {
                        scope = longer;
                        continue;
                    }
                },
                other => other?,
            };
            let (certificate, bent) = self.take(runner, params, batch, whole)?;
            match scope.shorter(cost, batch).filter(|_| bent) {
                None => {
                    meter.finish();
                    return Ok(certificate);
                }
                Some(shorter) => scope = shorter,
            }
        }
    }

    /// Runs all routes; also returns whether fewer steps would resolve more.
    fn take(
        &self,
        mut runner: Runner<'_>,
        params: &Params<f64>,
        batch: &Batch<f64>,
        whole: f64,
    ) -> Result<(Certificate, bool)> {
        runner.find_freedom();
        runner.forward()?;
        runner.differences()?;
        if runner.scope.second {
            runner.second_order()?;
        }
        let scope = runner.scope;
        if scope.is_partial(batch) {
            let data = Data {
                params: params.clone(),
                batch: batch.clone(),
            };
            runner.all_steps(&data, whole)?;
        }
        let unresolved = runner.findings.iter().any(|f| !f.is_resolved());
        let bent = unresolved && runner.remarks.iter().any(|(_, r)| *r == Remark::Bent);
        let extent = Extent {
            steps: scope.steps,
            of_steps: batch.lengths().max().unwrap_or(0),
            samples: scope.samples,
            of_samples: batch.samples(),
        };
        Ok((runner.certificate(extent), bent))
    }
}
