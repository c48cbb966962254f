//! Evaluation; the only module that chooses an engine.

use bptt::{Batch, Params, Program, Real, Recurrence, Result, Scalar, Workspace};

/// A program, its data, and its workspace with the last results.
#[derive(Debug)]
pub(crate) struct Engine<F: Real> {
    program: Program<F>,
    workspace: Workspace<F>,
    params: Params<F>,
    batch: Batch<F>,
}

impl<F: Real> Engine<F> {
    pub(crate) fn new(
        recurrence: &Recurrence,
        params: Params<F>,
        batch: Batch<F>,
        threads: usize,
    ) -> Result<Self> {
        let program = recurrence.compile_for(&params, &batch)?.threads(threads);
        Ok(Self {
            workspace: program.workspace(),
            program,
            params,
            batch,
        })
    }

    /// Recomputes the results; this call is timed.
    pub(crate) fn run_once(&mut self) -> Result<()> {
        self.program
            .run(&self.params, &self.batch, &mut self.workspace)?;
        Ok(())
    }

    /// An output of the last run, in row-major order.
    pub(crate) fn found(&self, name: &str) -> impl Iterator<Item = f64> {
        let array = self.workspace.outputs().get(name);
        array.into_iter().flatten().map(|v| Scalar::to_f64(*v))
    }
}
