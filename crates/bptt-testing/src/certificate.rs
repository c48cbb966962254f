//! The result of a comparison with foreign code.

use std::fmt;

use indexmap::IndexMap;

use crate::finding::Key;
use crate::quantity::first_of;
use crate::{Case, Diagnosis, Failure, Finding, Precision, Quantity};

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The loss and the gradient of every parameter agree in every trial, and so does all else that was answered.
    Certified,
    /// Nothing disagrees, but the loss, the gradient of a parameter, or its Hessian product if it was asked for, was not
    /// answered; or nothing was tested: every number is zero, or rounding errors can be as large as some array.
    Incomplete,
    /// At least one number disagrees.
    Rejected,
    /// There was no answer that can be compared.
    Failed,
}

impl Verdict {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certified => "certified",
            Self::Incomplete => "incomplete",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// The comparison of foreign code with a recurrence. It is displayed as a table: one row for each array, with the worst
/// error over all trials.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) recurrence: String,
    pub(crate) precision: Precision,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unanswered: Vec<Key>,
    /// Gradients of inputs that were not answered.
    pub(crate) left_out: Vec<Key>,
    pub(crate) trials: Vec<Case>,
    pub(crate) failure: Option<Failure>,
    pub(crate) diagnosis: Option<Diagnosis>,
}

impl Certificate {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.failure.is_some() {
            Verdict::Failed
        } else if !self.findings.iter().all(Finding::agrees) {
            Verdict::Rejected
        } else if !self.unanswered.is_empty()
            || !self.findings.iter().any(|f| f.is_tested)
            || !self.findings.iter().all(|f| f.is_resolved)
        {
            Verdict::Incomplete
        } else {
            Verdict::Certified
        }
    }

    /// Returns true if the verdict is [`Verdict::Certified`].
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Certified
    }

    /// Every finding, in the order of [`Quantity::ALL`].
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The loss, and the gradients and Hessian products of parameters, that were not answered.
    pub fn unanswered(&self) -> impl Iterator<Item = (Quantity, &str)> {
        self.unanswered.iter().map(|(q, name)| (*q, &**name))
    }

    /// The cases that were compared; the last one is the case without an answer, if there is a failure.
    #[must_use]
    pub fn trials(&self) -> &[Case] {
        &self.trials
    }

    /// The reason why there is no comparison.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The mistake, if the verdict is [`Verdict::Rejected`] and it was looked for.
    #[must_use]
    pub const fn diagnosis(&self) -> Option<&Diagnosis> {
        self.diagnosis.as_ref()
    }

    /// The finding with the largest ratio of error to tolerance.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        let excess = |f: &Finding| f.error / f.tolerance.max(f64::MIN_POSITIVE);
        self.findings
            .iter()
            .max_by(|a, b| excess(a).total_cmp(&excess(b)))
    }

    /// One row for each name, one column for each quantity.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: IndexMap<&str, Vec<&Finding>> = IndexMap::new();
        for finding in &self.findings {
            rows.entry(&finding.name).or_default().push(finding);
        }
        let width = rows.keys().map(|n| n.chars().count()).max();
        let width = width.unwrap_or(0).max(10);
        let taken = |q: &Quantity| self.findings.iter().any(|f| f.quantity == *q);
        let columns: Vec<Quantity> = Quantity::ALL.into_iter().filter(taken).collect();
        write!(f, "  {}", " ".repeat(width))?;
        for quantity in &columns {
            write!(f, " {:>11}", quantity.title())?;
        }
        writeln!(f, " {:>10}", "tolerance")?;
        for (name, found) in rows {
            let rest = width - name.chars().count();
            write!(f, "  {name}{}", " ".repeat(rest))?;
            for quantity in &columns {
                let text = match found.iter().find(|x| x.quantity == *quantity) {
                    Some(x) => format!("{:.1e}{}", x.error, if x.agrees() { "" } else { " ✗" }),
                    None => "–".into(),
                };
                write!(f, " {text:>11}")?;
            }
            let loosest = found.iter().map(|x| x.tolerance).fold(0.0, f64::max);
            writeln!(f, " {:>10}", format!("{loosest:.0e}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trials = bptt::counted(self.trials.len(), "trial");
        writeln!(
            f,
            "foreign code for {} in {}, {trials}: worst relative errors",
            self.recurrence, self.precision
        )?;
        if !self.findings.is_empty() {
            self.table(f)?;
        }
        let compared: usize = self.findings.iter().map(|x| x.compared).sum();
        write!(f, "  {} compared: ", bptt::counted(compared, "number"))?;
        match (self.verdict(), self.worst(), &self.failure) {
            (Verdict::Failed, _, Some(failure)) => {
                write!(f, "NO ANSWER\n  {failure}")?;
                if let Some(case) = self.trials.last() {
                    write!(f, "\n  the case: {case}")?;
                }
            }
            (Verdict::Rejected, Some(w), _) => {
                write!(
                    f,
                    "REJECTED\n  the worst: {}, expected {}, found {}{}",
                    w.quantity.of(&w.name),
                    bptt::number(w.expected),
                    bptt::number(w.found),
                    bptt::placed(w.step, w.sample, &w.entry)
                )?;
                if let Some(case) = self.trials.get(w.trial) {
                    write!(f, "\n  in trial {}: {case}", w.trial)?;
                }
            }
            (Verdict::Certified, ..) => write!(f, "certified")?,
            _ => {
                write!(f, "INCOMPLETE")?;
                if !self.unanswered.is_empty() {
                    write!(f, "\n  not answered: {}", listed(&self.unanswered))?;
                }
            }
        }
        let of = |test: &dyn Fn(&Finding) -> bool| -> Vec<Key> {
            let found = self.findings.iter().filter(|x| test(x));
            found.map(|x| (x.quantity, x.name.clone())).collect()
        };
        let notes = [
            (
                "not compared, since rounding errors can be as large as the numbers; give fewer steps, or f64",
                of(&|x| !x.is_resolved),
            ),
            (
                "zero in every case, so hardly tested",
                of(&|x| !x.is_tested),
            ),
            ("not answered, and not needed", self.left_out.clone()),
        ];
        for (note, keys) in notes.iter().filter(|(_, keys)| !keys.is_empty()) {
            write!(f, "\n  {note}: {}", listed(keys))?;
        }
        match &self.diagnosis {
            Some(diagnosis) => write!(f, "\n{diagnosis}"),
            None => Ok(()),
        }
    }
}

/// The names of arrays, cut if there are many.
fn listed(keys: &[Key]) -> String {
    const SHOWN: usize = 6;
    first_of(keys.iter().map(|(quantity, name)| quantity.of(name)), SHOWN)
}
