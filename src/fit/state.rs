//! The state of an optimiser, for saving and restoring.

use indexmap::IndexMap;
use ndarray::ArrayD;

use super::gradients;
use crate::error::{Error, Result, number};
use crate::op::Scalar;
use crate::recurrence::{Outputs, Params};

/// The memory of an optimiser between two steps, as named arrays. An optimiser with the same settings that
/// [restores](super::Adam::restore) it takes exactly the same steps as the saved one.
///
/// | optimiser | arrays, each in the shape of the parameter `W` | `steps` |
/// |---|---|---|
/// | [`Adam`](super::Adam) | `first.W` (the moment `m`), `second.W` (the moment `v`) | steps taken |
/// | [`Sgd`](super::Sgd) | `velocity.W` | 0 |
/// | [`Newton`](super::Newton) | if present, the numbers `radius`, `loss`, `decrement`, `length`, the rows `size` and `kept`, and `back.W`, the parameters before the last step | 0 |
///
/// A parameter that had no gradient yet has no arrays. The settings (rate, momentum, …) are not part of the state.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::Adam};
/// let r = Recurrence::parse("parabola.rec", "param w\nloss (w - 1)^2\n")?;
/// let gradient = r.gradient(Wrt::Parameters)?;
/// let (mut params, batch) = (Params::new().with("w", ndarray::arr0(3.0)), Batch::new(1, 1));
/// let mut adam = Adam::new(0.1);
/// let found = gradient.evaluate(&params, &batch)?;
/// adam.step(&mut params, &found)?;
///
/// let state = adam.state();
/// assert_eq!(state.steps, 1);
/// assert!(state.arrays.get("first.w").is_some() && state.arrays.get("second.w").is_some());
/// let mut resumed = Adam::new(0.1);
/// resumed.restore(&state)?;
/// assert_eq!(resumed, adam);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct State<F> {
    /// The number of steps taken, if the next step depends on it.
    pub steps: u64,
    /// The arrays, named as in the table above.
    pub arrays: Params<F>,
}

/// Arrays of one kind, by the name of their parameter.
pub(super) type Named<F> = IndexMap<String, ArrayD<F>>;

impl<F: Scalar> State<F> {
    /// The arrays of each kind. `optimizer` is the name used in errors.
    pub(super) fn split<const N: usize>(
        &self,
        optimizer: &'static str,
        kinds: [&str; N],
    ) -> Result<[Named<F>; N]> {
        let mut found = [(); N].map(|()| Named::new());
        for (name, array) in self.arrays.iter() {
            let (kind, parameter) = name.split_once('.').unwrap_or((name, ""));
            let Some(at) = kinds.iter().position(|k| *k == kind) else {
                let kinds = kinds.join("`, `");
                let reason = format!("array `{name}` is none of `{kinds}`");
                return Err(refuse(optimizer, reason));
            };
            if let Some(x) = array.iter().find(|x| !x.is_finite()) {
                let reason = format!(
                    "array `{name}` is not finite: it has the entry {}",
                    number(*x)
                );
                return Err(refuse(optimizer, reason));
            }
            found[at].insert(parameter.into(), array.clone());
        }
        Ok(found)
    }
}

pub(super) fn refuse(optimizer: &'static str, reason: String) -> Error {
    Error::OptimizerState { optimizer, reason }
}

