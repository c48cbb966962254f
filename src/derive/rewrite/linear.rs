//! What is linear in a δ, as a matrix; and when two matrices are the same.

use std::collections::BTreeMap;

use super::Known;
use crate::derive::canon::{add, diagonal, divide, hadamard, neg, product, transpose};
use crate::derive::term::{Name, Term, Time};

pub(super) fn delta(state: &Name, at: &Time) -> Term {
    Term::Delta(Name::clone(state), Some(at.clone()))
}

fn parts_of(term: &Term) -> Vec<Term> {
    match term {
        Term::Add(parts) => parts.clone(),
        one => vec![one.clone()],
    }
}

/// Every part of a sum that has δ of a state at a step in it, as one matrix times that δ.
pub(super) fn factor(term: &Term, state: &Name, at: &Time, known: &Known<'_>) -> Option<Term> {
    let x = delta(state, at);
    let (own, rest): (Vec<Term>, Vec<Term>) = parts_of(term)
        .into_iter()
        .partition(|p| p.any(&|t| *t == x));
    let scalar = known.scalars.contains(state);
    let matrices: Option<Vec<Term>> = own.iter().map(|p| coefficient(p, &x, scalar)).collect();
    let matrix = add(matrices.filter(|m| !m.is_empty())?);
    let acted = product(vec![matrix, x]);
    Some(add(rest.into_iter().chain([acted])))
}

/// The matrix `A` of `A x`.
fn coefficient(term: &Term, x: &Term, scalar: bool) -> Option<Term> {
    let has = |t: &Term| t.any(&|p| p == x);
    Some(match term {
        t if t == x && scalar => Term::Num(1.0),
        t if t == x => Term::Eye,
        Term::Neg(t) => neg(coefficient(t, x, scalar)?),
        Term::Add(parts) => {
            let parts: Option<Vec<Term>> =
                parts.iter().map(|p| coefficient(p, x, scalar)).collect();
            add(parts?)
        }
        Term::Mul(factors) => {
            let (last, rest) = factors.split_last()?;
            if rest.iter().any(has) {
                return None;
            }
            let last = coefficient(last, x, scalar)?;
            product(rest.iter().cloned().chain([last]).collect())
        }
        Term::Had(factors) => {
            let (last, rest) = factors.split_last()?;
            if rest.iter().any(has) {
                return None;
            }
            let last = coefficient(last, x, scalar)?;
            match scalar {
                true => product(rest.iter().cloned().chain([last]).collect()),
                false => diagonal(hadamard(rest.to_vec()), last),
            }
        }
        Term::Div(a, b) if scalar && !has(b) => divide(coefficient(a, x, scalar)?, (**b).clone()),
        _ => return None,
    })
}

/// `A x` with `Jᵀ` for `A`, when a line says what `J` is and its transpose is `A`.
pub(super) fn transposed(
    term: &Term,
    x: &Term,
    (left, right): (&Term, &Term),
    known: &Known<'_>,
) -> Option<Term> {
    let (own, rest): (Vec<Term>, Vec<Term>) =
        parts_of(term).into_iter().partition(|p| p.any(&|t| t == x));
    let [Term::Mul(factors)] = &own[..] else {
        return None;
    };
    let (last, matrix) = factors.split_last().filter(|(last, _)| *last == x)?;
    let matrix = product(matrix.to_vec());
    let same = polynomial(&transpose(matrix), known) == polynomial(right, known);
    let acted = product(vec![transpose(left.clone()), last.clone()]);
    same.then(|| add(rest.into_iter().chain([acted])))
}

