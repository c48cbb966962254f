//! Tools for training: two optimisers with decay, groups of parameters and schedules of the rate; gradient clipping,
//! norms and clipping for each sample, and Newton's method.
//!
//! An optimiser takes the [`Outputs`] of a gradient and changes the [`Params`] in place. A parameter without a
//! gradient is unchanged: to freeze parameters, omit them from the names passed to
//! [`Recurrence::gradient`](crate::Recurrence::gradient).
//!
//! ```
//! use bptt::{Batch, Params, Recurrence, Wrt, fit::{Adam, clip_global_norm}};
//! use ndarray::{arr0, array};
//!
//! // Find the decay rate a of x_t = a x_{t−1} from three observations.
//! let decay = Recurrence::define("decay", |r| {
//!     let (a, x0, y) = (r.param("a", ()), r.sample_input("x0", ()), r.input("y", ()));
//!     let x = r.state_from("x", x0);
//!     r.loss(r.next(x, a * x).squared_error(y));
//! })?;
//! let mut params = Params::new().with("a", arr0(0.1));
//! let batch = Batch::new(3, 1)
//!     .with("x0", array![1.0])
//!     .with("y", array![[0.5], [0.25], [0.125]]);
//! let gradient = decay.gradient(Wrt::Parameters)?.compile_for(&params, &batch)?;
//! let (mut adam, mut workspace) = (Adam::new(0.02), gradient.workspace());
//! for _ in 0..300 {
//!     let found = gradient.run(&params, &batch, &mut workspace)?;
//!     clip_global_norm(found, 1.0);
//!     adam.step(&mut params, found)?;
//! }
//! let a = params.get("a").map_or(f64::NAN, |a| a.sum());
//! assert!((a - 0.5).abs() < 1e-3, "{a}");
//! # Ok::<(), bptt::Error>(())
//! ```

mod adam;
mod clip;
mod dense;
mod group;
mod hessian;
mod inference;
mod model;
mod newton;
mod newton_state;
mod objective;
mod optimizer;
mod over;
mod rates;
mod sample_clip;
mod sample_norms;
mod schedule;
mod sgd;
mod state;
mod truncated;
mod verdict;

pub use adam::Adam;
pub use clip::clip_global_norm;
pub use group::Group;
pub use hessian::hessian;
pub use inference::{Covariance, Inference, infer};
pub use newton::{Newton, NewtonStep};
pub use objective::Objective;
pub use optimizer::Optimizer;
pub use over::{Known, over};
pub use sample_clip::SampleClip;
pub use sample_norms::SampleNorms;
pub use schedule::{Phase, Schedule};
pub use sgd::Sgd;
pub use state::State;
pub use truncated::{Truncated, TruncatedProgram, Truncation, Windows};

use ndarray::{ArrayD, Dimension};

use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::recurrence::{LOSS, Outputs, Params};
use crate::tape::Derived;

/// The gradients among the outputs, by the name of their parameter.
fn gradients<F: Scalar>(outputs: &Outputs<F>) -> impl Iterator<Item = (&str, &ArrayD<F>)> {
    let gradient = |(name, array)| match outputs.role(name) {
        Some(Derived::Cotangent(of)) => Some((&**of, array)),
        _ => None,
    };
    outputs.iter().filter_map(gradient)
}

/// Refuses a gradient that does not fit the parameters, before any change.
fn check<F: Scalar>(params: &Params<F>, gradient: &Outputs<F>) -> Result<()> {
    let own = |name: &str| name != LOSS && gradient.role(name).is_none();
    if let Some((name, _)) = gradient.iter().find(|(name, _)| own(name)) {
        return Err(Error::NotAGradient { name: name.into() });
    }
    if gradients(gradient).next().is_none() && params.iter().next().is_some() {
        return Err(Error::NotAGradient { name: LOSS.into() });
    }
    for (name, g) in gradients(gradient) {
        let Some(p) = params.get(name) else {
            let known = params.iter().map(|(n, _)| n.into()).collect();
            return Err(Error::UnknownName {
                what: "parameter",
                name: name.into(),
                known,
            });
        };
        if p.shape() != g.shape() {
            return Err(Error::ArrayShape {
                what: "gradient",
                name: name.into(),
                expected: format!("{:?}", p.shape()),
                found: g.shape().to_vec(),
            });
        }
        if let Some((index, x)) = g.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(Error::NonFiniteData {
                what: "gradient",
                name: name.into(),
                index: index.as_array_view().to_vec(),
                value: Scalar::to_f64(*x),
            });
        }
    }
    Ok(())
}

