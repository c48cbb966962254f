//! The length of the error on its way back, measured: an RNN above, an LSTM below.

use super::canvas::{Anchor, Canvas, Colour, pen};
use crate::reach;

const LEFT: f64 = 46.0;
const RIGHT: f64 = 316.0;
const HEIGHT: f64 = 160.0;
/// The number of steps back, and the powers of ten at the ends of the axis.
const STEPS: f64 = 60.0;
const LOW: f64 = -6.0;
const HIGH: f64 = 2.0;

struct Curve {
    name: String,
    lengths: Vec<f64>,
    colour: Colour,
    dashed: bool,
}

fn x(back: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * back / STEPS
}

fn y(top: f64, power: f64) -> f64 {
    top + HEIGHT * (HIGH - power) / (HIGH - LOW)
}

fn axes(canvas: &mut Canvas, top: f64, title: &str) {
    let thin = pen(Colour::Ink, 1.0);
    canvas.text((LEFT + 4.0, top - 10.0), title, Anchor::Start, Colour::Ink);
    for power in [-6, -4, -2, 0, 2] {
        let height = y(top, f64::from(power));
        canvas.line(&[(LEFT - 4.0, height), (LEFT, height)], thin);
        let name = match power {
            0 => "1".into(),
            power => format!("10^{{{power}}}").replace('-', "−"),
        };
        canvas.text((LEFT - 7.0, height + 5.0), &name, Anchor::End, Colour::Ink);
    }
    for back in [0, 20, 40, 60] {
        let at = x(f64::from(back));
        canvas.line(&[(at, top + HEIGHT), (at, top + HEIGHT + 4.0)], thin);
        let name = back.to_string();
        canvas.text(
            (at, top + HEIGHT + 19.0),
            &name,
            Anchor::Middle,
            Colour::Ink,
        );
    }
    let frame = [(LEFT, top), (LEFT, top + HEIGHT), (RIGHT, top + HEIGHT)];
    canvas.line(&frame, thin);
    canvas.line(
        &[(LEFT, y(top, 0.0)), (RIGHT, y(top, 0.0))],
        pen(Colour::Ink, 0.4),
    );
}

/// Draws a curve as far as it is inside the axes, with its name at the end.
fn draw(canvas: &mut Canvas, top: f64, curve: &Curve) {
    let mut points = Vec::new();
    let mut back = 0.0;
    let mut left = false;
    for pair in curve.lengths.windows(2) {
        let [from, to] = [pair[0].log10(), pair[1].log10()];
        points.push((x(back), y(top, from)));
        if to < LOW {
            let part = (LOW - from) / (to - from);
            points.push((x(back + part), y(top, LOW)));
            left = true;
            break;
        }
        back += 1.0;
        if back >= STEPS {
            points.push((x(back), y(top, to)));
            break;
        }
    }
    let mut ink = pen(curve.colour, 1.8);
    if curve.dashed {
        ink = ink.dashed();
    }
    canvas.line(&points, ink);
    let end = *points.last().unwrap();
    let place = if left {
        (end.0 + 4.0, end.1 - 6.0)
    } else {
        (end.0 + 5.0, end.1 + 5.0)
    };
    canvas.text(place, &curve.name, Anchor::Start, curve.colour);
}

pub(super) fn picture() -> String {
    let colours = [Colour::Blue, Colour::Orange, Colour::Green, Colour::Ink];
    let rnn = ["0.5", "0.9", "1", "1.5"].into_iter().zip(colours);
    let rnn = rnn.map(|(c, colour)| Curve {
        name: format!("c = {c}"),
        lengths: reach::rnn(c),
        colour,
        dashed: false,
    });
    let lstm = ["0", "1", "3"].into_iter().zip(colours);
    let lstm = lstm.flat_map(|(bias, colour)| {
        let name = format!("b_{{f}} = {bias}");
        [
            (name, reach::lstm(bias), false),
            (String::new(), reach::carousel(bias), true),
        ]
        .map(|(name, lengths, dashed)| Curve {
            name,
            lengths,
            colour,
            dashed,
        })
    });
    let mut canvas = Canvas::new("The length of the error on its way back", 388.0, 446.0);
    let norm = "‖δ_{k}‖ / ‖δ_{T}‖";
    let (above, below) = (32.0, 252.0);
    axes(&mut canvas, above, &format!("RNN:  {norm},  W = c Q"));
    axes(&mut canvas, below, &format!("LSTM:  {norm}"));
    for curve in rnn {
        draw(&mut canvas, above, &curve);
    }
    for curve in lstm {
        draw(&mut canvas, below, &curve);
    }
    canvas.text(
        (RIGHT + 14.0, below + HEIGHT + 19.0),
        "T − k",
        Anchor::Start,
        Colour::Ink,
    );
    canvas.text(
        (RIGHT + 14.0, above + HEIGHT + 19.0),
        "T − k",
        Anchor::Start,
        Colour::Ink,
    );
    canvas.finish()
}
