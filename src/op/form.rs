//! The dependence of an entry of a result on the entries of the arguments.

/// The dependence of the result on the arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A sum of the arguments with these signs.
    Sum(&'static [i8]),
    /// Linear in each argument.
    Product,
    /// Linear in the first argument.
    Quotient,
    /// Linear in no argument.
    Curved,
}

impl Form {
    /// The sign of each argument of a sum.
    pub(super) const fn signs(self) -> Option<&'static [i8]> {
        match self {
            Self::Sum(signs) => Some(signs),
            _ => None,
        }
    }

    /// Returns true if the result is linear in the active arguments together.
    pub(super) fn is_linear_in(self, active: &[bool]) -> bool {
        let count = active.iter().filter(|a| **a).count();
        match self {
            _ if count == 0 => true,
            Self::Sum(_) => true,
            Self::Product => count == 1,
            Self::Quotient => active == [true, false],
            Self::Curved => false,
        }
    }
}
