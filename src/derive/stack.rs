//! Values that are computed alike, as one: the gates of a cell with their matrices stacked.

use std::sync::Arc;

use super::canon::{add, product, summed, transpose};
use super::generate::Writer;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range};

/// Several values with the same reads: `a_q = W_q x + U_q h + b_q`.
struct Group {
    names: Vec<Name>,
    /// A row of parameters for each value.
    weights: Vec<Vec<Term>>,
    /// What all of them read.
    reads: Vec<Term>,
}

/// Writes the stacked forms.
pub(crate) fn write(writer: &mut Writer<'_>) {
    // Two groups would need two sets of letters; a stack of each layer helps nobody.
    if let [group] = &groups(writer)[..] {
        gates(writer, group);
    }
    sent_back(writer);
}

fn groups(writer: &Writer<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for equation in writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Definition)
    {
        let (Term::Value(name, Some(at)), Term::Add(parts)) = (&equation.left, &equation.right)
        else {
            continue;
        };
        if *at != Time::var('t') {
            continue;
        }
        let split = |part: &Term| match part {
            Term::Mul(factors) => match &factors[..] {
                [w @ Term::Value(_, None), v @ Term::Value(_, Some(_))] => {
                    Some((w.clone(), v.clone()))
                }
                _ => None,
            },
            b @ Term::Value(_, None) => Some((b.clone(), Term::Num(1.0))),
            _ => None,
        };
        let Some(split) = parts.iter().map(split).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let (row, reads): (Vec<Term>, Vec<Term>) = split.into_iter().unzip();
        match groups.iter_mut().find(|g| g.reads == reads) {
            Some(group) => {
                group.names.push(Arc::clone(name));
                group.weights.push(row);
            }
            None => groups.push(Group {
                names: vec![Arc::clone(name)],
                weights: vec![row],
                reads,
            }),
        }
    }
    groups.retain(|g| g.names.len() > 1 && g.reads.len() > 1);
    groups
}

/// `a_t = Θ ξ_t`, `δ^a_t` and `∂L/∂Θ`.
fn gates(writer: &mut Writer<'_>, group: &Group) {
    let (letters, now) = (writer.symbols.letters, Time::var('t'));
    let at = Some(now.clone());
    let stack = group.names.iter();
    let stack = stack.map(|n| vec![Term::Value(Arc::clone(n), at.clone())]);
    let stack = Term::Matrix(stack.collect());
    let reads = Term::Matrix(group.reads.iter().map(|r| vec![r.clone()]).collect());
    let weights = Term::Matrix(group.weights.clone());
    let name = writer.symbols.stem(&group.names);
    let name = name.unwrap_or_else(|| letters.gates.into());
    let all = writer.define(Arc::clone(&name), Some('t'), Part::Stacked, stack);
    let theta = writer.define(letters.weights, None, Part::Stacked, weights);
    let xi = writer.define(letters.reads, Some('t'), Part::Stacked, reads);
    for equation in writer.equations.iter_mut().rev().take(3) {
        equation.level = Level::Normal;
    }
    let forward = Term::Mul(vec![theta, xi.clone()]);
    let equation = writer.push("stack.value".into(), Part::Stacked, all, forward);
    equation.range = Range::all();
    equation.rules = vec![Rule::Stacking];
    equation.level = Level::Normal;

    let delta = Term::Delta(name, at);
    let line = |name: &Name| {
        let compact = writer.right(&format!("compact.{name}"));
        compact
            .or_else(|| writer.right(&format!("delta.{name}")))
            .cloned()
    };
    let rows: Option<Vec<Term>> = group.names.iter().map(line).collect();
    if let Some(rows) = rows {
        let rows = Term::Matrix(rows.into_iter().map(|r| vec![r]).collect());
        let equation = writer.push("stack.delta".into(), Part::Stacked, delta.clone(), rows);
        equation.range = Range::all();
        equation.rules = vec![Rule::StackingAdjoint, Rule::Substitution];
        equation.level = Level::Normal;
    }
    let left = Term::Gradient(letters.weights.into(), None);
    let right = Term::Mul(vec![delta, transpose(xi)]);
    let right = summed('t', Time::at(1), Time::last(), right);
    let equation = writer.push("stack.grad".into(), Part::Stacked, left, right);
    equation.rules = vec![Rule::StackingAdjoint, Rule::RightAdjoint, Rule::WeightTying];
    equation.premises = vec!["stack.value".into()];
    equation.level = Level::Normal;
}

/// Several matrices that send δ back, as one: `Uᵀ δ` of the stacked gates.
fn sent_back(writer: &mut Writer<'_>) {
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
            )
        })
        .collect();
    for (id, left, right, range) in lines {
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
        let equation = writer.push(format!("stacked.{id}"), Part::Stacked, left, right);
        equation.range = range;
        equation.rules = vec![Rule::StackingAdjoint];
        equation.premises = vec![id];
        equation.level = Level::Normal;
    }
}
