//! Products with their scalar factors in front; products with rows or columns of the identity as parts of a matrix.

use super::normal::{hadamard, product, scale};
use super::shapes::{extent, is_number};
use super::span::part;
use super::term::{Along, Quantity, Term};
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
                // A scalar that follows the row of a longer inner product goes before it.
                let mut row = 1;
                while let Some(n) =
                    leading_number(&run[row..], tape).filter(|n| row + n < run.len())
                {
                    row += n;
                }
                first.extend(run[1..row].iter().cloned());
                first.push(run[0].clone());
                first.extend(run[row..].iter().cloned());
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
    let number = |run: &[Term]| match run {
        [] => false,
        [one] => is_number(one, tape),
        run => is_number(&Term::Mul(run.to_vec()), tape),
    };
    let (longest, ones) = match factors.first()? {
        Term::T(x) => (factors.len(), **x == Term::Ones),
        _ => (1, false),
    };
    // A row of ones times a number is a row; its length comes from the factor after it.
    (1..=longest).find(|n| number(&factors[..*n]) && !(ones && number(&factors[1..*n])))
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
