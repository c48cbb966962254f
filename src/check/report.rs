//! The result of a certification.

use std::fmt;

use indexmap::IndexMap;

use super::Remark;
use crate::error::{counted, placed};

/// A method to compute a derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// Reverse mode on the unrolled tape.
    TapeReverse,
    /// Forward mode, through the identity ⟨u, J v⟩ = ⟨Jᵀ u, v⟩.
    Forward,
    /// Central differences of the loss, extrapolated.
    Differences,
    /// For Hessian products: reverse mode on the tape of the tangent.
    SecondTape,
    /// For Hessian products: central differences of the tape's gradient, extrapolated.
    SecondDifferences,
    /// The compiled engine on all of the data, reverse mode against forward mode, if the other routes use the first
    /// steps only.
    AllSteps,
}

impl Route {
    /// Every route, in the order of the runs.
    pub const ALL: [Self; 6] = [
        Self::TapeReverse,
        Self::Forward,
        Self::Differences,
        Self::SecondTape,
        Self::SecondDifferences,
        Self::AllSteps,
    ];

    /// The maximum relative error at which the route agrees: rounding for the exact routes, the resolution of
    /// extrapolated differences for the others. The tolerance of a [`Finding`] is larger if rounding hides more of
    /// the derivative from the differences.
    #[must_use]
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::TapeReverse | Self::Forward | Self::SecondTape | Self::AllSteps => 1e-12,
            Self::Differences | Self::SecondDifferences => 1e-7,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::TapeReverse => "tape",
            Self::Forward => "forward",
            Self::Differences => "differences",
            Self::SecondTape => "2nd: tape",
            Self::SecondDifferences => "2nd: diff.",
            Self::AllSteps => "all steps",
        }
    }
}

/// The result of a certification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Every route agrees about every parameter and input that the loss depends on.
    Certified,
    /// No route disagrees, but some could not be applied: the data lies on a kink or at the end of a domain,
    /// differences do not resolve a derivative, or there is nothing to differentiate. The [`Remark`]s give the
    /// reasons.
    Incomplete,
    /// At least one route disagrees.
    Rejected,
}

/// The worst error of one route for one parameter or input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The parameter or input.
    pub name: String,
    /// The route.
    pub route: Route,
    /// The largest difference, relative to the largest entry of the derivative. If that entry is negligible, the
    /// difference is relative to a ten-thousandth of the largest entry of any derivative, or to the terms that cancel
    /// in it.
    pub error: f64,
    /// The largest error at which the route agrees: the tolerance of the [`Route`], or the rounding error of the
    /// differences.
    pub tolerance: f64,
    /// The sample (from 0) of the worst entry, if the array has one.
    pub sample: Option<usize>,
    /// The step (from 0) of the worst entry, if the array has one.
    pub step: Option<usize>,
    /// The worst entry of the array for that sample and step; empty for a scalar.
    pub entry: Vec<usize>,
    /// True if the worst number is the derivative along a random direction of all entries together, which has no
    /// sample, step or entry.
    pub direction: bool,
    /// The number of compared numbers.
    pub compared: usize,
    /// The number of skipped numbers, because of a kink or because differences do not resolve them.
    pub skipped: usize,
}

impl Finding {
    /// Returns true if the route does not disagree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.error <= self.tolerance
    }

    /// Returns true if the route compared any number.
    #[must_use]
    pub const fn is_resolved(&self) -> bool {
        self.compared > 0
    }

    /// The position of the worst number, as the end of a sentence; empty for a scalar.
    fn place(&self) -> String {
        if self.direction {
            return " along a random direction of all its entries".into();
        }
        placed(self.step, self.sample, &self.entry)
    }
}

/// The part of the data that all routes used: `steps` of `of_steps`, `samples` of `of_samples`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// The number of leading steps that every route used.
    pub steps: usize,
    /// The number of steps of the data.
    pub of_steps: usize,
    /// The number of leading samples that every route used.
    pub samples: usize,
    /// The number of samples of the data.
    pub of_samples: usize,
}

impl Extent {
    /// Returns true if every route used all of the data.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.steps == self.of_steps && self.samples == self.of_samples
    }
}

/// The result of a certification. It is displayed as a table: one row for each parameter and input, one column for
/// each route, with the worst relative errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    pub(super) recurrence: String,
    pub(super) findings: Vec<Finding>,
    pub(super) remarks: Vec<(String, Remark)>,
    pub(super) extent: Extent,
}

