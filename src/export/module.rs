//! An exported function without the words of a language: its data, its memory and the lines of its fused programs.

use super::memory::{Array, Carried, Home, Memory, Place};
use super::names::{Names, identifier};
use super::record::Records;
use super::trace::traced;
use super::tree::{Line, Primitive, Tree};
use crate::exec::{Program, Real};
use crate::op::Dense;
use crate::plan::{self, Code, Instruction, Operand, Plan, Storage};

/// A function that a back end writes.
pub(super) struct Module<'p, F: Real> {
    pub(super) program: &'p Program<F>,
    pub(super) records: Records,
    pub(super) memory: Memory,
    /// The name of the recurrence as an identifier.
    pub(super) name: String,
    /// The derivative that the function computes, in words.
    pub(super) what: String,
    /// True for one step at a time.
    pub(super) by_step: bool,
}

/// Numbers that stay from one step to the next.
pub(super) struct StateField {
    pub(super) name: String,
    /// The value, in the words of the recurrence.
    pub(super) of: String,
    pub(super) buffer: usize,
    pub(super) shift: i8,
    pub(super) len: usize,
}

impl<F: Real> Module<'_, F> {
    pub(super) const fn plan(&self) -> &Plan {
        self.program.plan()
    }

    pub(super) fn place(&self, operand: &Operand) -> Place {
        self.memory.place(self.program, &self.records, operand)
    }

    /// The entries that some instruction adds to, which start at zero.
    pub(super) fn sums(&self) -> Vec<Place> {
        let all = self
            .plan()
            .instructions()
            .filter_map(Instruction::accumulates);
        let mut found: Vec<Place> = Vec::new();
        for out in all {
            for part in self.memory.parts(out) {
                let place = self.place(&part_of(out, part));
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
        found
    }

    /// The outputs of a step that a pass computes: the operand and the first entry in the row of outputs.
    pub(super) fn rows_of(&self, pass: usize) -> Vec<(Operand, usize)> {
        let fields = self.records.rows.fields.iter();
        let last = self.plan().passes.len().saturating_sub(1);
        let found = fields.filter_map(|field| {
            let spec = &self.plan().outputs[field.index];
            // An input that is an output is known in every pass.
            (spec.pass.unwrap_or(last) == pass).then_some((spec.operand, field.start))
        });
        found.collect()
    }

    /// The outputs that do not vary with the step and are not computed in their place.
    pub(super) fn results(&self) -> Vec<(Operand, usize)> {
        let fields = self.records.results.fields.iter();
        let found = fields.map(|field| (self.plan().outputs[field.index].operand, field.start));
        let elsewhere =
            |(operand, _): &(Operand, usize)| self.place(operand).array != Array::Results;
        found.filter(elsewhere).collect()
    }

    /// True if some of these inputs may hold anything at inactive steps.
    pub(super) fn is_masked(&self, leaf: usize) -> bool {
        let tape = self.program.recurrence().tape();
        tape.is_masked(&tape.leaves()[leaf])
    }

    /// The leaf of an operand, if it is one.
    pub(super) fn leaf(&self, operand: &Operand) -> Option<usize> {
        match self.plan().buffers[operand.buffer].storage {
            Storage::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The entries of a buffer that a pass reads at another step, if they have memory of their own.
    pub(super) fn carried(&self, buffer: usize, shift: i8) -> Option<&Carried> {
        let mut carried = self.memory.carried.iter();
        carried.find(|c| (c.buffer, c.shift) == (buffer, shift))
    }

    /// A name for a value of a buffer; that of a gradient differs from that of its variable.
    pub(super) fn value_name(&self, name: &str) -> String {
        let bare = name.strip_prefix("output ").unwrap_or(name);
        let is_variable = || self.program.recurrence().tape().leaf_named(bare).is_some();
        match bare.len() < name.len() && is_variable() {
            true => format!("d_{bare}"),
            false => bare.into(),
        }
    }

    /// A name for the row of a buffer.
    pub(super) fn row_name(&self, buffer: usize) -> String {
        let named = |name: &str| identifier(&self.value_name(name));
        match &self.plan().buffers[buffer].values[..] {
            [] => "row".into(),
            [one] => named(&one.name),
            [one, .., last] => format!("{}_to_{}", named(&one.name), named(&last.name)),
        }
    }

    /// All that is kept between steps, in the order of the buffers.
    pub(super) fn state(&self, reserved: &[&str]) -> Vec<StateField> {
        let mut names = Names::without(reserved.iter().copied());
        let (plan, memory) = (self.plan(), &self.memory);
        let mut found = Vec::new();
        for (buffer, spec) in plan.buffers.iter().enumerate() {
            let values: Vec<&str> = spec.values.iter().map(|v| v.name.as_str()).collect();
            let first = &self.row_name(buffer);
            let mut field = |name: &str, shift, len| {
                found.push(StateField {
                    name: names.fresh(name),
                    of: values.join(", "),
                    buffer,
                    shift,
                    len,
                });
            };
            if matches!(
                memory.homes[buffer],
                Home::Fixed(_) | Home::Step { at: Some(_) }
            ) {
                field(first, 0, spec.width);
            }
            for carried in memory.carried.iter().filter(|c| c.buffer == buffer) {
                let suffix = if carried.shift < 0 { "before" } else { "after" };
                field(
                    &format!("{first}_{suffix}"),
                    carried.shift,
                    carried.entries.len(),
                );
            }
        }
        found
    }

    /// The bytes of the arrays on the stack.
    pub(super) fn stack(&self) -> usize {
        let inputs = self.records.inputs.fields.iter();
        let masked = inputs.filter(|f| self.is_masked(f.index)).map(|f| f.len);
        let factors = self.plan().instructions().map(|i| match i {
            Instruction::Dense {
                args,
                op: Dense::Solve | Dense::Inverse | Dense::LogDet,
                ..
            } => args.first().map_or(0, |(_, [n, _])| {
                n * n * size_of::<F>() + n * size_of::<usize>()
            }),
            _ => 0,
        });
        (self.memory.on_stack + masked.sum::<usize>()) * size_of::<F>() + factors.max().unwrap_or(0)
    }

    /// The lines of a fused program: a value that is used more than once has a line of its own.
    pub(super) fn lines(&self, program: &plan::Program) -> Vec<Line> {
        let constants = program.constants.iter().map(|c| Tree::Number(*c));
        let inputs = program.inputs.iter().map(|i| Tree::Entry {
            place: self.place(&i.operand),
            spread: i.spread,
        });
        let outputs: Vec<Place> = program.outputs.iter().map(|o| self.place(o)).collect();
        let written = outputs.iter().map(|o| Tree::Entry {
            place: *o,
            spread: false,
        });
        let mut places = vec![Tree::Number(0.0); program.registers];
        places.extend(constants.chain(inputs).chain(written));
        let first_output = places.len() - outputs.len();
        let mut depths = vec![0; places.len()];
        let mut lines = Vec::new();
        let mut locals = 0;
        let mut local = |lines: &mut Vec<Line>, value| {
            lines.push(Line::Local(locals, value));
            locals += 1;
            Tree::Local(locals - 1)
        };
        for (i, op) in program.ops.iter().enumerate() {
            let from = op.from.map(usize::from);
            // An argument that the expression has more than once is computed once.
            for (index, place) in from.iter().enumerate().take(op.code.arity()) {
                if depths[*place] > 0 && times(op.code, index) > 1 {
                    let value = places[*place].clone();
                    (places[*place], depths[*place]) = (local(&mut lines, value), 0);
                }
            }
            let value = value(op.code, from.map(|place| places[place].clone()));
            let depth = 1 + from.iter().map(|place| depths[*place]).max().unwrap_or(0);
            let to = usize::from(op.to);
            if to >= first_output {
                lines.push(Line::Store(outputs[to - first_output], value));
            } else if program.uses(i) == 1 && depth < DEEPEST {
                (places[to], depths[to]) = (value, depth);
            } else {
                (places[to], depths[to]) = (local(&mut lines, value), 0);
            }
        }
        lines
    }
}

/// The deepest expression of a line.
const DEEPEST: usize = 12;

/// The number of times that the expression of a micro-op has an argument.
fn times(code: Code, argument: usize) -> usize {
    fn count(tree: &Tree, argument: usize) -> usize {
        match tree {
            Tree::Local(index) => usize::from(*index == argument),
            Tree::Apply(_, args) => args.iter().map(|a| count(a, argument)).sum(),
            _ => 0,
        }
    }
    count(&value(code, [0, 1, 2].map(Tree::Local)), argument)
}

/// A part of an operand.
pub(super) fn part_of(operand: &Operand, part: std::ops::Range<usize>) -> Operand {
    Operand {
        start: operand.start + part.start,
        len: part.len(),
        ..*operand
    }
}

/// The expression of a micro-op.
fn value(code: Code, [a, b, c]: [Tree; 3]) -> Tree {
    let product = |a, b| Tree::of(Primitive::Mul, [a, b]);
    match code {
        Code::Entry(op) => traced(op, [a, b]),
        Code::Copy => a,
        Code::Negate => Tree::of(Primitive::Neg, [a]),
        Code::Add => Tree::of(Primitive::Add, [a, b]),
        Code::Subtract => Tree::of(Primitive::Sub, [a, b]),
        Code::MultiplyAdd => Tree::of(Primitive::Add, [c, product(a, b)]),
        Code::NegativeMultiplyAdd => Tree::of(Primitive::Sub, [c, product(a, b)]),
        Code::Select => Tree::of(Primitive::Select, [a, b, c]),
    }
}
