//! Truncation: a window for each loss, and chunks between which nothing goes back, each with what it
//! leaves out.

use std::sync::Arc;

use super::bridge::{Sums, put};
use super::canon::{add, product, scale, tidy, transpose};
use super::generate::Writer;
use super::jacobian::flow;
use super::rules::Rule;
use super::term::{Base, Name, Term, Time};
use super::{Level, Part, Range};

fn widths() -> (char, Time, Time) {
    ('τ', Time::at(1), Time::last())
}

const fn after(base: Base, offset: i64) -> Time {
    Time { base, offset }
}

fn sum(var: char, from: Time, to: Time, body: Term) -> Term {
    Term::Sum(var, from, to, Box::new(body))
}

/// The sum over a window, and what is left out, exactly; for the main parameter under a letter.
pub(crate) fn window(writer: &mut Writer<'_>, sums: &Sums<'_>, main: bool) {
    let (t, pair) = (Time::var('t'), sums.pair);
    let near = sum('k', after(Base::Window('t', 'τ'), 0), t, pair.clone());
    let near = sum('t', Time::at(1), Time::last(), near);
    let far = sum(
        'k',
        Time::at(1),
        after(Base::Minus('t', 'τ'), 0),
        pair.clone(),
    );
    let far = sum('t', after(Base::Var('τ'), 1), Time::last(), far);
    let rest = match main {
        true => {
            let letter = writer.symbols.letters.rest;
            writer.define(letter, Some('τ'), Part::Truncation, far)
        }
        false => far,
    };
    let right = Term::Add(vec![near, rest]);
    let id = format!("window.{}", sums.name);
    let equation = writer.push(id, Part::Truncation, sums.left.clone(), right);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if main { Level::Sheet } else { Level::Full };
    equation.rules = vec![Rule::Truncation];
    equation.premises = vec![format!("bridge.double.{}", sums.name)];
}

/// δ where the recursion starts again after every τ steps.
fn chunked(writer: &mut Writer<'_>, state: &Name, direct: &Term) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let cut = |at: Time| Term::Cut(Arc::clone(state), at);
    let later = product(vec![
        transpose(Term::StateJacobian(t.plus(1))),
        cut(t.plus(1)),
    ]);
    let later = scale(vec![Term::Uncut(t.clone())], Some(later));
    let right = Term::Add(vec![direct.clone(), later]);
    let equation = writer.push(
        "chunk.delta".into(),
        Part::Truncation,
        cut(t.clone()),
        right,
    );
    equation.range = Range {
        vars: vec![widths(), ('t', Time::at(1), Time::last())],
    };
    equation.rules = vec![Rule::Truncation];
    equation.premises = vec!["bridge.recursion".into()];

    let through = transpose(flow(&[Arc::clone(state)], t, k.clone()));
    let sent = product(vec![through, direct.clone()]);
    let right = sum('t', k.clone(), after(Base::ChunkEnd('k'), 0), sent);
    let equation = writer.push("chunk.closed".into(), Part::Truncation, cut(k), right);
    equation.range = Range {
        vars: vec![widths(), ('k', Time::at(1), Time::last())],
    };
    equation.rules = vec![Rule::Unrolling];
    equation.premises = vec!["chunk.delta".into()];
    equation.level = Level::Normal;
}

/// The gradient with δ of the chunks, and what is left out, exactly.
pub(crate) fn chunks(writer: &mut Writer<'_>, state: &Name, sums: &Sums<'_>, main: bool) {
    if writer.recurrence.step_loss().is_none() {
        return;
    }
    if main {
        chunked(writer, state, sums.direct);
    }
    if writer.right("chunk.closed").is_none() {
        return;
    }
    let k = Time::var('k');
    let kept = tidy(&put(sums.body, state, &Term::Cut(Arc::clone(state), k)));
    let kept = sum('k', Time::at(1), Time::last(), kept);
    let end = after(Base::ChunkEnd('k'), 1);
    let lost = sum('t', end, Time::last(), sums.pair.clone());
    // Nothing comes after the last step.
    let lost = sum('k', Time::at(1), Time::last().plus(-1), lost);
    let id = format!("chunk.{}", sums.name);
    let right = add([kept, lost]);
    let equation = writer.push(id, Part::Truncation, sums.left.clone(), right);
    equation.range = Range {
        vars: vec![widths()],
    };
    equation.level = if main { Level::Sheet } else { Level::Full };
    equation.rules = vec![Rule::Truncation];
    equation.premises = vec![
        "chunk.closed".into(),
        format!("bridge.double.{}", sums.name),
    ];
}
