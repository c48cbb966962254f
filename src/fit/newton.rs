//! Newton's method with the exact Hessian, for a few parameters.

use ndarray::{Array1, Array2};

use super::hessian::curvature;
use super::model::{Model, Sizes};
use super::objective::{Objective, pack};
use super::{check, gradients};
use crate::error::{Error, Result};
use crate::recurrence::{Outputs, Params};

/// Newton's method in a trust region (Moré and Sorensen 1983), with the exact Hessian: one product with a unit vector
/// for each entry of the parameters.
///
/// A step minimises the quadratic model of the loss over the steps of limited length. Lengths are relative to the
/// size of each parameter (Dennis and Schnabel 1983, section 7.1), so that neither the units of the data nor a start
/// that is orders of magnitude away matter. The limit grows while the loss decreases as the model predicts, also
/// within a step (their "internal doubling"), and shrinks if the loss does not decrease or is not finite. If the
/// Hessian is positive definite, the full Newton step is tried first; near a minimum it converges quadratically. If
/// the loss is flat in some direction, points far along it are tried before the method ends.
///
/// ```
/// use bptt::fit::{Newton, Objective};
/// use bptt::{Batch, Error, Outputs, Params, Recurrence, Wrt};
///
/// struct Rosenbrock { gradient: Recurrence, hessian: Recurrence }
/// impl Objective for Rosenbrock {
///     fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
///         self.gradient.evaluate(params, &Batch::new(1, 1))
///     }
///     fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
///         self.hessian.evaluate(params, &Batch::new(1, 1))
///     }
/// }
/// let r = Recurrence::parse("rosenbrock.rec", "param a, b\nloss (1 - a)^2 + 100 * (b - a^2)^2\n")?;
/// let mut objective = Rosenbrock {
///     gradient: r.gradient(Wrt::Parameters)?,
///     hessian: r.hessian_vector(Wrt::Parameters)?,
/// };
/// let mut params = Params::new().with("a", ndarray::arr0(-1.2)).with("b", ndarray::arr0(1.0));
/// let mut newton = Newton::new();
/// for _ in 0..100 {
///     if newton.step(&mut params, &mut objective)?.converged {
///         break;
///     }
/// }
/// assert!(params.iter().all(|(_, x)| (x.sum() - 1.0).abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Newton {
    /// The maximum length of a step, relative to the parameters; `None` before the first step.
    pub(super) radius: Option<f64>,
    /// The loss before the first step.
    pub(super) first: Option<f64>,
    /// The decrement of the last step whose decrease was too small to measure in the loss.
    pub(super) last: Option<f64>,
    /// The parameters before the last step, and its length.
    pub(super) back: Option<(Params<f64>, f64)>,
    /// The sizes that the last step was relative to.
    pub(super) sizes: Option<Sizes>,
}

/// The outcome of one step of Newton's method.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewtonStep {
    /// The loss before the step.
    pub loss: f64,
    /// The decrease of the loss that the quadratic model predicts for this step; `½ gᵀ H⁻¹ g` for a full Newton step.
    pub decrement: f64,
    /// True if the predicted decrease is below the rounding error of the loss.
    pub converged: bool,
}

/// A decrease below this part of the loss is rounding error.
const ROUNDING: f64 = 1e-16;
/// A decrease below this part of the loss cannot be measured in the loss.
const NEAR: f64 = 1e-10;
/// Below this part of the loss, slopes are a better criterion than losses (the approximate Wolfe conditions of Hager
/// and Zhang 2005).
const MEASURABLE: f64 = 1e-6;
/// The minimum part of the predicted decrease that a step must achieve.
const ENOUGH: f64 = 1e-4;
/// The radius shrinks below the first part of the predicted decrease, and grows above the second.
const POOR: f64 = 0.25;
const GOOD: f64 = 0.75;
/// A Newton step is too short if the slope at its end exceeds this part of the slope at its start.
const STEEP: f64 = 0.1;
/// The maximum numbers of doublings of a step and of reductions of the radius: a model is inaccurate far away.
const MOST_DOUBLINGS: i32 = 4;
const MOST_CUTS: i32 = 60;
/// The maximum number of flat directions in which a lower loss is searched.
const MOST_FLAT: usize = 4;

/// A step that was evaluated.
struct Trial {
    params: Params<f64>,
    loss: f64,
    /// The decrease of the loss relative to the predicted decrease.
    ratio: f64,
    /// The slope of the loss along the step at its end, relative to that at its start.
    slope: f64,
}

