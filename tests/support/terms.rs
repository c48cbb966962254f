//! Edits of terms of a derivation.

use bptt::derive::Term;

/// The term with part `i` of [`Term::parts`] replaced.
pub(crate) fn with_part(term: &Term, i: usize, part: &Term) -> Term {
    let mut at = 0;
    term.map(&mut |old| {
        at += 1;
        if at - 1 == i { part } else { old }.clone()
    })
}
