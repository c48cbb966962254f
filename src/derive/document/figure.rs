//! The figure of a page, in SVG: three unrolled steps, with the forward and the backward pass.

use std::collections::HashMap;
use std::fmt::Write;

use super::numbering::Numbers;
use crate::derive::algebra::term::{Name, Quantity, Term, Time, visit};
use crate::derive::record::derivation::Derivation;
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::xml::escaped;

/// The minimum width of a box, and its height.
const BOX: (i64, i64) = (60, 30);
/// The horizontal gap between boxes, and the vertical distance of rows.
const PITCH: (i64, i64) = (24, 62);
/// The number of symbols that fit in a box of minimum width, and the extra width for each further symbol.
const ROOM: (usize, i64) = (5, 9);
/// The gap between two steps, for the edges through time.
const GAP: i64 = 74;
const MARGIN: i64 = 46;

/// A dependency: the value `to` reads `from` at a distance of `shift` steps.
struct Edge {
    from: Name,
    to: Name,
    shift: i64,
}

/// The class of an edge, which sets its colour and dashes.
fn kind(d: &Derivation, edge: &Edge) -> &'static str {
    let carried = Line::Carousel(edge.from.clone());
    match edge.shift {
        0 => "step",
        _ if edge.from == edge.to && d.line(&carried).is_some() => "carousel",
        _ => "time",
    }
}

/// The paths of one edge at one step: forward and backward.
struct Way<'e> {
    edge: &'e Edge,
    step: i64,
    forward: Vec<Point>,
    back: Vec<Point>,
}

fn ways<'e>(layout: &Layout, edge: &'e Edge) -> Vec<Way<'e>> {
    let drawn = |step: &i64| (-1..=3).contains(&(step + edge.shift));
    let mut seen: Vec<i64> = (0..3).filter(drawn).collect();
    // An edge from beyond the figure enters at the margin.
    if seen.is_empty() {
        seen.push(if edge.shift < 0 { 2 } else { 0 });
    }
    let way = |step: i64| {
        let a = layout.center(&edge.from, (step + edge.shift).clamp(-1, 3));
        let b = layout.center(&edge.to, step);
        let mut back = layout.route(a, b, edge.shift, -5);
        back.reverse();
        Way {
            edge,
            step,
            forward: layout.route(a, b, edge.shift, 5),
            back,
        }
    };
    seen.into_iter().map(way).collect()
}

/// The positions of the boxes.
struct Layout {
    places: HashMap<Name, (i64, i64)>,
    column: i64,
    height: i64,
    /// The width of every box.
    wide: i64,
}

impl Layout {
    fn center(&self, name: &Name, step: i64) -> (i64, i64) {
        let (x, row) = self.places.get(name).copied().unwrap_or((0, 0));
        (GAP + step * self.column + x, self.middle(row))
    }

    /// The path from one box to another, displaced by `aside`. Within a step it is straight; through time it leaves
    /// at the side, runs along the bottom and enters from below.
    fn route(&self, a: Point, b: Point, shift: i64, aside: i64) -> Vec<Point> {
        if shift == 0 {
            if let Some(around) = self.around(a, b, aside) {
                return around;
            }
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let side = if dx.abs() > 2 * dy.abs() {
                (0, aside)
            } else {
                (aside, 0)
            };
            let shifted = |p: Point| (p.0 + side.0, p.1 + side.1);
            let up = dy.signum() * (BOX.1 / 2 + 2);
            return vec![shifted((a.0, a.1 + up)), shifted((b.0, b.1 - up))];
        }
        let way = -shift.signum();
        let (out, back) = (
            a.0 + way * (self.wide / 2 + 2),
            b.0 - way * (self.wide / 2 + 2),
        );
        if a.1 == b.1 {
            return vec![(out, a.1 + aside), (back, b.1 + aside)];
        }
        let turn = self.lane(a, way) + way * (aside - 8 * (shift.abs() - 1));
        let bottom = self.height - MARGIN + 4 - 2 * aside - 10 * (shift.abs() - 1);
        vec![
            (out, a.1 + aside),
            (turn, a.1 + aside),
            (turn, bottom),
            (b.0 + aside, bottom),
            (b.0 + aside, b.1 + BOX.1 / 2 + 2),
        ]
    }
}