/// The best step in the trust region so far.
struct Found {
    promised: f64,
    /// Its length, relative to the parameters.
    length: f64,
    /// The radius for the next step.
    radius: f64,
    trial: Trial,
}

impl Newton {
    /// Starts with a radius equal to the size of the parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one step.
    ///
    /// # Errors
    /// If the loss or its derivatives cannot be evaluated at the parameters, or no step, however short, decreases the
    /// loss: [`Error::NoDescent`]. The parameters are then unchanged.
    pub fn step(
        &mut self,
        params: &mut Params<f64>,
        objective: &mut impl Objective,
    ) -> Result<NewtonStep> {
        let (here, curvature, back) = match (expand(params, objective), self.back.take()) {
            // The loss is finite here, but its derivatives are not: the last step was too long.
            (Err(error), Some((back, length))) if is_not_finite(&error) => {
                *params = back;
                self.radius = Some(0.1 * length);
                let (here, curvature) = expand(params, objective)?;
                (here, curvature, None)
            }
            (found, back) => {
                let (here, curvature) = found?;
                (here, curvature, Some(back))
            }
        };
        let bounded = back.is_none();
        let loss = here.loss()?;
        let (at, gradient) = (entries(&here, params), pack(&here));
        let moved = back.flatten().map(|(back, _)| &at - &entries(&here, &back));
        let sizes = Sizes::next(
            self.sizes.take(),
            moved.as_ref(),
            &at,
            &gradient,
            &curvature,
        );
        let model = Model::new(gradient, curvature, sizes.now.clone());
        self.sizes = Some(sizes);
        let fallen = *self.first.get_or_insert(loss) - loss;
        // A loss of zero has no scale of its own.
        let scale = loss.abs() + ROUNDING * fallen.abs();
        let from = params.clone();
        let mut attempt = |step: &Array1<f64>| {
            let promised = model.decrease(step);
            let trial = attempt(objective, &here, &from, step, promised)?;
            Ok::<_, Error>((promised, trial))
        };
        let told = |decrement: f64, converged: bool| NewtonStep {
            loss,
            decrement,
            converged,
        };

        let mut radius = self.radius.unwrap_or(1.0);
        if let Some(moved) = &moved {
            // The sizes have changed; the next step can be as long as the last one.
            radius = radius.max(model.length(moved).min(1.0));
        }
        let full = model.newton();
        let hopeless = || Error::NoDescent { loss };
        // If the Hessian is singular or indefinite, the decrease over a long step is the measure of convergence.
        let longest = match &full {
            Some(step) => step.clone(),
            None => model
                .wide_region()
                .ok_or_else(hopeless)?
                .step(radius.max(1.0)),
        };
        let decrement = model.decrease(&longest);
        if decrement <= NEAR * scale
            && !bounded
            && let (_, Some(trial)) = attempt(&longest)?
        {
            // The decrease is too small to measure in the loss. If the decrement no longer halves, only rounding
            // errors remain.
            let stalled = (self.last.replace(decrement)).is_some_and(|last| decrement > 0.5 * last);
            let converged = decrement <= ROUNDING * scale || stalled;
            let lower = match converged {
                true => beyond_flat(&model, loss, NEAR * scale, &mut attempt)?,
                false => None,
            };
            let Some(far) = lower else {
                *params = trial.params;
                return Ok(told(decrement, converged));
            };
            self.last = None;
            self.radius = Some(1.0);
            self.back = Some((std::mem::replace(params, far.params), 1.0));
            return Ok(told(decrement, false));
        }
        self.last = None;

        if let Some(step) = full {
            let length = model.length(&step);
            if (!bounded || length <= radius)
                && let (promised, Some(mut trial)) = attempt(&step)?
            {
                let settles = trial.loss <= loss + NEAR * scale && trial.slope.abs() <= 0.5;
                if trial.ratio >= POOR || (settles && promised <= MEASURABLE * scale) {
                    // If the loss still decreases steeply, its minimum is far away.
                    let mut times = 1.0;
                    while trial.slope > STEEP && times < f64::from(1 << MOST_DOUBLINGS) {
                        times *= 2.0;
                        match attempt(&(&step * times))? {
                            (_, Some(next)) if next.loss < trial.loss => trial = next,
                            _ => break,
                        }
                    }
                    let length = model.length(&step) * times;
                    self.radius = Some(radius.max(length));
                    self.back = Some((std::mem::replace(params, trial.params), length));
                    return Ok(told(promised, false));
                }
            }
            radius = radius.min(0.5 * length);
        }

        let region = model.region().ok_or_else(hopeless)?;
        let mut best: Option<Found> = None;
        let mut doublings = 0;
        for _ in 0..MOST_DOUBLINGS + MOST_CUTS {
            let step = region.step(radius);
            let (promised, trial) = attempt(&step)?;
            let length = model.length(&step);
            let better = best.as_ref().is_none_or(|best| {
                trial
                    .as_ref()
                    .is_some_and(|trial| trial.loss < best.trial.loss)
            });
            if !better || (best.is_none() && promised <= ROUNDING * scale) {
                break;
            }
            match trial.filter(|trial| trial.ratio > ENOUGH) {
                Some(trial) => {
                    let grows = trial.ratio >= GOOD && length > 0.99 * radius;
                    best = Some(Found {
                        promised,
                        length,
                        radius: if trial.ratio < POOR {
                            0.5 * length
                        } else {
                            radius
                        },
                        trial,
                    });
                    doublings += 1;
                    if !grows || doublings > MOST_DOUBLINGS {
                        break;
                    }
                    radius *= 2.0;
                }
                None => radius = 0.25 * length.min(radius),
            }
        }
        let found = best.ok_or_else(hopeless)?;
        self.radius = Some(found.radius);
        let before = std::mem::replace(params, found.trial.params);
        self.back = Some((before, found.length));
        Ok(told(found.promised, false))
    }
}

