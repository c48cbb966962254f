//! A graph in the language of Graphviz.

use std::fmt::Write;

use super::{Graph, Kind};
use crate::tape::Direction;

pub(super) fn text(graph: &Graph) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!(
        "digraph {} {{\n  rankdir=BT\n  node [fontname=monospace]\n",
        quoted(&graph.name)
    );
    // Writing to a string does not fail.
    for (i, vertex) in graph.vertices.iter().enumerate() {
        let style = match vertex.kind {
            Kind::Parameter => "shape=plain",
            Kind::Input => "shape=ellipse",
            Kind::State => "shape=box, style=rounded",
            Kind::Value => "shape=box",
            Kind::Output => "shape=box, peripheries=2",
        };
        let _ = writeln!(out, "  n{i} [label={}, {style}]", quoted(&vertex.text));
    }
    for arrow in &graph.arrows {
        let style = match arrow.across {
            None => "",
            Some(Direction::Forward) => " [style=dashed, constraint=false, label=\"t + 1\"]",
            Some(Direction::Backward) => " [style=dashed, constraint=false, label=\"t - 1\"]",
        };
        let _ = writeln!(out, "  n{} -> n{}{style}", arrow.from, arrow.to);
    }
    out.push_str("}\n");
    out
}
