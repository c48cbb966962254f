//! Converts the engine's graphs to terms, and repeats the uses of its rules.

use std::sync::Arc;

use super::read::{Reader, step_at};
use crate::derive::algebra::normal::{add, inner, scale};
use crate::derive::algebra::term::{Quantity, Term, Time};
use crate::derive::record::rule::Rule;
use crate::derive::record::step::{Site, Step, now};
use crate::error::Result;
use crate::op::{Expr, NodeId, Op};
use crate::recurrence::AdjointGraph;
use crate::tape::{Scope, Tape};

/// A reader that knows the nodes of values, differentials and δs.
pub(crate) fn reader<'a>(graph: &'a AdjointGraph, name: &'a str) -> Reader<'a> {
    let mut reader = Reader::new(&graph.tape, name);
    reader.defined = graph.defined;
    // Last value first: if two values have the same node as δ, it is labelled with the later value.
    for ((name, id), cotangent) in graph.cotangents.iter().rev() {
        let leaf = matches!(graph.tape.node(*id).op(), Op::Leaf(_));
        if let Some(cotangent) = cotangent.filter(|_| !leaf) {
            let label = (Quantity::Delta, Arc::clone(name));
            reader.labels.entry(cotangent).or_insert(label);
        }
        if let Some(tangent) = graph.tangents.get(id) {
            let label = (Quantity::D, Arc::clone(name));
            reader.labels.insert(*tangent, label);
        }
    }
    reader
}

/// Linearises one op of the definition again.
pub(crate) fn tangent(
    reader: &Reader<'_>,
    graph: &AdjointGraph,
    id: NodeId,
) -> Result<Option<Step>> {
    let scope = Scope::new(graph.tape.clone());
    let node = graph.tape.node(id).clone();
    let x: Vec<Expr<'_>> = node.args().iter().map(|a| scope.expr(*a)).collect();
    let x_dot: Vec<Option<Expr<'_>>> = node
        .args()
        .iter()
        .map(|a| graph.tangents.get(a).map(|t| scope.expr(*t)))
        .collect();
    if x_dot.iter().all(Option::is_none) {
        return Ok(None);
    }
    let found = node.op().tangent(&x, scope.expr(id), &x_dot);
    let Some(found) = found.and_then(Expr::id) else {
        return Ok(None);
    };
    if found.index() >= graph.tape.len() {
        return Ok(None);
    }
    Ok(Some(Step::new(
        Rule::of_tangent(node.op()),
        Site::Tangent(id),
        Term::DOf(Box::new(reader.written(id, &now())?)),
        reader.term(found, &now())?,
    )))
}

/// The source of the cotangents of the arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reapply {
    /// The history of the graph.
    History,
    /// The rows of the op table, applied again.
    Engine,
}

/// Transposes one op of the linear graph again.
pub(crate) fn adjoint(
    reader: &Reader<'_>,
    graph: &AdjointGraph,
    id: NodeId,
    how: Reapply,
) -> Result<Option<Step>> {
    let node = graph.tape.node(id);
    let uses: Vec<_> = graph.adjoints.iter().filter(|a| a.node == id).collect();
    let Some(first) = uses.first() else {
        return Ok(None);
    };
    let scope = Scope::new(match how {
        Reapply::Engine => graph.tape.clone(),
        Reapply::History => Tape::default(),
    });
    let mut after = Vec::new();
    for used in &uses {
        let x_bar = match how {
            Reapply::History => Some(used.x_bar),
            Reapply::Engine => {
                let x: Vec<Expr<'_>> = node.args().iter().map(|a| scope.expr(*a)).collect();
                let y_bar = scope.expr(used.y_bar);
                let x_bar = node.op().transpose(used.arg, &x, scope.expr(id), y_bar);
                x_bar
                    .and_then(Expr::id)
                    .filter(|x| x.index() < graph.tape.len())
            }
        };
        let Some(x_bar) = x_bar else {
            return Ok(None);
        };
        let at = now();
        let x = reader.term(node.args()[used.arg], &at)?;
        let mut x_bar = reader.term(x_bar, &at)?;
        if let Op::Time(crate::op::Time::Impulse(impulse)) = node.op() {
            let reached = Term::At(Time::var('t'), step_at(impulse.0));
            x_bar = scale(vec![reached], Some(x_bar));
        }
        after.push(inner(x_bar, x));
    }
    let y_bar = reader.term(first.y_bar, &now())?;
    Ok(Some(Step::new(
        Rule::of_adjoint(node.op(), first.arg),
        Site::Adjoint(id),
        inner(y_bar, reader.written(id, &now())?),
        add(after),
    )))
}
