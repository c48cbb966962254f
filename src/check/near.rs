//! The loss and the gradient at other data, with the values fixed that derivatives hold fixed.

use super::routes::Runner;
use super::subject::Data;
use crate::error::Result;
use crate::op::Value;
use crate::tape::Side;

impl Runner<'_> {
    /// The values of the loss at other data, but for those that derivatives hold fixed.
    pub(super) fn loss_near(&self, data: &Data) -> Result<Vec<Value<f64>>> {
        let held = self.held.as_ref();
        self.loss.values_with(held, &data.params, &data.batch)
    }

    pub(super) fn sides_of(&self, values: &[Value<f64>]) -> Vec<Side> {
        self.loss.kinks_with(self.held.as_ref(), values)
    }

    /// The same for the gradient.
    pub(super) fn gradient_near(&self, data: &Data) -> Result<Vec<Value<f64>>> {
        let held = self.held_in_tape.as_ref();
        self.tape.values_with(held, &data.params, &data.batch)
    }
}
