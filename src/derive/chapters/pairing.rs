//! The differential of the loss, step by step: the contribution of each step.

use super::writer::Writer;
use crate::derive::algebra::normal::inner;
use crate::derive::algebra::term::Time;
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{At, Rewrite};
use crate::derive::rules::proof::Proof;

/// `⟨λ_t, ds_t⟩ = ⟨λ_{t−1} − e_{t−1}, ds_{t−1}⟩ + ⟨λ_t, d⁺s_t⟩`: the contribution of one step to the differential of
/// the loss. Summed over the steps, all terms but those at the ends cancel.
pub(crate) fn pairing(writer: &mut Writer<'_>, recursion: Line, id: Line, part: Part) {
    let (now, before) = (Time::var('t'), Time::var('t').plus(-1));
    let Some(line) = writer.line(&recursion) else {
        return;
    };
    let left = inner(line.left.clone(), writer.differential(&now));
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unfold(Line::StateDifferential.into()))
        .and_then(|p| p.by(Rewrite::InnerSum))
        .and_then(|p| p.by(Rewrite::InnerAdjoint))
        .and_then(|p| p.by(Rewrite::Solved(At::new(recursion, &[('t', before)]))));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = writer.prove(id, part, left, made);
    equation.range = Range {
        vars: vec![('t', Time::at(2), Time::last())],
    };
    equation.level = Level::Normal;
}
