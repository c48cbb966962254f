//! Compares foreign code with a recurrence.

use bptt::{Rate, Recurrence, Result};
use ndarray::ArrayD;

use crate::Reference;
use crate::diagnosis::{Evidence, Subject};
use crate::{
    Answer, Bounded, Case, Cases, Certificate, Diagnosis, Expected, Failure, Finding, Foreign,
    Quantity,
};

/// Compares the loss and the gradients of foreign code with those of a recurrence, on 20 cases in `f64`; [`Certify`] has
/// options. The example is that of the [crate](crate).
///
/// # Errors
/// If the recurrence has no loss, or no data was found on which it is finite. Wrong numbers and missing answers are no
/// errors: they are in the certificate.
pub fn certify_foreign(recurrence: &Recurrence, mut foreign: impl Foreign) -> Result<Certificate> {
    Certify::new(Cases::new(recurrence)).run(&mut foreign)
}

/// A comparison with options.
#[derive(Clone, Debug)]
pub struct Certify<'r> {
    cases: Cases<'r>,
    trials: usize,
    seed: u64,
    second_order: bool,
    diagnose: bool,
}

impl<'r> Certify<'r> {
    /// A comparison on 20 of these cases, with a diagnosis.
    #[must_use]
    pub const fn new(cases: Cases<'r>) -> Self {
        Self {
            cases,
            trials: 20,
            seed: 1,
            second_order: false,
            diagnose: true,
        }
    }

    /// The number of cases.
    #[must_use]
    pub fn trials(self, trials: usize) -> Self {
        Self { trials, ..self }
    }

    /// The seed of the cases.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Asks for Hessian products too.
    #[must_use]
    pub fn second_order(self, second_order: bool) -> Self {
        Self {
            second_order,
            ..self
        }
    }

    /// Looks for the mistake behind wrong numbers, which asks the foreign code some more questions (default: true).
    #[must_use]
    pub fn diagnose(self, diagnose: bool) -> Self {
        Self { diagnose, ..self }
    }

    /// Asks and compares. It ends at the first case without an answer.
    ///
    /// # Errors
    /// As for [`certify_foreign`].
    pub fn run(&self, foreign: &mut dyn Foreign) -> Result<Certificate> {
        let recurrence = self.cases.recurrence();
        let reference = Reference::new(recurrence, self.second_order)?;
        let mut certificate = Certificate {
            recurrence: recurrence.name().into(),
            precision: self.cases.numbers_in(),
            findings: Vec::new(),
            unanswered: Vec::new(),
            trials: Vec::new(),
            failure: None,
            diagnosis: None,
        };
        let mut evidence = Vec::new();
        for trial in 0..self.trials {
            let case = self.cases.draw(seed_of(self.seed, trial))?;
            let expected = reference.expect(&case)?;
            certificate.trials.push(case.clone());
            let answer = foreign.answer(&case, self.second_order);
            let answer = answer.and_then(|answer| {
                fit(recurrence, &case, &expected, &answer)?;
                Ok(answer)
            });
            match answer {
                Err(failure) => {
                    certificate.failure = Some(failure);
                    return Ok(certificate);
                }
                Ok(answer) => evidence.push(Evidence {
                    case,
                    expected,
                    answer,
                }),
            }
        }
        for (trial, evidence) in evidence.iter().enumerate() {
            for finding in compare(evidence, trial) {
                merge(&mut certificate.findings, finding);
            }
        }
        if let Some(first) = evidence.first() {
            let place = |f: &Finding| {
                let mut all = first.expected.iter();
                all.position(|(quantity, name, _)| quantity == f.quantity && name == f.name)
            };
            certificate.findings.sort_by_key(|f| (f.quantity, place(f)));
        }
        certificate.unanswered = unanswered(recurrence, &evidence);
        let wrong = certificate.findings.iter().any(|f| !f.agrees());
        if wrong && self.diagnose {
            let subject = Subject {
                cases: &self.cases,
                reference: &reference,
                evidence: &evidence,
                seed: self.seed,
            };
            certificate.diagnosis = Some(Diagnosis::of(&subject, foreign));
        }
        Ok(certificate)
    }
}

/// The seed of the case of a trial.
pub(crate) const fn seed_of(seed: u64, trial: usize) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(trial as u64)
}

/// Checks that every array of an answer has a name and a shape of the recurrence, and finite numbers.
pub(crate) fn fit(
    recurrence: &Recurrence,
    case: &Case,
    expected: &Expected,
    answer: &Answer,
) -> std::result::Result<(), Failure> {
    let lengths = case.lengths();
    for (quantity, name, array) in answer.iter() {
        let title = match quantity {
            Quantity::Loss => "`loss`".to_owned(),
            q => format!("`{name}` of `{}`", q.name()),
        };
        let Some(right) = expected.get(quantity, name) else {
            let known = expected.iter().filter(|(q, ..)| *q == quantity);
            let known: Vec<String> = known.map(|(_, n, _)| format!("`{n}`")).collect();
            return Err(Failure::Misfit(format!(
                "the answer has {title}, which `{}` does not have; expected {}",
                recurrence.name(),
                match known.is_empty() {
                    true => "none".into(),
                    false => known.join(", "),
                }
            )));
        };
        if right.value.shape() != array.shape() {
            return Err(Failure::Misfit(format!(
                "{title} of the answer has the shape {:?}, expected {:?}{}",
                array.shape(),
                right.value.shape(),
                advice(right.value.shape(), array.shape())
            )));
        }
        let pairs = array.indexed_iter().zip(&right.value);
        for ((index, found), expected) in pairs {
            let index: Vec<usize> = (0..array.ndim()).map(|axis| index[axis]).collect();
            if counts(right.rate, quantity, &lengths, &index) && !found.is_finite() {
                return Err(Failure::NotFinite(format!(
                    "{title} of the answer is {found}{}, expected {}",
                    match index.is_empty() {
                        true => String::new(),
                        false => format!(" at {index:?} (counted from 0)"),
                    },
                    bptt::number(*expected)
                )));
            }
        }
    }
    Ok(())
}

