//! A derivation as a whole: its lines, and all that they are made of and checked with.

use std::sync::Arc;

use super::apart::Apart;
use super::equation::{Equation, Letter};
use super::part::{Level, Part};
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::shapes::Function;
use crate::derive::algebra::term::{Name, Term};
use crate::derive::algebra::{chain, shapes};
use crate::derive::notation::lexicon::Lexicon;
use crate::derive::notation::symbols::Symbols;
use crate::recurrence::{AdjointGraph, Recurrence};
use crate::render::Math;

/// A derivation.
#[derive(Clone, Debug)]
pub struct Derivation {
    pub(crate) name: String,
    pub(crate) recurrence: Recurrence,
    /// The names of the definition that were replaced.
    pub(crate) apart: Apart,
    pub(crate) graph: Arc<AdjointGraph>,
    pub(crate) symbols: Symbols,
    pub(crate) functions: indexmap::IndexMap<Name, Function>,
    pub(crate) letters: indexmap::IndexMap<Name, Letter>,
    pub(crate) states: Vec<Carried>,
    /// What is carried from the end of the sequence to its beginning.
    pub(crate) back: Vec<Carried>,
    /// The lines of the reversed recurrence, from which those about that are made.
    pub(crate) reversed: Vec<Equation>,
    pub(crate) reaches: Vec<Reach>,
    pub(crate) kinks: bool,
    /// The lines, in order.
    pub equations: Vec<Equation>,
}

impl Derivation {
    /// The name of the recurrence.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How names look.
    #[must_use]
    pub const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The parameters of which it is said how a state responds to them, each with the state.
    pub(crate) fn mapped(&self) -> Vec<(Name, Name)> {
        let mut found = Vec::new();
        for equation in &self.equations {
            if let Term::Immediate(state, _, name) = &equation.left {
                found.push((Arc::clone(name), Arc::clone(state)));
            }
        }
        found
    }

    /// The names of all that is carried, in either direction.
    pub(crate) fn carried(&self) -> Vec<Name> {
        let mut names = chain::names(&self.states);
        names.extend(chain::names(&self.back));
        names
    }

    /// A line by its id.
    #[must_use]
    pub fn equation(&self, id: &str) -> Option<&Equation> {
        self.equations.iter().find(|e| e.id == id)
    }

    /// The lines of a part that a level shows.
    pub fn lines(&self, part: Part, level: Level) -> impl Iterator<Item = &Equation> {
        self.equations
            .iter()
            .filter(move |e| e.part == part && e.level <= level)
    }

    /// Both sides of a line as formulas.
    #[must_use]
    pub fn sides(&self, equation: &Equation) -> (Math, Math) {
        (
            self.symbols.show(&equation.left),
            self.symbols.show(&equation.right),
        )
    }

    /// A line as a formula.
    #[must_use]
    pub fn formula(&self, equation: &Equation) -> Math {
        let (left, right) = self.sides(equation);
        Math::relation(left, equation.relation.sign(), right)
    }

    /// What LaTeX may mean in this derivation.
    #[must_use]
    pub fn lexicon(&self) -> Lexicon {
        let sizes = shapes::sizes(&self.graph.tape);
        Lexicon::new(
            &self.symbols,
            self.functions.keys(),
            sizes,
            self.letters.keys(),
        )
    }
}

/// The checks of a derivation in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Checks {
    /// Lines that were checked and hold.
    pub passed: usize,
    /// Lines that do not hold.
    pub failed: usize,
    /// Lines without a check.
    pub unchecked: usize,
    /// The worst relative difference of an equation.
    pub worst: f64,
}

/// Norms on one run of `T` steps, as natural logarithms; that of zero is `−∞`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// The number of steps.
    pub steps: usize,
    /// Whether the data were given; otherwise they were drawn.
    pub given: bool,
    /// Whether the state is carried from the end of the sequence to its beginning. Then steps are
    /// counted from the end: step 1 is the last of the sequence, and step 0 the one after it.
    pub backward: bool,
    /// The steps between which norms were measured, from 0 to `T`: all of them in a short run, some
    /// at equal distances in a long one.
    pub marks: Vec<usize>,
    /// `ln ‖∂s_t/∂s_k‖`: a row for each mark `t` but the first, with an entry for each mark `k` before
    /// it.
    pub logs: Vec<Vec<f64>>,
    /// `ln ‖J_t‖` for each `t = 1..T`.
    pub step_logs: Vec<f64>,
    /// The factor `q` by which a step can stretch at most.
    pub ratio: f64,
    /// What is left along each path that is only scaled.
    pub carousels: Vec<Kept>,
}

/// What is left along a path that is only scaled, entry by entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The state that is carried.
    pub state: Name,
    /// The logarithm of the norm of the product of its gates, in the rows of [`Reach::logs`].
    pub logs: Vec<Vec<f64>>,
}

impl Reach {
    pub(crate) const fn chain(&self) -> Chain {
        match self.backward {
            true => Chain::Backward,
            false => Chain::Forward,
        }
    }

    /// The step of the sequence that stands at a place from the start of the chain.
    pub(crate) const fn step(&self, place: usize) -> usize {
        match self.backward {
            true => self.steps + 1 - place,
            false => place,
        }
    }

    /// `‖∂s_t/∂s_k‖`; `None` where that was not measured.
    #[must_use]
    pub fn norm(&self, t: usize, k: usize) -> Option<f64> {
        let row = self.marks.iter().position(|m| *m == t)?;
        let column = self.marks.iter().position(|m| *m == k)?;
        if row == column {
            return Some(1.0);
        }
        let log = self.logs.get(row.checked_sub(1)?)?.get(column)?;
        Some(log.exp())
    }

    /// The logarithm of the product of the norms of the steps from `k` to `t`: a bound for that of
    /// `‖∂s_t/∂s_k‖`.
    #[must_use]
    pub fn product_log(&self, t: usize, k: usize) -> f64 {
        self.step_logs.get(k..t).map_or(0.0, |n| n.iter().sum())
    }

    /// The average logarithm by which the whole run stretches a step: a finite-time Lyapunov
    /// exponent. It is `−∞` when nothing is left of the first state.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
    pub fn exponent(&self) -> f64 {
        let whole = self.logs.last().and_then(|row| row.first()).copied();
        whole.map_or(0.0, |log| log / self.steps as f64)
    }
}

/// One of the two directions in which a state is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    Forward,
    Backward,
}
