//! Conditions on steps, which are 1 or 0: where they hold always or never.

use super::term::{Base, Term, Time};

pub(crate) fn is_condition(term: &Term) -> bool {
    matches!(term, Term::Before(..) | Term::At(..))
}

/// Whether a condition on steps holds, where that is so at every step or at none.
pub(super) fn always(condition: &Term) -> Option<bool> {
    let inside = |at: &Time| match at.base {
        // No variable is more than the last step.
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
