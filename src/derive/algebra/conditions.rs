//! Conditions on steps, which are 1 or 0; some hold at every step or at none.

use super::term::{Base, Term, Time};

pub(crate) fn is_condition(term: &Term) -> bool {
    matches!(term, Term::Before(..) | Term::At(..))
}

/// The truth value of a condition that is the same at every step; `None` if it varies.
pub(super) fn always(condition: &Term) -> Option<bool> {
    let inside = |at: &Time| match at.base {
        // A variable is at most `T`.
        Base::Var(_) => at.offset < 0,
        Base::Zero => at.offset <= 0,
        _ => false,
    };
    match condition {
        Term::Before(a, b) if *b == Time::last() && inside(a) => Some(true),
        Term::At(a, b) if a == b => Some(true),
        Term::At(a, b) if *b == Time::last() && inside(a) => Some(false),
        _ => None,
    }
}
