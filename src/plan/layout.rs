//! The layout of values in memory: which share the rows of a buffer, and how long they are kept.
//!
//! Values that are computed or used by one matrix product are adjacent in the rows of one buffer,
//! so that the product is a single operation.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{Graph, Id, Kind};
use super::rows::Rows;
use super::schedule::Schedule;
use super::storage::Storage;
use crate::shape::Rate;

/// Memory for one or several adjacent values.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    pub(crate) storage: Storage,
    /// The number of entries of a row.
    pub(crate) width: usize,
    /// The values in a row, in order.
    pub(crate) values: Vec<Value>,
    /// True if each row is one for each direction of a run.
    pub(crate) laned: bool,
}

/// A value in a buffer, for descriptions.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// The buffer and the first entry of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    pub(super) buffer: usize,
    pub(super) start: usize,
}

/// The position of a node in the order of execution: stages run in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stage {
    /// The pass, or the pass before which the node is computed once.
    pub(super) pass: usize,
    /// True if the node runs in the pass, false if once before it.
    pub(super) in_pass: bool,
    /// True if the node is computed for each direction. Work that is done once comes first, since it
    /// does not depend on directions.
    pub(super) laned: bool,
    pub(super) depth: usize,
}

/// The maximum number of places of a program; nodes and their arguments are an upper bound.
const MOST_PLACES: usize = 16384;

/// The key of fused programs that are split together: stage, level, length and rate.
type PieceKey = (Stage, usize, usize, Rate);

/// The last piece of a fused program, and the number of its places.
#[derive(Default)]
struct Piece {
    index: usize,
    places: usize,
}

/// The positions of the nodes in memory and in the order of execution.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) buffers: Vec<Buffer>,
    pub(super) homes: Vec<Option<Home>>,
    pub(super) stages: Vec<Stage>,
    pub(super) levels: Vec<usize>,
    /// The piece of a node, if a fused program is too long and is split.
    pub(super) pieces: Vec<usize>,
    pub(super) is_loop: Vec<bool>,
    /// True at each value that there are several of, one for each direction of a run.
    pub(super) laned: Vec<bool>,
    /// True at each node carried by a register.
    is_carried: Vec<bool>,
}

impl Layout {
    pub(super) fn of(graph: &Graph, schedule: &Schedule, laned: Vec<bool>) -> Self {
        let count = graph.nodes.len();
        let mut layout = Self {
            buffers: Vec::new(),
            homes: vec![None; count],
            stages: vec![Stage::default(); count],
            levels: vec![0; count],
            pieces: vec![0; count],
            is_loop: vec![false; count],
            laned,
            is_carried: vec![false; count],
        };
        for register in &graph.registers {
            layout.is_carried[register.def] = true;
        }
        for id in &schedule.order {
            layout.stages[*id] = stage(graph, schedule, *id);
            layout.is_loop[*id] = schedule.places[*id].cycle.is_some();
        }
        // Levels do not depend on directions, so that the same work is fused with and without them.
        layout.find_levels(graph, schedule);
        layout.divide(schedule);
        let storage = layout.find_storage(graph, schedule);
        layout.assign(graph, schedule, &storage);
        layout
    }

    /// Divides each stage into the work that is done once and the work for each direction.
    fn divide(&mut self, schedule: &Schedule) {
        let cycle = |id: Id| schedule.places[id].cycle;
        let order = || schedule.order.iter().copied();
        let laned = order().filter(|id| self.laned[*id]);
        let laned: HashSet<usize> = laned.filter_map(cycle).collect();
        for id in order() {
            self.stages[id].laned = self.laned[id];
            // Work that was moved into the loop of another kind need not run step by step.
            let is_moved = !self.laned[id] && cycle(id).is_some_and(|c| laned.contains(&c));
            self.is_loop[id] &= !is_moved;
        }
    }

