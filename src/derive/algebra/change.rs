//! What changes between two terms: the smallest part that differs.

use super::term::Term;

/// A part of a term: the way down to it, and which of the parts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which part to go down to, from the whole term on: an index into [`Term::parts`] each.
    pub path: Vec<usize>,
    /// Some neighbouring parts of a sum or product, from the first to before the last; all of the
    /// term at the end of the path when there is none.
    pub run: Option<(usize, usize)>,
}

/// The smallest part that differs between two terms, in each of them. Everything else is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it is in the line before.
    pub before: Place,
    /// Where it is in the line after.
    pub after: Place,
}

impl Change {
    /// The smallest part that differs.
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
    /// The parts of a term that are meant: one, or several neighbours; none when the place is not
    /// in the term.
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

/// Whether two terms are the same but for their parts.
fn same_head(a: &Term, b: &Term) -> bool {
    let bare = |t: &Term| t.map(&mut |_| Term::Zero);
    bare(a) == bare(b)
}

type Run = (usize, usize);

/// The neighbouring parts that differ between two sums or two products of the same kind. A run is
/// never empty: a part that comes or goes is shown with the whole.
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
