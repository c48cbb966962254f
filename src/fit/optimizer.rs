//! The interface of first-order optimisers.

use super::{Adam, Sgd, State};
use crate::error::Result;
use crate::op::Scalar;
use crate::recurrence::{Outputs, Params};

/// An optimiser that takes steps along gradients: [`Adam`], [`Sgd`], or one of the user's.
///
/// ```
/// use bptt::fit::{Adam, Optimizer, Sgd};
/// let optimizers: [Box<dyn Optimizer<f64>>; 2] = [
///     Box::new(Adam::new(0.01)),
///     Box::new(Sgd::new(0.1).momentum(0.9)),
/// ];
/// assert!(optimizers.iter().all(|o| o.state().arrays.iter().count() == 0));
/// ```
pub trait Optimizer<F: Scalar> {
    /// Changes the step size for later steps; the state is kept.
    fn set_rate(&mut self, rate: f64);

    /// The state, for saving.
    fn state(&self) -> State<F>;

    /// Continues from a saved state. The settings are kept.
    ///
    /// # Errors
    /// [`Error::OptimizerState`](crate::Error::OptimizerState) if it is not a state of this optimiser. Nothing is
    /// changed then.
    fn restore(&mut self, state: &State<F>) -> Result<()>;

    /// Takes one descent step.
    ///
    /// # Errors
    /// If the outputs are not those of a gradient that fits the parameters. Nothing is changed then.
    fn step(&mut self, params: &mut Params<F>, gradient: &Outputs<F>) -> Result<()>;
}

macro_rules! optimizer {
    ($($name:ident)+) => {$(
        impl<F: Scalar> Optimizer<F> for $name<F> {
            fn set_rate(&mut self, rate: f64) {
                self.set_rate(rate);
            }
            fn state(&self) -> State<F> {
                self.state()
            }
            fn restore(&mut self, state: &State<F>) -> Result<()> {
                self.restore(state)
            }
            fn step(&mut self, params: &mut Params<F>, gradient: &Outputs<F>) -> Result<()> {
                self.step(params, gradient)
            }
        }
    )+};
}

optimizer!(Adam Sgd);
