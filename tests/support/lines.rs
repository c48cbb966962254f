//! The check of all lines of a derivation.

use bptt::derive::{Check, Derivation, TOLERANCE};
use bptt::render::Charset;

/// Checks a derivation on some runs: every line holds or is a definition.
pub(crate) fn all_hold(derivation: &mut Derivation, runs: u64) {
    all_hold_but(derivation, runs, &[]);
}

/// The same with lines that are not checked, since no random run meets their conditions.
pub(crate) fn all_hold_but(derivation: &mut Derivation, runs: u64, unmet: &[&str]) {
    let checks = derivation.check(runs).unwrap();
    for equation in &derivation.equations {
        if unmet.contains(&&*equation.id.to_string()) {
            let is_open = matches!(equation.check, Check::NotCheckable { .. });
            assert!(is_open, "{}: {}", derivation.name(), equation.id);
            continue;
        }
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
        (0, unmet.len()),
        "{}",
        derivation.name()
    );
    assert!(
        checks.worst <= TOLERANCE,
        "{}: {checks:?}",
        derivation.name()
    );
}
