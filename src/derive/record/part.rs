//! The parts of a derivation, and how much of it is shown.

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// The results only.
    Sheet,
    /// Results and the lines between.
    #[default]
    Normal,
    /// Every use of every rule.
    Full,
}

/// Which part of the derivation a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The recurrence as it was given.
    Definition,
    /// What holds for every recurrence.
    Theorem,
    /// One step, linearised.
    Differentials,
    /// The adjoint of each line.
    Adjoints,
    /// δ of every named value.
    Recursion,
    /// The gradients of parameters.
    Parameters,
    /// The gradients of inputs and initial states.
    Inputs,
    /// Several values that are computed alike, as one.
    Stacked,
    /// The Jacobian of the state and its products.
    Jacobian,
    /// A state that is carried on entry by entry.
    Carousel,
    /// The double sum and the recursion.
    Bridge,
    /// What each of several states gets from later steps.
    Costate,
    /// What truncation leaves out.
    Truncation,
    /// How large products of Jacobians can be.
    Bounds,
}

impl Part {
    /// Every part, in order.
    pub const ALL: &'static [Self] = &[
        Self::Definition,
        Self::Theorem,
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
    ];
}
