//! The application of a rule: the function on terms of each [`Rewrite`].

use super::known::{Known, replaced};
use super::{linear, norms, partial, paths, stacks, sums};
use crate::derive::algebra::numbers::numbers_first;
use crate::derive::algebra::simplify::tidy;
use crate::derive::algebra::term::Term;
use crate::derive::record::rewrite::{At, Rewrite, rewrites};

impl Rewrite {
    /// Applies the rule; `None` if it does not apply.
    pub(crate) fn apply(&self, before: &Term, known: &Known<'_>) -> Option<Term> {
        macro_rules! applied {
            ($(
                $(#[doc = $doc:literal])+
                $name:ident$(($($arg:ident: $kind:ty),+))?:
                $rule:expr, $relation:ident, [$($line:expr),*], $apply:expr;
            )+) => {
                match self { $(Self::$name$(($($arg),+))? => Option::<Term>::from($apply)?,)+ }
            };
        }
        let after = rewrites!(applied before known);
        let after = numbers_first(&after, known.tape);
        (after != *before).then_some(after)
    }
}

fn unfold(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let (left, right) = known.sides(at, false)?;
    Some(tidy(&replaced(before, &left, &right)))
}

fn beyond(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let (left, right) = known.sides(at, false)?;
    let (_, step) = at.steps.iter().find(|(var, _)| *var == 't')?;
    Some(tidy(&replaced(before, &left, &sums::guarded(&right, step))))
}

fn fold(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let (left, right) = known.sides(at, false)?;
    Some(tidy(&replaced(before, &right, &left)))
}

fn at_most(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let (left, right) = known.sides(at, true)?;
    Some(replaced(before, &left, &right))
}
