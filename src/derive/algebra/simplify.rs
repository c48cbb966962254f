//! Renormalises terms after a part has changed; sums over steps.

use super::conditions::always;
use super::normal::{add, divide, hadamard, inner, neg, product, scale, transpose};
use super::term::{Base, Fold, Index, Term, Time};

/// Flattens products inside products.
pub(crate) fn tidy(term: &Term) -> Term {
    match term.map(&mut tidy) {
        Term::Had(parts) => hadamard(parts),
        Term::Add(parts) => add(parts),
        other => other,
    }
}

/// Renormalises a term after a part of it became zero or one: a product with a zero factor is zero.
pub(crate) fn settle(term: &Term) -> Term {
    match term.map(&mut settle) {
        Term::Add(parts) => add(parts.into_iter().map(|part| match always(&part) {
            Some(true) => Term::Num(1.0),
            Some(false) => Term::Zero,
            None => part,
        })),
        Term::Had(parts) => hadamard(parts),
        Term::Mul(parts)
            if parts
                .iter()
                .any(|p| *p == Term::Zero || always(p) == Some(false)) =>
        {
            Term::Zero
        }
        Term::Mul(mut parts) => {
            parts.retain(|p| always(p) != Some(true));
            if parts.iter().all(|p| matches!(p, Term::Num(_))) && !parts.is_empty() {
                return scale(parts, None);
            }
            match parts.last() {
                // Scalars with nothing after them are a multiple of the identity.
                Some(Term::Eye) => {
                    parts.pop();
                    scale(parts, Some(Term::Eye))
                }
                _ => product(parts),
            }
        }
        Term::Neg(x) => neg(*x),
        Term::T(x) => transpose(*x),
        Term::Div(a, b) => divide(*a, *b),
        Term::Inner(a, b) => inner(*a, *b),
        Term::Over(Fold::Sum, index, body) => summed(index, *body),
        Term::Matrix(rows) if rows.iter().flatten().all(|c| *c == Term::Zero) => Term::Zero,
        Term::Part(_, x) if *x == Term::Zero => Term::Zero,
        other => other,
    }
}

/// A sum over steps; a sign goes in front, and a summand that is zero at all steps but one becomes its value at that
/// step.
pub(crate) fn summed(index: Index, body: Term) -> Term {
    match body {
        Term::Zero => Term::Zero,
        Term::Neg(x) => neg(summed(index, *x)),
        Term::Add(parts) if parts.iter().any(|p| picked(p, &index).is_some()) => {
            let one_step = |p: &Term| picked(p, &index).is_some();
            let (ends, rest): (Vec<Term>, Vec<Term>) = parts.into_iter().partition(one_step);
            let ends = ends.into_iter().map(|p| summed(index.clone(), p));
            let ends: Vec<Term> = ends.collect();
            add(ends.into_iter().chain([summed(index, add(rest))]))
        }
        body => match picked(&body, &index) {
            Some(there) => there,
            None => Term::over(Fold::Sum, index, body),
        },
    }
}

/// The right side of a line; if the left side refers to step `t`, sums over all steps use `s` as their variable.
pub(crate) fn beside_step(left: &Term, right: Term) -> Term {
    fn renamed(term: &Term) -> Term {
        match term {
            Term::Over(Fold::Sum, index, body) if *index == Index::all('t') => {
                let body = body.at('t', &Time::var('s'));
                Term::over(Fold::Sum, Index::all('s'), body)
            }
            term => term.map(&mut renamed),
        }
    }
    let stepped = |t: &Term| t.clone().times().iter().any(|at| at.base == Base::Var('t'));
    match left.any(&stepped) {
        true => renamed(&right),
        false => right,
    }
}

/// The value of a sum over steps with a single nonzero summand: `∑ [t = T] f_t = f_T`.
fn picked(body: &Term, Index { var, from, to }: &Index) -> Option<Term> {
    // An empty sum has no such step.
    let one_at_least = *to == Time::last()
        && (*from == Time::at(1) || from.offset == 0 && matches!(from.base, Base::Var(_)));
    let step = [from, to]
        .into_iter()
        .find(|end| body.any(&|x| *x == Term::At(Time::var(*var), (*end).clone())))?;
    let asked = Term::At(Time::var(*var), step.clone());
    one_at_least
        .then(|| without(body, &asked))
        .flatten()
        .map(|there| there.at(*var, step))
}

/// A term with one factor removed; `None` if it does not have that factor.
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
