//! The writer of a derivation: the lines so far, and the data for new ones.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::function::Function;
use crate::derive::algebra::simplify::beside_step;
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::notation::symbols::Symbols;
use crate::derive::reading::read::Reader;
use crate::derive::record::equation::{Check, Equation, Letter};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::{Range, Relation};
use crate::derive::record::rule::Rule;
use crate::derive::record::step::{now, rules_of};
use crate::derive::rules::known::Known;
use crate::derive::rules::proof::Made;
use crate::op::{NodeId, Op, Pointwise};
use crate::recurrence::{AdjointGraph, Recurrence};
use crate::shape::{Rate, Shape};
use crate::tape::Tape;

pub(crate) struct Writer<'a> {
    pub(crate) recurrence: &'a Recurrence,
    pub(crate) tape: &'a Tape,
    pub(crate) graph: &'a AdjointGraph,
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) symbols: &'a Symbols,
    /// The names of scalar values.
    pub(crate) scalars: &'a HashSet<Name>,
    /// The state whose Jacobians are derived.
    pub(crate) state: Vec<Carried>,
    pub(crate) letters: IndexMap<Name, Letter>,
    pub(crate) equations: Vec<Equation>,
}

impl Writer<'_> {
    pub(crate) fn shape(&self, id: NodeId) -> Vec<String> {
        let names = self.tape.dim_names();
        let dims = self.tape.ty(id).shape.dims();
        let mut dims: Vec<String> = dims.iter().map(|d| d.text(&names)).collect();
        if dims.len() == 1 {
            dims.push("1".into());
        }
        dims
    }

    pub(crate) fn range(&self, id: NodeId) -> (Option<Time>, Range) {
        match self.tape.ty(id).rate {
            Rate::Step => (now(), Range::all()),
            _ => (None, Range::once()),
        }
    }

    pub(crate) fn push(&mut self, id: Line, part: Part, left: Term, right: Term) -> &mut Equation {
        let at = self.equations.len();
        let right = beside_step(&left, right);
        self.equations.push(Equation {
            id,
            part,
            left,
            relation: Relation::Equal,
            right,
            range: Range::once(),
            given: None,
            shape: None,
            rules: Vec::new(),
            premises: Vec::new(),
            steps: Vec::new(),
            level: Level::Sheet,
            check: Check::Pending,
        });
        &mut self.equations[at]
    }

    /// Registers a function that no line of the engine has used.
    pub(crate) fn function(&self, op: Pointwise) {
        let function = Function {
            ranks: vec![0; op.arity()],
            op: Op::Pointwise(op),
        };
        let mut known = self.reader.functions.borrow_mut();
        known.entry(op.name().into()).or_insert(function);
    }

    /// The right side of a line.
    pub(crate) fn right(&self, id: &Line) -> Option<&Term> {
        self.line(id).map(|e| &e.right)
    }

    pub(crate) fn line(&self, id: &Line) -> Option<&Equation> {
        self.equations.iter().find(|e| e.id == *id)
    }

    /// Introduces a letter with a line that defines it, and returns the letter as a term.
    pub(crate) fn define(
        &mut self,
        name: impl Into<Name>,
        var: Option<char>,
        part: Part,
        means: Term,
    ) -> Term {
        let name: Name = name.into();
        let letter = Quantity::Letter.of([&name], var.map(Time::var));
        let id = Line::Letter(Arc::clone(&name));
        let equation = self.push(id, part, letter.clone(), means.clone());
        equation.relation = Relation::Defined;
        equation.rules = vec![Rule::Definition];
        equation.range = match var {
            Some('t') => Range::all(),
            Some(var) => Range {
                vars: vec![(var, Time::at(1), Time::last())],
            },
            None => Range::once(),
        };
        self.letters.insert(name, Letter { var, means });
        letter
    }

    /// The named computed values, in order, each with its first name.
    pub(super) fn values(&self) -> Vec<(Name, NodeId)> {
        let tape = self.recurrence.tape();
        let mut values: Vec<(NodeId, Name)> = tape
            .names()
            .filter(|(name, id)| {
                !matches!(tape.node(*id).op(), Op::Leaf(_)) && tape.label(*id) == Some(name)
            })
            .map(|(name, id)| (id, Arc::clone(name)))
            .collect();
        values.sort();
        values.into_iter().map(|(id, name)| (name, id)).collect()
    }

    pub(crate) fn cotangent(&self, name: &str) -> Option<NodeId> {
        let found = self
            .graph
            .cotangents
            .iter()
            .find(|((n, _), _)| **n == *name);
        found.and_then(|(_, cotangent)| *cotangent)
    }

    /// Returns true if a value is a scalar.
    pub(crate) fn is_scalar(&self, id: NodeId) -> bool {
        self.tape.ty(id).shape == Shape::Scalar
    }

    /// Adds a line proved by rules.
    pub(crate) fn prove(&mut self, id: Line, part: Part, left: Term, made: Made) -> &mut Equation {
        let equation = self.push(id, part, left, made.term);
        equation.rules = rules_of(&made.steps);
        equation.premises = made.premises;
        equation.steps = made.steps;
        equation
    }

    /// The data that rules may look up.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            lines: &self.equations,
            scalars: self.scalars,
            state: &self.state,
            tape: self.tape,
        }
    }

    /// A stack with one row for each part of the state; without a stack for a single part.
    pub(crate) fn stack(&self, made: &dyn Fn(&Carried) -> Term) -> Term {
        match &self.state[..] {
            [one] => made(one),
            parts => Term::Matrix(parts.iter().map(|part| vec![made(part)]).collect()),
        }
    }

    /// The differential of the state at a step.
    pub(crate) fn differential(&self, at: &Time) -> Term {
        self.stack(&|part| Quantity::D.of([&part.name], [at.plus(-part.delay)]))
    }
}
