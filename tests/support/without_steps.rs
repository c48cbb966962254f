//! The lines of a derivation that have rules and premises, and no steps.

use bptt::derive::{Derivation, Equation, Term};

/// Whether a line is of one of these kinds.
pub(crate) fn is_expected(derivation: &Derivation, line: &Equation) -> bool {
    is_read_off_the_graph(line)
        || is_of_several_lags(derivation, line)
        || has_a_number_that_varies(derivation, line)
}

/// The kinds of lines that are read off the engine's graph as a whole, or are the theorem.
fn is_read_off_the_graph(line: &Equation) -> bool {
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

/// The lines of a state in companion form that are written as they follow from others.
fn is_of_several_lags(derivation: &Derivation, line: &Equation) -> bool {
    let id = line.id.strip_prefix("back.").unwrap_or(&line.id);
    // One step away is no lag, in whichever direction.
    let is_lag = |t: &Term| match t {
        Term::Direct(_, at, _, from) => (at.offset - from.offset).abs() > 1,
        _ => false,
    };
    let delayed = derivation.equations.iter().any(|e| e.left.any(&is_lag));
    let kinds = ["jac", "within", "total", "costate"];
    let kind = id.split('.').next().unwrap_or_default();
    let bounds = [
        "bridge.closed",
        "bound.lags",
        "bound.delta",
        "bound.delta.all",
    ];
    delayed && (kinds.contains(&kind) && id != "jac.product" || bounds.contains(&id))
}

/// A number that depends on the state and multiplies a vector, as the mass does in the leapfrog: no rule
/// takes the differential out of it, and the block is a sum over paths.
fn has_a_number_that_varies(derivation: &Derivation, line: &Equation) -> bool {
    derivation.name() == "leapfrog"
        && ["jac.q.q", "jac.p.q", "jac.p.p", "within.p.q"].contains(&&*line.id)
}
