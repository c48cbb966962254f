//! Functions that are made of others, entry by entry.

use super::Expr;

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
