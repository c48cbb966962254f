//! Derivations of recurrences that users write, with the checks that apply to each.

use bptt::Recurrence;
use bptt::derive::Derivation;
use bptt::render::Charset;

use super::lines;

/// A derivation, after checking that every line holds and every step can be replayed.
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

/// The text of a line.
pub(crate) fn shown(derivation: &Derivation, id: &str) -> String {
    let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
    derivation.formula(line).text(Charset::Unicode)
}
