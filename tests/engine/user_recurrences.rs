//! Recurrences that users write and no cell of the library covers: every printed line can be parsed, and holds.

use bptt::Recurrence;
use bptt::derive::{Derivation, Format, Lang, Level};
use bptt::render::Charset;

fn derived(source: &str) -> Derivation {
    let recurrence = Recurrence::parse("user", source).unwrap();
    let mut derivation = recurrence.derive().unwrap();
    let checks = derivation.check(2).unwrap();
    let failed = derivation.equations.iter();
    let failed: Vec<_> = failed
        .filter(|e| matches!(e.check, bptt::derive::Check::Failed { .. }))
        .map(|e| (&e.id, &e.check))
        .collect();
    assert_eq!(checks.failed, 0, "{failed:?}");
    derivation
}

fn shown(derivation: &Derivation, id: &str) -> String {
    let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
    derivation.formula(line).text(Charset::Unicode)
}

/// Gates in one stack, sliced at multiples of a size.
#[test]
fn stacked_gates_are_cut_at_multiples_of_a_size() {
    derived(
        "
dim H, K
input x[K], y[H]
param W[3 * H, K], U[3 * H, H], b[3 * H]
state h[H]
a = W @ x + U @ h + b
f = sigmoid(a[0:H])
i = sigmoid(a[H:2*H])
g = tanh(a[2*H:3*H])
h' = f * h + i * g
loss 0.5 * sum((h' - y)^2)
",
    );
}

/// A mean: a row and the column it multiplies stay together, also when divided by a size.
#[test]
fn a_mean_over_a_size() {
    derived(
        "
dim H
input x[H], y[H]
param A[H, H], g[H]
state h[H]
a = A @ h + x
h' = tanh(g * (a - sum(a) / H))
loss 0.5 * sum((h' - y)^2)
",
    );
}

#[test]
fn a_constant_does_not_look_like_a_value_at_a_step() {
    let derivation = derived(
        "
input x, y
param a, h_t
state h
h' = a * h + h_t * x
loss 0.5 * (h' - y)^2
",
    );
    assert_eq!(shown(&derivation, "def.h"), "hₜ = a hₜ₋₁ + h_t xₜ");
}

#[test]
fn powers_that_are_no_whole_numbers_are_written_as_powers() {
    let derivation = derived(
        "
input x, y
param a
state h = 1
h' = a * pow(h, 0.5) + exp(x)
loss 0.5 * (h' - y)^2
",
    );
    assert_eq!(shown(&derivation, "def.m"), "mₜ = (hₜ₋₁)^{1/2}");
    assert_eq!(shown(&derivation, "jac.h.h"), "Jₜ = 1/2 a (hₜ₋₁)^{−1/2}");
}

/// A Greek letter and its name look the same in print, so one of the two is spelled out.
#[test]
fn a_letter_and_its_name_are_told_apart() {
    let derivation = derived(
        "
input x, y
param mu, μ
state h
h' = mu * h + μ * x
loss 0.5 * (h' - y)^2
",
    );
    assert_eq!(shown(&derivation, "def.h"), "hₜ = mu hₜ₋₁ + μ xₜ");
    assert_eq!(shown(&derivation, "jac.h.h"), "Jₜ = mu");
}

/// Numbers commute: repeated factors become powers, and common factors of both sides cancel.
#[test]
fn products_of_numbers_are_written_as_powers_and_cancel() {
    let filter = derived(
        "
input z, y
param k, a
state x
p = a * x
x' = p + k * (z - k * p)
loss 0.5 * (x' - y)^2
",
    );
    assert_eq!(shown(&filter, "jac.x.x"), "Jₜ = a − k² a");
    let volatility = derived(
        "
input r
param omega, beta, alpha
state v
z = r / exp(0.5 * v)
v' = omega + beta * v + alpha * abs(z)
loss 0.5 * (v + r^2 / exp(v))
",
    );
    assert_eq!(shown(&volatility, "jac.v.v"), "Jₜ = β − 1/2 α sign(zₜ) zₜ");
    let sent = shown(&volatility, "adj.loss.t");
    assert!(sent.contains("rₜ²/(2 exp(vₜ₋₁))"), "{sent}");
}

#[test]
fn a_number_has_an_absolute_value() {
    let numbers = derived(
        "
input x, y
param alpha, beta
state h, c
h' = tanh(h + x) + alpha * c
c' = beta * c + h
loss (c' - y)^2
",
    );
    assert_eq!(shown(&numbers, "bound.block.c.c"), "|Jᶜᶜₜ| = |β|");
}

#[test]
fn a_sum_of_sizes_has_parentheses() {
    let both = derived(
        "
dim H, K
input x[K], y[H]
param W[H, H + K]
state h[H]
h' = tanh(W @ concat(h, x))
loss squared_error(h', y)
",
    );
    for format in [Format::Text, Format::Markdown, Format::Html, Format::Tex] {
        let page = both.render(format, Lang::En, Level::Full);
        assert!(page.contains("(H + K)"), "{page}");
    }
}

/// A sum over steps of a value that is zero except at the last step is replaced by that value.
#[test]
fn a_loss_of_the_last_step_is_no_sum() {
    let last = derived(
        "
dim H
input x[H], y
param W[H, H], c[H]
state h[H]
h' = tanh(W @ h + x)
loss last((c @ h' - y)^2)
",
    );
    assert_eq!(shown(&last, "grad.c"), "∂L/∂c = 2 (cᵀ h_T − y_T) h_T");
    let sent = shown(&last, "adj.loss");
    assert!(sent.contains("⟨2 (cᵀ h_T − y_T) c, dh_T⟩"), "{sent}");
    assert!(!sent.contains('∑'), "{sent}");
}

/// A multiple of the identity added to a number becomes a number.
#[test]
fn an_identity_of_numbers_is_one() {
    let oscillator = derived(
        "
input x, y
param w
state h
h' = 2 * h - delay(h) - w^2 * h + x
loss (h' - y)^2
",
    );
    assert_eq!(shown(&oscillator, "jac.h.h"), "∂⁺hₜ/∂hₜ₋₁ = 2 − w²");
    // δ of the same step appears once, before δ of the next.
    assert_eq!(
        shown(&oscillator, "delta.h"),
        "δʰₜ = 2 (hₜ − yₜ) + (2 − w²) δʰₜ₊₁ − δʰₜ₊₂"
    );
}

#[test]
fn comparisons_and_powers_are_written_with_signs() {
    let compared = derived(
        "
input x, y
param a, p, gamma
state h
h' = a * h + pow(x^2 + 1, p) + pow(x^2 + 2, gamma) + equal(x, y) + x / 60
loss 0.5 * (h' - y)^2
",
    );
    let line = shown(&compared, "def.h");
    assert!(line.contains("[xₜ = yₜ] + 1/60 xₜ"), "{line}");
    assert_eq!(shown(&compared, "def.m"), "mₜ = (1 + uₜ)ᵖ");
    assert_eq!(shown(&compared, "def.m_2"), "m⁽²⁾ₜ = (2 + uₜ)^γ");
    // A parameter with the name of a step variable is not written as an exponent.
    let step = derived(
        "
input x, y
param k
state h
h' = 0.5 * h + pow(x^2 + 1, k) + less(k, x)
loss 0.5 * (h' - y)^2
",
    );
    assert_eq!(shown(&step, "def.m"), "mₜ = powf(1 + xₜ², k)");
    let line = shown(&step, "def.h");
    assert!(line.contains("[k < xₜ]"), "{line}");
}

#[test]
fn names_cannot_be_taken_for_others() {
    let names = derived(
        "
input x, y, ln_mass, sin_x
param g
state h_1, h1
m1 = sin(x)
m2 = sin(sin(h_1)) * sin(x + h1)
h_1' = g * h1 + m1 * ln_mass
h1' = h_1 + m2 + sin_x
loss (h1' - y)^2 + h_1'^2
",
    );
    let texts: Vec<String> = names
        .equations
        .iter()
        .map(|e| names.formula(e).text(Charset::Unicode))
        .collect();
    let all = texts.join("\n");
    for unclear in ["lnᵐ", "sinˣ", "h₁h1", "m_2", "m_3"] {
        assert!(!all.contains(unclear), "{unclear} in {all}");
    }
    assert!(all.contains("J^{h⁽¹⁾,h1}"), "{all}");
}

#[test]
fn every_line_says_by_which_rule() {
    let delayed = derived(
        "
input r, y
param a
state h
e = r
h' = a * h + e^2
loss (h' - y)^2
",
    );
    assert!(delayed.equation("adj.e").is_some());
    for line in &delayed.equations {
        assert!(!line.rules.is_empty(), "{}", line.id);
    }
}
