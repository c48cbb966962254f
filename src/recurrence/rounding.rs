//! Random rounding of all values of an unrolled recurrence.

use super::{Batch, Params, Unrolled};
use crate::error::Result;
use crate::noise::Noise;
use crate::op::Value;
use crate::tape::evaluate_rounded;

impl Unrolled {
    /// The value of every node, with the result of each operation rounded at random.
    pub(crate) fn values_rounded(
        &self,
        params: &Params<f64>,
        batch: &Batch<f64>,
        noise: &mut Noise,
    ) -> Result<Vec<Value<f64>>> {
        let bound = self.bound(params, batch)?;
        evaluate_rounded(&self.tape, |leaf| self.leaf_value(&bound, leaf), noise)
    }
}
