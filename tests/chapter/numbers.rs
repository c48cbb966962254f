//! Every number of the chapter, computed.

use crate::hand::{self, Run};
use crate::{page, reach};

const ALL: [f64; 3] = [1.0; 3];

fn whole() -> Run {
    hand::run(hand::W_H, ALL)
}

/// The contribution of the loss of step `t` and the use of a weight at step `k`, counted from 1.
fn pair(t: usize, k: usize, of: impl Fn(&Run) -> [f64; 3]) -> f64 {
    let mut on = [0.0; 3];
    on[t - 1] = 1.0;
    of(&hand::run(hand::W_H, on))[k - 1]
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}

fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The rows of the two tables of the example by hand, forwards and backwards.
fn rows(run: &Run) -> Vec<String> {
    let forwards = (0..3).map(|i| {
        row(&[
            (i + 1).to_string(),
            hand::X[i].to_string(),
            four(run.a[i]),
            four(run.h[i]),
            four(run.o[i]),
            hand::Y[i].to_string(),
            four(run.each[i]),
        ])
    });
    let backwards = (0..3).rev().map(|i| {
        // The derivative of tanh is the ratio of the two error terms around it.
        row(&[
            (i + 1).to_string(),
            four(run.delta_o[i]),
            four(hand::W_O * run.delta_o[i]),
            run.delta_a
                .get(i + 1)
                .map_or("0".into(), |d| four(hand::W_H * d)),
            four(run.delta_h[i]),
            four(run.delta_a[i] / run.delta_h[i]),
            four(run.delta_a[i]),
        ])
    });
    forwards.chain(backwards).collect()
}

/// The gradients with their terms, and the loss of a pair with its factors.
fn lines(run: &Run) -> Vec<String> {
    let term = |delta: f64, by: f64| format!("{}\\cdot {}", four(delta), four(by));
    let [h1, h2, h3] = run.h;
    let slope = |i: usize| run.delta_a[i] / run.delta_h[i];
    let wrt = |name: &str| format!("\\partial L/\\partial W_{{\\mathrm{{{name}}}}}=");
    vec![
        format!(
            "{}{}+{}+{}={}`$",
            wrt("O"),
            term(run.delta_o[0], h1),
            term(run.delta_o[1], h2),
            term(run.delta_o[2], h3),
            four(run.grad_w_o)
        ),
        format!(
            "{}{}\\cdot 0+{}+{}={}`$",
            wrt("H"),
            four(run.delta_a[0]),
            term(run.delta_a[1], h1),
            term(run.delta_a[2], h2),
            four(run.grad_w_h)
        ),
        format!(
            "={}\\cdot {}\\cdot {}\\cdot {}\\cdot {}\\cdot {}={}`$",
            four(run.delta_o[2]),
            hand::W_O,
            four(slope(2)),
            hand::W_H,
            four(slope(1)),
            four(h1),
            four(pair(3, 2, |r| r.of_w_h))
        ),
    ]
}

/// The decimals of the page, in its order: `given` are those of the text, such as `c = 0.5`.
fn decimals(run: &Run) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let given = |out: &mut Vec<String>, texts: &[&str]| {
        out.extend(texts.iter().map(|t| (*t).to_owned()));
    };
    let mut tables = rows(run);
    let backwards = tables.split_off(3);
    let of = |lines: &[String]| -> Vec<String> {
        let found = page::decimals(lines.iter().map(String::as_str));
        found.into_iter().map(str::to_owned).collect()
    };
    // The example by hand.
    out.push(hand::W_H.to_string());
    out.extend(of(&tables));
    out.push(four(run.loss));
    out.extend(of(&backwards));
    let lines = lines(run);
    out.extend(of(&lines[..2]));
    let h = 0.001;
    for w_h in [hand::W_H + h, hand::W_H - h] {
        out.push(w_h.to_string());
        out.push(format!("{:.6}", hand::run(w_h, ALL).loss));
    }
    let difference = hand::run(hand::W_H + h, ALL).loss - hand::run(hand::W_H - h, ALL).loss;
    out.extend([(2.0 * h).to_string(), four(difference / (2.0 * h))]);
    // One pair.
    out.extend(of(&lines[2..]));
    let slope = |i: usize| run.delta_a[i] / run.delta_h[i];
    for i in [2, 1] {
        let factor = hand::W_H * slope(i);
        out.extend([hand::W_H.to_string(), four(slope(i)), four(factor)]);
    }
    let factor = hand::W_H * slope(1);
    out.extend([four(factor), format!("{:.5}", factor.powi(10))]);
    // Measured curves.
    given(&mut out, &["0.5", "1.5", "0.5", "1.5"]);
    let logistic = |b: f64| 1.0 / (1.0 + (-b).exp());
    let biases = [0.0, 1.0, 2.0, 3.0, 5.0];
    out.extend(biases.map(|b| format!("{:.3}", logistic(b))));
    out.extend(biases.map(|b| format!("{:.1}", 0.5_f64.ln() / logistic(b).ln())));
    let mean = |lengths: &[f64]| format!("{:.2}", lengths[60].powf(1.0 / 60.0));
    out.push(mean(&reach::lstm("0")));
    given(&mut out, &["0.5"]);
    out.push(mean(&reach::rnn("0.5")));
    out.push(format!("{:.2}", reach::lstm("3")[60]));
    out.push(format!("{:.3}", reach::carousel("3")[60]));
    given(&mut out, &["0.3"]);
    let [large, alone] = reach::large_lstm("3");
    out.extend([format!("{:.1}", large[60]), format!("{:.3}", alone[60])]);
    // Exercises.
    let [a1, a2, a3] = run.delta_a;
    out.extend([four(a1), four(a3), four(run.grad_w_x)]);
    for (t, k) in [(1, 1), (2, 1), (3, 1), (3, 3)] {
        out.push(four(pair(t, k, |r| r.of_w_x)));
    }
    out.extend([four(run.grad_w_x), four(a1)]);
    let near = pair(2, 2, |r| r.of_w_h) + pair(3, 3, |r| r.of_w_h);
    out.extend([
        four(hand::W_O * run.delta_o[1]),
        four(slope(1)),
        four(run.h[0]),
    ]);
    out.extend([four(a3), four(run.h[1]), four(near)]);
    out.extend([four(run.grad_w_h - near), four(run.grad_w_h)]);
    out.extend([a1, a2, a3, run.grad_b_h, run.grad_h0].map(four));
    let gate = 0.5_f64.powf(1.0 / 20.0);
    out.extend([
        format!("{gate:.3}"),
        format!("{:.2}", (gate / (1.0 - gate)).ln()),
    ]);
    out
}

