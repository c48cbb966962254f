//! The translation of scheduled nodes to instructions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Plan;
use super::graph::{Graph, Id, Kind, vectors};
use super::instruction::{
    Carry, Found, Input, Instruction, Operand, Pack, PackPart, Pass, Program, Stage as Group, Work,
};
use super::layout::{Buffer, Home, Layout, Stage, Storage, Value};
use super::program::Writer;
use super::schedule::Schedule;
use crate::op::NodeId;
use crate::shape::Rate;
use crate::tape::Direction;

pub(super) struct Emitter<'a> {
    graph: &'a Graph,
    schedule: &'a Schedule,
    layout: &'a Layout,
    buffers: Vec<Buffer>,
    /// The buffer of each leaf.
    leaves: BTreeMap<usize, usize>,
    packs: Vec<Pack>,
    /// The pack of the same matrices in the same places.
    known_packs: HashMap<Vec<PackPart>, usize>,
    programs: Vec<Program>,
}

impl<'a> Emitter<'a> {
    pub(super) fn emit(graph: &'a Graph, schedule: &'a Schedule, layout: &'a Layout) -> Plan {
        let mut emitter = Self {
            graph,
            schedule,
            layout,
            buffers: layout.buffers.clone(),
            leaves: BTreeMap::new(),
            packs: Vec::new(),
            known_packs: HashMap::new(),
            programs: Vec::new(),
        };
        for id in &schedule.order {
            if let Kind::Leaf(leaf) = graph.nodes[*id].kind {
                let (width, name) = (graph.nodes[*id].len(), graph.name(*id));
                emitter.buffers.push(Buffer {
                    storage: Storage::Leaf(leaf),
                    width,
                    values: vec![Value {
                        name,
                        start: 0,
                        len: width,
                    }],
                });
                emitter.leaves.insert(leaf, emitter.buffers.len() - 1);
            }
        }
        emitter.plan()
    }

    fn plan(mut self) -> Plan {
        let mut stages: BTreeMap<Stage, Vec<Id>> = BTreeMap::new();
        for id in &self.schedule.order {
            if self.graph.is_computed(*id) {
                stages.entry(self.layout.stages[*id]).or_default().push(*id);
            }
        }
        let count = self.schedule.passes.len();
        let mut once: Vec<Vec<Instruction>> = vec![Vec::new(); count + 1];
        let mut passes: Vec<Pass> = self
            .schedule
            .passes
            .iter()
            .map(|d| Pass {
                forward: *d == Direction::Forward,
                stages: Vec::new(),
            })
            .collect();
        for (stage, nodes) in stages {
            let is_loop = nodes.iter().any(|id| self.layout.is_loop[*id]);
            let mut packs = self.packs.len();
            let body = self.stage(&nodes);
            // A matrix is packed once: before the first pass that uses it, or right before the first
            // product that runs once.
            for pack in packs..self.packs.len() {
                if stage.in_pass {
                    once[stage.pass].push(Instruction::Pack(pack));
                }
            }
            if stage.in_pass {
                let programs = &self.programs;
                let body: Vec<Work> = body.into_iter().map(|i| Work::new(i, programs)).collect();
                let kept = if is_loop {
                    self.kept(&body)
                } else {
                    Vec::new()
                };
                let group = Group {
                    is_loop,
                    body,
                    kept,
                };
                passes[stage.pass].stages.push(group);
            } else {
                for instruction in body {
                    if let Instruction::Gemm { pack, .. } = instruction
                        && pack >= packs
                    {
                        once[stage.pass].push(Instruction::Pack(pack));
                        packs = pack + 1;
                    }
                    once[stage.pass].push(instruction);
                }
            }
        }
        let carries = self.carries();
        let values = self.values();
        let outputs = self.graph.outputs.iter();
        let outputs = outputs
            .map(|o| super::OutputSpec {
                name: o.name.clone(),
                operand: self.operand(o.node),
                shape: o.shape.clone(),
                rate: o.rate,
                pass: None,
            })
            .collect();
        Plan {
            buffers: self.buffers,
            packs: self.packs,
            programs: self.programs,
            once,
            passes,
            carries,
            outputs,
            values,
        }
    }

