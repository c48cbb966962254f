//! Products with their scalar factors in front; products with rows or columns of the identity as parts of a matrix.

use super::normal::{hadamard, product, scale};
use super::shapes::{extent, is_number};
use super::span::part;
use super::term::{Along, Quantity, Term};
use crate::shape::Dim;
use crate::tape::Tape;

/// Moves every scalar factor of a product to the front: `A uᵀ v x` becomes `uᵀ v A x`.
pub(crate) fn numbers_first(term: &Term, tape: &Tape) -> Term {
    let term = term.map(&mut |part| numbers_first(part, tape));
    let factors = match &term {
        Term::Mul(factors) => factors,
        Term::Had(factors) => return numbers_out(factors, tape).unwrap_or(term),
        _ => return term,
    };
    // The shape of a letter is not known here.
    if factors.iter().any(|f| f.is(Quantity::Letter)) {
        return term;
    }
    let (mut first, mut between) = (Vec::new(), Vec::new());
    let (mut rest, mut left) = (Vec::new(), &factors[..]);
    while !left.is_empty() {
        let number = leading_number(left, tape);
        let (run, after) = left.split_at(number.unwrap_or(1));
        let linear = run.iter().any(Term::is_linear_part);
        match number.is_some() {
            true if !linear => {
                // A scalar inside a longer inner product goes before it.
                let (mut row, mut at) = (vec![run[0].clone()], 1);
                while at < run.len() {
                    let inner = leading_number(&run[at..], tape);
                    let (to, n) = match inner {
                        Some(n) => (&mut first, n),
                        None => (&mut row, 1),
                    };
                    to.extend(run[at..at + n].iter().cloned());
                    at += n;
                }
                first.extend(row);
            }
            // Linear factors come last, but not between a matrix and a vector.
            true if !rest.is_empty() && !after.is_empty() => between.extend(run.iter().cloned()),
            _ => rest.extend(run.iter().cloned()),
        }
        left = after;
    }
    // Columns of the identity select columns; its rows select rows.
    let mut at = 0;
    while at + 1 < rest.len() {
        match chosen(&rest[at], &rest[at + 1], tape) {
            Some(one) => {
                rest[at] = one;
                rest.remove(at + 1);
                at = at.saturating_sub(1);
            }
            None => at += 1,
        }
    }
    let moved: Vec<Term> = first.into_iter().chain(between).chain(rest).collect();
    let nested = factors.iter().any(|f| matches!(f, Term::Mul(_)));
    match moved == *factors && !nested {
        true => term,
        false => product(moved),
    }
}

/// The number of factors at the beginning of a product that together are a scalar: one, or a row followed by factors
/// up to a column.
pub(crate) fn leading_number(factors: &[Term], tape: &Tape) -> Option<usize> {
    let first = factors.first()?;
    if is_number(first, tape) {
        return Some(1);
    }
    let is_row = matches!(first, Term::T(_))
        && extent(first, tape)
            .is_none_or(|(rows, _)| rows.is_none_or(|rows| rows == Dim::fixed(1)));
    let mut row = vec![first.clone()];
    let mut count = 1;
    while is_row && count < factors.len() {
        // A number in between does not end the row.
        if let Some(number) = leading_number(&factors[count..], tape) {
            count += number;
            continue;
        }
        row.push(factors[count].clone());
        count += 1;
        if is_number(&Term::Mul(row.clone()), tape) {
            return Some(count);
        }
    }
    None
}

/// Moves scalars out of the factors of an entrywise product, to its front.
fn numbers_out(factors: &[Term], tape: &Tape) -> Option<Term> {
    let (mut numbers, mut rest) = (Vec::new(), Vec::new());
    for factor in factors {
        let Term::Mul(inner) = factor else {
            rest.push(factor.clone());
            continue;
        };
        let number = |f: &&Term| is_number(f, tape) && !f.is_linear_part();
        let (own, other) = inner.split_at(inner.iter().take_while(number).count());
        if other.is_empty() {
            return None;
        }
        numbers.extend(own.iter().cloned());
        rest.push(product(other.to_vec()));
    }
    let body = (!numbers.is_empty()).then(|| hadamard(rest))?;
    Some(scale(numbers, Some(body)))
}

/// `A I_{:,a:b} = A_{:,a:b}` and `I_{a:b,:} A = A_{a:b,:}` for named matrices.
fn chosen(first: &Term, second: &Term, tape: &Tape) -> Option<Term> {
    let is_eye = |x: &Term| matches!(x, Term::EyeOf(_));
    let named = |x: &Term| {
        let whole = match x {
            Term::T(x) => x,
            x => x,
        };
        let known = matches!(whole.symbol(), Some((Quantity::Value | Quantity::D, _, [])));
        (known || matches!(whole, Term::Part(..)))
            && matches!(extent(x, tape), Some((Some(_), Some(_))))
    };
    match (first, second) {
        (matrix, Term::Part(span, eye)) if is_eye(eye) && span.along == Along::Columns => {
            named(matrix).then(|| part(span.clone(), matrix.clone(), tape))
        }
        (Term::Part(span, eye), matrix) if is_eye(eye) && span.along == Along::Rows => {
            named(matrix).then(|| part(span.clone(), matrix.clone(), tape))
        }
        _ => None,
    }
}
