//! Derivatives between states as sums over paths through the state.

use super::known::Known;
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::normal::{add, product, transpose};
use crate::derive::algebra::simplify::settle;
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::op::Op;

fn jacobian(of: &Name, to: Time, by: &Name, from: Time) -> Term {
    Quantity::Jacobian.of([of, by], [to, from])
}

/// The derivative of a state with respect to another one of the same step; zero if it does not depend on it.
fn within(of: &Name, by: &Name, at: &Time, known: &Known<'_>) -> Term {
    if of == by {
        return Term::Eye;
    }
    match known.line(&Line::within(of, by)) {
        Some(_) => jacobian(of, at.clone(), by, at.clone()),
        None => Term::Zero,
    }
}

/// A derivative over many steps as the sum of the contributions of every part of the previous state.
pub(super) fn last_step(term: &Term, known: &Known<'_>) -> Term {
    match term.symbol() {
        Some((Quantity::Response, [of, by], [at])) => {
            let immediate = Quantity::Immediate.of([of, by], [at.clone()]);
            let passed = known.state.iter().map(|via| {
                let read = via.read_at(at);
                let step = match known.state {
                    [_] => jacobian(of, at.clone(), of, read.clone()),
                    _ => known.block(of, via, at),
                };
                let carried = Quantity::Response.of([&via.name, by], [read]);
                product(vec![step, carried])
            });
            add(std::iter::once(immediate).chain(passed))
        }
        Some((Quantity::Jacobian, [of, by], [to, from])) if is_later(to, from) => {
            // The direct contribution comes first.
            let (own, others): (Vec<&Carried>, Vec<&Carried>) =
                known.state.iter().partition(|via| via.name == *by);
            let passed = own.into_iter().chain(others).map(|via| {
                let read = via.read_at(to);
                let until = match read.base == from.base {
                    true if read.offset < from.offset => Term::Zero,
                    true if read == *from => within(&via.name, by, from, known),
                    _ => jacobian(&via.name, read, by, from.clone()),
                };
                product(vec![known.block(of, via, to), until])
            });
            add(passed)
        }
        _ => term.map(&mut |part| last_step(part, known)),
    }
}

/// Returns true if a step is later than another, or may be.
fn is_later(step: &Time, than: &Time) -> bool {
    step.base != than.base || step.offset > than.offset
}

/// The derivatives of all parts of the state with respect to one value, as the transition matrix of the whole state
/// times the immediate effect of that value.
pub(super) fn whole_state(before: &Term, known: &Known<'_>) -> Option<Term> {
    let Term::Matrix(rows) = before else {
        return None;
    };
    let [first] = &rows.first()?[..] else {
        return None;
    };
    let Some((Quantity::Jacobian, [_, by], [to, from])) = first.symbol() else {
        return None;
    };
    let row = |part: &Carried| vec![jacobian(&part.name, to.plus(-part.delay), by, from.clone())];
    let answers = Term::Matrix(known.state.iter().map(row).collect());
    if *before != answers || to == from {
        return None;
    }
    let through = Quantity::StateFlow.of([], [to.clone(), from.clone()]);
    Some(Term::Mul(vec![through, entered(by, from, known)]))
}

/// The derivative of the state with respect to one value of the same step; delayed values do not depend on it.
fn entered(by: &Name, from: &Time, known: &Known<'_>) -> Term {
    let row = |part: &Carried| match part.delay {
        0 => vec![within(&part.name, by, from, known)],
        _ => vec![Term::Zero],
    };
    Term::Matrix(known.state.iter().map(row).collect())
}

/// The derivative of the only value of a state with delays with respect to itself, as the corner of the transition
/// matrix of the whole state.
pub(super) fn corner(before: &Term, known: &Known<'_>) -> Option<Term> {
    match before.symbol() {
        Some((Quantity::Jacobian, [of, by], [to, from]))
            if of == by && known.states().all(|s| s == of) =>
        {
            let column = entered(by, from, known);
            let through = Quantity::StateFlow.of([], [to.clone(), from.clone()]);
            Some(product(vec![transpose(column.clone()), through, column]))
        }
        _ => None,
    }
}

