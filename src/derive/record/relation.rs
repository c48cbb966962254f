//! How the two sides of a line compare, for which steps, and under which condition.

use crate::derive::algebra::term::{Term, Time};
use crate::render::Sign;

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

/// For which steps an equation holds.
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

/// `t = 1..T`, `k = 0..t`.
pub(crate) fn pairs() -> Range {
    Range {
        vars: vec![
            ('t', Time::at(1), Time::last()),
            ('k', Time::at(0), Time::var('t')),
        ],
    }
}
