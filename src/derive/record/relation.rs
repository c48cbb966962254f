//! The relation between the two sides of a line, the steps at which it holds, and its condition.

use crate::derive::algebra::term::{Term, Time};
use crate::render::Sign;

/// The relation between the two sides of an equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are equal.
    Equal,
    /// The left side is defined by the right side.
    Defined,
    /// The left side is at most the right side.
    AtMost,
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

/// The steps at which an equation holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The variables with their first and last step, outermost first.
    pub vars: Vec<(char, Time, Time)>,
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

/// The condition of a line: one number is less than (or at most) another.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The smaller one.
    pub left: Term,
    /// True for `<`, false for `≤`.
    pub strict: bool,
    /// The larger one.
    pub right: Term,
}

/// `t = 1..T`, `k = 0..t`.
pub(crate) fn pairs() -> Range {
    Range {
        vars: vec![
            ('t', Time::at(1), Time::last()),
            ('k', Time::at(0), Time::var('t')),
        ],
    }
}
