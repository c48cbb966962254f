//! The translation of scheduled nodes to instructions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::graph::{Graph, Id, Kind, vectors};
use super::instruction::{
    Carry, Found, Input, Instruction, Operand, Pack, PackPart, Pass, Program, Stage as Group, Work,
};
use super::layout::{Buffer, Home, Layout, Stage, Value};
use super::program::Writer;
use super::schedule::Schedule;
use super::storage::Storage;
use super::{Directions, Plan};
use crate::op::NodeId;
use crate::shape::Rate;
use crate::tape::Direction;

pub(super) struct Emitter<'a> {
    pub(super) graph: &'a Graph,
    schedule: &'a Schedule,
    pub(super) layout: &'a Layout,
    /// The layout for one direction, which decides the order of the terms of each product.
    pub(super) one: &'a Layout,
    pub(super) buffers: Vec<Buffer>,
    /// The buffer of each leaf.
    pub(super) leaves: BTreeMap<usize, usize>,
    pub(super) packs: Vec<Pack>,
    /// The pack of the same matrices in the same places.
    pub(super) known_packs: HashMap<Vec<PackPart>, usize>,
    programs: Vec<Program>,
}

impl<'a> Emitter<'a> {
    pub(super) fn emit(
        graph: &'a Graph,
        schedule: &'a Schedule,
        [layout, one]: [&'a Layout; 2],
        several: &Directions,
    ) -> Plan {
        let mut emitter = Self {
            graph,
            schedule,
            layout,
            one,
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
                    laned: layout.laned[*id],
                });
                emitter.leaves.insert(leaf, emitter.buffers.len() - 1);
            }
        }
        emitter.plan(several)
    }

    fn plan(mut self, several: &Directions) -> Plan {
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
                    laned: stage.laned,
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
        let outputs = self.graph.outputs.iter().enumerate();
        let outputs = outputs
            .map(|(i, o)| super::OutputSpec {
                name: o.name.clone(),
                operand: self.operand(o.node),
                shape: o.shape.clone(),
                rate: o.rate,
                pass: None,
                laned: self.layout.laned[o.node] || several.outputs.get(i) == Some(&true),
            })
            .collect();
        let chunked = self.one.buffers.iter();
        let chunked = chunked.filter(|b| b.storage == Storage::Chunk);
        Plan {
            buffers: self.buffers,
            packs: self.packs,
            programs: self.programs,
            once,
            passes,
            carries,
            outputs,
            values,
            chunked: chunked.map(|b| b.width).sum(),
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

    pub(super) fn operand(&self, id: Id) -> Operand {
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
            let (close, others): (Vec<Id>, Vec<Id>) =
                members.into_iter().partition(|id| self.is_close(*id));
            let pair = |id: Id| {
                let from = self.graph.nodes[id].args[0];
                (self.operand(id), self.operand(from))
            };
            let close = close.into_iter().map(|id| (pair(id), true));
            let others = runs(others.into_iter().map(pair).collect());
            let mut all: Vec<_> = close
                .chain(others.into_iter().map(|pair| (pair, false)))
                .collect();
            all.sort_by_key(|((_, from), _)| in_memory(from));
            for ((out, from), close) in all {
                body.push(Instruction::Total { out, from, close });
            }
        }
    }

    /// Returns true if the terms of a total are single entries that follow one another in memory if
    /// there is one direction.
    fn is_close(&self, total: Id) -> bool {
        let access = self.graph.access(self.graph.nodes[total].args[0]);
        let width = match self.one.homes[access.base] {
            Some(home) => self.one.buffers[home.buffer].width,
            None => self.graph.nodes[access.base].len(),
        };
        width == 1
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
    pairs.sort_by_key(|(_, from)| in_memory(from));
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

/// The key of the order in memory.
const fn in_memory(operand: &Operand) -> (usize, i8, usize) {
    (operand.buffer, operand.shift, operand.start)
}
