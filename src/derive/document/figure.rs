//! The figures of a page, in SVG: three steps unrolled, and how far the state reaches.

use std::collections::HashMap;
use std::fmt::Write;

use crate::derive::generate::visit;
use crate::derive::oracle::Oracle;
use crate::derive::term::{Name, Term, Time};
use crate::derive::{Derivation, Part, evaluate};
use crate::render::{Charset, escape};

const COLUMN: i64 = 230;
const ROW: i64 = 52;
const BOX: (i64, i64) = (64, 30);

/// What one value reads: another value, so many steps away.
struct Edge {
    from: Name,
    to: Name,
    shift: i64,
}

/// Three steps with the forward edges solid and the error terms dashed against them.
pub(super) fn unrolled(d: &Derivation) -> String {
    let defined: Vec<(&Name, &Term)> = d
        .equations
        .iter()
        .filter(|e| e.part == Part::Definition)
        .filter_map(|e| match &e.left {
            Term::Value(name, Some(at)) if *at == Time::var('t') => Some((name, &e.right)),
            _ => None,
        })
        .collect();
    let mut edges: Vec<Edge> = Vec::new();
    for (to, right) in &defined {
        visit(right, &mut |term| {
            if let Term::Value(from, Some(at)) = term
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
    let places = places(&defined, &edges);
    let rows = places.values().map(|p| p.1).max().unwrap_or(0) + 1;
    let lanes = places.values().map(|p| p.0).max().unwrap_or(0) + 1;
    let column = COLUMN.max(lanes * (BOX.0 + 26) + 50);
    let (width, height) = (3 * column, rows * ROW + 50);
    let center = |name: &Name, step: i64| {
        let (lane, row) = places.get(name).copied().unwrap_or((0, 0));
        let x = column * step + 40 + lane * (BOX.0 + 26) + BOX.0 / 2;
        (x, height - 50 - row * ROW + 5)
    };
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" \
         refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\">\
         <path d=\"M0 0 8 4 0 8z\" fill=\"context-stroke\"/></marker></defs>\n"
    );
    for edge in &edges {
        for step in 0..3 {
            let source = step + edge.shift;
            if !(-1..=3).contains(&source) {
                continue;
            }
            let (a, b) = (center(&edge.from, source), center(&edge.to, step));
            let (p, q) = trimmed(a, b);
            // The two directions run side by side.
            let (dx, dy) = aside(p, q);
            let path = |class: &str, p: (i64, i64), q: (i64, i64), s: i64| {
                format!(
                    "<path class=\"{class}\" d=\"M{} {} L{} {}\" marker-end=\"url(#tip)\"/>\n",
                    p.0 + s * dx,
                    p.1 + s * dy,
                    q.0 + s * dx,
                    q.1 + s * dy
                )
            };
            out.push_str(&path("forward", p, q, 1));
            let link = format!("adj.{}", edge.to);
            let _ = write!(
                out,
                "<a href=\"#{}\">{}</a>",
                escape(&link),
                path("back", q, p, -1)
            );
        }
    }
    for (name, _) in &defined {
        for step in 0..3 {
            let (x, y) = center(name, step);
            let class = if d.states.contains(name) {
                "box state"
            } else {
                "box"
            };
            let at = Time::var('t').plus(step - 1);
            let text = d.symbols().show(&Term::Value((*name).clone(), Some(at)));
            let _ = writeln!(
                out,
                "<a href=\"#def.{}\"><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" \
                 height=\"{}\" rx=\"6\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text></a>",
                escape(name),
                x - BOX.0 / 2,
                y - BOX.1 / 2,
                BOX.0,
                BOX.1,
                y + 5,
                escape(&text.text(Charset::Unicode))
            );
        }
    }
    for step in 0..3 {
        let text = d
            .symbols()
            .time(&Time::var('t').plus(step - 1))
            .text(Charset::Unicode);
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            column * step + column / 2,
            height - 8,
            escape(&text)
        );
    }
    out.push_str("</svg>");
    out
}

/// Where each value stands within a step: beside the others of its rank.
fn places(defined: &[(&Name, &Term)], edges: &[Edge]) -> HashMap<Name, (i64, i64)> {
    let mut rank: HashMap<Name, i64> = HashMap::new();
    for (name, _) in defined {
        let below = edges.iter().filter(|e| e.to == **name && e.shift == 0);
        let row = below
            .filter_map(|e| rank.get(&e.from))
            .max()
            .map_or(0, |r| r + 1);
        rank.insert((*name).clone(), row);
    }
    let mut filled: HashMap<i64, i64> = HashMap::new();
    let mut places = HashMap::new();
    for (name, _) in defined {
        let row = rank.get(*name).copied().unwrap_or(0);
        let lane = filled.entry(row).or_insert(0);
        places.insert((*name).clone(), (*lane, row));
        *lane += 1;
    }
    places
}

/// A line from the edge of one box to the edge of another.
fn trimmed(a: (i64, i64), b: (i64, i64)) -> ((i64, i64), (i64, i64)) {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let cut = |from: (i64, i64), sign: i64| {
        let (w, h) = (BOX.0 / 2 + 3, BOX.1 / 2 + 3);
        // Where the line leaves the box: through its side or through its top.
        if dx.abs() * h > dy.abs() * w {
            let x = sign * dx.signum() * w;
            (from.0 + x, from.1 + if dx == 0 { 0 } else { x * dy / dx })
        } else {
            let y = sign * dy.signum() * h;
            (from.0 + if dy == 0 { 0 } else { y * dx / dy }, from.1 + y)
        }
    };
    (cut(a, 1), cut(b, -1))
}

/// A small step to the side of a line.
fn aside(p: (i64, i64), q: (i64, i64)) -> (i64, i64) {
    let (dx, dy) = (q.0 - p.0, q.1 - p.1);
    match (dx.abs() > 2 * dy.abs(), dy.abs() > 2 * dx.abs()) {
        (true, _) => (0, 4),
        (_, true) => (4, 0),
        _ if (dx > 0) == (dy > 0) => (3, -3),
        _ => (3, 3),
    }
}

/// How many steps the heat map is of.
const STEPS: usize = 14;
const CELL: i64 = 20;

/// The norms of `∂s_t/∂s_k` on a run, beside the products of norms that bound them.
pub(super) fn heat(d: &Derivation) -> Option<String> {
    if d.states.is_empty() {
        return None;
    }
    let run = Oracle::new(d, 1, STEPS).and_then(|o| o.flows()).ok()?;
    let norm = |term: &Term| match run.evaluate(term, &Vec::new()) {
        Ok(evaluate::V::Array(a)) => Some(evaluate::spectral_norm(&a).log10()),
        _ => None,
    };
    let steps = i64::try_from(STEPS).ok()?;
    let mut single: Vec<f64> = Vec::new();
    for t in 1..=steps {
        single.push(norm(&Term::StateJacobian(Time::at(t)))?);
    }
    let side = STEPS_WIDTH;
    let (width, height) = (2 * side + 60, side + 60);
    let mut out = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n"
    );
    let mut range: (f64, f64) = (0.0, 0.0);
    let mut cells = Vec::new();
    for t in 1..=steps {
        for k in 0..t {
            let flow = Term::StateFlow(Time::at(t), Time::at(k));
            let actual = norm(&flow)?;
            let from = usize::try_from(k).ok()?;
            let bound: f64 = single[from..usize::try_from(t).ok()?].iter().sum();
            range = (range.0.min(actual), range.1.max(bound));
            cells.push((t, k, actual, bound));
        }
    }
    for (t, k, actual, bound) in cells {
        for (panel, value) in [(0, actual), (1, bound)] {
            let x = 30 + panel * (side + 20) + k * CELL;
            let y = 20 + (t - 1) * CELL;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{}\">\
                 <title>t = {t}, k = {k}: 10^{value:.1}</title></rect>",
                colour(value, range)
            );
        }
    }
    for panel in 0..2 {
        let x = 30 + panel * (side + 20);
        let name = if panel == 0 {
            "‖∂sₜ/∂sₖ‖"
        } else {
            "∏ ‖Jⱼ‖"
        };
        let _ = writeln!(
            out,
            "<text class=\"small\" x=\"{x}\" y=\"12\">{name}</text>\
             <text class=\"small\" x=\"{x}\" y=\"{}\">k = 0 … {}</text>",
            side + 34,
            steps - 1
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"small\" x=\"0\" y=\"34\">t = 1</text><text class=\"small\" x=\"0\" y=\"{}\">\
         {steps}</text><text class=\"small\" x=\"30\" y=\"{}\">10^{:.1} … 10^{:.1}</text>\n</svg>",
        16 + steps * CELL,
        side + 52,
        range.0,
        range.1
    );
    Some(out)
}

const STEPS_WIDTH: i64 = 14 * CELL;

/// From dark blue (small) over white (one) to red (large).
fn colour(value: f64, range: (f64, f64)) -> String {
    let (low, high) = (range.0.min(-1e-9), range.1.max(1e-9));
    let share = if value < 0.0 {
        (value / low).min(1.0)
    } else {
        (value / high).min(1.0)
    };
    let mix = |to: f64| (255.0 + (to - 255.0) * share).round();
    let (r, g, b) = if value < 0.0 {
        (28.0, 62.0, 120.0)
    } else {
        (178.0, 40.0, 30.0)
    };
    format!("rgb({} {} {})", mix(r), mix(g), mix(b))
}