    /// Assigns levels: nodes of one stage and level are independent, unless both are entrywise.
    fn find_levels(&mut self, graph: &Graph, schedule: &Schedule) {
        // Within a loop, the order is that of one step, without dependencies through registers; a
        // depth-first search finds it.
        let mut done = vec![false; graph.nodes.len()];
        let mut pieces = HashMap::new();
        for root in &schedule.order {
            let mut stack = vec![*root];
            while let Some(id) = stack.last().copied() {
                if done[id] {
                    stack.pop();
                    continue;
                }
                let before = self.same_stage(graph, id);
                let missing: Vec<Id> = before.iter().copied().filter(|b| !done[*b]).collect();
                if missing.is_empty() {
                    self.levels[id] = self.level(graph, id, &before);
                    self.pieces[id] = self.piece(graph, id, &mut pieces);
                    done[id] = true;
                    stack.pop();
                } else {
                    stack.extend(missing);
                }
            }
        }
    }

    /// The nodes of the same stage that a node depends on at the same step.
    fn same_stage(&self, graph: &Graph, id: Id) -> Vec<Id> {
        let node = &graph.nodes[id];
        if !graph.is_computed(id) {
            return Vec::new();
        }
        let bases = node.args.iter().map(|a| graph.access(*a));
        bases
            .filter(|a| graph.is_computed(a.base) && self.stages[a.base] == self.stages[id])
            .filter(|a| a.shift == 0 || !self.is_loop[id])
            .map(|a| a.base)
            .collect()
    }

    fn level(&self, graph: &Graph, id: Id, before: &[Id]) -> usize {
        let node = &graph.nodes[id];
        // An argument that is also accessed through a view must be in memory first.
        let bases = node.args.iter().map(|a| (*a, graph.access(*a).base));
        let indirect: HashSet<Id> = bases.filter(|(a, base)| a != base).map(|b| b.1).collect();
        before
            .iter()
            .map(|on| {
                let other = &graph.nodes[*on];
                let fuses = node.kind.is_entrywise()
                    && other.kind.is_entrywise()
                    && !indirect.contains(on)
                    && other.rate == node.rate
                    && other.len() == node.len();
                self.levels[*on] + usize::from(!fuses)
            })
            .max()
            .unwrap_or(0)
    }

    /// The piece of the fused program in which a node is computed. All its dependencies have a
    /// piece, so the places of the program can be counted.
    fn piece(&self, graph: &Graph, id: Id, pieces: &mut HashMap<PieceKey, Piece>) -> usize {
        let node = &graph.nodes[id];
        if !node.kind.is_entrywise() || !graph.is_computed(id) {
            return 0;
        }
        let key = (self.stages[id], self.levels[id], node.len(), node.rate);
        let piece = pieces.entry(key).or_default();
        let places = 1 + node.args.len();
        if piece.places + places > MOST_PLACES && piece.places > 0 {
            (piece.index, piece.places) = (piece.index + 1, 0);
        }
        piece.places += places;
        piece.index
    }

    /// Returns true if two nodes are computed by one fused program.
    pub(super) fn same_program(&self, graph: &Graph, a: Id, b: Id) -> bool {
        graph.nodes[a].kind.is_entrywise()
            && graph.nodes[b].kind.is_entrywise()
            && graph.nodes[a].len() == graph.nodes[b].len()
            && graph.nodes[a].rate == graph.nodes[b].rate
            && self.stages[a] == self.stages[b]
            && self.levels[a] == self.levels[b]
            && self.pieces[a] == self.pieces[b]
    }

