//! Functions that are made of others, entry by entry.

use super::{Axis, Expr, Over};
use crate::shape::{Dim, Shape};

impl Expr<'_> {
    /// The value between `low` and `high`, entry by entry: `min(max(self, low), high)`.
    #[must_use]
    #[track_caller]
    pub fn clamp(self, low: Self, high: Self) -> Self {
        self.max(low).min(high)
    }

    /// The remainder `self − other ⌊self / other⌋`, which has the sign of `other`.
    #[must_use]
    #[track_caller]
    pub fn modulo(self, other: Self) -> Self {
        self - other * (self / other).floor()
    }

    /// The position of the largest entry of a vector, counted from 0; of equal ones the first. The derivative is 0.
    #[must_use]
    #[track_caller]
    pub fn argmax(self) -> Self {
        let largest = self.largest();
        let Some(Shape::Vector(n)) = self.shape() else {
            return self.fail("argmax takes a vector, or a matrix and an axis");
        };
        let best = self.equal(self.full_like(1.0) * largest);
        first(best, self.numbered(n), n, largest)
            .smallest()
            .stop_gradient()
    }

    /// The position of the largest entry of each column (`Axis::Rows`) or row (`Axis::Columns`) of a matrix.
    #[must_use]
    #[track_caller]
    pub fn argmax_along(self, axis: Axis) -> Self {
        let largest = self.largest_along(axis);
        let Some(shape @ Shape::Matrix(rows, columns)) = self.shape() else {
            return self.fail("an axis is one of a matrix");
        };
        let (n, other) = match axis {
            Axis::Rows => (rows, Axis::Columns),
            Axis::Columns => (columns, Axis::Rows),
        };
        let back = |e: Self| e.broadcast(shape, Over::Axis(axis));
        let numbers = self.numbered(n).broadcast(shape, Over::Axis(other));
        let best = self.equal(back(largest));
        first(best, numbers, n, back(largest))
            .smallest_along(axis)
            .stop_gradient()
    }

    /// The matrix whose row `i` has 1 at the place of entry `i` of a vector of class numbers, and zeros elsewhere.
    #[must_use]
    #[track_caller]
    pub fn one_hot_rows(self, classes: Dim) -> Self {
        let Some(Shape::Vector(n)) = self.shape() else {
            return self.fail("one_hot_rows takes a vector of class numbers");
        };
        let shape = Shape::Matrix(n, classes);
        let numbers = self
            .numbered(classes)
            .broadcast(shape, Over::Axis(Axis::Rows));
        numbers.equal(self.broadcast(shape, Over::Axis(Axis::Columns)))
    }

    /// The numbers 0, 1, … of the entries of a vector of this size.
    pub(crate) fn numbered(self, n: Dim) -> Self {
        let ones = self.constant(1.0).spread(Shape::Vector(n));
        ones.cumulative_sum(Axis::Rows) - 1.0
    }

    /// `x σ(x)` (Elfwing, Uchibe and Doya 2018), also called swish.
    #[must_use]
    #[track_caller]
    pub fn silu(self) -> Self {
        self * self.sigmoid()
    }

    /// `x Φ(x)` with the normal distribution function `Φ` (Hendrycks and Gimpel 2016).
    ///
    /// `Φ(x)` is computed as `erfc(−x / √2) / 2`, which does not cancel for negative `x`.
    #[must_use]
    #[track_caller]
    pub fn gelu(self) -> Self {
        0.5 * self * (-std::f64::consts::FRAC_1_SQRT_2 * self).erfc()
    }

    /// `x` for positive `x`, else `exp(x) − 1` (Clevert, Unterthiner and Hochreiter 2016).
    #[must_use]
    #[track_caller]
    pub fn elu(self) -> Self {
        // At 0, both branches have the derivative 1.
        self.full_like(0.0).less(self).select(self, self.expm1())
    }

    /// `x / (1 + |x|)` (Bergstra et al. 2009).
    #[must_use]
    #[track_caller]
    pub fn softsign(self) -> Self {
        self / (1.0 + self.abs())
    }

    /// `x / 6 + 1/2` between 0 and 1, as in PyTorch and Keras 3.
    #[must_use]
    #[track_caller]
    pub fn hard_sigmoid(self) -> Self {
        let line = self / 6.0 + 0.5;
        line.clamp(line.full_like(0.0), line.full_like(1.0))
    }
}

/// The numbers where an entry is the best, and `n` elsewhere; NaN if the best is.
fn first<'b>(best: Expr<'b>, numbers: Expr<'b>, n: Dim, largest: Expr<'b>) -> Expr<'b> {
    let past = best.constant(1.0).count([n].into());
    best.select(numbers, largest.equal(largest).select(past, largest))
}
