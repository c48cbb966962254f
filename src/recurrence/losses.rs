//! Loss functions of expressions, and the losses of a definition. They are compositions of ops and have no
//! derivative rules of their own.

use super::Definition;
use crate::op::{Build as _, Expr};
use crate::shape::{Rate, Shape};

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

impl Definition {
    #[track_caller]
    fn check_loss<'d>(&self, value: Expr<'d>) -> Option<Expr<'d>> {
        if !self.check_own(value, "the loss") {
            return None;
        }
        let id = value.id()?;
        if !self.scope.type_of(id).is_real() || value.shape() != Some(Shape::Scalar) {
            let text = self.scope.with(|t| {
                format!(
                    "`{}` is {}",
                    t.expression(id),
                    t.ty(id).text(&t.dim_names())
                )
            });
            self.fail(format!("a loss must be a scalar, use `sum`: {text}"));
            return None;
        }
        Some(value)
    }

    #[track_caller]
    fn add_loss(&self, value: Expr<'_>) {
        if let Some(id) = value.total(Rate::Static).id() {
            self.losses.borrow_mut().push(id);
        }
    }

    /// Adds a scalar to the loss, summed over steps and samples for a value per step, over samples for a value
    /// per sample; a value of parameters alone counts once. May be called several times.
    ///
    /// The [rate](Expr::rate) of the expression determines how often it counts; [`hold`](Expr::hold) changes
    /// the rate. With `T = 4` steps, `B = 3` samples and `p = 2`:
    ///
    /// | value | rate | `loss` | `mean_loss` | `final_loss` | `mean_final_loss` |
    /// |---|---|---|---|---|---|
    /// | `p` | static | 2 | 2 | 2 | 2 |
    /// | `p * s` with a sample input `s = 1` | sample | 6 | 2 | 6 | 2 |
    /// | `p * x` with an input `x = 1` | step | 24 | 2 | 6 | 2 |
    ///
    /// ```
    /// use bptt::{Batch, Params, Rate, Recurrence};
    /// let loss = |rate| {
    ///     let r = Recurrence::define("penalty", |r| {
    ///         r.input("x", ());
    ///         r.loss(r.param("p", ()).hold(rate));
    ///     })?;
    ///     let batch = Batch::new(4, 3).with("x", ndarray::Array2::zeros((4, 3)));
    ///     let params = Params::new().with("p", ndarray::arr0(2.0));
    ///     r.evaluate(&params, &batch)?.loss()
    /// };
    /// assert_eq!(loss(Rate::Static)?, 2.0);
    /// assert_eq!(loss(Rate::Sample)?, 6.0);
    /// assert_eq!(loss(Rate::Step)?, 24.0);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[track_caller]
    pub fn loss(&self, value: Expr<'_>) {
        if let Some(value) = self.check_loss(value) {
            self.add_loss(value);
        }
    }

    /// Adds a scalar to the loss, averaged over the active steps of all samples for a value per step, over the
    /// samples for a value per sample; a value of parameters alone is its own mean. See the table at
    /// [`loss`](Self::loss).
    #[track_caller]
    pub fn mean_loss(&self, value: Expr<'_>) {
        let Some(value) = self.check_loss(value) else {
            return;
        };
        match value.rate() {
            Some(Rate::Static) | None => self.add_loss(value),
            Some(rate) => {
                let count = value.constant(1.0).hold(rate).total(Rate::Static);
                self.add_loss(value.total(Rate::Static) / count);
            }
        }
    }

    /// Adds the value of a scalar at the last step to the loss, summed over samples. A value per sample is
    /// summed over samples as it is, and a value of parameters alone counts once. See the table at
    /// [`loss`](Self::loss).
    #[track_caller]
    pub fn final_loss(&self, value: Expr<'_>) {
        if let Some(value) = self.check_loss(value) {
            self.loss(last(value));
        }
    }

    /// Adds the value of a scalar at the last step to the loss, averaged over samples; a value of
    /// parameters alone is its own mean. See the table at [`loss`](Self::loss).
    #[track_caller]
    pub fn mean_final_loss(&self, value: Expr<'_>) {
        if let Some(value) = self.check_loss(value) {
            self.mean_loss(last(value));
        }
    }
}

/// The value at the last step; a value that does not vary with the step is unchanged.
fn last(value: Expr<'_>) -> Expr<'_> {
    match value.rate() {
        Some(Rate::Step) => value.last(),
        _ => value,
    }
}
