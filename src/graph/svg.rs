//! A graph as an SVG picture: rows from bottom to top, each vertex above its dependencies.

use std::fmt::Write;

use super::{Arrow, Graph, Kind, Vertex};
use crate::xml::escaped;

const CHARACTER: f64 = 7.3;
const HEIGHT: f64 = 26.0;
const ROW: f64 = 70.0;
const GAP: f64 = 18.0;
const MARGIN: f64 = 24.0;
/// The length limit of a text, in characters; a longer text is cut.
const LONGEST: usize = 72;
/// The number of times that the rows are sorted by the positions of their neighbours.
const SWEEPS: usize = 8;

/// The position of a vertex: its centre, and half of its width.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
    half: f64,
}

pub(super) fn text(graph: &Graph) -> String {
    let rows = rows(graph);
    let places = places(graph, &rows);
    let right = places.iter().map(|p| p.x + p.half).fold(0.0, f64::max) + 2.0 * MARGIN;
    let bottom = MARGIN + HEIGHT + ROW * rows.len().saturating_sub(1) as f64 + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right:.0} {bottom:.0}\" \
         width=\"{right:.0}\" height=\"{bottom:.0}\" font-family=\"monospace\" font-size=\"12\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#556\"/></marker></defs>\n",
        escaped(&graph.name)
    );
    // Writing to a string does not fail.
    for arrow in &graph.arrows {
        let (from, to) = (places[arrow.from], places[arrow.to]);
        let _ = writeln!(out, "{}", line(*arrow, from, to));
    }
    for (vertex, place) in graph.vertices.iter().zip(&places) {
        let _ = writeln!(out, "{}", shape(vertex, *place));
    }
    out.push_str("</svg>\n");
    out
}

/// The vertices of each row.
fn rows(graph: &Graph) -> Vec<Vec<usize>> {
    let count = graph.vertices.len();
    let mut level = vec![0_usize; count];
    // Without the arrows across steps there are no cycles, so this ends.
    for _ in 0..count {
        let before = level.clone();
        for arrow in graph.arrows.iter().filter(|a| a.across.is_none()) {
            level[arrow.to] = level[arrow.to].max(level[arrow.from] + 1);
        }
        if level == before {
            break;
        }
    }
    // A vertex without dependencies is moved to the row below its lowest user.
    for v in 0..count {
        let mut above = graph
            .arrows
            .iter()
            .filter(|a| a.from == v && a.across.is_none());
        let needs = graph.arrows.iter().any(|a| a.to == v && a.across.is_none());
        let lowest = above.by_ref().map(|a| level[a.to]).min();
        if let (false, Some(lowest)) = (needs, lowest) {
            level[v] = lowest.saturating_sub(1);
        }
    }
    let mut rows = vec![Vec::new(); level.iter().max().map_or(0, |m| m + 1)];
    for (v, level) in level.iter().enumerate() {
        rows[*level].push(v);
    }
    for sweep in 0..SWEEPS {
        let mut at = vec![0.0; count];
        for row in &rows {
            for (i, v) in row.iter().enumerate() {
                at[*v] = (i as f64 + 0.5) / row.len() as f64;
            }
        }
        for row in &mut rows {
            let key = |v: usize| {
                let joined = graph.arrows.iter().filter_map(|a| match sweep % 2 {
                    0 => (a.to == v).then_some(at[a.from]),
                    _ => (a.from == v).then_some(at[a.to]),
                });
                let joined: Vec<f64> = joined.collect();
                match joined.len() {
                    0 => at[v],
                    n => joined.iter().sum::<f64>() / n as f64,
                }
            };
            row.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
        }
    }
    rows
}

fn places(graph: &Graph, rows: &[Vec<usize>]) -> Vec<Place> {
    let half =
        |v: usize| 0.5 * (CHARACTER * shown(&graph.vertices[v].text).chars().count() as f64 + 16.0);
    let width = |row: &[usize]| row.iter().map(|v| 2.0 * half(*v) + GAP).sum::<f64>() - GAP;
    let widest = rows.iter().map(|r| width(r)).fold(0.0, f64::max);
    let mut places = vec![Place::default(); graph.vertices.len()];
    for (level, row) in rows.iter().enumerate() {
        let mut x = MARGIN + 0.5 * (widest - width(row));
        let y = MARGIN + 0.5 * HEIGHT + ROW * (rows.len() - 1 - level) as f64;
        for v in row {
            let half = half(*v);
            places[*v] = Place {
                x: x + half,
                y,
                half,
            };
            x += 2.0 * half + GAP;
        }
    }
    places
}

fn shown(text: &str) -> String {
    match text.chars().count() > LONGEST {
        true => text.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => text.into(),
    }
}

fn line(arrow: Arrow, from: Place, to: Place) -> String {
    let (top, bottom) = (from.y - 0.5 * HEIGHT, to.y + 0.5 * HEIGHT);
    if arrow.across.is_none() {
        let middle = 0.5 * (top + bottom);
        return format!(
            "<path d=\"M{:.1} {top:.1}C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {bottom:.1}\" \
             fill=\"none\" stroke=\"#99a\" marker-end=\"url(#tip)\"/>",
            from.x, from.x, to.x, to.x
        );
    }
    // The arrow leaves and enters on the right side.
    let (x1, x2) = (from.x + from.half, to.x + to.half);
    let out = x1.max(x2) + 1.5 * MARGIN;
    format!(
        "<path d=\"M{x1:.1} {:.1}C{out:.1} {:.1} {out:.1} {:.1} {x2:.1} {:.1}\" fill=\"none\" \
         stroke=\"#b40\" stroke-dasharray=\"5 4\" marker-end=\"url(#tip)\"/>",
        from.y, from.y, to.y, to.y
    )
}

fn shape(vertex: &Vertex, place: Place) -> String {
    let (fill, stroke, round) = match vertex.kind {
        Kind::Parameter => ("#eef4ff", "#8ad", 3),
        Kind::Input => ("#eefaee", "#7b8", 13),
        Kind::State => ("#fff2e8", "#c85", 8),
        Kind::Value => ("#ffffff", "#667", 3),
        Kind::Output => ("#f5eefc", "#96c", 3),
    };
    format!(
        "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" \
         rx=\"{round}\" fill=\"{fill}\" stroke=\"{stroke}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
         text-anchor=\"middle\">{}</text></g>",
        escaped(&vertex.text),
        place.x - place.half,
        place.y - 0.5 * HEIGHT,
        2.0 * place.half,
        place.x,
        place.y + 4.0,
        escaped(&shown(&vertex.text))
    )
}
