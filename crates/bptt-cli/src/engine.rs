//! Runs recurrences; the only module that chooses an engine.

use bptt::fit::{Known, SampleClip};
use bptt::{
    Batch, Error, Outputs, Params, Program as Compiled, Real, Recurrence, Stepper, Workspace, Wrt,
};

/// A recurrence, compiled at its first run for the sizes of that data.
#[derive(Debug)]
pub(crate) struct Program<'r, F: Real> {
    recurrence: &'r Recurrence,
    compiled: Option<(Compiled<F>, Workspace<F>)>,
    kept: Option<Kept<F>>,
}

/// The data of a fit that changes only some arrays.
#[derive(Clone, Debug)]
pub(crate) struct Kept<F> {
    pub(crate) known: Known<F>,
    /// True if inputs are among the arrays that change.
    pub(crate) of_inputs: bool,
}

impl<'r, F: Real> Program<'r, F> {
    pub(crate) fn new(recurrence: &'r Recurrence) -> Self {
        Self {
            recurrence,
            compiled: None,
            kept: None,
        }
    }

    /// A program whose runs are given only the arrays that change.
    pub(crate) fn keeping(self, kept: Option<Kept<F>>) -> Self {
        Self { kept, ..self }
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
                let (params, batch) = filled(&mut self.kept, self.recurrence, params, batch)?;
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
        let (params, batch) = filled(&mut self.kept, self.recurrence, params, batch)?;
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

/// The gradient of a recurrence, with that of each sample clipped, compiled at its first run.
#[derive(Debug)]
pub(crate) struct Clipped<'r, F: Real> {
    recurrence: &'r Recurrence,
    wrt: Wrt<'r>,
    most: f64,
    compiled: Option<SampleClip<F>>,
    kept: Option<Kept<F>>,
}

impl<'r, F: Real> Clipped<'r, F> {
    pub(crate) const fn new(recurrence: &'r Recurrence, wrt: Wrt<'r>, most: f64) -> Self {
        Self {
            recurrence,
            wrt,
            most,
            compiled: None,
            kept: None,
        }
    }

    /// Runs that are given only the arrays that change.
    pub(crate) fn keeping(self, kept: Option<Kept<F>>) -> Self {
        Self { kept, ..self }
    }

    pub(crate) fn run(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Outputs<F>, Error> {
        let (params, batch) = filled(&mut self.kept, self.recurrence, params, batch)?;
        let clip = match &mut self.compiled {
            Some(clip) => clip,
            none => none.insert(SampleClip::for_data(
                self.recurrence,
                self.wrt,
                params,
                batch,
            )?),
        };
        Ok(clip.run(params, batch, self.most)?.clone())
    }
}

/// A recurrence that runs one step at a time, for the sizes and the inputs per sample of a batch.
pub(crate) fn stepper<F: Real>(
    recurrence: &Recurrence,
    params: &Params<F>,
    batch: &Batch<F>,
) -> Result<Stepper<F>, Error> {
    let program = recurrence.compile_for(params, batch)?;
    program.stepper_of(params, batch)
}

/// The data of a run, with the arrays that a fit keeps.
pub(crate) fn filled<'d, F: Real>(
    kept: &'d mut Option<Kept<F>>,
    recurrence: &Recurrence,
    params: &'d Params<F>,
    batch: &'d Batch<F>,
) -> Result<(&'d Params<F>, &'d Batch<F>), Error> {
    let Some(kept) = kept else {
        return Ok((params, batch));
    };
    let (params, inputs) = kept.known.with(recurrence, params)?;
    // A minibatch is a batch of its own.
    Ok((params, if kept.of_inputs { inputs } else { batch }))
}