impl Layout {
    /// The nearest horizontal position on one side of a box at which a path can go down between the lower boxes.
    fn lane(&self, (x, y): Point, way: i64) -> i64 {
        const CLEAR: i64 = 12;
        let start = GAP + (x - GAP).div_euclid(self.column) * self.column;
        let lower = self
            .places
            .values()
            .filter(|(_, row)| self.middle(*row) > y);
        let taken: Vec<i64> = lower.map(|(at, _)| start + at).collect();
        let mut lane = x + way * (self.wide / 2 + CLEAR);
        while taken
            .iter()
            .any(|at| (at - lane).abs() < self.wide / 2 + CLEAR)
        {
            lane += way;
        }
        lane
    }

    /// The path around the boxes between two boxes in one column, if there are any. It runs on the left, since edges
    /// to later steps leave on the right.
    fn around(&self, a: Point, b: Point, aside: i64) -> Option<Vec<Point>> {
        let start = GAP + (a.0 - GAP).div_euclid(self.column) * self.column;
        let (high, low) = (a.1.min(b.1), a.1.max(b.1));
        let within = |ends: bool| {
            let rows = move |y: i64| {
                if ends {
                    (high..=low).contains(&y)
                } else {
                    high < y && y < low
                }
            };
            let boxes = self.places.values();
            boxes.filter_map(move |(x, row)| rows(self.middle(*row)).then_some(start + x))
        };
        let side = self.wide / 2;
        let blocked = within(false).any(|x| (x - (a.0 + b.0) / 2).abs() < side);
        if !blocked || (a.0 - b.0).abs() > side {
            return None;
        }
        let lane = a.0.min(b.0) - side - 12;
        let free = within(true).all(|x| x + side < lane - 10 || x - side > lane + 10);
        free.then(|| {
            let lane = lane - aside;
            vec![
                (a.0 - side - 2, a.1 + aside),
                (lane, a.1 + aside),
                (lane, b.1 - aside),
                (b.0 - side - 2, b.1 - aside),
            ]
        })
    }

    /// The vertical position of the middle of a row.
    fn middle(&self, row: i64) -> i64 {
        self.height - MARGIN - 26 - row * PITCH.1 - BOX.1 / 2
    }
}

/// Three steps, with solid forward edges and dashed error terms against them; `numbers` are the numbers of the lines.
pub(super) fn unrolled(d: &Derivation, numbers: &Numbers<'_>) -> String {
    let defined: Vec<(&Name, &Term)> = d
        .equations
        .iter()
        .filter(|e| e.part == Part::Definition)
        .filter_map(|e| match e.left.symbol() {
            Some((Quantity::Value, [name], [at])) if *at == Time::var('t') => {
                Some((name, &e.right))
            }
            _ => None,
        })
        .collect();
    let edges = edges(&defined);
    let layout = layout(d, &defined, &edges);
    let (width, height) = (GAP + 3 * layout.column, layout.height);
    let mut out = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         style=\"min-width:{}px\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" \
         refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\">\
         <path d=\"M0 0 8 4 0 8z\" fill=\"context-stroke\"/></marker></defs>\n",
        // The minimum width that is readable; a narrower window scrolls.
        width * 7 / 10
    );
    let ways: Vec<Way<'_>> = edges.iter().flat_map(|e| ways(&layout, e)).collect();
    let mut labels = Labels::new(&layout, &ways);
    for way in &ways {
        let kind = kind(d, way.edge);
        let _ = writeln!(
            out,
            "<path class=\"forward {kind}\" d=\"{}\" marker-end=\"url(#tip)\"/>",
            drawn(&way.forward)
        );
        let id = Line::Delta(way.edge.from.clone());
        let (Some(number), Some(widest)) = (numbers.line(&id, "tspan"), numbers.widest(&id)) else {
            continue;
        };
        let _ = write!(
            out,
            "<a href=\"#{}\"><path class=\"back {kind}\" d=\"{}\" marker-end=\"url(#tip)\"/>",
            escaped(&id.to_string()),
            drawn(&way.back)
        );
        // Only one step shows the numbers of the equations.
        if way.step == 1 && labelled(&edges, way.edge) {
            let (x, y) = labels.place(&way.back, &widest);
            let _ = write!(
                out,
                "<text class=\"label\" x=\"{x}\" y=\"{y}\">{number}</text>"
            );
        }
        out.push_str("</a>\n");
    }
    boxes(&mut out, d, &defined, &layout);
    out.push_str("</svg>");
    out
}

