//! What every line of a derivation has to pass.

use bptt::derive::{Check, Derivation};

/// Checks a derivation: every line holds or introduces a letter.
pub(crate) fn all_hold(derivation: &mut Derivation) {
    let checks = derivation.check(2).unwrap();
    for line in &derivation.equations {
        let holds = matches!(
            line.check,
            Check::Passed { .. } | Check::Bound { .. } | Check::Definition
        );
        assert!(
            holds,
            "{}: {}: {:?}",
            derivation.name(),
            line.id,
            line.check
        );
    }
    assert_eq!(
        (checks.failed, checks.unchecked),
        (0, 0),
        "{}",
        derivation.name()
    );
}
