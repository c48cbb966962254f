//! Fused entrywise work: many ops on the same entries become one pass over memory.
//!
//! A program is a list of micro-ops on blocks of entries. Products that are added to something
//! become multiply-adds, and `y (1 − y)` becomes `y − y·y`.

use std::collections::HashMap;

use super::access::Access;
use super::graph::{Graph, Id, Kind};
use crate::op::Pointwise;

/// What one micro-op does to every entry of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A row of the op table.
    Entry(Pointwise),
    Copy,
    Negate,
    Add,
    Subtract,
    /// `a b + c`.
    MultiplyAdd,
    /// `c − a b`.
    NegativeMultiplyAdd,
    /// `b` where `a` is not zero, else `c`; NaN where `a` is.
    Select,
}

impl Code {
    /// The floating-point operations on an entry; a function counts as one.
    pub(super) const fn flops(self) -> usize {
        match self {
            Self::Copy | Self::Select => 0,
            Self::MultiplyAdd | Self::NegativeMultiplyAdd => 2,
            Self::Entry(_) | Self::Negate | Self::Add | Self::Subtract => 1,
        }
    }
}

/// One micro-op. Places are numbered: registers first, then constants, inputs and outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MicroOp {
    pub(crate) code: Code,
    pub(crate) to: u16,
    pub(crate) from: [u16; 3],
}

/// Where a micro-op finds an argument while the program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Op(usize),
    Constant(usize),
    Input(usize),
}

/// A program before its places are numbered.
#[derive(Debug, Default)]
pub(super) struct Draft {
    ops: Vec<(Code, Vec<Source>)>,
    constants: Vec<f64>,
    pub(super) inputs: Vec<Access>,
    /// The nodes whose values go to memory, and the op that makes each.
    pub(super) outputs: Vec<(Id, usize)>,
}

/// The numbered micro-ops of a program.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) ops: Vec<MicroOp>,
    pub(crate) constants: Vec<f64>,
    pub(crate) registers: usize,
}

/// Writes the program of some entrywise nodes, given in order.
pub(super) struct Writer<'a> {
    graph: &'a Graph,
    /// How often each node is used within the program, and whether it goes to memory.
    uses: HashMap<Id, usize>,
    stored: &'a dyn Fn(Id) -> bool,
    done: HashMap<Id, Source>,
    draft: Draft,
}

impl<'a> Writer<'a> {
    pub(super) fn write(graph: &'a Graph, members: &[Id], stored: &'a dyn Fn(Id) -> bool) -> Draft {
        let mut uses = HashMap::new();
        for id in members {
            for arg in &graph.nodes[*id].args {
                *uses.entry(*arg).or_insert(0) += 1;
            }
        }
        let mut writer = Self {
            graph,
            uses,
            stored,
            done: HashMap::new(),
            draft: Draft::default(),
        };
        let inside = |id: &Id| members.contains(id);
        for id in members {
            if writer.absorbed(*id, members) {
                continue;
            }
            let source = writer.node(*id, &inside);
            writer.finish(*id, source);
        }
        writer.draft
    }

    /// Whether a product is only ever added to something, so that the sum takes it over.
    fn absorbed(&self, id: Id, members: &[Id]) -> bool {
        let is_product =
            matches!(self.graph.nodes[id].kind, Kind::Pointwise(op) if op.is_product());
        let mut users = members
            .iter()
            .filter(|m| self.graph.nodes[**m].args.contains(&id));
        is_product
            && !(self.stored)(id)
            && self.uses.get(&id) == Some(&1)
            && users.all(|m| {
                let user = &self.graph.nodes[*m];
                matches!(user.kind, Kind::Sum(_)) && user.args.len() > 1
            })
    }

