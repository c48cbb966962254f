//! The kinds of numbers that are compared.

/// A kind of number that foreign code computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quantity {
    /// The loss.
    Loss,
    /// An output of the recurrence.
    Output,
    /// The derivative of the loss with respect to a parameter or an input.
    Gradient,
    /// The derivative of the loss (`loss`) or of an output along [`Case::direction`](crate::Case::direction), by forward mode.
    Tangent,
    /// The Hessian of the loss times [`Case::direction`](crate::Case::direction).
    HessianVector,
}

impl Quantity {
    /// Every quantity, in printing order.
    pub const ALL: [Self; 5] = [
        Self::Loss,
        Self::Output,
        Self::Gradient,
        Self::Tangent,
        Self::HessianVector,
    ];

    /// The name in files and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Output => "outputs",
            Self::Gradient => "gradient",
            Self::Tangent => "tangent",
            Self::HessianVector => "hessian_vector",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Output => "output",
            Self::Gradient => "gradient",
            Self::Tangent => "tangent",
            Self::HessianVector => "2nd order",
        }
    }

    /// An array as the subject of a sentence.
    pub(crate) fn of(self, name: &str) -> String {
        match self {
            Self::Loss => "the loss".into(),
            quantity => format!("the {} of `{name}`", quantity.title()),
        }
    }
}

/// The first names of a list, and the number of the others.
pub(crate) fn first_of(names: impl Iterator<Item = String>, shown: usize) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(shown);
    names.truncate(shown);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