/// The derivative of a state that follows another within a step: the path through that state, and the direct path.
pub(super) fn around(before: &Term, of: &Name, by: &Name, known: &Known<'_>) -> Option<Term> {
    let past = |from: &Name, at: &Time| {
        let line = known.line(&Line::block(of, from, 1))?;
        let there = line.right.at('t', at);
        Some(settle(&without(&there, by)))
    };
    let mut failed = false;
    let found = put(before, &mut |term| match term.symbol() {
        Some((Quantity::Jacobian, [x, y], [to, from]))
            if x == of && y == by && *from == to.plus(-1) =>
        {
            let through = product(vec![
                within(of, by, to, known),
                jacobian(by, to.clone(), by, from.clone()),
            ]);
            let mut parts = vec![through];
            for state in known.states() {
                let start = within(state, by, from, known);
                match past(state, to) {
                    Some(matrix) => parts.push(product(vec![matrix, start])),
                    None => failed = true,
                }
            }
            add(parts)
        }
        _ => term.clone(),
    });
    (!failed).then_some(found)
}

fn put(term: &Term, made: &mut impl FnMut(&Term) -> Term) -> Term {
    match term.is(Quantity::Jacobian) {
        true => made(term),
        false => term.map(&mut |part| put(part, made)),
    }
}

/// A term with the blocks of a state set to zero.
fn without(term: &Term, state: &Name) -> Term {
    match term.symbol() {
        Some((Quantity::Block, [of, _], _)) if of == state => Term::Zero,
        _ => term.map(&mut |part| without(part, state)),
    }
}

/// `δ` of a state as its own share plus the contributions of the states that follow it within the step.
pub(super) fn shares(before: &Term, state: &Name, known: &Known<'_>) -> Term {
    let now = Time::var('t');
    let share = |of: &Name| Quantity::Costate.of([of], [now.clone()]);
    let passed = known.states().filter(|of| *of != state);
    let passed = passed.map(|of| {
        let follows = transpose(within(of, state, &now, known));
        product(vec![follows, share(of)])
    });
    let all = add(std::iter::once(share(state)).chain(passed));
    let delta = Quantity::Delta.of([state], [now.clone()]);
    super::known::replaced(before, &delta, &all)
}

/// `λ` of a state as the contributions of its readers, with the other states of the step held fixed.
pub(super) fn by_readers(before: &Term, state: &Name, known: &Known<'_>) -> Option<Term> {
    let line = known.line(&Line::Delta(Name::clone(state)))?;
    let own = Quantity::Costate.of([state], [Time::var('t')]);
    Some(super::known::replaced(before, &own, &line.right))
}

/// Sets `δ` of the states of the step to zero: they are held fixed.
pub(super) fn still(before: &Term, known: &Known<'_>) -> Term {
    fn put(term: &Term, known: &Known<'_>) -> Term {
        match term.symbol() {
            Some((Quantity::Delta, [name], [at]))
                if *at == Time::var('t') && known.carries(name) =>
            {
                Term::Zero
            }
            _ => term.map(&mut |part| put(part, known)),
        }
    }
    settle_rows(&put(before, known))
}

/// Simplifies a term after part of it became zero, row by row in a stack.
fn settle_rows(term: &Term) -> Term {
    match term {
        Term::Matrix(rows) => {
            let row = |row: &Vec<Term>| row.iter().map(settle).collect();
            Term::Matrix(rows.iter().map(row).collect())
        }
        term => settle(term),
    }
}

