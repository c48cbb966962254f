//! A line of a derivation.

use super::part::{Level, Part};
use super::relation::{Condition, Range, Relation};
use super::rule::Rule;
use super::step::Step;
use super::words::Word;
use crate::derive::algebra::term::Term;

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

/// What is known of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Nothing yet.
    Pending,
    /// Both sides agree.
    Passed {
        /// The worst difference, relative to the largest entry of the line.
        worst: f64,
        /// At how many steps and runs.
        trials: usize,
    },
    /// The line introduces a letter; what is printed of it means what it should.
    Definition,
    /// The left side is never larger.
    Bound {
        /// The largest ratio of the left side to the right side.
        tightest: f64,
        /// At how many steps and runs.
        trials: usize,
    },
    /// The sides differ, or cannot be evaluated.
    Failed {
        /// How.
        reason: String,
    },
    /// There is nothing to evaluate.
    NotCheckable {
        /// Why.
        reason: Word,
    },
}

/// What a derivation abbreviates, and by which step it varies.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) var: Option<char>,
    pub(crate) means: Term,
}