    /// The lifetime of each value in memory; `None` for a value that is never in memory.
    fn find_storage(&self, graph: &Graph, schedule: &Schedule) -> Vec<Option<Storage>> {
        let mut storage = vec![None; graph.nodes.len()];
        let raise = |storage: &mut Vec<Option<Storage>>, id: Id, to: Storage| {
            let to = match graph.nodes[id].rate {
                Rate::Static => Storage::Static,
                Rate::Sample => Storage::Sample,
                Rate::Step if !self.is_loop[id] => to.max(Storage::Chunk),
                Rate::Step => to,
            };
            storage[id] = storage[id].max(Some(to));
        };
        for id in schedule.order.iter().copied() {
            if !graph.is_computed(id) {
                continue;
            }
            let node = &graph.nodes[id];
            if !node.kind.is_entrywise() {
                raise(&mut storage, id, Storage::Local);
            }
            for (i, arg) in node.args.iter().enumerate() {
                let access = graph.access(*arg);
                if !graph.is_computed(access.base) {
                    continue;
                }
                let here = schedule.run_in(graph, id);
                let there = schedule.run_in(graph, access.base);
                let in_place = i == 0 && graph.in_place(id).is_some();
                let to = if here != there {
                    Storage::Full
                } else if in_place
                    || access.shift != 0
                    || self.stages[access.base] != self.stages[id]
                {
                    Storage::Chunk
                } else if access.base == *arg && self.same_program(graph, access.base, id) {
                    continue;
                } else {
                    Storage::Local
                };
                raise(&mut storage, access.base, to);
            }
        }
        for register in graph.read_registers() {
            raise(&mut storage, register.def, Storage::Chunk);
            if let Some(init) = register.init {
                let base = graph.access(init).base;
                raise(&mut storage, base, Storage::Local);
            }
        }
        for output in &graph.outputs {
            let base = graph.access(output.node).base;
            raise(&mut storage, base, Storage::Full);
        }
        // Values that share memory have the longest of their lifetimes: a sum of products starts in
        // the memory of its initial value, which may be such a sum itself, and so on.
        let shared = |id: Id| match graph.in_place(id) {
            Some(init) if graph.nodes[id].rate == Rate::Step => vec![init],
            None if self.is_a_row(graph, id) => graph.nodes[id].args.clone(),
            _ => Vec::new(),
        };
        for id in schedule.order.iter().copied().rev() {
            let least = graph.in_place(id).map(|_| Storage::Chunk);
            for part in shared(id) {
                storage[part] = storage[part].max(storage[id]).max(least);
            }
        }
        for id in schedule.order.iter().copied() {
            for part in shared(id) {
                storage[id] = storage[id].max(storage[part]);
            }
        }
        storage
    }

    /// Returns true if a concatenation needs no copy, because its parts can be computed next to
    /// each other.
    fn is_a_row(&self, graph: &Graph, id: Id) -> bool {
        let args = &graph.nodes[id].args;
        if !matches!(graph.nodes[id].kind, Kind::Join) {
            return false;
        }
        let mut seen = HashSet::new();
        let is_own = |arg: &Id| {
            let node = &graph.nodes[*arg];
            graph.is_computed(*arg)
                && node.rate == graph.nodes[id].rate
                && self.stages[*arg] == self.stages[id]
                && graph.in_place(*arg).is_none()
                && !matches!(node.kind, Kind::Join)
                && seen.insert(*arg)
                && !self.is_carried[*arg]
        };
        args.iter().all(is_own)
    }

    /// Assigns a home to each value that must be in memory.
    fn assign(&mut self, graph: &Graph, schedule: &Schedule, storage: &[Option<Storage>]) {
        let pass = 0..graph.nodes.len();
        let pass = pass.map(|id| schedule.run_in(graph, id)).collect();
        let mut rows = Rows::new(storage, in_place(graph, schedule), (pass, &self.laned));
        for id in schedule.order.iter().copied() {
            if self.is_a_row(graph, id) {
                rows.join(id, &graph.nodes[id].args);
            }
        }
        for group in self.groups(graph, schedule) {
            rows.request(&group);
        }
        let places = rows.places();
        for group in self.sums(graph, schedule, &rows, &places) {
            rows.request(&group);
        }
        let places = rows.places();
        for group in starts(graph, schedule, &rows, &places) {
            rows.request(&group);
        }
        for id in schedule.order.iter().copied() {
            if storage[id].is_some() && graph.is_computed(id) {
                rows.request(&[id]);
            }
        }
        for row in &rows.rows {
            let buffer = self.buffers.len();
            let (mut width, mut values) = (0, Vec::new());
            for id in &row.members {
                let (start, len) = (width, graph.nodes[*id].len());
                self.homes[*id] = Some(Home { buffer, start });
                width += len;
                let name = graph.name(*id);
                values.push(Value { name, start, len });
            }
            let kept = row.members.iter().filter_map(|id| storage[*id]).max();
            self.buffers.push(Buffer {
                storage: kept.unwrap_or(Storage::Local),
                width,
                values,
                laned: row.members.iter().any(|id| self.laned[*id]),
            });
        }
        for id in schedule.order.iter().copied() {
            if self.homes[id].is_none() && storage[id].is_some() {
                self.homes[id] = self.homes[rows.root(id)];
            }
        }
    }

