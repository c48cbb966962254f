//! The Jacobian of single steps.

use ndarray::{Array2, Array3};

use super::Flow;
use super::bundle::Bundle;
use super::linear::{Linear, Place};
use crate::error::Result;
use crate::recurrence::check_room;

impl Flow {
    /// The Jacobian `J_t = ∂s_t/∂s_{t-1}` of a step of a sample, `[n, n]`: row `i` is the derivative of entry `i` after the step. Steps are counted from 1,
    /// as in `s_t`.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// // Hénon's map.
    /// let map = Recurrence::parse("henon.rec", "state x, y\nx' = 1 - 1.4 * x^2 + y\ny' = 0.3 * x\n")?;
    /// let flow = map.flow(&Params::new(), &Batch::new(2, 1))?;
    /// assert_eq!(flow.jacobian(0, 2)?, array![[-2.8, 1.0], [0.3, 0.0]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Batch`](crate::Error::Batch) if there is no such sample or step.
    pub fn jacobian(&self, sample: usize, step: usize) -> Result<Array2<f64>> {
        let at = self.check_step(sample, step)?;
        let mut runs = self.jacobians(sample)?;
        let found = runs.at(&[at])?;
        Ok(found
            .index_axis_move(ndarray::Axis(0), 0)
            .reversed_axes()
            .as_standard_layout()
            .into_owned())
    }

    /// The Jacobians of steps of a sample.
    pub(super) fn jacobians(&self, sample: usize) -> Result<Jacobians<'_>> {
        Ok(Jacobians {
            size: self.size(),
            flow: self,
            sample,
            runs: self.tangents(self.size())?,
        })
    }
}

/// Jacobians of steps of a sample, a few steps at a time.
#[derive(Debug)]
pub(super) struct Jacobians<'f> {
    flow: &'f Flow,
    sample: usize,
    size: usize,
    runs: Linear<'f>,
}

impl Jacobians<'_> {
    /// The transposed Jacobians of some steps (counted from 0), `[steps, n, n]`: row `j` is the derivative by entry `j` before the step.
    pub(super) fn at(&mut self, steps: &[usize]) -> Result<Array3<f64>> {
        let n = self.size;
        check_room::<f64>("the Jacobians", &[steps.len(), n, n])?;
        let units = Bundle::units(self.flow.parts(), steps.len())?;
        let mut images = units.clone();
        let places: Vec<Place> = steps
            .iter()
            .map(|step| Place {
                sample: self.sample,
                step: *step,
            })
            .collect();
        self.runs.apply(&places, &units, &mut images)?;
        let mut found = Array3::zeros((steps.len(), n, n));
        for (row, mut to) in found.outer_iter_mut().enumerate() {
            to.assign(&images.matrix(row));
        }
        Ok(found)
    }
}
