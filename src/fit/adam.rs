//! Adam, and `AdamW`.

use indexmap::IndexMap;
use ndarray::{ArrayD, Dimension, Zip};

use super::rates::Rates;
use super::state::{State, check_shapes, refuse};
use super::{Group, check, gradients};
use crate::error::{Error, Result, number};
use crate::op::Scalar;
use crate::recurrence::{Outputs, Params};

/// Adam with bias correction: Kingma and Ba, *Adam: a method for stochastic optimization* (ICLR
/// 2015), Algorithm 1.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
/// θ ← (1 − rate · λ) θ − rate · m̂ / (√v̂ + ε)  with  m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
/// ```
///
/// With a [decay](Self::decay) λ, this is `AdamW`; without, λ is 0. All operations are entrywise; `m` and `v` have the
/// shape of their parameter and start at zero.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::Adam};
/// use ndarray::array;
/// let r = Recurrence::define("parabola", |r| {
///     r.loss((r.param("w", [r.dim("N")]) - 1.0).square().sum());
/// })?;
/// let mut params = Params::new().with("w", array![3.0, -5.0]);
/// let batch = Batch::new(1, 1);
/// let gradient = r.gradient(Wrt::Parameters)?.unroll_for(&params, &batch)?;
/// let mut adam = Adam::new(0.1);
/// for _ in 0..500 {
///     let found = gradient.evaluate(&params, &batch)?;
///     adam.step(&mut params, &found)?;
/// }
/// assert!(params.get("w").is_some_and(|w| w.iter().all(|x: &f64| (x - 1.0).abs() < 1e-6)));
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adam<F> {
    rates: Rates,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    steps: i32,
    moments: IndexMap<String, (ArrayD<F>, ArrayD<F>)>,
}

impl<F: Scalar> Adam<F> {
    /// Adam with the defaults of the paper: β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸. The paper's `rate` is 0.001.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self {
            rates: Rates::new(rate),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            steps: 0,
            moments: IndexMap::new(),
        }
    }

    /// The decay rates of the two moments, each in [0, 1).
    #[must_use]
    pub fn betas(self, beta_1: f64, beta_2: f64) -> Self {
        Self {
            beta_1,
            beta_2,
            ..self
        }
    }

    /// The constant added to the root of the second moment.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The decay λ of the parameters, which is 0 for Adam: each step also multiplies them by `1 − rate · λ`, apart from the
    /// moments. With it, the method is `AdamW`: Loshchilov and Hutter, *Decoupled weight decay regularization* (ICLR
    /// 2019), Algorithm 2, whose λ is `rate · λ` here, as in PyTorch. A frozen parameter does not decay.
    #[must_use]
    pub fn decay(mut self, decay: f64) -> Self {
        self.rates.decay = decay;
        self
    }

    /// Adds parameters with a rate and a decay of their own.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.rates.groups.push(group);
        self
    }

    /// Changes the step size for later steps; the moments are kept.
    pub fn set_rate(&mut self, rate: f64) {
        self.rates.rate = rate;
    }

    /// The state, for saving: `first.W` and `second.W` are the moments `m` and `v` of a parameter `W`.
    #[must_use]
    pub fn state(&self) -> State<F> {
        let mut arrays = Params::new();
        for (name, (m, v)) in &self.moments {
            arrays.insert(&format!("first.{name}"), m.clone());
            arrays.insert(&format!("second.{name}"), v.clone());
        }
        State {
            steps: u64::try_from(self.steps).unwrap_or(0),
            arrays,
        }
    }

    /// Continues from a saved state. The settings are kept.
    ///
    /// # Errors
    /// [`Error::OptimizerState`](crate::Error::OptimizerState) if it is not a state of Adam. Nothing is changed then.
    pub fn restore(&mut self, state: &State<F>) -> Result<()> {
        let refuse = |reason| Err(refuse("Adam", reason));
        let [first, mut second] = state.split("Adam", ["first", "second"])?;
        let mut moments = IndexMap::new();
        for (name, m) in first {
            let Some(v) = second.shift_remove(&name) else {
                return refuse(format!("array `second.{name}` is missing"));
            };
            if m.shape() != v.shape() {
                return refuse(format!(
                    "array `second.{name}`: expected shape {:?}, found {:?}",
                    m.shape(),
                    v.shape()
                ));
            }
            if let Some(x) = v.iter().find(|x| **x < F::zero()) {
                return refuse(format!(
                    "array `second.{name}` has the negative entry {}",
                    number(*x)
                ));
            }
            moments.insert(name, (m, v));
        }
        if let Some((name, _)) = second.first() {
            return refuse(format!("array `first.{name}` is missing"));
        }
        self.steps = i32::try_from(state.steps).unwrap_or(i32::MAX);
        self.moments = moments;
        Ok(())
    }

    /// Takes one descent step.
    ///
    /// # Errors
    /// If the outputs are not those of a gradient, or one of them belongs to no parameter, has another shape than its
    /// parameter, is not finite, or has a square that is not: it would stop its parameter for good. Nothing is changed
    /// then.
    pub fn step(&mut self, params: &mut Params<F>, gradient: &Outputs<F>) -> Result<()> {
        check(params, gradient)?;
        for (name, g) in gradients(gradient) {
            if let Some((index, g)) = g.indexed_iter().find(|(_, g)| !(**g * **g).is_finite()) {
                return Err(Error::NonFiniteData {
                    what: "squared gradient",
                    name: name.into(),
                    index: index.as_array_view().to_vec(),
                    value: Scalar::to_f64(*g * *g),
                });
            }
        }
        check_shapes(gradient, |name| Some(self.moments.get(name)?.0.shape()))?;
        self.steps = self.steps.saturating_add(1);
        let (b1, b2, epsilon) = (F::of(self.beta_1), F::of(self.beta_2), F::of(self.epsilon));
        let correction_1 = F::of(1.0 - self.beta_1.powi(self.steps));
        let correction_2 = F::of(1.0 - self.beta_2.powi(self.steps));
        for (name, g) in gradients(gradient) {
            let Some(p) = params.get_mut(name) else {
                continue;
            };
            let (rate, kept) = self.rates.of(name);
            let (rate, kept) = (F::of(rate), F::of(kept));
            let (m, v) = self
                .moments
                .entry(name.to_owned())
                .or_insert_with(|| (ArrayD::zeros(g.raw_dim()), ArrayD::zeros(g.raw_dim())));
            Zip::from(p).and(g).and(m).and(v).for_each(|p, &g, m, v| {
                *m = b1 * *m + (F::one() - b1) * g;
                *v = b2 * *v + (F::one() - b2) * g * g;
                *p =
                    kept * *p - rate * (*m / correction_1) / ((*v / correction_2).sqrt() + epsilon);
            });
        }
        Ok(())
    }
}
