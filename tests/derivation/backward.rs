//! Backward states: their Jacobians, the order of products, and measurements, compared with the time-reversed
//! recurrence and with equations written by hand.

use crate::support::lines::all_hold;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    Base, Check, Derivation, Equation, Format, Lang, Level, Line, Part, Quantity, Rewrite, Site,
    Term, compare,
};
use bptt::{Batch, Params, Recurrence, Wrt};
use ndarray::{Array3, ArrayD, Axis};

const BOTH: &str = "
dim H, K, O
input x[K], y[O]
param A[H, H], W[H, K], b[H], B[H, H], V[H, K], c[H], P[O, H], Q[O, H]
state h[H]
backward state g[H]
h' = tanh(A @ h + W @ x + b)
g' = tanh(B @ g + V @ x + c)
output o = P @ h' + Q @ g'
loss 0.5 * sum((o - y)^2)
";

const LAGGED: &str = "
dim H, K
input x[K], y
param A[H, H], B[H, H], V[H, K], p[H]
backward state g[H]
g' = tanh(A @ g + B @ advance(g) + V @ x)
loss 0.5 * (sum(p * g') - y)^2
";

/// A forward and a backward state, each with lags.
const BOTH_LAGGED: &str = "
dim H
input x[H], y[H]
param A[H, H], B[H, H], C[H, H], D[H, H]
state h[H]
backward state g[H]
h' = tanh(A @ h + B @ delay(h) + x)
g' = tanh(C @ g + D @ advance(g) + x)
loss 0.5 * sum((h' + g' - y)^2)
";

fn derived(name: &str, source: &str) -> Derivation {
    Recurrence::parse(name, source).unwrap().derive().unwrap()
}

fn wave(n: usize, phase: f64) -> Vec<f64> {
    let entry = |i: usize| 0.6 * (phase + i as f64 * 1.3).sin();
    (0..n).map(entry).collect()
}

fn data(recurrence: &Recurrence, steps: usize) -> (Params<f64>, Batch<f64>) {
    let sizes = [("H", 3), ("K", 2), ("O", 2)];
    let params = Params::from_fn(recurrence, &sizes, |name, shape| {
        let phase = name.bytes().map(f64::from).sum::<f64>();
        let n = shape.iter().product();
        ArrayD::from_shape_vec(shape.to_vec(), wave(n, phase)).unwrap()
    });
    let array = |phase| Array3::from_shape_vec((steps, 1, 2), wave(2 * steps, phase)).unwrap();
    let batch = Batch::new(steps, 1)
        .with("x", array(0.3))
        .with("y", array(1.1));
    (params.unwrap(), batch)
}

/// A batch with every sequence reversed.
fn turned(batch: &Batch<f64>, steps: usize) -> Batch<f64> {
    let mut other = Batch::new(steps, 1);
    for name in ["x", "y"] {
        let mut array = batch.get(name).unwrap().clone();
        array.invert_axis(Axis(0));
        let array = array.as_standard_layout().into_owned();
        other = other.with(name, array);
    }
    other
}

#[test]
fn a_reversed_recurrence_gives_what_the_recurrence_gives_on_sequences_turned_round() {
    let steps = 5;
    let recurrence = Recurrence::parse("both", BOTH).unwrap();
    let reversed = recurrence.reversed().unwrap();
    let (params, batch) = data(&recurrence, steps);
    let back = turned(&batch, steps);
    let gradient = |r: &Recurrence, batch: &Batch<f64>| {
        let gradient = r.gradient(Wrt::Everything).unwrap();
        gradient.evaluate(&params, batch).unwrap()
    };
    let (here, there) = (gradient(&recurrence, &batch), gradient(&reversed, &back));
    let mut varies = 0;
    for (name, array) in here.iter() {
        let mut other = there[name].clone();
        if other.shape().first() == Some(&steps) {
            other.invert_axis(Axis(0));
            varies += 1;
        }
        let close = array.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-13);
        assert!(close, "{name}: {array} {other}");
    }
    assert!(varies > 0);
    let again = reversed.reversed().unwrap();
    assert_eq!(again.to_string(), recurrence.to_string());
}

#[test]
fn every_line_of_both_directions_holds_and_is_replayed() {
    for (name, source, id) in [
        ("both", BOTH, "back.bridge.horner"),
        ("lagged", LAGGED, "back.bound.lags"),
        ("both lagged", BOTH_LAGGED, "back.bound.lags"),
    ] {
        let mut derivation = derived(name, source);
        all_hold(&mut derivation, 2);
        assert!(derivation.equation(id).is_some(), "{name} has no {id}");
        let mut mirrored = 0;
        for step in derivation.equations.iter().flat_map(|e| &e.steps) {
            derivation.replay(step).unwrap();
            if let Site::Mirrored(rewrite) = &step.site {
                mirrored += 1;
                // Without the time reversal, the rule does not lead from one side to the other.
                let mut forged = step.clone();
                forged.site = Site::Line(rewrite.clone());
                let moved = step.before.any(&|t| t.is(Quantity::BackJacobian));
                // Rules for inner products do not depend on the direction.
                let inner = matches!(rewrite, Rewrite::InnerSum | Rewrite::InnerAdjoint);
                assert!(
                    !moved || inner || derivation.replay(&forged).is_err(),
                    "{step:?}"
                );
                let mut forged = step.clone();
                forged.after = Term::Neg(Box::new(step.after.clone()));
                assert!(derivation.replay(&forged).is_err(), "{step:?}");
            }
        }
        assert!(mirrored > 10, "{name}: {mirrored}");
        for format in Format::ALL {
            for lang in Lang::ALL {
                assert!(!derivation.render(*format, *lang, Level::Full).is_empty());
            }
        }
    }
}

/// Each line agrees with a hand-written one, in the notation of the original recurrence.
#[test]
fn the_lines_of_the_backward_chain() {
    let table = [
        (
            "jac.h.h",
            r"\operatorname{diag}(\mathbf{1}-h_{t}\odot h_{t})A",
        ),
        (
            "back.jac.g.g",
            r"\operatorname{diag}(\mathbf{1}-g_{t}\odot g_{t})B",
        ),
        (
            "back.jac.product",
            r"\prod_{t\le j\le k-1}\operatorname{diag}(\mathbf{1}-g_{j}\odot g_{j})B",
        ),
        (
            "back.bridge.recursion",
            r"Q^{\top}\delta^{o}_{t}+\tilde{J}_{t-1}^{\top}\delta^{g}_{t-1}",
        ),
        (
            "back.bridge.closed",
            r"\sum_{t=1}^{k}\left(\frac{\partial g_{t}}{\partial g_{k}}\right)^{\top}Q^{\top}\delta^{o}_{t}",
        ),
        (
            "back.bridge.double.B",
            r"\sum_{t=1}^{T}\sum_{k=t}^{T}((\mathbf{1}-g_{k}\odot g_{k})\odot\left(\frac{\partial g_{t}}{\partial g_{k}}\right)^{\top}Q^{\top}\delta^{o}_{t})g_{k+1}^{\top}",
        ),
        (
            "back.jac.differential",
            r"\tilde{J}_{t}\mathrm{d}g_{t+1}+\operatorname{diag}(\mathbf{1}-g_{t}\odot g_{t})(\mathrm{d}Bg_{t+1}+\mathrm{d}Vx_{t}+V\mathrm{d}x_{t}+\mathrm{d}c)",
        ),
    ];
    let derivation = derived("both", BOTH);
    let runs = [derivation.instance(3).unwrap()];
    let lexicon = derivation.lexicon();
    for (id, latex) in table {
        let line = derivation.equation(id).unwrap_or_else(|| panic!("no {id}"));
        let right = lexicon.parse(latex).unwrap();
        let found = compare(line, &line.left, &right, &runs);
        assert!(matches!(found, Ok(Check::Passed { .. })), "{id}: {found:?}");
    }
    // Wrong order, wrong direction, one step missing.
    let wrong = [
        (
            "back.jac.product",
            r"\prod_{j=t}^{k-1}\operatorname{diag}(\mathbf{1}-g_{j}\odot g_{j})B",
        ),
        ("back.jac.product", r"\prod_{t+1\le j\le k-1}\tilde{J}_{j}"),
        ("back.jac.product", r"\prod_{t\le j\le k-1}J_{j}"),
        (
            "back.bridge.recursion",
            r"Q^{\top}\delta^{o}_{t}+\tilde{J}_{t+1}^{\top}\delta^{g}_{t+1}",
        ),
        (
            "back.bridge.recursion",
            r"Q^{\top}\delta^{o}_{t}+J_{t-1}^{\top}\delta^{g}_{t-1}",
        ),
    ];
    for (id, latex) in wrong {
        let line = derivation.equation(id).unwrap();
        let right = lexicon.parse(latex).unwrap();
        let found = compare(line, &line.left, &right, &runs);
        assert!(!matches!(found, Ok(Check::Passed { .. })), "{id}: {latex}");
    }
}

/// The exponent of a contraction bound counts steps from the later to the earlier, in the direction of the
/// state.
#[test]
fn a_backward_bound_counts_lots_towards_the_beginning() {
    let derivation = derived("lagged", LAGGED);
    let line = derivation.equation("back.bound.lags").unwrap();
    let Term::PowSteps(_, steps) = &line.right else {
        panic!("{:?}", line.right)
    };
    assert_eq!(steps.base, Base::Lots('k', 't', 2));
}

/// A backward network gives the reversed results of the forward one.
#[test]
fn a_backward_cell_has_every_line_that_the_forward_cell_has() {
    for cell in [Cell::rnn(), Cell::lstm(), Cell::gru()] {
        let cell = cell.start(Start::Parameter);
        let derive = |cell: Cell| {
            cell.model("m", Loss::SquaredError)
                .unwrap()
                .derive()
                .unwrap()
        };
        let (forward, back) = (derive(cell.clone()), derive(cell.backward()));
        for line in &forward.equations {
            let chain = [Part::Jacobian, Part::Bridge, Part::Costate, Part::Bounds];
            if !chain.contains(&line.part) || line.id == Line::WindowBound {
                continue;
            }
            let id = Line::Back(Box::new(line.id.clone()));
            let other = back.line(&id).unwrap_or_else(|| panic!("no {id}"));
            assert_eq!(other.steps.len(), line.steps.len(), "{id}");
            assert_eq!(other.rules, line.rules, "{id}");
            let strict = |line: &Equation| line.given.as_ref().map(|given| given.strict);
            assert_eq!(strict(other), strict(line), "{id}");
            let moved = |premise: &Line| {
                let there = Line::Back(Box::new(premise.clone()));
                back.line(&there).map_or(premise.clone(), |_| there)
            };
            let premises: Vec<Line> = line.premises.iter().map(moved).collect();
            assert_eq!(other.premises, premises, "{id}");
        }
        assert!(forward.equation("jac.product").is_some());
        assert!(back.equation("jac.product").is_none());
    }
}

/// Measurements of a backward state equal those of the forward one on reversed data.
#[test]
fn both_directions_are_measured() {
    let steps = 9;
    let recurrence = Recurrence::parse("both", BOTH).unwrap();
    let (params, batch) = data(&recurrence, steps);
    let measure = |recurrence: &Recurrence, batch: &Batch<f64>| {
        let mut derivation = recurrence.derive().unwrap();
        derivation.measure(&params, batch).unwrap();
        derivation.reaches().to_vec()
    };
    let here = measure(&recurrence, &batch);
    let there = measure(&recurrence.reversed().unwrap(), &turned(&batch, steps));
    let [forward, back] = &here[..] else {
        panic!("{here:?}")
    };
    assert!(!forward.backward && back.backward);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    for (one, other) in [(forward, &there[1]), (back, &there[0])] {
        assert!(close(one.exponent(), other.exponent()));
        assert!(close(one.ratio, other.ratio));
        let rows = one.logs.iter().flatten().zip(other.logs.iter().flatten());
        assert!(rows.into_iter().all(|(a, b)| close(*a, *b)));
    }
    assert!(!close(forward.exponent(), back.exponent()));
    let mut derivation = recurrence.derive().unwrap();
    derivation.measure(&params, &batch).unwrap();
    let page = derivation.render(Format::Text, Lang::En, Level::Normal);
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "from the last step backwards",
        "from the first step forwards",
        "k − 1",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

/// A forward state with a loop through a backward state has no product of Jacobians, and none is printed; a
/// state that only reads the other direction has one.
#[test]
fn directions_that_touch_are_told_from_those_that_do_not() {
    let come_back = "
input x, y
param a, b, c, d
state h
backward state g
state z
h' = tanh(a * h + x)
g' = tanh(b * g + h')
z' = tanh(c * z + d * g')
loss 0.5 * (z' - y)^2
";
    let mut derivation = derived("come back", come_back);
    all_hold(&mut derivation, 2);
    assert!(derivation.equation("jac.product").is_none());
    assert!(derivation.equation("back.jac.product").is_some());
    let reads = come_back.replace("+ h')", "+ x)");
    let mut derivation = derived("reads", &reads);
    all_hold(&mut derivation, 2);
    assert!(derivation.equation("jac.product").is_some());
    assert!(derivation.equation("back.jac.product").is_some());
}

/// A state is read some steps ahead: an error term moves forward in time, and is cut off at the end where the
/// state is not read.
#[test]
fn states_read_ahead_end_where_they_are_not_read() {
    let source = "input x\nparam w, v\nstate h\nbackward state k\n\
                  h' = tanh(w * h + x)\nk' = tanh(v * k + advance(advance(h)))\nloss (k' - x)^2\n";
    let mut derivation = derived("ahead", source);
    all_hold(&mut derivation, 3);
    let line = derivation.equation("delta.h").unwrap();
    let text = derivation
        .formula(line)
        .text(bptt::render::Charset::Unicode);
    assert!(text.contains("[t < T]"), "{text}");
}