fn boxes(out: &mut String, d: &Derivation, defined: &[(&Name, &Term)], layout: &Layout) {
    for (name, _) in defined {
        for step in 0..3 {
            let (x, y) = layout.center(name, step);
            let state = if d.states.iter().chain(&d.back).any(|s| s.name == **name) {
                " state"
            } else {
                ""
            };
            let at = Time::var('t').plus(step - 1);
            let text = d.symbols().show(&Quantity::Value.of([*name], [at]));
            let _ = writeln!(
                out,
                "<a href=\"#def.{}\"><rect class=\"box{state}\" x=\"{}\" y=\"{}\" width=\"{}\" \
                 height=\"{}\" rx=\"6\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text></a>",
                escaped(name),
                x - layout.wide / 2,
                y - BOX.1 / 2,
                layout.wide,
                BOX.1,
                y + 5,
                super::svg_text(&text)
            );
        }
    }
    for step in 0..3 {
        let text = d.symbols().time(&Time::var('t').plus(step - 1));
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            GAP + step * layout.column + (layout.column - GAP) / 2,
            layout.height - 6,
            super::svg_text(&text)
        );
    }
}

fn edges(defined: &[(&Name, &Term)]) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for (to, right) in defined {
        visit(right, &mut |term| {
            if let Some((Quantity::Value, [from], [at])) = term.symbol()
                && defined.iter().any(|(n, _)| *n == from)
                && !edges
                    .iter()
                    .any(|e| e.from == *from && e.to == **to && e.shift == at.offset)
            {
                edges.push(Edge {
                    from: from.clone(),
                    to: (*to).clone(),
                    shift: at.offset,
                });
            }
        });
    }
    edges
}

/// Returns true if an edge shows the number: within a step always, through time only the first of the edges that send
/// errors to the same value at the same distance.
fn labelled(edges: &[Edge], edge: &Edge) -> bool {
    let alike = |e: &&Edge| e.from == edge.from && e.shift == edge.shift && e.shift != 0;
    let first = edges.iter().find(alike);
    edge.shift == 0 || first.is_some_and(|e| e.to == edge.to)
}

/// Places values in rows by rank, centred within their step.
fn layout(d: &Derivation, defined: &[(&Name, &Term)], edges: &[Edge]) -> Layout {
    let names = defined.iter().map(|(name, _)| {
        let before = Quantity::Value.of([*name], [Time::var('t').plus(-1)]);
        d.symbols().show(&before).width()
    });
    let longest = names.max().unwrap_or(0).saturating_sub(ROOM.0);
    let box_wide = BOX.0 + ROOM.1 * i64::try_from(longest).unwrap_or(0);
    let pitch = box_wide + PITCH.0;
    let mut rank: HashMap<&Name, i64> = HashMap::new();
    for (name, _) in defined {
        let below = edges.iter().filter(|e| e.to == **name && e.shift == 0);
        let row = below
            .filter_map(|e| rank.get(&e.from))
            .max()
            .map_or(0, |r| r + 1);
        rank.insert(name, row);
    }
    let (rank, rows) = (&rank, rank.values().max().map_or(1, |r| r + 1));
    let row = |r: i64| defined.iter().filter(move |(n, _)| rank.get(n) == Some(&r));
    let wide = (0..rows)
        .map(|r| i64::try_from(row(r).count()).unwrap_or(1))
        .max()
        .unwrap_or(1);
    let inner = wide * pitch;
    let mut places = HashMap::new();
    for r in 0..rows {
        let count = i64::try_from(row(r).count()).unwrap_or(1);
        let start = (inner - count * pitch) / 2 + pitch / 2;
        for (lane, (name, _)) in (0..).zip(row(r)) {
            places.insert((*name).clone(), (start + lane * pitch, r));
        }
    }
    Layout {
        places,
        column: inner + GAP,
        height: rows * PITCH.1 + 2 * MARGIN,
        wide: box_wide,
    }
}

type Point = (i64, i64);

