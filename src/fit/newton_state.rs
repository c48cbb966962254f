//! The state of Newton's method, for saving and restoring.

use ndarray::{Array1, arr0};

use super::model::Sizes;
use super::newton::Newton;
use super::state::{Named, State, refuse};
use crate::error::Result;
use crate::recurrence::Params;

impl Newton {
    /// The state, for saving.
    #[must_use]
    pub fn state(&self) -> State<f64> {
        let mut arrays = Params::new();
        let numbers = [
            ("radius", self.radius),
            ("loss", self.first),
            ("decrement", self.last),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                arrays.insert(name, arr0(number));
            }
        }
        if let Some(sizes) = &self.sizes {
            arrays.insert("size", sizes.now.clone());
            arrays.insert("kept", sizes.kept.clone());
        }
        if let Some((back, length)) = &self.back {
            arrays.insert("length", arr0(*length));
            for (name, array) in back.iter() {
                arrays.insert(&format!("back.{name}"), array.clone());
            }
        }
        State { steps: 0, arrays }
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`Error::OptimizerState`](crate::Error::OptimizerState) if it is not a state of Newton's method. Nothing is
    /// changed then.
    pub fn restore(&mut self, state: &State<f64>) -> Result<()> {
        const NAME: &str = "Newton's method";
        let kinds = [
            "radius",
            "loss",
            "decrement",
            "length",
            "size",
            "kept",
            "back",
        ];
        let [radius, loss, decrement, length, size, kept, before] = state.split(NAME, kinds)?;
        let number = |named: &Named<f64>| named.first().and_then(|(_, a)| a.first().copied());
        let (radius, length) = (number(&radius), number(&length));
        if [radius, length].into_iter().flatten().any(|x| x <= 0.0) {
            let reason = "expected a positive `radius` and `length`".into();
            return Err(refuse(NAME, reason));
        }
        let row = |named: &Named<f64>| -> Option<Array1<f64>> {
            named.first().map(|(_, a)| a.iter().copied().collect())
        };
        let sizes = match (row(&size), row(&kept)) {
            (None, None) => None,
            (Some(now), Some(kept))
                if now.len() == kept.len() && now.iter().all(|size| *size > 0.0) =>
            {
                Some(Sizes { now, kept })
            }
            _ => {
                let reason = "expected `size` and `kept` of one length, and positive sizes".into();
                return Err(refuse(NAME, reason));
            }
        };
        let mut back = Params::new();
        for (name, array) in before {
            back.insert(&name, array);
        }
        *self = Self {
            radius,
            first: number(&loss),
            last: number(&decrement),
            back: length.map(|length| (back, length)),
            sizes,
        };
        Ok(())
    }
}
