//! Fused entrywise programs: many ops on the same entries in one pass over memory.
//!
//! A program is a list of micro-ops on blocks of entries. A product that is added to a value
//! becomes a multiply-add, and `y (1 − y)` becomes `y − y·y`.

use std::collections::{HashMap, HashSet};

use super::access::Access;
use super::graph::{Graph, Id, Kind};
use crate::op::Pointwise;

/// The operation of a micro-op on each entry of a block.
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
    /// `b` where `a` is nonzero, `c` where it is zero, NaN where it is NaN.
    Select,
}

impl Code {
    /// The number of arguments.
    pub(crate) const fn arity(self) -> usize {
        match self {
            Self::Entry(op) => op.arity(),
            Self::Copy | Self::Negate => 1,
            Self::Add | Self::Subtract => 2,
            Self::MultiplyAdd | Self::NegativeMultiplyAdd | Self::Select => 3,
        }
    }

    /// The floating-point operations per entry; a function counts as one.
    pub(super) const fn flops(self) -> usize {
        match self {
            Self::Copy | Self::Select => 0,
            Self::MultiplyAdd | Self::NegativeMultiplyAdd => 2,
            Self::Entry(_) | Self::Negate | Self::Add | Self::Subtract => 1,
        }
    }
}

/// One micro-op. The places are numbered: first registers, then constants, inputs and outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MicroOp {
    pub(crate) code: Code,
    pub(crate) to: u16,
    pub(crate) from: [u16; 3],
}

/// The source of an argument while the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Op(usize),
    Constant(usize),
    Input(usize),
}

/// A program without numbered places.
#[derive(Debug, Default)]
pub(super) struct Draft {
    ops: Vec<(Code, Vec<Source>)>,
    constants: Vec<f64>,
    pub(super) inputs: Vec<Access>,
    /// The nodes that are stored, each with the index of the op that computes it.
    pub(super) outputs: Vec<(Id, usize)>,
}

/// The numbered micro-ops of a program.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) ops: Vec<MicroOp>,
    pub(crate) constants: Vec<f64>,
    pub(crate) registers: usize,
}

/// The construction of a program from entrywise nodes in topological order.
pub(super) struct Writer<'a> {
    graph: &'a Graph,
    members: HashSet<Id>,
    /// The number of uses of each node in the program, and the last user.
    uses: HashMap<Id, (usize, Id)>,
    /// Returns true for a node that is stored.
    stored: &'a dyn Fn(Id) -> bool,
    done: HashMap<Id, Source>,
    /// The ops that compute an output.
    making: HashSet<usize>,
    constants: HashMap<u64, usize>,
    inputs: HashMap<Access, usize>,
    draft: Draft,
}

impl<'a> Writer<'a> {
    pub(super) fn write(graph: &'a Graph, members: &[Id], stored: &'a dyn Fn(Id) -> bool) -> Draft {
        let mut uses = HashMap::new();
        for id in members {
            for arg in &graph.nodes[*id].args {
                let (count, user) = uses.entry(*arg).or_insert((0, *id));
                (*count, *user) = (*count + 1, *id);
            }
        }
        let mut writer = Self {
            graph,
            members: members.iter().copied().collect(),
            uses,
            stored,
            done: HashMap::new(),
            making: HashSet::new(),
            constants: HashMap::new(),
            inputs: HashMap::new(),
            draft: Draft::default(),
        };
        for id in members {
            if writer.absorbed(*id) {
                continue;
            }
            let source = writer.node(*id);
            writer.finish(*id, source);
        }
        writer.draft
    }

    /// Returns true if a product has a single use, as a term of a sum, and becomes a multiply-add
    /// there.
    fn absorbed(&self, id: Id) -> bool {
        let is_product =
            matches!(self.graph.nodes[id].kind, Kind::Pointwise(op) if op.is_product());
        let only_user = match self.uses.get(&id) {
            Some((1, user)) => &self.graph.nodes[*user],
            _ => return false,
        };
        is_product
            && !(self.stored)(id)
            && matches!(only_user.kind, Kind::Sum(_))
            && only_user.args.len() > 1
    }

    fn finish(&mut self, id: Id, source: Source) {
        let source = match source {
            Source::Op(op) if !(self.stored)(id) || !self.making.contains(&op) => source,
            other if (self.stored)(id) => self.op(Code::Copy, vec![other]),
            other => other,
        };
        if let (true, Source::Op(op)) = ((self.stored)(id), source) {
            self.draft.outputs.push((id, op));
            self.making.insert(op);
        }
        self.done.insert(id, source);
    }

