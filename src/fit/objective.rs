//! The function that Newton's method minimises.

use ndarray::Array1;

use super::gradients;
use crate::error::Result;
use crate::recurrence::{Outputs, Params};

/// The function to minimise.
pub trait Objective {
    /// The loss and its gradient, as returned by [`Recurrence::gradient`](crate::Recurrence::gradient).
    ///
    /// # Errors
    /// If it cannot be evaluated; if a value is not finite, the step is shortened.
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>>;

    /// The product of the Hessian with the direction among the parameters, as returned by
    /// [`Recurrence::hessian_vector`](crate::Recurrence::hessian_vector).
    ///
    /// # Errors
    /// If it cannot be evaluated.
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>>;

    /// The name of the direction of a parameter in the arguments of [`hessian_vector`](Self::hessian_vector). It is
    /// `w.dot` for `w`, unless the recurrence uses that name otherwise;
    /// [`Recurrence::leaf_for`](crate::Recurrence::leaf_for) returns the name in that case.
    fn direction(&self, parameter: &str) -> String {
        format!("{parameter}.dot")
    }

    /// The number of directions that [`hessian_vector`](Self::hessian_vector) takes at once, if their arrays, and
    /// those of its products, have an axis for them as their first axis, as in
    /// [`Program::directions`](crate::Program::directions). The parameters have this many entries.
    fn directions(&self, entries: usize) -> Option<usize> {
        let _ = entries;
        None
    }
}

/// All entries of a gradient, one array after the other.
pub(super) fn pack(outputs: &Outputs<f64>) -> Array1<f64> {
    gradients(outputs)
        .flat_map(|(_, a)| a.iter().copied())
        .collect()
}
