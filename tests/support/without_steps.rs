//! The lines of a derivation that have rules and premises, but no steps.

use bptt::derive::{Equation, Term};

/// Returns true if a line is read from the graph as a whole, or belongs to the theorem.
pub(crate) fn is_expected(line: &Equation) -> bool {
    let id = line.id.strip_prefix("back.").unwrap_or(&line.id);
    let kind = id.split('.').next().unwrap_or_default();
    // A differential that equals another one, or that of a constant, uses no rule.
    let is_one = |term: &Term| matches!(term, Term::D(..) | Term::Inner(..) | Term::Zero);
    match kind {
        "delta" | "grad" | "master" => true,
        "adj" => id.starts_with("adj.loss") || is_one(&line.right),
        // A differential that does not vary with the step has no step variable.
        "d" => is_one(&line.right) || line.range.vars.is_empty(),
        _ => false,
    }
}
