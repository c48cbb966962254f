//! Partial derivatives: differentials with some of their arguments held fixed, and the matrices read from them.

use std::collections::HashSet;

use super::known::Known;
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::function::operation;
use crate::derive::algebra::normal::{add, diag, hadamard, neg, product, scale, transpose};
use crate::derive::algebra::shapes::is_number;
use crate::derive::algebra::simplify::settle;
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::rewrite::Argument;
use crate::op::Op;

/// Returns true if a differential depends on another, by the lines of the differentials.
pub(super) fn reaches(from: &Term, to: &Term, known: &Known<'_>) -> bool {
    let (mut seen, mut pending) = (HashSet::new(), vec![from.clone()]);
    while let Some(differential) = pending.pop() {
        if differential == *to {
            return true;
        }
        let Some(name) = of_this_step(&differential) else {
            continue;
        };
        if let (true, Some(line)) = (
            seen.insert(Name::clone(name)),
            known.line(&Line::Differential(Name::clone(name))),
        ) {
            crate::derive::algebra::term::visit(&line.right, &mut |t| {
                if t.is(Quantity::D) {
                    pending.push(t.clone());
                }
            });
        }
    }
    false
}

/// The value, if a term is a differential that has a line at step t.
fn of_this_step(term: &Term) -> Option<&Name> {
    match term.symbol() {
        Some((Quantity::D, [name], [])) => Some(name),
        Some((Quantity::D, [name], [at])) if *at == Time::var('t') => Some(name),
        _ => None,
    }
}

/// The line of the first differential in a term that satisfies a condition.
pub(super) fn first(term: &Term, wanted: &impl Fn(&Term) -> bool) -> Option<Line> {
    match term.is(Quantity::D) && wanted(term) {
        true => of_this_step(term).map(|name| Line::Differential(Name::clone(name))),
        false => term.parts().into_iter().find_map(|p| first(p, wanted)),
    }
}

/// Returns true if a term is linear in differentials.
fn is_linear(term: &Term, known: &Known<'_>) -> bool {
    let is_linear = |t: &Term| is_linear(t, known);
    match term {
        Term::Symbol(symbol) => is_differential(symbol.quantity),
        Term::Add(parts) => parts.iter().all(is_linear),
        Term::Neg(x) | Term::T(x) | Term::Part(_, x) => is_linear(x),
        Term::Div(x, by) => is_linear(x) && !by.is_linear_part(),
        Term::Had(factors) | Term::Mul(factors) => {
            let linear: Vec<&Term> = factors.iter().filter(|f| f.is_linear_part()).collect();
            matches!(linear[..], [one] if is_linear(one))
        }
        Term::Call(name, args) => {
            let linear: Vec<&Term> = args.iter().filter(|a| a.is_linear_part()).collect();
            matches!(operation(name, known.tape), Some(Op::Linear(_)))
                && matches!(linear[..], [one] if is_linear(one))
        }
        _ => false,
    }
}

const fn is_differential(quantity: Quantity) -> bool {
    matches!(quantity, Quantity::D | Quantity::DPlus)
}

/// Replaces every differential in a linear expression.
fn put(term: &Term, made: &mut impl FnMut(&Term) -> Term) -> Term {
    match term {
        Term::Symbol(symbol) if is_differential(symbol.quantity) => made(term),
        // A linear op maps zero to zero.
        Term::Call(_, args) if term.is_linear_part() => {
            let linear = args.iter().position(Term::is_linear_part);
            let found = term.map(&mut |part| put(part, made));
            match (linear, &found) {
                (Some(at), Term::Call(_, args)) if args[at] == Term::Zero => Term::Zero,
                _ => found,
            }
        }
        term => term.map(&mut |part| put(part, made)),
    }
}

/// Holds fixed all differentials except the argument and the other states of the step, which follow it.
pub(super) fn alone(before: &Term, free: &Argument, known: &Known<'_>) -> Option<Term> {
    let x = free.term(known);
    let mut strange = !is_linear(before, known);
    let held = put(before, &mut |d| {
        if *d == x {
            return x.clone();
        }
        if !reaches(d, &x, known) {
            return Term::Zero;
        }
        let mut refused = || {
            strange = true;
            Term::Zero
        };
        match (d.symbol(), x.symbol()) {
            (Some((Quantity::D, [other], [at])), Some((Quantity::D, [by], [from])))
                if known.carries(other) =>
            {
                let is_read = |part: &&Carried| part.name == *by && part.read_at(at) == *from;
                match known.state.iter().find(is_read) {
                    Some(part) => product(vec![known.block(other, part, at), x.clone()]),
                    None => refused(),
                }
            }
            _ => refused(),
        }
    });
    (!strange).then(|| settle(&held))
}

