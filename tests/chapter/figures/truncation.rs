//! The pairs of a loss and a use of the weight that three ways of truncation keep.

use super::canvas::{Anchor, Canvas, Colour};

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
