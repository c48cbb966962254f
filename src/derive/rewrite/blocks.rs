//! Rules about values that are stacked.

use crate::derive::canon::{add, product, transpose};
use crate::derive::term::{Name, Term, Time};

/// `δ` or the gradient of a stack as the stack of those of its parts.
pub(super) fn unstack(before: &Term, left: &Term, right: &Term) -> Option<Term> {
    let (Term::Letter(name, at), Term::Matrix(rows)) = (left, right) else {
        return None;
    };
    let is_delta = match before {
        Term::Delta(of, step) if of == name && step == at => true,
        Term::Gradient(of, None) if of == name && at.is_none() => false,
        _ => return None,
    };
    let cell = |cell: &Term| match cell {
        Term::Value(name, at) if is_delta => Some(Term::Delta(Name::clone(name), at.clone())),
        Term::Value(name, None) => Some(Term::Gradient(Name::clone(name), None)),
        _ => None,
    };
    let row = |row: &Vec<Term>| row.iter().map(cell).collect::<Option<Vec<_>>>();
    let rows: Option<Vec<Vec<Term>>> = rows.iter().map(row).collect();
    Some(Term::Matrix(rows?))
}

/// The other way: the stack of every `δ` as `δ` of the stack.
pub(super) fn restack(term: &Term, left: &Term, right: &Term) -> Option<Term> {
    let Term::Letter(name, at) = left else {
        return None;
    };
    let whole = Term::Delta(Name::clone(name), at.clone());
    let parts = unstack(&whole, left, right)?;
    Some(super::replaced(term, &parts, &whole))
}

/// The matrix and the value of `W v`, the vector and the number one of a bias.
pub(crate) fn read(part: &Term) -> Option<(Term, Term)> {
    match part {
        Term::Mul(factors) => match &factors[..] {
            [w @ Term::Value(_, None), v @ Term::Value(_, Some(_))] => Some((w.clone(), v.clone())),
            _ => None,
        },
        b @ Term::Value(_, None) => Some((b.clone(), Term::Num(1.0))),
        _ => None,
    }
}

/// A column, from top to bottom.
fn column(rows: &[Vec<Term>]) -> Option<Vec<&Term>> {
    let cell = |row: &'_ Vec<Term>| row.len() == 1;
    rows.iter()
        .all(cell)
        .then(|| rows.iter().map(|row| &row[0]).collect())
}

/// A stack of sums `W_q x + U_q h + b_q` as blocks times a stack.
pub(super) fn product_of(before: &Term) -> Option<Term> {
    let Term::Matrix(rows) = before else {
        return None;
    };
    let (mut weights, mut reads) = (Vec::new(), None);
    for row in column(rows)? {
        let Term::Add(parts) = row else { return None };
        let parts: Option<Vec<_>> = parts.iter().map(read).collect();
        let (row, of): (Vec<Term>, Vec<Term>) = parts?.into_iter().unzip();
        if reads.get_or_insert_with(|| of.clone()) != &of {
            return None;
        }
        weights.push(row);
    }
    let reads = reads?.into_iter().map(|r| vec![r]).collect();
    Some(Term::Mul(vec![Term::Matrix(weights), Term::Matrix(reads)]))
}

/// The sum of blocks `δ_q r_iᵀ` as that of a stack times the transpose of another.
pub(super) fn outer(before: &Term) -> Option<Term> {
    let Term::Sum(var, from, to, body) = before else {
        return None;
    };
    let Term::Matrix(rows) = &**body else {
        return None;
    };
    let split = |cell: &Term| match cell {
        Term::Mul(factors) => match &factors[..] {
            [delta @ Term::Delta(..), Term::T(read)] => Some((delta.clone(), (**read).clone())),
            _ => None,
        },
        delta @ Term::Delta(..) => Some((delta.clone(), Term::Num(1.0))),
        _ => None,
    };
    let (mut deltas, mut reads) = (Vec::new(), None);
    for row in rows {
        let cells: Option<Vec<_>> = row.iter().map(split).collect();
        let (of_row, of): (Vec<Term>, Vec<Term>) = cells?.into_iter().unzip();
        let one = of_row.first()?.clone();
        if of_row.iter().any(|d| *d != one) || reads.get_or_insert_with(|| of.clone()) != &of {
            return None;
        }
        deltas.push(vec![one]);
    }
    let reads = reads?.into_iter().map(|r| vec![r]).collect();
    let body = Term::Mul(vec![Term::Matrix(deltas), transpose(Term::Matrix(reads))]);
    Some(Term::Sum(*var, from.clone(), to.clone(), Box::new(body)))
}

/// The matrix and the `δ` of what one reader sends back.
fn sent(part: &Term) -> Option<(Term, Term, Option<Time>)> {
    let Term::Mul(factors) = part else {
        return None;
    };
    match &factors[..] {
        [Term::T(w), delta @ Term::Delta(_, at)] if matches!(**w, Term::Value(_, None)) => {
            Some(((**w).clone(), delta.clone(), at.clone()))
        }
        _ => None,
    }
}

/// Several matrices that send δ back, as one: `Uᵀ δ` of the stacked gates.
pub(super) fn sent_back(before: &Term) -> Option<Term> {
    let Term::Add(parts) = before else {
        return None;
    };
    // Those of one step belong together: the readout sends its δ at another.
    let (.., at) = parts.iter().rev().find_map(sent)?;
    let together = |p: &Term| sent(p).filter(|(.., step)| *step == at);
    let of_gates: Vec<_> = parts.iter().filter_map(together).collect();
    if of_gates.len() < 2 {
        return None;
    }
    let (matrices, deltas) = of_gates
        .into_iter()
        .map(|(w, d, _)| (vec![w], vec![d]))
        .unzip();
    let stack = product(vec![
        transpose(Term::Matrix(matrices)),
        Term::Matrix(deltas),
    ]);
    let others = parts.iter().filter(|p| together(p).is_none()).cloned();
    Some(add(others.chain(std::iter::once(stack))))
}
