//! Newton's method and standard errors, both from the exact Hessian.

use bptt::data::Element;
use bptt::fit::{self, Newton, Objective};
use bptt::{Batch, Derived, Error, Outputs, Params, Real, Recurrence, Wrt};

use super::checkpoint::Progress;
use super::session::Session;
use super::{Course, End, loss};
use crate::Failure;
use crate::args::Fit;
use crate::engine::Program;
use crate::progress;
use crate::report::Report;

/// How many numbers a fit may have: the Hessian has their square.
const MOST: usize = 500;

/// The loss of a recurrence on its data.
struct Loss<'r> {
    gradient: Program<'r, f64>,
    hessian: Program<'r, f64>,
    batch: &'r Batch<f64>,
}

impl Objective for Loss<'_> {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.gradient.run(params, self.batch)
    }

    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.hessian.run(params, self.batch)
    }

    fn direction(&self, parameter: &str) -> String {
        let role = Derived::Tangent(parameter.into());
        let name = self.hessian.recurrence().leaf_for(&role);
        name.unwrap_or(parameter).into()
    }
}

fn with_loss<R>(
    recurrence: &Recurrence,
    batch: &Batch<f64>,
    params: &Params<f64>,
    f: impl FnOnce(&mut Loss<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let numbers: usize = params.iter().map(|(_, a)| a.len()).sum();
    if numbers > MOST {
        return Err(format!(
            "the parameters have {numbers} numbers, too many for their Hessian: at most {MOST}"
        )
        .into());
    }
    let gradient = recurrence.gradient(Wrt::Parameters)?;
    let hessian = recurrence.hessian_vector(Wrt::Parameters)?;
    f(&mut Loss {
        gradient: Program::new(&gradient),
        hessian: Program::new(&hessian),
        batch,
    })
}

pub(super) fn fit<F: Real + Element>(
    recurrence: &Recurrence,
    progress: &mut Progress<F>,
    batch: &Batch<F>,
    args: &Fit,
    session: &Session<'_>,
    report: &Report,
) -> Result<Course, Failure> {
    let most = args.steps.unwrap_or(100);
    let mut at: Progress<f64> = progress.cast();
    let before = match at.losses.first {
        Some(before) => before,
        None => loss(recurrence, &progress.params, batch)?,
    };
    at.losses.first = Some(before);
    let start = at.params.clone();
    with_loss(recurrence, &batch.cast(), &start, |objective| {
        let mut newton = Newton::new();
        if let Some(state) = &at.optimizer {
            newton.restore(state)?;
        }
        let bar = progress::bar(report, most);
        bar.set_position(at.steps as u64);
        while at.steps < most && !at.converged {
            let found = match newton.step(&mut at.params, objective) {
                Err(error) if at.steps > 0 => return Err(session.failed(&at, &error)),
                found => found?,
            };
            at.steps += 1;
            at.converged = found.converged;
            at.optimizer = Some(newton.state());
            bar.set_message(format!("loss {:.6}", found.loss));
            bar.inc(1);
            session.after_step(at.steps, report, || at.clone())?;
        }
        bar.finish_and_clear();
        if !at.converged {
            report.note(&format!(
                "Newton's method has not converged after {most} steps"
            ));
        }
        Ok(())
    })?;
    *progress = at.cast();
    let after = loss(recurrence, &progress.params, batch)?;
    Ok(Course {
        steps: progress.steps,
        before,
        after,
        end: End::Fitted,
    })
}

pub(super) fn standard_errors(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<Params<f64>, Failure> {
    let errors = with_loss(recurrence, batch, params, |loss| {
        Ok(fit::standard_errors(params, loss)?)
    })?;
    errors.ok_or_else(|| {
        "there are no standard errors: the Hessian is not positive definite, so this is no minimum; \
         try --optimizer newton"
            .into()
    })
}
