//! Equality of matrices by the laws of addition and multiplication.

use std::collections::BTreeMap;

use super::known::Known;
use crate::derive::algebra::normal::transpose;
use crate::derive::algebra::shapes::{extent, is_number};
use crate::derive::algebra::term::{Along, Span, Term};

/// A monomial: scalar factors, which commute, and matrix factors, which do not.
pub(super) type Monomial = (Vec<String>, Vec<Factor>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Factor {
    /// A diagonal matrix, by the factors of its diagonal.
    Diagonal(Vec<String>),
    /// Some rows of the identity, by their range; true if transposed.
    Rows(String, bool),
    /// Any other matrix; true if transposed.
    Matrix(String, bool),
}

/// A matrix as a sum of products in a canonical order. Two matrices that are equal by the laws of addition and
/// multiplication have the same form.
pub(super) fn polynomial(term: &Term, known: &Known<'_>) -> BTreeMap<Monomial, f64> {
    let mut sum = BTreeMap::new();
    for (n, monomial) in expanded(term, known) {
        *sum.entry(monomial).or_insert(0.0) += n;
    }
    sum
}

/// Returns true if two sums of products are equal, up to the rounding of their coefficients.
pub(super) fn same(a: &BTreeMap<Monomial, f64>, b: &BTreeMap<Monomial, f64>) -> bool {
    let largest = a
        .values()
        .chain(b.values())
        .fold(0.0, |m: f64, n| m.max(n.abs()));
    let of = |sum: &BTreeMap<Monomial, f64>, m: &Monomial| sum.get(m).copied().unwrap_or(0.0);
    let mut products = a.keys().chain(b.keys());
    products.all(|m| (of(a, m) - of(b, m)).abs() <= 1e-14 * largest)
}

fn expanded(term: &Term, known: &Known<'_>) -> Vec<(f64, Monomial)> {
    let one = |factors: Vec<Factor>| vec![(1.0, (Vec::new(), factors))];
    if is_number(term, known.tape) {
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
        Term::Mul(factors) => runs(factors, known)
            .iter()
            .fold(one(Vec::new()), |sum, run| {
                let next = match run {
                    [factor] => expanded(factor, known),
                    run => vec![(1.0, (vec![number_name(run)], Vec::new()))],
                };
                let pairs = sum.iter().flat_map(|a| next.iter().map(move |b| (a, b)));
                pairs.map(|(a, b)| multiplied(a, b)).collect()
            }),
        Term::T(x) => {
            let parts = expanded(x, known).into_iter();
            let turned = |f: Factor| match f {
                Factor::Matrix(name, turned) => Factor::Matrix(name, !turned),
                Factor::Rows(which, turned) => Factor::Rows(which, !turned),
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
        // A part of a matrix is a product with rows of the identity.
        Term::Part(span, whole) if span.along != Along::Entries => {
            let chosen = |turned| (1.0, (Vec::new(), vec![Factor::Rows(key(span), turned)]));
            let whole = match **whole {
                Term::EyeOf(_) => one(Vec::new()),
                ref whole => expanded(whole, known),
            };
            let parts = whole.iter().map(|m| match span.along {
                Along::Columns => multiplied(m, &chosen(true)),
                _ => multiplied(&chosen(false), m),
            });
            parts.collect()
        }
        // A vector is a diagonal matrix times ones.
        vector if matches!(extent(vector, known.tape), Some((Some(_), None))) => {
            let ones = || Factor::Matrix(format!("{:?}", Term::Ones), false);
            let parts = entries(vector).into_iter();
            let parts = parts.map(|(n, xs)| {
                let diagonal = (!xs.is_empty()).then_some(Factor::Diagonal(xs));
                (
                    n,
                    (Vec::new(), diagonal.into_iter().chain([ones()]).collect()),
                )
            });
            parts.collect()
        }
        other => one(vec![Factor::Matrix(format!("{other:?}"), false)]),
    }
}

/// The factors of a product, grouped so that factors whose product is a scalar, `uᵀ A v`, form one run.
fn runs<'f>(factors: &'f [Term], known: &Known<'_>) -> Vec<&'f [Term]> {
    let mut rest = factors;
    let mut runs = Vec::new();
    while let [first, ..] = rest {
        let number = |end: &usize| is_number(&Term::Mul(rest[..*end].to_vec()), known.tape);
        let end = match first {
            Term::T(_) => (2..=rest.len()).find(number).unwrap_or(1),
            _ => 1,
        };
        let (run, after) = rest.split_at(end);
        runs.push(run);
        rest = after;
    }
    runs
}

/// The same name for a scalar and its transpose: `uᵀ v` and `vᵀ u`.
fn number_name(run: &[Term]) -> String {
    let turned: Vec<Term> = run.iter().rev().cloned().map(transpose).collect();
    let (forth, back) = (format!("{run:?}"), format!("{turned:?}"));
    forth.min(back)
}

fn multiplied(a: &(f64, Monomial), b: &(f64, Monomial)) -> (f64, Monomial) {
    let (m, (numbers, factors)) = a;
    let (n, (others, more)) = b;
    let mut numbers = [&numbers[..], others].concat();
    numbers.sort();
    let mut factors = factors.clone();
    for factor in more {
        push(&mut factors, factor.clone());
    }
    (m * n, (numbers, factors))
}

/// Appends a factor. Diagonal matrices are merged, on the side of selected rows where they are smaller.
fn push(factors: &mut Vec<Factor>, factor: Factor) {
    match (factors.pop(), factor) {
        (Some(Factor::Diagonal(mut xs)), Factor::Diagonal(ys)) => {
            xs.extend(ys);
            xs.sort();
            factors.push(Factor::Diagonal(xs));
        }
        (Some(Factor::Diagonal(xs)), Factor::Rows(which, true)) => {
            let chosen = xs.iter().map(|x| part_name(&which, x)).collect();
            push(factors, Factor::Rows(which, true));
            push(factors, Factor::Diagonal(chosen));
        }
        (Some(Factor::Rows(which, false)), Factor::Diagonal(xs)) => {
            let chosen = xs.iter().map(|x| part_name(&which, x)).collect();
            push(factors, Factor::Diagonal(chosen));
            push(factors, Factor::Rows(which, false));
        }
        (last, factor) => factors.extend(last.into_iter().chain([factor])),
    }
}

/// The name of a range of entries, rows or columns.
fn key(span: &Span) -> String {
    format!("{:?} to {:?}", span.first, span.last)
}

fn part_name(which: &str, of: &str) -> String {
    format!("{which} of {of}")
}

/// A vector or a scalar as a sum of entrywise products.
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
        // A quotient is a product with inverses.
        Term::Div(a, b) => {
            let (below, inverses) = inverse(b);
            let above = entries(a).into_iter();
            let with = |(n, xs): (f64, Vec<String>)| {
                let mut all = [xs, inverses.clone()].concat();
                all.sort();
                (n / below, all)
            };
            above.map(with).collect()
        }
        Term::Pow(x, n @ 1..=8) => {
            let count = usize::try_from(*n).unwrap_or(1);
            times(std::iter::repeat_n(&**x, count))
        }
        Term::Part(span, x) => {
            let which = key(span);
            let chosen = |xs: Vec<String>| xs.iter().map(|x| part_name(&which, x)).collect();
            let parts = entries(x).into_iter();
            parts.map(|(n, xs)| (n, chosen(xs))).collect()
        }
        other => vec![(1.0, vec![format!("{other:?}")])],
    }
}

/// The number below a fraction bar, and the inverses of the other factors there.
fn inverse(term: &Term) -> (f64, Vec<String>) {
    match term {
        Term::Num(n) => (*n, Vec::new()),
        Term::Mul(factors) | Term::Had(factors) => {
            let factors = factors.iter().map(inverse);
            factors.fold((1.0, Vec::new()), |(m, xs), (n, ys)| {
                (m * n, [xs, ys].concat())
            })
        }
        Term::Pow(x, n @ 1..=8) => {
            let (number, one) = inverse(x);
            let count = usize::try_from(*n).unwrap_or(1);
            (
                number.powi(*n),
                std::iter::repeat_n(one, count).flatten().collect(),
            )
        }
        other => (1.0, vec![format!("1/{other:?}")]),
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
