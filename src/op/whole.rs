//! Functions of whole arrays as methods.

use super::axis::{Axis, Over};
use super::dense::Dense;
use super::{Expr, Reduce};

impl<'b> Expr<'b> {
    /// The solution `X` of `self X = b`, for a square matrix `[n, n]` and a vector `[n]` or matrix `[n, k]`, by
    /// elimination with pivoting. It is NaN for a singular matrix, which a run reports with its step and sample.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let r = Recurrence::define("solve", |r| {
    ///     let (a, b) = (r.param("A", [2, 2]), r.param("b", [2]));
    ///     r.output("x", a.solve(b));
    ///     r.output("area", a.log_det());
    ///     r.loss(a.solve(b).sum());
    /// })?;
    /// let params = Params::<f64>::new().with("A", array![[2.0, 1.0], [1.0, 3.0]]).with("b", array![3.0, 5.0]);
    /// let found = r.evaluate(&params, &Batch::new(1, 1))?;
    /// assert!((found["x"][[0]] - 0.8).abs() < 1e-15 && (found["x"][[1]] - 1.4).abs() < 1e-15);
    /// assert!((found["area"].sum() - 5_f64.ln()).abs() < 1e-15);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn solve(self, b: Self) -> Self {
        Self::apply(Dense::Solve, &[self, b])
    }

    /// The inverse of a square matrix.
    #[must_use]
    #[track_caller]
    pub fn inverse(self) -> Self {
        Self::apply(Dense::Inverse, &[self])
    }

    /// The logarithm of the determinant of a square matrix; NaN if the determinant is negative.
    #[must_use]
    #[track_caller]
    pub fn log_det(self) -> Self {
        Self::apply(Dense::LogDet, &[self])
    }

    /// The lower triangular `L` with `L Lᵀ = A`, for a symmetric positive definite matrix `A`; NaN for one that is not
    /// positive definite. Of another matrix, the symmetric part `(A + Aᵀ)/2` is used.
    #[must_use]
    #[track_caller]
    pub fn cholesky(self) -> Self {
        Self::apply(Dense::Cholesky, &[self])
    }

    /// The entries on and below the diagonal of a matrix, zeros above.
    #[must_use]
    #[track_caller]
    pub fn lower_triangle(self) -> Self {
        Self::apply(Dense::Triangle { half: false }, &[self])
    }

    /// The sums of the first 1, 2, … entries along an axis.
    #[must_use]
    #[track_caller]
    pub fn cumulative_sum(self, axis: Axis) -> Self {
        let reverse = false;
        Self::apply(Dense::CumSum { axis, reverse }, &[self])
    }

    /// The largest entry. If several are largest, they share the derivative.
    #[must_use]
    #[track_caller]
    pub fn largest(self) -> Self {
        let (largest, over) = (true, Over::All);
        Self::apply(Dense::Extreme { largest, over }, &[self])
    }

    /// The smallest entry. If several are smallest, they share the derivative.
    #[must_use]
    #[track_caller]
    pub fn smallest(self) -> Self {
        let (largest, over) = (false, Over::All);
        Self::apply(Dense::Extreme { largest, over }, &[self])
    }

    /// The largest entry of each column (`Axis::Rows`) or row (`Axis::Columns`) of a matrix.
    #[must_use]
    #[track_caller]
    pub fn largest_along(self, axis: Axis) -> Self {
        let (largest, over) = (true, Over::Axis(axis));
        Self::apply(Dense::Extreme { largest, over }, &[self])
    }

    /// The smallest entry of each column (`Axis::Rows`) or row (`Axis::Columns`) of a matrix.
    #[must_use]
    #[track_caller]
    pub fn smallest_along(self, axis: Axis) -> Self {
        let (largest, over) = (false, Over::Axis(axis));
        Self::apply(Dense::Extreme { largest, over }, &[self])
    }

    /// The softmax of each column (`Axis::Rows`) or row (`Axis::Columns`) of a matrix; their sums along the axis are 1.
    #[must_use]
    #[track_caller]
    pub fn softmax_along(self, axis: Axis) -> Self {
        Self::apply(Dense::Along(Reduce::Softmax, axis), &[self])
    }

    /// The logsumexp of each column (`Axis::Rows`) or row (`Axis::Columns`) of a matrix.
    #[must_use]
    #[track_caller]
    pub fn logsumexp_along(self, axis: Axis) -> Self {
        Self::apply(Dense::Along(Reduce::LogSumExp, axis), &[self])
    }

    /// The logarithm of [`softmax_along`](Self::softmax_along), without cancellation.
    #[must_use]
    #[track_caller]
    pub fn log_softmax_along(self, axis: Axis) -> Self {
        Self::apply(Dense::Along(Reduce::LogSoftmax, axis), &[self])
    }
}
