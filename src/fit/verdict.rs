//! The shape of a negative log likelihood at the end of a fit, and the reasons why it has no standard errors there.

use ndarray::{Array1, Array2, Axis};

use super::dense::{Cholesky, Eigen};
use crate::error::{Error, Premise, Result};

/// The largest distance to the minimum, in standard errors, that is negligible.
const NEAR: f64 = 0.01;
/// A smaller eigenvalue of a Hessian with unit diagonal is rounding error.
const FLAT: f64 = 1e-11;
/// A change of the loss below this part of it is rounding error.
const ROUNDING: f64 = 1e-14;
/// The largest curvature of a flat direction away from the exact minimum.
const ALMOST_FLAT: f64 = 1e-6;
/// A change of the loss over the size of a parameter below this part of the loss is no slope.
const SLOPE: f64 = 1e-9;

/// A slope below this part of the largest curvature is rounding error, both over the size of a parameter.
const ROUNDED: f64 = 1e-12;

/// The size of a number: 1 for zero.
fn own(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.abs() }
}

pub(super) fn refuse(premise: Premise, reason: String) -> Error {
    Error::NoStandardErrors { premise, reason }
}

pub(super) fn entries(shapes: &[(String, Vec<usize>)]) -> Vec<String> {
    let mut names = Vec::new();
    for (name, shape) in shapes {
        for index in ndarray::indices(shape.as_slice()) {
            names.push(match shape.len() {
                0 => name.clone(),
                _ => format!("{name}{:?}", ndarray::Dimension::slice(&index)),
            });
        }
    }
    names
}

/// The second-order expansion of a negative log likelihood.
pub(super) struct Point {
    pub(super) loss: f64,
    pub(super) shapes: Vec<(String, Vec<usize>)>,
    pub(super) at: Array1<f64>,
    pub(super) gradient: Array1<f64>,
    pub(super) hessian: Array2<f64>,
    /// The parameters on which the loss does not depend.
    pub(super) unused: Vec<String>,
}

/// The loss and its gradient after a step.
pub(super) type Probe<'a> = dyn FnMut(&Array1<f64>) -> Result<(f64, Array1<f64>)> + 'a;

/// The shape of a loss along a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// As the gradient and the Hessian say.
    Smooth,
    /// It has a slope and no curvature.
    Sloped,
    /// Its slope jumps from negative to positive.
    Kinked,
}

