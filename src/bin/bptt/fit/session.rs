//! Saving on the way, and ending early.

use std::path::Path;

use bptt::data::{Arrays, Element};
use bptt::{Params, Scalar};

use super::checkpoint::Progress;
use super::losses::Losses;
use super::settings::Settings;
use crate::args::Fit;
use crate::interrupt::Interrupt;
use crate::report::Report;
use crate::{Ending, Failure};

/// The file of a fit, and when it is written.
pub(super) struct Session<'a> {
    out: &'a Path,
    every: Option<usize>,
    settings: Settings,
    interrupt: Interrupt,
}

impl<'a> Session<'a> {
    pub(super) fn new(args: &'a Fit, settings: Settings) -> Self {
        Self {
            out: &args.out,
            every: args.save_every,
            settings,
            interrupt: Interrupt::listen(),
        }
    }

    /// Saves when it is time to, and ends the fit after a Ctrl-C. Called after each step.
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
        let written = progress().arrays(&self.settings).write(self.out);
        let out = self.out.display();
        match (code, written) {
            (None, Ok(())) => Ok(()),
            // The disk may have room again at the next save.
            (None, Err(error)) => {
                report.note(&format!("step {steps} is not saved: {error}"));
                Ok(())
            }
            (Some(code), Ok(())) => Err(Ending::new(
                code,
                format!(
                    "interrupted after step {steps}, saved to {out}; go on with --resume {out}"
                ),
            )),
            (Some(code), Err(error)) => Err(Ending::new(
                code,
                format!("interrupted after step {steps}, and not saved: {error}"),
            )),
        }
    }

    /// Writes the file of a fit that has come to its end; from here on Ctrl-C ends the program.
    pub(super) fn finish<F: Scalar + Element>(
        &self,
        progress: &Progress<F>,
    ) -> Result<(), Failure> {
        match self.every {
            Some(_) => progress.arrays(&self.settings).write(self.out)?,
            None => Arrays::from(&progress.params).write(self.out)?,
        }
        self.interrupt.ignore_no_more();
        Ok(())
    }

    /// The end of a fit that cannot take another step: the file holds the parameters so far.
    pub(super) fn failed<F: Scalar + Element>(
        &self,
        progress: &Progress<F>,
        error: &bptt::Error,
    ) -> Failure {
        let steps = progress.steps;
        let reason = format!("step {}: {error}", steps + 1);
        match progress.arrays(&self.settings).write(self.out) {
            Ok(()) => {
                let out = self.out.display();
                format!("{reason}; {out} holds the parameters after step {steps}").into()
            }
            Err(error) => format!("{reason}; and {error}").into(),
        }
    }

    /// The end of a fit that diverged: the file holds the best parameters there were.
    pub(super) fn diverged<F: Scalar + Element>(
        &self,
        losses: &Losses<F>,
        reason: &str,
    ) -> Failure {
        let remedy = "try a smaller --lr, or --clip 1";
        let Some(best) = &losses.best else {
            return format!("{reason}; {remedy}").into();
        };
        let kept: &Params<F> = &best.params;
        if let Err(error) = Arrays::from(kept).write(self.out) {
            return format!("{reason}; {remedy}; and {error}").into();
        }
        let (out, loss, steps) = (self.out.display(), best.loss, best.steps);
        let text = format!(
            "the fit has diverged: {reason}; {remedy}. {out} holds the parameters after step {steps}, \
             whose loss is {loss}, the lowest"
        );
        Ending::new(1, text)
    }
}
