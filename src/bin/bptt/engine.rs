//! How recurrences are run: the one place that chooses an evaluator.

use bptt::{Batch, Error, Outputs, Params, Recurrence, Scalar, Unrolled};

/// A recurrence made ready for the sizes and lengths of some data.
#[derive(Debug)]
pub(crate) struct Program<'r> {
    recurrence: &'r Recurrence,
    unrolled: Option<(Vec<usize>, Unrolled)>,
}

impl<'r> Program<'r> {
    pub(crate) fn new(recurrence: &'r Recurrence) -> Self {
        Self {
            recurrence,
            unrolled: None,
        }
    }

    /// The outputs; what was prepared is used again as long as the lengths stay the same.
    pub(crate) fn run<F: Scalar>(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Outputs<F>, Error> {
        let mut key = batch.lengths();
        key.push(batch.steps());
        match &self.unrolled {
            Some((known, unrolled)) if *known == key => unrolled.evaluate(params, batch),
            _ => {
                let unrolled = self.recurrence.unroll_for(params, batch)?;
                let outputs = unrolled.evaluate(params, batch);
                self.unrolled = Some((key, unrolled));
                outputs
            }
        }
    }
}