/// The gradient of the initial state: only the states of step 0, and the loss of the first step, contribute.
pub(super) fn start(before: &Term, known: &Known<'_>) -> Option<Term> {
    let line = known.line(&Line::Costate)?;
    let zero = Time::at(0);
    let stack = |made: &dyn Fn(&Name) -> Term| {
        Term::Matrix(known.states().map(|s| vec![made(s)]).collect())
    };
    let gradients = stack(&|s| Quantity::Gradient.of([s], [zero.clone()]));
    let costates = stack(&|s| Quantity::Costate.of([s], [Time::var('t')]));
    let (Term::Add(parts), true) = (&line.right, *before == gradients && line.left == costates)
    else {
        return None;
    };
    let later = transpose(Quantity::StateJacobian.of([], [Time::var('t').plus(1)]));
    let is_later = |p: &Term| matches!(p, Term::Mul(factors) if factors.first() == Some(&later));
    let (passed, sent): (Vec<&Term>, Vec<&Term>) = parts.iter().partition(|p| is_later(p));
    // The loss of the first step may read the initial state.
    let sent: Option<Vec<Term>> = sent.into_iter().map(|rows| of_next(rows, known)).collect();
    let sent = sent?.into_iter().map(|e| settle_rows(&e.at('t', &zero)));
    let sent = sent.filter(|e| !matches!(e, Term::Matrix(rows) if is_zero(rows)));
    let passed = passed.into_iter().map(|p| p.at('t', &zero));
    Some(add(sent.chain(passed)))
}

fn is_zero(rows: &[Vec<Term>]) -> bool {
    rows.iter().flatten().all(|cell| *cell == Term::Zero)
}

/// The rows of a stack restricted to the contributions of the loss of the next step; `None` if later steps contribute
/// as well, since the initial state may not affect those.
fn of_next(rows: &Term, known: &Known<'_>) -> Option<Term> {
    let guard = Term::Before(Time::var('t'), Time::last());
    if let Term::Matrix(rows) = rows {
        let row = |row: &Vec<Term>| row.iter().map(|cell| of_next(cell, known)).collect();
        return Some(Term::Matrix(rows.iter().map(row).collect::<Option<_>>()?));
    }
    let mut next = Vec::new();
    for part in rows.addends() {
        if is_sent(part, &guard)? {
            // The condition may belong to a value that the loss of this step reads.
            if part.any(&|t| is_input_of(t, &Time::var('t'), known)) {
                return None;
            }
            next.push(super::known::replaced(part, &guard, &Term::Num(1.0)));
        }
    }
    Some(add(next))
}

/// Returns true for the value of an input at a step.
fn is_input_of(term: &Term, step: &Time, known: &Known<'_>) -> bool {
    let leaf = |name| {
        let id = known.tape.named(name);
        id.is_some_and(|id| matches!(known.tape.node(id).op(), Op::Leaf(_)))
    };
    matches!(term.symbol(), Some((Quantity::Value, [name], [at])) if at == step && leaf(name))
}

/// Returns true if the next step contributes an addend; `None` if the addend is a sum of such terms and others, or of
/// terms of several steps.
fn is_sent(part: &Term, guard: &Term) -> Option<bool> {
    let far = |t: &Term| matches!(t, Term::Before(_, end) if *end == Time::last() && t != guard);
    let mut factors = Vec::new();
    let mut open = vec![part.unsigned()];
    while let Some(term) = open.pop() {
        match term {
            Term::Mul(inner) | Term::Had(inner) | Term::Call(_, inner) => open.extend(inner),
            Term::Div(above, _) => open.push(above),
            Term::Neg(x) | Term::T(x) => open.push(x),
            factor => factors.push(factor),
        }
    }
    if factors.contains(&guard) {
        return (!part.any(&far)).then_some(true);
    }
    let sums = factors
        .iter()
        .map(|f| f.addends())
        .filter(|parts| parts.len() > 1);
    let mut sent = false;
    for addends in sums {
        let of: Option<Vec<bool>> = addends.iter().map(|part| is_sent(part, guard)).collect();
        let of = of?;
        let (some, all) = (of.contains(&true), !of.contains(&false));
        if some && !all {
            return None;
        }
        sent |= some;
    }
    (!factors.into_iter().any(far)).then_some(sent)
}