impl Certificate {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let differenced = |f: &Finding| f.route == Route::Differences && f.is_resolved();
        if !self.findings.iter().all(Finding::agrees) {
            Verdict::Rejected
        } else if self.findings.iter().all(Finding::is_resolved)
            && self.findings.iter().any(differenced)
        {
            Verdict::Certified
        } else {
            Verdict::Incomplete
        }
    }

    /// Returns true if every route agrees about every parameter and input that the loss depends on.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Certified
    }

    /// Every finding.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Every remark with the name of its parameter or input.
    pub fn remarks(&self) -> impl Iterator<Item = (&str, Remark)> {
        self.remarks.iter().map(|(name, remark)| (&**name, *remark))
    }

    /// The part of the data that all routes used. On all of the data, [`Route::AllSteps`] compares reverse mode with
    /// forward mode.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// The finding with the largest ratio of error to tolerance.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        let excess = |f: &Finding| f.error / f.tolerance;
        self.findings
            .iter()
            .max_by(|a, b| excess(a).total_cmp(&excess(b)))
    }

    /// Returns true if second derivatives were certified too; they are omitted if arrays are very large.
    #[must_use]
    pub fn is_of_second_order(&self) -> bool {
        self.findings.is_empty() || self.took(Route::SecondTape)
    }

    fn took(&self, route: Route) -> bool {
        self.findings.iter().any(|f| f.route == route)
    }

    /// The routes that were run, in order.
    fn routes(&self) -> impl Iterator<Item = Route> {
        let taken = |route: &Route| match route {
            Route::AllSteps => self.took(*route),
            Route::SecondTape | Route::SecondDifferences => self.is_of_second_order(),
            _ => true,
        };
        Route::ALL.into_iter().filter(taken)
    }

    /// One row for each parameter and input, one column for each route.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: IndexMap<&str, Vec<&Finding>> = IndexMap::new();
        for finding in &self.findings {
            rows.entry(&finding.name).or_default().push(finding);
        }
        let width = rows.keys().map(|n| n.chars().count()).max();
        let width = width.unwrap_or(0).clamp(10, WIDEST);
        let pad = |f: &mut fmt::Formatter<'_>, name: &str| {
            let shown = shortened(name, WIDEST);
            let rest = width.saturating_sub(shown.chars().count());
            write!(f, "  {shown}{}", " ".repeat(rest))
        };
        pad(f, "")?;
        for route in self.routes() {
            write!(f, " {:>12}", route.title())?;
        }
        writeln!(f)?;
        for (name, found) in rows.iter().take(MOST_ROWS) {
            pad(f, name)?;
            for route in self.routes() {
                let text = match found.iter().find(|x| x.route == route) {
                    Some(x) if x.compared == 0 => "not resolved".into(),
                    Some(x) => format!("{:.1e}{}", x.error, if x.agrees() { "" } else { " ✗" }),
                    None => "–".into(),
                };
                write!(f, " {text:>12}")?;
            }
            writeln!(f)?;
        }
        if rows.len() > MOST_ROWS {
            writeln!(f, "  … and {} more", rows.len() - MOST_ROWS)?;
        }
        pad(f, "tolerance")?;
        for route in self.routes() {
            write!(f, " {:>12}", format!("{:.0e}", route.tolerance()))?;
        }
        writeln!(f)
    }

    /// A sentence for each kind of remark, with the names of its parameters and inputs.
    fn sentences(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in Remark::ALL.iter().copied() {
            let about = self.remarks.iter().filter(|(_, r)| *r == remark);
            let names: Vec<&str> = about.map(|(name, _)| &**name).collect();
            if !names.is_empty() {
                write!(f, "\n  {}: {}", listed(&names), remark.sentence())?;
            }
        }
        Ok(())
    }
}

/// The maximum width of a name, in columns.
const WIDEST: usize = 32;
/// The maximum number of rows of the table.
const MOST_ROWS: usize = 200;

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "gradient of {}: worst relative error by route",
            shortened(&self.recurrence, 2 * WIDEST)
        )?;
        self.table(f)?;
        let Extent {
            steps,
            of_steps,
            samples,
            of_samples,
        } = self.extent;
        if !self.extent.is_whole() {
            writeln!(
                f,
                "  on the first {steps} of {} and {samples} of {};\n  \
                 \"all steps\" compares reverse with forward mode on all of the data",
                counted(of_steps, "step"),
                counted(of_samples, "sample")
            )?;
        }
        if !self.is_of_second_order() {
            writeln!(
                f,
                "  the arrays are so large that second derivatives are left out"
            )?;
        }
        let compared: usize = self.findings.iter().map(|x| x.compared).sum();
        let skipped: usize = self.findings.iter().map(|x| x.skipped).sum();
        write!(
            f,
            "  {} compared, {skipped} left out near a kink or unresolved: ",
            counted(compared, "number")
        )?;
        match (self.verdict(), self.worst()) {
            (Verdict::Certified, _) => write!(f, "certified")?,
            (Verdict::Rejected, Some(w)) => write!(
                f,
                "REJECTED\n  the worst: `{}` by {}, off by {:.1e}{}",
                shortened(&w.name, WIDEST),
                w.route.title(),
                w.error,
                w.place()
            )?,
            _ => write!(f, "INCOMPLETE")?,
        }
        self.sentences(f)
    }
}

/// The names, or only the first ones if there are many.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let first = names.iter().take(SHOWN);
    let first: Vec<String> = first
        .map(|n| format!("`{}`", shortened(n, WIDEST)))
        .collect();
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", first.join(", ")),
        _ => first.join(", "),
    }
}

/// A name shortened to at most `width` columns.
fn shortened(name: &str, width: usize) -> String {
    match name.chars().count() > width {
        true => name.chars().take(width - 1).chain(['…']).collect(),
        false => name.into(),
    }
}
