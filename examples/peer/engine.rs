//! Evaluation: the one place that knows how a recurrence is run.

use bptt::{Batch, Outputs, Params, Recurrence, Result, Scalar};

/// A recurrence, its data, and what came out last.
#[derive(Debug)]
pub(crate) struct Engine<F> {
    recurrence: Recurrence,
    params: Params<F>,
    batch: Batch<F>,
    found: Outputs<F>,
}

impl<F: Scalar> Engine<F> {
    pub(crate) fn new(recurrence: Recurrence, params: Params<F>, batch: Batch<F>) -> Self {
        Self {
            recurrence,
            params,
            batch,
            found: Outputs::default(),
        }
    }

    /// Computes everything anew: what is timed.
    pub(crate) fn run_once(&mut self) -> Result<()> {
        self.found = self.recurrence.evaluate(&self.params, &self.batch)?;
        Ok(())
    }

    /// An output of the last run, in row-major order.
    pub(crate) fn found(&self, name: &str) -> impl Iterator<Item = f64> {
        let array = self.found.get(name);
        array.into_iter().flatten().map(|v| Scalar::to_f64(*v))
    }
}
