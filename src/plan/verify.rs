//! The verifier: a plan names only entries inside its buffers, and only values that have been computed.
//!
//! The executor reaches memory through pointers and trusts its plan. Each plan is verified once, when it is made.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Directions, Instruction, Operand, Pack, Pass, Plan, Program, Stage, Storage};
use crate::op::{Extent, Move, Strides, entries};
use crate::recurrence::Recurrence;
use crate::shape::{Kind, Rate};

/// The fault of a plan.
type Fault = String;

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

impl Plan {
    /// Returns the first fault of the plan of a recurrence with these sizes, if it has one.
    pub(crate) fn verify(
        &self,
        recurrence: &Recurrence,
        sizes: &[usize],
        several: &Directions,
    ) -> Result<(), Fault> {
        let leaves = recurrence.tape().leaves().iter().enumerate();
        let leaves = leaves.map(|(index, leaf)| Leaf {
            laned: several.leaves.get(index) == Some(&true),
            rate: leaf.ty().rate,
            classes: match leaf.ty().kind {
                Kind::Class(count) => Some(count.value(sizes)),
                Kind::Real => None,
            },
        });
        let leaves: Vec<Leaf> = leaves.collect();
        self.programs.iter().try_for_each(program)?;
        let verifier = Verifier {
            plan: self,
            leaves: &leaves,
        };
        self.packs.iter().try_for_each(|p| verifier.pack(p))?;
        verifier.order()
    }
}

/// A parameter or an input.
struct Leaf {
    /// True if there is one for each direction.
    laned: bool,
    rate: Rate,
    /// The number of classes, if it is a class.
    classes: Option<usize>,
}

/// A fused program reads places that hold a value, and writes registers and outputs.
fn program(program: &Program) -> Result<(), Fault> {
    let Program {
        len,
        ops,
        registers,
        constants,
        inputs,
        outputs,
        ..
    } = program;
    let first = registers + constants.len() + inputs.len();
    let mut holds = vec![false; *registers];
    holds.resize(first, true);
    holds.resize(first + outputs.len(), false);
    for op in ops {
        for place in op.from {
            let known = holds.get(usize::from(place)) == Some(&true);
            ensure!(known, "a program reads place {place}, which holds no value");
        }
        let to = usize::from(op.to);
        let may = to < *registers || (first..holds.len()).contains(&to);
        ensure!(may, "a program writes place {to}, which is not its own");
        holds[to] = true;
    }
    ensure!(
        holds[first..].iter().all(|h| *h),
        "a program leaves an output without a value"
    );
    for input in inputs {
        let expected = if input.spread { 1 } else { *len };
        fits("the input of a program", &input.operand, expected)?;
    }
    outputs
        .iter()
        .try_for_each(|output| fits("the output of a program", output, *len))
}

/// Returns a fault unless an operand has this many entries.
fn fits(what: &str, operand: &Operand, len: usize) -> Result<(), Fault> {
    ensure!(
        operand.len == len,
        "{what} has {} entries, not {len}",
        operand.len
    );
    Ok(())
}

/// Disjoint ranges of the entries of a row.
#[derive(Clone, Debug, Default)]
struct Entries(BTreeMap<usize, usize>);

impl Entries {
    fn contains(&self, wanted: &Range<usize>) -> bool {
        let before = self.0.range(..=wanted.start).next_back();
        wanted.is_empty() || before.is_some_and(|(_, end)| *end >= wanted.end)
    }

    fn touches(&self, wanted: &Range<usize>) -> bool {
        let before = self.0.range(..wanted.end).next_back();
        !wanted.is_empty() && before.is_some_and(|(_, end)| *end > wanted.start)
    }

    /// Adds a range, and joins it to those that it touches.
    fn insert(&mut self, Range { mut start, mut end }: Range<usize>) {
        while let Some((first, last)) = self.0.range(..=end).next_back() {
            if *last < start {
                break;
            }
            (start, end) = (start.min(*first), end.max(*last));
            let first = *first;
            self.0.remove(&first);
        }
        self.0.insert(start, end);
    }
}

