//! Small recurrences, one for each way in which a line of a random recurrence was false.

use bptt::Recurrence;
use bptt::derive::{Check, Derivation};
use bptt::render::Charset;

/// A derivation without a false line.
fn derived(source: &str) -> Derivation {
    let recurrence = Recurrence::parse("small", source).unwrap();
    let mut derivation = recurrence.derive().unwrap();
    derivation.check(2).unwrap();
    for line in &derivation.equations {
        let failed = matches!(line.check, Check::Failed { .. });
        assert!(!failed, "{}: {:?}\n{recurrence}", line.id, line.check);
    }
    derivation
}

fn shown(derivation: &Derivation, id: &str) -> String {
    let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
    derivation.formula(line).text(Charset::Unicode)
}

#[test]
fn the_adjoint_of_an_impulse_holds_at_every_step() {
    let derivation =
        derived("sample input z\ninput y\nparam w\nu = impulse_first(z) * w\nloss (u - y)^2\n");
    let line = shown(&derivation, "adj.u");
    assert!(line.contains("[t = 1]"), "{line}");
    // Two impulses: the cotangent of `z` is the sum of both, so there is no line.
    let both = derived(
        "sample input z\ninput x, y\nparam w\nu = impulse_first(z) + impulse_last(z) + w * x\n\
         loss (u - y)^2\n",
    );
    assert!(both.equation("adj.u").is_none() && both.equation("d.u").is_some());
}

#[test]
fn what_an_initial_value_and_the_loss_share_has_no_adjoint_line() {
    let derivation = derived(
        "
dim H, C
input x[H], y[H]
sample input c: class(C)
param E[C, H]
backward state h[H] = tanh(gather(E, c))
h' = sigmoid(h + x)
loss sum(h' * y)
final loss sum(gather(E, c))
",
    );
    assert!(derivation.equation("adj.loss").is_none());
}

#[test]
fn a_matrix_of_ones_is_not_a_vector_of_ones() {
    let derivation = derived(
        "
dim H, K
input x[H], y
param W[H, K], v[K]
state h[H]
h' = tanh(h + x + W @ v)
loss (sum(outer(h', v)) - y)^2
",
    );
    let line = shown(&derivation, "grad.v");
    assert!(line.contains("𝟏ᵀ"), "{line}");
    // A row of ones times a column of ones is their number.
    derived(
        "
dim H, K
input x[H], y[H]
param w[H]
state h[H]
h' = tanh(w * h + x)
loss dot(repeat(h', columns, K), repeat(y, columns, K))
",
    );
}

#[test]
fn a_quotient_of_vectors_is_not_a_quotient_of_numbers() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param w[H]
state h[H]
h' = tanh(w * h + x)
loss 0.2 * dot(x, y / (h' * h' + 0.5))
",
    );
    let line = shown(&derivation, "def.loss.t");
    assert!(line.contains("yₜ/(hₜ ⊙ hₜ"), "{line}");
}

#[test]
fn the_derivative_of_a_number_by_itself_has_one_entry() {
    // `abs` is known as a function of vectors.
    derived(
        "
dim H
input x, y[H]
param w, v[H]
state h
h' = tanh(w * h + x)
loss sum(abs(h' * v - y))
",
    );
}

#[test]
fn a_function_of_zero_has_the_size_of_its_argument() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param w, v[H]
state h[H]
h' = sigmoid(v - v) * h + sigmoid(w) * x
loss squared_error(h', y)
",
    );
    let line = shown(&derivation, "def.h");
    assert!(line.contains("σ(0)"), "{line}");
    derived(
        "
dim H
input x[H], y[H]
param w
sample input z[H]
state h[H]
h' = sigmoid(w) * h + tanh(softplus(impulse_last(z)) + x)
loss squared_error(h', y)
",
    );
}

#[test]
fn a_line_substituted_beyond_the_last_step_is_zero_there() {
    // δ of the backward state at t + 1 contains δ at t, which is not beyond the last step.
    let derivation = derived(
        "
input x, y
param a, b, w
state h
backward state g
h' = tanh(a * h + x)
g' = tanh(b * g + w * h)
loss (g' - y)^2 + g * h'
",
    );
    let line = shown(&derivation, "bridge.recursion");
    assert!(line.contains("[t < T]"), "{line}");
}

#[test]
fn rounding_does_not_decide_a_comparison() {
    let derivation = derived(
        "
dim H, K
input x[K], y[H]
param W[H, K]
u = 0.4 * W @ x
m = max(u, y)
state h[H]
h' = tanh(h + (0.4 * (W @ x) == m))
loss squared_error(h', y)
",
    );
    let check = &derivation.equation("def.a").unwrap().check;
    assert!(matches!(check, Check::NotCheckable { .. }), "{check:?}");
}

#[test]
fn a_state_that_does_not_reach_the_loss_has_no_jacobian() {
    // The initial value reaches the loss by another way.
    let derivation = derived(
        "
dim H
input y[H]
param U[H, H]
sample input z[H]
state h[H] = z
h' = 0.5 * h + 0.5 * tanh(U @ delay(h) * h)
output a = h
loss squared_error(z, y)
",
    );
    assert!(derivation.equation("jac.product").is_none());
}

#[test]
fn a_sum_of_numbers_times_ones_is_a_matrix() {
    derived(
        "
dim H, K
sample input z
input x[K], y[H]
param v[K]
state h[H]
h' = tanh(0.5 * h + total_steps(hold(spread(z, [H, K]), step)) @ (v * x))
loss squared_error(h', y)
",
    );
}

/// A number that is a product of a row and a differential is one factor beside ones.
#[test]
fn an_inner_product_times_a_sum_is_moved_as_a_whole() {
    let head = "dim H\nparam w[H], v[H]\ninput x[H], y[H]\nstate h[H]\nh' = tanh(x + w * h)\n";
    for loss in [
        "sum(dot(w, w) * x)",
        "sum(norm(w) * x)",
        "sum(mean(w^2) * x)",
        "sum(exp(dot(w, v)) * x) + sum(dot(h', v) * h')",
        "binary_cross_entropy(logsumexp(w) * y, x)",
        "sum(dot(w, h') * x * y)",
    ] {
        derived(&format!("{head}loss {loss}\n"));
    }
    let derivation = derived(&format!("{head}loss sum(dot(w, w) * x)\n"));
    let line = shown(&derivation, "adj.loss.t");
    assert!(line.starts_with("dLₜ = ⟨2 𝟏ᵀ xₜ, wᵀ dw⟩ + "), "{line}");
}

/// A condition that does not hold ends an infinite branch, on paper as in the engine.
#[test]
fn a_branch_that_is_not_taken_may_be_infinite() {
    for body in [
        "loss a * select(x < 1, x, sqrt(x))",
        "loss select(x > 0, ln(x), 0) * a",
        "loss a * select(x > 0, 1 / max(x, 0), x)",
    ] {
        derived(&format!("param a\ninput x\n{body}\n"));
    }
}
