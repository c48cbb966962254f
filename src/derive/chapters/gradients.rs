//! `δ` of every value, and the gradients of parameters, inputs and initial states.

use std::sync::Arc;

use super::writer::Writer;
use super::{deltas, recursion};
use crate::derive::algebra::normal::add;
use crate::derive::algebra::term::{Fold, Index, Name, Quantity, Term, Time, visit};
use crate::derive::reading::naming;
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::Rewrite;
use crate::derive::record::rule::Rule;
use crate::derive::rules::proof::Proof;
use crate::error::Result;
use crate::op::NodeId;
use crate::tape::{Direction, Role};

impl Writer<'_> {
    pub(super) fn gradients(&mut self) -> Result<()> {
        for (name, id) in self.values().into_iter().rev() {
            let (at, range) = self.range(id);
            if !self.graph.cotangents.iter().any(|((n, _), _)| *n == name) {
                continue;
            }
            let left = Quantity::Delta.of([&name], at.clone());
            let right = self.symbols.in_order(self.below(&name, &left, &at)?);
            let shape = self.shape(id);
            let readers = self.readers(&name);
            let equation = self.push(Line::Delta(Arc::clone(&name)), Part::Recursion, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Consumer, Rule::FanOut];
            if readers.iter().any(|(_, shifted)| *shifted) {
                equation.rules.extend([Rule::IndexShift, Rule::Boundary]);
            }
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
            recursion::boundary(self, &name);
        }
        let leaves: Vec<(Name, NodeId, Role)> = self
            .recurrence
            .tape()
            .leaves()
            .iter()
            .map(|l| (l.name().into(), l.node, l.role))
            .collect();
        let starts = naming::starts(self.recurrence.tape());
        for (name, id, role) in leaves {
            if !self.graph.cotangents.iter().any(|((n, _), _)| *n == name) {
                continue;
            }
            let (at, range) = self.range(id);
            let right = match self.cotangent(&name) {
                Some(cotangent) => {
                    let whole = reversed(self.reader.term(cotangent, &at)?);
                    self.symbols.in_order(whole)
                }
                None => Term::Zero,
            };
            let shape = self.shape(id);
            let readers = self.readers(&name);
            let only_start = starts.iter().any(|(leaf, _)| *leaf == name);
            let (part, rules) = match role {
                Role::Parameter if only_start => (
                    Part::Inputs,
                    vec![Rule::Consumer, Rule::Boundary, Rule::Identification],
                ),
                Role::Parameter => (
                    Part::Parameters,
                    vec![Rule::RightAdjoint, Rule::WeightTying, Rule::Identification],
                ),
                Role::Input => (Part::Inputs, vec![Rule::Consumer, Rule::Identification]),
            };
            if role == Role::Parameter {
                of_step(self, &name, &right);
            }
            let left = Quantity::Gradient.of([&name], at);
            let equation = self.push(Line::Gradient(name), part, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = rules;
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
        }
        Ok(())
    }

    /// Writes the gradients with respect to zero initial states: those of forward registers without an initial value.
    pub(super) fn initial_gradients(&mut self) -> Result<()> {
        for (index, register) in self.recurrence.tape().registers().iter().enumerate() {
            let id = crate::op::RegisterId::new(index);
            let forward = register.direction() == Direction::Forward && register.init().is_none();
            let held = self.reader.held(id).filter(|_| forward);
            let Some((def, -1)) = held.filter(|_| !self.reader.starts_otherwise(id)) else {
                continue;
            };
            let Some(name) = self.tape.label(def).map(Name::from) else {
                continue;
            };
            let lambda = self.graph.transposed.get(&id);
            let lambda = lambda.and_then(|r| self.tape.register(*r).def());
            let Some(lambda) = lambda else {
                continue;
            };
            let at = Time::at(0);
            let whole = reversed(self.reader.term(lambda, &Some(Time::at(1)))?);
            let right = self.symbols.in_order(whole);
            let shape = self.shape(def);
            let readers = self.readers(&name);
            let left = Quantity::Gradient.of([&name], [at]);
            let line = Line::StartGradient(name);
            let equation = self.push(line, Part::Inputs, left, right);
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Consumer, Rule::Boundary];
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
        }
        Ok(())
    }

    /// The expression for δ, expanded one level below its name.
    fn below(&self, name: &Name, left: &Term, at: &Option<Time>) -> Result<Term> {
        let Some(cotangent) = self.cotangent(name) else {
            return Ok(Term::Zero);
        };
        match self.reader.term(cotangent, at)? {
            own if own == *left => Ok(reversed(self.reader.written(cotangent, at)?)),
            other => Ok(other),
        }
    }

    /// The lines that read a value; true if they read it at another step.
    fn readers(&self, name: &str) -> Vec<(Line, bool)> {
        let mut found = Vec::new();
        for e in self.equations.iter().filter(|e| e.part == Part::Adjoints) {
            let mut shifted = None;
            visit(&e.right, &mut |t| {
                if let Some((Quantity::D, [n], at)) = t.symbol()
                    && **n == *name
                {
                    let other = at.iter().any(|t| t.offset != 0);
                    shifted = Some(shifted.unwrap_or(false) || other);
                }
            });
            if let Some(shifted) = shifted {
                found.push((e.id.clone(), shifted));
            }
        }
        found
    }
}

/// Reverses the contributions, which were accumulated from the last line, into the order of the definition.
fn reversed(term: Term) -> Term {
    match term {
        Term::Add(parts) => add(parts.into_iter().rev()),
        term => term,
    }
}

/// The gradient of the loss of one step, if the parameter affects that loss directly and not through the states.
fn of_step(writer: &mut Writer<'_>, name: &Name, gradient: &Term) {
    let Term::Over(Fold::Sum, Index { var: 't', .. }, body) = gradient else {
        return;
    };
    let proof = Proof::of(writer.known(), gradient.clone()).by(Rewrite::OneLoss);
    let Some(made) = proof.map(Proof::done) else {
        return;
    };
    if writer.recurrence.step_loss().is_none() || !deltas::of_one_step(writer, body) {
        return;
    }
    let left = Quantity::StepGradient.of([name], [Time::var('t')]);
    let line = Line::StepGradient(Arc::clone(name));
    let equation = writer.prove(line, Part::Parameters, left, made);
    equation.range = Range::all();
    equation
        .rules
        .extend([Rule::RightAdjoint, Rule::Identification]);
    equation.premises = vec![Line::Gradient(Arc::clone(name))];
    equation.level = Level::Normal;
}