    fn finish(&mut self, id: Id, source: Source) {
        let source = match source {
            Source::Op(op)
                if !(self.stored)(id) || self.draft.outputs.iter().all(|o| o.1 != op) =>
            {
                source
            }
            other if (self.stored)(id) => self.op(Code::Copy, vec![other]),
            other => other,
        };
        if let (true, Source::Op(op)) = ((self.stored)(id), source) {
            self.draft.outputs.push((id, op));
        }
        self.done.insert(id, source);
    }

    fn op(&mut self, code: Code, args: Vec<Source>) -> Source {
        self.draft.ops.push((code, args));
        Source::Op(self.draft.ops.len() - 1)
    }

    fn constant(&mut self, value: f64) -> Source {
        let constants = &mut self.draft.constants;
        let found = constants
            .iter()
            .position(|c| c.to_bits() == value.to_bits());
        Source::Constant(found.unwrap_or_else(|| {
            constants.push(value);
            constants.len() - 1
        }))
    }

    /// An argument: a value of the program, a constant, or one from memory.
    fn source(&mut self, id: Id) -> Source {
        if let Some(source) = self.done.get(&id) {
            return *source;
        }
        if let Kind::Constant(value) = self.graph.nodes[id].kind {
            return self.constant(value);
        }
        let access = self.graph.access(id);
        if let Kind::Constant(value) = self.graph.nodes[access.base].kind {
            return self.constant(value);
        }
        let inputs = &mut self.draft.inputs;
        let found = inputs.iter().position(|i| *i == access);
        Source::Input(found.unwrap_or_else(|| {
            inputs.push(access);
            inputs.len() - 1
        }))
    }

    fn node(&mut self, id: Id, inside: &dyn Fn(&Id) -> bool) -> Source {
        let node = &self.graph.nodes[id];
        match &node.kind {
            Kind::Sum(signs) => self.sum(&node.args, signs, inside),
            Kind::Select => {
                let args = node.args.iter().map(|a| self.source(*a)).collect();
                self.op(Code::Select, args)
            }
            Kind::Pointwise(op) => {
                if op.is_product()
                    && let Some(y) = self.logistic_slope(&node.args, inside)
                {
                    return self.op(Code::NegativeMultiplyAdd, vec![y, y, y]);
                }
                let args = node.args.iter().map(|a| self.source(*a)).collect();
                self.op(Code::Entry(*op), args)
            }
            _ => unreachable!("a program is made of entrywise nodes"),
        }
    }

    /// The `y` of `y (1 − y)`.
    fn logistic_slope(&mut self, args: &[Id], inside: &dyn Fn(&Id) -> bool) -> Option<Source> {
        let [a, b] = args[..] else {
            return None;
        };
        let one_minus = |sum: Id, y: Id| {
            let node = &self.graph.nodes[sum];
            let Kind::Sum(signs) = &node.kind else {
                return false;
            };
            let is_one = |id: &Id| matches!(self.graph.nodes[*id].kind, Kind::Constant(1.0));
            inside(&sum) && signs[..] == [1, -1] && is_one(&node.args[0]) && node.args[1] == y
        };
        if one_minus(b, a) {
            Some(self.source(a))
        } else if one_minus(a, b) {
            Some(self.source(b))
        } else {
            None
        }
    }

    fn sum(&mut self, args: &[Id], signs: &[i8], inside: &dyn Fn(&Id) -> bool) -> Source {
        let mut terms: Vec<(Id, i8)> = args.iter().copied().zip(signs.iter().copied()).collect();
        let is_taken_over = |this: &Self, id: Id| inside(&id) && !this.done.contains_key(&id);
        // Start from a term that is added and is not a product still to be made.
        let first = terms
            .iter()
            .position(|(id, sign)| *sign > 0 && !is_taken_over(self, *id))
            .or_else(|| terms.iter().position(|(_, sign)| *sign > 0))
            .unwrap_or(0);
        let (id, sign) = terms.remove(first);
        let mut sum = if is_taken_over(self, id) {
            self.node(id, inside)
        } else {
            self.source(id)
        };
        if sign < 0 {
            sum = self.op(Code::Negate, vec![sum]);
        }
        for (id, sign) in terms {
            if is_taken_over(self, id) {
                let factors = &self.graph.nodes[id].args;
                let (a, b) = (self.source(factors[0]), self.source(factors[1]));
                let code = if sign > 0 {
                    Code::MultiplyAdd
                } else {
                    Code::NegativeMultiplyAdd
                };
                sum = self.op(code, vec![a, b, sum]);
                continue;
            }
            let term = self.source(id);
            let code = if sign > 0 { Code::Add } else { Code::Subtract };
            sum = self.op(code, vec![sum, term]);
        }
        sum
    }
}

