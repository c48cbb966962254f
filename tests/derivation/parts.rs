//! Slices, joins and gathers are written as parts of matrices and as unit vectors, and derivations pass through
//! them; the same holds for scalars and for reads by the loss of the next step.

use crate::support::user::{derived, shown};
use bptt::derive::{Fold, Format, Lang, Level, Line, Term, compare};
use bptt::render::Dialect;

#[test]
fn a_state_and_an_input_that_are_joined() {
    let derivation = derived(
        "
dim H, K
input x[K], y[H]
param W[H, H+K], b[H]
state h[H]
h' = tanh(W @ concat(h, x) + b)
loss squared_error(h', y)
",
    );
    let lines = [
        ("delta.h", "δʰₜ = hₜ − yₜ + W_{:,1:H}ᵀ δᵃₜ₊₁"),
        ("last.h", "δʰ_T = h_T − y_T"),
        ("grad.x", "∂L/∂xₜ = W_{:,H+1:H+K}ᵀ δᵃₜ"),
        ("grad.W", "∂L/∂W = ∑[t=1..T] δᵃₜ [hₜ₋₁; xₜ]ᵀ"),
        ("jac.h.h", "Jₜ = diag(𝟏 − hₜ ⊙ hₜ) W_{:,1:H}"),
        ("bridge.recursion", "δʰₜ = hₜ − yₜ + Jₜ₊₁ᵀ δʰₜ₊₁"),
        ("bound.step", "‖Jₜ‖ ≤ ‖diag(𝟏 − hₜ ⊙ hₜ)‖ ‖W_{:,1:H}‖"),
    ];
    for (id, line) in lines {
        assert_eq!(shown(&derivation, id), line);
    }
    for id in ["bridge.double.W", "chunk.W", "bound.delta", "map.sum.W"] {
        assert!(derivation.equation(id).is_some(), "{id}");
    }
    let text = derivation.render(Format::Text, Lang::En, Level::Normal);
    assert!(text.contains("counted from 1"), "{text}");
}

#[test]
fn gates_that_are_cut_from_one_stack() {
    let derivation = derived(
        "
dim H, K
input x[K], y[H]
param W[4*H, K], U[4*H, H], b[4*H]
state h[H], c[H]
a = W @ x + U @ h + b
i = sigmoid(a[0:H])
f = sigmoid(a[H:2*H])
o = sigmoid(a[2*H:3*H])
g = tanh(a[3*H:4*H])
c' = f * c + i * g
h' = o * tanh(c')
loss squared_error(h', y)
",
    );
    let lines = [
        ("def.a_f", "aᶠₜ = (aₜ)_{H+1:2H}"),
        ("delta.h", "δʰₜ = hₜ − yₜ + Uᵀ δᵃₜ₊₁"),
        ("delta.a", "δᵃₜ = [δ^{aⁱ}ₜ; δ^{aᶠ}ₜ; δ^{aᵒ}ₜ; δ^{aᵍ}ₜ]"),
        (
            "jac.c.h",
            "Jᶜʰₜ = diag(cₜ₋₁ ⊙ fₜ ⊙ (𝟏 − fₜ)) U_{H+1:2H,:} + diag(gₜ ⊙ iₜ ⊙ (𝟏 − iₜ)) U_{1:H,:} \
             + diag(iₜ ⊙ (𝟏 − gₜ ⊙ gₜ)) U_{3H+1:4H,:}",
        ),
        (
            "costate",
            "[λʰₜ; λᶜₜ] = [hₜ − yₜ; 0] + Jₜ₊₁ᵀ [λʰₜ₊₁; λᶜₜ₊₁]",
        ),
    ];
    for (id, line) in lines {
        assert_eq!(shown(&derivation, id), line);
    }
}

#[test]
fn a_register_that_is_shifted() {
    let derivation = derived(
        "
dim H
input y[H+1]
param a
state h[H+1]
h' = a * pad(h[1:H+1], 0, 1) + y
loss squared_error(h', y)
",
    );
    let jacobian = "Jₜ = a (𝐈_{H+1})_{:,1:H} (𝐈_{H+1})_{2:H+1,:}";
    assert_eq!(shown(&derivation, "jac.h.h"), jacobian);
    assert!(derivation.equation("bridge.closed").is_some());
}

#[test]
fn a_class_that_chooses_a_row() {
    let derivation = derived(
        "
dim H, V
input x: class(V), y[H]
param E[V, H], W[H, H]
state h[H]
e = gather(E, x)
h' = tanh(W @ h + e)
loss squared_error(h', y)
",
    );
    assert_eq!(shown(&derivation, "def.e"), "eₜ = Eᵀ 𝐞_xₜ");
    let gradient = "∂L/∂E = ∑[t=1..T] 𝐞_xₜ (δᵃₜ)ᵀ";
    assert_eq!(shown(&derivation, "grad.E"), gradient);
    let text = derivation.render(Format::Text, Lang::En, Level::Normal);
    assert!(text.contains("the one-hot vector of the class"), "{text}");
}

/// A state acts through one scalar, or through scalars and directly.
#[test]
fn a_state_that_acts_through_numbers() {
    let sources = [
        ("w[H]", "h' = dot(w, h) * x", "Jₜ = xₜ wᵀ"),
        ("w[H]", "h' = sum(h) * w + x", "Jₜ = w 𝟏ᵀ"),
        ("w[H]", "h' = dot(w, h) * h + x", "Jₜ = hₜ₋₁ wᵀ + wᵀ hₜ₋₁ 𝐈"),
        ("W[H, H], V[H, H]", "h' = V @ softmax(W @ h + x)", ""),
        ("W[H, H]", "u = W @ h + x\nh' = u / sqrt(dot(u, u))", ""),
        (
            "W[H, H], w[H]",
            "a = W @ h + x\nd = a - sum(a) / H\nh' = tanh(w * d / sqrt(sum(d^2) / H + 1))",
            "",
        ),
    ];
    for (parameters, step, jacobian) in sources {
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
        if !jacobian.is_empty() {
            assert_eq!(shown(&derivation, "jac.h.h"), jacobian);
        }
        for id in ["bridge.recursion", "bridge.closed", "bound.delta"] {
            assert!(derivation.equation(id).is_some(), "{step}: {id}");
        }
        let lines = &derivation.equations;
        let double = lines.iter().any(|e| matches!(e.id, Line::DoubleSum(_)));
        assert!(double, "{step}");
    }
}

/// A scalar factor of the sum in a gradient moves into the double sum.
#[test]
fn a_factor_before_the_sum_of_a_gradient() {
    let derivation = derived(
        "
input x, y
param k, r, z
state v
v' = k * r * v + x / z
loss (v' - y)^2
",
    );
    for name in ["k", "r", "z"] {
        let id = format!("bridge.double.{name}");
        let line = derivation.equation(&id).unwrap_or_else(|| panic!("{id}"));
        assert!(
            matches!(line.right, Term::Over(Fold::Sum, ..)),
            "{:?}",
            line.right
        );
    }
}

/// The loss of the next step sends an error term to a state, except beyond the last step.
#[test]
fn a_loss_that_reads_the_state_before() {
    let derivation = derived(
        "
dim N, M
input z[M]
param A[N, N], C[M, N], K[N, M]
state x[N]
p = A @ x
e = z - C @ p
x' = p + K @ e
loss 0.5 * dot(e, e)
",
    );
    let recursion = "δˣₜ = Jₜ₊₁ᵀ δˣₜ₊₁ − [t < T] Aᵀ Cᵀ eₜ₊₁";
    assert_eq!(shown(&derivation, "bridge.recursion"), recursion);
    let runs = [derivation.instance(1).unwrap()];
    let line = derivation.equation("bridge.recursion").unwrap();
    assert!(compare(line, &line.left, &line.right, &runs).is_ok());
    let broken = without_guards(&line.right);
    assert!(compare(line, &line.left, &broken, &runs).is_err());
}

fn without_guards(term: &Term) -> Term {
    match term {
        Term::Before(..) => Term::Num(1.0),
        term => term.map(&mut without_guards),
    }
}

/// Several states, one of which is read by the loss before its update.
#[test]
fn the_start_of_states_that_the_loss_of_the_first_step_reads() {
    let derivation = derived(
        "
input r
param g, a, b
state x, e
e' = r - x
u = g * e' + a * (e' - e)
x' = a * x + b * u
loss e'^2 + u^2
",
    );
    let start = shown(&derivation, "costate.start");
    let (left, right) = start.split_once(" = ").unwrap();
    assert_eq!(left, "[∂L/∂x₀; ∂L/∂e₀]");
    assert!(right.ends_with(" + J₁ᵀ [λˣ₁; λᵉ₁]"), "{right}");
    assert!(!right.contains('<'), "{right}");
}

#[test]
fn ranges_are_read_as_they_are_written() {
    let derivation = derived(
        "
dim H, K
input x[K], y[H]
param W[H, H+K], b[H]
state h[H]
h' = tanh(W @ concat(h, x) + b)
loss squared_error(h', y)
",
    );
    let lexicon = derivation.lexicon();
    let line = derivation.equation("jac.h.h").unwrap();
    let latex = derivation.formula(line).latex(Dialect::Plain);
    assert!(latex.contains("W_{:,1:H}"), "{latex}");
    let run = derivation.instance(1).unwrap();
    let same = |a: &str, b: &str| {
        let (a, b) = (lexicon.parse(a).unwrap(), lexicon.parse(b).unwrap());
        let line = derivation.equation("def.loss").unwrap();
        compare(line, &a, &b, std::slice::from_ref(&run)).is_ok()
    };
    // A part of a matrix, counted from 1.
    assert!(same("W_{:,1:H+K}", "W"));
    assert!(same("(b_{2:H})_{1:1}", "b_{2:2}"));
    assert!(same("W_{:,H+1:H+K}", r"(W^{\top})_{H+1:H+K,:}^{\top}"));
    assert!(same(r"W_{2:3,:}", r"(\mathbf{I}_{H})_{2:3,:} W"));
    assert!(!same("b_{1:2}", "b_{2:3}"));
    // Indices out of range are refused.
    for beyond in ["b_{0:2}", "b_{2:H+1}", "b_{2:1}"] {
        assert!(!same(beyond, beyond), "{beyond}");
    }
    for strange in ["b_{1}", "b_{1:}", "b_{:}", "W_{1,2}", "W_{:,:,1:2}"] {
        let read = lexicon.parse(strange);
        assert!(read.is_err(), "{strange}: {read:?}");
    }
}

/// Letters introduced by the derivation avoid the names of sizes that are used as numbers.
#[test]
fn a_size_is_not_taken_for_a_letter() {
    for size in ["M", "L", "T", "R", "N", "q"] {
        let derivation = derived(&format!(
            "
dim {size}
input x[{size}], y[{size}]
param W[{size}, {size}]
state h[{size}]
h' = tanh(W @ h + x)
loss sum((h' - y)^2) / {size}
"
        ));
        assert!(derivation.equation("bound.window").is_some(), "{size}");
    }
}

/// A delay with another initial value than the state.
#[test]
fn a_second_start_is_written_where_it_is_read() {
    let derivation = derived(
        "
input x, y
param w, h_start
state h = h_start
h' = tanh(w * h + x)
loss (delay(h') - y)^2
",
    );
    assert_eq!(
        shown(&derivation, "def.loss.t"),
        "Lₜ = ([1 < t] hₜ₋₁ − yₜ)²"
    );
    // With the same initial value, the delay is the state.
    let derivation = derived(
        "
input x, y
param w
state h
h' = tanh(w * h + x)
loss (delay(h') - y)^2
",
    );
    assert_eq!(shown(&derivation, "def.loss.t"), "Lₜ = (hₜ₋₁ − yₜ)²");
    assert!(derivation.equation("bridge.double.w").is_some());
}

/// A part that does not vary does not shift the others.
#[test]
fn a_state_that_is_joined_with_a_constant() {
    let derivation = derived(
        "
dim H, V
input x: class(V), y[H]
param W[H, H + V]
state h[H]
h' = tanh(W @ concat(h, one_hot(x)))
loss squared_error(h', y)
",
    );
    assert_eq!(
        shown(&derivation, "jac.h.h"),
        "Jₜ = diag(𝟏 − hₜ ⊙ hₜ) W_{:,1:H}"
    );
}

#[test]
fn a_constant_that_is_joined_with_a_state() {
    let derivation = derived(
        "
dim H, V
input x: class(V), y[H]
param W[H, V + H]
state h[H]
h' = tanh(W @ concat(one_hot(x), h))
loss squared_error(h', y)
",
    );
    let jacobian = shown(&derivation, "jac.h.h");
    assert!(jacobian.ends_with("W_{:,V+1:H+V}"), "{jacobian}");
}

#[test]
fn parts_of_parts_are_counted_from_the_whole() {
    let derivation = derived(
        "
dim H
input x[3*H], y[H]
param W[2*H, 2*H]
state h[3*H]
u = h[H:3*H]
a = (W @ u)[0:H]
h' = tanh(x + pad(a, H, H) + 0.5 * h)
loss squared_error(h'[H:3*H][0:H], y)
",
    );
    assert_eq!(shown(&derivation, "def.a"), "aₜ = W_{1:H,:} uₜ");
    assert!(shown(&derivation, "def.loss.t").contains("(hₜ)_{H+1:2H}"));
    assert!(derivation.equation("bridge.closed").is_some());
}

/// A parameter acts through a value that does not vary with the step.
#[test]
fn a_parameter_behind_a_fixed_value() {
    let derivation = derived(
        "
dim H
input x[H], y[H]
param a[H], w[H]
state s[H]
A = exp(-exp(a))
s' = A * s + w * x
loss squared_error(s', y)
",
    );
    for id in ["bridge.double.a", "bridge.double.w", "window.a"] {
        assert!(derivation.equation(id).is_some(), "{id}");
    }
}

/// The variable of a sum is distinct from the step outside of it.
#[test]
fn a_sum_over_the_steps_at_the_last_step() {
    let derivation = derived(
        "
dim H
input x[H]
param W[H, H]
state h[H]
h' = tanh(W @ h + x)
final loss dot(total_steps(h) * 0.2, h')
",
    );
    let loss = shown(&derivation, "def.loss");
    assert!(loss.contains("hₜ₋₁") && loss.contains("h_T"), "{loss}");
}

/// A matrix times ones is a column, not a number times ones.
#[test]
fn a_matrix_times_ones_stays_a_column() {
    let source = "
dim H
input x[H], y[H]
param W[H, H], U[H, H]
state h[H]
h' = tanh(W @ h + x)
loss sum(U @ sigmoid(h'))
";
    let derivation = derived(source);
    assert_eq!(
        shown(&derivation, "delta.h"),
        "δʰₜ = σ(hₜ) ⊙ (𝟏 − σ(hₜ)) ⊙ Uᵀ 𝟏 + Wᵀ δᵃₜ₊₁"
    );
}

/// A softmax is a column; a row times a softmax is a number.
#[test]
fn a_state_that_acts_through_what_a_softmax_attends_to() {
    let source = "
dim H
input x[H], y[H]
param W[H, H], U[H, H]
state h[H]
h' = tanh(W @ h + x)
loss dot(dot(softmax(y), U @ h') * h', y)
";
    let derivation = derived(source);
    assert_eq!(
        shown(&derivation, "def.loss.t"),
        "Lₜ = (softmax(yₜ))ᵀ U hₜ hₜᵀ yₜ"
    );
}

/// A loss that is a parameter, alone or beside a constant, has a differential.
#[test]
fn the_differential_of_a_loss_that_is_a_parameter() {
    for loss in ["p", "p + 0.4", "s'", "p + s'"] {
        let kind = if loss.contains('s') {
            "final loss"
        } else {
            "loss"
        };
        let text =
            format!("input x\nparam p\nstate s\ns' = tanh(s + p * x)\noutput s'\n{kind} {loss}\n");
        let line = shown(&derived(&text), "adj.loss");
        assert!(
            line.contains("dL = ") && !line.ends_with("dL = 0"),
            "{line}"
        );
    }
}