impl Point {
    /// The inverse of the Hessian, if this is a minimum and the data determine the parameters. `probe` returns the loss
    /// and its gradient after a step: a verdict from the gradient and the Hessian is false at a kink.
    pub(super) fn inverse(&self, probe: &mut Probe<'_>) -> Result<Array2<f64>> {
        let size = self.sizes();
        let mut scaled = self.hessian.clone();
        for ((i, j), entry) in scaled.indexed_iter_mut() {
            *entry /= size[i] * size[j];
        }
        let slope = &self.gradient / &size;
        let Some(Eigen { values, vectors }) = Eigen::of(&scaled) else {
            let reason = "the Hessian of the loss is not finite here";
            return Err(refuse(Premise::Minimum, reason.into()));
        };
        let (Some(lowest), Some(vector)) = (values.first(), vectors.columns().into_iter().next())
        else {
            return Ok(Array2::zeros((0, 0)));
        };
        // The distance from the minimum, in standard errors, along the directions with curvature.
        let along = vectors.t().dot(&slope);
        let terms = || values.iter().zip(&along).filter(|(w, _)| w.abs() > FLAT);
        let distance = terms().map(|(w, c)| c * c / w.abs()).sum::<f64>().sqrt();
        let flat = self.flatness(&size);
        let direction = &vector / &size;
        let moved = self.told(&direction, &vector.to_owned());
        let downwards = format!("the loss curves downwards when {moved}");
        let shape = match *lowest {
            w if w <= flat => self.shape(&direction, probe),
            _ => Shape::Smooth,
        };
        let level = match shape {
            Shape::Sloped => format!("the loss changes in a straight line when {moved}"),
            _ => format!("the loss stays the same when {moved}"),
        };
        if shape == Shape::Kinked {
            return Err(self.kink(&moved));
        }
        if distance > NEAR || !distance.is_finite() {
            let inverse = |w: f64| if w.abs() > FLAT { 1.0 / w.abs() } else { 0.0 };
            let newton = -vectors.dot(&(values.mapv(inverse) * &along));
            let step = &newton / &size;
            if self.is_blocked(&step, probe) {
                return Err(self.kink(&self.told(&step, &newton)));
            }
            if *lowest < -flat {
                let reason = format!(
                    "the fit has not converged: {downwards}, so this is no minimum; go on with it, best by Newton's \
                     method; if it falls without end, check its sign"
                );
                return Err(refuse(Premise::Converged, reason));
            }
            let also = match *lowest <= flat {
                true => format!("; {level}"),
                false => String::new(),
            };
            let reason = format!(
                "the fit has not converged: it is {distance:.2e} standard errors from the minimum, and at most {NEAR} \
                 is allowed; go on with it, best by Newton's method{also}"
            );
            return Err(refuse(Premise::Converged, reason));
        }
        if *lowest < -flat {
            let reason = format!(
                "{downwards}, so this is no minimum: check its sign, since the loss is the *negative* log likelihood, \
                 or start elsewhere"
            );
            return Err(refuse(Premise::Minimum, reason));
        }
        if shape == Shape::Sloped {
            let reason = format!(
                "{level}, so this is no minimum: if the loss falls without end, bound it by a term of the loss, or \
                 check its sign; if it has a kink, as `abs` has, write a smooth loss"
            );
            return Err(refuse(Premise::Smooth, reason));
        }
        if !self.unused.is_empty() {
            let reason = format!(
                "the loss does not depend on {}: remove it from the recurrence, or use it",
                crate::error::quoted(self.unused.iter().map(|name| &**name))
            );
            return Err(refuse(Premise::Identified, reason));
        }
        if *lowest <= flat {
            let reason = format!(
                "the data do not identify the parameters: {level}; fix a parameter or leave one out, or, where an input of the \
                 recurrence is far from zero for its spread, subtract its mean from it and divide it by its spread"
            );
            return Err(refuse(Premise::Identified, reason));
        }
        if let Some(name) = self.kinked(probe) {
            return Err(self.kink(&format!("`{name}` alone moves")));
        }
        let factors = Cholesky::of(&self.hessian)
            .ok_or_else(|| refuse(Premise::Identified, "the Hessian is singular".into()))?;
        Ok(factors.inverse())
    }

    fn kink(&self, moved: &str) -> Error {
        let reason = format!(
            "the loss has a kink here, where no Hessian describes it: its slope jumps when {moved}; write a smooth loss, such \
             as `sqrt(x^2 + 0.01)` for `abs(x)` or `softplus(x)` for `max(x, 0)`"
        );
        refuse(Premise::Smooth, reason)
    }

    /// The shape of the loss along a direction in which the Hessian shows no curvature, or a downward one.
    fn shape(&self, direction: &Array1<f64>, probe: &mut Probe<'_>) -> Shape {
        let along = self.relative(direction);
        let least = self.least_slope();
        let here = self.gradient.dot(&along);
        let mut slope = |part: f64| match probe(&(&along * part)) {
            Ok((_, gradient)) => gradient.dot(&along),
            // The end of the domain is no kink.
            Err(_) => here,
        };
        for part in [1e-6, 1e-4, 1e-2] {
            let (before, after) = (slope(-part), slope(part));
            if before < -least && after > least {
                // The slope of a smooth valley shrinks with the distance.
                let nearer = slope(0.1 * part) - slope(-0.1 * part);
                if nearer > 0.5 * (after - before) || here.abs() > 0.5 * after.min(-before) {
                    return Shape::Kinked;
                }
            }
        }
        match here.abs() > least {
            true => Shape::Sloped,
            false => Shape::Smooth,
        }
    }

