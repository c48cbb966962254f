//! `bptt fit`: finds parameters that minimise the loss.

mod aim;
mod bounds;
mod checkpoint;
mod data;
mod descend;
mod losses;
mod motion;
mod newton;
mod order;
mod session;
mod settings;
mod statistics;

use bptt::data::{Arrays, Element, MASK};
use bptt::{Batch, Error, Params, Real, Recurrence};
use serde_json::json;

use crate::args::{Dtype, Fit, Optimizer};
use crate::input;
use crate::options::in_options;
use crate::report::{self, Report};
use crate::{Done, Failure, cell, conflicts, progress};
use aim::Aim;
use checkpoint::Progress;
use data::Task;
use session::Session;
use settings::Settings;
use statistics::Statistics;

pub(crate) fn run(args: &Fit, report: &mut Report) -> Result<Done, Failure> {
    match args.dtype {
        Dtype::F32 => run_in::<f32>(args, report),
        Dtype::F64 => run_in::<f64>(args, report),
    }
}

fn run_in<F: Real + Element>(args: &Fit, report: &mut Report) -> Result<Done, Failure> {
    Arrays::can_write(&args.out)?;
    let Task {
        recurrence,
        batch,
        alphabet,
        classes,
    } = Task::<F>::read(args, report)?;
    let chosen = aim::names(args, &recurrence)?;
    let names: Vec<&str> = chosen.iter().map(|name| &**name).collect();
    if names.is_empty() && recurrence.parameters().next().is_none() {
        return Err(format!(
            "`{}` has no parameters to fit: declare some in its text, such as `param a`, name inputs to fit with \
             --over, or compute its loss with `bptt run`",
            recurrence.name()
        )
        .into());
    }
    note_constant(&recurrence, report)?;
    check_mask(args, &names, &recurrence)?;
    note_batch(args, &recurrence, batch.samples(), report);
    let settings = Settings::of(args, &recurrence, &batch)?;
    let what = match names.is_empty() {
        true => "the parameters",
        false => "the arrays of --over",
    };
    let start = || {
        let file = args.params.as_deref().or(args.resume.as_deref());
        let params = input::params(&recurrence, file, &batch, args.seed())?;
        Aim::of(names.clone(), &recurrence, params, &batch)
    };
    let (aim, mut progress) = match &args.resume {
        Some(file) if names.is_empty() => {
            let progress = checkpoint::read(file, &recurrence, &settings, None)?;
            (
                Aim::of(names, &recurrence, Params::new(), &batch)?.0,
                progress,
            )
        }
        Some(file) => {
            checkpoint::check(file, &settings)?;
            let (aim, start) = start()?;
            let progress = checkpoint::read(file, &recurrence, &settings, Some(&start))?;
            (aim, progress)
        }
        None => {
            let (aim, start) = start()?;
            (aim, Progress::start(start))
        }
    };
    note_steps(args, &progress, report);
    aim::check_groups(args, &progress.params, &recurrence)?;
    let errors = args.kind_of_errors();
    if args.optimizer == Optimizer::Newton || errors.is_some() {
        newton::check_size(&progress.params, what)?;
    }
    let mut beside = classes;
    for (name, array) in aim.beside().iter() {
        beside.insert(name, array.clone());
    }
    let session = Session::new(args, settings, beside);
    let course = match args.optimizer {
        Optimizer::Newton => newton::fit(
            &recurrence,
            &aim,
            &mut progress,
            &batch,
            args,
            &session,
            report,
        )?,
        _ => descend::fit(
            &recurrence,
            &aim,
            &mut progress,
            &batch,
            args,
            &session,
            report,
        )?,
    };
    session.finish(&progress, &course.end)?;
    let params = progress.params;
    // The fit is saved even if its statistics fail.
    let exact = params.cast();
    let statistics = errors
        .filter(|_| !matches!(course.end, End::Diverged(_)))
        .map(|kind| {
            let busy = progress::busy(report, "computing standard errors");
            let found = Statistics::new(&recurrence, &exact, &batch.cast(), kind);
            busy.clear();
            found
        });

    // The premises of standard errors include that the fit has converged.
    let early = statistics.as_ref().is_some_and(statistics::is_early);
    let (word, problem) = match &course.end {
        End::Fitted if early => ("not converged", None),
        End::Fitted => ("fitted", None),
        End::NotConverged(why, _) => ("not converged", Some(why.clone())),
        End::Diverged(why) => ("not fitted", Some(why.clone())),
    };
    let extent = format!("{word}, T = {}, B = {}", batch.steps(), batch.samples());
    report.heading(recurrence.name(), &extent)?;
    let Course {
        steps,
        before,
        after,
        end,
    } = course;
    let each = match args.batch.is_some_and(|n| n < batch.samples()) {
        true => " a minibatch",
        false => "",
    };
    report.line(format!(
        "  loss{each} {} before, {} after {}",
        bptt::number(before),
        bptt::number(after),
        bptt::counted(steps, "step")
    ))?;
    match &statistics {
        Some(Ok(statistics)) => statistics.text(report, &exact, args)?,
        _ => report::arrays(report, params.iter())?,
    }
    if let Some(alphabet) = alphabet {
        report.line(format!(
            "  {}: {alphabet:?}",
            bptt::counted(alphabet.chars().count(), "character")
        ))?;
        report.field("alphabet", || json!(alphabet));
    }
    report.field("recurrence", || json!(recurrence.name()));
    report.field("outcome", || json!(word));
    report.field("steps", || json!(steps));
    report.field("loss_before", || json!(before));
    report.field("loss", || json!(after));
    if let Some(Ok(statistics)) = &statistics {
        statistics.fields(report, &exact);
    }
    report.wrote(&args.out)?;

    let done = match (&problem, &statistics) {
        (Some(_), _) => Done::NotFitted,
        (None, _) if early => Done::NotFitted,
        (None, Some(Err(_))) => Done::NoErrors,
        (None, _) => Done::Well,
    };
    let refused = statistics.and_then(Result::err);
    let goes_on = !matches!(end, End::NotConverged(_, false));
    let refused = refused.map(|error| statistics::told(&error, args, goes_on));
    let problems = problem.into_iter().chain(refused);
    let problems: Vec<String> = problems.map(|text| in_options(&text)).collect();
    for problem in &problems {
        report.problem(problem);
    }
    if !problems.is_empty() {
        report.field("problems", || json!(problems));
    }
    Ok(done)
}

