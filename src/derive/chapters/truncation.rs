//! Truncated gradients, by a window for each loss or by chunks without backward flow between them, each with its
//! remainder.

use std::sync::Arc;

use super::bridge::{Bridge, Sums};
use super::writer::Writer;
use crate::derive::algebra::term::{Base, Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::Rewrite;
use crate::derive::rules::proof::Proof;

fn widths() -> (char, Time, Time) {
    ('τ', Time::at(1), Time::last())
}

/// The gradient truncated to windows and to chunks, each with its remainder.
pub(crate) fn write(writer: &mut Writer<'_>, bridge: &Bridge, sums: &Sums) {
    window(writer, sums);
    if bridge.by_step {
        chunks(writer, &bridge.state, sums);
    }
}

/// The sum within a window and the exact remainder; the remainder of the main parameter is named by a letter.
fn window(writer: &mut Writer<'_>, sums: &Sums) {
    let parted = |writer: &Writer<'_>| {
        let known = writer.known();
        Some(
            Proof::of(known, sums.double.clone())
                .by(Rewrite::Window)?
                .done(),
        )
    };
    let Some(mut made) = parted(writer) else {
        return;
    };
    if let (true, Term::Add(parts)) = (sums.main, &made.term)
        && let [_, far] = &parts[..]
    {
        let letter = writer.symbols.letters.rest;
        writer.define(letter, Some('τ'), Part::Truncation, far.clone());
        let fold = Rewrite::Fold(Line::Letter(letter.into()).into());
        let known = writer.known();
        let folded = Proof::of(known, sums.double.clone())
            .by(Rewrite::Window)
            .and_then(|p| p.by(fold));
        let Some(folded) = folded else { return };
        made = folded.done();
    }
    let id = Line::Window(Arc::clone(&sums.name));
    let equation = writer.prove(id, Part::Truncation, sums.left.clone(), made);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if sums.main { Level::Sheet } else { Level::Full };
    let double = Line::DoubleSum(Arc::clone(&sums.name));
    equation.premises.insert(0, double);
}

/// δ of the recursion that restarts after every τ steps.
fn chunked(writer: &mut Writer<'_>, state: &Name) -> Option<()> {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let cut = |at: Time| Quantity::Cut.of([state], [at]);
    let recursion = writer.right(&Line::Recursion)?.clone();
    let made = Proof::of(writer.known(), recursion)
        .by(Rewrite::Restart)?
        .done();
    let equation = writer.prove(Line::ChunkDelta, Part::Truncation, cut(t), made);
    equation.range = Range {
        vars: vec![widths(), ('t', Time::at(1), Time::last())],
    };
    equation.premises = vec![Line::Recursion];

    let made = Proof::of(writer.known(), cut(k.clone()))
        .by(Rewrite::Unroll(Line::ChunkDelta))?
        .by(Rewrite::Fold(Line::JacobianProduct.into()))?
        .done();
    let equation = writer.prove(Line::ChunkClosed, Part::Truncation, cut(k), made);
    equation.range = Range {
        vars: vec![widths(), ('k', Time::at(1), Time::last())],
    };
    equation.level = Level::Normal;
    Some(())
}

/// The gradient with the δ of the chunks, and the exact remainder.
fn chunks(writer: &mut Writer<'_>, state: &Name, sums: &Sums) {
    if sums.main && chunked(writer, state).is_none() {
        return;
    }
    let end = Time {
        base: Base::ChunkEnd('k'),
        offset: 0,
    };
    let known = writer.known();
    let made = Proof::of(known, sums.exchanged.clone())
        .by(Rewrite::Chunks)
        .map(|p| p.if_it_applies(Rewrite::SumIn(end)))
        .and_then(|p| p.by(Rewrite::Fold(Line::ChunkClosed.into())));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let id = Line::Chunks(Arc::clone(&sums.name));
    let equation = writer.prove(id, Part::Truncation, sums.left.clone(), made);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if sums.main { Level::Sheet } else { Level::Full };
    let before = [
        Line::DoubleSum(Arc::clone(&sums.name)),
        Line::ExchangedSum(Arc::clone(&sums.name)),
    ];
    equation.premises.extend(before);
}
