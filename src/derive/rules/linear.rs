//! Linear terms as a matrix times their argument.

use super::known::{Known, line_of};
use super::same::{polynomial, same};
use crate::derive::algebra::normal::{
    add, diagonal, divide, hadamard, inner, neg, product, scale, transpose,
};
use crate::derive::algebra::shapes::{extent, is_number, size};
use crate::derive::algebra::simplify::settle;
use crate::derive::algebra::span;
use crate::derive::algebra::term::{Quantity, Term, Time};
use crate::derive::record::rewrite::{Argument, At};

/// Applies a rule for sums to every row of a stack, or to a single sum.
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

/// Splits stacks, and the rows of sums. A stack without differentials is kept, and its rows are split.
pub(super) fn partition(term: &Term, known: &Known<'_>) -> Option<Term> {
    let apart = |t: &Term| span::partition(t, known.tape);
    match term.any(&|t| t.is(Quantity::D)) {
        true => apart(term),
        false => in_rows(term, &apart),
    }
}

/// Collects all terms of a sum that contain the argument into one matrix times the argument.
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

/// `A x`; the identity is omitted from a multiple of it.
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

/// The part of a linear expression that contains `x`, and the part that does not.
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
                // A scalar factor alone is a multiple of the identity.
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

/// The start of a scalar in a product that ends at `at`: a scalar commutes with the other factors.
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

/// In a line `v_t = e_t + A_{t+1} v_{t+1}`, replaces `A_{t+1} v_{t+1}` with `v_t − e_t`.
pub(super) fn solved(before: &Term, at: &At, known: &Known<'_>) -> Option<Term> {
    let line = known.line(&at.line)?;
    let Term::Add(parts) = &line.right else {
        return None;
    };
    let next = Time::var('t').plus(1);
    let from_next = |t: &Term| match t.symbol() {
        Some((Quantity::Delta | Quantity::Costate, _, [step])) => *step == next,
        _ => false,
    };
    let (later, direct): (Vec<Term>, Vec<Term>) =
        parts.iter().cloned().partition(|p| p.any(&from_next));
    let [later] = <[Term; 1]>::try_from(later).ok()?;
    let rest = add([line.left.clone(), neg(add(direct))]);
    let rest = settle(&at.put(&rest));
    Some(super::known::replaced(before, &at.put(&later), &rest))
}

/// Replaces `A` in `A x` with `Jᵀ`, if a line `J = …` has a right side whose transpose is `A`.
pub(super) fn transposed(term: &Term, at: &At, of: &Argument, known: &Known<'_>) -> Option<Term> {
    let (x, (left, right)) = (&of.term(known), known.sides(at, false)?);
    let right = polynomial(&opened(&right, known), known);
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
    let (Term::Matrix(rows), Some((Quantity::Block, [_, to], _))) = (term, left.symbol()) else {
        return acting(term);
    };
    // In a stack, each block belongs to the row of the state that receives its contribution.
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

/// Replaces the blocks of a matrix, and derivatives within a step, with the right sides of their lines.
fn opened(term: &Term, known: &Known<'_>) -> Term {
    match line_of(term) {
        Some(at) => match known.sides(&at, false) {
            Some((_, right)) => opened(&right, known),
            None => term.clone(),
        },
        None => term.map(&mut |part| opened(part, known)),
    }
}
