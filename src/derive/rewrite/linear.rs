//! What is linear in a δ, as a matrix; and when two matrices are the same.

use std::collections::BTreeMap;

use super::{At, Known, line_of};
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::normal::{
    add, diagonal, divide, hadamard, inner, neg, product, scale, transpose,
};
use crate::derive::algebra::shapes::{extent, is_number, size};
use crate::derive::algebra::simplify::settle;
use crate::derive::algebra::span;
use crate::derive::algebra::term::{Along, Name, Span, Term, Time};

/// What a line is linear in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `δ` of a value at a step.
    Delta(Name, Time),
    /// `λ` of a state at a step.
    Costate(Name, Time),
    /// The differential of a value.
    D(Name, Option<Time>),
    /// The differential of the state at a step, in a stack.
    States(Time),
    /// How a state answers to a state of an earlier step.
    Jacobian(Name, Time, Name, Time),
}

impl Argument {
    pub(super) fn term(&self, known: &Known<'_>) -> Term {
        let name = Name::clone;
        match self {
            Self::Delta(of, at) => Term::Delta(name(of), Some(at.clone())),
            Self::Costate(of, at) => Term::Costate(name(of), at.clone()),
            Self::D(of, at) => Term::D(name(of), at.clone()),
            Self::States(at) => {
                let row = |of: &Carried| vec![Term::D(name(&of.name), Some(at.plus(-of.delay)))];
                Term::Matrix(known.state.iter().map(row).collect())
            }
            Self::Jacobian(of, to, by, from) => {
                Term::Jacobian(name(of), to.clone(), name(by), from.clone())
            }
        }
    }

    /// Whether it is a number.
    pub(super) fn is_scalar(&self, known: &Known<'_>) -> bool {
        let number = |name: &Name| known.scalars.contains(name);
        match self {
            Self::Delta(of, _) | Self::Costate(of, _) | Self::D(of, _) => number(of),
            Self::Jacobian(of, _, by, _) => number(of) && number(by),
            Self::States(_) => false,
        }
    }
}

/// A rule for sums, in every row of a stack where it can be used, or on a sum by itself.
fn in_rows(term: &Term, rule: &impl Fn(&Term) -> Option<Term>) -> Option<Term> {
    let Term::Matrix(rows) = term else {
        return rule(term);
    };
    let mut used = false;
    let mut row = |cell: &Term| match rule(cell) {
        Some(next) => {
            used = true;
            next
        }
        None => cell.clone(),
    };
    let rows = rows.iter().map(|r| r.iter().map(&mut row).collect());
    let rows = rows.collect();
    used.then_some(Term::Matrix(rows))
}

/// Stacks taken apart, and rows of sums; a stack of what states get is left to stand.
pub(super) fn partition(term: &Term, known: &Known<'_>) -> Option<Term> {
    let apart = |t: &Term| span::partition(t, known.tape);
    match term.any(&|t| matches!(t, Term::D(..))) {
        true => apart(term),
        false => in_rows(term, &apart),
    }
}

/// Everything in a sum that has something in it, as one matrix times that.
pub(super) fn factor(term: &Term, of: &Argument, known: &Known<'_>) -> Option<Term> {
    let (x, scalar) = (of.term(known), of.is_scalar(known));
    in_rows(term, &|sum| {
        let (mut matrices, mut parts, mut at) = (Vec::new(), Vec::new(), None);
        for part in sum.addends() {
            let (own, rest) = apart(part, &x);
            if let Some(own) = own {
                at.get_or_insert(parts.len());
                matrices.push(coefficient(&own, &x, scalar, known)?);
            }
            parts.extend(rest);
        }
        parts.insert(at?, applied(add(matrices), &x));
        Some(add(parts))
    })
}

/// `A x`; a multiple of the identity leaves the identity out.
fn applied(matrix: Term, x: &Term) -> Term {
    match matrix {
        Term::Neg(matrix) => neg(applied(*matrix, x)),
        Term::Mul(mut factors) if factors.last() == Some(&Term::Eye) => {
            factors.pop();
            product(factors.into_iter().chain([x.clone()]).collect())
        }
        matrix => product(vec![matrix, x.clone()]),
    }
}

