//! The parts of a derivation, and the levels of detail.

/// The level of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// The results only.
    Sheet,
    /// The results and the lines between them.
    #[default]
    Normal,
    /// Every use of every rule.
    Full,
}

/// The part of the derivation that contains a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// The recurrence as given.
    Definition,
    /// One step, linearised.
    Differentials,
    /// The adjoint of each line.
    Adjoints,
    /// δ of every named value.
    Recursion,
    /// The gradients with respect to parameters.
    Parameters,
    /// The gradients with respect to inputs and initial states.
    Inputs,
    /// Several values of the same form, stacked into one.
    Stacked,
    /// The Jacobian of the state and its products.
    Jacobian,
    /// A state that is updated by entrywise scaling and addition.
    Carousel,
    /// The equivalence of the double sum and the recursion.
    Bridge,
    /// The costate of each state: the gradient that it receives from later steps.
    Costate,
    /// The error of truncation.
    Truncation,
    /// Bounds on products of Jacobians.
    Bounds,
    /// The general theorem, for any recurrence.
    Theorem,
}

impl Part {
    /// Every part, in order.
    pub const ALL: &'static [Self] = &[
        Self::Definition,
        Self::Differentials,
        Self::Adjoints,
        Self::Recursion,
        Self::Parameters,
        Self::Inputs,
        Self::Stacked,
        Self::Jacobian,
        Self::Carousel,
        Self::Bridge,
        Self::Costate,
        Self::Truncation,
        Self::Bounds,
        Self::Theorem,
    ];
}
