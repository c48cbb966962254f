//! Derivations and certificates do not depend on names, including names used by the notation.

use std::collections::HashSet;

use crate::support::instance;
use crate::support::library::parse;
use crate::support::names::{MapNames, Names, PLAIN, cases, names, text};
use bptt::Recurrence;
use bptt::check::Check;
use bptt::derive::{self, Derivation};
use proptest::prelude::*;

/// A recurrence with a short derivation, with a name in every place.
fn short(names: &Names) -> String {
    let [w, b, c, x, _, z0, s, k, q, r, _, h] = PLAIN.map_names(names);
    format!(
        "dim {h}\nparam {w}[{h}, {h}], {b}[{h}], {c}\ninput {x}[{h}]\nsample input {z0}[{h}]\n\
         state {s}[{h}] = {z0}, {k}\n{q} = {w} @ {s} + {b} * {x}\n{s}' = sigmoid({q})\n\
         {r} = sum({s}') / {h}\n{k}' = {c} * {k} + {r}\nloss {k}'^2 * {c}\n"
    )
}

/// The lines that failed their check.
fn wrong_lines(derivation: &Derivation) -> Vec<String> {
    let lines = derivation.equations.iter();
    let wrong = lines.filter_map(|e| match &e.check {
        derive::Check::Failed { reason } => Some(format!("{}: {reason}", e.id)),
        _ => None,
    });
    wrong.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_certificate_and_a_derivation_do_not_depend_on_names(names in names()) {
        let recurrence = parse("names", &text(&names));
        let (params, batch) = instance(&recurrence, &[(&names["H"], 2)], &[3, 3], 5);
        let certificate = Check::new(&recurrence).run(&params, &batch).unwrap();
        prop_assert!(certificate.passed(), "{certificate}");
        let mut derivation = recurrence.derive().unwrap();
        let checks = derivation.check(1).unwrap();
        let wrong = wrong_lines(&derivation);
        prop_assert!(checks.failed == 0 && checks.passed > 20, "{names:?} {checks:?} {wrong:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(16), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_short_derivation_does_not_depend_on_names(names in names()) {
        let text = short(&names);
        let mut derivation = parse("short", &text).derive().unwrap();
        let checks = derivation.check(1).unwrap();
        let wrong = wrong_lines(&derivation);
        prop_assert!(checks.failed == 0 && checks.passed > 20, "{text}{checks:?} {wrong:#?}");
    }
}

/// Names that look like other notation in print.
#[test]
fn a_derivation_tells_names_apart() {
    for source in [
        "param sigma, W\ninput x\nstate σ\nσ' = sigmoid(sigma * σ + W * x)\nloss σ'^2\n",
        "param _, __, _1\ninput x, _x\nstate ___\n___' = tanh(_ * ___ + __ * x)\nloss _1 * _x * ___'\n",
        "param δ_1, delta_1\ninput x\nstate delta\ndelta' = tanh(δ_1 * delta + delta_1 * x)\nloss delta'^2\n",
        "param a\nsample input s0\ninput x\nstate h = s0, s\nh' = tanh(a * h + s)\ns' = a * s + x\nloss h' * s'\n",
        "param a_b_, x1\ninput x_1\nstate a_b\na_b' = tanh(a_b_ * a_b + x1 * x_1)\nloss a_b'^2\n",
        "param v₁, v_1\ninput v\nstate h\nh' = tanh(v₁ * h + v_1 * v)\nloss h'^2\n",
        "param T, N, M, length\ninput x\nstate h\nh' = tanh(T * h + N * x)\nmean loss M * length * h'^2\n",
        "param T, N, M\ninput x\nstate h\nh' = tanh(T * h + N * x)\nmean loss M * h'^2\n",
        "param W_o, W_s, W_tau\ninput x\nstate W\nW' = tanh(W_o * W + W_s * x)\nloss W_tau * W'^2\n",
        "dim Phi\nparam Φ\ninput x[Phi]\nstate s\ns' = Φ * s + sum(x) / Phi\nloss Φ * s'^2\n",
        "dim Φ\nparam Phi\ninput x[Φ]\nstate s\ns' = Phi * s + sum(x) / Φ\nloss Phi * s'^2\n",
        "param t, k, j\ninput x\nstate s, tau\ns' = tanh(t * s + k * tau)\ntau' = s + x\nloss j * s'^2\n",
    ] {
        let mut derivation = parse("look", source).derive().unwrap();
        let checks = derivation.check(1).unwrap();
        let wrong = wrong_lines(&derivation);
        assert!(
            checks.failed == 0 && checks.passed > 10,
            "{source}{wrong:#?}"
        );
    }
}

/// Words of the ids of lines as names: of a parameter, of a state and of a value.
#[test]
fn ids_are_unique_whatever_the_names() {
    for word in [
        "closed", "delta", "double", "next", "norm", "pairing", "plus", "start", "sum",
    ] {
        for (w, h, a) in [(word, "h", "a"), ("W", word, "a"), ("W", "h", word)] {
            let sizes = format!("dim H\ninput x[H], y[H]\nparam {w}[H, H]\nstate {h}[H]\n");
            let loss = format!("{a} = {w} @ {h} + x\nloss 0.5 * sum(({h}' - y)^2)\n");
            let two = format!("state c[H]\nc' = sigmoid({a}) * c + x\n{h}' = tanh({a}) * c'\n");
            for step in [two, format!("{h}' = tanh({a})\n")] {
                let source = format!("{sizes}{loss}{step}");
                let derivation = Recurrence::parse("names", &source)
                    .unwrap()
                    .derive()
                    .unwrap();
                let ids = derivation.equations.iter().map(|e| e.id.to_string());
                let distinct: HashSet<String> = ids.collect();
                assert_eq!(distinct.len(), derivation.equations.len(), "{source}");
            }
        }
    }
}