/// A path with rounded corners.
fn drawn(points: &[Point]) -> String {
    const ROUND: i64 = 7;
    let toward = |from: Point, to: Point| {
        let step = |a: i64, b: i64| (b - a).signum() * ROUND.min((b - a).abs() / 2);
        (from.0 + step(from.0, to.0), from.1 + step(from.1, to.1))
    };
    let mut out = String::new();
    for (i, p) in points.iter().enumerate() {
        let corner = (i > 0).then(|| points.get(i + 1)).flatten();
        let _ = match corner {
            None if i == 0 => write!(out, "M{} {}", p.0, p.1),
            None => write!(out, " L{} {}", p.0, p.1),
            Some(next) => {
                let (before, after) = (toward(*p, points[i - 1]), toward(*p, *next));
                write!(
                    out,
                    " L{} {} Q{} {} {} {}",
                    before.0, before.1, p.0, p.1, after.0, after.1
                )
            }
        };
    }
    out
}

/// The preferred position of a line number: near the end of the backward path.
fn label_at(points: &[Point]) -> Point {
    match points {
        [a, b] if a.1 == b.1 => ((a.0 + b.0) / 2 - 10, a.1 - 4),
        [a, b] => ((a.0 + 2 * b.0) / 3 - 27, (a.1 + 2 * b.1) / 3 + 3),
        [.., a, b] => ((a.0 + b.0) / 2 - 12, b.1 - 5),
        _ => (0, 0),
    }
}

/// An area that a label must not cover: left, top, right and bottom.
type Area = (i64, i64, i64, i64);

/// The obstacles for labels.
struct Labels {
    areas: Vec<Area>,
    lines: Vec<Point>,
}

impl Labels {
    fn new(layout: &Layout, ways: &[Way<'_>]) -> Self {
        let (x, y) = (layout.wide / 2 + 1, BOX.1 / 2 + 1);
        let steps = |name| (0..3).map(move |step| layout.center(name, step));
        let boxes = layout.places.keys().flat_map(steps);
        let drawn = ways.iter().flat_map(|w| [&w.forward, &w.back]);
        Self {
            areas: boxes
                .map(|p| (p.0 - x, p.1 - y, p.0 + x, p.1 + y))
                .collect(),
            lines: drawn.flat_map(|way| dotted(way, 4)).collect(),
        }
    }

    /// The position along a path where a label covers least.
    fn place(&mut self, way: &[Point], text: &str) -> Point {
        let wide = 6 * i64::try_from(text.len()).unwrap_or(0);
        let area = |p: Point| (p.0 - 1, p.1 - 9, p.0 + wide + 1, p.1 + 2);
        let guess = label_at(way);
        let beside = |p: Point| {
            let (left, over) = (p.0 - wide - 4, p.0 - wide / 2);
            [
                (left, p.1 + 3),
                (p.0 + 5, p.1 + 3),
                (over, p.1 - 4),
                (over, p.1 + 12),
            ]
        };
        let around = dotted(way, 6).into_iter().flat_map(beside);
        let cost = |p: &Point| {
            let (left, up, right, down) = area(*p);
            let meets = |a: &&Area| left < a.2 && a.0 < right && up < a.3 && a.1 < down;
            let on = |q: &&Point| left < q.0 && q.0 < right && up < q.1 && q.1 < down;
            let (areas, lines) = (
                self.areas.iter().filter(meets),
                self.lines.iter().filter(on),
            );
            let far = (p.0 - guess.0).abs() + (p.1 - guess.1).abs();
            // A label is unreadable on a box or another label, but readable on a line.
            1000 * areas.count() + 20 * lines.count() + usize::try_from(far).unwrap_or(0)
        };
        let best = std::iter::once(guess).chain(around).min_by_key(cost);
        let best = best.unwrap_or(guess);
        self.areas.push(area(best));
        best
    }
}

/// Points along a path at a distance of `apart`.
fn dotted(way: &[Point], apart: i64) -> Vec<Point> {
    let mut dots = Vec::new();
    for ends in way.windows(2) {
        let (dx, dy) = (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1);
        let count = (dx.abs().max(dy.abs()) / apart).max(1);
        dots.extend((0..=count).map(|i| (ends[0].0 + dx * i / count, ends[0].1 + dy * i / count)));
    }
    dots
}
