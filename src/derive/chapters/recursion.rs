//! Other forms of the recursion of `δ`: at the last step, and with values that have a single reader eliminated.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{At, Rewrite};
use crate::derive::rules::proof::Proof;

/// δ at the last step, which receives nothing from later steps.
pub(crate) fn boundary(writer: &mut Writer<'_>, name: &Name) {
    let id = Line::Delta(Arc::clone(name));
    let Some(line) = writer.line(&id) else {
        return;
    };
    let parts = line.right.addends();
    let now = Time::var('t');
    let later = |t: &Term| {
        t.any(&|t| {
            matches!(t.symbol(), Some((Quantity::Delta, _, [at])) if at.offset > 0)
                || *t == Term::Before(now.clone(), Time::last())
        })
    };
    let ahead: Vec<&Term> = parts.iter().filter(|p| later(p)).collect();
    let ours =
        |t: &Term| matches!(t.symbol(), Some((Quantity::Delta, _, [at])) if at.base == now.base);
    if ahead.is_empty() || !ahead.iter().all(|t| t.any(&ours)) {
        return;
    }
    let shape = line.shape.clone();
    let left = Quantity::Delta.of([name], [Time::last()]);
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unfold(At::new(id, &[('t', Time::last())])))
        .and_then(|p| p.by(Rewrite::End));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = writer.prove(
        Line::LastDelta(Arc::clone(name)),
        Part::Recursion,
        left,
        made,
    );
    equation.shape = shape;
    equation.level = Level::Normal;
}

/// δ after substituting every value that has a single reader.
pub(crate) fn compact(writer: &mut Writer<'_>) {
    let lines: Vec<(Name, Term, Term)> = writer
        .equations
        .iter()
        .filter_map(|e| match &e.id {
            Line::Delta(name) => Some((Arc::clone(name), e.left.clone(), e.right.clone())),
            _ => None,
        })
        .collect();
    let single: Vec<Name> = lines
        .iter()
        .filter(|(name, _, right)| is_single(right, name))
        .map(|(name, ..)| Arc::clone(name))
        .collect();
    for (name, left, right) in lines {
        let known = writer.known();
        let mut proof = Proof::of(known, right);
        while let Some((of, at)) = first_of(&proof.term, &single) {
            let line = At::new(Line::Delta(of), &[('t', at)]);
            let Some(next) = proof.by(Rewrite::Unfold(line)) else {
                return;
            };
            proof = next;
        }
        let made = proof.done();
        if made.steps.is_empty() {
            continue;
        }
        let id = Line::CompactDelta(Arc::clone(&name));
        let stepped = matches!(left.symbol(), Some((Quantity::Delta, _, [_])));
        let equation = writer.prove(id, Part::Recursion, left, made);
        equation.range = if stepped { Range::all() } else { Range::once() };
        equation.premises.insert(0, Line::Delta(name));
        equation.level = Level::Normal;
    }
}

/// The first δ of one of the given values, with its step.
fn first_of(term: &Term, names: &[Name]) -> Option<(Name, Time)> {
    match term.symbol() {
        Some((Quantity::Delta, [name], [at])) if names.contains(name) => {
            Some((Arc::clone(name), at.clone()))
        }
        _ => term.parts().into_iter().find_map(|p| first_of(p, names)),
    }
}

/// Returns true if a line is one product with one δ, of another value at the same step.
fn is_single(right: &Term, name: &Name) -> bool {
    let at_step =
        |t: &Term| matches!(t.symbol(), Some((Quantity::Delta, _, [at])) if at.offset == 0);
    match right {
        Term::Had(parts) => {
            let deltas: Vec<&Term> = parts.iter().filter(|p| p.is_linear_part()).collect();
            let other =
                |t: &Term| matches!(t.symbol(), Some((Quantity::Delta, [of], _)) if of != name);
            matches!(deltas[..], [one] if other(one) && at_step(one))
        }
        _ => false,
    }
}
