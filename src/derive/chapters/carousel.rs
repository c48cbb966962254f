//! The constant error carousel: a state that is updated by entrywise scaling and addition.

use std::sync::Arc;

use super::deltas;
use super::writer::Writer;
use crate::derive::algebra::normal::add;
use crate::derive::algebra::term::{self, Fold, Index, Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::{Range, Relation};
use crate::derive::record::rewrite::Rewrite;
use crate::derive::record::rule::Rule;
use crate::derive::rules::proof::Proof;

/// Writes the lines of each state of the form `c_t = f_t ⊙ c_{t−1} + …`: its closed form, that of its δ, and the
/// product of its gates.
pub(crate) fn write(writer: &mut Writer<'_>) {
    let states: Vec<(Name, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Definition)
        .filter_map(|e| match e.left.symbol() {
            Some((Quantity::Value, [name], [_])) => {
                let delta = writer.right(&Line::Delta(Arc::clone(name)))?;
                Some((Arc::clone(name), e.right.clone(), delta.clone()))
            }
            _ => None,
        })
        .collect();
    for (name, definition, delta) in states {
        let carried = Quantity::Value.of([&name], [Time::var('t').plus(-1)]);
        let ahead = Quantity::Delta.of([&name], [Time::var('t').plus(1)]);
        let Some((gate, input)) = split(&definition, &carried) else {
            continue;
        };
        let Some((next_gate, sent)) = split(&delta, &ahead) else {
            continue;
        };
        // The gate must not depend on the state it scales; then δ has the same gate, one step later.
        if next_gate != gate.at('t', &Time::var('t').plus(1)) {
            continue;
        }
        if input.any(&|t| *t == carried) || sent.any(&|t| *t == ahead) {
            continue;
        }
        let Some((Quantity::Value, [gate_name], _)) = gate.symbol() else {
            continue;
        };
        let kept = |from: Time, to: Time| {
            let gate = gate.at('t', &Time::var('j'));
            Term::over(Fold::HadProd, Index::new('j', from, to), gate)
        };
        let (t, k) = (Time::var('t'), Time::var('k'));
        let unrolled = |writer: &Writer<'_>, line: Line, left: &Term| {
            let known = writer.known();
            let made = Proof::of(known, left.clone()).by(Rewrite::Unroll(line));
            made.map(Proof::done)
        };
        let left = Quantity::Value.of([&name], [t.clone()]);
        let Some(made) = unrolled(writer, Line::Definition(Arc::clone(&name)), &left) else {
            continue;
        };
        let equation = writer.prove(
            Line::Carousel(Arc::clone(&name)),
            Part::Carousel,
            left,
            made,
        );
        equation.range = Range::all();

        let left = Quantity::Delta.of([&name], [k.clone()]);
        let Some(made) = unrolled(writer, Line::Delta(Arc::clone(&name)), &left) else {
            continue;
        };
        let id = Line::CarouselDelta(Arc::clone(&name));
        let equation = writer.prove(id, Part::Carousel, left, made);
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        cut_paths(writer, &name);

        let id = Line::Definition(Arc::clone(gate_name));
        let scalar = writer
            .tape
            .named(&name)
            .is_none_or(|id| writer.is_scalar(id));
        if scalar {
            let path = kept(k.plus(1), t);
            let made = Proof::of(writer.known(), path.clone()).by(Rewrite::Ranges);
            if let Some(made) = made.map(Proof::done) {
                let bound = Line::CarouselBound(name);
                let equation = writer.prove(bound, Part::Carousel, path, made);
                equation.range = crate::derive::record::relation::pairs();
                equation.relation = Relation::AtMost;
                equation.premises.push(id);
            }
            continue;
        }
        let path = Term::Norm(Box::new(Term::Diag(Box::new(kept(k.plus(1), t.clone())))));
        let Some(largest) = Proof::of(writer.known(), path.clone()).by(Rewrite::NormOfDiagonal)
        else {
            continue;
        };
        let bound = Proof::of(writer.known(), path.clone())
            .by(Rewrite::NormOfDiagonal)
            .and_then(|p| p.by(Rewrite::Ranges))
            .map(Proof::done);
        let largest = largest.done();
        let norm = Line::CarouselNorm(Arc::clone(&name));
        let equation = writer.prove(norm, Part::Carousel, path.clone(), largest);
        // An empty product would be a vector of ones of unknown size.
        equation.range = Range {
            vars: vec![
                ('t', Time::at(1), Time::last()),
                ('k', Time::at(0), t.plus(-1)),
            ],
        };
        equation.level = Level::Normal;
        if let Some(bound) = bound {
            let name = Line::CarouselBound(name);
            let equation = writer.prove(name, Part::Carousel, path, bound);
            equation.range = crate::derive::record::relation::pairs();
            equation.relation = Relation::AtMost;
            equation.premises.push(id);
        }
    }
}

/// The error that flows back along the carousel alone, as in the LSTM of 1997, and the remainder: δ of the other states
/// split into the contributions of the loss and of the gates of the next step.
fn cut_paths(writer: &mut Writer<'_>, name: &Name) {
    let (t, id) = (Time::var('t'), Line::CarouselDelta(Arc::clone(name)));
    let Some(gathered) = writer.right(&id).cloned() else {
        return;
    };
    // The state whose δ contributes to δ of the carousel; all other δ follow from it at the same step.
    let others = writer.equations.iter().filter_map(|e| match &e.id {
        Line::Delta(state) if state != name && term::looks_ahead(&e.right) => {
            Some(Arc::clone(state))
        }
        _ => None,
    });
    let others: Vec<Name> = others.collect();
    for state in others {
        let known = writer.known();
        let Some(in_state) =
            Proof::of(known, gathered.clone()).down_to(std::slice::from_ref(&state), &t)
        else {
            continue;
        };
        let only = match &in_state.term {
            Term::Over(Fold::Sum, _, body) => deltas::is_homogeneous(body, &state),
            _ => false,
        };
        if !only {
            continue;
        }
        let of_state = Line::Delta(state).into();
        let made = in_state
            .by(Rewrite::Unfold(of_state))
            .and_then(|p| p.by(Rewrite::SumApart));
        let Some(made) = made.map(Proof::done) else {
            continue;
        };
        let left = Quantity::Delta.of([name], [Time::var('k')]);
        let cut = Line::CarouselCut(Arc::clone(name));
        let equation = writer.prove(cut, Part::Carousel, left, made);
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        equation.rules.push(Rule::Truncation);
        equation.premises.insert(0, id);
        equation.level = Level::Normal;
        return;
    }
}

/// `v` and `rest`, if a sum is `v ⊙ x + rest`.
fn split(sum: &Term, x: &Term) -> Option<(Term, Term)> {
    let Term::Add(parts) = sum else { return None };
    let at = parts.iter().position(|p| match p {
        Term::Had(factors) => factors.len() == 2 && factors[1] == *x,
        _ => false,
    })?;
    let Term::Had(factors) = &parts[at] else {
        return None;
    };
    let rest = parts.iter().enumerate().filter(|(i, _)| *i != at);
    Some((factors[0].clone(), add(rest.map(|(_, p)| p.clone()))))
}