    /// A number along which the slope jumps here, although the Hessian describes the loss on either side.
    fn kinked(&self, probe: &mut Probe<'_>) -> Option<String> {
        let least = self.least_slope();
        let names = entries(&self.shapes);
        let found = (0..self.at.len()).find(|i| {
            let mut unit = Array1::zeros(self.at.len());
            unit[*i] = 1.0;
            let along = self.relative(&unit);
            let curvature = along.dot(&self.hessian.dot(&along)).abs();
            let mut jump = |part: f64| {
                let mut slope = |part: f64| Some(probe(&(&along * part)).ok()?.1.dot(&along));
                Some(slope(part)? - slope(-part)?)
            };
            let jumps = |jump: f64, part: f64| jump > least + 20.0 * part * curvature;
            jump(1e-6).is_some_and(|far| {
                jumps(far, 1e-6) && jump(1e-7).is_some_and(|near| near > 0.5 * far)
            })
        });
        found.map(|i| names[i].clone())
    }

    /// True if the loss rises along a Newton step at once, although its gradient says that it falls.
    fn is_blocked(&self, step: &Array1<f64>, probe: &mut Probe<'_>) -> bool {
        let along = self.relative(step);
        let length = step.iter().zip(&along).map(|(s, a)| match *a {
            0.0 => 0.0,
            a => (s / a).abs(),
        });
        let part = (1e-3 * length.fold(0.0, f64::max)).min(1e-4);
        let least = self.least_slope();
        match probe(&(&along * part)) {
            Ok((_, gradient)) => {
                gradient.dot(&along) > least.max(1e-3 * self.gradient.dot(&along).abs())
            }
            Err(_) => false,
        }
    }

    /// The largest slope that counts as none. The loss of a perfect fit has no scale of its own, but its gradient has
    /// rounding errors all the same.
    fn least_slope(&self) -> f64 {
        let curvatures = self.hessian.diag().into_iter().zip(&self.at);
        let most = curvatures.map(|(h, x)| (h * own(*x) * own(*x)).abs());
        SLOPE * self.loss.abs() + ROUNDED * most.fold(0.0, f64::max)
    }

    /// The direction, with a length that moves no number by more than its own size; a number that is zero, by 1.
    fn relative(&self, direction: &Array1<f64>) -> Array1<f64> {
        let parts = direction
            .iter()
            .zip(&self.at)
            .map(|(d, x)| (d / own(*x)).abs());
        let most = parts.fold(0.0, f64::max);
        match most > 0.0 && most.is_finite() {
            true => direction / most,
            false => direction.clone(),
        }
    }

    /// Scale factors: dividing by them gives the Hessian a unit diagonal.
    fn sizes(&self) -> Array1<f64> {
        let mut own = self.hessian.diag().mapv(|h| h.abs().sqrt());
        let mut size = own.clone();
        for i in 0..size.len() {
            // If doubling a number does not change the loss, its curvature is rounding error.
            let least = (ROUNDING * self.loss.abs()).sqrt() / self.at[i].abs();
            if least.is_finite() && least > 0.0 && own[i] <= least {
                own[i] = 0.0;
                size[i] = least / ROUNDING.sqrt();
                continue;
            }
            if own[i] == 0.0 {
                let others = (0..own.len()).filter(|j| own[*j] > 0.0);
                let off = others.map(|j| self.hessian[[i, j]].abs() / own[j]);
                size[i] = Some(off.fold(0.0, f64::max))
                    .filter(|s| *s > 0.0)
                    .unwrap_or(1.0);
            }
        }
        size
    }

    /// The largest eigenvalue that does not count as curvature: at the minimum it is rounding error; away from it, a
    /// curved flat valley has a curvature of the order of the remaining steps.
    fn flatness(&self, size: &Array1<f64>) -> f64 {
        let mut largest = FLAT;
        for i in 0..size.len() {
            let step = (self.gradient[i] / (size[i] * size[i])).abs();
            if self.at[i] != 0.0 {
                largest = largest.max(step / self.at[i].abs());
            }
        }
        largest.min(ALMOST_FLAT)
    }

