//! How states answer to states: derivatives as sums over what the state passes through.

use super::Known;
use crate::derive::canon::{add, product, settle, transpose};
use crate::derive::term::{Name, Term, Time};

fn jacobian(of: &Name, to: Time, by: &Name, from: Time) -> Term {
    Term::Jacobian(Name::clone(of), to, Name::clone(by), from)
}

/// How a state answers to another of the same step, when it does.
fn within(of: &Name, by: &Name, at: &Time, known: &Known<'_>) -> Term {
    if of == by {
        return Term::Eye;
    }
    match known.line(&format!("within.{of}.{by}")) {
        Some(_) => jacobian(of, at.clone(), by, at.clone()),
        None => Term::Zero,
    }
}

/// A derivative over many steps as what every state before the last step passes on.
pub(super) fn last_step(before: &Term, known: &Known<'_>) -> Option<Term> {
    match before {
        Term::Response(of, at, by) => {
            let immediate = Term::Immediate(Name::clone(of), at.clone(), Name::clone(by));
            let step = jacobian(of, at.clone(), of, at.plus(-1));
            let carried = Term::Response(Name::clone(of), at.plus(-1), Name::clone(by));
            Some(Term::Add(vec![immediate, Term::Mul(vec![step, carried])]))
        }
        Term::Jacobian(of, to, by, from) if to.base == from.base && to.offset > from.offset => {
            let last = to.plus(-1);
            // What goes directly stands first.
            let others = known.states.iter().filter(|s| *s != by);
            let passed = std::iter::once(by).chain(others).map(|via| {
                let until = match last == *from {
                    true => within(via, by, from, known),
                    false => jacobian(via, last.clone(), by, from.clone()),
                };
                product(vec![known.block(of, via, to), until])
            });
            Some(add(passed))
        }
        _ => None,
    }
}

/// How all states answer to one, as how the whole state does after that one's step.
pub(super) fn whole_state(before: &Term, known: &Known<'_>) -> Option<Term> {
    let Term::Matrix(rows) = before else {
        return None;
    };
    let Some([Term::Jacobian(_, to, by, from)]) = rows.first().map(|r| &r[..]) else {
        return None;
    };
    let column = |at: &Time| {
        let row = |of: &Name| vec![jacobian(of, at.clone(), by, from.clone())];
        Term::Matrix(known.states.iter().map(row).collect())
    };
    if *before != column(to) || to == from {
        return None;
    }
    let start = known.states.iter();
    let start = start.map(|of| vec![within(of, by, from, known)]);
    let through = Term::StateFlow(to.clone(), from.clone());
    Some(Term::Mul(vec![through, Term::Matrix(start.collect())]))
}

/// A state that follows another within a step: its derivative through that one, and past it.
pub(super) fn around(before: &Term, of: &Name, by: &Name, known: &Known<'_>) -> Option<Term> {
    let past = |from: &Name, at: &Time| {
        let line = known.line(&format!("jac.{of}.{from}"))?;
        let there = line.right.at('t', at);
        Some(settle(&without(&there, by)))
    };
    let mut failed = false;
    let found = put(before, &mut |term| match term {
        Term::Jacobian(x, to, y, from) if x == of && y == by && *from == to.plus(-1) => {
            let through = product(vec![
                within(of, by, to, known),
                jacobian(by, to.clone(), by, from.clone()),
            ]);
            let mut parts = vec![through];
            for state in known.states {
                let start = within(state, by, from, known);
                match past(state, to) {
                    Some(matrix) => parts.push(product(vec![matrix, start])),
                    None => failed = true,
                }
            }
            add(parts)
        }
        term => term.clone(),
    });
    (!failed).then_some(found)
}

fn put(term: &Term, made: &mut impl FnMut(&Term) -> Term) -> Term {
    match term {
        Term::Jacobian(..) => made(term),
        term => term.map(&mut |part| put(part, made)),
    }
}

/// A term in which a state does not answer.
fn without(term: &Term, state: &Name) -> Term {
    match term {
        Term::Block(of, ..) if of == state => Term::Zero,
        term => term.map(&mut |part| without(part, state)),
    }
}

/// `δ` of a state: its own share, and what the states that follow it within the step pass on.
pub(super) fn shares(before: &Term, state: &Name, known: &Known<'_>) -> Term {
    let now = Time::var('t');
    let share = |of: &Name| Term::Costate(Name::clone(of), now.clone());
    let passed = known.states.iter().filter(|of| *of != state);
    let passed = passed.map(|of| {
        let follows = transpose(within(of, state, &now, known));
        product(vec![follows, share(of)])
    });
    let all = add(std::iter::once(share(state)).chain(passed));
    let delta = Term::Delta(Name::clone(state), Some(now.clone()));
    super::replaced(before, &delta, &all)
}

/// `λ` of a state: what its readers send back, but for states of the same step.
pub(super) fn own_share(before: &Term, state: &Name, known: &Known<'_>) -> Option<Term> {
    let now = Time::var('t');
    let right = &known.line(&format!("delta.{state}"))?.right;
    let share = settle(&past_states(right, known, 0)?);
    let own = Term::Costate(Name::clone(state), now);
    Some(super::replaced(before, &own, &share))
}

/// A sum of `δ`'s, less what comes by way of states of this step.
fn past_states(term: &Term, known: &Known<'_>, depth: usize) -> Option<Term> {
    if depth > 40 {
        return None;
    }
    match term {
        Term::Delta(name, Some(at)) if *at == Time::var('t') => {
            if known.states.contains(name) {
                return Some(Term::Zero);
            }
            let line = &known.line(&format!("delta.{name}"))?.right;
            let rest = past_states(line, known, depth + 1)?;
            // What does not come by way of a state keeps its name.
            Some(if rest == *line { term.clone() } else { rest })
        }
        term if !term.is_linear_part() => Some(term.clone()),
        term => {
            let mut failed = false;
            let found = term.map(&mut |part| {
                past_states(part, known, depth).unwrap_or_else(|| {
                    failed = true;
                    Term::Zero
                })
            });
            (!failed).then_some(found)
        }
    }
}

/// Nothing is sent to a state before the first step but by the states of that step.
pub(super) fn start(before: &Term, left: &Term, right: &Term, known: &Known<'_>) -> Option<Term> {
    let zero = Time::at(0);
    let stack = |made: &dyn Fn(&Name) -> Term| {
        Term::Matrix(known.states.iter().map(|s| vec![made(s)]).collect())
    };
    let gradients = stack(&|s| Term::Gradient(Name::clone(s), Some(zero.clone())));
    let costates = stack(&|s| Term::Costate(Name::clone(s), Time::var('t')));
    let (Term::Add(parts), true) = (right, *before == gradients && *left == costates) else {
        return None;
    };
    let later = transpose(Term::StateJacobian(Time::var('t').plus(1)));
    let is_later = |p: &&Term| matches!(p, Term::Mul(factors) if factors.first() == Some(&later));
    parts.iter().find(is_later).map(|p| p.at('t', &zero))
}