    /// The values of the recurrence in memory.
    fn values(&self) -> Vec<Found> {
        let graph = self.graph;
        // A product is accumulated in place of its initial value, so the initial value is
        // overwritten.
        let mut is_there = vec![false; graph.nodes.len()];
        for id in &self.schedule.order {
            is_there[*id] = graph.is_computed(*id) && self.layout.homes[*id].is_some();
        }
        for id in &self.schedule.order {
            if let Some(start) = graph.in_place(*id) {
                is_there[start] = false;
            }
        }
        let found = |node: NodeId, id: Id, is_carried: bool| {
            is_there[id].then(|| Found {
                node,
                operand: self.operand(id),
                pass: self.schedule.places[id].pass,
                is_carried,
            })
        };
        let registers = graph.carried.iter().zip(&graph.registers);
        let mut values: Vec<Found> = registers
            .filter_map(|(node, register)| found(*node, register.def, true))
            .collect();
        let others = graph.of.iter();
        values.extend(others.filter_map(|(node, id)| found(*node, *id, false)));
        values
    }

    /// The buffers with storage [`Storage::Full`] that some work reads or writes.
    fn kept(&self, body: &[Work]) -> Vec<usize> {
        let operands = body
            .iter()
            .flat_map(|w| w.instruction.operands(&self.programs));
        let buffers: BTreeSet<usize> = operands.map(|o| o.buffer).collect();
        let is_kept = |b: &usize| self.buffers[*b].storage == Storage::Full;
        buffers.into_iter().filter(is_kept).collect()
    }

    fn carries(&self) -> Vec<Carry> {
        let mut carries: Vec<Carry> = Vec::new();
        let mut known = HashSet::new();
        for register in self.graph.read_registers() {
            let forward = register.direction == Direction::Forward;
            let value = self.operand(register.def);
            if !known.insert((value, forward)) {
                continue;
            }
            // The definition of a register may run in an earlier pass than its initial value; the
            // register is then read in a later pass only.
            let defined = self.schedule.run_in(self.graph, register.def);
            let known = register.init.map(|i| self.schedule.places[i].pass);
            carries.push(Carry {
                value,
                init: register.init.map(|i| self.operand(i)),
                forward,
                pass: defined.max(known).unwrap_or(0),
                defined: defined.unwrap_or(0),
            });
        }
        carries
    }

    fn operand(&self, id: Id) -> Operand {
        let access = self.graph.access(id);
        let len = if access.spread {
            1
        } else {
            self.graph.nodes[id].len()
        };
        let base = &self.graph.nodes[access.base];
        let (buffer, start) = match base.kind {
            Kind::Leaf(leaf) => (self.leaves[&leaf], 0),
            _ => {
                let home = self.layout.homes[access.base];
                let home = home.expect("a value that is used from memory has a home");
                (home.buffer, home.start)
            }
        };
        Operand {
            buffer,
            start: start + access.start,
            len,
            shift: access.shift,
            rate: base.rate,
        }
    }

    fn stage(&mut self, nodes: &[Id]) -> Vec<Instruction> {
        let mut levels: BTreeMap<usize, Vec<Id>> = BTreeMap::new();
        for id in nodes {
            levels.entry(self.layout.levels[*id]).or_default().push(*id);
        }
        let mut body = Vec::new();
        for nodes in levels.values() {
            let (fused, single): (Vec<Id>, Vec<Id>) = nodes
                .iter()
                .partition(|id| self.graph.nodes[**id].kind.is_entrywise());
            self.singles(&single, &mut body);
            let mut programs: BTreeMap<(usize, Rate, usize), Vec<Id>> = BTreeMap::new();
            for id in fused {
                let node = &self.graph.nodes[id];
                programs
                    .entry((node.len(), node.rate, self.layout.pieces[id]))
                    .or_default()
                    .push(id);
            }
            for members in programs.into_values() {
                body.extend(self.program(members));
            }
        }
        body
    }

    /// The fused program of some nodes of one length.
    fn program(&mut self, members: Vec<Id>) -> Option<Instruction> {
        let members = self.in_order(members);
        let stored = |id: Id| self.layout.homes[id].is_some();
        let draft = Writer::write(self.graph, &members, &stored);
        if draft.outputs.is_empty() {
            return None;
        }
        let numbered = draft.number();
        let input = |access: &super::access::Access| {
            let base = &self.graph.nodes[access.base];
            let (buffer, start) = match base.kind {
                Kind::Leaf(leaf) => (self.leaves[&leaf], 0),
                _ => self.layout.homes[access.base].map_or((0, 0), |h| (h.buffer, h.start)),
            };
            let len = self.graph.nodes[members[0]].len();
            Input {
                operand: Operand {
                    buffer,
                    start: start + access.start,
                    len: if access.spread { 1 } else { len },
                    shift: access.shift,
                    rate: base.rate,
                },
                spread: access.spread,
            }
        };
        self.programs.push(Program {
            len: self.graph.nodes[members[0]].len(),
            ops: numbered.ops,
            registers: numbered.registers,
            constants: numbered.constants,
            inputs: draft.inputs.iter().map(input).collect(),
            outputs: draft
                .outputs
                .iter()
                .map(|(id, _)| self.operand(*id))
                .collect(),
            rate: self.graph.nodes[members[0]].rate,
        });
        Some(Instruction::Program(self.programs.len() - 1))
    }

