//! Backpropagation through time in six lines, for any recurrence `s_t = F(s_{t−1}, x_t, θ)`.
//!
//! These lines hold for any `F` and are not evaluated numerically. [`instances`] lists the checked
//! lines of one recurrence that state them; `dL = Σ …` states the theorem as one number.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::normal::{add, inner};
use crate::derive::algebra::quantity::Letter;
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Base, Index, Quantity};
use crate::derive::record::derivation::Derivation;
use crate::derive::record::equation::Equation;
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::derive::record::rule::Rule;
use crate::op::Op;
use crate::render::{Big, Fence, Math, Sign};

/// For each of [`lines`], the lines that state it for this recurrence and are evaluated.
pub(crate) fn instances(derivation: &Derivation) -> [Vec<&Equation>; 6] {
    let states: [fn(&Line) -> bool; 6] = [
        |id| matches!(id, Line::StateDifferential),
        |id| matches!(id, Line::Recursion | Line::Costate | Line::CostateOf(_)),
        |id| matches!(id, Line::Pairing | Line::CostatePairing),
        |id| matches!(id, Line::Master),
        |id| {
            let gradient = matches!(id, Line::Gradient(_) | Line::StartGradient(_));
            gradient || *id == Line::CostateStart
        },
        |id| matches!(id, Line::Closed | Line::CostateClosed),
    ];
    let lines = || derivation.equations.iter();
    states.map(|states| lines().filter(|e| states(e.id.forward())).collect())
}

/// The lines G1 to G6.
pub(crate) fn lines(derivation: &Derivation) -> Vec<Math> {
    let symbols = derivation.symbols();
    let id = Math::ident;
    let (t, last) = (|| id("t"), || id(symbols.letter(Letter::Length)));
    let one = || Math::number(1);
    let before = || Math::relation(t(), Sign::Minus, one());
    let after = || Math::relation(t(), Sign::Plus, one());
    let at = |letter: Letter, step: Math| id(symbols.letter(letter)).with_sub(step);
    let state = |step: Math| at(Letter::State, step);
    let d = |m: Math| Math::row([Math::Sign(Sign::Differential), m]);
    let jacobian = |step: Math| at(Letter::Jacobian, step);
    let equal = |a, b| Math::relation(a, Sign::Equal, b);
    let plus = |a, b| Math::relation(a, Sign::Plus, b);
    let inner = |a, b| Math::list([a, b]).fenced(Fence::Angle);
    let sum = |from: Math, body| Math::big(Big::Sum, equal(t(), from), last(), body);
    let thin = || Math::Sign(Sign::Thin);
    let partial = |m: Math| Math::row([Math::Sign(Sign::Partial), m]);
    let loss = || id(symbols.letter(Letter::Loss));
    let theta = || id(symbols.letter(Letter::Parameters));
    let lambda = |step: Math| at(Letter::Costate, step);
    let alone = || {
        let above = Math::Sign(Sign::Partial).with_sup(Math::Sign(Sign::Plus));
        Math::frac(Math::row([above, loss()]), partial(theta()))
    };
    let sent = || Math::row([at(Letter::Immediate, t()).transposed(), lambda(t())]);
    let list = |parts: Vec<Math>| {
        let mut row = Vec::new();
        for (i, part) in parts.into_iter().enumerate() {
            if i > 0 {
                row.extend([Math::Sign(Sign::Comma), thin(), thin()]);
            }
            row.push(part);
        }
        Math::row(row)
    };
    vec![
        equal(
            d(state(t())),
            plus(
                Math::row([jacobian(t()), thin(), d(state(before()))]),
                Math::row([at(Letter::Immediate, t()), thin(), d(theta())]),
            ),
        ),
        list(vec![
            equal(
                lambda(t()),
                plus(
                    at(Letter::Direct, t()),
                    Math::row([jacobian(after()).transposed(), lambda(after())]),
                ),
            ),
            equal(lambda(plus(last(), one())), Math::number(0)),
        ]),
        equal(
            inner(lambda(t()), d(state(t()))),
            plus(
                inner(
                    Math::relation(lambda(before()), Sign::Minus, at(Letter::Direct, before())),
                    d(state(before())),
                ),
                inner(sent(), d(theta())),
            ),
        ),
        Math::row([
            d(loss()),
            Math::Sign(Sign::Equal),
            sum(
                Math::number(0),
                inner(at(Letter::Direct, t()), d(state(t()))),
            ),
            Math::Sign(Sign::Plus),
            inner(alone(), d(theta())),
            Math::Sign(Sign::Equal),
            inner(lambda(Math::number(0)), d(state(Math::number(0)))),
            Math::Sign(Sign::Plus),
            inner(plus(sum(one(), sent()), alone()), d(theta())),
        ]),
        list(vec![
            equal(
                Math::frac(partial(loss()), partial(theta())),
                plus(sum(one(), sent()), alone()),
            ),
            equal(
                Math::frac(partial(loss()), partial(state(Math::number(0)))),
                lambda(Math::number(0)),
            ),
        ]),
        equal(
            lambda(id("k")),
            Math::big(
                Big::Sum,
                equal(t(), id("k")),
                last(),
                Math::row([
                    Math::frac(partial(state(t())), partial(state(id("k"))))
                        .fenced(Fence::Paren)
                        .transposed(),
                    at(Letter::Direct, t()),
                ]),
            ),
        ),
    ]
}

/// `dL` as the sum of the inner products of every gradient with its differential: the theorem as one number.
pub(crate) fn master(writer: &mut Writer<'_>) {
    let gradients = writer
        .equations
        .iter()
        .filter_map(|e| match e.left.symbol() {
            Some((Quantity::Gradient, [name], at)) => {
                Some((Arc::clone(name), at.first().cloned(), e.id.clone()))
            }
            _ => None,
        });
    let mut parts = Vec::new();
    let mut premises = Vec::new();
    for (name, at, id) in gradients {
        let leaf = writer.recurrence.tape().named(&name);
        let leaf = leaf.is_some_and(|n| matches!(writer.tape.node(n).op(), Op::Leaf(_)));
        // The value of a delayed input before the first step is no input.
        let start = at.as_ref().is_some_and(|at| at.base == Base::Zero);
        if !leaf || start {
            continue;
        }
        let varies = at.is_some();
        let part = inner(
            Quantity::Gradient.of([&name], at.clone()),
            Quantity::D.of([&name], at),
        );
        parts.push(match varies {
            true => summed(Index::all('t'), part),
            false => part,
        });
        premises.push(id);
    }
    let left = Quantity::DLoss.of([], []);
    let equation = writer.push(Line::Master, Part::Theorem, left, add(parts));
    equation.rules = vec![Rule::Identification];
    equation.premises = premises;
}
