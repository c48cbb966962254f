//! A derivation as a whole: its lines, the graphs that they are generated from, and the data of its checks.

use std::sync::Arc;

use super::apart::Apart;
use super::equation::{Equation, Letter};
use super::line::Line;
use super::part::{Level, Part};
use super::words::Word;
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::function::Function;
use crate::derive::algebra::term::{Name, Quantity};
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
    /// The replaced names of the definition.
    pub(crate) apart: Apart,
    pub(crate) graph: Arc<AdjointGraph>,
    pub(crate) symbols: Symbols,
    pub(crate) functions: indexmap::IndexMap<Name, Function>,
    pub(crate) letters: indexmap::IndexMap<Name, Letter>,
    pub(crate) states: Vec<Carried>,
    /// The state that is carried from the end of the sequence to its beginning.
    pub(crate) back: Vec<Carried>,
    /// The lines of the reversed recurrence, from which the lines about the backward state are made.
    pub(crate) reversed: Vec<Equation>,
    pub(crate) reaches: Vec<Reach>,
    pub(crate) kinks: bool,
    /// True if the chapters on the whole state are omitted, since there are too many states or values.
    pub(crate) is_large: bool,
    /// The lines, in order.
    pub equations: Vec<Equation>,
}

impl Derivation {
    /// The name of the recurrence.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The printed form of names.
    #[must_use]
    pub const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The pairs of a parameter and a state for which `∂x_t/∂W` is derived.
    pub(crate) fn mapped(&self) -> Vec<(Name, Name)> {
        let mut found = Vec::new();
        for equation in &self.equations {
            if let Some((Quantity::Immediate, [state, name], _)) = equation.left.symbol() {
                found.push((Arc::clone(name), Arc::clone(state)));
            }
        }
        found
    }

    /// The names of all carried values, of both directions.
    pub(crate) fn carried(&self) -> Vec<Name> {
        let mut names = chain::names(&self.states);
        names.extend(chain::names(&self.back));
        names
    }

    /// A line by the text of its id: `delta.h`, `grad.W_H`.
    #[must_use]
    pub fn equation(&self, id: &str) -> Option<&Equation> {
        self.equations.iter().find(|e| e.id.to_string() == id)
    }

    /// A line by its id.
    #[must_use]
    pub fn line(&self, id: &Line) -> Option<&Equation> {
        self.equations.iter().find(|e| e.id == *id)
    }

    /// The lines of a part at a level.
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

    /// The symbols that LaTeX of this derivation may contain.
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

/// A summary of the checks of a derivation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Checks {
    /// Lines that were checked and hold.
    pub passed: usize,
    /// Lines that do not hold.
    pub failed: usize,
    /// Lines without a check.
    pub unchecked: usize,
    /// The largest relative difference of an equation.
    pub worst: f64,
}

/// The origin of the numbers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Parameters and data were given.
    Given,
    /// The parameters have their initial values, as [`Params::initial`](crate::Params::initial) makes them; the inputs are random.
    Initial,
    /// Parameters and inputs are random, since the recurrence has no values with its initial parameters, or no state depends
    /// on the one before.
    Random,
}

impl Origin {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Initial => "initial",
            Self::Random => "random",
        }
    }

    pub(crate) const fn word(self) -> Word {
        match self {
            Self::Given => Word::GivenRun,
            Self::Initial => Word::InitialRun,
            Self::Random => Word::RandomRun,
        }
    }
}

/// Norms on one run of `T` steps, as natural logarithms; `−∞` for a norm of zero.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reach {
    /// The number of steps.
    pub steps: usize,
    /// The origin of its numbers.
    pub origin: Origin,
    /// True if the state is carried from the end of the sequence to its beginning. Steps are then counted from the
    /// end: step 1 is the last of the sequence, and step 0 the one after it.
    pub backward: bool,
    /// The steps between which norms were measured, from 0 to `T`: all in a short run, equally spaced ones in a long
    /// run.
    pub marks: Vec<usize>,
    /// `ln ‖∂s_t/∂s_k‖`: one row for each mark `t` except the first, with one entry for each mark `k` before it.
    pub logs: Vec<Vec<f64>>,
    /// `ln ‖J_t‖` for each `t = 1..T`.
    pub step_logs: Vec<f64>,
    /// The factor `q`, an upper bound on the stretch of a step.
    pub ratio: f64,
    /// The remaining factor along each carousel.
    pub carousels: Vec<Kept>,
}

/// The remaining factor along a carousel: a path of entrywise scalings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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

    /// The step of the sequence at a given distance from the start of the chain.
    pub(crate) const fn step(&self, place: usize) -> usize {
        match self.backward {
            true => self.steps + 1 - place,
            false => place,
        }
    }

    /// `‖∂s_t/∂s_k‖`; `None` if it was not measured.
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

    /// The logarithm of the product of the norms of `J` at the steps after `k` up to `t`: an upper bound for
    /// `ln ‖∂s_t/∂s_k‖`.
    #[must_use]
    pub fn product_log(&self, t: usize, k: usize) -> f64 {
        self.step_logs.get(k..t).map_or(0.0, |n| n.iter().sum())
    }

    /// The average logarithmic growth per step over the whole run: a finite-time Lyapunov exponent. It is `−∞` if
    /// `∂s_T/∂s_0` is zero.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
    pub fn exponent(&self) -> f64 {
        let whole = self.logs.last().and_then(|row| row.first()).copied();
        whole.map_or(0.0, |log| log / self.steps as f64)
    }
}

/// A direction in which a state is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    Forward,
    Backward,
}
