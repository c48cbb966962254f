//! The memory of an exported function: where the rows of each buffer are.
//!
//! All stages of a pass run in one loop over the steps, since a pass reads values of other steps only where it has been. So a
//! value that no later pass reads has one row, and one more for the step before if a register carries it.

use std::ops::Range;

use super::record::Records;
use crate::exec::{Program, Real};
use crate::plan::{Instruction, Operand, Plan, Storage};
use crate::shape::Rate;
use crate::tape::Role;

/// The array that a value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Array {
    /// The parameters.
    Params,
    /// The inputs that do not vary with the step.
    Starts,
    /// The inputs of the step.
    Inputs,
    /// The outputs that do not vary with the step.
    Results,
    /// A buffer, at the current step or a neighbour.
    Buffer { index: usize, shift: i8 },
}

/// Consecutive entries of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) array: Array,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// The memory of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The memory of the caller.
    Caller,
    /// No entries of its own: all are outputs of the caller, or unused.
    Nowhere,
    /// One row, which does not vary with the step, from this entry of the fixed memory on.
    Fixed(usize),
    /// One row for the current step: on the stack, or from this entry of the fixed memory on.
    Step { at: Option<usize> },
    /// A row for each step, and some beside the first and the last.
    Kept {
        before: usize,
        after: usize,
        /// The entries of a row of the buffers before this one.
        per_step: usize,
        /// The entries beside the steps of the buffers before this one.
        beside: usize,
    },
}

/// Entries of a buffer that the next step of a pass reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) buffer: usize,
    pub(super) entries: Range<usize>,
    /// The step that they are read from: −1 or 1.
    pub(super) shift: i8,
    pub(super) pass: usize,
    /// The place of the copy: on the stack, or from this entry of the fixed memory on.
    pub(super) at: Option<usize>,
}

/// The arrays on the stack have at most this many entries together; larger ones are in the workspace.
pub(super) const MOST_ON_STACK: usize = 512;

/// The memory of an exported function.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) homes: Vec<Home>,
    pub(super) carried: Vec<Carried>,
    /// The entries that do not grow with the number of steps, without rows beside the steps.
    pub(super) fixed: usize,
    /// The entries beside the first and the last step.
    pub(super) beside: usize,
    /// The entries for each step.
    pub(super) per_step: usize,
    /// The entries on the stack.
    pub(super) on_stack: usize,
    /// Entries of buffers that are outputs of the caller: the buffer, its entries, the first entry of the output.
    aliases: Vec<(usize, Range<usize>, usize)>,
}

impl Memory {
    /// The memory of a run over a whole sequence, or of one step at a time.
    pub(super) fn of(plan: &Plan, records: &Records, by_step: bool) -> Self {
        let mut memory = Self {
            homes: Vec::new(),
            carried: Vec::new(),
            fixed: 0,
            beside: 0,
            per_step: 0,
            on_stack: 0,
            aliases: if by_step {
                Vec::new()
            } else {
                aliases(plan, records)
            },
        };
        for (index, buffer) in plan.buffers.iter().enumerate() {
            let home = match buffer.storage {
                Storage::Leaf(_) => Home::Caller,
                Storage::Static | Storage::Sample => {
                    let aliased = memory.aliases.iter().filter(|a| a.0 == index);
                    let aliased: usize = aliased.map(|a| a.1.len()).sum();
                    match aliased == buffer.width {
                        true => Home::Nowhere,
                        false => Home::Fixed(memory.take(buffer.width)),
                    }
                }
                Storage::Full if !by_step => {
                    let has = |forward: bool| {
                        let mut carries = plan.carries.iter();
                        let is = carries.any(|c| c.value.buffer == index && c.forward == forward);
                        usize::from(is)
                    };
                    let (before, after) = (has(true), has(false));
                    let home = Home::Kept {
                        before,
                        after,
                        per_step: memory.per_step,
                        beside: memory.beside,
                    };
                    memory.per_step += buffer.width;
                    memory.beside += (before + after) * buffer.width;
                    home
                }
                _ => Home::Step { at: None },
            };
            memory.homes.push(home);
        }
        memory.find_carried(plan);
        memory.find_stack(plan, by_step);
        memory
    }

    fn take(&mut self, entries: usize) -> usize {
        self.fixed += entries;
        self.fixed - entries
    }

    fn find_carried(&mut self, plan: &Plan) {
        for (index, pass) in plan.passes.iter().enumerate() {
            let work = pass.stages.iter().flat_map(|s| &s.body);
            let reads = work.flat_map(|w| w.instruction.reads(&plan.programs));
            for o in reads.filter(|o| o.shift != 0) {
                if !matches!(self.homes[o.buffer], Home::Step { .. }) {
                    continue;
                }
                let mut entries = o.start..o.start + o.len;
                let key = (o.buffer, o.shift, index);
                // All ranges become one.
                self.carried.retain(|c| {
                    let joins = (c.buffer, c.shift, c.pass) == key;
                    if joins {
                        entries.start = entries.start.min(c.entries.start);
                        entries.end = entries.end.max(c.entries.end);
                    }
                    !joins
                });
                self.carried.push(Carried {
                    buffer: o.buffer,
                    entries,
                    shift: o.shift,
                    pass: index,
                    at: None,
                });
            }
        }
    }

