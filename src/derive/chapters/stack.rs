//! Values computed by the same formula, stacked into one: the gates of a cell.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::Rewrite;
use crate::derive::rules::proof::Proof;
use crate::derive::rules::stacks::read;

/// Several values with the same reads: `a_q = W_q x + U_q h + b_q`.
struct Group {
    names: Vec<Name>,
    /// The parameters of each value, one row each.
    weights: Vec<Vec<Term>>,
    /// The values that all of them read.
    reads: Vec<Term>,
}

/// Writes the stacked forms.
pub(crate) fn write(writer: &mut Writer<'_>) {
    // Two groups would need two sets of letters.
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
        let (Some((Quantity::Value, [name], [at])), Term::Add(parts)) =
            (equation.left.symbol(), &equation.right)
        else {
            continue;
        };
        if *at != Time::var('t') {
            continue;
        }
        let Some(split) = parts.iter().map(read).collect::<Option<Vec<_>>>() else {
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
    let stack = stack.map(|n| vec![Quantity::Value.of([n], at.clone())]);
    let stack = Term::Matrix(stack.collect());
    let reads = Term::Matrix(group.reads.iter().map(|r| vec![r.clone()]).collect());
    let weights = Term::Matrix(group.weights.clone());
    let name = writer.symbols.stem(&group.names);
    let name = name.unwrap_or_else(|| letters.gates.into());
    let all = writer.define(Arc::clone(&name), Some('t'), Part::Stacked, stack);
    writer.define(letters.weights, None, Part::Stacked, weights);
    writer.define(letters.reads, Some('t'), Part::Stacked, reads);
    for equation in writer.equations.iter_mut().rev().take(3) {
        equation.level = Level::Normal;
    }
    let line = |name: &str| Line::Letter(name.into());
    let fold = |of: &str| Rewrite::Fold(line(of).into());
    let unfold = |id: Line| Rewrite::Unfold(id.into());
    let made = group
        .names
        .iter()
        .try_fold(
            Proof::of(writer.known(), all.clone()).if_it_applies(unfold(line(&name))),
            |p, of| p.by(unfold(Line::Definition(Arc::clone(of)))),
        )
        .and_then(|p| p.by(Rewrite::BlockProduct))
        .and_then(|p| p.by(fold(letters.weights)))
        .and_then(|p| p.by(fold(letters.reads)))
        .map(Proof::done);
    if let Some(made) = made {
        let equation = writer.prove(Line::StackedValue, Part::Stacked, all, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
    }

    let delta = Quantity::Delta.of([&name], at);
    let of_row = |name: &Name| {
        let compact = Line::CompactDelta(Arc::clone(name));
        match writer.right(&compact) {
            Some(_) => compact,
            None => Line::Delta(Arc::clone(name)),
        }
    };
    let rows: Vec<Line> = group.names.iter().map(of_row).collect();
    let made = Proof::of(writer.known(), delta.clone())
        .by(Rewrite::Unstack(line(&name)))
        .and_then(|p| rows.into_iter().try_fold(p, |p, row| p.by(unfold(row))))
        .map(Proof::done);
    if let Some(made) = made {
        let equation = writer.prove(Line::StackedDelta, Part::Stacked, delta, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
    }
    let left = Quantity::Gradient.of([&letters.weights.into()], []);
    let gradient = |w: &Term| match w.symbol() {
        Some((Quantity::Value, [name], [])) => Some(Line::Gradient(Arc::clone(name))),
        _ => None,
    };
    let parameters = group.weights.iter().flatten().filter_map(gradient);
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unstack(line(letters.weights)))
        .and_then(|p| parameters.into_iter().try_fold(p, |p, of| p.by(unfold(of))))
        .and_then(|p| p.by(Rewrite::SumOut))
        .and_then(|p| p.by(Rewrite::BlockOuter))
        .and_then(|p| p.by(Rewrite::Restack(line(&name))))
        .and_then(|p| p.by(fold(letters.reads)))
        .map(Proof::done);
    if let Some(made) = made {
        let equation = writer.prove(Line::StackedGradient, Part::Stacked, left, made);
        equation.level = Level::Normal;
    }
}

/// Combines several matrices that send δ back into one: `Uᵀ δ` of the stacked gates.
fn sent_back(writer: &mut Writer<'_>) {
    let lines: Vec<_> = writer
        .equations
        .iter()
        .filter(|e| {
            let delta = matches!(e.id, Line::Delta(_));
            delta || matches!(e.id, Line::Gradient(_) | Line::StartGradient(_))
        })
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
        let Some(made) = Proof::of(writer.known(), right).by(Rewrite::SentBack) else {
            continue;
        };
        let made = made.done();
        let equation = writer.prove(
            Line::SentBack(Box::new(id.clone())),
            Part::Stacked,
            left,
            made,
        );
        equation.range = range;
        equation.premises = vec![id];
        equation.level = Level::Normal;
    }
}
