//! States with several lags: the companion form, its consequences, and its measurement, compared with sums over
//! paths, with differences of whole runs, and with equations written by hand.

use crate::support::lines::all_hold;
use crate::support::sources::LAGS;
use bptt::derive::{
    Base, Check, Derivation, Equation, Format, Lang, Level, Part, Quantity, Relation, Term, Time,
    compare,
};
use bptt::{Batch, Params, Recurrence};
use ndarray::{Array1, Array2, Array3};

fn derived(name: &str, source: &str) -> Derivation {
    Recurrence::parse(name, source).unwrap().derive().unwrap()
}

const SCALAR: &str = "
input x, y
param a, b, c, w
state h
h' = tanh(a * h + b * delay(h) + c * delay(delay(h)) + w * x)
loss 0.5 * (h' - y)^2
";

/// Two values with lags of their own; one reads the other within the step.
const SEVERAL: &str = "
dim H, K, M
input x[K], y[M]
param A[H, H], B[H, H], W[H, K], P[H, M], Q[M, H], q[M]
state h[H], s[M]
h' = tanh(A @ h + B @ delay(h) + W @ x + P @ s + P @ delay(s))
s' = 0.3 * tanh(Q @ h') + 0.5 * s + q * delay(delay(s))
loss 0.5 * sum((s' - y)^2)
";

/// Only the second lag is read.
const SKIPPED: &str = "
dim H
input x[H], y[H]
param B[H, H]
state h[H]
h' = tanh(B @ delay(h) + x)
loss 0.5 * sum((h' - y)^2)
";

/// Squared past returns with two lags, the variance with one.
const GARCH: &str = "
input r
param mu = 0, omega = 0.05, alpha1 = 0.1, alpha2 = 0.05, beta = 0.8
state v = omega
e2 = (r - mu)^2
v' = omega + alpha1 * e2 + alpha2 * delay(e2) + beta * v
loss 0.5 * (ln(v) + e2 / v)
";

/// A delayed input is data, not a state.
const INPUT: &str = "
input x, y
param a, w, u
state h
h' = tanh(a * h + w * x + u * delay(x))
loss 0.5 * (h' - y)^2
";

#[test]
fn every_line_holds() {
    let sources = [
        ("vector", LAGS, "bound.lags"),
        ("scalar", SCALAR, "bound.lags"),
        ("several", SEVERAL, "costate.next.h"),
        ("skipped", SKIPPED, "bridge.closed"),
        ("garch", GARCH, "jac.product"),
        ("input", INPUT, "bridge.closed"),
    ];
    for (name, source, id) in sources {
        let mut derivation = derived(name, source);
        all_hold(&mut derivation, 2);
        assert!(derivation.equation(id).is_some(), "{name} has no {id}");
        for line in &derivation.equations {
            for step in &line.steps {
                derivation.replay(step).unwrap();
            }
        }
        for format in Format::ALL {
            for lang in Lang::ALL {
                assert!(!derivation.render(*format, *lang, Level::Full).is_empty());
            }
        }
    }
}

/// Each line agrees with one written by hand.
#[test]
fn the_companion_form() {
    let slope = r"\operatorname{diag}(\mathbf{1}-h_{@}\odot h_{@})";
    let at = |t: &str| slope.replace('@', t);
    let (a, b) = (format!("{}A", at("t")), format!("{}B", at("t")));
    let table = [
        ("jac.h.h", a.clone()),
        ("jac.h.h.2", b.clone()),
        (
            "jac",
            format!(r"\begin{{bmatrix}}{a}&{b}\\\mathbf{{I}}&0\end{{bmatrix}}"),
        ),
        (
            "bridge.recursion",
            format!(
                r"h_{{t}}-y_{{t}}+({}A)^{{\top}}\delta^{{h}}_{{t+1}}+({}B)^{{\top}}\delta^{{h}}_{{t+2}}",
                at("t+1"),
                at("t+2")
            ),
        ),
        (
            "bridge.closed",
            r"\sum_{t=k}^{T}\left(\frac{\partial h_{t}}{\partial h_{k}}\right)^{\top}(h_{t}-y_{t})"
                .into(),
        ),
    ];
    let derivation = derived("vector", LAGS);
    let runs = [derivation.instance(3).unwrap()];
    for (id, latex) in table {
        let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
        let right = derivation.lexicon().parse(&latex).unwrap();
        // At the last steps, the slopes of later steps are missing; their factors are zero.
        let found = compare(line, &line.left, &right, &runs);
        assert!(matches!(found, Ok(Check::Passed { .. })), "{id}: {found:?}");
    }
}

/// Two lags of one value are different parts of the state: a wrong order, a missing lag or another block is
/// detected.
#[test]
fn wrong_lags_are_noticed() {
    let derivation = derived("vector", LAGS);
    let runs = [derivation.instance(5).unwrap()];
    let lexicon = derivation.lexicon();
    let wrong = [
        (
            "jac",
            r"\begin{bmatrix}\frac{\partial^{+}h_{t}}{\partial h_{t-2}}&\frac{\partial^{+}h_{t}}{\partial h_{t-1}}\\\mathbf{I}&0\end{bmatrix}",
        ),
        (
            "jac",
            r"\begin{bmatrix}\frac{\partial^{+}h_{t}}{\partial h_{t-1}}&\frac{\partial^{+}h_{t}}{\partial h_{t-2}}\\0&\mathbf{I}\end{bmatrix}",
        ),
        (
            "bridge.recursion",
            r"h_{t}-y_{t}+\left(\frac{\partial^{+}h_{t+1}}{\partial h_{t}}\right)^{\top}\delta^{h}_{t+1}",
        ),
        (
            "bridge.recursion",
            r"h_{t}-y_{t}+\left(\frac{\partial^{+}h_{t+1}}{\partial h_{t}}\right)^{\top}\delta^{h}_{t+1}+\left(\frac{\partial^{+}h_{t+2}}{\partial h_{t}}\right)^{\top}\delta^{h}_{t+1}",
        ),
        (
            "jac.corner",
            r"\begin{bmatrix}0\\\mathbf{I}\end{bmatrix}^{\top}\frac{\partial s_{t}}{\partial s_{k}}\begin{bmatrix}\mathbf{I}\\0\end{bmatrix}",
        ),
    ];
    for (id, latex) in wrong {
        let line = derivation.equation(id).unwrap();
        let right = lexicon.parse(latex).unwrap();
        let found = compare(line, &line.left, &right, &runs);
        assert!(!matches!(found, Ok(Check::Passed { .. })), "{id}: {latex}");
    }
}

/// With only the second lag, `ρ` enters every second step, so the power is not `ρ^{t−k}`.
#[test]
fn the_bound_of_several_lags_is_reached_and_no_power_too_high() {
    let source = "
input x, y
param b
state h
h' = b * delay(h) + x
loss 0.5 * (h' - y)^2
";
    let mut derivation = derived("every second", source);
    all_hold(&mut derivation, 2);
    let line = derivation.equation("bound.lags").unwrap().clone();
    let runs: Vec<_> = (1..9).map(|s| derivation.instance(s).unwrap()).collect();
    let Term::PowSteps(rho, _) = &line.right else {
        panic!("{:?}", line.right)
    };
    let steps = Time {
        base: Base::Minus('t', 'k'),
        offset: 0,
    };
    let too_much = Term::PowSteps(rho.clone(), steps);
    let found = compare(&line, &line.left, &too_much, &runs);
    assert!(found.unwrap_err().contains("is more than"));
    // At distance two, the bound is attained.
    let exact = Equation {
        relation: Relation::Equal,
        part: Part::Bounds,
        left: line.left.at('k', &Time::var('t').plus(-2)),
        right: Term::Call("abs".into(), vec![Quantity::Value.of([&"b".into()], [])]),
        range: bptt::derive::Range {
            vars: vec![('t', Time::at(3), Time::last())],
        },
        ..line.clone()
    };
    let found = compare(&exact, &exact.left, &exact.right, &runs);
    assert!(matches!(found, Ok(Check::Passed { .. })), "{found:?}");
}

/// A line whose condition is met on no run is left unchecked.
#[test]
fn a_condition_that_is_never_met_leaves_a_line_unchecked() {
    let source = "
input x, y
param w
state h
h' = 2 * h + w * x
loss 0.5 * (h' - y)^2
";
    let mut derivation = derived("doubling", source);
    let checks = derivation.check(2).unwrap();
    assert_eq!((checks.failed, checks.unchecked), (0, 1));
    let page = derivation.render(Format::Markdown, Lang::En, Level::Normal);
    assert!(page.contains("not checked: none of the runs meets its condition"));
    let page = derivation.render(Format::Markdown, Lang::Zh, Level::Normal);
    assert!(page.contains("未核对：各次运行均不满足它的条件"));
}

/// The same delay written twice is one register.
#[test]
fn a_delay_written_twice_is_one_register() {
    let source = "
input x, y
param a, b
state h
h' = tanh(a * h + b * delay(h) + delay(h) * x)
loss 0.5 * (h' - y)^2 + 0.1 * delay(h)^2
";
    let recurrence = Recurrence::parse("twice", source).unwrap();
    assert_eq!(recurrence.tape().registers().len(), 2);
    all_hold(&mut recurrence.derive().unwrap(), 2);
}

/// The measured Jacobians agree with the effect of small changes in the initial state.
#[test]
fn a_measured_run_agrees_with_differences_of_whole_runs() {
    let source = "
dim H
input x[H], y[H]
param A[H, H], B[H, H], h0[H], h1[H]
state h[H] = h0
h' = tanh(A @ h + B @ delay(h, h1) + x)
output h'
loss 0.5 * sum((h' - y)^2)
";
    let recurrence = Recurrence::parse("differences", source).unwrap();
    let steps = 7;
    let wave = |n: usize, scale: f64| {
        let entry = move |i: usize| scale * (1.0 + i as f64 * 1.7).sin();
        Array1::from_shape_fn(n, entry)
    };
    let square = |scale| wave(9, scale).into_shape_with_order((3, 3)).unwrap();
    let data = wave(steps * 3, 0.5);
    let data: Array3<f64> = data.into_shape_with_order((steps, 1, 3)).unwrap();
    let params = Params::new()
        .with("A", square(0.6))
        .with("B", square(0.4).reversed_axes())
        .with("h0", wave(3, 0.3))
        .with("h1", wave(3, -0.2));
    let batch = Batch::new(steps, 1).with("x", data.clone()).with("y", data);
    let end = |params: &Params<f64>| -> Array1<f64> {
        let outputs = recurrence.evaluate(params, &batch).unwrap();
        let h = &outputs["h"];
        let last = |t: usize| h.index_axis(ndarray::Axis(0), t).iter().copied().collect();
        let (a, b): (Vec<f64>, Vec<f64>) = (last(steps - 1), last(steps - 2));
        a.into_iter().chain(b).collect()
    };
    let mut jacobian = Array2::<f64>::zeros((6, 6));
    for (column, (name, i)) in ["h0", "h1"]
        .iter()
        .flat_map(|n| (0..3).map(move |i| (*n, i)))
        .enumerate()
    {
        let moved = |by: f64| {
            let mut params = params.clone();
            params.get_mut(name).unwrap()[i] += by;
            end(&params)
        };
        let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        jacobian.column_mut(column).assign(&slope);
    }
    let mut derivation = recurrence.derive().unwrap();
    let reach = derivation.measure(&params, &batch).unwrap().unwrap();
    let found = reach.norm(steps, 0).unwrap();
    let direct = power_norm(&jacobian);
    assert!((found - direct).abs() < 1e-6 * direct, "{found}, {direct}");
}

/// The largest singular value, by power iteration.
fn power_norm(a: &Array2<f64>) -> f64 {
    let mut v = Array1::<f64>::ones(a.ncols());
    for _ in 0..2000 {
        v = a.t().dot(&a.dot(&v));
        let size = v.dot(&v).sqrt();
        v /= size;
    }
    let image = a.dot(&v);
    image.dot(&image).sqrt()
}

/// The Jacobian of a sum has no size of its own; it is measured in the size of the state, also over many steps.
#[test]
fn a_jacobian_without_a_size_is_measured_all_the_same() {
    let source = "
dim H
input x[H], y[H]
param a
state h[H]
h' = a * sum(h) + x
loss 0.5 * sum((h' - y)^2)
";
    let mut derivation = derived("summed", source);
    let steps = 600;
    let data = Array3::<f64>::from_elem((steps, 1, 3), 0.1);
    let params = Params::new().with("a", ndarray::arr0(0.3));
    let batch = Batch::new(steps, 1).with("x", data.clone()).with("y", data);
    let reach = derivation.measure(&params, &batch).unwrap().unwrap();
    // `(a 𝟏 𝟏ᵀ)ⁿ = (3 a)ⁿ⁻¹ a 𝟏 𝟏ᵀ`, of norm `(3 a)ⁿ`.
    for (t, k) in [(steps, 0), (steps, steps / 2)] {
        let row = reach.marks.iter().position(|m| *m == t).unwrap() - 1;
        let column = reach.marks.iter().position(|m| *m == k).unwrap();
        let expected = (t - k) as f64 * 0.9_f64.ln();
        let found = reach.logs[row][column];
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs(),
            "{found}, {expected}"
        );
    }
}

/// The number of lots of steps is rounded up.
#[test]
fn a_started_lot_counts() {
    let derivation = derived("vector", LAGS);
    let runs = [derivation.instance(1).unwrap()];
    let line = derivation.equation("bound.lags").unwrap();
    let lots = Term::Steps(Time {
        base: Base::Lots('t', 'k', 2),
        offset: 0,
    });
    for (step, expected) in [(1, 0.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)] {
        let at = |step: i64| (Time::at(step), Time::at(step));
        let ((t, to), (k, until)) = (at(step), at(1));
        let mut claim = line.clone();
        claim.relation = Relation::Equal;
        claim.given = None;
        claim.range.vars = vec![('t', t, to), ('k', k, until)];
        let found = compare(&claim, &lots, &Term::Num(expected), &runs);
        assert!(
            matches!(found, Ok(Check::Passed { .. })),
            "{step}: {found:?}"
        );
    }
}
