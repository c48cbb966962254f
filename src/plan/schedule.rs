//! The order of execution: passes over time, and the stages of each pass.
//!
//! A node that depends on itself through registers must run step by step, in the direction of those
//! registers. A pass goes once over time in one direction; in it, loops alternate with work for
//! many steps at once. A node runs in the last pass in which its users still get it in time, so
//! that few values are kept from one pass to the next.

use super::graph::{Graph, Id, Kind};
use crate::shape::Rate;
use crate::tape::Direction;

/// The smallest number of entries for which entrywise work used by a single loop runs inside this
/// loop, with its operands in cache, and not before it for many steps at once.
pub(super) const SINK_FROM: usize = 16;

/// The time at which a node runs. If it varies with the step: its pass and its depth in the pass;
/// loops have odd depths. Otherwise, `pass` is the first pass that can use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pass: usize,
    pub(super) depth: usize,
    /// The component of the loop in which the node runs, if any.
    pub(super) cycle: Option<usize>,
}

/// The order of execution of a graph.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The direction of each pass.
    pub(super) passes: Vec<Direction>,
    pub(super) places: Vec<Place>,
    /// The live nodes in topological order.
    pub(super) order: Vec<Id>,
}

impl Schedule {
    pub(super) fn of(graph: &Graph) -> Self {
        let components = graph.components();
        let mut building = Building {
            graph,
            directions: Vec::new(),
            places: vec![Place::default(); graph.nodes.len()],
            consumers: vec![Vec::new(); graph.nodes.len()],
            component: vec![usize::MAX; graph.nodes.len()],
            is_output: vec![false; graph.nodes.len()],
            is_prompt: vec![false; graph.nodes.len()],
        };
        for output in &graph.outputs {
            building.is_output[output.node] = true;
        }
        for id in &graph.prompt {
            building.is_prompt[*id] = true;
        }
        for (index, (nodes, _)) in components.iter().enumerate() {
            nodes.iter().for_each(|id| building.component[*id] = index);
        }
        for (nodes, _) in &components {
            for id in nodes {
                for on in graph.dependencies(*id) {
                    building.consumers[on].push(*id);
                }
            }
        }
        for (index, (nodes, cyclic)) in components.iter().enumerate() {
            building.early(index, nodes, *cyclic);
        }
        for (nodes, cyclic) in components.iter().rev() {
            if !cyclic {
                building.postpone(nodes[0]);
            }
        }
        for (nodes, cyclic) in components.iter().rev() {
            if !cyclic {
                building.sink(nodes[0]);
            }
        }
        building.depths(&components);
        Self {
            passes: building
                .directions
                .iter()
                .map(|d| d.unwrap_or(Direction::Forward))
                .collect(),
            places: building.places,
            order: components
                .into_iter()
                .flat_map(|(nodes, _)| nodes)
                .collect(),
        }
    }
}

impl Schedule {
    /// The pass in which a node runs, if it varies with the step or reduces over steps.
    pub(super) fn run_in(&self, graph: &Graph, id: Id) -> Option<usize> {
        let pass = self.places[id].pass;
        match graph.nodes[id].rate {
            Rate::Step => Some(pass),
            _ if graph.ends_time(id) => Some(pass - 1),
            _ => None,
        }
    }
}

impl Graph {
    /// The strongly connected components of the live nodes, dependencies first, each with a flag:
    /// true if it is a loop.
    pub(super) fn components(&self) -> Vec<(Vec<Id>, bool)> {
        let live = self.live();
        let edges: Vec<Vec<usize>> = (0..self.nodes.len())
            .map(|id| {
                if live[id] {
                    self.dependencies(id)
                } else {
                    Vec::new()
                }
            })
            .collect();
        crate::tape::strongly_connected(&edges)
            .into_iter()
            .filter(|nodes| live[nodes[0]])
            .map(|nodes| {
                let cyclic = nodes.len() > 1 || edges[nodes[0]].contains(&nodes[0]);
                (nodes, cyclic)
            })
            .collect()
    }
}

struct Building<'a> {
    graph: &'a Graph,
    directions: Vec<Option<Direction>>,
    places: Vec<Place>,
    consumers: Vec<Vec<Id>>,
    /// The component of each live node.
    component: Vec<usize>,
    is_output: Vec<bool>,
    is_prompt: Vec<bool>,
}

