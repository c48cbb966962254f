//! Sums of δs in the order of time; δs with scalar coefficients are collected, so that each occurs once.

use super::symbols::Symbols;
use crate::derive::algebra::normal::{add, divide, neg, scale, together};
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Base, Fold, Quantity, Term, Time, visit};

/// A scalar multiple of a δ.
struct Multiple {
    negative: bool,
    factors: Vec<Term>,
    delta: Term,
}

impl Symbols {
    /// Sorts contributions by the distance of their step: a step's own before those of the next step.
    pub(crate) fn in_order(&self, term: Term) -> Term {
        match term {
            Term::Add(parts) => {
                let mut parts = self.collected(self.summed_once(parts));
                parts.sort_by_key(latest);
                add(parts)
            }
            Term::Neg(x) => neg(self.in_order(*x)),
            Term::Over(Fold::Sum, index, body) => summed(index, self.in_order(*body)),
            other => other,
        }
    }

    /// `∑ a δ + ∑ b δ` as `∑ (a + b) δ`.
    fn summed_once(&self, parts: Vec<Term>) -> Vec<Term> {
        let split = |part: &Term| match part.unsigned() {
            Term::Over(Fold::Sum, index, body) => {
                let negative = matches!(part, Term::Neg(_));
                let body = (**body).clone();
                let body = if negative { neg(body) } else { body };
                Some((index.clone(), body))
            }
            _ => None,
        };
        together(parts, |first, part| {
            let ((index, first), (other, body)) = (split(first)?, split(part)?);
            let whole = self.in_order(add([first, body]));
            let one = index == other && !matches!(whole, Term::Add(_));
            one.then(|| summed(index, whole))
        })
    }

    /// `a δ + b δ = (a + b) δ`, with common factors of a and b in front.
    fn collected(&self, parts: Vec<Term>) -> Vec<Term> {
        together(parts, |first, part| {
            let (first, part) = (self.multiple(first)?, self.multiple(part)?);
            (first.delta == part.delta).then(|| first.plus(&part))
        })
    }

    fn multiple(&self, term: &Term) -> Option<Multiple> {
        let (factors, delta) = match term.unsigned() {
            delta if delta.is(Quantity::Delta) => (&[][..], delta),
            Term::Mul(factors) => {
                let (delta, rest) = factors.split_last()?;
                (rest, delta)
            }
            _ => return None,
        };
        let numbers = factors.iter().all(|f| self.is_number(f));
        (numbers && delta.is(Quantity::Delta)).then(|| Multiple {
            negative: matches!(term, Term::Neg(_)),
            factors: opened(factors),
            delta: delta.clone(),
        })
    }
}

impl Multiple {
    fn plus(mut self, other: &Self) -> Term {
        let mut rest = other.factors.clone();
        let mut common = Vec::new();
        self.factors.retain(|f| {
            let at = rest.iter().position(|r| r == f);
            common.extend(at.map(|at| rest.remove(at)));
            at.is_none()
        });
        let number = |factors: Vec<Term>, negative: bool| {
            let product = scale(factors, Some(Term::Num(1.0)));
            if negative { neg(product) } else { product }
        };
        let sum = add([
            number(self.factors, self.negative),
            number(rest, other.negative),
        ]);
        scale(common.into_iter().chain([sum]).collect(), Some(self.delta))
    }
}

/// The scalar factors of a product; a denominator is a factor of its own.
fn opened(factors: &[Term]) -> Vec<Term> {
    let mut out = Vec::new();
    for factor in factors {
        match factor {
            Term::Div(a, b) if **a != Term::Num(1.0) => {
                out.extend(opened(std::slice::from_ref(&**a)));
                out.push(divide(Term::Num(1.0), (**b).clone()));
            }
            Term::Mul(inner) => out.extend(opened(inner)),
            factor => out.push(factor.clone()),
        }
    }
    out
}

/// The largest distance of the δs of a part from the step of the line; without a δ, that of its values.
fn latest(part: &Term) -> u64 {
    let (mut deltas, mut values) = (Vec::new(), Vec::new());
    visit(part, &mut |term| match (term, term.symbol()) {
        (_, Some((Quantity::Delta, _, [at]))) => deltas.push(at.clone()),
        (_, Some((Quantity::Value, _, [at]))) => values.push(at.clone()),
        // The condition says that there is a next step.
        (Term::Before(at, _), _) => values.push(at.plus(1)),
        _ => {}
    });
    let away = |at: &Time| match at.base {
        Base::Var(_) => Some(at.offset.unsigned_abs()),
        // The sequence of states begins before the first step, at step 0.
        Base::Zero => Some((at.offset - 1).unsigned_abs()),
        _ => None,
    };
    let last = |times: &[Time]| times.iter().filter_map(away).max();
    last(&deltas).or_else(|| last(&values)).unwrap_or_default()
}