/// What of a linear expression has something in it, and what has not.
fn apart(term: &Term, x: &Term) -> (Option<Term>, Option<Term>) {
    let has = |t: &Term| t.any(&|p| p == x);
    if !has(term) {
        return (None, Some(term.clone()));
    }
    let both = |term: &Term, made: &dyn Fn(Term) -> Term| {
        let (own, rest) = apart(term, x);
        (own.map(made), rest.map(made))
    };
    match term {
        Term::Add(parts) => {
            let (own, rest): (Vec<_>, Vec<_>) = parts.iter().map(|p| apart(p, x)).unzip();
            let sum = |parts: Vec<Option<Term>>| {
                let mut parts = parts.into_iter().flatten().peekable();
                parts.peek().is_some().then(|| add(parts))
            };
            (sum(own), sum(rest))
        }
        Term::Neg(inner) => both(inner, &neg),
        Term::Had(factors) | Term::Mul(factors) => {
            let own = factors.iter().position(has);
            let one = own.filter(|at| !factors[at + 1..].iter().any(has));
            match one {
                Some(at) => both(&factors[at], &|own| {
                    let mut factors = factors.clone();
                    factors[at] = own;
                    match term {
                        Term::Had(_) => hadamard(factors),
                        _ => product(factors),
                    }
                }),
                None => (Some(term.clone()), None),
            }
        }
        _ => (Some(term.clone()), None),
    }
}

/// The matrix `A` of `A x`.
fn coefficient(term: &Term, x: &Term, scalar: bool, known: &Known<'_>) -> Option<Term> {
    let has = |t: &Term| t.any(&|p| p == x);
    Some(match term {
        t if t == x && scalar => Term::Num(1.0),
        t if t == x => Term::Eye,
        Term::Part(span, whole) if **whole == *x => {
            let (rows, _) = extent(x, known.tape)?;
            let eye = Term::EyeOf(Box::new(size(rows?, &known.tape.dim_names())));
            Term::Part(span.clone().of_matrix(), Box::new(eye))
        }
        Term::Neg(t) => neg(coefficient(t, x, scalar, known)?),
        Term::Add(parts) => {
            let parts = parts.iter().map(|p| coefficient(p, x, scalar, known));
            add(parts.collect::<Option<Vec<Term>>>()?)
        }
        Term::Mul(factors) => {
            let at = factors.iter().position(has)?;
            let from = match at + 1 == factors.len() {
                true => at,
                false => number_ending(factors, at, known)?,
            };
            let (before, after) = (&factors[..from], &factors[at + 1..]);
            if before.iter().chain(after).any(has) {
                return None;
            }
            let own = match &factors[from..=at] {
                [own] => coefficient(own, x, scalar, known)?,
                [row @ .., own] => {
                    let own = coefficient(own, x, scalar, known)?;
                    product(row.iter().cloned().chain([own]).collect())
                }
                [] => return None,
            };
            let rest: Vec<Term> = before.iter().chain(after).cloned().collect();
            match own {
                // Numbers in front of nothing are a multiple of the identity.
                Term::Eye if is_number(&product(rest.clone()), known.tape) => {
                    scale(rest, Some(Term::Eye))
                }
                Term::Num(n) => scale(rest.into_iter().chain([Term::Num(n)]).collect(), None),
                own => product(rest.into_iter().chain([own]).collect()),
            }
        }
        Term::Had(factors) => {
            let (last, rest) = factors.split_last()?;
            if rest.iter().any(has) {
                return None;
            }
            let last = coefficient(last, x, scalar, known)?;
            match scalar {
                // The derivative of a vector with respect to a number is a column.
                true => hadamard(rest.iter().cloned().chain([last]).collect()),
                false => diagonal(hadamard(rest.to_vec()), last),
            }
        }
        Term::Div(a, b) if scalar && !has(b) => {
            divide(coefficient(a, x, scalar, known)?, (**b).clone())
        }
        _ => return None,
    })
}

/// Where a number in a product begins that ends at a place: it can stand anywhere in the product.
fn number_ending(factors: &[Term], at: usize, known: &Known<'_>) -> Option<usize> {
    let number = |from: &usize| match &factors[*from..=at] {
        [one] => is_number(one, known.tape),
        run => is_number(&Term::Mul(run.to_vec()), known.tape),
    };
    (0..=at).rev().find(number)
}

/// `⟨a, u + v⟩ = ⟨a, u⟩ + ⟨a, v⟩`.
pub(super) fn inner_sum(term: &Term) -> Term {
    match term {
        Term::Inner(a, sum) => match &**sum {
            Term::Add(parts) => add(parts.iter().map(|p| inner((**a).clone(), p.clone()))),
            _ => term.clone(),
        },
        term => term.map(&mut inner_sum),
    }
}

/// `⟨a, A u⟩ = ⟨Aᵀ a, u⟩`.
pub(super) fn inner_adjoint(term: &Term) -> Term {
    match term {
        Term::Inner(a, image) => match &**image {
            Term::Mul(factors) => match factors.split_last() {
                Some((u, matrix)) if !matrix.is_empty() => {
                    let sent = product(vec![transpose(product(matrix.to_vec())), (**a).clone()]);
                    inner(sent, u.clone())
                }
                _ => term.clone(),
            },
            _ => term.clone(),
        },
        term => term.map(&mut inner_adjoint),
    }
}