/// The outputs of a gradient: the loss, and a cotangent for every other name.
#[cfg(test)]
fn outputs(entries: &[(&str, ArrayD<f64>)]) -> Outputs<f64> {
    let roles = entries.iter().filter(|(name, _)| *name != "loss");
    let roles = roles.map(|(name, _)| ((*name).into(), Derived::Cotangent((*name).into())));
    let mut outputs = Outputs::with_roles(roles.collect());
    for (name, array) in entries {
        outputs.insert(name, array.clone());
    }
    outputs
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, arr0, array};

    use super::*;
    use crate::{Batch, Recurrence, Wrt};

    /// `L = ½ Σ a_i (w_i − m_i)²`, whose gradient is `a ⊙ (w − m)`.
    fn quadratic() -> (Recurrence, Batch<f64>) {
        let recurrence = Recurrence::define("quadratic", |r| {
            let n = r.dim("N");
            let (w, a, m) = (
                r.param("w", [n]),
                r.sample_input("a", [n]),
                r.sample_input("m", [n]),
            );
            r.loss(0.5 * (a * (w - m).square()).sum());
        });
        let batch = Batch::new(1, 1)
            .with("a", array![[1.0, 4.0]])
            .with("m", array![[1.0, -2.0]]);
        (recurrence.unwrap(), batch)
    }

    fn start() -> Params<f64> {
        Params::new().with("w", array![3.0, 0.5])
    }

    fn close(found: &ArrayD<f64>, expected: [f64; 2]) {
        for (x, y) in found.iter().zip(expected) {
            assert!(
                (x - y).abs() < 1e-14,
                "found {found}, expected {expected:?}"
            );
        }
    }

    #[test]
    fn two_steps_of_adam_are_those_of_the_paper() {
        let (recurrence, batch) = quadratic();
        let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
        let mut params = start();
        let mut adam = Adam::new(0.1).betas(0.8, 0.95).epsilon(1e-3);
        let (rate, b1, b2, eps) = (0.1, 0.8, 0.95, 1e-3);
        // Algorithm 1, written out for t = 1 and t = 2.
        let g1 = [1.0 * (3.0 - 1.0), 4.0 * (0.5 + 2.0)];
        let w1 = [0, 1].map(|i| {
            let m_hat: f64 = (1.0 - b1) * g1[i] / (1.0 - b1);
            let v_hat: f64 = (1.0 - b2) * g1[i] * g1[i] / (1.0 - b2);
            [3.0, 0.5][i] - rate * m_hat / (v_hat.sqrt() + eps)
        });
        let g2 = [w1[0] - 1.0, 4.0 * (w1[1] + 2.0)];
        let w2 = [0, 1].map(|i| {
            let m = b1 * (1.0 - b1) * g1[i] + (1.0 - b1) * g2[i];
            let v = b2 * (1.0 - b2) * g1[i] * g1[i] + (1.0 - b2) * g2[i] * g2[i];
            let (m_hat, v_hat): (f64, f64) = (m / (1.0 - b1 * b1), v / (1.0 - b2 * b2));
            w1[i] - rate * m_hat / (v_hat.sqrt() + eps)
        });
        for expected in [w1, w2] {
            let found = gradient.evaluate(&params, &batch).unwrap();
            adam.step(&mut params, &found).unwrap();
            close(params.get("w").unwrap(), expected);
        }
    }

    #[test]
    fn two_steps_of_momentum() {
        let (recurrence, batch) = quadratic();
        let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
        let mut params = start();
        let mut sgd = Sgd::new(0.1).momentum(0.5);
        // v = g1 = [2, 10]; w1 = w − 0.1 v.
        let w1 = [3.0 - 0.2, 0.5 - 1.0];
        // v = 0.5 v + g2 with g2 = [1.8, 6].
        let w2 = [w1[0] - 0.1 * (1.0 + 1.8), w1[1] - 0.1 * (5.0 + 6.0)];
        for expected in [w1, w2] {
            let found = gradient.evaluate(&params, &batch).unwrap();
            sgd.step(&mut params, &found).unwrap();
            close(params.get("w").unwrap(), expected);
        }
    }

    #[test]
    fn both_find_the_minimum() {
        let (recurrence, batch) = quadratic();
        let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
        let (mut a, mut s) = (start(), start());
        let (mut adam, mut sgd) = (Adam::new(0.05), Sgd::new(0.1));
        for _ in 0..1000 {
            let found = gradient.evaluate(&a, &batch).unwrap();
            adam.step(&mut a, &found).unwrap();
            let found = gradient.evaluate(&s, &batch).unwrap();
            sgd.step(&mut s, &found).unwrap();
        }
        for params in [a, s] {
            let w = params.get("w").unwrap();
            assert!(
                (w[0] - 1.0).abs() < 1e-6 && (w[1] + 2.0).abs() < 1e-6,
                "{w}"
            );
        }
    }

    #[test]
    fn clipping_takes_all_parameters_together_and_leaves_the_loss() {
        let loss = arr0(1000.0).into_dyn();
        let (u, v) = (array![3.0, 0.0].into_dyn(), array![[-4.0]].into_dyn());
        let given = outputs(&[("loss", loss.clone()), ("u", u), ("v", v)]);
        let mut found = given.clone();
        assert!(
            (clip_global_norm(&mut found, 1.0) - 5.0).abs() < 1e-15,
            "the norm before"
        );
        assert_eq!(found["loss"], loss);
        assert!((found["u"][0] - 0.6).abs() < 1e-15, "the direction is kept");
        assert!(
            (found["v"][[0, 0]] + 0.8).abs() < 1e-15,
            "the direction is kept"
        );

        let mut found = given.clone();
        assert!(
            (clip_global_norm(&mut found, 5.5) - 5.0).abs() < 1e-15,
            "the norm before"
        );
        assert_eq!(
            found, given,
            "a gradient shorter than the threshold is not touched"
        );
        assert!(
            (clip_global_norm(&mut found, f64::NAN) - 5.0).abs() < 1e-15,
            "the norm before"
        );
        assert_eq!(
            found, given,
            "a threshold that is not a number clips nothing"
        );
        clip_global_norm(&mut found, 0.0);
        assert!(
            found["u"].iter().chain(&found["v"]).all(|x| *x == 0.0),
            "nothing is left at 0"
        );
    }

    /// Training on segments: a gradient together with the states after its last step.
    #[test]
    fn states_after_the_last_step_are_no_gradients() {
        let text = "param a\ninput x\nsample input s0\nstate s = s0\ns' = a * s + x\nloss s'^2\n";
        let sum = Recurrence::parse("sum.rec", text).unwrap();
        let gradient = sum.gradient(Wrt::Parameters).unwrap();
        let batch = Batch::new(2, 1).with("s0", array![50.0]);
        let batch = batch.with("x", array![[1.0], [2.0]]);
        let mut params = Params::new().with("a", arr0(0.5));
        let alone: f64 = gradient.evaluate(&params, &batch).unwrap()["a"].sum();
        let pieces = gradient.with_final_states().unwrap();
        let mut found = pieces.evaluate(&params, &batch).unwrap();
        let state = found["s.final"].clone();
        assert_eq!(clip_global_norm(&mut found, 1.0), alone.abs());
        assert_eq!(found["s.final"], state, "it is left as it is");
        Adam::new(0.1).step(&mut params, &found).unwrap();
        Sgd::new(0.1).step(&mut params, &found).unwrap();
    }

    #[test]
    fn clipping_does_not_overflow() {
        let mut found = outputs(&[("u", array![3e200, -4e200].into_dyn())]);
        assert!(
            (clip_global_norm(&mut found, 10.0) / 5e200 - 1.0).abs() < 1e-15,
            "the norm"
        );
        assert!((found["u"][0] - 6.0).abs() < 1e-12, "{}", found["u"]);
        let mut zero = outputs(&[("u", array![0.0].into_dyn())]);
        assert!(
            clip_global_norm(&mut zero, 0.0) == 0.0,
            "a gradient of zero stays zero"
        );
        assert!(zero["u"][0] == 0.0, "a gradient of zero stays zero");
    }

    #[test]
    fn a_gradient_that_does_not_fit_changes_nothing() {
        let before = start().with("b", arr0(1.0));
        let good = array![1.0, 1.0].into_dyn();
        let bad = [
            ("c", arr0(1.0).into_dyn(), "there is no parameter named `c`"),
            (
                "b",
                array![1.0, 2.0].into_dyn(),
                "gradient `b`: expected shape [], found [2]",
            ),
            ("b", arr0(f64::NAN).into_dyn(), "gradient `b` is not finite"),
        ];
        for (name, array, message) in bad {
            let gradient = outputs(&[("w", good.clone()), (name, array)]);
            let mut params = before.clone();
            let mut adam = Adam::new(0.1);
            for error in [
                adam.step(&mut params, &gradient).unwrap_err(),
                Sgd::new(0.1).step(&mut params, &gradient).unwrap_err(),
            ] {
                assert!(error.to_string().contains(message), "{error}");
            }
            assert_eq!(params, before);
            // A refused step does not count for the bias correction either.
            let gradient = outputs(&[("w", good.clone())]);
            let mut other = before.clone();
            adam.step(&mut params, &gradient).unwrap();
            Adam::new(0.1).step(&mut other, &gradient).unwrap();
            assert_eq!(params, other);
        }
    }
}
