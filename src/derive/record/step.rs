//! One use of a rule: the term before, the term after, and the op or the rewrite.

use super::relation::Relation;
use super::rewrite::Rewrite;
use super::rule::Rule;
use crate::derive::algebra::change::Change;
use crate::derive::algebra::term::{Term, Time};
use crate::op::NodeId;
use crate::render::Sign;

/// The op or the rewrite that used a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// An op of the definition was linearised.
    Tangent(NodeId),
    /// An op of the linear graph was transposed.
    Adjoint(NodeId),
    /// A term was rewritten.
    Line(Rewrite),
    /// A term about the reversed recurrence was rewritten; the step is the time reversal of that rewrite.
    Mirrored(Rewrite),
}

/// One use of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// The op or the rewrite.
    pub site: Site,
    /// The term before.
    pub before: Term,
    /// The term after.
    pub after: Term,
    /// The part that changed, before and after.
    pub change: Change,
}

impl Step {
    /// The relation between the term before and the term after; `None` if the rule does not compare them, as for
    /// truncation.
    #[must_use]
    pub const fn relation(&self) -> Option<Relation> {
        match &self.site {
            Site::Line(rewrite) | Site::Mirrored(rewrite) => rewrite.relation(),
            Site::Tangent(_) | Site::Adjoint(_) => Some(Relation::Equal),
        }
    }

    /// The sign between the term before and the term after.
    #[must_use]
    pub fn sign(&self) -> Sign {
        self.relation().map_or(Sign::To, Relation::sign)
    }

    /// A step; finds the part that it changes.
    #[must_use]
    pub fn new(rule: Rule, site: Site, before: Term, after: Term) -> Self {
        let change = Change::between(&before, &after);
        Self {
            rule,
            site,
            before,
            after,
            change,
        }
    }
}

/// The step `t` of every line.
pub(crate) fn now() -> Option<Time> {
    Some(Time::var('t'))
}

/// The distinct rules of some steps.
pub(crate) fn rules_of(steps: &[Step]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = steps.iter().map(|s| s.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
