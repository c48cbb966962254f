//! Functions of whole arrays as the engine runs them, and as methods.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis as NdAxis};
use smallvec::SmallVec;

use super::axis::{Axis, Over};
use super::dense::{Dense, Slices, extent};
use super::lowering::Extent;
use super::{CustomOp, Expr, Reduce, Scalar, Value};
use crate::shape::Shape;

/// A row of the table as the engine runs it.
#[derive(Debug)]
pub(super) struct Rows(pub(super) Dense);

impl Rows {
    fn all<F: Scalar>(&self, args: &[ArrayViewD<'_, F>], mut out: ArrayViewMutD<'_, F>) {
        let count = out.len_of(NdAxis(0));
        let len = out.len().checked_div(count).unwrap_or(0);
        let mut shapes: SmallVec<[Extent; 2]> = SmallVec::new();
        let mut rows: SmallVec<[RowsOf<'_, F>; 2]> = SmallVec::new();
        for arg in args {
            shapes.push(extent(&arg.shape()[1..]));
            rows.push(RowsOf::new(arg));
        }
        for i in 0..count {
            let mut slices: Slices<'_, F> = SmallVec::new();
            for (arg, rows) in rows.iter().enumerate() {
                slices.push((rows.at(i), shapes[arg]));
            }
            if let Some(out) = out.as_slice_mut() {
                self.0.row(&slices, &mut out[i * len..(i + 1) * len]);
                continue;
            }
            let mut row = out.index_axis_mut(NdAxis(0), i);
            let row = row.as_slice_mut().expect("a row of a result is contiguous");
            self.0.row(&slices, row);
        }
    }

    fn one<F: Scalar>(&self, args: &[ArrayViewD<'_, F>]) -> ArrayD<F> {
        let values: Vec<Value<F>> = args.iter().map(|a| Value::Real(a.to_owned())).collect();
        let values: Vec<&Value<F>> = values.iter().collect();
        self.0.eval(&values).real().clone()
    }
}

/// The rows of an argument.
enum RowsOf<'a, F> {
    /// One after the other, each of this many numbers.
    Joined(&'a [F], usize),
    /// Each somewhere else, or all the same.
    Apart(ArrayViewD<'a, F>),
}

impl<'a, F: Scalar> RowsOf<'a, F> {
    fn new(rows: &ArrayViewD<'a, F>) -> Self {
        let count = rows.len_of(NdAxis(0));
        match rows.to_slice() {
            Some(all) => Self::Joined(all, all.len().checked_div(count).unwrap_or(0)),
            None => Self::Apart(rows.clone()),
        }
    }

    fn at(&self, i: usize) -> &'a [F] {
        match self {
            Self::Joined(all, len) => &all[i * len..(i + 1) * len],
            Self::Apart(rows) => {
                let row = rows.clone().index_axis_move(NdAxis(0), i);
                row.to_slice().expect("a row of an operand is contiguous")
            }
        }
    }
}

impl CustomOp for Rows {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn shape(&self, _: &[Shape]) -> Result<Shape, String> {
        Err("a plan knows the shapes of its values".into())
    }

    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        self.one(args)
    }

    fn eval_f32(&self, args: &[ArrayViewD<'_, f32>]) -> ArrayD<f32> {
        self.one(args)
    }

    fn eval_rows(
        &self,
        args: &[ArrayViewD<'_, f64>],
        out: ArrayViewMutD<'_, f64>,
    ) -> Result<(), String> {
        self.all(args, out);
        Ok(())
    }

    fn eval_rows_f32(
        &self,
        args: &[ArrayViewD<'_, f32>],
        out: ArrayViewMutD<'_, f32>,
    ) -> Result<(), String> {
        self.all(args, out);
        Ok(())
    }

    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        self.0.tangent(x, y, x_dot)
    }
}

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
