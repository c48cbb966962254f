//! Losses, as functions of expressions: they are made of ops, and have no rules of their own.

use crate::op::Expr;

impl<'b> Expr<'b> {
    /// `½ ‖self − target‖²`, a scalar; its derivative is `self − target`.
    #[must_use]
    #[track_caller]
    pub fn squared_error(self, target: Self) -> Self {
        0.5 * (self - target).square().sum()
    }

    /// `−ln softmax(self)[class]` of a vector of logits, a scalar; its derivative is
    /// `softmax(self) − one_hot(class)`.
    #[must_use]
    #[track_caller]
    pub fn softmax_cross_entropy(self, class: Self) -> Self {
        (-self.log_softmax()).gather(class)
    }

    /// `Σ −y ln σ(self) − (1 − y) ln(1 − σ(self))` of logits and labels in [0, 1], a scalar; its
    /// derivative is `σ(self) − y`.
    ///
    /// It is computed as `y softplus(−self) + (1 − y) softplus(self)`, in which nothing cancels.
    #[must_use]
    #[track_caller]
    pub fn binary_cross_entropy(self, label: Self) -> Self {
        (label * (-self).softplus() + (1.0 - label) * self.softplus()).sum()
    }

    /// `ln σ(self)`, entry by entry, computed as `−softplus(−self)`: `ln` of a sigmoid loses all
    /// digits where the sigmoid is close to 1.
    #[must_use]
    #[track_caller]
    pub fn log_sigmoid(self) -> Self {
        -(-self).softplus()
    }
}
