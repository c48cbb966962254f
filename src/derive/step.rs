//! One use of a rule: a line before, a line after, and where in the engine's graph it happened.

use super::algebra::normal::{add, inner};
use super::algebra::term::Term;
use super::generate;
use super::mirror::Mirror;
use super::read::Reader;
use super::record::derivation::Derivation;
use super::record::rewrite::Rewrite;
use super::record::rule::Rule;
use super::record::step::{Site, Step, now};
use super::rules::known::{Known, scalars};
use crate::error::{Error, Result};
use crate::op::{Expr, NodeId};
use crate::recurrence::AdjointGraph;
use crate::tape::{Scope, Tape};

impl Derivation {
    /// Uses the rule of a step again: in the engine, on a copy of its graph, or on the line before.
    ///
    /// # Errors
    /// [`Error::NotDerivable`] when the engine uses another rule there, or does not get from the
    /// line before to the line after.
    pub fn replay(&self, step: &Step) -> Result<()> {
        let reader = generate::reader(&self.graph, &self.name);
        let again = match &step.site {
            Site::Tangent(id) => tangent(&reader, &self.graph, *id)?,
            Site::Adjoint(id) => adjoint(&reader, &self.graph, *id, Reapply::Engine)?,
            Site::Mirrored(_) => None,
            Site::Line(rewrite) => {
                let scalars = scalars(&self.graph.tape);
                let known = Known {
                    lines: &self.equations,
                    scalars: &scalars,
                    state: &self.states,
                    tape: &self.graph.tape,
                };
                let after = rewrite.apply(&step.before, &known);
                let site = step.site.clone();
                after.map(|after| Step::new(rewrite.rule(), site, step.before.clone(), after))
            }
        };
        let again = match &step.site {
            Site::Mirrored(rewrite) => self.mirrored_again(rewrite, step),
            _ => again,
        };
        let wrong = match again {
            Some(again) if again.rule != step.rule => "another rule is used there",
            Some(again) if again.before != step.before => "the rule is used on something else",
            Some(again) if again.after != step.after => "the rule gives something else",
            Some(again) if again.change != step.change => "another part is changed",
            Some(_) => return Ok(()),
            None => "no rule is used there",
        };
        Err(Error::NotDerivable {
            recurrence: self.name.clone(),
            reason: format!("step {} cannot be replayed: {wrong}", step.rule.id()),
        })
    }
}

impl Derivation {
    fn mirrored_again(&self, rewrite: &Rewrite, step: &Step) -> Option<Step> {
        let mirror = Mirror::of(&self.back);
        let scalars = scalars(&self.graph.tape);
        let known = Known {
            lines: &self.reversed,
            scalars: &scalars,
            state: &self.back,
            tape: &self.graph.tape,
        };
        let after = rewrite.apply(&mirror.term(&step.before)?, &known)?;
        let (site, before) = (step.site.clone(), step.before.clone());
        Some(Step::new(
            rewrite.rule(),
            site,
            before,
            mirror.term(&after)?,
        ))
    }
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

/// Where the cotangents of the arguments come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reapply {
    /// From the history of the graph.
    History,
    /// From the rows of the op table, applied again.
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
        after.push(inner(reader.term(x_bar, &at)?, x));
    }
    let y_bar = reader.term(first.y_bar, &now())?;
    Ok(Some(Step::new(
        Rule::of_adjoint(node.op(), first.arg),
        Site::Adjoint(id),
        inner(y_bar, reader.written(id, &now())?),
        add(after),
    )))
}