impl Draft {
    /// Numbers the places: a register is free again after its last use.
    pub(super) fn number(&self) -> Numbered {
        let (ops, outputs) = self.without_dead();
        let mut last = vec![0; ops.len()];
        for (i, (_, args)) in ops.iter().enumerate() {
            for arg in args {
                if let Source::Op(op) = arg {
                    last[*op] = i;
                }
            }
        }
        let mut places: Vec<Option<usize>> = vec![None; ops.len()];
        let (mut free, mut registers) = (Vec::new(), 0);
        let mut numbered = Vec::with_capacity(ops.len());
        for (i, (_, args)) in ops.iter().enumerate() {
            let stored = outputs.contains(&i);
            for arg in args {
                let Source::Op(op) = *arg else { continue };
                if last[op] == i
                    && !outputs.contains(&op)
                    && let Some(place) = places[op].filter(|p| !free.contains(p))
                {
                    free.push(place);
                }
            }
            if !stored {
                places[i] = Some(free.pop().unwrap_or_else(|| {
                    registers += 1;
                    registers - 1
                }));
            }
            numbered.push(places[i]);
        }
        let (constants, inputs) = (self.constants.len(), self.inputs.len());
        let small = |n: usize| u16::try_from(n).expect("a program has fewer than 65536 places");
        let of_op = |op: usize| {
            let output = outputs.iter().position(|o| *o == op);
            let stored = output.map(|o| registers + constants + inputs + o);
            small(stored.or(numbered[op]).unwrap_or(0))
        };
        let place = |source: &Source| match *source {
            Source::Op(op) => of_op(op),
            Source::Constant(c) => small(registers + c),
            Source::Input(i) => small(registers + constants + i),
        };
        let micro = |(i, (code, args)): (usize, &(Code, Vec<Source>))| {
            let from: Vec<u16> = args.iter().map(place).collect();
            let pick = |k: usize| from.get(k).or(from.last()).copied().unwrap_or(0);
            MicroOp {
                code: *code,
                to: of_op(i),
                from: [pick(0), pick(1), pick(2)],
            }
        };
        Numbered {
            ops: ops.iter().enumerate().map(micro).collect(),
            constants: self.constants.clone(),
            registers,
        }
    }

    /// The ops that an output needs, and the op of each output.
    fn without_dead(&self) -> (Vec<(Code, Vec<Source>)>, Vec<usize>) {
        let mut needed = vec![false; self.ops.len()];
        self.outputs.iter().for_each(|(_, op)| needed[*op] = true);
        for i in (0..self.ops.len()).rev() {
            if needed[i] {
                for arg in &self.ops[i].1 {
                    if let Source::Op(op) = arg {
                        needed[*op] = true;
                    }
                }
            }
        }
        let mut place = vec![0; self.ops.len()];
        let mut kept = Vec::new();
        for (i, (code, args)) in self.ops.iter().enumerate().filter(|(i, _)| needed[*i]) {
            place[i] = kept.len();
            let renumber = |s: &Source| match *s {
                Source::Op(op) => Source::Op(place[op]),
                other => other,
            };
            kept.push((*code, args.iter().map(renumber).collect()));
        }
        let outputs = self.outputs.iter().map(|(_, op)| place[*op]).collect();
        (kept, outputs)
    }
}