impl Building<'_> {
    fn rate(&self, id: Id) -> Rate {
        self.graph.nodes[id].rate
    }

    fn is_leaf(&self, id: Id) -> bool {
        matches!(self.graph.nodes[id].kind, Kind::Leaf(_) | Kind::Constant(_))
    }

    /// Returns true if a node reduces over the steps.
    fn ends_time(&self, id: Id) -> bool {
        self.graph.ends_time(id)
    }

    /// Assigns the first pass in which a node can run; its dependencies already have passes.
    fn early(&mut self, component: usize, nodes: &[Id], is_cyclic: bool) {
        let cycle = is_cyclic.then_some(component);
        let mut first = 0;
        let mut needs = None;
        for id in nodes {
            for on in self.graph.dependencies(*id) {
                if self.component[on] != component {
                    first = first.max(self.places[on].pass);
                }
            }
            if let Kind::Read(r) = self.graph.nodes[*id].kind {
                let register = self.graph.registers[r];
                if cycle.is_some() || !self.is_leaf(register.def) {
                    needs = Some((register.direction, register.def));
                }
            }
        }
        let varies = self.rate(nodes[0]) == Rate::Step;
        if let Some((direction, def)) = needs {
            // The value of another step is available in a pass of this direction, or in a later
            // pass.
            while (cycle.is_some() || self.places[def].pass == first)
                && self.direction(first).is_some_and(|d| d != direction)
            {
                first += 1;
            }
            if cycle.is_some() || self.places[def].pass == first {
                self.direction(first);
                self.directions[first] = Some(direction);
            }
        }
        if varies || nodes.iter().any(|id| self.ends_time(*id)) {
            self.direction(first);
        }
        for id in nodes {
            let ready = first + usize::from(self.ends_time(*id));
            self.places[*id] = Place {
                pass: ready,
                depth: 0,
                cycle,
            };
        }
    }

    fn direction(&mut self, pass: usize) -> Option<Direction> {
        if pass >= self.directions.len() {
            self.directions.resize(pass + 1, None);
        }
        self.directions[pass]
    }

    /// Moves a node to the last pass in which its users still get it in time.
    fn postpone(&mut self, id: Id) {
        if self.is_leaf(id) {
            return;
        }
        if self.ends_time(id) {
            if self.consumers[id].is_empty() {
                self.places[id].pass = self.directions.len();
            }
            return;
        }
        if self.rate(id) != Rate::Step || self.is_output[id] || self.is_prompt[id] {
            return;
        }
        let limit = self.consumers[id].iter().map(|c| {
            let at = self.run_in(*c);
            match self.graph.nodes[*c].kind {
                Kind::Read(r) if self.directions[at] != Some(self.graph.registers[r].direction) => {
                    at.saturating_sub(1)
                }
                _ => at,
            }
        });
        if let Some(limit) = limit.min() {
            self.places[id].pass = self.places[id].pass.max(limit);
        }
    }

    /// The pass in which a node runs.
    fn run_in(&self, id: Id) -> usize {
        self.places[id].pass - usize::from(self.ends_time(id))
    }

    /// Moves entrywise work used by a single loop into that loop.
    fn sink(&mut self, id: Id) {
        let node = &self.graph.nodes[id];
        let sinks = node.kind.is_entrywise()
            && node.rate == Rate::Step
            && node.len() >= SINK_FROM
            && !self.is_output[id];
        let into = |c: &Id| {
            let consumer = &self.graph.nodes[*c];
            let place = self.places[*c];
            (consumer.kind.is_entrywise() && place.pass == self.places[id].pass)
                .then_some(place.cycle)
                .flatten()
        };
        let Some(first) = self.consumers[id].first() else {
            return;
        };
        if let (true, Some(cycle)) = (sinks, into(first))
            && self.consumers[id].iter().all(|c| into(c) == Some(cycle))
        {
            self.places[id].cycle = Some(cycle);
        }
    }

    /// Assigns the depth of each node in its pass: after its dependencies, with loops at odd
    /// depths.
    fn depths(&mut self, components: &[(Vec<Id>, bool)]) {
        let mut sunk: Vec<Vec<Id>> = vec![Vec::new(); components.len()];
        for (index, (nodes, cyclic)) in components.iter().enumerate() {
            if !cyclic && let Some(cycle) = self.places[nodes[0]].cycle {
                sunk[cycle].push(nodes[0]);
                continue;
            }
            let members: Vec<Id> = nodes.iter().chain(&sunk[index]).copied().collect();
            let pass = self.run_in(nodes[0]);
            let below = members
                .iter()
                .flat_map(|id| self.graph.dependencies(*id))
                .filter(|on| {
                    let inside =
                        self.component[*on] == index || self.places[*on].cycle == Some(index);
                    !inside && self.rate(*on) == Rate::Step && !self.is_leaf(*on)
                })
                .filter(|on| self.run_in(*on) == pass)
                .map(|on| self.places[on].depth);
            let below = below.max().unwrap_or(0);
            let depth = if *cyclic {
                below + 1 + below % 2
            } else {
                below + below % 2
            };
            for id in members {
                self.places[id].depth = depth;
            }
        }
    }
}
