//! Three steps of a network: the same weights at every step, and the way of the error back.

use super::canvas::{Anchor, Canvas, Colour, Pen, Point, RADIUS, pen};

/// The rows of values, from the top, and their heights.
const ROWS: [(&str, f64); 5] = [
    ("L", 26.0),
    ("o", 102.0),
    ("h", 178.0),
    ("a", 262.0),
    ("x", 338.0),
];
/// The distance of the way back from the way there.
const ASIDE: f64 = 7.0;

fn column(step: usize) -> f64 {
    [24.0, 120.0, 236.0, 352.0][step]
}

/// The two ends of an arrow between the borders of two circles, moved aside.
fn between(from: Point, to: Point, aside: f64) -> [Point; 2] {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let (x, y) = ((to.0 - from.0) / length, (to.1 - from.1) / length);
    let reach = (RADIUS * RADIUS - aside * aside).sqrt() + 1.5;
    [
        (
            from.0 + reach * x - aside * y,
            from.1 + reach * y + aside * x,
        ),
        (to.0 - reach * x - aside * y, to.1 - reach * y + aside * x),
    ]
}

pub(super) fn picture() -> String {
    let mut canvas = Canvas::new("A recurrent network over three steps", 388.0, 366.0);
    let there = |colour| pen(colour, 1.8);
    let back = pen(Colour::Ink, 1.3).dashed();
    let row = |name: &str| ROWS.iter().find(|(n, _)| *n == name).unwrap().1;
    let edge = |canvas: &mut Canvas, from: Point, to: Point, pen: Pen, returns: bool| {
        canvas.arrow(&between(from, to, if returns { -ASIDE } else { 0.0 }), pen);
        if returns {
            canvas.arrow(&between(to, from, -ASIDE), back);
        }
    };
    for step in 1..=3 {
        let x = column(step);
        let at = |name: &str| (x, row(name));
        edge(&mut canvas, at("x"), at("a"), there(Colour::Green), false);
        canvas.text((x + 6.0, 304.0), "W_{X}", Anchor::Start, Colour::Green);
        edge(&mut canvas, at("a"), at("h"), there(Colour::Ink), true);
        edge(&mut canvas, at("h"), at("o"), there(Colour::Orange), true);
        canvas.text((x - 12.0, 144.0), "W_{O}", Anchor::End, Colour::Orange);
        edge(&mut canvas, at("o"), at("L"), there(Colour::Ink), true);
        let before = (column(step - 1), row("h"));
        edge(&mut canvas, before, at("a"), there(Colour::Blue), step > 1);
        let middle = ((before.0 + x) / 2.0, f64::midpoint(before.1, row("a")));
        canvas.text(
            (middle.0 - 8.0, middle.1 + 22.0),
            "W_{H}",
            Anchor::End,
            Colour::Blue,
        );
    }
    canvas.value((column(0), row("h")), "h_{0}", pen(Colour::Ink, 1.2));
    for step in 1..=3 {
        for (name, height) in ROWS {
            let formula = format!("{name}_{{{step}}}");
            canvas.value((column(step), height), &formula, pen(Colour::Ink, 1.2));
        }
    }
    canvas.finish()
}
