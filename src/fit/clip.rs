//! Gradient clipping by norm.

use super::gradients;
use crate::op::Scalar;
use crate::recurrence::Outputs;

/// Scales a gradient whose norm exceeds `threshold` to that norm, and returns the original norm.
///
/// This is Algorithm 1 of Pascanu, Mikolov and Bengio, *On the difficulty of training recurrent
/// neural networks* (ICML 2013): `g ← g · threshold / ‖g‖` if `‖g‖ ≥ threshold`. The norm is over
/// all gradients jointly, whatever their shapes, but not over the loss and other outputs. A negative threshold counts
/// as 0; an infinite threshold or NaN clips nothing.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::clip_global_norm};
/// use ndarray::{arr0, array};
/// let r = Recurrence::define("line", |r| {
///     r.loss(3.0 * r.param("a", ()) + 4.0 * r.param("b", ()));
/// })?;
/// let params = Params::new().with("a", arr0(1.0)).with("b", arr0(1.0));
/// let mut gradient = r.gradient(Wrt::Parameters)?.evaluate(&params, &Batch::new(1, 1))?;
/// assert_eq!(clip_global_norm(&mut gradient, 1.0), 5.0);
/// assert!((gradient["a"].sum() - 0.6_f64).abs() < 1e-15);
/// assert!((gradient["b"].sum() - 0.8_f64).abs() < 1e-15);
/// # Ok::<(), bptt::Error>(())
/// ```
pub fn clip_global_norm<F: Scalar>(gradient: &mut Outputs<F>, threshold: f64) -> f64 {
    // Relative to the largest entry, so that the squares neither overflow nor underflow.
    let entries = || {
        gradients(gradient)
            .flat_map(|(_, g)| g)
            .map(|x| Scalar::to_f64(*x))
    };
    let largest = entries().fold(0.0, |m: f64, x| m.max(x.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let norm = largest * entries().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt();
    let threshold = if threshold.is_nan() {
        f64::INFINITY
    } else {
        threshold.max(0.0)
    };
    if norm >= threshold {
        for g in gradient.gradients_mut() {
            g.mapv_inplace(|x| F::of(Scalar::to_f64(x) / norm * threshold));
        }
    }
    norm
}
