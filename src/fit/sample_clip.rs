//! Gradients clipped for each sample, as private training needs them.

use ndarray::Array1;

use super::SampleNorms;
use crate::error::{Error, Result};
use crate::exec::{Program, Real, Workspace};
use crate::recurrence::{Batch, LOSS, Outputs, Params, Recurrence, Wrt};

/// The sum of the gradients of all samples, each scaled to a norm of at most `C`: `Σ_b min(1, C / ‖g_b‖) g_b`.
///
/// No gradient of a single sample is made: after the [norms](SampleNorms), a second gradient of the loss with a
/// [weight for each sample](Recurrence::with_sample_weights) is the sum (Lee and Kifer, *Scaling up differentially private deep
/// learning with fast per-example gradient clipping*, 2021; Li et al., *Large language models can be strong
/// differentially private learners*, 2022). This is the clipping of Algorithm 1 of Abadi et al., *Deep learning with differential
/// privacy* (2016), whose noise is the caller's to add. The norms are those of `g_b` as in [`Recurrence::gradient_per_sample`]: in a mean over
/// samples, `g_b` has the factor `1 / B`.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::SampleClip};
/// use ndarray::{arr0, array};
/// let line = Recurrence::parse("line.rec", "param a\ninput x\nloss a * x\n")?;
/// let params = Params::new().with("a", arr0(2.0));
/// let batch = Batch::new(1, 3).with("x", array![[0.25, -3.0, 5.0]]);
/// let mut clip = SampleClip::<f64>::new(&line, Wrt::Parameters, &[])?;
/// let found = clip.run(&params, &batch, 1.0)?;
/// assert_eq!(found["a"], arr0(0.25 - 1.0 + 1.0).into_dyn());
/// assert_eq!(found.loss()?, 4.5, "the loss is that without clipping");
/// assert_eq!(clip.norms().joint(), array![0.25, 3.0, 5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SampleClip<F: Real> {
    norms: SampleNorms<F>,
    program: Program<F>,
    workspace: Workspace<F>,
    /// The name of the input of the weights.
    weight: String,
    weights: Array1<F>,
}

impl<F: Real> SampleClip<F> {
    /// Compiles the clipped gradient with respect to `wrt`, for these sizes of the named dimensions.
    ///
    /// # Errors
    /// As for [`SampleNorms::new`].
    pub fn new<'a>(
        recurrence: &Recurrence,
        wrt: impl Into<Wrt<'a>>,
        sizes: &[(&str, usize)],
    ) -> Result<Self> {
        let wrt = wrt.into();
        let (gradient, weight) = weighted(recurrence, wrt)?;
        let norms = SampleNorms::new(recurrence, wrt, sizes)?;
        Ok(Self::of(norms, gradient.compile(sizes)?, weight))
    }

    /// The same, with sizes inferred from data.
    ///
    /// # Errors
    /// As for [`SampleNorms::for_data`].
    pub fn for_data<'a>(
        recurrence: &Recurrence,
        wrt: impl Into<Wrt<'a>>,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Self> {
        let sizes = recurrence.known_sizes(params, batch)?;
        let sizes: Vec<(&str, usize)> = sizes.iter().map(|(n, size)| (&**n, *size)).collect();
        Self::new(recurrence, wrt, &sizes)
    }

    fn of(norms: SampleNorms<F>, program: Program<F>, weight: String) -> Self {
        Self {
            workspace: program.workspace(),
            norms,
            program,
            weight,
            weights: Array1::default(0),
        }
    }

    /// The same, computed by `threads` threads. The results are the same to the last bit.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.norms = self.norms.threads(threads);
        self.program = self.program.threads(threads);
        self.workspace = self.program.workspace();
        self
    }

    /// Computes the sum of the gradients, each scaled to a norm of at most `threshold`, and the loss.
    ///
    /// # Errors
    /// [`Error::Batch`] if the threshold is not a positive number; as for [`Program::run`].
    pub fn run(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
        threshold: f64,
    ) -> Result<&mut Outputs<F>> {
        if threshold.is_nan() || threshold <= 0.0 {
            return Err(Error::Batch {
                reason: format!(
                    "the largest norm of the gradient of a sample is {threshold}: expected a positive number, such as 1"
                ),
            });
        }
        self.norms.run(params, batch)?;
        let factor = |norm: &f64| F::of((threshold / norm).min(1.0));
        self.weights = self.norms.joint().map(factor);
        let binding = self.program.bind(&mut self.workspace);
        let binding = binding.params(params).batch(batch);
        let found = binding.with(&self.weight, &self.weights).run()?;
        if let Some(loss) = found.first_mut(LOSS) {
            *loss = self.norms.loss();
        }
        Ok(found)
    }

    /// The norms of the gradients before clipping, of the last [`run`](Self::run).
    #[must_use]
    pub const fn norms(&self) -> &SampleNorms<F> {
        &self.norms
    }
}

/// The gradient of the loss with weights, and the name of their input.
fn weighted(recurrence: &Recurrence, wrt: Wrt<'_>) -> Result<(Recurrence, String)> {
    let name = recurrence.free_name("sample", "weight");
    let gradient = recurrence.weighted(&name, wrt)?.gradient(wrt)?;
    Ok((gradient, name))
}