    /// The members of a program in topological order.
    fn in_order(&self, members: Vec<Id>) -> Vec<Id> {
        let mut ordered = Vec::with_capacity(members.len());
        let mut missing: HashSet<Id> = members.iter().copied().collect();
        // Each entry: a node, and the index of the first argument not yet visited.
        let mut stack: Vec<(Id, usize)> = members.into_iter().rev().map(|id| (id, 0)).collect();
        while let Some((id, next)) = stack.last_mut() {
            let arg = self.graph.nodes[*id].args.get(*next).copied();
            *next += 1;
            match arg {
                Some(arg) if missing.contains(id) => {
                    if missing.contains(&arg) {
                        stack.push((arg, 0));
                    }
                }
                _ => {
                    if missing.remove(id) {
                        ordered.push(*id);
                    }
                    stack.pop();
                }
            }
        }
        ordered
    }

    fn singles(&mut self, nodes: &[Id], body: &mut Vec<Instruction>) {
        let mut gemms: BTreeMap<(bool, Vec<Id>), Vec<Id>> = BTreeMap::new();
        let mut outers: BTreeMap<(Id, bool), Vec<Id>> = BTreeMap::new();
        let mut totals: BTreeMap<Rate, Vec<Id>> = BTreeMap::new();
        for id in nodes.iter().copied() {
            let node = &self.graph.nodes[id];
            match &node.kind {
                Kind::Gemm { init, .. } => {
                    let key = (*init, vectors(self.graph, id));
                    gemms.entry(key).or_default().push(id);
                }
                Kind::OuterTotal { strong } => {
                    outers.entry((node.args[1], *strong)).or_default().push(id);
                }
                Kind::Total => totals.entry(node.rate).or_default().push(id),
                Kind::Join if self.is_in_place(id) => {}
                _ => body.push(self.single(id)),
            }
        }
        for members in gemms.into_values() {
            self.gemms(members, body);
        }
        for ((b, strong), members) in outers {
            let b = self.operand(b);
            let pairs = members.iter().map(|id| {
                (
                    self.operand(*id),
                    self.operand(self.graph.nodes[*id].args[0]),
                )
            });
            for (out, a) in runs(pairs.collect()) {
                body.push(Instruction::OuterTotal { out, a, b, strong });
            }
        }
        for members in totals.into_values() {
            let pairs = members.iter().map(|id| {
                (
                    self.operand(*id),
                    self.operand(self.graph.nodes[*id].args[0]),
                )
            });
            for (out, from) in runs(pairs.collect()) {
                body.push(Instruction::Total { out, from });
            }
        }
    }

    /// Returns true if the parts of a concatenation are already adjacent in memory, at its place.
    fn is_in_place(&self, id: Id) -> bool {
        let mut next = self.layout.homes[id];
        self.graph.nodes[id].args.iter().all(|arg| {
            let home = self.layout.homes[*arg];
            let follows = home.is_some() && home == next;
            next = home.map(|home| Home {
                start: home.start + self.graph.nodes[*arg].len(),
                ..home
            });
            follows
        })
    }

    /// Emits products. Products of the same vectors with adjacent results are one product.
    fn gemms(&mut self, mut members: Vec<Id>, body: &mut Vec<Instruction>) {
        members.sort_by_key(|id| self.layout.homes[*id]);
        let mut rest = &members[..];
        while let Some(first) = rest.first() {
            let (mut out, mut start) = (self.operand(*first), self.start(*first));
            let mut count = 1;
            while let Some(id) = rest.get(count) {
                let next = self.operand(*id);
                let both = start.as_mut().zip(self.start(*id));
                let start_ends = both.as_ref().is_some_and(|(s, n)| !s.continues_in(n));
                if !out.continues_in(&next) || start_ends {
                    break;
                }
                out.len += next.len;
                if let Some((start, next)) = both {
                    start.len += next.len;
                }
                count += 1;
            }
            body.push(self.gemm(&rest[..count], out, start));
            rest = &rest[count..];
        }
    }

    /// The initial value of a product.
    fn start(&self, id: Id) -> Option<Operand> {
        let common = self.graph.common_start(id);
        let start = common.or_else(|| self.graph.in_place(id).map(|_| id));
        start.map(|start| self.operand(start))
    }

