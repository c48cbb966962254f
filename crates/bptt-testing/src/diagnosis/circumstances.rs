//! The conditions under which foreign code is right.

use std::fmt;

use bptt::{Op, Recurrence, Result};

use super::Subject;
use crate::case::seed_of;
use crate::finding::{Evidence, compare, fit};
use crate::{Case, Cases, Foreign};

/// The outcome of some cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All numbers are right.
    Right,
    /// Some number is wrong.
    Wrong,
}

/// A condition on the data, and the outcome of the cases that fulfil it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circumstance {
    /// The condition, such as `samples of one step`.
    pub condition: String,
    /// The outcome.
    pub outcome: Outcome,
}

impl fmt::Display for Circumstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Right => "right",
            Outcome::Wrong => "wrong",
        };
        write!(f, "{word} for {}", self.condition)
    }
}

/// The number of cases of a condition.
const TRIED: usize = 3;
/// The most steps that are tried one by one.
const MOST_STEPS: usize = 4;

/// Asks the foreign code for cases that fulfil a condition each. Conditions that it does not answer are left out, and so
/// are those that say nothing: a condition under which the numbers are wrong as they are without it. Also returns the
/// first case that is wrong with the fewest steps.
pub(super) fn ask(
    subject: &Subject<'_>,
    foreign: &mut dyn Foreign,
) -> (Vec<Circumstance>, Option<Evidence>) {
    let mut found = Vec::new();
    let mut shortest = None;
    let (steps, _, equal) = subject.cases.ranges();
    let mut ask =
        |cases: &Cases<'_>, change: &dyn Fn(&mut Case)| outcome(subject, cases, change, foreign);
    let unchanged = |_: &mut Case| {};
    if steps.end() > steps.start() || *steps.start() > 1 {
        let mut right = 0;
        let mut wrong = None;
        for steps in 1..=MOST_STEPS {
            let cases = subject.cases.clone().steps(steps..=steps).equal_lengths();
            match ask(&cases, &unchanged) {
                Some((Outcome::Right, _)) if right + 1 == steps => right = steps,
                Some((Outcome::Wrong, evidence)) => {
                    (wrong, shortest) = (Some(steps), evidence);
                    break;
                }
                _ => break,
            }
        }
        let steps = |n: usize| match n {
            1 => "samples of one step".to_owned(),
            n => format!("samples of {n} steps"),
        };
        let right = match right {
            0 => None,
            1 => Some(steps(1)),
            n => Some(format!("samples of one length of at most {n} steps")),
        };
        let outcomes = [(right, Outcome::Right), (wrong.map(steps), Outcome::Wrong)];
        found.extend(outcomes.into_iter().filter_map(|(condition, outcome)| {
            let condition = condition?;
            Some(Circumstance { condition, outcome })
        }));
    }
    let mut only_right = |condition: &str, outcome: Option<(Outcome, Option<Evidence>)>| {
        if let Some((Outcome::Right, _)) = outcome {
            found.push(Circumstance {
                condition: condition.into(),
                outcome: Outcome::Right,
            });
        }
    };
    if !equal {
        let cases = subject.cases.clone().equal_lengths();
        only_right("samples of equal length", ask(&cases, &unchanged));
    }
    let cases = subject.cases.clone().samples(1..=1);
    only_right("a single sample", ask(&cases, &unchanged));
    let starts = starts(subject.reference.recurrence());
    if !starts.is_empty() {
        let zero = |case: &mut Case| {
            for name in &starts {
                let array = match case.params.get(name).is_some() {
                    true => case.params.get_mut(name),
                    false => case.batch.get_mut(name),
                };
                array.into_iter().for_each(|a| a.fill(0.0));
            }
        };
        only_right("states that start at zero", ask(subject.cases, &zero));
    }
    (found, shortest)
}

/// The outcome of some cases, and the first that is wrong.
fn outcome(
    subject: &Subject<'_>,
    cases: &Cases<'_>,
    change: &dyn Fn(&mut Case),
    foreign: &mut dyn Foreign,
) -> Option<(Outcome, Option<Evidence>)> {
    let second_order = subject
        .evidence
        .first()
        .is_some_and(|e| e.is_of_second_order());
    for trial in 0..TRIED {
        // The trials of the comparison had the seeds before.
        let seed = seed_of(subject.seed, trial + 500_000);
        let case = || -> Result<_> {
            let mut case = cases.draw(seed)?;
            change(&mut case);
            let expected = subject.reference.expect(&case)?;
            Ok((case, expected))
        };
        let (case, expected) = case().ok()?;
        let answer = foreign.answer(&case, second_order).ok()?;
        fit(subject.reference.recurrence(), &case, &expected, &answer).ok()?;
        let evidence = Evidence {
            case,
            expected,
            answer,
        };
        if !compare(&evidence, 0).iter().all(crate::Finding::agrees) {
            return Some((Outcome::Wrong, Some(evidence)));
        }
    }
    Some((Outcome::Right, None))
}

/// The parameters and inputs at which states start.
fn starts(recurrence: &Recurrence) -> Vec<String> {
    let tape = recurrence.tape();
    let mut found = Vec::new();
    for register in tape.registers() {
        let Some(mut id) = register.init() else {
            continue;
        };
        // A start is held: the same for all samples.
        while let (Op::Time(_), [arg]) = (tape.node(id).op(), tape.node(id).args()) {
            id = *arg;
        }
        if matches!(tape.node(id).op(), Op::Leaf(_)) {
            found.extend(tape.label(id).map(str::to_owned));
        }
    }
    found.dedup();
    found
}