    /// A direction in words: the numbers that change most.
    fn told(&self, step: &Array1<f64>, weight: &Array1<f64>) -> String {
        const MOST: usize = 5;
        let names = entries(&self.shapes);
        let mut order: Vec<usize> = (0..weight.len()).collect();
        order.sort_by(|i, j| weight[*j].abs().total_cmp(&weight[*i].abs()));
        let unit = order.first().map_or(1.0, |i| step[*i]);
        let most = order.first().map_or(0.0, |i| weight[*i].abs());
        order.retain(|i| weight[*i].abs() > 0.05 * most);
        let mut moved: Vec<String> = order
            .iter()
            .take(MOST)
            .map(|i| format!("`{}` by {}", names[*i], digits(step[*i] / unit)))
            .collect();
        if order.len() > MOST {
            moved.push(format!("{} more", order.len() - MOST));
        }
        match &moved[..] {
            [] => "they move".into(),
            [one] => format!("{one} is added to").replace(" by 1 is added to", " alone moves"),
            [rest @ .., last] => format!("{} and {last} move together", rest.join(", ")),
        }
    }

    /// Refuses a parameter that has no finite estimate. Near a minimum the scores of the observations cancel; if
    /// nearly all of them have the same sign and the Newton step does not become small, there is no minimum.
    pub(super) fn check_interior(&self, inverse: &Array2<f64>, scores: &Array2<f64>) -> Result<()> {
        let step = inverse.dot(&self.gradient);
        for (i, row) in scores.axis_iter(Axis(0)).enumerate() {
            let spread: f64 = row.iter().map(|s| s.abs()).sum();
            let runs = step[i].abs() > 1e-4 * self.at[i].abs();
            if runs && spread > 0.0 && self.gradient[i].abs() > 0.5 * spread {
                let name = &entries(&self.shapes)[i];
                let reason = format!(
                    "`{name}` has no finite estimate: at {} nearly every observation still pulls it the same way; the data \
                     may be separated perfectly, or the estimate lie on a bound; fix `{name}` or add a term of the loss that \
                     holds it",
                    digits(self.at[i])
                );
                return Err(refuse(Premise::Interior, reason));
            }
        }
        Ok(())
    }

    /// Refuses a parameter without finite estimate among these, which only terms of parameters alone depend on. One
    /// standard error away from a minimum, the loss is larger by about a half.
    pub(super) fn check_priors(
        &self,
        inverse: &Array2<f64>,
        alone: &[String],
        probe: &mut Probe<'_>,
    ) -> Result<()> {
        let owners = self.shapes.iter().flat_map(|(name, shape)| {
            std::iter::repeat_n(alone.contains(name), shape.iter().product())
        });
        for (i, (at, is_alone)) in self.at.iter().zip(owners).enumerate() {
            let error = inverse[[i, i]].sqrt();
            let mut step = &inverse.column(i) / error;
            if !is_alone || !step.iter().all(|s| s.is_finite()) {
                continue;
            }
            if self.gradient.dot(&step) > 0.0 {
                step = -step;
            }
            let rise = probe(&step).map(|(loss, _)| loss - self.loss);
            if rise.is_ok_and(|rise| rise <= ROUNDING * self.loss.abs()) {
                let name = &entries(&self.shapes)[i];
                let reason = format!(
                    "`{name}` has no finite estimate: the loss does not rise when it moves from {} by its standard error of \
                     {}; fix `{name}` or add a term of the loss that holds it",
                    digits(*at),
                    digits(error)
                );
                return Err(refuse(Premise::Interior, reason));
            }
        }
        Ok(())
    }
}

/// Three significant digits.
fn digits(x: f64) -> String {
    let rounded: f64 = format!("{x:.2e}").parse().unwrap_or(x);
    match rounded.abs() {
        size if (1e-3..1e4).contains(&size) => format!("{rounded}"),
        _ => format!("{rounded:e}"),
    }
}
