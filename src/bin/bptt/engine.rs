//! How recurrences are run: the one place that chooses an engine.

use bptt::{Batch, Error, Outputs, Params, Program as Compiled, Real, Recurrence, Workspace};

/// A recurrence that is compiled for the sizes of the first data it is run on.
#[derive(Debug)]
pub(crate) struct Program<'r, F: Real> {
    recurrence: &'r Recurrence,
    compiled: Option<(Compiled<F>, Workspace<F>)>,
}

impl<'r, F: Real> Program<'r, F> {
    pub(crate) fn new(recurrence: &'r Recurrence) -> Self {
        Self {
            recurrence,
            compiled: None,
        }
    }

    /// The recurrence.
    pub(crate) const fn recurrence(&self) -> &'r Recurrence {
        self.recurrence
    }

    /// The outputs.
    pub(crate) fn run(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Outputs<F>, Error> {
        if self.compiled.is_none() {
            let program = self.recurrence.compile_for(params, batch)?;
            let workspace = program.workspace();
            self.compiled = Some((program, workspace));
        }
        let Some((program, workspace)) = &mut self.compiled else {
            return self.recurrence.evaluate(params, batch);
        };
        match program.run(params, batch, workspace) {
            Ok(outputs) => Ok(outputs.clone()),
            Err(error @ Error::NonFiniteValue { .. }) => {
                let found = program.find_non_finite(params, batch, workspace)?;
                Err(found.unwrap_or(error))
            }
            Err(error) => Err(error),
        }
    }
}
