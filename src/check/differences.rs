//! Central differences with Richardson extrapolation, and an honest estimate of their error.

/// A derivative and how far off it may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) error: f64,
}

/// First step sizes, relative to the size of the variable: the next is tried where one is too
/// large, because a domain ends or the function bends.
const STEPS: [f64; 4] = [1.0 / 32.0, 1.0 / 256.0, 1.0 / 2048.0, 1.0 / 65536.0];

/// Halvings per first step.
const LEVELS: usize = 4;

/// The derivative at 0 of `f`, a function of a displacement, each entry for itself.
///
/// `f` answers `None` where it cannot be evaluated or lies beyond a kink. Ridders' table: central
/// differences with halved steps, extrapolated to a step of zero; its error is the change made by
/// the last extrapolation, and no less than what rounding does. Two tables with different steps
/// must confirm each other; more are made until every error is within `goal`, or none is left to
/// try. `None` when there is no table at all.
pub(super) fn derivative(
    scale: f64,
    goal: f64,
    len: usize,
    mut f: impl FnMut(f64) -> Option<Vec<f64>>,
) -> Option<Vec<Estimate>> {
    let mut best: Option<Vec<Estimate>> = None;
    let mut confirmed = false;
    for first in STEPS {
        let done = |b: &Vec<Estimate>| b.iter().all(|e| e.error <= goal);
        if confirmed && best.as_ref().is_some_and(done) {
            break;
        }
        let Some(found) = table(first * scale, len, &mut f) else {
            continue;
        };
        confirmed = best.is_some();
        best = Some(match best {
            None => found,
            Some(old) => old.into_iter().zip(found).map(|(a, b)| a.or(b)).collect(),
        });
    }
    best
}

impl Estimate {
    /// The better of two estimates, with an error that covers what the other one contradicts.
    fn or(self, other: Self) -> Self {
        let (best, rest) = if other.error < self.error {
            (other, self)
        } else {
            (self, other)
        };
        let contradiction = (best.value - rest.value).abs() - rest.error;
        Self {
            error: best.error.max(contradiction),
            ..best
        }
    }
}

fn table(
    first: f64,
    len: usize,
    f: &mut impl FnMut(f64) -> Option<Vec<f64>>,
) -> Option<Vec<Estimate>> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    let mut estimates = vec![
        Estimate {
            value: 0.0,
            error: f64::INFINITY
        };
        len
    ];
    let mut step = first;
    let mut largest = vec![0.0_f64; len];
    for level in 0..LEVELS {
        let (up, down) = (f(step)?, f(-step)?);
        for (largest, (u, d)) in largest.iter_mut().zip(up.iter().zip(&down)) {
            *largest = largest.max(u.abs()).max(d.abs());
        }
        let mut row: Vec<f64> = up
            .iter()
            .zip(&down)
            .map(|(u, d)| (u - d) / (2.0 * step))
            .collect();
        let mut powers = 4.0;
        let mut next = vec![row.clone()];
        for coarse in rows.iter().take(level) {
            let (coarse, fine) = (coarse, &next[next.len() - 1]);
            row = fine
                .iter()
                .zip(coarse)
                .map(|(fine, coarse)| fine + (fine - coarse) / (powers - 1.0))
                .collect();
            for ((estimate, value), (fine, coarse)) in
                estimates.iter_mut().zip(&row).zip(fine.iter().zip(coarse))
            {
                let error = (value - fine).abs().max((value - coarse).abs());
                if error < estimate.error {
                    *estimate = Estimate {
                        value: *value,
                        error,
                    };
                }
            }
            powers *= 4.0;
            next.push(row.clone());
        }
        rows = next;
        step /= 2.0;
    }
    // The values that are subtracted are rounded, and the difference is divided by the step.
    for (estimate, largest) in estimates.iter_mut().zip(largest) {
        estimate.error = estimate.error.max(f64::EPSILON * largest / first);
    }
    Some(estimates)
}

#[cfg(test)]
mod tests {
    use super::derivative;

    #[test]
    fn smooth_function_is_resolved_far_below_the_tolerance() {
        let found = derivative(1.0, 1e-12, 1, |e| Some(vec![(1.3 + e).sin().exp()])).unwrap()[0];
        let exact = 1.3f64.cos() * 1.3f64.sin().exp();
        assert!((found.value - exact).abs() < 1e-11, "{found:?}");
        assert!(found.error < 1e-9, "{found:?}");
    }

    #[test]
    fn end_of_the_domain_makes_the_step_smaller() {
        let found = derivative(1.0, 1e-12, 1, |e| {
            let x: f64 = 0.003 + e;
            (x > 0.0).then(|| vec![x.ln()])
        });
        let found = found.unwrap()[0];
        assert!((found.value * 0.003 - 1.0).abs() < 1e-8, "{found:?}");
    }

    #[test]
    fn nowhere_defined_is_no_derivative() {
        assert!(
            derivative(1.0, 1e-12, 1, |_| None).is_none(),
            "there is nothing to difference"
        );
    }
}