/// The end of the message about a wrong shape.
fn advice(expected: &[usize], found: &[usize]) -> &'static str {
    let sorted = |shape: &[usize]| {
        let mut shape: Vec<usize> = shape.iter().copied().filter(|n| *n != 1).collect();
        shape.sort_unstable();
        shape
    };
    match expected {
        _ if found.len() == expected.len() && found.iter().rev().eq(expected.iter()) => {
            "; give its transpose"
        }
        _ if sorted(expected) != sorted(found) => "",
        [_, _, ..] if found.len() == expected.len() => {
            "; the axes are in another order: steps, samples, entries"
        }
        _ => "; give it without axes of length 1",
    }
}

/// Returns true if the entry is compared: an output has no meaning beyond the length of its sample.
fn counts(rate: Rate, quantity: Quantity, lengths: &[usize], index: &[usize]) -> bool {
    match (rate, quantity, index) {
        (Rate::Step, Quantity::Output, [t, b, ..]) => lengths.get(*b).is_none_or(|n| t < n),
        _ => true,
    }
}

/// Compares every array of an answer.
pub(crate) fn compare(evidence: &Evidence, trial: usize) -> Vec<Finding> {
    let lengths = evidence.case.lengths();
    let arrays = evidence.answer.iter();
    let compared = arrays.filter_map(|(quantity, name, found)| {
        let right = evidence.expected.get(quantity, name)?;
        Some(worst_of((quantity, name), (right, found), &lengths, trial))
    });
    compared.collect()
}

fn worst_of(
    (quantity, name): (Quantity, &str),
    (right, found): (&Bounded, &ArrayD<f64>),
    lengths: &[usize],
    trial: usize,
) -> Finding {
    let largest = right.value.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    // An array of zeros is compared with its bound itself.
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let mut finding = Finding {
        quantity,
        name: name.into(),
        error: 0.0,
        tolerance: right.bound / scale,
        expected: 0.0,
        found: 0.0,
        sample: None,
        step: None,
        entry: Vec::new(),
        trial,
        compared: 0,
    };
    for ((index, found), expected) in found.indexed_iter().zip(&right.value) {
        let index: Vec<usize> = (0..right.value.ndim()).map(|axis| index[axis]).collect();
        if !counts(right.rate, quantity, lengths, &index) {
            continue;
        }
        finding.compared += 1;
        let error = (found - expected).abs() / scale;
        if error > finding.error || finding.compared == 1 {
            finding.error = error;
            (finding.expected, finding.found) = (*expected, *found);
            let (step, sample, entry) = match (right.rate, &index[..]) {
                (Rate::Step, [t, b, entry @ ..]) => (Some(*t), Some(*b), entry),
                (Rate::Sample, [b, entry @ ..]) => (None, Some(*b), entry),
                (_, entry) => (None, None, entry),
            };
            (finding.step, finding.sample) = (step, sample);
            finding.entry = entry.to_vec();
        }
    }
    finding
}

/// Keeps the finding that exceeds its tolerance most.
fn merge(findings: &mut Vec<Finding>, new: Finding) {
    let same = |f: &&mut Finding| f.quantity == new.quantity && f.name == new.name;
    let Some(old) = findings.iter_mut().find(same) else {
        findings.push(new);
        return;
    };
    let compared = old.compared + new.compared;
    let excess = |f: &Finding| f.error / f.tolerance.max(f64::MIN_POSITIVE);
    if excess(&new) > excess(old) {
        *old = new;
    }
    old.compared = compared;
}

/// The loss and the gradients of parameters that some answer does not have.
fn unanswered(recurrence: &Recurrence, evidence: &[Evidence]) -> Vec<(Quantity, String)> {
    let parameters: Vec<&str> = recurrence.parameters().collect();
    let Some(first) = evidence.first() else {
        return Vec::new();
    };
    let asked = first
        .expected
        .iter()
        .filter(|(quantity, name, _)| match quantity {
            Quantity::Loss => true,
            Quantity::Gradient => parameters.contains(name),
            _ => false,
        });
    let missing = |(quantity, name): &(Quantity, &str)| {
        let answered = |e: &Evidence| e.answer.get(*quantity, name).is_some();
        !evidence.iter().all(answered)
    };
    let asked = asked.map(|(quantity, name, _)| (quantity, name));
    asked
        .filter(missing)
        .map(|(q, n)| (q, n.to_owned()))
        .collect()
}
