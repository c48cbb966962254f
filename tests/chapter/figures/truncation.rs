//! The pairs of a loss and a use of the weight that three ways of truncation keep.

use super::canvas::{Anchor, Canvas, Colour};
use crate::hand;

const STEPS: u32 = 9;
const WINDOW: u32 = 3;
const CELL: f64 = 12.0;

/// Is a pair of a loss at `t` and a use at `k` kept, counted from 1?
type Keeps = fn(u32, u32) -> bool;

const WAYS: [(&str, Keeps); 3] = [
    ("(a)", |_, _| true),
    ("(b)  τ = 3", |t, k| t - k < WINDOW),
    ("(c)  τ = 3", |t, k| (t - 1) / WINDOW == (k - 1) / WINDOW),
];

pub(super) fn picture() -> String {
    let mut canvas = Canvas::new("Pairs of steps kept by truncation", 388.0, 172.0);
    for (place, (name, keeps)) in WAYS.into_iter().enumerate() {
        let left = 30.0 + [0.0, 122.0, 244.0][place];
        let top = 36.0;
        canvas.text((left, 20.0), name, Anchor::Start, Colour::Ink);
        for t in 1..=STEPS {
            for k in 1..=t {
                let at = |step: u32| CELL * f64::from(step - 1);
                canvas.square(
                    (left + at(k), top + at(t)),
                    CELL - 2.0,
                    keeps(t, k),
                    Colour::Blue,
                );
            }
        }
        let bottom = top + CELL * f64::from(STEPS) + 14.0;
        canvas.text((left + 5.0, bottom), "1", Anchor::Middle, Colour::Ink);
        canvas.text((left + 53.0, bottom), "k", Anchor::Middle, Colour::Ink);
        canvas.text((left + 101.0, bottom), "9", Anchor::Middle, Colour::Ink);
    }
    canvas.text((20.0, 46.0), "1", Anchor::End, Colour::Ink);
    canvas.text((20.0, 94.0), "t", Anchor::End, Colour::Ink);
    canvas.text((20.0, 142.0), "9", Anchor::End, Colour::Ink);
    canvas.finish()
}

/// The kept pairs of each loss add up to its gradient on the steps that the way of truncation leaves, from the
/// state before them.
#[test]
fn the_pairs_of_the_picture_are_those_of_truncated_gradients() {
    let x = [0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.6, -0.3, 0.4];
    // The gradient of the loss at `t` on the steps from `first` to `t`.
    let gradient = |first: usize, t: usize, h0: f64| {
        let x = &x[first - 1..t];
        let mut on = vec![0.0; x.len()];
        *on.last_mut().unwrap() = 1.0;
        hand::evaluate(0.9, h0, x, x, &on)
    };
    let [values, _] = gradient(1, 9, 0.0);
    let h: Vec<f64> = [0.0]
        .into_iter()
        .chain(values["h"].iter().copied())
        .collect();
    let firsts: [fn(usize) -> usize; 3] = [|_| 1, |t| t.max(3) - 2, |t| [1, 4, 7][(t - 1) / 3]];
    for ((name, keeps), first) in WAYS.into_iter().zip(firsts) {
        for t in 1..=9 {
            let [_, whole] = gradient(1, t, 0.0);
            let pairs = whole["u"].iter().zip(1..);
            let kept = pairs.filter(|(_, k)| keeps(u32::try_from(t).unwrap(), *k));
            let kept: f64 = kept.map(|(pair, _)| pair).sum();
            let [_, truncated] = gradient(first(t), t, h[first(t) - 1]);
            let truncated = truncated["W_H"].first().unwrap();
            assert!(
                (kept - truncated).abs() < 1e-14,
                "{name}, loss {t}: {kept} {truncated}"
            );
        }
    }
}
