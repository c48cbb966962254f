//! One use of a rule: a line before, a line after, and where in the engine's graph it happened.

use super::relation::Relation;
use super::rewrite::Rewrite;
use super::rule::Rule;
use crate::derive::algebra::change::Change;
use crate::derive::algebra::term::{Term, Time};
use crate::op::NodeId;
use crate::render::Sign;

/// Where a rule was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// An op of the definition was linearised.
    Tangent(NodeId),
    /// An op of the linear graph was transposed.
    Adjoint(NodeId),
    /// A term was rewritten.
    Line(Rewrite),
    /// A term about the reversed recurrence was rewritten; the step is that one turned round.
    Mirrored(Rewrite),
}

/// One use of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub site: Site,
    /// What it was used on.
    pub before: Term,
    /// What came out.
    pub after: Term,
    /// Which part changed, and into what.
    pub change: Change,
}

impl Step {
    /// How the line before compares with the line after; `None` where the rule takes one thing to
    /// another that is not compared with it, as truncation does.
    #[must_use]
    pub const fn relation(&self) -> Option<Relation> {
        match &self.site {
            Site::Line(rewrite) | Site::Mirrored(rewrite) => rewrite.relation(),
            Site::Tangent(_) | Site::Adjoint(_) => Some(Relation::Equal),
        }
    }

    /// The sign between the line before and the line after.
    #[must_use]
    pub fn sign(&self) -> Sign {
        self.relation().map_or(Sign::To, Relation::sign)
    }

    /// A step with the part that it changes.
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

/// The step `t`, at which every line is written.
pub(crate) fn now() -> Option<Time> {
    Some(Time::var('t'))
}

/// The rules of some steps, each once.
pub(crate) fn rules_of(steps: &[Step]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = steps.iter().map(|s| s.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
