//! Truncated gradients, by a window for each loss or by chunks without backward flow between them, each with its
//! remainder.

use std::sync::Arc;

use super::bridge::{Bridge, Sums};
use super::writer::Writer;
use crate::derive::algebra::term::{Base, Name, Term, Time};
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{At, Rewrite};
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
        let fold = Rewrite::Fold(At::new(format!("let.{letter}"), &[]));
        let known = writer.known();
        let folded = Proof::of(known, sums.double.clone())
            .by(Rewrite::Window)
            .and_then(|p| p.by(fold));
        let Some(folded) = folded else { return };
        made = folded.done();
    }
    let id = format!("window.{}", sums.name);
    let equation = writer.prove(id, Part::Truncation, sums.left.clone(), made);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if sums.main { Level::Sheet } else { Level::Full };
    let double = format!("bridge.double.{}", sums.name);
    equation.premises.insert(0, double);
}

/// δ of the recursion that restarts after every τ steps.
fn chunked(writer: &mut Writer<'_>, state: &Name) -> Option<()> {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let cut = |at: Time| Term::Cut(Arc::clone(state), at);
    let recursion = writer.right("bridge.recursion")?.clone();
    let made = Proof::of(writer.known(), recursion)
        .by(Rewrite::Restart)?
        .done();
    let equation = writer.prove("chunk.delta".into(), Part::Truncation, cut(t), made);
    equation.range = Range {
        vars: vec![widths(), ('t', Time::at(1), Time::last())],
    };
    equation.premises = vec!["bridge.recursion".into()];

    let made = Proof::of(writer.known(), cut(k.clone()))
        .by(Rewrite::Unroll("chunk.delta".into()))?
        .by(Rewrite::Fold(At::new("jac.product", &[])))?
        .done();
    let equation = writer.prove("chunk.closed".into(), Part::Truncation, cut(k), made);
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
        .and_then(|p| p.by(Rewrite::Fold(At::new("chunk.closed", &[]))));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let id = format!("chunk.{}", sums.name);
    let equation = writer.prove(id, Part::Truncation, sums.left.clone(), made);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if sums.main { Level::Sheet } else { Level::Full };
    let before = [
        format!("bridge.double.{}", sums.name),
        format!("bridge.exchange.{}", sums.name),
    ];
    equation.premises.extend(before);
}
