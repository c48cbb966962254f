//! The figures of a run, in SVG: the norms of the state Jacobians `∂s_t/∂s_k`, next to their bounds.

use std::fmt::Write;

use super::svg_text;
use crate::derive::algebra::term::{Term, Time};
use crate::derive::notation::show;
use crate::derive::record::derivation::{Derivation, Kept, Reach};
use crate::render::{Math, Sign};

/// The width and height of a panel.
const SIDE: f64 = 280.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 30.0;
/// The height of a name with its scripts.
const NAME: f64 = 25.0;

/// All values beyond this power of ten have the same shade.
const DEEPEST: f64 = 16.0;

/// One of two panels side by side: a number for each pair of steps.
struct Panel {
    name: String,
    /// The natural logarithms, in the rows of [`Reach::logs`].
    logs: Vec<Vec<f64>>,
}

/// Heat maps of the norms and of the products of norms, for all pairs of steps.
pub(super) fn heat(d: &Derivation, reach: &Reach) -> String {
    let [actual, product, _] = d.reach_heads(reach);
    let bounds = reach.logs.iter().zip(&reach.marks[1..]).map(|(row, t)| {
        let from = reach.marks.iter().take(row.len());
        from.map(|k| reach.product_log(*t, *k)).collect()
    });
    let panels = [
        panel(d, &general(&actual), reach.logs.clone()),
        panel(d, &general(&product), bounds.collect()),
    ];
    panels_of(reach, &panels)
}

/// Heat maps of the norms and of the remaining factor along a carousel.
pub(super) fn kept(d: &Derivation, reach: &Reach, kept: &Kept) -> Option<String> {
    let [actual, ..] = d.reach_heads(reach);
    let panels = [
        panel(d, &general(&actual), reach.logs.clone()),
        panel(d, &super::carousel_head(d, kept)?, kept.logs.clone()),
    ];
    Some(panels_of(reach, &panels))
}

fn panel(d: &Derivation, head: &Term, logs: Vec<Vec<f64>>) -> Panel {
    Panel {
        name: svg_text(&d.symbols().show(head)),
        logs,
    }
}

fn panels_of(reach: &Reach, panels: &[Panel; 2]) -> String {
    let (width, height) = (2.0 * (SIDE + LEFT) + 30.0, SIDE + TOP + 64.0);
    let mut out = open("heat", width, height);
    let tens = |log: &f64| log / std::f64::consts::LN_10;
    let ends = |panel: &Panel| {
        let all = panel.logs.iter().flatten().map(tens);
        all.filter(|x| x.is_finite())
            .fold((0.0, 0.0), |(low, high): (f64, f64), x| {
                (low.min(x), high.max(x))
            })
    };
    // The measured norms determine the shades, however large the bound in the other panel is.
    let (actual, beside) = (ends(&panels[0]), ends(&panels[1]));
    let whole = (actual.0.min(beside.0), actual.1.max(beside.1));
    let room = (actual.1 - actual.0).max(3.0);
    let range = (
        whole.0.max(-DEEPEST),
        whole.1.min(actual.1 + room).min(DEEPEST),
    );
    let at = |step: usize| SIDE * as_f64(step) / as_f64(reach.steps);
    for (place, panel) in panels.iter().enumerate() {
        let left = corner(place);
        out.push_str("<g shape-rendering=\"crispEdges\">\n");
        for (row, ends) in panel.logs.iter().zip(reach.marks.windows(2)) {
            let (y, tall) = (TOP + at(ends[0]), at(ends[1]) - at(ends[0]));
            for (log, from) in row.iter().zip(reach.marks.windows(2)) {
                let (x, wide) = (left + at(from[0]), at(from[1]) - at(from[0]));
                let value = tens(log);
                let (class, share) = shade(value, range);
                let said = match value.is_finite() {
                    true => format!("10^{value:.1}").replace('-', "−"),
                    false => "0".into(),
                };
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" \
                     height=\"{tall:.1}\" fill-opacity=\"{share:.2}\"><title>t = {}, k = {}: \
                     {said}</title></rect>",
                    reach.step(ends[1]),
                    reach.step(from[0])
                );
            }
        }
        out.push_str("</g>\n");
        frame(&mut out, reach, left, &panel.name);
    }
    scale(&mut out, range, whole, height);
    out.push_str("</svg>");
    out
}

