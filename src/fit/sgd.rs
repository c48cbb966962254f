//! Gradient descent with momentum, and with decay.

use indexmap::IndexMap;
use ndarray::{ArrayD, Zip};

use super::rates::Rates;
use super::state::{State, check_shapes};
use super::{Group, check, gradients};
use crate::error::Result;
use crate::op::Scalar;
use crate::recurrence::{Outputs, Params};

/// Gradient descent with the momentum of Polyak (1964), as in Sutskever, Martens, Dahl and
/// Hinton, *On the importance of initialization and momentum in deep learning* (ICML 2013).
///
/// ```text
/// v ← μ v + g        θ ← (1 − rate · λ) θ − rate · v
/// ```
///
/// `v` has the shape of its parameter and starts at zero. Without a [decay](Self::decay), λ is 0.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::Sgd};
/// use ndarray::arr0;
/// let r = Recurrence::define("parabola", |r| r.loss(r.param("w", ()).square()))?;
/// let mut params = Params::new().with("w", arr0(1.0));
/// let found = r.gradient(Wrt::Parameters)?.evaluate(&params, &Batch::new(1, 1))?;
/// Sgd::new(0.25).step(&mut params, &found)?;
/// assert_eq!(params.get("w"), Some(&arr0(0.5).into_dyn()));
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd<F> {
    rates: Rates,
    momentum: f64,
    velocity: IndexMap<String, ArrayD<F>>,
}

impl<F: Scalar> Sgd<F> {
    /// Plain gradient descent.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self {
            rates: Rates::new(rate),
            momentum: 0.0,
            velocity: IndexMap::new(),
        }
    }

    /// The momentum μ, in [0, 1).
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// The decay λ of the parameters, 0 by default: each step also multiplies them by `1 − rate · λ`, apart from the velocity.
    /// This is SGDW: Loshchilov and Hutter, *Decoupled weight decay regularization* (ICLR 2019), Algorithm 1, whose λ is
    /// `rate · λ` here. A frozen parameter does not decay.
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

    /// Changes the step size for later steps; the velocity is kept.
    pub fn set_rate(&mut self, rate: f64) {
        self.rates.rate = rate;
    }

    /// The state, for saving: `velocity.W` is the velocity `v` of a parameter `W`.
    #[must_use]
    pub fn state(&self) -> State<F> {
        let mut arrays = Params::new();
        for (name, v) in &self.velocity {
            arrays.insert(&format!("velocity.{name}"), v.clone());
        }
        State { steps: 0, arrays }
    }

    /// Continues from a saved state. The settings are kept.
    ///
    /// # Errors
    /// [`Error::OptimizerState`](crate::Error::OptimizerState) if it is not a state of SGD. Nothing is changed then.
    pub fn restore(&mut self, state: &State<F>) -> Result<()> {
        let [velocity] = state.split("SGD", ["velocity"])?;
        self.velocity = velocity;
        Ok(())
    }

    /// Takes one descent step.
    ///
    /// # Errors
    /// If the outputs are not those of a gradient, or one of them belongs to no parameter, has another shape than its
    /// parameter, or is not finite. Nothing is changed then.
    pub fn step(&mut self, params: &mut Params<F>, gradient: &Outputs<F>) -> Result<()> {
        check(params, gradient)?;
        check_shapes(gradient, |name| Some(self.velocity.get(name)?.shape()))?;
        let momentum = F::of(self.momentum);
        for (name, g) in gradients(gradient) {
            let Some(p) = params.get_mut(name) else {
                continue;
            };
            let (rate, kept) = self.rates.of(name);
            let (rate, kept) = (F::of(rate), F::of(kept));
            let velocity = self.velocity.entry(name.to_owned());
            let v = velocity.or_insert_with(|| ArrayD::zeros(g.raw_dim()));
            Zip::from(p).and(g).and(v).for_each(|p, &g, v| {
                *v = momentum * *v + g;
                *p = kept * *p - rate * *v;
            });
        }
        Ok(())
    }
}
