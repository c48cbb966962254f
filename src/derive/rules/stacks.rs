//! Rules about stacked values.

use super::known::Known;
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::normal::{add, product, transpose};
use crate::derive::algebra::term::{Fold, Quantity, Term, Time};
use crate::derive::record::equation::Equation;

/// `δ` or the gradient of a stack as the stack of those of its parts.
pub(super) fn unstack(before: &Term, line: &Equation) -> Option<Term> {
    let (Some((Quantity::Letter, [name], at)), Term::Matrix(rows)) =
        (line.left.symbol(), &line.right)
    else {
        return None;
    };
    let quantity = match before.symbol()? {
        (Quantity::Delta, [of], step) if of == name && step == at => Quantity::Delta,
        (Quantity::Gradient, [of], []) if of == name && at.is_empty() => Quantity::Gradient,
        _ => return None,
    };
    let cell = |cell: &Term| match cell.symbol()? {
        (Quantity::Value, [name], at) if quantity == Quantity::Delta || at.is_empty() => {
            Some(quantity.of([name], at.iter().cloned()))
        }
        _ => None,
    };
    let row = |row: &Vec<Term>| row.iter().map(cell).collect::<Option<Vec<_>>>();
    let rows: Option<Vec<Vec<Term>>> = rows.iter().map(row).collect();
    Some(Term::Matrix(rows?))
}

/// The reverse: the stack of every `δ` as `δ` of the stack.
pub(super) fn restack(term: &Term, line: &Equation) -> Option<Term> {
    let Some((Quantity::Letter, [name], at)) = line.left.symbol() else {
        return None;
    };
    let whole = Quantity::Delta.of([name], at.iter().cloned());
    let parts = unstack(&whole, line)?;
    Some(super::known::replaced(term, &parts, &whole))
}

/// Returns true for a value that varies with the step, or for one that does not.
fn is_value(term: &Term, varies: bool) -> bool {
    matches!(term.symbol(), Some((Quantity::Value, _, steps)) if steps.is_empty() != varies)
}

/// The matrix and the vector of `W v`; for a bias, the vector and the number one.
pub(crate) fn read(part: &Term) -> Option<(Term, Term)> {
    match part {
        Term::Mul(factors) => match &factors[..] {
            [w, v] if is_value(w, false) && is_value(v, true) => Some((w.clone(), v.clone())),
            _ => None,
        },
        b if is_value(b, false) => Some((b.clone(), Term::Num(1.0))),
        _ => None,
    }
}

/// The entries of a column, from top to bottom.
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

/// Rows `Σ_y A_xy v_y + r_x`, where the `v_y` belong to the state, as blocks times a stack.
pub(super) fn of_states(before: &Term, known: &Known<'_>) -> Option<Term> {
    let Term::Matrix(rows) = before else {
        return None;
    };
    let rows = column(rows)?;
    let stack = stack_in(&rows, known)?;
    let (mut matrices, mut rest) = (Vec::new(), Vec::new());
    for row in rows {
        let mut cells = vec![Term::Zero; stack.len()];
        let mut others = Vec::new();
        for part in row.addends() {
            if !part.any(&|t| of_state(t, known).is_some()) {
                others.push(part.clone());
                continue;
            }
            let (last, matrix) = match part {
                Term::Mul(factors) => factors.split_last()?,
                one => (one, &[][..]),
            };
            let cell = cells.get_mut(stack.iter().position(|v| v == last)?)?;
            if *cell != Term::Zero {
                return None;
            }
            *cell = product(matrix.to_vec());
        }
        matrices.push(cells);
        rest.push(vec![add(others)]);
    }
    let stack = Term::Matrix(stack.into_iter().map(|v| vec![v]).collect());
    let nothing = rest.iter().flatten().all(|r| *r == Term::Zero);
    let rest = (!nothing).then_some(Term::Matrix(rest));
    // If all blocks are transposed, the matrix is the transpose of another.
    let turned = matrices.iter().flatten().all(|m| matches!(m, Term::T(_)));
    Some(match turned {
        true => {
            let count = matrices.len();
            let column = |j: usize| {
                matrices
                    .iter()
                    .map(|row| transpose(row[j].clone()))
                    .collect()
            };
            let matrix = transpose(Term::Matrix((0..count).map(column).collect()));
            add(rest.into_iter().chain([Term::Mul(vec![matrix, stack])]))
        }
        false => {
            let matrix = Term::Mul(vec![Term::Matrix(matrices), stack]);
            add(std::iter::once(matrix).chain(rest))
        }
    })
}

/// The step of a differential or a `λ`, if its value belongs to the state.
fn of_state<'t>(term: &'t Term, known: &Known<'_>) -> Option<&'t Time> {
    match term.symbol() {
        Some((Quantity::D | Quantity::Costate, [name], [at])) if known.carries(name) => Some(at),
        _ => None,
    }
}

