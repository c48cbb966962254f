//! Compares foreign code with a recurrence.

use bptt::{Recurrence, Result};

use crate::case::seed_of;
use crate::diagnosis::Subject;
use crate::finding::{Evidence, Key, compare, fit, merge};
use crate::{Cases, Certificate, Diagnosis, Failure, Finding, Foreign, Quantity, Reference};

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
            left_out: Vec::new(),
            trials: Vec::new(),
            failure: None,
            diagnosis: None,
        };
        let mut evidence = Vec::new();
        for trial in 0..self.trials {
            if foreign.is_stopped() {
                certificate.failure = Some(Failure::Ended("the comparison was stopped".into()));
                return Ok(certificate);
            }
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
        let missing = unanswered(&evidence);
        let is_needed = |(quantity, name): &Key| {
            *quantity == Quantity::Loss || recurrence.parameters().any(|p| p == name)
        };
        (certificate.unanswered, certificate.left_out) = missing.into_iter().partition(is_needed);
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

/// The loss, the gradients, and the Hessian products if these are asked for, that some answer does not have.
fn unanswered(evidence: &[Evidence]) -> Vec<Key> {
    let Some(first) = evidence.first() else {
        return Vec::new();
    };
    let matters = |e: &Evidence, quantity, name: &str| {
        let right = e.expected.get(quantity, name);
        right.is_some_and(|b| b.value.iter().any(|x| *x != 0.0))
    };
    let asked = first
        .expected
        .iter()
        .filter(|(quantity, name, _)| match quantity {
            Quantity::Loss => true,
            // A derivative that is always zero, as that of an unused parameter, may be left out.
            Quantity::Gradient | Quantity::HessianVector => {
                evidence.iter().any(|e| matters(e, *quantity, name))
            }
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
