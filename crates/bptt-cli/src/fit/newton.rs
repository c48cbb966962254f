//! Fits with Newton's method and the exact Hessian.

use bptt::data::Element;
use bptt::fit::{Newton, Objective};
use bptt::{Batch, Derived, Error, Outputs, Params, Real, Recurrence};

use super::aim::Aim;
use super::checkpoint::Progress;
use super::session::Session;
use super::{Course, End, bounds, loss, motion};
use crate::Failure;
use crate::args::Fit;
use crate::engine::Program;
use crate::progress::Steps;
use crate::report::Report;

/// The maximum number of fitted numbers: the Hessian has its square.
const MOST: usize = 500;

/// The loss of a recurrence on its data.
struct Loss<'r> {
    gradient: Program<'r, f64>,
    hessian: Program<'r, f64>,
    batch: &'r Batch<f64>,
}

impl Objective for Loss<'_> {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.gradient.attempt(params, self.batch)
    }

    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.hessian.attempt(params, self.batch)
    }

    fn direction(&self, parameter: &str) -> String {
        let role = Derived::Tangent(parameter.into());
        let name = self.hessian.recurrence().leaf_for(&role);
        name.unwrap_or(parameter).into()
    }
}

/// The parameters, with a direction for each.
fn directed(params: &Params<f64>, objective: &Loss<'_>) -> Params<f64> {
    params.iter().fold(params.clone(), |all, (name, array)| {
        all.with(&objective.direction(name), array.clone())
    })
}

/// Refuses a Hessian that would be too large, before the fit.
pub(super) fn check_size<F: Real>(params: &Params<F>, what: &str) -> Result<(), Failure> {
    let numbers: usize = params.iter().map(|(_, a)| a.len()).sum();
    if numbers > MOST {
        return Err(format!(
            "{what} have {numbers} numbers, too many for their Hessian: at most {MOST}; try \
             --optimizer adam without standard errors"
        )
        .into());
    }
    Ok(())
}

pub(super) fn fit<F: Real + Element>(
    recurrence: &Recurrence,
    aim: &Aim<'_, F>,
    progress: &mut Progress<F>,
    batch: &Batch<F>,
    args: &Fit,
    session: &Session<'_>,
    report: &Report,
) -> Result<Course, Failure> {
    let most = args.steps_in_all();
    let mut at: Progress<f64> = progress.cast();
    let before = match at.losses.first {
        Some(before) => before,
        None => loss(recurrence, aim, &progress.params, batch)?,
    };
    at.losses.first = Some(before);
    let (gradient, hessian) = (
        recurrence.gradient(aim.wrt())?,
        recurrence.hessian_vector(aim.wrt())?,
    );
    let (cast, wide) = (batch.cast(), aim.cast());
    let mut objective = Loss {
        gradient: wide.program(&gradient),
        hessian: wide.program(&hessian),
        batch: &cast,
    };
    let mut newton = Newton::new();
    if let Some(state) = &at.optimizer {
        newton.restore(state)?;
    }
    let mut end = End::Fitted;
    let shown = Steps::new(report, at.steps, most, true);
    let mut last = at.params.clone();
    while at.steps < most && !at.converged {
        let here = at.params.clone();
        let found = match newton.step(&mut at.params, &mut objective) {
            Ok(found) => found,
            Err(error @ Error::NoDescent { .. }) => {
                let why = format!("{error}; try another start (--params), or write a smooth loss");
                end = End::NotConverged(why, false);
                break;
            }
            Err(error) if at.steps > 0 => {
                let (back, here) = (
                    directed(&last, &objective),
                    directed(&at.params, &objective),
                );
                let moved = bounds::told(&mut objective.hessian, &back, &here, &cast);
                return Err(session.failed(&at, format!("{error}{moved}")));
            }
            Err(error) => return Err(error.into()),
        };
        last = here;
        at.steps += 1;
        at.converged = found.converged;
        at.optimizer = Some(newton.state());
        shown.step(at.steps, found.loss);
        session.after_step(at.steps, report, || at.clone())?;
    }
    shown.clear();
    if !at.converged && matches!(end, End::Fitted) && most > 0 {
        let why = format!(
            "Newton's method has not converged after {}; try more --steps, another start (--params), or \
             check the sign of the loss",
            bptt::counted(most, "step")
        );
        end = End::NotConverged(why, true);
    }
    *progress = at.cast();
    let after = loss(recurrence, aim, &progress.params, batch)?;
    if let Some(why) = motion::endless(before, after, progress.steps) {
        end = End::NotConverged(why, false);
    }
    Ok(Course {
        steps: progress.steps,
        before,
        after,
        end,
    })
}
