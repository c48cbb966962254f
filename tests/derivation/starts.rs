//! Initial states and reads by the loss: a recurrence that is not a plain chain is derived as far as the
//! equations hold.

use crate::support::user::{derived, shown};
use bptt::derive::{Derivation, Quantity, Term, Time, compare};

fn has(derivation: &Derivation, beginning: &str) -> bool {
    let mut lines = derivation.equations.iter();
    lines.any(|line| line.id.to_string().starts_with(beginning))
}

/// The sensitivity to a parameter on which the initial state depends has an additional part.
#[test]
fn a_start_and_a_step_that_share_a_parameter() {
    let shared = derived(
        "
input x, y
param w
state h = w
h' = tanh(w * h + x)
loss (h' - y)^2
",
    );
    assert!(has(&shared, "bridge.recursion") && !has(&shared, "map."));
    let apart = derived(
        "
input x, y
param w, v
state h = v
h' = tanh(w * h + x)
loss (h' - y)^2
",
    );
    assert!(has(&apart, "map.sum.w"));
}

/// The initial value of a backward state is the final value of a forward state.
#[test]
fn a_backward_state_that_starts_from_a_forward_one() {
    let derivation = derived(
        "
input x
param w, v
state f
backward state b = last(f')
f' = tanh(w * f + x)
b' = tanh(v * b + x)
loss b' * f'
",
    );
    assert!(has(&derivation, "jac.f.f") && !has(&derivation, "back.jac"));
}

/// A read of a state by the loss of the next step adds no state to the chain, and no lines are printed for the
/// loss of a single step.
#[test]
fn a_loss_that_reads_the_state_of_another_step() {
    for (state, way, read) in [
        ("state", "jac", "advance"),
        ("backward state", "back.jac", "delay"),
    ] {
        let derivation = derived(&format!(
            "
input x
param w
{state} h
h' = tanh(w * h + x)
loss h' * {read}(h')
"
        ));
        assert!(has(&derivation, way), "{read}");
        for none in ["chunk.", "bridge.step", "back.bridge.step"] {
            assert!(!has(&derivation, none), "{read}: {none}");
        }
        let both = has(&derivation, "jac.h.h") && has(&derivation, "back.jac.h.h");
        assert!(!both, "{read}");
    }
}

/// A further sum beside the sum over steps has a variable of its own.
#[test]
fn a_sum_over_the_steps_beside_a_step() {
    let derivation = derived(
        "
input x
param w
state h
h' = tanh(w * h + x)
loss h' * total_steps(h')
",
    );
    let delta = shown(&derivation, "delta.h");
    assert!(
        delta.contains("∑[s=1..T] hₛ") && !delta.contains("∑[t="),
        "{delta}"
    );
    assert!(!has(&derivation, "bridge.step") && !has(&derivation, "chunk."));
}

/// Scalar factors that are products come before matrices, in whatever order they arise.
#[test]
fn products_that_are_numbers_are_not_between_matrices() {
    let cases = [
        (
            "W[H, H], q[2]",
            "h' = tanh(W @ (sum(q[0:1]) * h + x))",
            "def.a",
            "aₜ = W (q_{1:1} hₜ₋₁ + xₜ)",
        ),
        (
            "W[H, H], p[H]",
            "h' = tanh(W @ (sum(p) * h) + x)",
            "jac.plus.h",
            "d⁺hₜ = (𝟏 − hₜ ⊙ hₜ) ⊙ (𝟏ᵀ p dW hₜ₋₁ + 𝟏ᵀ dp W hₜ₋₁ + dxₜ)",
        ),
        (
            "A[H, H]",
            "h' = tanh(h * (h @ A @ h) + x)",
            "def.a",
            "aₜ = hₜ₋₁ᵀ A hₜ₋₁ hₜ₋₁ + xₜ",
        ),
        (
            "b[H], c",
            "h' = tanh(b * c * sum(h) + x)",
            "jac.h.h",
            "Jₜ = c diag(𝟏 − hₜ ⊙ hₜ) b 𝟏ᵀ",
        ),
    ];
    for (parameters, step, id, line) in cases {
        let derivation = derived(&format!(
            "
dim H
input x[H], y[H]
param {parameters}
state h[H]
{step}
loss squared_error(h', y)
"
        ));
        assert_eq!(shown(&derivation, id), line);
        assert!(has(&derivation, "bridge.double."), "{step}");
    }
}

/// A number times a matrix-valued state: the gradient of the number is an inner product of matrices.
#[test]
fn a_number_times_a_matrix() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param e
state M[H, H]
M' = e * M + outer(x, x)
loss squared_error(M' @ x, y)
",
    );
    assert!(!has(&derivation, "jac."));
    assert_eq!(
        shown(&derivation, "grad.e"),
        "∂L/∂e = ∑[t=1..T] ⟨Mₜ₋₁, δ^Mₜ⟩"
    );
}

/// A sum over the columns of a matrix is a product with ones.
#[test]
fn a_sum_over_columns() {
    let derivation = derived(
        "
dim H, K
input X[H, K], y[H]
param A[H, K]
state h[H]
h' = tanh(h + sum(X * A, columns))
loss squared_error(h', y)
",
    );
    assert_eq!(shown(&derivation, "def.a"), "aₜ = hₜ₋₁ + (Xₜ ⊙ A) 𝟏");
    assert_eq!(shown(&derivation, "jac.h.h"), "Jₜ = diag(𝟏 − hₜ ⊙ hₜ)");
    // The same for a parameter alone: the ones are a row, not a broadcast number.
    let fixed = derived(
        "
dim H, K
input y[H]
param A[H, K]
state h[H]
h' = tanh(h + sum(A, columns))
loss squared_error(h', y)
",
    );
    assert_eq!(shown(&fixed, "grad.A"), "∂L/∂A = (∑[t=1..T] δᵃₜ) 𝟏ᵀ");
}

/// A state that does not depend on its step, beside one that does: its immediate derivative is zero.
#[test]
fn a_state_that_is_only_carried_on() {
    let moving = derived(
        "
input x, y
param w
state h
h' = tanh(w * h + x)
loss (h' - y)^2
",
    );
    let derivation = derived(
        "
input x, y
param b
state s = b, z
s' = s
z' = 0.5 * z + s
loss (z' - y)^2 + x * z'
",
    );
    assert_eq!(shown(&derivation, "jac.plus.s"), "d⁺sₜ = 0");
    assert_eq!(shown(&derivation, "jac.z.z"), "Jᶻᶻₜ = 1/2");
    // A derivative that is not zero is not accepted as zero.
    let run = [moving.instance(1).unwrap()];
    let line = moving.equation("jac.plus.h").unwrap();
    assert!(compare(line, &line.left, &Term::Zero, &run).is_err());
}

/// A loss that reads two states before the step, one of which is a number.
#[test]
fn the_start_of_a_vector_and_a_number() {
    derived(
        "
dim H
input x[H]
param w[H], a
state s[H], q
s' = tanh(w * s + x)
q' = a * q + sum(s)
loss 0.5 * q
",
    );
}

/// A value that does not vary with the step has a line without a range.
#[test]
fn an_error_term_without_a_step_has_no_range() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param a[H, H], b[H, H]
state h[H]
W = tanh(a)
V = W * b
h' = tanh(V @ h + x)
loss squared_error(h', y)
",
    );
    let lines = derivation.equations.iter();
    let fixed = lines.filter(|line| matches!(line.left.symbol(), Some((Quantity::Delta, _, []))));
    let compact = |id: &str| id.starts_with("compact.");
    let mut seen = 0;
    for line in fixed {
        assert!(line.range.vars.is_empty(), "{}", line.id);
        seen += usize::from(compact(&line.id.to_string()));
    }
    assert!(seen > 0);
}

/// An error term sent across an end of the sequence has one indicator, for forward states and, reversed, for
/// backward ones.
#[test]
fn a_loss_that_reads_the_states_before_the_step() {
    let both = derived(
        "
dim H, K
input x[K], y[H]
param A[H, H], B[H, H], V[H, K], c[H]
state h[H]
backward state g[H]
h' = tanh(A @ h + V @ x)
g' = tanh(B @ g + V @ x + c)
loss 0.5 * sum((g - y)^2) + 0.5 * sum((h - y)^2)
",
    );
    for (id, expected) in [
        ("delta.h", "δʰₜ = [t < T] (hₜ − yₜ₊₁) + Aᵀ δᵃₜ₊₁"),
        (
            "bridge.recursion",
            "δʰₜ = [t < T] (hₜ − yₜ₊₁) + Jₜ₊₁ᵀ δʰₜ₊₁",
        ),
        (
            "back.bridge.recursion",
            "δᵍₜ = [1 < t] (gₜ − yₜ₋₁) + J̃ₜ₋₁ᵀ δᵍₜ₋₁",
        ),
        (
            "bridge.closed",
            "δʰₖ = ∑[t=k..T] [t < T] (∂hₜ/∂hₖ)ᵀ (hₜ − yₜ₊₁)",
        ),
        (
            "back.bridge.closed",
            "δᵍₖ = ∑[t=1..k] [1 < t] (∂gₜ/∂gₖ)ᵀ (gₜ − yₜ₋₁)",
        ),
        ("back.let.M", "M̃ ≔ max_{1≤t≤T} ‖[1 < t] (gₜ − yₜ₋₁)‖"),
    ] {
        assert_eq!(shown(&both, id), expected);
    }
    assert!(has(&both, "bound.delta.all") && has(&both, "back.bound.delta.all"));
}

/// All error terms sent by the loss are bounded, with any factor and sign, by the norm whose maximum is `M`.
#[test]
fn what_the_loss_sends_is_bounded_as_a_whole() {
    for (loss, sent) in [
        ("loss (h' - y)^2", "|2 (hₜ − yₜ)|"),
        ("loss -y * h'", "|yₜ|"),
        ("final loss -(h')^2", "|2 [t = T] hₜ|"),
        ("loss (h - y)^2", "|2 [t < T] (hₜ − yₜ₊₁)|"),
        ("loss h' * advance(h')", "|hₜ₊₁ + [1 < t] hₜ₋₁|"),
    ] {
        let source = format!("input x, y\nparam w\nstate h\nh' = tanh(w * h + x)\n{loss}\n");
        let derivation = derived(&source);
        let bound = format!("|δʰₖ| ≤ ∑[t=k..T] {sent} qᵗ⁻ᵏ");
        assert_eq!(shown(&derivation, "bound.delta"), bound);
        let most = format!("M ≔ max_{{1≤t≤T}} {sent}");
        assert_eq!(shown(&derivation, "let.M"), most);
        assert!(has(&derivation, "bound.delta.all"), "{loss}");
    }
}

/// A loss reads steps on both sides, and delays with initial value zero beside a state with another; error
/// terms are sent to the steps that were read, and to no others.
#[test]
fn a_loss_that_reads_far_from_its_step() {
    let start = |start: &str, loss: &str| {
        derived(&format!(
            "input x, y\nparam w, v\nstate h{start}\nh' = tanh(w * h + v * x)\nloss {loss}\n"
        ))
    };
    for (loss, sent) in [
        (
            "(advance(h') - y) * delay(h')",
            "[1 < t] hₜ₋₂ + [t < T] (hₜ₊₂ − yₜ₊₁)",
        ),
        ("h' * delay(delay(h'))", "hₜ₋₂ + [t + 1 < T] hₜ₊₂"),
        (
            "delay(h') * delay(delay(h'))",
            "[t < T] ([t + 1 < T] hₜ₊₁ + hₜ₋₁)",
        ),
    ] {
        let line = shown(&start("", loss), "delta.h");
        assert_eq!(line, format!("δʰₜ = w δᵃₜ₊₁ + {sent}"));
    }
    for (loss, read, sent) in [
        (
            "advance(h') * delay(h')",
            "hₜ₊₁ [1 < t] hₜ₋₁",
            "[t < T] hₜ₊₂ + [1 < t − 1] hₜ₋₂",
        ),
        (
            "(delay(delay(h')) - y)^2",
            "([1 < t − 1] hₜ₋₂ − yₜ)²",
            "2 [t + 1 < T] (hₜ − yₜ₊₂)",
        ),
        (
            "delay(h') * delay(delay(h'))",
            "[1 < t] hₜ₋₁ [1 < t − 1] hₜ₋₂",
            "[t < T] ([t + 1 < T] hₜ₊₁ + [1 < t] hₜ₋₁)",
        ),
    ] {
        let derivation = start(" = v", loss);
        assert_eq!(shown(&derivation, "def.loss.t"), format!("Lₜ = {read}"));
        let line = shown(&derivation, "delta.h");
        assert_eq!(line, format!("δʰₜ = w δᵃₜ₊₁ + {sent}"));
    }
}

/// A delay of a backward state belongs to the loss, not to a forward chain, and a loss of the last step reaches
/// such a state only there.
#[test]
fn losses_of_states_that_are_carried_backwards() {
    let of = |loss: &str| {
        derived(&format!(
            "input x, y\nparam w, v\nbackward state h = v\nh' = tanh(w * h + x)\n{loss}\n"
        ))
    };
    for loss in [
        "loss (delay(delay(h')) * h' - y)^2",
        "loss (delay(h') - delay(delay(h'))) * h'",
    ] {
        let derivation = of(loss);
        assert!(!has(&derivation, "jac.") && has(&derivation, "back.jac.product"));
        assert!(has(&derivation, "back.bridge.double.w"), "{loss}");
    }
    let last = of("final loss (h' - 1)^2");
    assert_eq!(
        shown(&last, "back.bridge.pairing"),
        "⟨δʰₜ, dhₜ⟩ = ⟨δʰₜ₊₁ − 2 [t + 1 = T] (hₜ₊₁ − 1), dhₜ₊₁⟩ + ⟨δʰₜ, d⁺hₜ⟩"
    );
}

/// The gradient of the initial values of several states is sent by the first step, also for a mean loss.
#[test]
fn the_start_of_several_states_under_a_mean() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param W[H, H], U[H, H], v[H]
state h[H]
state s[H] = tanh(v)
h' = tanh(W @ h + W @ s)
s' = tanh(W @ s + U @ h + x)
mean loss 0.5 * sum((s' + s - y)^2)
",
    );
    assert_eq!(
        shown(&derivation, "costate.start"),
        "[∂L/∂h₀; ∂L/∂s₀] = [0; 1/T (s₁ + s₀ − y₁)] + J₁ᵀ [λʰ₁; λˢ₁]"
    );
}

/// The tolerance of a line covers the rounding of terms that cancel, and no more.
#[test]
fn what_cancels_is_rounded_and_not_wrong() {
    let derivation =
        derived("input x, y\nparam w\nstate h\nh' = tanh(w * h + x)\nloss (h' - y)^2\n");
    let line = derivation.equation("delta.h").unwrap();
    let runs = [derivation.instance(1).unwrap()];
    let x = || Quantity::Value.of([&"x".into()], [Time::var('t')]);
    let apart = |by: f64| {
        let almost = Term::Mul(vec![Term::Num(1.0 - by), x()]);
        let left = Term::Add(vec![x(), Term::Neg(Box::new(almost))]);
        compare(line, &left, &Term::Zero, &runs)
    };
    assert!(apart(1e-15).is_ok());
    assert!(apart(1e-13).is_err());
}

/// Combinations of steps beyond the ends, ones and numbers.
#[test]
fn what_comes_together_at_the_ends() {
    let scalar = "input x, y\nparam w, v\nstate h = v\nh' = tanh(w * h + v * x)\n";
    let twice = derived(&format!("{scalar}loss (delay(delay(h')) - y)^2\n"));
    assert!(!shown(&twice, "last.h").contains("T + 1 < T"));
    derived(&format!("{scalar}loss delay(delay(h')) / (2 + h'^2)\n"));
    let states = "input x, y\nparam w, v\nstate h = 0.5\nstate s = 0.5\nh' = 0.5 * h + tanh(s * s)\n\
                  s' = tanh(2 * s + w * x)\n";
    let far = derived(&format!(
        "{states}loss (advance(s') - delay(delay(s'))) * y + h'\n"
    ));
    assert!(has(&far, "costate.closed") && !has(&far, "costate.start"));
    let stack = derived(
        "
dim H
input x[H], y
param A[H, H]
state l[H]
m = A @ softmax(l)
l' = m - logsumexp(m) + log_softmax(x)
loss (logsumexp(l') - y)^2
",
    );
    assert!(has(&stack, "bridge.double.A"));
}

/// A value that the step reads at one fixed step belongs to no chain, and a value that both chains carry has no state
/// Jacobian. Delays that nothing reads change no line.
#[test]
fn chains_that_are_not_closed() {
    let both = derived(
        "
dim H
input x[H]
param W[H, H], v[H]
backward state b[H] = tanh(v)
state f[H]
b' = sigmoid(x - W @ b)
f' = tanh(W @ f + delay(delay(b')))
loss sum(f' * x)
",
    );
    assert!(!has(&both, "jac."));
    let start = derived(
        "
dim H
input x[H]
param w
backward state r = 0.5
backward state b[H] = 0.1
r' = 0.5 * r + tanh(w * r * r)
b' = 0.5 * b + 0.5 * tanh(w * b * delay(x))
loss r * sum(b' * x)
",
    );
    assert!(has(&start, "back.jac"));
    let spread = derived(
        "
dim H
input x, y[H], c: class(H)
param u[H], w
state h
h' = tanh(w * h + sum(spread(h, [H]) * y) + gather(sum(outer(u / (u * u + 0.5), y), columns), c))
a = spread(x, [H])
loss sum((a - spread(h', [H]))^2)
",
    );
    assert_eq!(shown(&spread, "def.a"), "aₜ = xₜ 𝟏");
}