/// Holds the previous states fixed; the rest of a differential is immediate.
pub(super) fn at_once(before: &Term, known: &Known<'_>) -> Option<Term> {
    let mut strange = !is_linear(before, known);
    let held = put(before, &mut |d| match d.symbol() {
        Some((Quantity::D, [name], [at])) if known.carries(name) => match at.offset {
            0 => Quantity::DPlus.of([name], [at.clone()]),
            _ => Term::Zero,
        },
        symbol => {
            // An external quantity has no line. A value of another step that has a line is not constant.
            strange |= match symbol {
                Some((Quantity::D, [name], _)) => {
                    known.line(&Line::Differential(Name::clone(name))).is_some()
                }
                _ => false,
            };
            d.clone()
        }
    });
    (!strange).then(|| settle(&held))
}

/// The differential of a state as the sum of the contributions of each previous state and the immediate part.
pub(super) fn partials(term: &Term, known: &Known<'_>) -> Term {
    match term.symbol() {
        Some((Quantity::D, [of], [at])) if known.carries(of) && at.offset == 0 => {
            let from = |by: &Carried| {
                let before = Quantity::D.of([&by.name], [by.read_at(at)]);
                product(vec![known.jacobian(of, by, at), before])
            };
            let plus = Quantity::DPlus.of([of], [at.clone()]);
            Term::Add(known.state.iter().map(from).chain([plus]).collect())
        }
        _ => term.map(&mut |part| partials(part, known)),
    }
}

/// Reads `A` from `A x`.
pub(super) fn read_off(before: &Term, of: &Argument, known: &Known<'_>) -> Option<Term> {
    let x = of.term(known);
    let scalar = of.is_scalar(known);
    match (before, of) {
        // The immediate part is separate from the contribution of the previous states.
        (Term::Add(parts), Argument::States(at)) => {
            let [Term::Mul(factors), plus] = &parts[..] else {
                return None;
            };
            // Delayed values have no immediate part.
            let entered = |part: &Carried| match part.delay {
                0 => vec![Quantity::DPlus.of([&part.name], [at.plus(1)])],
                _ => vec![Term::Zero],
            };
            let whole = *plus == Term::Matrix(known.state.iter().map(entered).collect());
            let (last, rest) = factors.split_last()?;
            (whole && *last == x).then(|| product(rest.to_vec()))
        }
        (Term::Neg(y), _) => read_off(y, of, known).map(neg),
        (y, _) if *y == x => Some(match scalar {
            true => Term::Num(1.0),
            false => Term::Eye,
        }),
        (Term::Mul(factors), _) if factors.last() == Some(&x) => {
            let rest = factors[..factors.len() - 1].to_vec();
            let numbers = is_number(&Term::Mul(rest.clone()), known.tape);
            (!rest.iter().any(|f| f.any(&|t| *t == x))).then(|| match (numbers, scalar) {
                (true, false) => scale(rest, Some(Term::Eye)),
                (true, true) => scale(rest, None),
                _ => product(rest),
            })
        }
        (_, Argument::D(_, None)) => of_matrix(before, &x),
        _ => None,
    }
}

/// The matrix of `dW ↦ v ⊙ (dW x)`, which acts on the stacked columns of `dW`: `xᵀ ⊗ diag(v)`.
fn of_matrix(term: &Term, own: &Term) -> Option<Term> {
    match term {
        Term::Add(parts) => {
            let parts: Option<Vec<Term>> = parts.iter().map(|p| of_matrix(p, own)).collect();
            parts.map(add)
        }
        Term::Neg(x) => of_matrix(x, own).map(neg),
        Term::Had(parts) => {
            let (last, rest) = parts.split_last()?;
            match last {
                Term::Mul(factors) => match &factors[..] {
                    [weight, x] if weight == own => Some(Term::Kron(
                        Box::new(transpose(x.clone())),
                        Box::new(diag(hadamard(rest.to_vec()))),
                    )),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}
