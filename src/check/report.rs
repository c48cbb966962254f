//! What a certification found.

use std::fmt;

/// A way to know a derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl Route {
    /// Every route, in the order in which they are run.
    pub const ALL: [Self; 5] = [
        Self::TapeReverse,
        Self::Forward,
        Self::Differences,
        Self::SecondTape,
        Self::SecondDifferences,
    ];

    /// The largest relative error at which the route is taken to agree: rounding for the exact
    /// ones, what extrapolated differences can resolve for the others.
    #[must_use]
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::TapeReverse | Self::Forward | Self::SecondTape => 1e-12,
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
        }
    }
}

/// The worst disagreement of one route about one parameter or input.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The parameter or input.
    pub name: String,
    /// The route.
    pub route: Route,
    /// The largest difference, relative to the largest entry of the derivative; where that is
    /// negligible, to a ten-thousandth of the largest entry of any, or to what the same computation
    /// in `f32` shows its rounding errors to be.
    pub error: f64,
    /// The sample and the step (from 1), where the worst entry has them.
    pub sample: Option<usize>,
    /// See `sample`.
    pub step: Option<usize>,
    /// The worst entry of the array for that sample and step; empty for a scalar.
    pub entry: Vec<usize>,
    /// How many numbers were compared.
    pub compared: usize,
    /// How many could not be: a kink lies too near, or differences do not resolve them.
    pub skipped: usize,
}

impl Finding {
    /// Whether the route agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.error <= self.route.tolerance()
    }

    fn place(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.step.map(|t| format!("t = {t}")));
        parts.extend(self.sample.map(|b| format!("sample {b}")));
        if !self.entry.is_empty() {
            let entry: Vec<String> = self.entry.iter().map(ToString::to_string).collect();
            parts.push(format!("entry [{}]", entry.join(", ")));
        }
        parts.join(", ")
    }
}

/// The result of a certification. Printed, it is a table: one line for each parameter and input,
/// one column for each route, the worst relative error in each field.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    pub(super) recurrence: String,
    pub(super) findings: Vec<Finding>,
}

impl Certificate {
    /// Whether every route agrees about every parameter and input.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings.iter().all(Finding::agrees)
    }

    /// Everything that was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The finding furthest beyond (or least below) its tolerance.
    #[must_use]
    pub fn worst(&self) -> Option<&Finding> {
        let excess = |f: &Finding| f.error / f.route.tolerance();
        self.findings
            .iter()
            .max_by(|a, b| excess(a).total_cmp(&excess(b)))
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = Vec::new();
        for finding in &self.findings {
            if !names.contains(&&*finding.name) {
                names.push(&finding.name);
            }
        }
        let width = names
            .iter()
            .map(|n| n.chars().count())
            .max()
            .unwrap_or(0)
            .max(10);
        writeln!(
            f,
            "gradient of {}: worst relative error by route",
            self.recurrence
        )?;
        write!(f, "  {:width$}", "")?;
        for route in Route::ALL {
            write!(f, " {:>12}", route.title())?;
        }
        writeln!(f)?;
        for name in names {
            write!(f, "  {name:width$}")?;
            for route in Route::ALL {
                let found = self
                    .findings
                    .iter()
                    .find(|x| x.name == name && x.route == route);
                let text = match found {
                    Some(x) if x.compared == 0 => "not resolved".into(),
                    Some(x) => format!("{:.1e}{}", x.error, if x.agrees() { "" } else { " ✗" }),
                    None => "–".into(),
                };
                write!(f, " {text:>12}")?;
            }
            writeln!(f)?;
        }
        write!(f, "  {:width$}", "tolerance")?;
        for route in Route::ALL {
            write!(f, " {:>12}", format!("{:.0e}", route.tolerance()))?;
        }
        writeln!(f)?;
        let compared: usize = self.findings.iter().map(|x| x.compared).sum();
        let skipped: usize = self.findings.iter().map(|x| x.skipped).sum();
        write!(
            f,
            "  {compared} numbers compared, {skipped} left out near a kink or unresolved: "
        )?;
        match self.worst() {
            Some(w) if !self.passed() => write!(
                f,
                "NOT CERTIFIED\n  the worst: `{}` by {}, off by {:.1e} at {}",
                w.name,
                w.route.title(),
                w.error,
                w.place()
            ),
            _ => write!(f, "certified"),
        }
    }
}
