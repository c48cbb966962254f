//! The verdict on cells that are built to have one cause each.

use bptt::flow::{Cause, Story};
use bptt::{Batch, Lang, Params, Recurrence};
use ndarray::{Array1, Array2, ArrayD};

use crate::{data, parse};

const LSTM: &str = include_str!("../../examples/recurrences/lstm.rec");
const RNN: &str = "dim H, K\nparam W_H[H, H], W_X[H, K], b[H], w[H]\ninput x[K], y\nstate h[H]\n\
                   h' = tanh(W_H @ h + W_X @ x + b)\nloss (dot(w, h') - y)^2\n";

fn story(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Story {
    r.story(params, batch, 200).unwrap()
}

/// An orthogonal matrix times a number: products of rotations of pairs.
fn rotation(n: usize, factor: f64) -> ArrayD<f64> {
    let mut q = Array2::<f64>::zeros((n, n));
    for i in (0..n).step_by(2) {
        let (sin, cos) = (0.7 + i as f64).sin_cos();
        (q[[i, i]], q[[i, i + 1]]) = (cos, -sin);
        (q[[i + 1, i]], q[[i + 1, i + 1]]) = (sin, cos);
    }
    (factor * q).into_dyn()
}

fn rnn(w_h: ArrayD<f64>, scale: f64) -> (Recurrence, Params<f64>, Batch<f64>) {
    let r = parse(RNN);
    let (mut params, batch) = data(&r, &[("H", 8), ("K", 2)], (80, 2), scale, 3);
    params.insert("W_H", w_h);
    (r, params, batch)
}

fn lstm(bias: f64, scale: f64) -> (Recurrence, Params<f64>, Batch<f64>) {
    let r = Recurrence::parse("lstm.rec", LSTM).unwrap();
    let (mut params, batch) = data(&r, &[("H", 8), ("K", 2), ("O", 3)], (120, 2), scale, 3);
    params.insert("b_f", Array1::from_elem(8, bias));
    (r, params, batch)
}

/// The sentences of both languages have the same numbers.
fn told(story: &Story) -> String {
    let numbers = |text: &str| {
        let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        let parts = parts.map(|p| p.trim_matches('.').to_owned());
        let mut parts: Vec<String> = parts.filter(|p| !p.is_empty()).collect();
        parts.sort();
        parts
    };
    let (en, zh) = (story.verdict(Lang::En), story.verdict(Lang::Zh));
    assert_eq!(en.len(), zh.len(), "{en:?}\n{zh:?}");
    for (en, zh) in en.iter().zip(&zh) {
        assert_eq!(numbers(en), numbers(zh), "{en}\n{zh}");
    }
    en.join(" ")
}

#[test]
fn a_forget_gate_without_a_bias() {
    let (r, params, batch) = lstm(0.0, 0.2);
    let story = story(&r, &params, &batch);
    let [Cause::ZeroBias { gate, bias, mean }] = &story.causes()[..] else {
        panic!("{:?}", story.causes());
    };
    assert_eq!((&**gate, &**bias), ("f", "b_f"));
    assert!((mean - 0.5).abs() < 0.1, "{mean}");
    let text = told(&story);
    assert!(
        text.contains("less than 1 %") && text.contains("start `b_f` at 1"),
        "{text}"
    );
    // The remedy works: more of the gradient arrives from the same lag.
    let lag = story.lags().lost_after(0.01).unwrap();
    let (r, params, batch) = lstm(3.0, 0.2);
    let after = self::story(&r, &params, &batch);
    assert!(after.lags().at(lag).unwrap().arrival > 0.3, "{lag}");
    assert!(
        !after
            .causes()
            .iter()
            .any(|c| matches!(c, Cause::ZeroBias { .. }))
    );
}

#[test]
fn a_closed_gate() {
    let (r, params, batch) = lstm(-3.0, 0.2);
    let story = story(&r, &params, &batch);
    let causes = story.causes();
    let [
        Cause::ClosedGate {
            state,
            gate,
            factor,
        },
    ] = &causes[..]
    else {
        panic!("{causes:?}");
    };
    assert_eq!((&**state, &**gate), ("c", "f"));
    assert!((factor - 0.05).abs() < 0.03, "{factor}");
    assert!(
        told(&story).contains("The most open unit of the gate `f` of `c` keeps a factor of"),
        "{}",
        told(&story)
    );
}

#[test]
fn an_open_gate() {
    let (r, params, batch) = lstm(8.0, 0.05);
    let story = story(&r, &params, &batch);
    assert_eq!(story.causes(), []);
    assert!(!story.vanishes() && !story.explodes(), "{}", told(&story));
    let text = told(&story);
    assert!(
        text.contains(
            "The gate `f` of `c` averages 1.00; its most open unit keeps a factor of 1.00"
        ),
        "{text}"
    );
}

#[test]
fn a_contracting_matrix() {
    let (r, params, batch) = rnn(rotation(8, 0.5), 0.1);
    let story = story(&r, &params, &batch);
    let [Cause::SmallMatrix { parameter, radius }] = &story.causes()[..] else {
        panic!("{:?}", story.causes());
    };
    assert_eq!(&**parameter, "W_H");
    assert!((radius - 0.5).abs() < 1e-9, "{radius}");
    assert!(
        story
            .lags()
            .lost_after(0.01)
            .is_some_and(|n| (5..=8).contains(&n)),
        "0.5^7 = 0.008"
    );
    assert!(
        told(&story).contains("`W_H` has spectral radius 0.50"),
        "{}",
        told(&story)
    );
}

#[test]
fn an_orthogonal_matrix_has_no_cause() {
    let (r, params, batch) = rnn(rotation(8, 1.0), 0.003);
    let story = story(&r, &params, &batch);
    assert_eq!(story.causes(), []);
    assert!((story.lags().at(60).unwrap().arrival - 1.0).abs() < 0.1);
}

#[test]
fn a_large_matrix_without_bounds() {
    let text = RNN.replace("tanh(W_H @ h + W_X @ x + b)", "W_H @ h + W_X @ x + b");
    let r = parse(&text);
    let (mut params, batch) = data(&r, &[("H", 8), ("K", 2)], (40, 2), 0.1, 3);
    params.insert("W_H", rotation(8, 1.3));
    let story = story(&r, &params, &batch);
    let [Cause::LargeMatrix { parameter, radius }] = &story.causes()[..] else {
        panic!("{:?}", story.causes());
    };
    assert_eq!(&**parameter, "W_H");
    assert!((radius - 1.3).abs() < 1e-9, "{radius}");
    assert!(
        told(&story).contains("clip the gradient"),
        "{}",
        told(&story)
    );
}

#[test]
fn chaos() {
    // Sompolinsky, Crisanti and Sommers 1988: random couplings of gain 4 are chaotic. Uniform numbers have variance 1/3.
    let r = parse(RNN);
    let (mut params, batch) = data(&r, &[("H", 64), ("K", 2)], (80, 1), 0.01, 3);
    let mut noise = bptt::Noise(7);
    let w = ArrayD::from_shape_simple_fn(vec![64, 64], || 4.0 * 1.7 * noise.number() / 8.0);
    params.insert("W_H", w);
    let story = story(&r, &params, &batch);
    let causes = story.causes();
    assert!(
        causes
            .iter()
            .any(|c| matches!(c, Cause::Chaos { factor } if *factor > 1.05)),
        "{causes:?}"
    );
    assert!(
        told(&story).contains("the run is chaotic"),
        "{}",
        told(&story)
    );
}

#[test]
fn saturated_states() {
    let (r, mut params, batch) = rnn(rotation(8, 1.0), 0.1);
    params.insert("b", Array1::from_elem(8, 5.0));
    let story = story(&r, &params, &batch);
    let [
        Cause::Saturated {
            value,
            share,
            slope,
        },
    ] = &story.causes()[..]
    else {
        panic!("{:?}", story.causes());
    };
    assert_eq!(&**value, "h");
    assert!(*share > 0.9 && *slope < 0.01, "{share} {slope}");
}

#[test]
fn dead_units() {
    let text = RNN.replace("tanh(", "relu(");
    let r = parse(&text);
    let (mut params, batch) = data(&r, &[("H", 8), ("K", 2)], (80, 2), 0.1, 3);
    params.insert("W_H", rotation(8, 0.9));
    params.insert(
        "b",
        Array1::from_shape_fn(8, |i| if i < 6 { -50.0 } else { 1.0 }),
    );
    let causes = story(&r, &params, &batch).causes();
    let dead = causes.iter().find_map(|c| match c {
        Cause::Dead { value, share } => Some((&**value, *share)),
        _ => None,
    });
    assert_eq!(dead, Some(("h", 0.75)), "{causes:?}");
}

#[test]
fn a_loss_at_the_end_alone() {
    let text = RNN.replace("loss", "final loss");
    let r = parse(&text);
    let (mut params, batch) = data(&r, &[("H", 8), ("K", 2)], (30, 1), 0.003, 3);
    params.insert("W_H", rotation(8, 1.0));
    let story = story(&r, &params, &batch);
    assert_eq!(story.causes(), [Cause::LossAtEnd]);
    assert!(
        told(&story).contains("Only the last step has a loss"),
        "{}",
        told(&story)
    );
}

#[test]
fn a_truncation_that_is_too_short() {
    let (r, params, batch) = rnn(rotation(8, 1.0), 0.003);
    let story = story(&r, &params, &batch);
    let short = story.clone().truncated(5);
    let [Cause::ShortTruncation { steps: 5, left_out }] = &short.causes()[..] else {
        panic!("{:?}", short.causes());
    };
    assert!(*left_out > 0.5, "{left_out}");
    assert!(
        told(&short).contains("Truncation after 5 steps leaves out"),
        "{}",
        told(&short)
    );
    let (r, params, batch) = rnn(rotation(8, 0.5), 0.1);
    let long = self::story(&r, &params, &batch).truncated(60);
    assert!(
        !long
            .causes()
            .iter()
            .any(|c| matches!(c, Cause::ShortTruncation { .. }))
    );
}

/// δ of each named value at each step is the gradient with respect to it.
#[test]
fn error_terms_by_step() {
    let (r, params, batch) = rnn(rotation(8, 0.9), 0.3);
    let story = story(&r, &params, &batch);
    let gradient = r
        .gradient(&["h"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let h = story.values().iter().find(|v| &*v.name == "h").unwrap();
    assert_eq!(h.delta.len(), 80);
    let last: f64 = gradient["h"]
        .index_axis(ndarray::Axis(0), 79)
        .iter()
        .map(|x| x * x)
        .sum();
    assert!((h.delta[79] - last.sqrt()).abs() < 1e-12, "{}", h.delta[79]);
}

/// In a cell with gates the growth is not that of the matrices inside of them: with the same matrices and closed gates there is none.
#[test]
fn growth_beside_gates() {
    let run = |bias: f64| {
        let (r, params, batch) = lstm(bias, 0.2);
        story(&r, &params, &batch)
    };
    let (closed, open) = (run(-6.0), run(8.0));
    assert_eq!(closed.matrices(), open.matrices());
    assert!(
        open.explodes() && !closed.explodes(),
        "{}\n{}",
        told(&open),
        told(&closed)
    );
    assert!(
        matches!(open.causes()[0], Cause::Growth { factor } if factor > 1.0),
        "{:?}",
        open.causes()
    );
    let blames = |c: &Cause| matches!(c, Cause::LargeMatrix { .. } | Cause::SmallMatrix { .. });
    assert!(!open.causes().iter().chain(&closed.causes()).any(blames));
}

/// A step that reads a state with the factor zero does read it.
#[test]
fn nothing_comes_back() {
    let verdict = |text: &str, a: f64| {
        let r = parse(text);
        let params = Params::new().with("a", ndarray::arr0(a));
        let batch = Batch::new(5, 1).with("x", Array2::ones((5, 1)));
        told(&story(&r, &params, &batch))
    };
    let zero = verdict("param a\ninput x\nstate s\ns' = a * s + x\nloss s'\n", 0.0);
    assert!(
        zero.contains("is zero, or there is one step alone"),
        "{zero}"
    );
    let none = verdict("param a\ninput x\nloss (a - x)^2\n", 2.0);
    assert!(none.contains("No step reads another one"), "{none}");
    let some = verdict("param a\ninput x\nstate s\ns' = a * s + x\nloss s'\n", 0.5);
    assert!(!some.contains("No "), "{some}");
}

/// The mean of a gate hides a unit that is open; the factor is that of this unit.
#[test]
fn the_most_open_unit_of_a_gate() {
    let (r, mut params, batch) = lstm(-3.0, 0.05);
    let mut bias = Array1::from_elem(8, -3.0);
    bias[2] = 8.0;
    params.insert("b_f", bias);
    let story = story(&r, &params, &batch);
    let gate = &story.gates()[0];
    assert!(gate.factor > 0.99 && gate.mean < 0.3, "{gate:?}");
    assert!(!story.vanishes(), "{}", told(&story));
}