/// A point with a lower loss along a direction in which the loss is flat. If gradient and curvature have vanished,
/// e.g. for a variance next to a far larger one, they do not lead to the minimum.
fn beyond_flat(
    model: &Model,
    loss: f64,
    measurable: f64,
    attempt: &mut impl FnMut(&Array1<f64>) -> Result<(f64, Option<Trial>)>,
) -> Result<Option<Trial>> {
    let Some(region) = model.loose_region() else {
        return Ok(None);
    };
    let mut best: Option<Trial> = None;
    for direction in region.flat(measurable).take(MOST_FLAT) {
        for sign in [1.0, -1.0] {
            for doublings in 0..=MOST_DOUBLINGS {
                let (_, Some(trial)) = attempt(&(&direction * (sign * 2f64.powi(doublings))))?
                else {
                    break;
                };
                let least = best.as_ref().map_or(loss - measurable, |b| b.loss);
                if trial.loss < least {
                    best = Some(trial);
                }
            }
        }
    }
    Ok(best)
}

/// The loss with its gradient and its Hessian.
fn expand(
    params: &Params<f64>,
    objective: &mut impl Objective,
) -> Result<(Outputs<f64>, Array2<f64>)> {
    let here = objective.gradient(params)?;
    check(params, &here)?;
    let curvature = curvature(params, &here, objective)?;
    Ok((here, curvature))
}

fn is_not_finite(error: &Error) -> bool {
    matches!(
        error,
        Error::NonFiniteValue { .. } | Error::NonFiniteData { .. }
    )
}

