//! Central differences with Richardson extrapolation, and an estimate of their error.

/// A derivative and its estimated error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) error: f64,
    /// The part of the error that rounding alone can cause.
    pub(super) rounding: f64,
    /// The largest displacement at which the function was evaluated for this estimate.
    pub(super) reach: f64,
}

/// The function cannot be evaluated at a displacement, or a kink lies in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kink;

/// Initial step sizes, relative to the size of the variable. The next one is used if a step is too large because it
/// leaves the domain or the function is too curved.
const STEPS: [f64; 4] = [1.0 / 32.0, 1.0 / 256.0, 1.0 / 2048.0, 1.0 / 65536.0];

/// Halvings per first step.
const LEVELS: usize = 4;

/// The number of evaluations for most derivatives: two tables.
pub(super) const EVALUATIONS: usize = 2 * 2 * LEVELS;

/// The maximum factor by which extrapolation amplifies the rounding errors of the values.
const AMPLIFIED: f64 = 1.5;

/// The derivative at 0 of `f`, a function of a displacement, entry by entry.
///
/// `f` returns [`Kink`] if it cannot be evaluated or a kink lies in between; `noise` is the rounding error of each of
/// its entries. The method is Ridders' table: central differences with halved steps, extrapolated to step zero. The
/// error is the change made by the last extrapolation, and at least the effect of rounding. Two tables with different
/// steps must confirm each other; further tables are computed until every error is within `goal` or due to rounding,
/// or no step size is left.
pub(super) fn derivative(
    scale: f64,
    goal: f64,
    noise: &[f64],
    mut f: impl FnMut(f64) -> Result<Vec<f64>, Kink>,
) -> Result<Vec<Estimate>, Kink> {
    let mut best: Option<Vec<Estimate>> = None;
    let mut confirmed = false;
    for first in STEPS {
        let done = |b: &Vec<Estimate>| b.iter().all(|e| e.error <= goal.max(2.0 * e.rounding));
        if confirmed && best.as_ref().is_some_and(done) {
            break;
        }
        let Ok(found) = table(first * scale, noise, &mut f) else {
            continue;
        };
        confirmed = best.is_some();
        best = Some(match best {
            None => found,
            Some(old) => old.into_iter().zip(found).map(|(a, b)| a.or(b)).collect(),
        });
    }
    best.ok_or(Kink)
}

/// The nonlinearity of a derivative between two displacements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bend {
    /// The largest deviation of the mean at two opposite displacements from the value in the middle.
    most: f64,
    /// The largest absolute derivative.
    size: f64,
}

impl Bend {
    /// Returns true if the truncation error of differences over these displacements may be this large. A few values
    /// of a chaotic function may agree by accident, but not all of them.
    pub(super) fn explains(self, difference: f64) -> bool {
        self.most.is_nan() || self.most > (0.1 * self.size).max(0.25 * difference)
    }
}

/// The bend of each entry of `slope`, a function of a displacement, up to `reach`. For a smooth function, the error
/// of central differences is a third of it; if it is large, differences are meaningless.
pub(super) fn bends(
    reach: f64,
    mut slope: impl FnMut(f64) -> Result<Vec<f64>, Kink>,
) -> Result<Vec<Bend>, Kink> {
    // Not multiples of one another, so that a fast oscillation cannot look constant.
    const PAIRS: [f64; 8] = [0.131, 0.287, 0.373, 0.529, 0.617, 0.743, 0.859, 1.0];
    let middle = slope(0.0)?;
    let mut bends = vec![Bend::default(); middle.len()];
    for part in PAIRS {
        let (up, down) = (slope(part * reach)?, slope(-part * reach)?);
        for (bend, (m, (u, d))) in bends
            .iter_mut()
            .zip(middle.iter().zip(up.iter().zip(&down)))
        {
            bend.most = bend.most.max((0.5 * (u + d) - m).abs());
            bend.size = bend.size.max(m.abs()).max(u.abs()).max(d.abs());
        }
    }
    Ok(bends)
}

impl Estimate {
    pub(super) const UNKNOWN: Self = Self {
        value: 0.0,
        error: f64::INFINITY,
        rounding: 0.0,
        reach: 0.0,
    };

