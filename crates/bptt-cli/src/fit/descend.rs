//! Fits with Adam, `AdamW` and SGD.

use bptt::data::Element;
use bptt::fit::{Adam, Optimizer as Descent, Sgd, Truncated, clip_global_norm};
use bptt::{Batch, Error, Outputs, Params, Real, Recurrence};

use super::aim::Aim;
use super::checkpoint::Progress;
use super::order::Order;
use super::session::Session;
use super::{Course, End, bounds, loss, motion};
use crate::Failure;
use crate::args::{Fit, Optimizer};
use crate::engine::filled;
use crate::progress::Steps;
use crate::report::Report;

/// The optimiser of the command line.
fn optimizer<F: Real>(args: &Fit) -> Box<dyn Descent<F>> {
    let decay = args.decay().unwrap_or(0.0);
    let groups = args.group.iter().cloned();
    match args.optimizer {
        Optimizer::Sgd => {
            let sgd = Sgd::new(args.lr).momentum(args.momentum).decay(decay);
            Box::new(groups.fold(sgd, Sgd::group))
        }
        _ => Box::new(groups.fold(Adam::new(args.lr).decay(decay), Adam::group)),
    }
}

/// The minimum number of steps over which minibatch losses are averaged before they are compared.
const SHORTEST_WINDOW: usize = 10;