/// Evaluates a step; `None` if the loss or its gradient is not finite there.
fn attempt(
    objective: &mut impl Objective,
    here: &Outputs<f64>,
    params: &Params<f64>,
    step: &Array1<f64>,
    promised: f64,
) -> Result<Option<Trial>> {
    let mut moved = params.clone();
    unpack(here, step, &mut moved);
    let there = match objective.gradient(&moved) {
        Ok(there) => there,
        Err(error) if is_not_finite(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (before, loss) = (here.loss()?, there.loss()?);
    let gradient = pack(&there);
    if !loss.is_finite() || gradient.iter().any(|x| !x.is_finite()) {
        return Ok(None);
    }
    Ok(Some(Trial {
        params: moved,
        loss,
        ratio: (before - loss) / promised,
        slope: gradient.dot(step) / pack(here).dot(step),
    }))
}

/// The entries of the parameters, in the order of the gradient.
fn entries(order: &Outputs<f64>, params: &Params<f64>) -> Array1<f64> {
    gradients(order)
        .filter_map(|(name, _)| params.get(name))
        .flat_map(|a| a.iter().copied())
        .collect()
}

/// Adds a step, with entries in the order of the gradient, to the parameters.
fn unpack(order: &Outputs<f64>, step: &Array1<f64>, params: &mut Params<f64>) {
    let mut rest = step.iter();
    for (name, _) in gradients(order) {
        let array = params.get_mut(name).into_iter().flatten();
        array.zip(&mut rest).for_each(|(x, p)| *x += p);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr0;

    use super::super::State;
    use super::*;
    use crate::{Batch, Derived, Recurrence, Wrt};

    struct Scalar {
        gradient: Recurrence,
        hessian: Recurrence,
    }

    impl Scalar {
        fn new(loss: &str) -> Self {
            let loss = Recurrence::parse("f", &format!("param a\nloss {loss}\n")).unwrap();
            Self {
                gradient: loss.gradient(Wrt::Parameters).unwrap(),
                hessian: loss.hessian_vector(Wrt::Parameters).unwrap(),
            }
        }
    }

    impl Objective for Scalar {
        fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>> {
            self.gradient.evaluate(params, &Batch::new(1, 1))
        }
        fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>> {
            self.hessian.evaluate(params, &Batch::new(1, 1))
        }
    }

    fn minimum(loss: &str, start: f64) -> f64 {
        let mut objective = Scalar::new(loss);
        let mut params = Params::new().with("a", arr0(start));
        let mut newton = Newton::new();
        let mut losses = vec![f64::INFINITY];
        for _ in 0..100 {
            let step = newton.step(&mut params, &mut objective).unwrap();
            let last = losses[losses.len() - 1];
            assert!(step.loss <= last + 1e-12, "{} after {last}", step.loss);
            losses.push(step.loss);
            if step.converged {
                return params.get("a").unwrap().sum();
            }
        }
        panic!("it did not converge: {losses:?}");
    }

    #[test]
    fn steps_out_of_the_domain_are_shortened() {
        // From 3 the full step leads to −3, where the logarithm is undefined.
        assert!(
            (minimum("a - ln(a)", 3.0) - 1.0).abs() < 1e-12,
            "the minimum is at 1"
        );
    }

    #[test]
    fn where_the_curvature_is_negative_the_loss_falls_all_the_same() {
        // At 0.1 the second derivative of a⁴ / 4 − a² / 2 is negative.
        assert!(
            (minimum("a^4 / 4 - a^2 / 2", 0.1) - 1.0).abs() < 1e-12,
            "the minimum is at 1"
        );
    }

    #[test]
    fn a_gradient_that_is_no_gradient_is_noticed() {
        // A loss that depends on the number of evaluations cannot be decreased.
        let mut objective = Rising(0.0);
        let mut params = Params::new().with("a", arr0(1.0));
        let error = Newton::new().step(&mut params, &mut objective).unwrap_err();
        assert_eq!(error, Error::NoDescent { loss: 1.0 });
        assert_eq!(
            params.get("a"),
            Some(&arr0(1.0).into_dyn()),
            "nothing has changed"
        );
    }

    /// A loss that increases by 1 with each evaluation.
    struct Rising(f64);

    impl Objective for Rising {
        fn gradient(&mut self, _: &Params<f64>) -> Result<Outputs<f64>> {
            self.0 += 1.0;
            Ok(outputs(self.0))
        }
        fn hessian_vector(&mut self, _: &Params<f64>) -> Result<Outputs<f64>> {
            Ok(outputs(0.0))
        }
    }

    fn outputs(loss: f64) -> Outputs<f64> {
        let role = ("a".into(), Derived::Cotangent("a".into()));
        let mut outputs = Outputs::with_roles([role].into_iter().collect());
        outputs.insert("loss", arr0(loss).into_dyn());
        outputs.insert("a", arr0(1.0).into_dyn());
        outputs
    }

    /// A saved and restored method takes the same steps.
    #[test]
    fn a_state_that_is_restored_goes_on_exactly() {
        let mut objective = Scalar::new("a - ln(a) + a^4");
        let mut params = Params::new().with("a", arr0(30.0));
        let mut newton = Newton::new();
        for _ in 0..12 {
            let mut restored = Newton::new();
            restored.restore(&newton.state()).unwrap();
            assert_eq!(restored, newton);
            let _ = newton.step(&mut params, &mut objective).unwrap();
        }
        assert!(
            newton
                .restore(&State {
                    steps: 0,
                    arrays: params
                })
                .is_err(),
            "no state"
        );
    }
}
