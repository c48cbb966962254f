//! Other forms of the recursion: one identity for all gradients, compact lines, the constant error
//! carousel.

use std::sync::Arc;

use super::algebra::normal::{add, inner};
use super::algebra::simplify::summed;
use super::algebra::term::{self, Name, Term, Time};
use super::bridge;
use super::generate::Writer;
use super::record::part::{Level, Part};
use super::record::relation::{Range, Relation};
use super::record::rewrite::{At, Rewrite};
use super::record::rule::Rule;
use super::rules::proof::Proof;
use crate::op::Op;

/// `dL` is the sum of every gradient with its differential: the theorem, in one number.
pub(crate) fn master(writer: &mut Writer<'_>) {
    let gradients = writer.equations.iter().filter_map(|e| match &e.left {
        Term::Gradient(name, at) => Some((Arc::clone(name), at.clone(), e.id.clone())),
        _ => None,
    });
    let mut parts = Vec::new();
    let mut premises = Vec::new();
    for (name, at, id) in gradients {
        let leaf = writer.recurrence.tape().named(&name);
        let leaf = leaf.is_some_and(|n| matches!(writer.tape.node(n).op(), Op::Leaf(_)));
        if !leaf {
            continue;
        }
        let varies = at.is_some();
        let part = inner(
            Term::Gradient(Arc::clone(&name), at.clone()),
            Term::D(Arc::clone(&name), at),
        );
        parts.push(match varies {
            true => summed('t', Time::at(1), Time::last(), part),
            false => part,
        });
        premises.push(id);
    }
    let equation = writer.push("master".into(), Part::Theorem, Term::DLoss, add(parts));
    equation.rules = vec![Rule::Identification];
    equation.premises = premises;
}

/// The gradient of the loss of a step, where a parameter reaches that loss by itself and not
/// through the states.
pub(crate) fn of_step(writer: &mut Writer<'_>, name: &Name, gradient: &Term) {
    let Term::Sum('t', _, _, body) = gradient else {
        return;
    };
    let proof = Proof::of(writer.known(), gradient.clone()).by(Rewrite::OneLoss);
    let Some(made) = proof.map(Proof::done) else {
        return;
    };
    if writer.recurrence.step_loss().is_none() || !bridge::of_one_step(writer, body) {
        return;
    }
    let left = Term::StepGradient(Arc::clone(name), Time::var('t'));
    let equation = writer.prove(format!("step.{name}"), Part::Parameters, left, made);
    equation.range = Range::all();
    equation
        .rules
        .extend([Rule::RightAdjoint, Rule::Identification]);
    equation.premises = vec![format!("grad.{name}")];
    equation.level = Level::Normal;
}

/// δ at the last step, where nothing comes from later ones.
pub(crate) fn boundary(writer: &mut Writer<'_>, name: &Name) {
    let id = format!("delta.{name}");
    let Some(line) = writer.equations.iter().find(|e| e.id == id) else {
        return;
    };
    let parts = line.right.addends();
    let now = Time::var('t');
    let later = |t: &Term| {
        t.any(&|t| {
            matches!(t, Term::Delta(_, Some(at)) if at.offset > 0)
                || *t == Term::Before(now.clone(), Time::last())
        })
    };
    let ahead: Vec<&Term> = parts.iter().filter(|p| later(p)).collect();
    let ours = |t: &Term| matches!(t, Term::Delta(_, Some(at)) if at.base == now.base);
    if ahead.is_empty() || !ahead.iter().all(|t| t.any(&ours)) {
        return;
    }
    let shape = line.shape.clone();
    let left = Term::Delta(Arc::clone(name), Some(Time::last()));
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unfold(At::new(id, &[('t', Time::last())])))
        .and_then(|p| p.by(Rewrite::End));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = writer.prove(format!("last.{name}"), Part::Recursion, left, made);
    equation.shape = shape;
    equation.level = Level::Normal;
}

