//! The lines of a derivation that have rules and premises, and no steps.

use bptt::derive::{Equation, Term};

/// Whether a line is read off the engine's graph as a whole, or is the theorem.
pub(crate) fn is_expected(line: &Equation) -> bool {
    let id = line.id.strip_prefix("back.").unwrap_or(&line.id);
    let kind = id.split('.').next().unwrap_or_default();
    // A differential that is another by itself, or that of a constant, takes no rule.
    let is_one = |term: &Term| matches!(term, Term::D(..) | Term::Inner(..) | Term::Zero);
    match kind {
        "delta" | "grad" | "master" => true,
        "adj" => id.starts_with("adj.loss") || is_one(&line.right),
        // A differential that does not vary with the step has no step to be written at.
        "d" => is_one(&line.right) || line.range.vars.is_empty(),
        _ => false,
    }
}
