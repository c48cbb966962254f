//! How the state answers: its differential one step and many steps back, and the derivative of the
//! state with respect to a weight, which is a linear map.

use std::sync::Arc;

use super::canon::{hadamard, product, settle, summed, transpose};
use super::chain::{self, Carried, flow};
use super::generate::Writer;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range};
use crate::op::Op;

pub(crate) fn write(writer: &mut Writer<'_>, parts: &[Carried]) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let states = &chain::names(parts);
    let mut immediate = Vec::new();
    for state in states {
        let id = format!("d.{state}");
        let Some(right) = writer.right(&id).cloned() else {
            return;
        };
        match at_once(writer, &right, states, state) {
            Some(found) => immediate.push((Arc::clone(state), found, id)),
            None => return,
        }
    }
    let all = |made: &dyn Fn(&Carried) -> Term| match parts {
        [one] => made(one),
        many => Term::Matrix(many.iter().map(|s| vec![made(s)]).collect()),
    };
    let d = |at: Time| all(&|s| Term::D(Arc::clone(&s.name), Some(at.plus(-s.delay))));
    // What is carried on enters by itself.
    let plus = |at: Time| {
        all(&|s| match s.delay {
            0 => Term::DPlus(Arc::clone(&s.name), at.clone()),
            _ => Term::Zero,
        })
    };
    let back = Term::Mul(vec![Term::StateJacobian(t.clone()), d(t.plus(-1))]);
    let right = Term::Add(vec![back, plus(t.clone())]);
    let step = writer.push(
        "jac.differential".into(),
        Part::Jacobian,
        d(t.clone()),
        right,
    );
    step.range = Range::all();
    step.rules = vec![Rule::Linearity, Rule::Diagonal];
    step.premises = immediate.iter().map(|(_, _, id)| id.clone()).collect();
    step.level = Level::Normal;
    for (state, right, id) in &immediate {
        let left = Term::DPlus(Arc::clone(state), t.clone());
        let equation = writer.push(
            format!("jac.plus.{state}"),
            Part::Jacobian,
            left,
            right.clone(),
        );
        equation.range = Range::all();
        equation.rules = vec![Rule::Substitution];
        equation.premises = vec![id.clone()];
        equation.level = Level::Normal;
    }
    let start = Term::Mul(vec![flow(parts, t.clone(), Time::at(0)), d(Time::at(0))]);
    let entered = Term::Mul(vec![flow(parts, t.clone(), k.clone()), plus(k.clone())]);
    let entered = summed('k', Time::at(1), t.clone(), entered);
    let right = Term::Add(vec![start, entered]);
    let many = writer.push("jac.unrolled".into(), Part::Jacobian, d(t), right);
    many.range = Range::all();
    many.rules = vec![Rule::Unrolling];
    many.premises = vec!["jac.differential".into(), "jac.product".into()];
    many.level = Level::Normal;
    if let ([(state, right, _)], [_]) = (&immediate[..], parts) {
        maps(writer, state, right);
    }
}

/// The differential of a state with everything put in down to what comes from outside and to other
/// states, the states before the step held fixed.
fn at_once(writer: &Writer<'_>, term: &Term, states: &[Name], own: &Name) -> Option<Term> {
    let others: Vec<Name> = states.iter().filter(|s| *s != own).cloned().collect();
    let put = put_in(writer, term, (states, &others), 0)?;
    Some(settle(&put))
}

fn put_in(
    writer: &Writer<'_>,
    term: &Term,
    (states, others): (&[Name], &[Name]),
    depth: usize,
) -> Option<Term> {
    if depth > 40 {
        return None;
    }
    if let Term::D(name, at) = term {
        let leaf = writer.tape.named(name);
        let leaf = leaf.is_some_and(|n| matches!(writer.tape.node(n).op(), Op::Leaf(_)));
        return match at {
            // A delayed input comes from outside like any other.
            Some(at) if at.offset != 0 && leaf => Some(term.clone()),
            Some(at) if at.offset != 0 => states.contains(name).then_some(Term::Zero),
            Some(at) if others.contains(name) => Some(Term::DPlus(Arc::clone(name), at.clone())),
            _ if leaf => Some(term.clone()),
            _ => {
                let line = writer.right(&format!("d.{name}"))?;
                put_in(writer, line, (states, others), depth + 1)
            }
        };
    }
    if !term.is_linear_part() {
        return Some(term.clone());
    }
    let mut failed = false;
    let put = term.map(&mut |part| {
        put_in(writer, part, (states, others), depth + 1).unwrap_or_else(|| {
            failed = true;
            Term::Zero
        })
    });
    (!failed).then_some(put)
}