/// A product of numbers, which commute, and of matrices, which do not.
type Monomial = (Vec<String>, Vec<Factor>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Factor {
    /// A diagonal matrix, by the factors of its diagonal.
    Diagonal(Vec<String>),
    /// Any other, and whether it is transposed.
    Matrix(String, bool),
}

/// A matrix as a sum of products, in one order: two that are the same by the laws of addition and
/// multiplication are the same here.
fn polynomial(term: &Term, known: &Known<'_>) -> BTreeMap<Monomial, Count> {
    let mut sum = BTreeMap::new();
    for (n, monomial) in expanded(term, known) {
        sum.entry(monomial).or_insert(Count(0.0)).0 += n;
    }
    sum.retain(|_, n| n.0 != 0.0);
    sum
}

#[derive(Debug, PartialEq)]
struct Count(f64);

fn expanded(term: &Term, known: &Known<'_>) -> Vec<(f64, Monomial)> {
    let one = |factors: Vec<Factor>| vec![(1.0, (Vec::new(), factors))];
    if is_scalar(term, known) {
        let numbers = entries(term).into_iter();
        return numbers.map(|(n, xs)| (n, (xs, Vec::new()))).collect();
    }
    match term {
        Term::Eye => one(Vec::new()),
        Term::Zero => Vec::new(),
        Term::Neg(x) => {
            let parts = expanded(x, known).into_iter();
            parts.map(|(n, m)| (-n, m)).collect()
        }
        Term::Add(parts) => parts.iter().flat_map(|p| expanded(p, known)).collect(),
        Term::Mul(factors) => factors.iter().fold(one(Vec::new()), |sum, factor| {
            let next = expanded(factor, known);
            let pairs = sum.iter().flat_map(|a| next.iter().map(move |b| (a, b)));
            pairs.map(|(a, b)| multiplied(a, b)).collect()
        }),
        Term::T(x) => {
            let parts = expanded(x, known).into_iter();
            let turned = |f: Factor| match f {
                Factor::Matrix(name, turned) => Factor::Matrix(name, !turned),
                f => f,
            };
            parts
                .map(|(n, (numbers, fs))| {
                    (n, (numbers, fs.into_iter().rev().map(turned).collect()))
                })
                .collect()
        }
        Term::Diag(v) => entries(v)
            .into_iter()
            .map(|(n, xs)| {
                let factors = match xs.is_empty() {
                    true => Vec::new(),
                    false => vec![Factor::Diagonal(xs)],
                };
                (n, (Vec::new(), factors))
            })
            .collect(),
        other => one(vec![Factor::Matrix(format!("{other:?}"), false)]),
    }
}

fn multiplied(a: &(f64, Monomial), b: &(f64, Monomial)) -> (f64, Monomial) {
    let (m, (numbers, factors)) = a;
    let (n, (others, more)) = b;
    let mut numbers = [&numbers[..], others].concat();
    numbers.sort();
    let mut factors = factors.clone();
    for factor in more {
        match (factors.last_mut(), factor) {
            (Some(Factor::Diagonal(xs)), Factor::Diagonal(ys)) => {
                xs.extend(ys.iter().cloned());
                xs.sort();
            }
            _ => factors.push(factor.clone()),
        }
    }
    (m * n, (numbers, factors))
}

/// A vector, or a number, as a sum of products entry by entry.
fn entries(term: &Term) -> Vec<(f64, Vec<String>)> {
    match term {
        Term::Ones => vec![(1.0, Vec::new())],
        Term::Num(n) => vec![(*n, Vec::new())],
        Term::Zero => Vec::new(),
        Term::Neg(x) => entries(x).into_iter().map(|(n, xs)| (-n, xs)).collect(),
        Term::T(x) => entries(x),
        Term::Add(parts) => parts.iter().flat_map(entries).collect(),
        Term::Had(factors) => times(factors.iter()),
        Term::Mul(factors) => times(factors.iter()),
        Term::Pow(x, n @ 1..=8) => {
            let count = usize::try_from(*n).unwrap_or(1);
            times(std::iter::repeat_n(&**x, count))
        }
        other => vec![(1.0, vec![format!("{other:?}")])],
    }
}

fn times<'a>(factors: impl Iterator<Item = &'a Term>) -> Vec<(f64, Vec<String>)> {
    factors.fold(vec![(1.0, Vec::new())], |sum, factor| {
        let next = entries(factor);
        let pairs = sum.iter().flat_map(|a| next.iter().map(move |b| (a, b)));
        pairs
            .map(|((m, xs), (n, ys))| {
                let mut all = [&xs[..], ys].concat();
                all.sort();
                (m * n, all)
            })
            .collect()
    })
}

fn is_scalar(term: &Term, known: &Known<'_>) -> bool {
    match term {
        Term::Num(_) | Term::Before(..) | Term::At(..) | Term::Uncut(_) => true,
        Term::Value(name, _) | Term::Delta(name, _) => known.scalars.contains(name),
        Term::Neg(_)
        | Term::T(_)
        | Term::Add(_)
        | Term::Had(_)
        | Term::Mul(_)
        | Term::Div(..)
        | Term::Pow(..)
        | Term::Call(..) => term.parts().into_iter().all(|p| is_scalar(p, known)),
        _ => false,
    }
}
