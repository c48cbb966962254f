//! A line of a derivation.

use super::line::Line;
use super::part::{Level, Part};
use super::relation::{Condition, Range, Relation};
use super::rule::Rule;
use super::step::Step;
use super::words::Word;
use crate::derive::algebra::term::Term;

/// One line.
#[derive(Clone, Debug)]
pub struct Equation {
    /// The kind and the subject of the line.
    pub id: Line,
    /// The part of the derivation that contains the line.
    pub part: Part,
    /// The left side.
    pub left: Term,
    /// The relation between the sides.
    pub relation: Relation,
    /// The right side.
    pub right: Term,
    /// The steps at which it holds.
    pub range: Range,
    /// A further condition.
    pub given: Option<Condition>,
    /// The shape of both sides, as formulas of the sizes.
    pub shape: Option<Vec<String>>,
    /// The rules that lead to it.
    pub rules: Vec<Rule>,
    /// The ids of the lines that it uses.
    pub premises: Vec<Line>,
    /// The derivation steps that lead to it.
    pub steps: Vec<Step>,
    /// The lowest level that shows it.
    pub level: Level,
    /// The result of its check.
    pub check: Check,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Not checked yet.
    Pending,
    /// Both sides agree numerically.
    Passed {
        /// The largest difference, relative to the largest entry of the line.
        worst: f64,
        /// The number of evaluations, over steps and runs.
        trials: usize,
    },
    /// The line defines a letter; its printed form was parsed and evaluates to the intended value.
    Definition,
    /// The left side is at most the right side in every trial.
    Bound {
        /// The largest ratio of the left side to the right side.
        tightest: f64,
        /// The number of evaluations, over steps and runs.
        trials: usize,
    },
    /// The sides differ, or cannot be evaluated.
    Failed {
        /// The reason.
        reason: String,
    },
    /// There is nothing to evaluate.
    NotCheckable {
        /// The reason.
        reason: Word,
    },
}

/// An abbreviation of the derivation, with the step variable that it depends on.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) var: Option<char>,
    pub(crate) means: Term,
}
