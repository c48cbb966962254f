//! The comparison of one answer with the expected numbers.

use bptt::{Rate, Recurrence};
use ndarray::ArrayD;

use crate::{Answer, Bounded, Case, Expected, Failure, Quantity};

/// An array of an answer: its quantity and its name.
pub(crate) type Key = (Quantity, String);

/// A case with the right and the answered numbers.
pub(crate) struct Evidence {
    pub(crate) case: Case,
    pub(crate) expected: Expected,
    pub(crate) answer: Answer,
}

impl Evidence {
    /// Returns true if Hessian products were asked for.
    pub(crate) fn is_of_second_order(&self) -> bool {
        let mut quantities = self.expected.iter().map(|(q, ..)| q);
        quantities.any(|q| q == Quantity::HessianVector)
    }
}

/// The worst number of one array over all trials.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The kind of number.
    pub quantity: Quantity,
    /// The parameter, input or output; `loss`.
    pub name: String,
    /// The largest difference, relative to the largest entry of the array.
    pub error: f64,
    /// The error bound of that trial, relative to the same.
    pub tolerance: f64,
    /// The number that was expected.
    pub expected: f64,
    /// The number that was found.
    pub found: f64,
    /// The sample (from 0) of the worst entry, if the array has one.
    pub sample: Option<usize>,
    /// The step (from 0) of the worst entry, if the array has one.
    pub step: Option<usize>,
    /// The worst entry of the array for that sample and step; empty for a number.
    pub entry: Vec<usize>,
    /// The trial with the worst entry, from 0.
    pub trial: usize,
    /// The number of compared numbers.
    pub compared: usize,
    /// Some case has an error bound far below the numbers, so that the comparison says something.
    pub is_resolved: bool,
    /// Some case has a number that is not zero.
    pub is_tested: bool,
}

/// The error bound, relative to the numbers, from which on a comparison says nothing.
const RESOLVED: f64 = 0.1;

impl Finding {
    /// Returns true if every number is within its error bound.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Checks that every array of an answer has a name and a shape of the recurrence, and finite numbers.
pub(crate) fn fit(
    recurrence: &Recurrence,
    case: &Case,
    expected: &Expected,
    answer: &Answer,
) -> Result<(), Failure> {
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

/// Returns true if the entry is compared: an output has no meaning beyond the length of its sample, nor has its tangent.
fn counts(rate: Rate, quantity: Quantity, lengths: &[usize], index: &[usize]) -> bool {
    match (rate, quantity, index) {
        (Rate::Step, Quantity::Output | Quantity::Tangent, [t, b, ..]) => {
            lengths.get(*b).is_none_or(|n| t < n)
        }
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
        is_resolved: largest == 0.0 || right.bound < RESOLVED * largest,
        is_tested: largest > 0.0,
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
pub(crate) fn merge(findings: &mut Vec<Finding>, new: Finding) {
    let same = |f: &&mut Finding| f.quantity == new.quantity && f.name == new.name;
    let Some(old) = findings.iter_mut().find(same) else {
        findings.push(new);
        return;
    };
    let compared = old.compared + new.compared;
    let is_resolved = old.is_resolved && old.is_tested || new.is_resolved && new.is_tested;
    let is_tested = old.is_tested || new.is_tested;
    let excess = |f: &Finding| f.error / f.tolerance.max(f64::MIN_POSITIVE);
    if excess(&new) > excess(old) {
        *old = new;
    }
    old.compared = compared;
    (old.is_resolved, old.is_tested) = (is_resolved || !is_tested, is_tested);
}