/// In a line `v_t = e_t + A_{t+1} v_{t+1}`, what comes from the next step is `v_t − e_t`.
pub(super) fn solved(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let line = known.line(&at.line)?;
    let Term::Add(parts) = &line.right else {
        return None;
    };
    let next = Time::var('t').plus(1);
    let from_next = |t: &Term| match t {
        Term::Delta(_, Some(step)) | Term::Costate(_, step) => *step == next,
        _ => false,
    };
    let (later, direct): (Vec<Term>, Vec<Term>) =
        parts.iter().cloned().partition(|p| p.any(&from_next));
    let [later] = <[Term; 1]>::try_from(later).ok()?;
    let rest = add([line.left.clone(), neg(add(direct))]);
    let rest = settle(&at.put(&rest));
    Some(super::replaced(before, &at.put(&later), &rest))
}

/// `A x` with `Jᵀ` for `A`, when a line says what `J` is and its transpose is `A`.
pub(super) fn transposed(
    term: &Term,
    x: &Term,
    (left, right): (&Term, &Term),
    known: &Known<'_>,
) -> Option<Term> {
    let right = polynomial(&opened(right, known), known);
    let acting = |sum: &Term| {
        let (own, rest): (Vec<Term>, Vec<Term>) = sum
            .addends()
            .iter()
            .cloned()
            .partition(|p| p.any(&|t| t == x));
        let matrix = match &own[..] {
            [] => Term::Zero,
            [one] => acts(one, x)?,
            _ => return None,
        };
        let matrix = opened(&transpose(matrix), known);
        let acted = product(vec![transpose(left.clone()), x.clone()]);
        same(&polynomial(&matrix, known), &right).then(|| add(rest.into_iter().chain([acted])))
    };
    let (Term::Matrix(rows), Term::Block(_, to, _)) = (term, left) else {
        return acting(term);
    };
    // In a stack, each block belongs to the row of the state that gets what it sends.
    let row = known.states().position(|s| s == to)?;
    let mut rows = rows.clone();
    let cell = rows.get_mut(row)?.first_mut()?;
    *cell = acting(cell)?;
    Some(Term::Matrix(rows))
}

/// The matrix `A` of a product `A x`.
fn acts(product_of: &Term, x: &Term) -> Option<Term> {
    match product_of {
        one if one == x => Some(Term::Eye),
        Term::Neg(negated) => acts(negated, x).map(neg),
        Term::Mul(factors) => {
            let (_, matrix) = factors.split_last().filter(|(last, _)| *last == x)?;
            Some(product(matrix.to_vec()))
        }
        _ => None,
    }
}

/// A matrix with what the lines say of blocks, and of derivatives within a step, put in.
fn opened(term: &Term, known: &Known<'_>) -> Term {
    match line_of(term) {
        Some(at) => match known.sides(&at, false) {
            Some((_, right)) => opened(&right, known),
            None => term.clone(),
        },
        None => term.map(&mut |part| opened(part, known)),
    }
}

/// A product of numbers, which commute, and of matrices, which do not.
type Monomial = (Vec<String>, Vec<Factor>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Factor {
    /// A diagonal matrix, by the factors of its diagonal.
    Diagonal(Vec<String>),
    /// Some rows of the identity, by which; and whether they are transposed.
    Rows(String, bool),
    /// Any other, and whether it is transposed.
    Matrix(String, bool),
}

/// A matrix as a sum of products, in one order: two that are the same by the laws of addition and
/// multiplication are the same here.
fn polynomial(term: &Term, known: &Known<'_>) -> BTreeMap<Monomial, f64> {
    let mut sum = BTreeMap::new();
    for (n, monomial) in expanded(term, known) {
        *sum.entry(monomial).or_insert(0.0) += n;
    }
    sum
}

/// Whether two sums of products are the same, up to the rounding of their numbers.
fn same(a: &BTreeMap<Monomial, f64>, b: &BTreeMap<Monomial, f64>) -> bool {
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
        // What is chosen of a matrix is a product with rows of the identity.
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

/// The factors of a product, with those that are a number together, `uᵀ A v`, as one run each.
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

/// One name for a number and its transpose: `uᵀ v` and `vᵀ u`.
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

/// Puts a factor at the end: diagonal matrices are put together, on that side of chosen rows where they
/// are smaller.
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

/// Which entries, rows or columns are meant.
fn key(span: &Span) -> String {
    format!("{:?} to {:?}", span.first, span.last)
}

fn part_name(which: &str, of: &str) -> String {
    format!("{which} of {of}")
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

/// The number and the inverses of the other factors below a fraction bar.
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