/// Refuses a gradient whose shape differs from that of its parameter's state, before any change.
pub(super) fn check_shapes<'s, F: Scalar>(
    gradient: &Outputs<F>,
    shape: impl Fn(&str) -> Option<&'s [usize]>,
) -> Result<()> {
    for (name, g) in gradients(gradient) {
        if let Some(expected) = shape(name).filter(|s| *s != g.shape()) {
            return Err(Error::ArrayShape {
                what: "gradient",
                name: name.into(),
                expected: format!("{expected:?}, as in the optimizer's state"),
                found: g.shape().to_vec(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::{arr0, array};

    use super::super::{Adam, Newton, Sgd, outputs};
    use super::*;

    /// A gradient that varies from step to step.
    fn gradient(step: i32) -> Outputs<f64> {
        let x = f64::from(step);
        let w = array![x.sin(), 0.3 * x].into_dyn();
        let mut entries = vec![("loss", arr0(0.0).into_dyn()), ("w", w)];
        // A parameter that is frozen at first.
        if step > 2 {
            entries.push(("first.w", arr0(x.cos()).into_dyn()));
        }
        outputs(&entries)
    }

    fn start() -> Params<f64> {
        Params::new()
            .with("w", array![1.0, -2.0])
            .with("first.w", arr0(0.5))
    }

    /// A state saved after any number of steps leads to bitwise equal results.
    #[test]
    fn a_restored_optimizer_goes_on_exactly() {
        for saved in 0..6 {
            let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::new(0.1).momentum(0.9));
            let (mut a, mut s) = (start(), start());
            let mut halfway = None;
            for step in 0..6 {
                if step == saved {
                    let mut other = (Adam::new(0.1), Sgd::new(0.1).momentum(0.9));
                    other.0.restore(&adam.state()).unwrap();
                    other.1.restore(&sgd.state()).unwrap();
                    assert_eq!((&other.0, &other.1), (&adam, &sgd));
                    halfway = Some((other, a.clone(), s.clone()));
                }
                adam.step(&mut a, &gradient(step)).unwrap();
                sgd.step(&mut s, &gradient(step)).unwrap();
            }
            let ((mut adam, mut sgd), mut a2, mut s2) = halfway.unwrap();
            for step in saved..6 {
                adam.step(&mut a2, &gradient(step)).unwrap();
                sgd.step(&mut s2, &gradient(step)).unwrap();
            }
            assert_eq!((a2, s2), (a, s), "saved after {saved} steps");
        }
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused() {
        let state = |entries: &[(&str, f64)]| State {
            steps: 1,
            arrays: entries
                .iter()
                .fold(Params::new(), |p, (n, x)| p.with(n, arr0(*x))),
        };
        let cases = [
            (state(&[("first.w", 1.0)]), "array `second.w` is missing"),
            (state(&[("second.w", 1.0)]), "array `first.w` is missing"),
            (state(&[("third.w", 1.0)]), "none of `first`, `second`"),
            (state(&[("velocity.w", 1.0)]), "none of `first`, `second`"),
            (state(&[("first.w", f64::NAN)]), "is not finite"),
            (
                state(&[("first.w", 1.0), ("second.w", -1.0)]),
                "array `second.w` has the negative entry -1",
            ),
        ];
        for (state, expected) in cases {
            let mut adam = Adam::new(0.1);
            let message = adam.restore(&state).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(adam, Adam::new(0.1), "nothing has changed");
        }
        let mut state = state(&[("first.w", 1.0)]);
        state.arrays.insert("second.w", array![1.0, 1.0]);
        let message = Adam::new(0.1).restore(&state).unwrap_err().to_string();
        assert!(message.contains("expected shape []"), "{message}");
        assert!(Sgd::new(0.1).restore(&state).is_err(), "Adam's state");
        assert!(Newton::new().restore(&state).is_err(), "Adam's state");
    }

    /// The parameters may have a different shape than when the state was saved.
    #[test]
    fn a_step_with_another_shape_than_the_state_is_refused() {
        let (mut adam, mut sgd) = (Adam::new(0.1), Sgd::new(0.1).momentum(0.9));
        adam.step(&mut start(), &gradient(0)).unwrap();
        sgd.step(&mut start(), &gradient(0)).unwrap();
        let mut other = Params::new().with("w", array![1.0, 2.0, 3.0]);
        let wide = outputs(&[("w", array![1.0, 1.0, 1.0].into_dyn())]);
        let (before, kept) = (other.clone(), adam.clone());
        for error in [
            adam.step(&mut other, &wide).unwrap_err(),
            sgd.step(&mut other, &wide).unwrap_err(),
        ] {
            assert!(error.to_string().contains("[2], as in"), "{error}");
        }
        assert_eq!((other, adam), (before, kept), "nothing has changed");
    }
}
