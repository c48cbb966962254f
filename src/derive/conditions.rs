//! Conditions on steps, which are 1 or 0: where they hold always or never, and what becomes of sums with
//! them.

use super::canon::{add, is_negative, neg};
use super::products::{hadamard, inner, product, transpose};
use super::term::{Base, Term, Time};

pub(super) fn is_condition(term: &Term) -> bool {
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

/// `[t < T] x + [t = T] x = x`: no step is later.
pub(super) fn either(terms: &[Term], term: &Term) -> Option<(usize, Term)> {
    let parts = |t: &Term| match t.unsigned() {
        Term::Mul(factors) => {
            let at = factors.iter().position(is_condition)?;
            let mut rest = factors.clone();
            let condition = rest.remove(at);
            Some((condition, is_negative(t), rest))
        }
        _ => None,
    };
    let (own, sign, rest) = parts(term)?;
    terms.iter().enumerate().find_map(|(at, other)| {
        let (condition, other_sign, others) = parts(other)?;
        let covers = match (&own, &condition) {
            (Term::Before(a, last), Term::At(b, end))
            | (Term::At(a, last), Term::Before(b, end)) => {
                a == b && last == end && *last == Time::last()
            }
            _ => false,
        };
        (covers && sign == other_sign && rest == others).then(|| {
            let whole = product(others);
            (at, if sign { neg(whole) } else { whole })
        })
    })
}

/// What a sum over steps is of which all but one are zero: `∑ [t = T] f_t = f_T`.
pub(super) fn picked(body: &Term, var: char, from: &Time, to: &Time) -> Option<Term> {
    // A sum that may be empty has no such step.
    let one_at_least = *to == Time::last()
        && (*from == Time::at(1) || from.offset == 0 && matches!(from.base, Base::Var(_)));
    let step = [from, to]
        .into_iter()
        .find(|end| body.any(&|x| *x == Term::At(Time::var(var), (*end).clone())))?;
    let asked = Term::At(Time::var(var), step.clone());
    one_at_least
        .then(|| without(body, &asked))
        .flatten()
        .map(|there| there.at(var, step))
}

/// A product without one of its factors.
fn without(term: &Term, factor: &Term) -> Option<Term> {
    match term {
        term if term == factor => Some(Term::Num(1.0)),
        Term::Neg(x) => without(x, factor).map(neg),
        Term::T(x) => without(x, factor).map(transpose),
        Term::Add(parts) => {
            let parts: Option<Vec<Term>> = parts.iter().map(|p| without(p, factor)).collect();
            parts.map(add)
        }
        Term::Inner(a, b) => Some(inner(without(a, factor)?, (**b).clone())),
        Term::Mul(factors) | Term::Had(factors) => {
            let (at, rest) = factors
                .iter()
                .enumerate()
                .find_map(|(at, f)| Some((at, without(f, factor)?)))?;
            let mut factors = factors.clone();
            factors[at] = rest;
            Some(match term {
                Term::Had(_) => hadamard(factors),
                _ => product(factors),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_conditions_are_one_only_where_they_cover_every_step() {
        let x = || Term::Value("x".into(), Some(Time::var('t')));
        let (now, next) = (Time::var('t'), Time::var('t').plus(1));
        let before = |at: &Time| product(vec![Term::Before(at.clone(), Time::last()), x()]);
        let last = |at: &Time| product(vec![Term::At(at.clone(), Time::last()), x()]);
        assert_eq!(add([before(&now), last(&now)]), x());
        assert_eq!(add([neg(before(&now)), neg(last(&now))]), neg(x()));
        for other in [
            [before(&next), last(&now)],
            [before(&now), last(&next)],
            [neg(before(&now)), last(&now)],
        ] {
            assert!(matches!(add(other), Term::Add(parts) if parts.len() == 2));
        }
    }
}