/// The frame and the labels of a panel.
fn frame(out: &mut String, reach: &Reach, x: f64, name: &str) {
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{x}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\"/>\
         <text x=\"{x}\" y=\"{}\">{name}</text>",
        TOP - 10.0
    );
    let last = reach.steps;
    let from = reach.marks.iter().rev().nth(1).copied().unwrap_or(0);
    let first = reach.marks.get(1).copied().unwrap_or(last);
    let below = TOP + SIDE + 15.0;
    for (at, text, anchor) in [
        (x, at_step('k', reach.step(0)), "start"),
        (x + SIDE, at_step('k', reach.step(from)), "end"),
    ] {
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{at}\" y=\"{below}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    let beside = x - 5.0;
    for (y, text) in [
        (TOP + 10.0, at_step('t', reach.step(first))),
        (TOP + SIDE - 2.0, reach.step(last).to_string()),
    ] {
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{beside}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"
        );
    }
}

fn at_step(var: char, step: usize) -> String {
    let equal = Math::relation(show::variable(var), Sign::Equal, Math::number(step));
    svg_text(&equal)
}

/// The head of a column with `t` in place of the last step.
fn general(head: &Term) -> Term {
    let mut copy = head.map(&mut general);
    for time in copy.times() {
        if *time == Time::last() || *time == Time::at(1) {
            *time = Time::var('t');
        }
    }
    copy
}

/// The colour bar, labelled with powers of ten.
fn scale(out: &mut String, range: (f64, f64), whole: (f64, f64), height: f64) {
    const PIECES: usize = 24;
    let (x, y, width) = (LEFT + 110.0, height - 26.0, 2.0 * SIDE - 150.0);
    let piece = width / as_f64(PIECES);
    for i in 0..PIECES {
        let value = range.0 + (range.1 - range.0) * (as_f64(i) + 0.5) / as_f64(PIECES);
        let (class, share) = shade(value, range);
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"10\" \
             fill-opacity=\"{share:.2}\"/>",
            x + piece * as_f64(i),
            piece + 0.2
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"10\"/>"
    );
    for value in ticks(range) {
        let at = x + width * (value - range.0) / (range.1 - range.0).max(1e-9);
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y + 22.0,
            power(value)
        );
    }
    // An ellipsis: values beyond this end have the same shade.
    for (cut, at, anchor) in [
        (whole.0 < range.0, x - 5.0, "end"),
        (whole.1 > range.1, x + width + 5.0, "start"),
    ] {
        if cut {
            let _ = writeln!(
                out,
                "<text class=\"small\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"{anchor}\">…</text>",
                y + 8.0
            );
        }
    }
}

/// Curves from the last step back: the norm, the product of norms, the power of the largest factor, and the remaining
/// factor of each carousel.
pub(super) fn curves(d: &Derivation, reach: &Reach) -> String {
    let (wide, tall) = (2.0 * SIDE - 60.0, 230.0);
    let (width, height) = (wide + LEFT + 130.0, tall + TOP + 34.0);
    let last = reach.steps;
    let series = super::columns(d, reach);
    let logs = |s: &super::Column| -> Vec<f64> {
        s.logs
            .iter()
            .map(|log| log / std::f64::consts::LN_10)
            .collect()
    };
    let gaps = super::gaps(reach);
    let (low, high) = view(&series, logs);
    let x = |gap: usize| LEFT + wide * as_f64(gap) / as_f64(last);
    let y = |value: f64| TOP + tall * (high - value.clamp(low, high)) / (high - low);
    let mut out = open("curves", width, height);
    for value in ticks((low, high)) {
        let (at, right) = (y(value), LEFT + wide);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"small\" x=\"{}\" \
             y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            power(value)
        );
    }
    let mut ends: Vec<(f64, String, &str)> = Vec::new();
    for column in &series {
        let points: Vec<(f64, f64)> = gaps.iter().map(|gap| x(*gap)).zip(logs(column)).collect();
        let mut path = String::new();
        for pair in points.windows(2) {
            if let Some([a, b]) = inside(pair[0], pair[1], (low, high)) {
                let _ = write!(path, "M{:.1} {:.1}L{:.1} {:.1}", a.0, y(a.1), b.0, y(b.1));
            }
        }
        let _ = writeln!(out, "<path class=\"curve {}\" d=\"{path}\"/>", column.class);
        let end = logs(column).last().copied().unwrap_or(0.0);
        ends.push((y(end), svg_text(&column.head), column.class));
    }
    // Names are at the ends of their curves, moved apart if they would overlap.
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP - 4.0;
    for end in &mut ends {
        end.0 = end.0.max(free);
        free = end.0 + NAME;
    }
    let mut free = TOP + tall;
    for end in ends.iter_mut().rev() {
        end.0 = end.0.min(free);
        free = end.0 - NAME;
    }
    for (at, name, class) in ends {
        let _ = writeln!(
            out,
            "<text class=\"name {class}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            LEFT + wide + 8.0,
            at + 5.0
        );
    }
    let head = d.symbols().time(&super::gap(reach));
    let _ = writeln!(
        out,
        "<path class=\"frame\" d=\"M{LEFT} {TOP}V{0}H{1}\"/>\
         <text class=\"small\" x=\"{LEFT}\" y=\"{2}\" text-anchor=\"middle\">0</text>\
         <text class=\"small\" x=\"{1}\" y=\"{2}\" text-anchor=\"end\">{last}</text>\
         <text x=\"{3}\" y=\"{4}\" text-anchor=\"middle\">{5}</text>\n</svg>",
        TOP + tall,
        LEFT + wide,
        TOP + tall + 15.0,
        LEFT + wide / 2.0,
        TOP + tall + 24.0,
        svg_text(&head)
    );
    out
}