    /// The better of two estimates, with an error that covers its difference from the other.
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
    noise: &[f64],
    f: &mut impl FnMut(f64) -> Result<Vec<f64>, Kink>,
) -> Result<Vec<Estimate>, Kink> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    let mut estimates = vec![Estimate::UNKNOWN; noise.len()];
    let mut step = first;
    let mut largest = vec![0.0_f64; noise.len()];
    for level in 0..LEVELS {
        let (up, down) = (f(step)?, f(-step)?);
        for (largest, (u, d)) in largest.iter_mut().zip(up.iter().zip(&down)) {
            *largest = largest.max(u.abs()).max(d.abs());
        }
        // The rounding error of the values, divided by the step.
        let rounding = |i: usize| {
            let value: f64 = noise[i].max(f64::EPSILON * largest[i]);
            AMPLIFIED * value / step
        };
        let mut row: Vec<f64> = up
            .iter()
            .zip(&down)
            .map(|(u, d)| (u - d) / (2.0 * step))
            .collect();
        let (mut powers, mut reach) = (4.0, step);
        let mut next = vec![row.clone()];
        for coarse in rows.iter().take(level) {
            let fine = &next[next.len() - 1];
            row = fine
                .iter()
                .zip(coarse)
                .map(|(fine, coarse)| fine + (fine - coarse) / (powers - 1.0))
                .collect();
            reach *= 2.0;
            for (i, value) in row.iter().enumerate() {
                let change = (value - fine[i]).abs().max((value - coarse[i]).abs());
                let rounding = rounding(i);
                let error = change.max(rounding);
                if error < estimates[i].error {
                    estimates[i] = Estimate {
                        value: *value,
                        error,
                        rounding,
                        reach,
                    };
                }
            }
            powers *= 4.0;
            next.push(row.clone());
        }
        rows = next;
        step /= 2.0;
    }
    Ok(estimates)
}

#[cfg(test)]
mod tests {
    use super::{Kink, bends, derivative};

    #[test]
    fn smooth_function_is_resolved_far_below_the_tolerance() {
        let found = derivative(1.0, 1e-12, &[0.0], |e| Ok(vec![(1.3 + e).sin().exp()])).unwrap()[0];
        let exact = 1.3f64.cos() * 1.3f64.sin().exp();
        assert!((found.value - exact).abs() < 1e-11, "{found:?}");
        assert!(found.error < 1e-9, "{found:?}");
    }

    #[test]
    fn end_of_the_domain_makes_the_step_smaller() {
        let found = derivative(1.0, 1e-12, &[0.0], |e| {
            let x: f64 = 0.003 + e;
            if x > 0.0 { Ok(vec![x.ln()]) } else { Err(Kink) }
        });
        let found = found.unwrap()[0];
        assert!((found.value * 0.003 - 1.0).abs() < 1e-8, "{found:?}");
    }

    #[test]
    fn differences_beyond_the_scale_of_a_function_are_explained_by_its_bend() {
        let steep = |x: f64| (1e9 * (x + 0.3)).sin();
        let slope = |x: f64| Ok(vec![1e9 * (1e9 * (x + 0.3)).cos()]);
        let found = derivative(1.0, 1e-3, &[1e-15], |e| Ok(vec![steep(e)])).unwrap()[0];
        let difference = (found.value - slope(0.0).unwrap()[0]).abs();
        assert!(difference > 1e8, "{found:?}");
        assert!(
            bends(found.reach, slope).unwrap()[0].explains(difference),
            "{found:?}"
        );
        // A wrong derivative of a smooth function does not bend.
        let wrong = |x: f64| Ok(vec![1.001 * (x + 0.3).cos()]);
        assert!(!bends(1.0 / 32.0, wrong).unwrap()[0].explains(1e-3));
        assert!(!bends(1.0 / 32.0, |_| Ok(vec![0.0])).unwrap()[0].explains(1e-3));
    }

    #[test]
    fn nowhere_defined_is_no_derivative() {
        assert!(
            derivative(1.0, 1e-12, &[0.0], |_| Err(Kink)).is_err(),
            "there is nothing to difference"
        );
    }

    #[test]
    fn a_step_below_the_rounding_of_the_values_is_not_taken_for_a_slope_of_zero() {
        // Values that are rounded to multiples of 1e-10 do not change over these displacements.
        let coarse = |x: f64| (x / 1e-10).round() * 1e-10;
        let found = derivative(1.0, 1e-12, &[1e-10], |e| Ok(vec![coarse(1e-12 * e)]));
        let found = found.unwrap()[0];
        assert!(found.error >= 1e-12, "{found:?}");
        assert!(found.error <= 2.0 * found.rounding, "{found:?}");
    }
}
