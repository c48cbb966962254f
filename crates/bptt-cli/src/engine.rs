//! Runs recurrences; the only module that chooses an engine.

use bptt::{Batch, Error, Outputs, Params, Program as Compiled, Real, Recurrence, Workspace};

/// A recurrence, compiled at its first run for the sizes of that data.
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

    /// Runs the recurrence; if a value is not finite, the error says where it arose.
    pub(crate) fn run(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Outputs<F>, Error> {
        match self.attempt(params, batch) {
            Err(error @ Error::NonFiniteValue { .. }) => {
                let Some((program, workspace)) = &mut self.compiled else {
                    return Err(error);
                };
                let found = program.find_non_finite(params, batch, workspace)?;
                Err(found.unwrap_or(error))
            }
            found => found,
        }
    }

    /// Runs the recurrence, without a search for the origin of a value that is not finite.
    pub(crate) fn attempt(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Outputs<F>, Error> {
        let (program, workspace) = match &mut self.compiled {
            Some(compiled) => compiled,
            none => {
                let program = self.recurrence.compile_for(params, batch)?;
                let workspace = program.workspace();
                none.insert((program, workspace))
            }
        };
        Ok(program.run(params, batch, workspace)?.clone())
    }
}
