//! Newton's method and standard errors, both from the exact Hessian.

use bptt::fit::{self, Newton, Objective};
use bptt::{Batch, Derived, Error, Outputs, Params, Real, Recurrence, Wrt};

use super::{Course, loss};
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

pub(super) fn fit<F: Real>(
    recurrence: &Recurrence,
    params: &mut Params<F>,
    batch: &Batch<F>,
    args: &Fit,
    report: &Report,
) -> Result<Course, Failure> {
    let most = args.steps.unwrap_or(100);
    let mut exact: Params<f64> = params.cast();
    let start = exact.clone();
    let before = loss(recurrence, params, batch)?;
    let steps = with_loss(recurrence, &batch.cast(), &start, |objective| {
        let mut newton = Newton::new();
        let bar = progress::bar(report, most);
        for step in 1..=most {
            let found = newton.step(&mut exact, objective)?;
            bar.set_message(format!("loss {:.6}", found.loss));
            bar.inc(1);
            if found.converged {
                bar.finish_and_clear();
                return Ok(step);
            }
        }
        bar.finish_and_clear();
        report.note(&format!(
            "Newton's method has not converged after {most} steps"
        ));
        Ok(most)
    })?;
    *params = exact.cast();
    let after = loss(recurrence, params, batch)?;
    Ok(Course {
        steps,
        before,
        after,
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