/// δ with everything put in that has a single reader.
pub(crate) fn compact(writer: &mut Writer<'_>) {
    let lines: Vec<(Name, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.id.starts_with("delta."))
        .filter_map(|e| match &e.left {
            Term::Delta(name, _) => Some((Arc::clone(name), e.left.clone(), e.right.clone())),
            _ => None,
        })
        .collect();
    let single: Vec<Name> = lines
        .iter()
        .filter(|(name, _, right)| is_single(right, name))
        .map(|(name, ..)| Arc::clone(name))
        .collect();
    for (name, left, right) in lines {
        let known = writer.known();
        let mut proof = Proof::of(known, right);
        while let Some((of, at)) = first_of(&proof.term, &single) {
            let line = At::new(format!("delta.{of}"), &[('t', at)]);
            let Some(next) = proof.by(Rewrite::Unfold(line)) else {
                return;
            };
            proof = next;
        }
        let made = proof.done();
        if made.steps.is_empty() {
            continue;
        }
        let id = format!("compact.{name}");
        let stepped = matches!(left, Term::Delta(_, Some(_)));
        let equation = writer.prove(id, Part::Recursion, left, made);
        equation.range = if stepped { Range::all() } else { Range::once() };
        equation.premises.insert(0, format!("delta.{name}"));
        equation.level = Level::Normal;
    }
}

/// The first δ of one of some values, with its step.
fn first_of(term: &Term, names: &[Name]) -> Option<(Name, Time)> {
    match term {
        Term::Delta(name, Some(at)) if names.contains(name) => Some((Arc::clone(name), at.clone())),
        term => term.parts().into_iter().find_map(|p| first_of(p, names)),
    }
}

/// Whether a line is one product with one δ of another value at the same step.
fn is_single(right: &Term, name: &Name) -> bool {
    let at_step = |t: &Term| matches!(t, Term::Delta(_, Some(at)) if at.offset == 0);
    match right {
        Term::Had(parts) => {
            let deltas: Vec<&Term> = parts.iter().filter(|p| p.is_linear_part()).collect();
            matches!(deltas[..], [Term::Delta(other, _)] if other != name)
                && deltas.iter().all(|d| at_step(d))
        }
        _ => false,
    }
}

/// A state that is carried on by a product entry by entry, `c_t = f_t ⊙ c_{t−1} + …`: its closed
/// form, that of its δ, and how much of it survives.
pub(crate) fn carousel(writer: &mut Writer<'_>) {
    let states: Vec<(Name, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Definition)
        .filter_map(|e| match &e.left {
            Term::Value(name, Some(_)) => {
                let delta = writer
                    .equations
                    .iter()
                    .find(|d| d.id == format!("delta.{name}"))?;
                Some((Arc::clone(name), e.right.clone(), delta.right.clone()))
            }
            _ => None,
        })
        .collect();
    for (name, definition, delta) in states {
        let carried = Term::Value(Arc::clone(&name), Some(Time::var('t').plus(-1)));
        let ahead = Term::Delta(Arc::clone(&name), Some(Time::var('t').plus(1)));
        let Some((gate, input)) = split(&definition, &carried) else {
            continue;
        };
        let Some((next_gate, sent)) = split(&delta, &ahead) else {
            continue;
        };
        // Only a gate that does not itself depend on what it carries, and reads at this step.
        if next_gate != gate.at('t', &Time::var('t').plus(1)) {
            continue;
        }
        if input.any(&|t| *t == carried) || sent.any(&|t| *t == ahead) {
            continue;
        }
        let Term::Value(gate_name, _) = &gate else {
            continue;
        };
        let kept = |from: Time, to: Time| {
            Term::HadProd('j', from, to, Box::new(gate.at('t', &Time::var('j'))))
        };
        let (t, k) = (Time::var('t'), Time::var('k'));
        let unrolled = |writer: &Writer<'_>, line: String, left: &Term| {
            let known = writer.known();
            let made = Proof::of(known, left.clone()).by(Rewrite::Unroll(line));
            made.map(Proof::done)
        };
        let left = Term::Value(Arc::clone(&name), Some(t.clone()));
        let Some(made) = unrolled(writer, format!("def.{name}"), &left) else {
            continue;
        };
        let equation = writer.prove(format!("carousel.{name}"), Part::Carousel, left, made);
        equation.range = Range::all();

        let left = Term::Delta(Arc::clone(&name), Some(k.clone()));
        let Some(made) = unrolled(writer, format!("delta.{name}"), &left) else {
            continue;
        };
        let id = format!("carousel.delta.{name}");
        let equation = writer.prove(id, Part::Carousel, left, made);
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        cut_paths(writer, &name);

        let id = format!("def.{gate_name}");
        let bounded = writer
            .equations
            .iter()
            .any(|e| e.id == id && matches!(&e.right, Term::Call(f, _) if &**f == "sigmoid"));
        let scalar = writer
            .tape
            .named(&name)
            .is_none_or(|id| writer.is_scalar(id));
        if scalar {
            let path = kept(k.plus(1), t);
            let made = Proof::of(writer.known(), path.clone()).by(Rewrite::Ranges);
            if let Some(made) = made.map(Proof::done) {
                let bound = format!("carousel.bound.{name}");
                let equation = writer.prove(bound, Part::Carousel, path, made);
                equation.range = super::record::relation::pairs();
                equation.relation = Relation::AtMost;
                equation.premises.push(id);
            }
            continue;
        }
        let path = Term::Norm(Box::new(Term::Diag(Box::new(kept(k.plus(1), t.clone())))));
        let Some(largest) = Proof::of(writer.known(), path.clone()).by(Rewrite::NormOfDiagonal)
        else {
            continue;
        };
        let bound = Proof::of(writer.known(), path.clone())
            .by(Rewrite::NormOfDiagonal)
            .and_then(|p| p.by(Rewrite::Ranges))
            .map(Proof::done);
        let largest = largest.done();
        let norm = format!("carousel.norm.{name}");
        let equation = writer.prove(norm, Part::Carousel, path.clone(), largest);
        // An empty product is a vector of ones without a size.
        equation.range = Range {
            vars: vec![
                ('t', Time::at(1), Time::last()),
                ('k', Time::at(0), t.plus(-1)),
            ],
        };
        equation.level = Level::Normal;
        if let Some(bound) = bound.filter(|_| bounded) {
            let name = format!("carousel.bound.{name}");
            let equation = writer.prove(name, Part::Carousel, path, bound);
            equation.range = super::record::relation::pairs();
            equation.relation = Relation::AtMost;
            equation.premises.push(id);
        }
    }
}

