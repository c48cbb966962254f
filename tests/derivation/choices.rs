//! A choice between two values, as in resets and masks, is written with indicator brackets, 1 or 0. The lines
//! remain products, so they have Jacobians and bounds.

use crate::support::lines::all_hold;
use bptt::Recurrence;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{Check, Derivation, Part, compare};
use bptt::render::{Charset, Dialect};

/// Conditions: a number at each step, an entry, and a number that depends on the state.
const CHOICES: [&str; 3] = [
    "
dim H, K
input x[K], y[H], m
param A[H, H], W[H, K], b[H]
state h[H]
a = A @ h + W @ x + b
h' = select(m, tanh(a), h)
loss 0.5 * sum((h' - y)^2)
",
    "
dim H
input x[H], y[H]
param A[H, H], s
state h[H]
a = A @ h + x
h' = select(less(0, a), a, s * a)
loss 0.5 * sum((h' - y)^2)
",
    "
dim H
input x[H], y[H]
param A[H, H], B[H, H], c[H]
state h[H]
e = dot(c, h)
h' = tanh(select(e, A @ h, B @ h) + x)
loss 0.5 * sum((h' - y)^2)
",
];

fn shown(derivation: &Derivation, id: &str) -> String {
    let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
    derivation.formula(line).text(Charset::Unicode)
}

#[test]
fn a_choice_has_a_jacobian() {
    let jacobians = [
        "Jₜ = [mₜ ≠ 0] diag(𝟏 − m⁽²⁾ₜ ⊙ m⁽²⁾ₜ) A + [mₜ = 0] 𝐈",
        "Jₜ = diag([0 < aₜ]) A + s diag(𝟏 − [0 < aₜ]) A",
        "Jₜ = [eₜ ≠ 0] diag(𝟏 − hₜ ⊙ hₜ) A + [eₜ = 0] diag(𝟏 − hₜ ⊙ hₜ) B",
    ];
    for (source, jacobian) in CHOICES.iter().zip(jacobians) {
        let mut derivation = Recurrence::parse("choice", source)
            .unwrap()
            .derive()
            .unwrap();
        all_hold(&mut derivation, 2);
        assert_eq!(shown(&derivation, "jac.h.h"), jacobian);
        for line in &derivation.equations {
            for step in &line.steps {
                derivation.replay(step).unwrap();
            }
        }
        assert!(derivation.equation("bound.product").is_some());
    }
}

#[test]
fn a_recurrence_with_resets_is_derived_in_full() {
    for (cell, id) in [
        (Cell::rnn(), "bridge.closed"),
        (Cell::lstm(), "costate.closed"),
    ] {
        let model = cell
            .start(Start::Parameter)
            .model("m", Loss::SquaredError)
            .unwrap();
        let plain = model.derive().unwrap();
        let mut derivation = model.with_resets("begins").unwrap().derive().unwrap();
        all_hold(&mut derivation, 2);
        assert!(derivation.equation(id).is_some(), "there is no {id}");
        // All parts of the derivation remain except the carousel, which a reset interrupts.
        for part in Part::ALL.iter().filter(|p| **p != Part::Carousel) {
            let has = |d: &Derivation| d.equations.iter().any(|e| e.part == *part);
            assert!(!has(&plain) || has(&derivation), "{part:?} is gone");
        }
    }
    let rnn = Cell::rnn().model("m", Loss::SquaredError).unwrap();
    let rnn = rnn.with_resets("begins").unwrap().derive().unwrap();
    // At the start of a sequence, the Jacobian is zero and no error term is sent back.
    let by_hand = [
        (
            "jac.h.h",
            r"\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})W_{\mathrm{H}}[\mathit{begins}_{t}=0]",
        ),
        (
            "delta.h",
            r"W_{\mathrm{O}}^{\top}\delta^{o}_{t}+[\mathit{begins}_{t+1}=0]W_{\mathrm{H}}^{\top}\delta^{a}_{t+1}",
        ),
    ];
    let runs: Vec<_> = (0..3).map(|seed| rnn.instance(seed).unwrap()).collect();
    for (id, latex) in by_hand {
        let line = rnn.equation(id).unwrap();
        let right = rnn.lexicon().parse(latex).unwrap();
        let found = compare(line, &line.left, &right, &runs);
        assert!(matches!(found, Ok(Check::Passed { .. })), "{id}: {found:?}");
        // Without the bracket, the line is false.
        let without = latex
            .replace(r"[\mathit{begins}_{t}=0]", "")
            .replace(r"[\mathit{begins}_{t+1}=0]", "");
        let right = rnn.lexicon().parse(&without).unwrap();
        assert!(compare(line, &line.left, &right, &runs).is_err(), "{id}");
    }
}

#[test]
fn a_bracket_is_read_back() {
    let derivation = Recurrence::parse("choice", CHOICES[0])
        .unwrap()
        .derive()
        .unwrap();
    let lexicon = derivation.lexicon();
    let line = derivation.equation("def.h").unwrap();
    let latex = derivation.sides(line).1.latex(Dialect::Plain);
    assert!(
        latex.contains(r"[m_{t}\ne 0]") && latex.contains("[m_{t}=0]"),
        "{latex}"
    );
    assert_eq!(lexicon.parse(&latex).unwrap(), line.right);
    assert!(lexicon.parse(r"[m_{t}=1]").is_err());
    assert!(lexicon.parse(r"[m_{t}\le 0]").is_err());
}

const STEP: &str = "
dim H, K
input x[K], y[H]
param A[H, H], W[H, K], b[H]
state h[H]
h' = tanh(A @ h + W @ x + b)
e = 0.5 * sum((h' - y)^2)
";

/// A value of a whole sequence within a row becomes a value that is carried through the sequence.
#[test]
fn whole_sequence_values_of_packed_sequences_are_derived() {
    for ending in [
        "final loss e",
        "mean final loss e",
        "mean loss e",
        "loss e * last(e)",
        "loss e * first(e)",
        "loss total_steps(e)^2",
        "loss e + dot(b, b)",
        "backward state k[H] = last(h')\nk' = tanh(A @ k + W @ x)\nloss e + dot(k', y)",
    ] {
        let plain = Recurrence::parse("packed", &format!("{STEP}{ending}\n")).unwrap();
        let packed = plain.with_resets("begins").unwrap();
        all_hold(&mut packed.derive().unwrap(), 1);
    }
}

/// The line of the loss shows the range of its sum.
#[test]
fn a_loss_is_written_as_it_is_summed() {
    for (ending, expected) in [
        ("loss dot(b, b)", "L = bᵀ b"),
        ("final loss dot(b, b)", "L = bᵀ b"),
        ("mean final loss dot(b, b)", "L = bᵀ b"),
        ("loss e", "L = ∑[t=1..T] Lₜ"),
        ("final loss e", "L = e_T"),
        ("final loss dot(b, z)", "L = bᵀ z"),
        ("loss e\nfinal loss dot(b, b)", "L = ∑[t=1..T] eₜ + bᵀ b"),
    ] {
        let text = format!("{STEP}sample input z[H]\n{ending}\n");
        let mut derivation = Recurrence::parse("loss", &text).unwrap().derive().unwrap();
        all_hold(&mut derivation, 1);
        assert_eq!(shown(&derivation, "def.loss"), expected, "{ending}");
    }
}
