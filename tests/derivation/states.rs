//! States of kinds that no cell has: numbers beside vectors, matrices, and states read only by the loss of
//! another step. Every printed line holds.

use crate::support::lines::all_hold;
use crate::support::sources::PAIR;
use bptt::Recurrence;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{Derivation, Quantity, Term, Time};

/// A vector scaled by a scalar state, and a scalar that is a quotient.
const MIXED: &str = "
dim H
input x[H], y[H], r
param A[H, H], w[H]
state h[H], s
h' = tanh(s * (A @ h) + x)
s' = (s + sum(w * h')) / (1 + r^2)
loss 0.5 * sum((h' - y)^2) + 0.5 * (s' - r)^2
";

/// A vector multiplied by a negative scalar.
const TURNED: &str = "
dim H
input x[H], y[H]
param a
state h[H]
h' = x - a * h
loss 0.5 * sum((h' - y)^2)
";

fn derived(source: &str) -> Derivation {
    Recurrence::parse("m", source).unwrap().derive().unwrap()
}

#[test]
fn every_line_holds() {
    for source in [PAIR, MIXED, TURNED] {
        all_hold(&mut derived(source), 2);
    }
    for id in ["costate.start", "two.h", "many.h"] {
        assert!(derived(PAIR).equation(id).is_some(), "{id}");
    }
    for id in ["jac.h.s", "jac.s.s", "within.s.h"] {
        assert!(derived(MIXED).equation(id).is_some(), "{id}");
    }
}

/// A loss that reads the state of one or two steps before, and a matrix-valued state: lines about a state are
/// printed only if they hold.
#[test]
fn losses_that_read_other_steps() {
    let steps = [
        "h' = tanh(A @ h + x)\nloss 0.5 * sum((h - y)^2)",
        "h' = tanh(A @ h + x)\nloss 0.5 * sum((delay(h) - y)^2)",
        "h' = tanh(A @ h + x)\nloss 0.5 * sum((h' - A @ h)^2)",
        "h' = tanh(A @ h + x)\no = A @ h'\nloss 0.5 * sum((o - delay(o))^2)",
        "h' = tanh(A @ h + B @ delay(h) + x)\nloss 0.5 * sum((h - y)^2)",
    ];
    let two = [
        "loss 0.5 * sum((s - y)^2)",
        "loss 0.5 * sum((s' - h)^2)",
        "loss 0.5 * sum((h - y)^2) + 0.5 * sum((s' - delay(s))^2)",
    ];
    let head = "dim H\ninput x[H], y[H]\nparam A[H, H], B[H, H]\nstate h[H]";
    let both = "h' = tanh(A @ h + B @ s + x)\ns' = tanh(B @ h' + A @ s)";
    let one = steps.iter().map(|rest| format!("{head}\n{rest}\n"));
    let two = two
        .iter()
        .map(|loss| format!("{head}, s[H]\n{both}\n{loss}\n"));
    let matrix = "
dim H
input x[H], y[H]
param A[H, H]
state M[H, H]
M' = tanh(A @ M + M)
loss 0.5 * sum((M' @ x - y)^2)
";
    for source in one.chain(two).chain([matrix.into()]) {
        all_hold(&mut derived(&source), 2);
    }
}

/// A bound is stated under its condition, and need not hold otherwise: with two lags and `ρ = 4`, a derivative
/// grows faster than `ρ` in two steps.
#[test]
fn bounds_have_conditions() {
    let source = "
input x, y
param w
state h
h' = 2 * h + 2 * delay(h) + w * x
loss 0.5 * (h' - y)^2
";
    let mut growing = derived(source);
    let checks = growing.check(2).unwrap();
    assert_eq!(checks.failed, 0);
    assert!(growing.equation("bound.lags").is_some());

    let rnn = Cell::rnn().start(Start::Parameter);
    let rnn = rnn
        .model("m", Loss::SquaredError)
        .unwrap()
        .derive()
        .unwrap();
    let given = rnn.equation("bound.state").unwrap().given.as_ref().unwrap();
    let start = Quantity::Value.of([&"h".into()], [Time::at(0)]);
    assert_eq!(given.left, Term::MaxNorm(Box::new(start)));
    assert_eq!((given.strict, &given.right), (false, &Term::Num(1.0)));
}