/// Reports parameters that no step changes.
fn note_constant(recurrence: &Recurrence, report: &Report) -> Result<(), Failure> {
    let constant = recurrence.parameters_without_gradient()?;
    if !constant.is_empty() {
        let names: Vec<String> = constant.iter().map(|name| format!("`{name}`")).collect();
        let (names, they, them) = (names.join(", "), "their", "them");
        let (their, them) = if constant.len() == 1 {
            ("its", "it")
        } else {
            (they, them)
        };
        report.note(&format!(
            "{names}: {their} gradient is zero everywhere, and a step along the gradient leaves {them} unchanged, since only comparisons, \
             conditions, `floor`, `ceil`, `sign` or `stop_gradient` use {them}; `surrogate(forward, backward)` is a \
             value with the derivative of another"
        ));
    }
    Ok(())
}

/// Refuses a fit over inputs whose file would not say which steps are masked.
fn check_mask(args: &Fit, names: &[&str], recurrence: &Recurrence) -> Result<(), Failure> {
    let is_own = |r: &Recurrence| r.inputs().any(|input| input == MASK);
    if conflicts::has_input(recurrence, names)
        && is_own(recurrence)
        && !is_own(&cell::load(&args.cell)?)
    {
        return Err(format!(
            "--missing mask: `{}` has no mask of its own, so that the file of a fit over inputs would not say which steps are \
             masked; declare `mask input observed` in its text",
            recurrence.name()
        )
        .into());
    }
    Ok(())
}

/// Reports a minibatch size that covers all samples.
fn note_batch(args: &Fit, recurrence: &Recurrence, samples: usize, report: &Report) {
    let Some(n) = args.batch.filter(|n| *n >= samples) else {
        return;
    };
    let there = report::there(samples, "sample");
    let start = args.params.is_none() && conflicts::starts_at_random(recurrence);
    match args.seed {
        // A resumed fit needs its seed.
        Some(seed) if !start && args.resume.is_none() => report.note(&format!(
            "--batch {n}: there {there}, and each step sees all in their order, so that --seed {seed} has no effect; \
             leave it out"
        )),
        _ if n > samples => {
            report.note(&format!("--batch {n}: there {there}, and each step sees all"));
        }
        _ => {}
    }
}

/// Reports that no step remains, or that no step is saved before the end.
fn note_steps<F: Real>(args: &Fit, progress: &Progress<F>, report: &Report) {
    let (most, taken) = (args.steps_in_all(), progress.steps);
    if let Some(file) = &args.resume {
        let (file, told) = (file.display(), bptt::counted(taken, "step"));
        if progress.converged {
            report.note(&format!(
                "{file}: Newton's method has converged after {told}: none is left to take"
            ));
            return;
        }
        if taken >= most {
            let more = taken.saturating_add(100);
            report.note(&format!(
                "{file}: has taken {told}, and --steps {most} counts these too: none is left to take; try --steps {more}"
            ));
            return;
        }
    }
    if let Some(every) = args
        .save_every
        .filter(|every| taken / every == most / every)
        && taken < most
    {
        report.note(&format!(
            "--save-every {every}: the fit ends after {}, and is saved only then",
            bptt::counted(most, "step")
        ));
    }
}

/// The course of a fit.
struct Course {
    steps: usize,
    before: f64,
    after: f64,
    end: End,
}

/// The end of a fit.
enum End {
    Fitted,
    /// The reason, and true if more steps may help; the last parameters are kept.
    NotConverged(String, bool),
    /// The reason; the best parameters are kept.
    Diverged(String),
}

fn loss<F: Real + Element>(
    recurrence: &Recurrence,
    aim: &Aim<'_, F>,
    params: &Params<F>,
    batch: &Batch<F>,
) -> Result<f64, Failure> {
    let found = aim.program(recurrence).run(params, batch)?;
    let none = Error::NoLoss {
        recurrence: recurrence.name().into(),
    };
    Ok(found.loss().map_err(|_| none)?.to_f64())
}
