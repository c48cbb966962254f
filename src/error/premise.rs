//! The premises of standard errors.

/// The premises of standard errors, checked by [`fit::infer`](crate::fit::infer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Premise {
    /// The loss is a log likelihood on one scale: it does not mix sums with means.
    Scale,
    /// The fit has converged: the parameters are at most 0.01 standard errors from the minimum.
    Converged,
    /// The loss is at a minimum: its Hessian has no negative eigenvalue.
    Minimum,
    /// The Hessian describes the loss around the estimates: no kink is there, and no straight line.
    Smooth,
    /// The data identify the parameters: the Hessian is not singular.
    Identified,
    /// Every parameter has a finite estimate in the interior of its range.
    Interior,
    /// There are enough observations for outer products of scores.
    Observations,
}
