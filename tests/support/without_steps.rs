//! The lines of a derivation that have rules and premises, but no steps.

use bptt::derive::{Equation, Line, Quantity, Term};

/// Returns true if a line is read from the graph as a whole, or belongs to the theorem.
pub(crate) fn is_expected(line: &Equation) -> bool {
    // A differential that equals another one, or that of a constant, uses no rule.
    let is_one = |term: &Term| term.is(Quantity::D) || matches!(term, Term::Inner(..) | Term::Zero);
    match line.id.forward() {
        Line::Delta(_) | Line::Gradient(_) | Line::StartGradient(_) | Line::Master => true,
        Line::LossAdjoint | Line::StepLossAdjoint => true,
        Line::Adjoint(_) => is_one(&line.right),
        // A differential that does not vary with the step has no step variable.
        Line::Differential(_) => is_one(&line.right) || line.range.vars.is_empty(),
        _ => false,
    }
}
