//! Partial derivatives in the rows of the pointwise ops.

use super::Expr;

/// A partial derivative.
pub(crate) enum Partial<'b> {
    Zero,
    One,
    MinusOne,
    By(Expr<'b>),
    /// As `By`, but in the product in which zero times infinity is zero.
    Strong(Expr<'b>),
}

impl<'b> From<Expr<'b>> for Partial<'b> {
    fn from(e: Expr<'b>) -> Self {
        Self::By(e)
    }
}

impl<'b> Partial<'b> {
    /// The product of the partial with a tangent or cotangent; `None` is zero.
    pub(crate) fn times(self, x: Expr<'b>) -> Option<Expr<'b>> {
        match self {
            Self::Zero => None,
            Self::One => Some(x),
            Self::MinusOne => Some(-x),
            Self::By(partial) => Some(partial.applied_to(x)),
            Self::Strong(partial) => Some(partial.strong_mul(x)),
        }
    }
}
