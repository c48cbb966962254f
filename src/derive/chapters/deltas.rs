//! The `δ` that occur in a term: their values and steps.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::term::{Fold, Name, Quantity, Term, Time, visit};
use crate::derive::record::line::Line;

/// Returns true if every addend has δ of the state as a factor exactly once.
pub(crate) fn is_homogeneous(term: &Term, state: &Name) -> bool {
    match term {
        Term::Symbol(symbol) => symbol.quantity == Quantity::Delta && symbol.names[0] == *state,
        Term::Add(parts) => parts.iter().all(|p| is_homogeneous(p, state)),
        Term::Neg(x) | Term::T(x) | Term::Part(_, x) | Term::Div(x, _) => is_homogeneous(x, state),
        Term::Matrix(rows) => rows.iter().flatten().all(|x| is_homogeneous(x, state)),
        Term::Had(parts) | Term::Mul(parts) => {
            let linear: Vec<&Term> = parts.iter().filter(|p| p.is_linear_part()).collect();
            matches!(linear[..], [one] if is_homogeneous(one, state))
        }
        _ => false,
    }
}

/// Returns true if every δ in a term depends on values of its own step only.
pub(crate) fn of_one_step(writer: &Writer<'_>, term: &Term) -> bool {
    let mut pending = vec![term.clone()];
    let mut known: Vec<Name> = Vec::new();
    while let Some(term) = pending.pop() {
        let elsewhere = |t: &Term| match t.symbol() {
            Some((Quantity::Delta, _, at)) => *at != [Time::var('t')],
            // The loss of another step may read this value.
            Some((Quantity::Value, _, [at])) => *at != Time::var('t'),
            _ => matches!(
                t,
                Term::Before(..) | Term::At(..) | Term::Over(Fold::Sum, ..)
            ),
        };
        if term.any(&elsewhere) {
            return false;
        }
        let mut names = Vec::new();
        visit(&term, &mut |t| {
            if let Some((Quantity::Delta, [name], _)) = t.symbol() {
                names.push(Arc::clone(name));
            }
        });
        for name in names
            .into_iter()
            .filter(|n| !known.contains(n))
            .collect::<Vec<_>>()
        {
            let Some(right) = writer.right(&Line::Delta(Arc::clone(&name))) else {
                return false;
            };
            pending.push(right.clone());
            known.push(name);
        }
    }
    true
}
