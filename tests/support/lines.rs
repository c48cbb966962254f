//! The check of all lines of a derivation.

use bptt::derive::{Check, Derivation, TOLERANCE};
use bptt::render::Charset;

/// Checks a derivation on some runs: every line holds or is a definition.
pub(crate) fn all_hold(derivation: &mut Derivation, runs: u64) {
    let checks = derivation.check(runs).unwrap();
    for equation in &derivation.equations {
        let line = derivation.formula(equation).text(Charset::Unicode);
        let holds = matches!(
            equation.check,
            Check::Passed { .. } | Check::Bound { .. } | Check::Definition
        );
        assert!(
            holds,
            "{}: {}: {line}: {:?}",
            derivation.name(),
            equation.id,
            equation.check
        );
    }
    assert_eq!(
        (checks.failed, checks.unchecked),
        (0, 0),
        "{}",
        derivation.name()
    );
    assert!(
        checks.worst <= TOLERANCE,
        "{}: {checks:?}",
        derivation.name()
    );
}