/// The stack of the differentials, or of the `λ`, of the whole state, at the latest step at which one occurs in some
/// rows.
fn stack_in(rows: &[&Term], known: &Known<'_>) -> Option<Vec<Term>> {
    let mut found: Vec<&Term> = Vec::new();
    for row in rows {
        crate::derive::algebra::term::visit(row, &mut |t| {
            if of_state(t, known).is_some() {
                found.push(t);
            }
        });
    }
    let latest = found.iter().filter_map(|t| of_state(t, known)).max()?;
    let costates = found.iter().all(|t| t.is(Quantity::Costate));
    let cell = |part: &Carried| {
        let name = &part.name;
        match (costates, part.delay) {
            (false, delay) => Some(Quantity::D.of([name], [latest.plus(-delay)])),
            (true, 0) => Some(Quantity::Costate.of([name], [latest.clone()])),
            // Delayed values have no λ of their own.
            (true, _) => None,
        }
    };
    known.state.iter().map(cell).collect()
}

/// The sum of blocks `δ_q r_iᵀ` as the sum of a stack times the transpose of another.
pub(super) fn outer(before: &Term) -> Option<Term> {
    let Term::Over(Fold::Sum, index, body) = before else {
        return None;
    };
    let Term::Matrix(rows) = &**body else {
        return None;
    };
    let split = |cell: &Term| match cell {
        Term::Mul(factors) => match &factors[..] {
            [delta, Term::T(read)] if delta.is(Quantity::Delta) => {
                Some((delta.clone(), (**read).clone()))
            }
            _ => None,
        },
        delta if delta.is(Quantity::Delta) => Some((delta.clone(), Term::Num(1.0))),
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
    Some(Term::over(Fold::Sum, index.clone(), body))
}

/// The matrix and the `δ` of the contribution of one reader.
fn sent(part: &Term) -> Option<(Term, Term, Option<Time>)> {
    let Term::Mul(factors) = part else {
        return None;
    };
    let [Term::T(w), delta] = &factors[..] else {
        return None;
    };
    match delta.symbol() {
        Some((Quantity::Delta, _, at)) if is_value(w, false) => {
            Some(((**w).clone(), delta.clone(), at.first().cloned()))
        }
        _ => None,
    }
}

/// Combines several matrices that send δ back into one: `Uᵀ δ` of the stacked gates.
pub(super) fn sent_back(before: &Term) -> Option<Term> {
    let Term::Add(parts) = before else {
        return None;
    };
    // Only matrices at the same step are combined: the readout sends its δ at another step.
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

/// The index of a row of blocks, the index of the row that is a multiple of it, and the matrix of that multiple.
fn following(rows: &[Vec<Term>]) -> Option<(usize, usize, Term)> {
    let [first, second] = rows else { return None };
    let by = |row: &[Term], lead: &[Term]| {
        let matrix =
            |(cell, lead): (&Term, &Term)| cell.addends().iter().find_map(|p| times(p, lead));
        let found: Option<Vec<Term>> = row.iter().zip(lead).map(matrix).collect();
        let found = found?;
        let one = found.first()?.clone();
        found.iter().all(|m| *m == one).then_some(one)
    };
    let up = by(first, second).map(|m| (1, 0, m));
    up.or_else(|| by(second, first).map(|m| (0, 1, m)))
}

/// The matrix `P`, if a term is `P A`.
fn times(part: &Term, last: &Term) -> Option<Term> {
    match part {
        Term::Mul(factors) => match &factors[..] {
            [matrix, end] if end == last => Some(matrix.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Inside a norm, `[B + P A, P F; A, F]` as `[P A, P F; A, F] + [B, 0; 0, 0]`.
pub(super) fn split_rows(before: &Term) -> Option<Term> {
    let Term::Norm(matrix) = before else {
        return None;
    };
    let Term::Matrix(rows) = &**matrix else {
        return None;
    };
    let (lead, row, by) = following(rows)?;
    let (mut follow, mut rest) = (rows.clone(), rows.clone());
    for (j, cell) in rows[row].iter().enumerate() {
        let own = product(vec![by.clone(), rows[lead][j].clone()]);
        rest[row][j] = add(cell.addends().iter().filter(|p| **p != own).cloned());
        rest[lead][j] = Term::Zero;
        follow[row][j] = own;
    }
    let parts = vec![Term::Matrix(follow), Term::Matrix(rest)];
    Some(Term::Norm(Box::new(Term::Add(parts))))
}

/// `[P A, P F; A, F]` as `[P; I] [A, F]`.
pub(super) fn factor_rows(before: &Term) -> Option<Term> {
    let mut used = false;
    let found = factored(before, &mut used);
    used.then_some(found)
}

fn factored(term: &Term, used: &mut bool) -> Term {
    if let Term::Matrix(rows) = term
        && let Some((lead, row, by)) = following(rows)
        && (0..rows[row].len()).all(|j| times(&rows[row][j], &rows[lead][j]).is_some())
    {
        *used = true;
        let mut column = vec![vec![Term::Eye], vec![Term::Eye]];
        column[row] = vec![by];
        let leading = Term::Matrix(vec![rows[lead].clone()]);
        return Term::Mul(vec![Term::Matrix(column), leading]);
    }
    term.map(&mut |part| factored(part, used))
}
