//! Products of scalars as they are printed: equal factors as a power, quotients with common factors cancelled.

use std::borrow::Cow;

use super::symbols::Symbols;
use crate::derive::algebra::term::{Quantity, Term};

/// A factor that is not a numeral: the index of the part that contains it, and its exponent (negative in a
/// denominator).
struct Factor<'t> {
    part: usize,
    base: &'t Term,
    power: i32,
}

impl Symbols {
    /// Returns true if a term is a scalar without δ or differential.
    pub(super) fn is_number(&self, term: &Term) -> bool {
        let number = |x: &Term| self.is_number(x);
        match term {
            Term::Num(_) | Term::Size(..) | Term::Steps(_) => true,
            Term::At(..) | Term::Before(..) | Term::Uncut(_) => true,
            Term::Symbol(symbol) => match symbol.quantity {
                Quantity::Length => true,
                Quantity::Value | Quantity::Jacobian | Quantity::Direct | Quantity::Block => {
                    symbol.names.iter().all(|name| self.numbers.contains(name))
                }
                _ => false,
            },
            Term::Neg(x) | Term::Pow(x, _) | Term::T(x) => number(x),
            Term::Div(a, b) => number(a) && number(b),
            Term::Add(xs) | Term::Mul(xs) | Term::Had(xs) => xs.iter().all(number),
            term if term.indicator().is_some() => term.indicator().is_some_and(|(x, _)| number(x)),
            Term::Call(_, xs) => xs.iter().all(number),
            Term::Norm(x) | Term::MaxNorm(x) | Term::Frobenius(x) | Term::Least(x) => {
                !x.is_linear_part()
            }
            _ => false,
        }
    }

    /// The terms of a sum; next to a named scalar, a multiple of the identity is printed as a scalar.
    pub(super) fn beside_numbers<'t>(&self, parts: &'t [Term]) -> Vec<Cow<'t, Term>> {
        // Numerals can be added to a value of any shape.
        let named = |x: &Term| self.is_number(x) && !matches!(x.unsigned(), Term::Num(_));
        match parts.iter().any(named) {
            true => parts.iter().map(of_one_row).collect(),
            false => parts.iter().map(Cow::Borrowed).collect(),
        }
    }

    /// The parts of a product with its scalars merged; parts for which `kept` holds are unchanged.
    pub(super) fn gathered<'t>(
        &self,
        parts: &'t [Term],
        kept: impl Fn(&Term) -> bool,
    ) -> Vec<Cow<'t, Term>> {
        let mut factors = Vec::new();
        for (part, term) in parts.iter().enumerate() {
            if self.is_number(term) && !kept(term) {
                open(term, part, 1, &mut factors);
            }
        }
        let total = |base: &Term| -> i32 {
            let equal = factors.iter().filter(|f| f.base == base);
            equal.map(|f| f.power).sum()
        };
        // A base keeps the position of its first occurrence on the side (numerator or denominator) of its total
        // power.
        let stays = |at: usize| -> i32 {
            let Factor { base, .. } = factors[at];
            let total = total(base);
            let home = factors
                .iter()
                .position(|f| f.base == base && f.power.signum() == total.signum());
            if home == Some(at) { total } else { 0 }
        };
        let written: Vec<(usize, &Term, i32)> = factors
            .iter()
            .enumerate()
            .map(|(at, f)| (f.part, f.base, stays(at)))
            .collect();
        let changed = |part: usize| {
            let mut both = factors.iter().zip(&written);
            both.any(|(f, (_, _, power))| f.part == part && f.power != *power)
        };
        if !(0..parts.len()).any(changed) {
            let parts = parts.iter().map(Cow::Borrowed).collect();
            return over_the_line(parts, &kept);
        }
        let mut number = 1.0;
        let (mut out, mut quotient) = (Vec::new(), None);
        for (part, term) in parts.iter().enumerate() {
            match term {
                Term::Num(n) if !kept(term) => {
                    number *= n;
                    continue;
                }
                term if !changed(part) => {
                    out.push(Cow::Borrowed(term));
                    continue;
                }
                _ => number *= digits(term),
            }
            let side = |sign: i32| {
                let here = written.iter().filter(|w| w.0 == part);
                let here = here.filter(move |w| w.2 * sign > 0);
                here.map(move |(_, base, power)| raised(base, power * sign))
            };
            let (above, below): (Vec<Term>, Vec<Term>) = (side(1).collect(), side(-1).collect());
            if below.is_empty() {
                out.extend(above.into_iter().map(Cow::Owned));
            } else {
                quotient = Some((out.len(), above.clone(), below.clone()));
                out.push(Cow::Owned(over(above, below)));
            }
        }
        match quotient {
            // Half of a quotient: the 2 goes into the denominator.
            Some((at, above, below)) if number != 1.0 && number.recip().fract() == 0.0 => {
                let two = Term::Num(number.recip());
                out[at] = Cow::Owned(over(above, std::iter::once(two).chain(below).collect()));
            }
            _ if number != 1.0 => out.insert(0, Cow::Owned(Term::Num(number))),
            _ => {}
        }
        over_the_line(out, &kept)
    }
}