/// The error that comes back along the carousel alone, as the LSTM of 1997 was trained, and all that
/// this leaves out: δ of the other states taken apart into what the loss sends and what the gates
/// of the next step send.
fn cut_paths(writer: &mut Writer<'_>, name: &Name) {
    let (t, id) = (Time::var('t'), format!("carousel.delta.{name}"));
    let Some(gathered) = writer.right(&id).cloned() else {
        return;
    };
    let lines = bridge::recursions(writer);
    // The state whose δ the carousel gathers: all else is computed from it at the same step.
    let others = lines.iter().filter_map(|(id, right)| {
        let state: Name = id.strip_prefix("delta.")?.into();
        (state != *name && term::looks_ahead(right)).then_some(state)
    });
    for state in others {
        let known = writer.known();
        let Some(in_state) =
            Proof::of(known, gathered.clone()).down_to(std::slice::from_ref(&state), &t)
        else {
            continue;
        };
        let only = match &in_state.term {
            Term::Sum(.., body) => bridge::is_homogeneous(body, &state),
            _ => false,
        };
        if !only {
            continue;
        }
        let of_state = At::new(format!("delta.{state}"), &[]);
        let made = in_state
            .by(Rewrite::Unfold(of_state))
            .and_then(|p| p.by(Rewrite::SumApart));
        let Some(made) = made.map(Proof::done) else {
            continue;
        };
        let left = Term::Delta(Arc::clone(name), Some(Time::var('k')));
        let cut = format!("carousel.cut.{name}");
        let equation = writer.prove(cut, Part::Carousel, left, made);
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        equation.rules.push(Rule::Truncation);
        equation.premises.insert(0, id);
        equation.level = Level::Normal;
        return;
    }
}

/// `v ⊙ x + rest`, when a sum is that.
fn split(sum: &Term, x: &Term) -> Option<(Term, Term)> {
    let Term::Add(parts) = sum else { return None };
    let at = parts.iter().position(|p| match p {
        Term::Had(factors) => factors.len() == 2 && factors[1] == *x,
        _ => false,
    })?;
    let Term::Had(factors) = &parts[at] else {
        return None;
    };
    let rest = parts.iter().enumerate().filter(|(i, _)| *i != at);
    Some((factors[0].clone(), add(rest.map(|(_, p)| p.clone()))))
}
