//! The derivation of a gradient, as data: what the engine does to a recurrence, written as
//! equations that a person can follow and a program can check.
//!
//! [`Recurrence::derive`](crate::Recurrence::derive) runs the same linearise and transpose that compute the gradient, with every
//! named value perturbed, and reads the equations off the graphs that come out. There is no text
//! of any equation in here: what is printed is what is computed.

mod adjoints;
mod algebra;
mod apart;
mod arrays;
mod blocks;
mod bounds;
mod bridge;
mod check;
mod costate;
mod document;
mod entries;
mod evaluate;
mod forms;
mod generate;
mod immediate;
mod jacobian;
mod mirror;
mod multiply;
mod naming;
mod norms;
mod notation;
mod one_step;
mod oracle;
mod reach;
mod read;
mod readoff;
mod responses;
mod rewrite;
mod rules;
mod shares;
mod stack;
mod step;
mod theorem;
mod truncation;
mod words;

use std::sync::Arc;

pub use algebra::change::{Change, Place};
pub use algebra::term::{Base, Name, Term, Time};
pub use check::{Check, Checks, TOLERANCE, compare};
pub use document::Format;
pub use evaluate::Instance;
pub use notation::lexicon::Lexicon;
pub use notation::symbols::Symbols;
pub use reach::{Kept, Reach};
pub use rewrite::{Argument, At, Rewrite};
pub use rules::Rule;
pub use step::{Site, Step};
pub use words::{Lang, Word};

use crate::recurrence::{AdjointGraph, Recurrence};
use crate::render::{Math, Sign};
use algebra::chain::Carried;
use algebra::shapes::Function;
use algebra::{chain, shapes};
use apart::Apart;

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// The results only.
    Sheet,
    /// Results and the lines between.
    #[default]
    Normal,
    /// Every use of every rule.
    Full,
}

/// How the two sides of an equation compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are equal.
    Equal,
    /// The left side is introduced here.
    Defined,
    /// The left side is at most as large.
    AtMost,
}

/// For which steps an equation holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The variables with their first and last step, outermost first.
    pub vars: Vec<(char, Time, Time)>,
}

/// Which part of the derivation a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The recurrence as it was given.
    Definition,
    /// What holds for every recurrence.
    Theorem,
    /// One step, linearised.
    Differentials,
    /// The adjoint of each line.
    Adjoints,
    /// δ of every named value.
    Recursion,
    /// The gradients of parameters.
    Parameters,
    /// The gradients of inputs and initial states.
    Inputs,
    /// Several values that are computed alike, as one.
    Stacked,
    /// The Jacobian of the state and its products.
    Jacobian,
    /// A state that is carried on entry by entry.
    Carousel,
    /// The double sum and the recursion.
    Bridge,
    /// What each of several states gets from later steps.
    Costate,
    /// What truncation leaves out.
    Truncation,
    /// How large products of Jacobians can be.
    Bounds,
}

impl Part {
    /// Every part, in order.
    pub const ALL: &'static [Self] = &[
        Self::Definition,
        Self::Theorem,
        Self::Differentials,
        Self::Adjoints,
        Self::Recursion,
        Self::Parameters,
        Self::Inputs,
        Self::Stacked,
        Self::Jacobian,
        Self::Carousel,
        Self::Bridge,
        Self::Costate,
        Self::Truncation,
        Self::Bounds,
    ];
}

/// One line.
#[derive(Clone, Debug)]
pub struct Equation {
    /// What it is and of what: `delta.h`, `grad.W_H`. It does not depend on the position.
    pub id: String,
    /// Where it belongs.
    pub part: Part,
    /// The left side.
    pub left: Term,
    /// How the sides compare.
    pub relation: Relation,
    /// The right side.
    pub right: Term,
    /// For which steps it holds.
    pub range: Range,
    /// What else has to hold for it.
    pub given: Option<Condition>,
    /// The shape of both sides, as formulas of the sizes.
    pub shape: Option<Vec<String>>,
    /// The rules that lead to it.
    pub rules: Vec<Rule>,
    /// The lines it is made from.
    pub premises: Vec<String>,
    /// The uses of rules that make it.
    pub steps: Vec<Step>,
    /// From which level on it is shown.
    pub level: Level,
    /// Whether both sides agree.
    pub check: Check,
}

/// What a derivation abbreviates, and by which step it varies.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) var: Option<char>,
    pub(crate) means: Term,
}

/// What has to hold for a line to hold: that one number is below another.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The smaller one.
    pub left: Term,
    /// Whether they may be equal.
    pub strict: bool,
    /// The larger one.
    pub right: Term,
}

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

impl Relation {
    /// The sign between the sides.
    #[must_use]
    pub const fn sign(self) -> Sign {
        match self {
            Self::Equal => Sign::Equal,
            Self::Defined => Sign::Defined,
            Self::AtMost => Sign::LessEqual,
        }
    }
}

impl Range {
    /// No variable: it holds once.
    #[must_use]
    pub const fn once() -> Self {
        Self { vars: Vec::new() }
    }

    /// For t = 1..T.
    #[must_use]
    pub fn all() -> Self {
        Self {
            vars: vec![('t', Time::at(1), Time::last())],
        }
    }
}