/// The range of the plot, in powers of ten: all measured values, and bounds above them up to a height that leaves the
/// measured curves readable.
fn view(series: &[super::Column], logs: impl Fn(&super::Column) -> Vec<f64>) -> (f64, f64) {
    let ends = |bound: bool| {
        let some = series
            .iter()
            .filter(|c| ["product", "power"].contains(&c.class) == bound);
        let all = some.flat_map(&logs).filter(|x| x.is_finite());
        all.fold((0.0, 0.0), |(low, high): (f64, f64), x| {
            (low.min(x), high.max(x))
        })
    };
    let ((low, top), (least, most)) = (ends(false), ends(true));
    let low = low.min(least).floor();
    let high = most.min(top + (top - low).max(3.0)).max(top).ceil();
    (low, high.max(low + 1.0))
}

/// The part of a segment inside a range of heights.
fn inside(a: (f64, f64), b: (f64, f64), range: (f64, f64)) -> Option<[(f64, f64); 2]> {
    // Zero has no logarithm: its segment leaves the plot at the bottom.
    let deep = range.0 - 10.0 * (range.1 - range.0);
    let (a, b) = ((a.0, a.1.max(deep)), (b.0, b.1.max(deep)));
    let at = |height: f64| a.0 + (b.0 - a.0) * (height - a.1) / (b.1 - a.1);
    let within = |p: (f64, f64)| {
        let height = p.1.clamp(range.0, range.1);
        match height == p.1 {
            true => p,
            false => (at(height), height),
        }
    };
    let beyond = (a.1.max(b.1) < range.0) || (a.1.min(b.1) > range.1);
    (!beyond).then(|| [within(a), within(b)])
}

fn open(class: &str, width: f64, height: f64) -> String {
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n"
    )
}

fn corner(panel: usize) -> f64 {
    LEFT + as_f64(panel) * (SIDE + LEFT + 24.0)
}

/// The colour class and the opacity of a value: one colour below one, another above; paler near one.
fn shade(value: f64, range: (f64, f64)) -> (&'static str, f64) {
    let (class, end) = match value < 0.0 {
        true => ("less", range.0),
        false => ("more", range.1),
    };
    let share = if end == 0.0 { 0.0 } else { value / end };
    (class, 0.06 + 0.94 * share.clamp(0.0, 1.0))
}

/// Integer powers of ten, at most seven.
fn ticks(range: (f64, f64)) -> Vec<f64> {
    let span = (range.1 - range.0).max(1e-9);
    let decade = 10_f64.powf((span / 7.0).log10().floor()).max(0.1);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * decade);
    let step = steps.into_iter().find(|s| span / s <= 7.0);
    let step = step.unwrap_or(10.0 * decade);
    let mut ticks = Vec::new();
    let mut at = (range.0 / step).ceil() * step;
    while at <= range.1 + 1e-9 {
        ticks.push(at);
        at += step;
    }
    ticks
}

/// Ten to the power `value`, rounded to one decimal.
fn power(value: f64) -> String {
    let value = (value * 10.0).round() / 10.0;
    if value == 0.0 {
        return "1".into();
    }
    let exponent = if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    format!(
        "10<tspan dy=\"-4\" font-size=\"80%\">{}</tspan>",
        exponent.replace('-', "−")
    )
}

#[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
pub(super) fn as_f64(n: usize) -> f64 {
    n as f64
}
