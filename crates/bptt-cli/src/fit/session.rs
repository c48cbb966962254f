//! Saves a fit while it runs, and ends it early.

use std::path::Path;

use bptt::Scalar;
use bptt::data::{Arrays, Element};

use super::End;
use super::checkpoint::Progress;
use super::settings::Settings;
use crate::args::Fit;
use crate::interrupt::Interrupt;
use crate::report::Report;
use crate::{Ending, Failure};

/// The file of a fit, and the schedule of saves.
pub(super) struct Session<'a> {
    out: &'a Path,
    every: Option<usize>,
    settings: Settings,
    interrupt: Interrupt,
    /// The texts of classes and the arrays that the fit keeps, which are saved beside those it changes.
    beside: Arrays,
}

impl<'a> Session<'a> {
    pub(super) fn new(args: &'a Fit, settings: Settings, beside: Arrays) -> Self {
        Self {
            out: &args.out,
            every: args.save_every,
            settings,
            interrupt: Interrupt::listen(),
            beside,
        }
    }

    /// Saves if a save is due, and ends the fit after Ctrl-C. Called after each step.
    pub(super) fn after_step<F: Scalar + Element>(
        &self,
        steps: usize,
        report: &Report,
        progress: impl FnOnce() -> Progress<F>,
    ) -> Result<(), Failure> {
        let code = self.interrupt.code();
        let due = self.every.is_some_and(|n| steps.is_multiple_of(n));
        if code.is_none() && !due {
            return Ok(());
        }
        let written = self
            .with_others(progress().arrays(&self.settings))
            .write(self.out);
        let out = self.out.display();
        match (code, written) {
            (None, Ok(())) => Ok(()),
            // The disk may have room again at the next save.
            (None, Err(error)) => {
                report.note(&format!("step {steps} is not saved: {error}"));
                Ok(())
            }
            (Some(code), Ok(())) => Err(Ending::failure(
                code,
                format!(
                    "interrupted after step {steps}, saved to {out}; go on with --resume {out}"
                ),
            )),
            (Some(code), Err(error)) => Err(Ending::failure(
                code,
                format!("interrupted after step {steps}, and not saved: {error}"),
            )),
        }
    }

    fn with_others(&self, mut arrays: Arrays) -> Arrays {
        for (name, array) in self.beside.iter() {
            arrays.insert(name, array.clone());
        }
        arrays
    }

    /// Writes the file of a finished fit; from here on Ctrl-C ends the program.
    pub(super) fn finish<F: Scalar + Element>(
        &self,
        progress: &Progress<F>,
        end: &End,
    ) -> Result<(), Failure> {
        // A diverged fit cannot be resumed.
        let arrays = match self.every {
            Some(_) if !matches!(end, End::Diverged(_)) => progress.arrays(&self.settings),
            _ => Arrays::from(&progress.params),
        };
        self.with_others(arrays).write(self.out)?;
        self.interrupt.ignore_no_more();
        Ok(())
    }

    /// The end of a fit that cannot take another step: the file contains the current parameters.
    pub(super) fn failed<F: Scalar + Element>(
        &self,
        progress: &Progress<F>,
        error: String,
    ) -> Failure {
        let steps = progress.steps;
        let reason = format!("after {}: {error}", bptt::counted(steps, "step"));
        match self
            .with_others(progress.arrays(&self.settings))
            .write(self.out)
        {
            Ok(()) => {
                let out = self.out.display();
                format!("{reason}; {out} holds the parameters after step {steps}").into()
            }
            Err(error) => format!("{reason}; and {error}").into(),
        }
    }
}