#[test]
fn every_number_of_the_chapter_is_computed() {
    let run = whole();
    let expected = decimals(&run);
    for language in page::LANGUAGES {
        let text = page::text(language);
        for wanted in rows(&run).iter().chain(&lines(&run)) {
            assert!(text.contains(wanted), "{language}: {wanted}");
        }
        let found = page::decimals(page::prose(&text));
        for (place, pair) in found.iter().zip(&expected).enumerate() {
            let before = &found[place.saturating_sub(5)..place];
            assert_eq!(pair.0, pair.1, "{language}, after {before:?}");
        }
        assert_eq!(found.len(), expected.len(), "{language}");
    }
}

/// The sentences of the exercises that are not numbers.
#[test]
fn the_sentences_about_the_example_are_true() {
    let run = whole();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
    // A gradient of a weight is the sum over its copies, and over the losses.
    close(run.of_w_h.iter().sum(), run.grad_w_h);
    close(run.of_w_x.iter().sum(), run.grad_w_x);
    for k in 1..=3 {
        close(
            (1..=3).map(|t| pair(t, k, |r| r.of_w_x)).sum(),
            run.of_w_x[k - 1],
        );
    }
    // Pairs of which the text says that they are zero.
    for t in 1..=3 {
        close(pair(t, 2, |r| r.of_w_x), 0.0);
        close(pair(t, 1, |r| r.of_w_h), 0.0);
    }
    // The error of the window of one step is the pair (3, 2).
    let near = pair(2, 2, |r| r.of_w_h) + pair(3, 3, |r| r.of_w_h);
    close(run.grad_w_h - near, pair(3, 2, |r| r.of_w_h));
    close(run.grad_h0, hand::W_H * run.delta_a[0]);
}

#[test]
fn the_sentences_about_the_curves_are_true() {
    assert!(reach::rnn("0.5")[10] < 1e-3, "c = 0.5, ten steps");
    let one = reach::rnn("1");
    assert!(one.windows(2).all(|w| w[1] <= w[0]), "c = 1 only shrinks");
    let large = reach::rnn("1.5");
    assert!(large[60] > 1.0, "c = 1.5 grows");
    assert!(large[..60].windows(2).any(|w| w[1] < w[0]), "not always");
}

/// The matrices of exercise 5: `A² = 0` with norm 5, and `B Bᵀ` with the eigenvalue 4.
#[test]
fn the_matrices_of_the_exercise_are_right() {
    use ndarray::{arr1, array};
    let a = array![[0.0, 5.0], [0.0, 0.0]];
    assert_eq!(a.dot(&arr1(&[0.0, 1.0])), arr1(&[5.0, 0.0]));
    assert_eq!(a.dot(&a), array![[0.0, 0.0], [0.0, 0.0]]);
    let b = array![[0.0, 2.0], [0.0, 0.0]];
    assert_eq!(b.dot(&b.t()), array![[4.0, 0.0], [0.0, 0.0]]);
    for language in page::LANGUAGES {
        let text = page::text(language);
        for entries in ["0&5\\\\0&0", "0&2\\\\0&0", "4&0\\\\0&0"] {
            assert!(text.contains(entries), "{language}: {entries}");
        }
    }
}