    fn op(&mut self, code: Code, args: Vec<Source>) -> Source {
        self.draft.ops.push((code, args));
        Source::Op(self.draft.ops.len() - 1)
    }

    fn constant(&mut self, value: f64) -> Source {
        let constants = &mut self.draft.constants;
        let place = self.constants.entry(value.to_bits());
        Source::Constant(*place.or_insert_with(|| {
            constants.push(value);
            constants.len() - 1
        }))
    }

    /// The source of an argument: a value of the program, a constant, or an input.
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
        Source::Input(*self.inputs.entry(access).or_insert_with(|| {
            inputs.push(access);
            inputs.len() - 1
        }))
    }

    fn node(&mut self, id: Id) -> Source {
        let node = &self.graph.nodes[id];
        match &node.kind {
            Kind::Sum(signs) => self.sum(&node.args, signs),
            Kind::Select => {
                let args = node.args.iter().map(|a| self.source(*a)).collect();
                self.op(Code::Select, args)
            }
            Kind::Pointwise(op) => {
                if op.is_product()
                    && let Some(y) = self.logistic_slope(&node.args)
                {
                    return self.op(Code::NegativeMultiplyAdd, vec![y, y, y]);
                }
                let args = node.args.iter().map(|a| self.source(*a)).collect();
                self.op(Code::Entry(*op), args)
            }
            _ => unreachable!("a program is made of entrywise nodes"),
        }
    }

    /// The `y` of `y (1 − y)`, if the factors have this form.
    fn logistic_slope(&mut self, args: &[Id]) -> Option<Source> {
        let [a, b] = args[..] else {
            return None;
        };
        let one_minus = |sum: Id, y: Id| {
            let node = &self.graph.nodes[sum];
            let Kind::Sum(signs) = &node.kind else {
                return false;
            };
            let is_one = |id: &Id| matches!(self.graph.nodes[*id].kind, Kind::Constant(1.0));
            self.members.contains(&sum)
                && signs[..] == [1, -1]
                && is_one(&node.args[0])
                && node.args[1] == y
        };
        if one_minus(b, a) {
            Some(self.source(a))
        } else if one_minus(a, b) {
            Some(self.source(b))
        } else {
            None
        }
    }

    fn sum(&mut self, args: &[Id], signs: &[i8]) -> Source {
        let mut terms: Vec<(Id, i8)> = args.iter().copied().zip(signs.iter().copied()).collect();
        let is_taken_over =
            |this: &Self, id: Id| this.members.contains(&id) && !this.done.contains_key(&id);
        // The first term is positive and, if possible, not a product that becomes a multiply-add.
        let first = terms
            .iter()
            .position(|(id, sign)| *sign > 0 && !is_taken_over(self, *id))
            .or_else(|| terms.iter().position(|(_, sign)| *sign > 0))
            .unwrap_or(0);
        let (id, sign) = terms.remove(first);
        let mut sum = if is_taken_over(self, id) {
            self.node(id)
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
    /// Numbers the places; a register is reused after the last use of its value.
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
        // The first output that each op computes.
        let mut making: Vec<Option<usize>> = vec![None; ops.len()];
        for (output, op) in outputs.iter().enumerate() {
            making[*op].get_or_insert(output);
        }
        let (mut free, mut registers) = (Vec::new(), 0);
        let mut is_free: Vec<bool> = Vec::new();
        let mut numbered = Vec::with_capacity(ops.len());
        for (i, (_, args)) in ops.iter().enumerate() {
            for arg in args {
                let Source::Op(op) = *arg else { continue };
                if last[op] == i
                    && making[op].is_none()
                    && let Some(place) = places[op].filter(|p| !is_free[*p])
                {
                    is_free[place] = true;
                    free.push(place);
                }
            }
            if making[i].is_none() {
                let place = free.pop().unwrap_or_else(|| {
                    registers += 1;
                    is_free.push(false);
                    registers - 1
                });
                is_free[place] = false;
                places[i] = Some(place);
            }
            numbered.push(places[i]);
        }
        let (constants, inputs) = (self.constants.len(), self.inputs.len());
        let small = |n: usize| u16::try_from(n).expect("a program has fewer than 65536 places");
        let of_op = |op: usize| {
            let stored = making[op].map(|o| registers + constants + inputs + o);
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

    /// The ops that outputs depend on, and the op of each output.
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