/// `2 · 1/n` as `2/n`.
fn over_the_line<'t>(
    mut parts: Vec<Cow<'t, Term>>,
    kept: &impl Fn(&Term) -> bool,
) -> Vec<Cow<'t, Term>> {
    let Some(Term::Num(n)) = parts.first().map(|p| &**p).filter(|p| !kept(p)) else {
        return parts;
    };
    let n = *n;
    let inverse = |p: &Cow<'_, Term>| match &**p {
        Term::Div(above, below) if **above == Term::Num(1.0) && !kept(p) => Some((**below).clone()),
        _ => None,
    };
    if let (Some((at, below)), 0.0) = (
        parts
            .iter()
            .enumerate()
            .find_map(|(at, p)| Some((at, inverse(p)?))),
        n.fract(),
    ) {
        parts[at] = Cow::Owned(over(vec![Term::Num(n)], vec![below]));
        parts.remove(0);
    }
    parts
}

fn over(above: Vec<Term>, below: Vec<Term>) -> Term {
    Term::Div(Box::new(joined(above)), Box::new(joined(below)))
}

/// The term with 1 for the identity.
fn of_one_row(term: &Term) -> Cow<'_, Term> {
    match term {
        Term::Eye => Cow::Owned(Term::Num(1.0)),
        Term::Neg(x) => match of_one_row(x) {
            Cow::Borrowed(_) => Cow::Borrowed(term),
            Cow::Owned(x) => Cow::Owned(Term::Neg(Box::new(x))),
        },
        Term::Mul(factors) => match factors.split_last() {
            Some((Term::Eye, numbers)) => Cow::Owned(joined(numbers.to_vec())),
            _ => Cow::Borrowed(term),
        },
        _ => Cow::Borrowed(term),
    }
}

/// Collects the factors of a scalar raised to `power`, without its numerals.
fn open<'t>(term: &'t Term, part: usize, power: i32, found: &mut Vec<Factor<'t>>) {
    match term {
        Term::Num(_) => {}
        Term::Mul(xs) => xs.iter().for_each(|x| open(x, part, power, found)),
        Term::Div(a, b) => {
            open(a, part, power, found);
            open(b, part, -power, found);
        }
        Term::Pow(x, n) if *n > 0 => open(x, part, power * n, found),
        base => found.push(Factor { part, base, power }),
    }
}

/// The product of the numerals among the factors of a scalar.
fn digits(term: &Term) -> f64 {
    match term {
        Term::Num(n) => *n,
        Term::Mul(xs) => xs.iter().map(digits).product(),
        Term::Div(a, b) => digits(a) / digits(b),
        Term::Pow(x, n) if *n > 0 => digits(x).powi(*n),
        _ => 1.0,
    }
}

fn raised(base: &Term, power: i32) -> Term {
    match power {
        1 => base.clone(),
        power => Term::Pow(Box::new(base.clone()), power),
    }
}

fn joined(mut factors: Vec<Term>) -> Term {
    match factors.len() {
        0 => Term::Num(1.0),
        1 => factors.remove(0),
        _ => Term::Mul(factors),
    }
}
