//! Newton's method with the exact Hessian, for a few parameters.

use ndarray::{Array1, Array2, ArrayD, arr0};

use super::dense::Cholesky;
use super::state::{State, refuse};
use super::{check, gradients};
use crate::error::{Error, Result};
use crate::recurrence::{Outputs, Params};

/// What is minimised.
pub trait Objective {
    /// The loss and its gradient, as [`Recurrence::gradient`](crate::Recurrence::gradient) has them.
    ///
    /// # Errors
    /// When it cannot be evaluated; where a value is not finite, the step is shortened.
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>>;

    /// The product of the Hessian with the direction among the parameters, as
    /// [`Recurrence::hessian_vector`](crate::Recurrence::hessian_vector) has it.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>>;

    /// The name of the direction of a parameter among those that
    /// [`hessian_vector`](Self::hessian_vector) is given. It is `w.dot` for `w`, unless the recurrence
    /// has something else of that name; then
    /// [`Recurrence::leaf_for`](crate::Recurrence::leaf_for) says what it is.
    fn direction(&self, parameter: &str) -> String {
        format!("{parameter}.dot")
    }
}

/// Newton's method, damped as Levenberg (1944) and Marquardt (1963) did: the step `p` solves
/// `(H + λ D) p = −g`, where `H` is the exact Hessian, one product with a unit vector for each
/// entry of the parameters, and `D` holds the absolute values of its diagonal. λ is zero near a
/// minimum, where the method converges quadratically; it grows where `H` is not positive definite
/// or the loss would not fall.
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
#[derive(Clone, Debug, Default)]
pub struct Newton {
    damping: f64,
}

/// What one step of Newton's method came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonStep {
    /// The loss before the step.
    pub loss: f64,
    /// Half of `gᵀ H⁻¹ g`: how far the loss would fall if it were quadratic.
    pub decrement: f64,
    /// Whether the loss cannot fall by more than its rounding error any more.
    pub converged: bool,
}

/// What the loss would fall by, relative to it, is less than its rounding error.
const ROUNDING: f64 = 1e-16;
/// So near, the loss is too coarse to judge a step by, and the step is sure to be good.
const NEAR: f64 = 1e-10;
/// The part of the promised fall that a step must bring (Armijo 1966).
const ENOUGH: f64 = 1e-4;
const LEAST_DAMPING: f64 = 1e-3;
const MOST_DAMPING: f64 = 1e12;

impl Newton {
    /// Without damping to begin with.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state, to be saved: `damping` is λ.
    #[must_use]
    pub fn state(&self) -> State<f64> {
        State {
            steps: 0,
            arrays: Params::new().with("damping", arr0(self.damping)),
        }
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`Error::OptimizerState`] when it is not a state of Newton's method. Then nothing is changed.
    pub fn restore(&mut self, state: &State<f64>) -> Result<()> {
        let [damping] = state.split("Newton's method", ["damping"])?;
        let found = damping.first().and_then(|(_, array)| array.first());
        match found {
            Some(damping) if (0.0..=MOST_DAMPING).contains(damping) => self.damping = *damping,
            _ => {
                let reason = format!("expected `damping` from 0 to {MOST_DAMPING:e}");
                return Err(refuse("Newton's method", reason));
            }
        }
        Ok(())
    }

    /// One step down.
    ///
    /// # Errors
    /// When the loss cannot be evaluated at the parameters, or no step, however short, makes it
    /// fall: [`Error::NoDescent`]. Then nothing is changed.
    pub fn step(
        &mut self,
        params: &mut Params<f64>,
        objective: &mut impl Objective,
    ) -> Result<NewtonStep> {
        let here = objective.gradient(params)?;
        check(params, &here)?;
        let loss = here.loss()?;
        let g = pack(&here);
        let h = hessian(params, objective)?;
        loop {
            let mut damped = h.clone();
            for (entry, own) in damped.diag_mut().iter_mut().zip(h.diag()) {
                *entry += self.damping * own.abs().max(f64::MIN_POSITIVE.sqrt());
            }
            if let Some(factors) = Cholesky::of(&damped) {
                let p = -factors.solve(&g);
                let decrement = -0.5 * g.dot(&p);
                let scale = 1.0 + loss.abs();
                let sure = self.damping == 0.0 && decrement <= NEAR * scale;
                let mut there = params.clone();
                unpack(&here, &p, &mut there);
                if sure || falls(objective, &there, loss - 2.0 * ENOUGH * decrement)? {
                    *params = there;
                    let less = self.damping * 0.1;
                    self.damping = if less < LEAST_DAMPING { 0.0 } else { less };
                    let converged = sure && decrement <= ROUNDING * scale;
                    return Ok(NewtonStep {
                        loss,
                        decrement,
                        converged,
                    });
                }
            }
            self.damping = (self.damping * 10.0).max(LEAST_DAMPING);
            if self.damping > MOST_DAMPING {
                self.damping = 0.0;
                return Err(Error::NoDescent { loss });
            }
        }
    }
}