    fn gemm(&mut self, members: &[Id], out: Operand, start: Option<Operand>) -> Instruction {
        let vectors: Vec<Operand> = vectors(self.graph, members[0])
            .iter()
            .map(|v| self.operand(*v))
            .collect();
        let mut order: Vec<usize> = (0..vectors.len()).collect();
        order.sort_by_key(|i| (vectors[*i].buffer, vectors[*i].shift, vectors[*i].start));
        let (mut segments, mut parts, mut row): (Vec<Operand>, Vec<PackPart>, usize) =
            (Vec::new(), Vec::new(), 0);
        for i in order {
            let vector = vectors[i];
            match segments.last_mut() {
                Some(last) if last.continues_in(&vector) => last.len += vector.len,
                _ => segments.push(vector),
            }
            let mut column = 0;
            for id in members {
                let node = &self.graph.nodes[*id];
                let Kind::Gemm { init, transposed } = &node.kind else {
                    continue;
                };
                let matrix = node.args[usize::from(*init) + 2 * i];
                parts.push(PackPart {
                    matrix: self.operand(matrix),
                    columns: self.graph.nodes[matrix].extent[1],
                    transposed: transposed[i],
                    at: [row, column],
                    k: vector.len,
                    n: node.len(),
                });
                column += node.len();
            }
            row += vector.len;
        }
        Instruction::Gemm {
            out,
            start,
            segments,
            pack: self.pack(row, out.len, parts),
        }
    }

    /// The pack of some matrices.
    fn pack(&mut self, k: usize, n: usize, parts: Vec<PackPart>) -> usize {
        let packs = &mut self.packs;
        let known = self.known_packs.entry(parts);
        *known.or_insert_with_key(|parts| {
            let parts = parts.clone();
            packs.push(Pack { k, n, parts });
            packs.len() - 1
        })
    }

    fn single(&self, id: Id) -> Instruction {
        let node = &self.graph.nodes[id];
        let (out, args) = (self.operand(id), &node.args);
        let arg = |i: usize| self.operand(args[i]);
        let class = |moves_class: bool| {
            let last = args.last().copied();
            last.filter(|_| moves_class).map(|id| self.operand(id))
        };
        match &node.kind {
            Kind::MoveTotal(moved) => Instruction::MoveTotal {
                out,
                from: arg(0),
                moved: *moved,
                class: class(moved.from.class + moved.to.class > 0),
            },
            Kind::Pool => Instruction::Pool { out, from: arg(0) },
            Kind::Pick(edge) => Instruction::Pick {
                out,
                from: arg(0),
                edge: *edge,
            },
            Kind::Impulse(edge) => Instruction::Impulse {
                out,
                from: arg(0),
                edge: *edge,
            },
            Kind::Join => {
                let mut start = 0;
                let place = |a: &Id| {
                    let from = self.operand(*a);
                    let moved = super::contiguous(start, from.len);
                    start += from.len;
                    (moved, from)
                };
                Instruction::Move {
                    out,
                    moves: args.iter().map(place).collect(),
                    class: None,
                }
            }
            Kind::Move(moves) => Instruction::Move {
                out,
                moves: moves
                    .iter()
                    .enumerate()
                    .map(|(i, m)| (*m, arg(i)))
                    .collect(),
                class: class(moves.iter().any(|m| m.from.class + m.to.class > 0)),
            },
            Kind::Contract(contract) => Instruction::Contract {
                out,
                a: arg(0),
                b: args.get(1).map(|b| self.operand(*b)),
                contract: *contract,
            },
            Kind::Reduce(op) => Instruction::Reduce {
                out,
                from: arg(0),
                op: *op,
            },
            Kind::Dense(op, extents) => Instruction::Dense {
                out,
                args: args
                    .iter()
                    .zip(extents)
                    .map(|(a, extent)| (self.operand(*a), *extent))
                    .collect(),
                op: *op,
            },
            Kind::Custom(op, shapes) => Instruction::Custom {
                out,
                args: args
                    .iter()
                    .zip(shapes)
                    .map(|(a, shape)| (self.operand(*a), shape.clone()))
                    .collect(),
                shape: node.shape.clone(),
                op: op.clone(),
            },
            other => unreachable!("{other:?} is emitted elsewhere"),
        }
    }
}

/// The pairs, merged if both operands are adjacent.
fn runs(mut pairs: Vec<(Operand, Operand)>) -> Vec<(Operand, Operand)> {
    pairs.sort_by_key(|(_, from)| (from.buffer, from.shift, from.start));
    let mut merged: Vec<(Operand, Operand)> = Vec::new();
    for (out, from) in pairs {
        match merged.last_mut() {
            Some((o, f)) if o.continues_in(&out) && f.continues_in(&from) => {
                o.len += out.len;
                f.len += from.len;
            }
            _ => merged.push((out, from)),
        }
    }
    merged
}