    /// Groups of sums over time that should be adjacent, because their terms are.
    fn sums(
        &self,
        graph: &Graph,
        schedule: &Schedule,
        rows: &Rows<'_>,
        places: &HashMap<Id, (usize, usize)>,
    ) -> Vec<Vec<Id>> {
        let mut sums: BTreeMap<(Stage, Option<Id>), Vec<Id>> = BTreeMap::new();
        for id in schedule.order.iter().copied() {
            let args = &graph.nodes[id].args;
            let with = match graph.nodes[id].kind {
                Kind::OuterTotal { .. } => Some(args[1]),
                Kind::Total => None,
                _ => continue,
            };
            let key = (self.stages[id], with);
            sums.entry(key).or_default().push(id);
        }
        let mut groups: Vec<Vec<Id>> = sums.into_values().collect();
        for group in &mut groups {
            group.sort_by_key(|id| {
                let access = graph.access(graph.nodes[*id].args[0]);
                (places.get(&rows.root(access.base)), access.start)
            });
        }
        groups
    }

    /// Groups of values that should be adjacent, the most important group first.
    fn groups(&self, graph: &Graph, schedule: &Schedule) -> Vec<Vec<Id>> {
        let mut produced: HashMap<(Stage, usize, bool, Vec<Id>), Vec<Id>> = HashMap::new();
        let mut outer: HashMap<(Stage, Id), Vec<Id>> = HashMap::new();
        let (mut made, mut used) = (Vec::new(), Vec::new());
        for id in schedule.order.iter().copied() {
            let node = &graph.nodes[id];
            match &node.kind {
                Kind::Gemm { init, .. } if node.rate == Rate::Step => {
                    let vectors = super::graph::vectors(graph, id);
                    let key = (self.stages[id], self.levels[id], *init, vectors.clone());
                    let group = produced.entry(key.clone()).or_default();
                    if group.is_empty() {
                        made.push(key);
                    }
                    group.push(id);
                    let bases = vectors.iter().map(|v| graph.access(*v).base);
                    used.push(bases.filter(|b| graph.is_computed(*b)).collect());
                }
                Kind::OuterTotal { .. } => {
                    let a = graph.access(node.args[0]).base;
                    let key = (self.stages[id], node.args[1]);
                    if graph.is_computed(a) {
                        outer.entry(key).or_default().push(a);
                    }
                }
                _ => {}
            }
        }
        // Groups in loops come first, because a loop runs at every step.
        made.sort_by_key(|key| !produced.get(key).is_some_and(|ids| self.is_loop[ids[0]]));
        let mut groups: Vec<Vec<Id>> = made.iter().filter_map(|k| produced.remove(k)).collect();
        let mut totals: Vec<((Stage, Id), Vec<Id>)> = outer.into_iter().collect();
        totals.sort_unstable();
        groups.extend(totals.into_iter().map(|(_, members)| members));
        groups.extend(used);
        groups.retain(|group| group.len() > 1);
        groups
    }
}

fn stage(graph: &Graph, schedule: &Schedule, id: Id) -> Stage {
    let place = schedule.places[id];
    match schedule.run_in(graph, id) {
        Some(pass) => Stage {
            pass,
            in_pass: true,
            laned: false,
            depth: place.depth,
        },
        None => Stage {
            pass: place.pass,
            in_pass: false,
            laned: false,
            depth: 0,
        },
    }
}

/// Groups of initial values, in the order of their products in memory.
fn starts(
    graph: &Graph,
    schedule: &Schedule,
    rows: &Rows<'_>,
    places: &HashMap<Id, (usize, usize)>,
) -> Vec<Vec<Id>> {
    let place = |id: Id| places.get(&rows.root(id)).copied();
    let mut starts: BTreeMap<usize, Vec<(usize, Id)>> = BTreeMap::new();
    for id in &schedule.order {
        if let (Some(start), Some((row, place))) = (graph.common_start(*id), place(*id)) {
            starts.entry(row).or_default().push((place, start));
        }
    }
    let in_order = |mut group: Vec<(usize, Id)>| {
        group.sort_unstable();
        group.into_iter().map(|(_, start)| start).collect()
    };
    starts.into_values().map(in_order).collect()
}

/// The initial value of each product that overwrites its initial value.
fn in_place(graph: &Graph, schedule: &Schedule) -> HashMap<Id, Id> {
    let order = schedule.order.iter();
    order
        .filter_map(|id| Some((*id, graph.in_place(*id)?)))
        .collect()
}