/// `∂h_t/∂W` in the note's notation: total and immediate derivatives, one step and many steps back.
fn maps(writer: &mut Writer<'_>, state: &Name, immediate: &Term) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let carried = Term::Value(Arc::clone(state), Some(t.plus(-1)));
    let scalar = writer
        .tape
        .named(state)
        .is_none_or(|id| writer.is_scalar(id));
    let parameters = writer
        .equations
        .iter()
        .filter_map(|e| match (&e.left, e.part) {
            (Term::Gradient(name, None), Part::Parameters) => Some(Arc::clone(name)),
            _ => None,
        });
    // The weight that acts on the state stands for all of them.
    let found = parameters.into_iter().find_map(|name| {
        let map = matrix_of(immediate, &name, scalar)?;
        map.any(&|t| *t == carried).then_some((name, map))
    });
    let Some((name, map)) = found else {
        return;
    };
    let total = |at: Time| Term::Response(Arc::clone(state), at, Arc::clone(&name));
    let direct = |at: Time| Term::Immediate(Arc::clone(state), at, Arc::clone(&name));
    let by = |to: Time, from: Time| Term::Jacobian(Arc::clone(state), to, Arc::clone(state), from);
    let later = Term::Mul(vec![by(t.clone(), t.plus(-1)), total(t.plus(-1))]);
    let right = Term::Add(vec![direct(t.clone()), later]);
    let equation = writer.push(
        format!("map.{name}"),
        Part::Jacobian,
        total(t.clone()),
        right,
    );
    equation.range = Range::all();
    equation.rules = vec![Rule::Linearity];
    equation.premises = vec!["jac.differential".into()];
    equation.level = Level::Normal;
    let id = format!("map.immediate.{name}");
    let equation = writer.push(id, Part::Jacobian, direct(t.clone()), map);
    equation.range = Range::all();
    equation.rules = vec![Rule::ReadOff];
    equation.premises = vec![format!("jac.plus.{state}")];
    equation.level = Level::Normal;
    let body = Term::Mul(vec![by(t.clone(), k.clone()), direct(k)]);
    let right = summed('k', Time::at(1), t.clone(), body);
    let equation = writer.push(format!("map.sum.{name}"), Part::Jacobian, total(t), right);
    equation.range = Range::all();
    equation.rules = vec![Rule::Unrolling];
    equation.premises = vec![format!("map.{name}")];
    equation.level = Level::Normal;
}

/// The matrix of `dW ↦ v ⊙ (dW x)`, which acts on the columns of `dW` put below each other:
/// `xᵀ ⊗ diag(v)`.
fn matrix_of(term: &Term, name: &Name, scalar: bool) -> Option<Term> {
    let is_own = |t: &Term| matches!(t, Term::D(n, None) if n == name);
    if !term.any(&is_own) {
        return Some(Term::Zero);
    }
    match term {
        Term::Add(parts) => {
            let parts: Option<Vec<Term>> =
                parts.iter().map(|p| matrix_of(p, name, scalar)).collect();
            Some(super::canon::add(parts?))
        }
        Term::Neg(x) => Some(super::canon::neg(matrix_of(x, name, scalar)?)),
        Term::Mul(parts) if scalar => match &parts[..] {
            [rest @ .., last] if is_own(last) => Some(product(rest.to_vec())),
            [rest @ .., last] => {
                let last = matrix_of(last, name, scalar)?;
                Some(product(rest.iter().cloned().chain([last]).collect()))
            }
            [] => None,
        },
        Term::Had(parts) => {
            let (last, rest) = parts.split_last()?;
            let v = hadamard(rest.to_vec());
            match last {
                Term::Mul(factors) => match &factors[..] {
                    [own, x] if is_own(own) => Some(Term::Kron(
                        Box::new(transpose(x.clone())),
                        Box::new(Term::Diag(Box::new(v))),
                    )),
                    _ => None,
                },
                // What does not belong to the weight does not change the matrix.
                Term::Add(inner) => {
                    let mut own = inner.iter().filter(|p| p.any(&is_own));
                    match (own.next(), own.next()) {
                        (Some(one), None) => {
                            matrix_of(&Term::Had(vec![v, one.clone()]), name, scalar)
                        }
                        _ => None,
                    }
                }
                inner @ Term::Had(_) => {
                    let flat = hadamard(vec![v, inner.clone()]);
                    matrix_of(&flat, name, scalar)
                }
                _ => None,
            }
        }
        _ => None,
    }
}