/// Whether the loss is at most this; a loss that is not finite is too large.
fn falls(objective: &mut impl Objective, params: &Params<f64>, most: f64) -> Result<bool> {
    match objective.gradient(params) {
        Ok(found) => Ok(found.loss()? <= most),
        Err(Error::NonFiniteValue { .. } | Error::NonFiniteData { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The Hessian of a loss, symmetric: rows and columns are the entries of the parameters that the
/// gradient has, one array after the other.
///
/// # Errors
/// When it cannot be evaluated; [`Error::NameClash`] when the direction of one parameter has the
/// name of another.
pub fn hessian(params: &Params<f64>, objective: &mut impl Objective) -> Result<Array2<f64>> {
    let names: Vec<(String, Vec<usize>)> = params
        .iter()
        .map(|(name, a)| (name.to_owned(), a.shape().to_vec()))
        .collect();
    let mut along = params.clone();
    for (name, shape) in &names {
        let direction = objective.direction(name);
        if params.get(&direction).is_some() {
            return Err(Error::NameClash {
                first: "a parameter".into(),
                second: format!("the direction of `{name}`; define `Objective::direction`"),
                name: direction,
            });
        }
        along.insert(&direction, ArrayD::<f64>::zeros(shape.as_slice()));
    }
    let mut columns = Vec::new();
    for (name, shape) in &names {
        let direction = objective.direction(name);
        for entry in 0..shape.iter().product() {
            let set = |along: &mut Params<f64>, value: f64| {
                let array = along.get_mut(&direction);
                array
                    .and_then(|a| a.iter_mut().nth(entry))
                    .into_iter()
                    .for_each(|x| *x = value);
            };
            set(&mut along, 1.0);
            columns.push(pack(&objective.hessian_vector(&along)?));
            set(&mut along, 0.0);
        }
    }
    let n = columns.len();
    // The two halves agree up to rounding.
    let entry = |(i, j): (usize, usize)| 0.5 * (columns[j][i] + columns[i][j]);
    Ok(Array2::from_shape_fn((n, n), entry))
}

/// The standard errors of the parameters at the minimum of a negative log likelihood: the roots of
/// the diagonal of the inverse Hessian. `None` where the Hessian is not positive definite.
///
/// # Errors
/// When the Hessian cannot be evaluated.
pub fn standard_errors(
    params: &Params<f64>,
    objective: &mut impl Objective,
) -> Result<Option<Params<f64>>> {
    let Some(factors) = Cholesky::of(&hessian(params, objective)?) else {
        return Ok(None);
    };
    let variances = factors.inverse_diagonal();
    let mut rest = variances.iter();
    let mut errors = Params::new();
    for (name, array) in params.iter() {
        let take = array.mapv(|_| rest.next().map_or(f64::NAN, |v| v.sqrt()));
        errors.insert(name, take);
    }
    Ok(Some(errors))
}

/// All entries of a gradient, one array after the other.
fn pack(outputs: &Outputs<f64>) -> Array1<f64> {
    gradients(outputs)
        .flat_map(|(_, a)| a.iter().copied())
        .collect()
}

/// Adds a step to the parameters, whose entries come in the order of the gradient.
fn unpack(order: &Outputs<f64>, step: &Array1<f64>, params: &mut Params<f64>) {
    let mut rest = step.iter();
    for (name, _) in gradients(order) {
        let array = params.get_mut(name).into_iter().flatten();
        array.zip(&mut rest).for_each(|(x, p)| *x += p);
    }
}

#[cfg(test)]
mod tests {
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
        // From 3 the whole step leads to −3, where there is no logarithm.
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
        // A loss that depends on where it was last evaluated cannot be made to fall.
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

    /// A loss that rises by 1 with each evaluation.
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

    #[test]
    fn standard_errors_are_roots_of_the_inverse_hessian() {
        let params = Params::new().with("a", arr0(0.0));
        let of = |loss: &str| standard_errors(&params, &mut Scalar::new(loss)).unwrap();
        assert_eq!(
            of("8 * a^2").unwrap().get("a"),
            Some(&arr0(0.25).into_dyn())
        );
        assert_eq!(of("-8 * a^2"), None, "a maximum has none");
    }
}
