//! Parameters and inputs whose derivative is zero, or was not compared by every route.

use crate::recurrence::Influence;

/// The reason why a derivative is zero, not resolved by differences, or not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remark {
    /// The loss does not depend on it.
    Unused,
    /// It is used only in comparisons or as a condition, as resets and masks are.
    Condition,
    /// It is used only in values that `stop_gradient` or `surrogate` takes as constant.
    Stopped,
    /// The gradient is zero up to rounding, the curvature is not: the terms cancel.
    Stationary,
    /// The gradient and the curvature are zero up to rounding.
    Flat,
    /// The derivative is smaller than the rounding error of the differences, which do not contradict it; it uses only
    /// the rules of built-in ops.
    Faint,
    /// The derivative uses the rule of a custom op, which only differences can test, and it is too small for them.
    Rule,
    /// The exact routes differ by more than the tolerance, but by no more than rounding can cause.
    Rounded,
    /// A kink or the end of a domain is too close for differences.
    Kink,
    /// The loss is too curved for differences.
    Bent,
}

impl Influence {
    /// The remark about a parameter or input with this influence.
    pub(super) const fn remark(self) -> Option<Remark> {
        match self {
            Self::None => Some(Remark::Unused),
            Self::Condition => Some(Remark::Condition),
            Self::Stopped => Some(Remark::Stopped),
            Self::Real => None,
        }
    }
}

impl Remark {
    /// Every remark, in printing order.
    pub const ALL: &'static [Self] = &[
        Self::Unused,
        Self::Condition,
        Self::Stopped,
        Self::Stationary,
        Self::Flat,
        Self::Faint,
        Self::Rule,
        Self::Rounded,
        Self::Kink,
        Self::Bent,
    ];

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Condition => "condition",
            Self::Stopped => "stopped",
            Self::Stationary => "stationary",
            Self::Flat => "flat",
            Self::Faint => "faint",
            Self::Rule => "rule",
            Self::Rounded => "rounded",
            Self::Kink => "kink",
            Self::Bent => "bent",
        }
    }

    /// The explanation, without the names of parameters and inputs.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unused => "the loss does not depend on it",
            Self::Condition => {
                "a condition, whose derivative is zero wherever it exists; it is not perturbed"
            }
            Self::Stopped => {
                "its derivative is zero everywhere, since `stop_gradient` or `surrogate` takes it as constant"
            }
            Self::Stationary => "the gradient is zero here: its terms cancel, as at an optimum",
            Self::Flat => {
                "not tested, since the gradient and the curvature are zero here: a unit is saturated or \
                 switched off, or this data gives it no effect; check at other numbers (`Params::insert`)"
            }
            Self::Faint => {
                "the derivative is below the rounding error of the differences, which only show \
                 that it is no larger"
            }
            Self::Rule => {
                "its derivative uses the rule of a custom op, which only differences can test, and it \
                 is too small for them here; check at other numbers (`Params::insert`), or leave out \
                 constants of the loss"
            }
            Self::Rounded => {
                "rounding errors hide the derivative, as in chaotic systems; check fewer steps \
                 (`Check::steps`), or other numbers"
            }
            Self::Kink => {
                "a kink (abs, relu, max, a comparison) or the end of a domain (ln, sqrt) is too near \
                 for differences; check with other numbers"
            }
            Self::Bent => {
                "the loss bends too strongly for differences, as in chaotic systems; check \
                 fewer steps (`Check::steps`)"
            }
        }
    }
}
