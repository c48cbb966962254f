//! Recurrences that users write, derived, with what is asked of each.

use bptt::Recurrence;
use bptt::derive::Derivation;
use bptt::render::Charset;

use super::lines;

/// A derivation of which every line holds and every step is replayed.
pub(crate) fn derived(source: &str) -> Derivation {
    let mut derivation = Recurrence::parse("user", source).unwrap().derive().unwrap();
    lines::all_hold(&mut derivation, 2);
    for line in &derivation.equations {
        for step in &line.steps {
            let again = derivation.replay(step);
            assert!(again.is_ok(), "{}: {step:?}: {again:?}", line.id);
        }
    }
    derivation
}

/// A line as text.
pub(crate) fn shown(derivation: &Derivation, id: &str) -> String {
    let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
    derivation.formula(line).text(Charset::Unicode)
}