/// The entries of each buffer that hold a value at some point of a run.
struct Known {
    /// The values of all rows that are complete.
    values: Vec<Entries>,
    /// Values per step of the current loop, complete up to the current step.
    running: Vec<Entries>,
    /// Sums over time and picked values, complete after the pass.
    later: Vec<Entries>,
    /// The entries with a row before the first step, and with a row after the last step.
    edges: [Vec<Entries>; 2],
    /// The entries of the current pass that hold a value.
    fresh: Vec<Entries>,
    packs: Vec<bool>,
}

/// The instruction that is verified: once, in a loop, or for many steps.
#[derive(Clone, Copy)]
struct Context {
    /// The direction of the pass; `None` outside of passes.
    forward: Option<bool>,
    is_loop: bool,
}

struct Verifier<'p> {
    plan: &'p Plan,
    leaves: &'p [Leaf],
}

impl Verifier<'_> {
    /// Follows the instructions in order.
    fn order(&self) -> Result<(), Fault> {
        let empty = || vec![Entries::default(); self.plan.buffers.len()];
        let mut known = Known {
            values: empty(),
            running: empty(),
            later: empty(),
            edges: [empty(), empty()],
            fresh: empty(),
            packs: vec![false; self.plan.packs.len()],
        };
        for (values, buffer) in known.values.iter_mut().zip(&self.plan.buffers) {
            if let Storage::Leaf(leaf) = buffer.storage {
                let is_known = self
                    .leaves
                    .get(leaf)
                    .is_some_and(|l| l.laned == buffer.laned);
                ensure!(is_known, "a leaf has another number of directions");
                values.insert(0..buffer.width);
            }
        }
        ensure!(
            self.plan.once.len() == self.plan.passes.len() + 1,
            "the work done once does not surround the passes"
        );
        for (index, once) in self.plan.once.iter().enumerate() {
            let context = Context {
                forward: None,
                is_loop: false,
            };
            for instruction in once {
                self.instruction(instruction, context, &mut known)?;
            }
            if let Some(pass) = self.plan.passes.get(index) {
                self.pass(index, pass, &mut known)?;
            }
        }
        for output in &self.plan.outputs {
            self.inside(&output.operand)?;
            fits("an output", &output.operand, output.shape.iter().product())?;
            let holds = known.values[output.operand.buffer].contains(&range(&output.operand));
            ensure!(holds, "output `{}` holds no value", output.name);
            let fits = output.laned || !self.laned(&output.operand);
            ensure!(fits, "output `{}` has several directions", output.name);
        }
        let found = self.plan.values.iter().map(|found| &found.operand);
        found
            .into_iter()
            .try_for_each(|operand| self.inside(operand))
    }

    fn pass(&self, index: usize, pass: &Pass, known: &mut Known) -> Result<(), Fault> {
        for carry in self.plan.carries.iter().filter(|c| c.pass == index) {
            self.inside(&carry.value)?;
            let storage = self.plan.buffers[carry.value.buffer].storage;
            ensure!(
                matches!(storage, Storage::Chunk | Storage::Full),
                "a carried value has no row beside its steps"
            );
            if let Some(init) = &carry.init {
                self.inside(init)?;
                ensure!(
                    self.laned(&carry.value) || !self.laned(init),
                    "an initial value has more directions than its register"
                );
                fits("an initial value", init, carry.value.len)?;
                let holds = known.values[init.buffer].contains(&range(init));
                ensure!(
                    holds && init.shift == 0,
                    "an initial value is read before it is known"
                );
            }
            known.edges[usize::from(!carry.forward)][carry.value.buffer]
                .insert(range(&carry.value));
        }
        for stage in &pass.stages {
            self.stage(pass.forward, stage, known)?;
        }
        for (buffer, spec) in self.plan.buffers.iter().enumerate() {
            let fresh = std::mem::take(&mut known.fresh[buffer]);
            let later = std::mem::take(&mut known.later[buffer]);
            let forgets = matches!(spec.storage, Storage::Chunk | Storage::Local);
            if !forgets {
                for (start, end) in fresh.0.into_iter().chain(later.0) {
                    known.values[buffer].insert(start..end);
                }
            }
        }
        Ok(())
    }

    fn stage(&self, forward: bool, stage: &Stage, known: &mut Known) -> Result<(), Fault> {
        let context = Context {
            forward: Some(forward),
            is_loop: stage.is_loop,
        };
        if stage.is_loop {
            for work in &stage.body {
                for out in work.instruction.writes(&self.plan.programs) {
                    self.inside(&out)?;
                    known.running[out.buffer].insert(range(&out));
                }
            }
        }
        for work in &stage.body {
            self.instruction(&work.instruction, context, known)?;
            ensure!(
                self.plan.is_laned(&work.instruction) == stage.laned,
                "an instruction is in a stage for another number of directions"
            );
        }
        known.running.iter_mut().for_each(|r| r.0.clear());
        for (buffer, spec) in self.plan.buffers.iter().enumerate() {
            if spec.storage == Storage::Local {
                known.fresh[buffer].0.clear();
            }
        }
        Ok(())
    }

    /// Returns a fault unless an operand lies inside its buffer, at the rate of its rows.
    fn inside(&self, operand: &Operand) -> Result<(), Fault> {
        let Some(buffer) = self.plan.buffers.get(operand.buffer) else {
            return Err(format!("there is no buffer {}", operand.buffer));
        };
        let end = operand.start.checked_add(operand.len);
        ensure!(
            end.is_some_and(|end| end <= buffer.width),
            "entries {:?} are not inside a row of {} entries",
            range(operand),
            buffer.width
        );
        let rate = match buffer.storage {
            Storage::Leaf(leaf) => self.leaves.get(leaf).map(|leaf| leaf.rate),
            Storage::Static => Some(Rate::Static),
            Storage::Sample => Some(Rate::Sample),
            Storage::Local | Storage::Chunk | Storage::Full => Some(Rate::Step),
        };
        ensure!(
            rate == Some(operand.rate),
            "an operand with rows per {:?} is in a buffer with rows per {rate:?}",
            operand.rate
        );
        let has_edges = matches!(buffer.storage, Storage::Chunk | Storage::Full);
        ensure!(
            operand.shift == 0 || (operand.shift.abs() == 1 && has_edges),
            "a shift of {} in a buffer without such rows",
            operand.shift
        );
        Ok(())
    }

    /// Returns a fault unless a value is known where it is read.
    fn read(&self, operand: &Operand, context: Context, known: &Known) -> Result<(), Fault> {
        self.inside(operand)?;
        let (buffer, wanted) = (operand.buffer, range(operand));
        let before = known.values[buffer].contains(&wanted);
        let holds = match (context.forward, operand.shift) {
            (None, shift) => before && (shift == 0 || operand.rate != Rate::Step),
            (Some(_), 0) => before || known.fresh[buffer].contains(&wanted),
            (Some(forward), shift) => {
                let edge = usize::from(shift > 0);
                // A pass has already been where it comes from; the other neighbour has a value only if
                // an earlier pass computed it.
                let behind = (shift < 0) == forward;
                let here = known.fresh[buffer].contains(&wanted)
                    || (context.is_loop && known.running[buffer].contains(&wanted));
                known.edges[edge][buffer].contains(&wanted) && (before || (behind && here))
            }
        };
        ensure!(
            holds,
            "entries {wanted:?} of buffer {buffer} are read at shift {} before they are known",
            operand.shift
        );
        Ok(())
    }

    fn write(
        &self,
        instruction: &Instruction,
        out: &Operand,
        context: Context,
        known: &mut Known,
    ) -> Result<(), Fault> {
        self.inside(out)?;
        let (buffer, written) = (out.buffer, range(out));
        let storage = self.plan.buffers[buffer].storage;
        ensure!(
            !matches!(storage, Storage::Leaf(_)),
            "an instruction writes to a parameter or an input"
        );
        ensure!(out.shift == 0, "an instruction writes to another step");
        let computed = [&known.values, &known.fresh, &known.later];
        let again = computed.iter().any(|known| known[buffer].touches(&written));
        let adds = instruction.accumulates().is_some()
            || matches!(instruction, Instruction::Gemm { start: Some(start), .. } if start == out);
        ensure!(
            adds || !again,
            "entries {written:?} of buffer {buffer} are computed twice"
        );
        match (context.forward, out.rate) {
            (None, _) => known.values[buffer].insert(written),
            (Some(_), Rate::Step) => known.fresh[buffer].insert(written),
            (Some(_), _) => {
                ensure!(
                    instruction.ends_time(),
                    "a value per sample is computed at every step"
                );
                known.later[buffer].insert(written);
            }
        }
        Ok(())
    }

    fn instruction(
        &self,
        instruction: &Instruction,
        context: Context,
        known: &mut Known,
    ) -> Result<(), Fault> {
        let programs = &self.plan.programs;
        let numbered = match instruction {
            Instruction::Program(index) => *index < programs.len(),
            Instruction::Pack(pack) | Instruction::Gemm { pack, .. } => {
                *pack < self.plan.packs.len()
            }
            _ => true,
        };
        ensure!(
            numbered,
            "an instruction names a program or a matrix that does not exist"
        );
        for operand in instruction.reads(programs) {
            self.read(&operand, context, known)?;
        }
        if let Instruction::Pack(index) = instruction {
            for part in &self.plan.packs[*index].parts {
                self.read(&part.matrix, context, known)?;
            }
            known.packs[*index] = true;
        }
        if let Instruction::Gemm { pack, .. } = instruction {
            ensure!(
                known.packs[*pack],
                "a product uses a matrix before it is packed"
            );
        }
        self.sizes(instruction)?;
        self.lanes(instruction)?;
        for out in instruction.writes(programs) {
            self.write(instruction, &out, context, known)?;
        }
        Ok(())
    }

    /// Returns true if there is one of an operand for each direction.
    fn laned(&self, operand: &Operand) -> bool {
        let buffer = self.plan.buffers.get(operand.buffer);
        buffer.is_some_and(|buffer| buffer.laned)
    }

    /// A value that is computed once is not computed from several.
    fn lanes(&self, instruction: &Instruction) -> Result<(), Fault> {
        let programs = &self.plan.programs;
        let writes = instruction.writes(programs);
        let several = self.plan.is_laned(instruction);
        ensure!(
            writes.iter().all(|out| self.laned(out) == several),
            "an instruction writes values for different numbers of directions"
        );
        let matrix = match instruction {
            Instruction::Gemm { pack, .. } => self.plan.packs[*pack].laned,
            _ => false,
        };
        let reads = instruction.reads(programs);
        let reads_several = matrix || reads.iter().any(|from| self.laned(from));
        ensure!(
            several || !reads_several,
            "a value that is computed once depends on a direction"
        );
        Ok(())
    }

    /// The sizes of the operands of an instruction fit one another.
    fn sizes(&self, instruction: &Instruction) -> Result<(), Fault> {
        match instruction {
            Instruction::Program(_) | Instruction::Pack(_) => Ok(()),
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                let pack = &self.plan.packs[*pack];
                let k: usize = segments.iter().map(|s| s.len).sum();
                ensure!(k == pack.k, "a product of {k} entries with {} rows", pack.k);
                fits("the result of a product", out, pack.n)?;
                start
                    .iter()
                    .try_for_each(|s| fits("the start of a product", s, pack.n))
            }
            Instruction::OuterTotal { out, a, b, .. } => {
                fits("a sum of outer products", out, a.len.saturating_mul(b.len))
            }
            Instruction::Total { out, from, .. }
            | Instruction::Pool { out, from }
            | Instruction::Pick { out, from, .. }
            | Instruction::Impulse { out, from, .. } => fits("a sum or a copy", out, from.len),
            Instruction::MoveTotal {
                out,
                from,
                moved,
                class,
            } => self.moved(moved, [from, out], class.as_ref()),
            Instruction::Move { out, moves, class } => {
                let all = moves.iter();
                { all }.try_for_each(|(moved, from)| self.moved(moved, [from, out], class.as_ref()))
            }
            Instruction::Contract {
                out,
                a,
                b,
                contract,
            } => {
                let c = contract;
                fits("a contraction", out, c.m * c.n)?;
                let most = |extent: [usize; 2], strides: [usize; 2]| {
                    let last = |i: usize| extent[i].saturating_sub(1) * strides[i];
                    last(0) + last(1)
                };
                ensure!(
                    most([c.m, c.k], c.a) < a.len,
                    "a contraction leaves its first operand"
                );
                let fits = b.is_none_or(|b| most([c.k, c.n], c.b) < b.len);
                ensure!(fits, "a contraction leaves its second operand");
                Ok(())
            }
            Instruction::Reduce { out, from, .. } => {
                let whole = out.len == 1 || out.len == from.len;
                ensure!(whole, "a reduction of {} entries to {}", from.len, out.len);
                Ok(())
            }
            Instruction::Dense { out, args, op } => {
                for (a, extent) in args {
                    fits("the argument of a function of arrays", a, entries(*extent))?;
                }
                let extents: Vec<Extent> = args.iter().map(|(_, extent)| *extent).collect();
                let Some(value) = op.entries(&extents) else {
                    ensure!(false, "{} of {extents:?} has no value", op.name());
                    return Ok(());
                };
                fits("the value of a function of arrays", out, value)
            }
            Instruction::Custom {
                out, args, shape, ..
            } => {
                fits("the value of a custom op", out, shape.iter().product())?;
                let mut args = args.iter();
                args.try_for_each(|(a, shape)| {
                    fits("the argument of a custom op", a, shape.iter().product())
                })
            }
        }
    }

    /// A move stays inside its operands, for each class.
    fn moved(
        &self,
        moved: &Move,
        [from, to]: [&Operand; 2],
        class: Option<&Operand>,
    ) -> Result<(), Fault> {
        let classes = match class.map(|class| self.plan.buffers[class.buffer].storage) {
            None => 1,
            Some(Storage::Leaf(leaf)) => self.leaves[leaf].classes.unwrap_or(0),
            Some(_) => 0,
        };
        ensure!(classes > 0, "a move is shifted by a value that is no class");
        let last = |at: &Strides| {
            let along = |n: usize, stride: usize| n.saturating_sub(1) * stride;
            let [rows, columns] = moved.extent;
            at.start + along(rows, at.rows) + along(columns, at.columns) + along(classes, at.class)
        };
        let inside = last(&moved.from) < from.len && last(&moved.to) < to.len;
        ensure!(inside, "a move leaves its operands");
        Ok(())
    }

    /// The parts of a matrix lie inside it and inside their operands.
    fn pack(&self, pack: &Pack) -> Result<(), Fault> {
        let several = pack.parts.iter().any(|part| self.laned(&part.matrix));
        ensure!(
            several == pack.laned,
            "a matrix has another number of directions than its parts"
        );
        for part in &pack.parts {
            let inside = part.at[0] + part.k <= pack.k && part.at[1] + part.n <= pack.n;
            ensure!(inside, "a part of a matrix lies outside of it");
            let (lines, len) = match part.transposed {
                true => (part.k, part.n),
                false => (part.n, part.k),
            };
            let last = lines.saturating_sub(1) * part.columns + len;
            ensure!(
                len <= part.columns && last <= part.matrix.len,
                "a matrix of {} entries is read up to entry {last}",
                part.matrix.len
            );
        }
        Ok(())
    }
}

fn range(operand: &Operand) -> Range<usize> {
    operand.start..operand.start.saturating_add(operand.len)
}
