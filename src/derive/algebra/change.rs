//! The difference between two terms: the smallest part in which they differ.

use super::term::Term;

/// A part of a term: the path to a subterm, and a range of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The indices into [`Term::parts`] from the whole term down to the subterm.
    pub path: Vec<usize>,
    /// A half-open range of neighbouring parts of a sum or product; `None` for the whole subterm at the end of the
    /// path.
    pub run: Option<(usize, usize)>,
}

/// The smallest part in which two terms differ, located in each of them. The rest is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place in the old term.
    pub before: Place,
    /// The place in the new term.
    pub after: Place,
}

impl Change {
    /// Finds the smallest part in which two terms differ.
    #[must_use]
    pub fn between(before: &Term, after: &Term) -> Self {
        let mut path = Vec::new();
        let (mut a, mut b) = (before, after);
        loop {
            let (old, new) = (a.parts(), b.parts());
            let alike = old.len() == new.len() && same_head(a, b);
            let differ: Vec<usize> = (0..old.len().min(new.len()))
                .filter(|i| old[*i] != new[*i])
                .collect();
            if let ([at], true) = (&differ[..], alike) {
                path.push(*at);
                (a, b) = (old[*at], new[*at]);
                continue;
            }
            let (old, new) = match runs(a, b) {
                Some((old, new)) => (Some(old), Some(new)),
                None => (None, None),
            };
            let place = |run| Place {
                path: path.clone(),
                run,
            };
            return Self {
                before: place(old),
                after: place(new),
            };
        }
    }
}

impl Place {
    /// The selected parts of `term`: one, or several neighbours; empty if `term` has no such place.
    #[must_use]
    pub fn find<'t>(&self, term: &'t Term) -> Vec<&'t Term> {
        let mut at = term;
        for i in &self.path {
            match at.parts().get(*i) {
                Some(part) => at = part,
                None => return Vec::new(),
            }
        }
        match self.run {
            None => vec![at],
            Some((from, to)) => at.parts().get(from..to).unwrap_or_default().to_vec(),
        }
    }
}

/// Returns true if two terms are equal apart from their parts.
fn same_head(a: &Term, b: &Term) -> bool {
    let bare = |t: &Term| t.map(&mut |_| Term::Zero);
    bare(a) == bare(b)
}

type Run = (usize, usize);

/// The neighbouring parts that differ between two sums, or two products of the same kind. A run is never empty: if a
/// part is inserted or removed, the whole term is marked.
fn runs(a: &Term, b: &Term) -> Option<(Run, Run)> {
    let (old, new) = match (a, b) {
        (Term::Add(x), Term::Add(y))
        | (Term::Had(x), Term::Had(y))
        | (Term::Mul(x), Term::Mul(y)) => (x, y),
        _ => return None,
    };
    let first = old.iter().zip(new).take_while(|(x, y)| x == y).count();
    let rest = old[first..].iter().rev().zip(new[first..].iter().rev());
    let last = rest.take_while(|(x, y)| x == y).count();
    let (old, new) = ((first, old.len() - last), (first, new.len() - last));
    let whole = first + last == 0;
    let empty = old.0 == old.1 || new.0 == new.1;
    (!whole && !empty).then_some((old, new))
}