    /// The smallest arrays are on the stack.
    fn find_stack(&mut self, plan: &Plan, by_step: bool) {
        let width = |index: usize| plan.buffers[index].width;
        let steps = self.homes.iter().enumerate();
        let steps = steps.filter(|(_, home)| matches!(home, Home::Step { .. }));
        let mut arrays: Vec<(usize, usize, bool)> = steps
            .map(|(index, _)| (width(index), index, false))
            .collect();
        let carried = self.carried.iter().enumerate();
        arrays.extend(carried.map(|(index, c)| (c.entries.len(), index, true)));
        arrays.sort_unstable();
        for (len, index, is_carried) in arrays {
            // A step leaves its values in memory for the next one.
            let stays = self.on_stack + len <= MOST_ON_STACK && !(by_step && is_carried);
            let at = match stays {
                true => {
                    self.on_stack += len;
                    None
                }
                false => Some(self.take(len)),
            };
            match is_carried {
                true => self.carried[index].at = at,
                false => self.homes[index] = Home::Step { at },
            }
        }
    }

    /// The parts of a sum that lie in one array each: their entries, counted from the start of the sum.
    pub(super) fn parts(&self, out: &Operand) -> Vec<Range<usize>> {
        let inside = self.aliases.iter().filter(|(buffer, entries, _)| {
            *buffer == out.buffer && entries.start < out.start + out.len && out.start < entries.end
        });
        let ends = inside.flat_map(|(_, entries, _)| [entries.start, entries.end]);
        let inner = ends.filter(|end| out.start < *end && *end < out.start + out.len);
        let mut cuts: Vec<usize> = inner.map(|end| end - out.start).collect();
        cuts.extend([0, out.len]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// The place of an operand.
    pub(super) fn place<F: Real>(
        &self,
        program: &Program<F>,
        records: &Records,
        operand: &Operand,
    ) -> Place {
        let Operand { start, len, .. } = *operand;
        if let Storage::Leaf(leaf) = program.plan().buffers[operand.buffer].storage {
            let spec = &program.recurrence().tape().leaves()[leaf];
            let (array, record) = match (spec.role(), spec.ty().rate) {
                (Role::Parameter, _) => (Array::Params, &records.params),
                (Role::Input, Rate::Step) => (Array::Inputs, &records.inputs),
                (Role::Input, _) => (Array::Starts, &records.starts),
            };
            let field = record
                .field(leaf)
                .expect("a record has all leaves of its rate");
            let start = field.start + start;
            return Place { array, start, len };
        }
        let aliased = self.aliases.iter().find(|(buffer, entries, _)| {
            *buffer == operand.buffer && entries.start <= start && start + len <= entries.end
        });
        if let Some((_, entries, output)) = aliased {
            return Place {
                array: Array::Results,
                start: output + start - entries.start,
                len,
            };
        }
        let (index, shift) = (operand.buffer, operand.shift);
        Place {
            array: Array::Buffer { index, shift },
            start,
            len,
        }
    }
}

/// The outputs that can be computed where the caller wants them: no instruction takes a part of one together with
/// something else, but for sums, which can be divided.
fn aliases(plan: &Plan, records: &Records) -> Vec<(usize, Range<usize>, usize)> {
    let mut found: Vec<(usize, Range<usize>, usize)> = Vec::new();
    for field in &records.results.fields {
        let o = &plan.outputs[field.index].operand;
        let entries = o.start..o.start + o.len;
        if matches!(plan.buffers[o.buffer].storage, Storage::Leaf(_)) {
            continue;
        }
        let is_apart = |other: &Operand| {
            let inside = o.start <= other.start && other.start + other.len <= o.start + o.len;
            !other.overlaps(o) || inside
        };
        // A sum can be divided between two rows of its terms.
        let is_part = |out: &Operand, row: usize| {
            let inside = out.start <= o.start && o.start + o.len <= out.start + out.len;
            inside && (o.start - out.start).is_multiple_of(row) && o.len.is_multiple_of(row)
        };
        let mut instructions = plan.instructions();
        let whole = instructions.all(|i| match i {
            Instruction::Pack(index) => {
                plan.packs[*index].parts.iter().all(|p| is_apart(&p.matrix))
            }
            Instruction::Total { out, .. } => is_apart(out) || is_part(out, 1),
            Instruction::OuterTotal { out, b, .. } => is_apart(out) || is_part(out, b.len),
            i => i.operands(&plan.programs).iter().all(&is_apart),
        });
        let inits = plan.carries.iter().filter_map(|c| c.init.as_ref());
        let free = found.iter().all(|(buffer, known, _)| {
            *buffer != o.buffer || known.end <= entries.start || entries.end <= known.start
        });
        if whole && free && { inits }.all(is_apart) {
            found.push((o.buffer, entries, field.start));
        }
    }
    found
}