/// Takes the remaining steps. With minibatches, the reported losses are that of the first minibatch, and the mean
/// over the last epoch.
pub(super) fn fit<F: Real + Element>(
    recurrence: &Recurrence,
    aim: &Aim<'_, F>,
    progress: &mut Progress<F>,
    batch: &Batch<F>,
    args: &Fit,
    session: &Session<'_>,
    report: &Report,
) -> Result<Course, Failure> {
    let steps = args.steps_in_all();
    let gradient = recurrence.gradient(aim.wrt())?;
    let mut clipped = args
        .clip_per_sample
        .map(|most| aim.clipped(recurrence, most));
    let mut kept = aim.kept().cloned();
    let windows = match args.truncate {
        None => None,
        Some(truncation) => {
            let truncated = Truncated::new(recurrence, aim.wrt())?;
            let (whole, _) = filled(&mut kept, recurrence, &progress.params, batch)?;
            Some((truncated.compile_for(whole, batch)?, truncation))
        }
    };
    // With windows, the loss of a step is that of all steps of the data before its updates.
    let mut program = aim.program(match windows {
        None => &gradient,
        Some(_) => recurrence,
    });
    let mut optimizer = optimizer(args);
    if let Some(state) = &progress.optimizer {
        optimizer.restore(state)?;
    }
    let order = Order::new(batch.samples(), args.batch, args.seed());
    // A file can contain any number of steps.
    let mut order = order.after(progress.steps.min(steps));
    let window = match order.round() {
        0 => 1,
        round => round.max(SHORTEST_WINDOW),
    };
    let shown = Steps::new(report, progress.steps, steps, false);
    let (start, first) = (progress.params.clone(), progress.steps);
    let mut last_step = None;
    while progress.steps < steps {
        let params = &mut progress.params;
        let part = match order.next() {
            Some(part) => Some(batch.samples_of(recurrence, &part)?),
            None => None,
        };
        if let Some(schedule) = &args.schedule {
            optimizer.set_rate(args.lr * schedule.factor(progress.steps as u64));
        }
        let seen = part.as_ref().unwrap_or(batch);
        let found = match &mut clipped {
            None => program.run(params, seen),
            // If a value is not finite, a run of the gradient says where it arose.
            Some(clipped) => match clipped.run(params, seen) {
                Err(error @ Error::NonFiniteValue { .. }) => {
                    Err(program.run(params, seen).err().unwrap_or(error))
                }
                found => found,
            },
        };
        let mut found = match found {
            Err(error) if is_divergence(&error) && progress.steps > 0 => {
                let taken = bptt::counted(progress.steps, "step");
                let best = progress.losses.best.as_ref();
                let moved = best.map(|best| bounds::told(&mut program, &best.params, params, seen));
                let moved = moved.unwrap_or_default();
                let reason = format!("after {taken}: {error}{moved}");
                return Ok(diverged(progress, reason));
            }
            found => found?,
        };
        let loss = found.loss()?.to_f64();
        progress.losses.record(progress.steps, loss, params, window);
        let mut update = |params: &mut Params<F>, found: &mut Outputs<F>| {
            let slope = motion::slope(found);
            if let Some(threshold) = args.clip {
                clip_global_norm(found, threshold);
            }
            last_step = Some(motion::Last {
                loss,
                slope,
                clipped: motion::slope(found),
            });
            optimizer.step(params, found)
        };
        match &windows {
            None => update(params, &mut found)?,
            Some((truncated, truncation)) => {
                let mut windows = truncated.windows(seen, *truncation)?;
                let broken = loop {
                    let (whole, _) = filled(&mut kept, recurrence, params, seen)?;
                    match windows.next(whole) {
                        Ok(Some(found)) => update(params, found)?,
                        Ok(None) => break None,
                        Err(error) if is_divergence(&error) => break Some(error),
                        Err(error) => return Err(error.into()),
                    }
                };
                if let Some(error) = broken {
                    let taken = bptt::counted(progress.steps, "step");
                    return Ok(diverged(progress, format!("after {taken}: {error}")));
                }
            }
        }
        progress.steps += 1;
        shown.step(progress.steps, loss);
        session.after_step(progress.steps, report, || Progress {
            optimizer: Some(optimizer.state()),
            ..progress.clone()
        })?;
    }
    shown.clear();
    progress.optimizer = Some(optimizer.state());
    let losses = &progress.losses;
    let (last, round) = match (losses.mean(window), losses.mean(order.round())) {
        (Some(last), Some(round)) => (Ok(last), Some(round)),
        _ => (loss(recurrence, aim, &progress.params, batch), None),
    };
    let grown = match &last {
        Err(error) => match error.downcast_ref::<Error>() {
            Some(error) if is_divergence(error) && progress.steps > 0 => Some(error.to_string()),
            _ => None,
        },
        Ok(last) if progress.steps > 0 && *last > losses.highest => Some(format!(
            "the loss has grown from {} to {} in {}",
            bptt::number(losses.highest),
            bptt::number(*last),
            bptt::counted(progress.steps, "step")
        )),
        Ok(_) => None,
    };
    if let Some(reason) = grown {
        return Ok(diverged(progress, reason));
    }
    let after = round.map_or(last, Ok)?;
    let before = losses.first.unwrap_or(after);
    let taken = progress.steps - first.min(progress.steps);
    let unmoved =
        last_step.and_then(|last| motion::unmoved(&start, &progress.params, last, taken, args));
    let why = motion::endless(before, after, progress.steps)
        .or(unmoved)
        .or_else(|| match order.round() {
            0 if windows.is_none() => {
                motion::falling(&mut program, &start, &progress.params, batch)
            }
            _ => None,
        });
    Ok(Course {
        steps: progress.steps,
        before,
        after,
        end: why.map_or(End::Fitted, |why| End::NotConverged(why, false)),
    })
}

/// Restores the parameters with the lowest loss.
fn diverged<F: Real>(progress: &mut Progress<F>, reason: String) -> Course {
    let mut end = format!("the fit has diverged: {reason}; try a smaller --lr, or --clip 1");
    let before = progress.losses.first.unwrap_or(f64::NAN);
    let mut after = before;
    if let Some(best) = progress.losses.best.take() {
        end = format!(
            "{end}. The parameters after step {} are kept, whose loss is the lowest, {}",
            best.steps,
            bptt::number(best.loss)
        );
        after = best.loss;
        progress.params = best.params;
    }
    Course {
        steps: progress.steps,
        before,
        after,
        end: End::Diverged(end),
    }
}

/// True if a run failed because the numbers grew too large.
const fn is_divergence(error: &Error) -> bool {
    matches!(
        error,
        Error::NonFiniteValue { .. } | Error::NonFiniteData { .. }
    )
}
