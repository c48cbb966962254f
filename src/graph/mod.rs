//! The graph of a recurrence, for display: declarations, named values, outputs, and their
//! dependencies. Registers are the arrows to the next step.

mod dot;
mod svg;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::op::{NodeId, Op};
use crate::recurrence::Recurrence;
use crate::tape::{Direction, Role};

/// The kind of a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Parameter,
    Input,
    /// The value of a state before the step.
    State,
    Value,
    Output,
}

#[derive(Clone, Debug)]
struct Vertex {
    kind: Kind,
    text: String,
}

/// An arrow from a value to a value computed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrow {
    from: usize,
    to: usize,
    /// The direction of time, if the arrow leads to the next or the previous step.
    across: Option<Direction>,
}

/// The vertices, and the arrows between them.
#[derive(Clone, Debug)]
struct Graph {
    name: String,
    vertices: Vec<Vertex>,
    arrows: Vec<Arrow>,
}

impl Recurrence {
    /// The graph in the language of Graphviz.
    ///
    /// ```
    /// let r = bptt::Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\noutput s'\n")?;
    /// assert!(r.dot().starts_with("digraph \"sum\" {"));
    /// # Ok::<(), bptt::Diagnostics>(())
    /// ```
    #[must_use]
    pub fn dot(&self) -> String {
        dot::text(&Graph::of(self))
    }

    /// The graph as an SVG picture.
    ///
    /// ```
    /// let r = bptt::Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\noutput s'\n")?;
    /// assert!(r.svg().starts_with("<svg "));
    /// # Ok::<(), bptt::Diagnostics>(())
    /// ```
    #[must_use]
    pub fn svg(&self) -> String {
        svg::text(&Graph::of(self))
    }
}

impl Graph {
    fn of(recurrence: &Recurrence) -> Self {
        let tape = recurrence.tape();
        let names = tape.dim_names();
        let mut graph = Self {
            name: recurrence.name().into(),
            vertices: Vec::new(),
            arrows: Vec::new(),
        };
        let mut at: HashMap<NodeId, usize> = HashMap::new();
        let names_of_states: HashSet<&str> = recurrence.states().collect();
        let mut states = Vec::new();
        for (id, node) in tape.nodes() {
            let (kind, text) = match &node.op {
                Op::Leaf(leaf) => {
                    let leaf = tape.leaf(*leaf);
                    let kind = match leaf.role() {
                        Role::Parameter => Kind::Parameter,
                        Role::Input => Kind::Input,
                    };
                    let shape = match leaf.ty().shape.rank() {
                        0 => String::new(),
                        _ => format!(" {}", leaf.ty().shape.text(&names)),
                    };
                    (kind, format!("{}{shape}", leaf.name()))
                }
                Op::Read(register) => {
                    let register = tape.register(*register);
                    states.push((graph.vertices.len(), register));
                    (Kind::State, register.name().to_owned())
                }
                _ => match tape.label(id) {
                    Some(name) => {
                        let next = names_of_states.contains(name);
                        let prime = if next { "'" } else { "" };
                        (
                            Kind::Value,
                            format!("{name}{prime} = {}", tape.definition(id)),
                        )
                    }
                    None => continue,
                },
            };
            at.insert(id, graph.vertices.len());
            graph.vertices.push(Vertex { kind, text });
        }
        // The definition of a register has a vertex even if it has no name.
        for (vertex, register) in &states {
            if let Some(def) = register.def()
                && let Entry::Vacant(place) = at.entry(def)
            {
                place.insert(graph.vertices.len());
                let state = &graph.vertices[*vertex].text;
                let text = format!("{state}' = {}", tape.definition(def));
                graph.vertices.push(Vertex {
                    kind: Kind::Value,
                    text,
                });
            }
        }
        let values: Vec<(NodeId, usize)> = at.iter().map(|(id, v)| (*id, *v)).collect();
        for (id, to) in values {
            for from in needed(recurrence, &at, tape.node(id).args()) {
                graph.arrows.push(Arrow {
                    from,
                    to,
                    across: None,
                });
            }
        }
        for (vertex, register) in states {
            let across = Some(register.direction());
            let def = register.def().and_then(|d| at.get(&d));
            graph.arrows.extend(def.map(|from| Arrow {
                from: *from,
                to: vertex,
                across,
            }));
            let init = register
                .init()
                .map_or(vec![], |i| needed(recurrence, &at, &[i]));
            graph.arrows.extend(init.into_iter().map(|from| Arrow {
                from,
                to: vertex,
                across: None,
            }));
        }
        for name in recurrence.outputs() {
            let Ok(id) = recurrence.output(name) else {
                continue;
            };
            let text = match at.contains_key(&id) {
                true => name.to_owned(),
                false => format!("{name} = {}", tape.definition(id)),
            };
            let to = graph.vertices.len();
            let from = needed(recurrence, &at, &[id]);
            graph.arrows.extend(from.into_iter().map(|from| Arrow {
                from,
                to,
                across: None,
            }));
            graph.vertices.push(Vertex {
                kind: Kind::Output,
                text,
            });
        }
        graph
            .arrows
            .sort_by_key(|a| (a.to, a.from, a.across.is_some()));
        graph.arrows.dedup();
        graph
    }
}

/// The vertices that some nodes depend on, through nodes without vertices.
fn needed(recurrence: &Recurrence, at: &HashMap<NodeId, usize>, of: &[NodeId]) -> Vec<usize> {
    let (mut stack, mut found) = (of.to_vec(), Vec::new());
    let mut seen = HashSet::new();
    while let Some(id) = stack.pop() {
        match at.get(&id) {
            Some(vertex) => found.push(*vertex),
            None if seen.insert(id) => stack.extend(recurrence.tape().node(id).args()),
            None => {}
        }
    }
    found
}
