//! Other forms of the recursion: one identity for all gradients, compact and stacked lines, the
//! constant error carousel.

use std::sync::Arc;

use super::canon::{add, inner, product, summed, tidy, transpose};
use super::generate::Writer;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range, Relation};
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

/// δ with everything put in that has a single reader.
pub(crate) fn compact(writer: &mut Writer<'_>) {
    let lines: Vec<(Name, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Recursion)
        .filter_map(|e| match &e.left {
            Term::Delta(name, _) => Some((Arc::clone(name), e.left.clone(), e.right.clone())),
            _ => None,
        })
        .collect();
    let single: Vec<(Name, Term)> = lines
        .iter()
        .filter(|(name, _, right)| is_single(right, name))
        .map(|(name, _, right)| (Arc::clone(name), right.clone()))
        .collect();
    for (name, left, right) in lines {
        let inlined = tidy(&inline(&right, &single));
        if inlined == right {
            continue;
        }
        let id = format!("compact.{name}");
        let equation = writer.push(id, Part::Recursion, left, inlined);
        equation.range = Range::all();
        equation.rules = vec![Rule::Substitution];
        equation.premises = vec![format!("delta.{name}")];
        equation.level = Level::Normal;
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

fn inline(term: &Term, single: &[(Name, Term)]) -> Term {
    if let Term::Delta(name, Some(at)) = term
        && let Some((_, right)) = single.iter().find(|(n, _)| n == name)
    {
        return inline(&right.at('t', at), single);
    }
    term.map(&mut |part| inline(part, single))
}

/// Several matrices that send δ back, as one: `Uᵀ δ` of the stacked gates.
pub(crate) fn stacked(writer: &mut Writer<'_>) {
    let lines: Vec<_> = writer
        .equations
        .iter()
        .filter(|e| e.id.starts_with("delta.") || e.id.starts_with("grad."))
        .map(|e| {
            (
                e.id.clone(),
                e.left.clone(),
                e.right.clone(),
                e.range.clone(),
                e.part,
            )
        })
        .collect();
    for (id, left, right, range, part) in lines {
        let Term::Add(parts) = right else { continue };
        let gate = |t: &Term| match t {
            Term::Mul(factors) => match &factors[..] {
                [Term::T(w), delta @ Term::Delta(..)] if matches!(**w, Term::Value(_, None)) => {
                    Some(((**w).clone(), delta.clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let step = |delta: &Term| match delta {
            Term::Delta(_, at) => at.clone(),
            _ => None,
        };
        let gates: Vec<(Term, Term)> = parts.iter().filter_map(gate).collect();
        // Those of one step belong together: the readout sends its δ at another.
        let Some(at) = gates.last().map(|(_, d)| step(d)) else {
            continue;
        };
        let together = |p: &Term| gate(p).is_some_and(|(_, d)| step(&d) == at);
        if parts.iter().filter(|p| together(p)).count() < 2 {
            continue;
        }
        let of_gates = parts.iter().filter(|p| together(p)).filter_map(gate);
        let (matrices, deltas): (Vec<_>, Vec<_>) =
            of_gates.map(|(w, d)| (vec![w], vec![d])).unzip();
        let stack = product(vec![
            transpose(Term::Matrix(matrices)),
            Term::Matrix(deltas),
        ]);
        let others = parts.iter().filter(|p| !together(p)).cloned();
        let right = add(others.chain(std::iter::once(stack)));
        let equation = writer.push(format!("stacked.{id}"), part, left, right);
        equation.range = range;
        equation.rules = vec![Rule::StackingAdjoint];
        equation.premises = vec![id];
        equation.level = Level::Normal;
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
        let had = |parts: Vec<Term>| tidy(&Term::Had(parts));
        let start = had(vec![
            kept(Time::at(1), t.clone()),
            Term::Value(Arc::clone(&name), Some(Time::at(0))),
        ]);
        let entered = had(vec![kept(k.plus(1), t.clone()), input.at('t', &k)]);
        let memory = add([start, summed('k', Time::at(1), t.clone(), entered)]);
        let left = Term::Value(Arc::clone(&name), Some(t.clone()));
        let equation = writer.push(format!("carousel.{name}"), Part::Carousel, left, memory);
        equation.range = Range::all();
        equation.rules = vec![Rule::Unrolling];
        equation.premises = vec![format!("def.{name}")];

        let back = had(vec![kept(k.plus(1), t.clone()), sent]);
        let right = summed('t', k.clone(), Time::last(), back);
        let left = Term::Delta(Arc::clone(&name), Some(k.clone()));
        let equation = writer.push(
            format!("carousel.delta.{name}"),
            Part::Carousel,
            left,
            right,
        );
        equation.range = Range {
            vars: vec![('k', Time::at(1), Time::last())],
        };
        equation.rules = vec![Rule::Unrolling];
        equation.premises = vec![format!("delta.{name}")];

        let id = format!("def.{gate_name}");
        let bounded = writer
            .equations
            .iter()
            .any(|e| e.id == id && matches!(&e.right, Term::Call(f, _) if &**f == "sigmoid"));
        if bounded {
            let path = Term::Norm(Box::new(Term::Diag(Box::new(kept(k.plus(1), t)))));
            let equation = writer.push(
                format!("carousel.bound.{name}"),
                Part::Carousel,
                path,
                Term::Num(1.0),
            );
            equation.range = super::jacobian::pairs();
            equation.relation = Relation::AtMost;
            equation.rules = vec![Rule::DiagonalNorm];
            equation.premises = vec![id];
        }
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
