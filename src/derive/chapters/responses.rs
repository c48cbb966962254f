//! The sensitivity of the state: its differential over one step and over many, and its derivative with respect to a
//! weight, which is a linear map.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::chain;
use crate::derive::algebra::term::{Name, Quantity, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{Argument, At, Rewrite};
use crate::derive::rules::proof::{Made, Proof};

pub(crate) fn write(writer: &mut Writer<'_>) {
    let t = Time::var('t');
    let mut immediate = Vec::new();
    for state in chain::names(&writer.state) {
        match at_once(writer, &state) {
            Some(made) => immediate.push((state, made)),
            None => return,
        }
    }
    let now = writer.differential(&t);
    let made = Proof::of(writer.known(), now.clone()).by(Rewrite::Partials);
    let made = match writer.state.len() {
        1 => made,
        _ => made
            .and_then(|p| p.by(Rewrite::StateProduct))
            .and_then(|p| p.by(Rewrite::Fold(Line::Jacobian.into()))),
    };
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let step = writer.prove(Line::StateDifferential, Part::Jacobian, now.clone(), made);
    step.range = Range::all();
    step.level = Level::Normal;
    for (state, made) in immediate {
        let left = Quantity::DPlus.of([&state], [t.clone()]);
        let id = Line::Immediate(state);
        let equation = writer.prove(id, Part::Jacobian, left, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
    }
    let product = |steps: &[(char, Time)]| Rewrite::Fold(At::new(Line::JacobianProduct, steps));
    let made = Proof::of(writer.known(), now.clone())
        .by(Rewrite::Unroll(Line::StateDifferential))
        .and_then(|p| p.by(product(&[('k', Time::at(0))])))
        .and_then(|p| p.by(product(&[])))
        .map(Proof::done);
    if let Some(made) = made {
        let many = writer.prove(Line::StateUnrolled, Part::Jacobian, now, made);
        many.range = Range::all();
        many.level = Level::Normal;
    }
    if let [state] = &chain::names(&writer.state)[..] {
        maps(writer, state);
    }
}

/// The differential of a state in terms of external quantities and the other states, with the states of earlier steps
/// held fixed.
fn at_once(writer: &Writer<'_>, state: &Name) -> Option<Made> {
    let differential = Quantity::D.of([state], [Time::var('t')]);
    Proof::of(writer.known(), differential)
        .by(Rewrite::Unfold(
            Line::Differential(Arc::clone(state)).into(),
        ))?
        .outwards(&chain::names(&writer.state))?
        .if_it_applies(Rewrite::Partition)
        .by(Rewrite::AtOnce)
        .map(Proof::done)
}

/// `∂h_t/∂W` in matrix notation: total and immediate derivatives, over one step and over many.
fn maps(writer: &mut Writer<'_>, state: &Name) {
    let t = Time::var('t');
    let carried = Quantity::Value.of([state], [t.plus(-1)]);
    let parameters = writer
        .equations
        .iter()
        .filter_map(|e| match (e.left.symbol(), e.part) {
            (Some((Quantity::Gradient, [name], [])), Part::Parameters) => Some(Arc::clone(name)),
            _ => None,
        });
    // Only the weight that multiplies the state is written out.
    let found = parameters.into_iter().find_map(|name| {
        // The initial state must not depend on it.
        if starts_from(writer, &name) {
            return None;
        }
        let map = immediate(writer, state, &name)?;
        map.term.any(&|t| *t == carried).then_some((name, map))
    });
    let Some((name, map)) = found else {
        return;
    };
    let total = Quantity::Response.of([state, &name], [t.clone()]);
    let line = Line::Response(Arc::clone(&name));
    let made = Proof::of(writer.known(), total.clone()).by(Rewrite::LastStep);
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = writer.prove(line.clone(), Part::Jacobian, total.clone(), made);
    equation.range = Range::all();
    equation.level = Level::Normal;
    let id = Line::ImmediateResponse(Arc::clone(&name));
    let left = Quantity::Immediate.of([state, &name], [t]);
    let equation = writer.prove(id, Part::Jacobian, left, map);
    equation.range = Range::all();
    equation.level = Level::Normal;
    let unrolled = Proof::of(writer.known(), total.clone());
    let made = match chain::is_delayed(&writer.state) {
        true => unrolled.by(Rewrite::UnrollLags(line)),
        false => unrolled
            .by(Rewrite::Unroll(line))
            .and_then(|p| p.by(Rewrite::Chain))
            .and_then(|p| p.by(Rewrite::Fold(Line::JacobianProduct.into()))),
    };
    let made = made.map(Proof::done);
    let Some(made) = made else { return };
    let equation = writer.prove(Line::ResponseSum(name), Part::Jacobian, total, made);
    equation.range = Range::all();
    equation.level = Level::Normal;
}

/// Returns true if an initial state depends on a parameter.
fn starts_from(writer: &Writer<'_>, parameter: &Name) -> bool {
    let tape = writer.recurrence.tape();
    let starts = tape.live(tape.registers().iter().filter_map(|r| r.init()));
    tape.named(parameter).is_some_and(|id| starts[id.index()])
}

/// The immediate derivative of a state with respect to a parameter.
fn immediate(writer: &Writer<'_>, state: &Name, name: &Name) -> Option<Made> {
    let own = Argument::D(Arc::clone(name), None);
    let start = Quantity::DPlus.of([state], [Time::var('t')]);
    Proof::of(writer.known(), start)
        .by(Rewrite::Unfold(Line::Immediate(Arc::clone(state)).into()))?
        .if_it_applies(Rewrite::Alone(own.clone()))
        .if_it_applies(Rewrite::Factor(own.clone()))
        .by(Rewrite::ReadOff(own))
        .map(Proof::done)
}
