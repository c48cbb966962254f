//! The assignment of slots to the values of a loop, if all its values are narrow.
//!
//! Equal values share a slot: the result of one program and the argument of another; a value and
//! the value that a register carries to the next step, if the old value is not used after the new
//! one is computed. All other values stay in memory.

use super::interpret::vector_loop::{Operation, PIECES};
use crate::plan::{Instruction, Operand, Plan, Program};
use crate::shape::Rate;

/// The maximum number of terms of a product; the kernels of matrix products are used for longer
/// ones.
const TERMS: usize = 256;

/// The maximum number of vectors of a product.
const VECTORS: usize = 4 * PIECES;

/// The maximum number of operations and arguments of a loop: the slots of a longer one do not fit
/// in the cache.
const OPERATIONS: usize = 2048;

impl Operand {
    /// The same entries at the current step.
    const fn now(self) -> Self {
        Self { shift: 0, ..self }
    }
}

/// An op with slots as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    pub(super) operation: Operation,
    pub(super) from: [usize; 3],
    pub(super) to: usize,
    pub(super) memory: Option<Operand>,
}

/// A matrix in the order in which the products of a loop read it.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) pack: usize,
    /// For each column, the index of its first entry, and the distance to the next entry.
    pub(super) columns: Vec<(usize, usize)>,
}

/// The builder of a loop.
pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    pub(super) lanes: usize,
    /// The shift of a register that is read in the direction of the loop.
    pub(super) behind: i8,
    /// The operands written by the loop, split so that each is used as a whole.
    pub(super) atoms: Vec<Operand>,
    /// The values in slots: the operand, a flag that is true if the entry is broadcast, and the
    /// slot.
    pub(super) known: Vec<(Operand, bool, usize)>,
    pub(super) slots: usize,
    pub(super) constants: Vec<(usize, f64)>,
    pub(super) before: Vec<(Operand, bool, usize)>,
    pub(super) loads: Vec<(Operand, bool, usize)>,
    pub(super) ops: Vec<Draft>,
    pub(super) terms: Vec<(usize, usize)>,
    pub(super) pieces: Vec<(usize, usize, Operand)>,
    pub(super) carried: Vec<(Operand, usize)>,
    pub(super) rows: Vec<Rows>,
    pub(super) matrix: usize,
}

impl Builder<'_> {
    fn fresh(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn find(&self, operand: &Operand, spread: bool) -> Option<usize> {
        let same = |k: &&(Operand, bool, usize)| k.0 == *operand && k.1 == spread;
        self.known.iter().find(same).map(|k| k.2)
    }

    /// The slot of a value that the loop does not write, loaded from memory.
    fn bring(&mut self, operand: Operand, spread: bool) -> usize {
        let slot = self.fresh();
        let list = match operand.rate {
            Rate::Step => &mut self.loads,
            _ => &mut self.before,
        };
        list.push((operand, spread, slot));
        self.known.push((operand, spread, slot));
        slot
    }

    /// The slot of a value.
    fn value(&mut self, operand: Operand) -> usize {
        if let Some(slot) = self.find(&operand, false) {
            return slot;
        }
        if !self.atoms.iter().any(|a| a.overlaps(&operand)) {
            return self.bring(operand, false);
        }
        let slot = self.fresh();
        if operand.shift == self.behind && self.atoms.contains(&operand.now()) {
            self.before.push((operand, false, slot));
            self.carried.push((operand.now(), slot));
            self.known.push((operand, false, slot));
        } else {
            self.op(Operation::Load, [slot; 3], slot, Some(operand));
        }
        slot
    }

    /// The slot of a value with one entry, broadcast.
    fn spread(&mut self, operand: Operand) -> usize {
        if let Some(slot) = self.find(&operand, true) {
            return slot;
        }
        if !self.atoms.iter().any(|a| a.overlaps(&operand)) {
            return self.bring(operand, true);
        }
        let (from, slot) = (self.value(operand), self.fresh());
        self.op(Operation::Spread, [from; 3], slot, None);
        slot
    }

    fn op(&mut self, operation: Operation, from: [usize; 3], to: usize, memory: Option<Operand>) {
        self.ops.push(Draft {
            operation,
            from,
            to,
            memory,
        });
    }

    /// Records the slot of a value that was just computed.
    fn made(&mut self, operand: Operand, slot: usize) {
        self.known
            .retain(|k| k.0.shift != 0 || !k.0.overlaps(&operand));
        self.known.push((operand, false, slot));
    }

    pub(super) fn program(&mut self, program: &Program) {
        let mut places: Vec<usize> = Vec::new();
        for _ in 0..program.registers {
            places.push(self.fresh());
        }
        for value in &program.constants {
            places.push(self.fresh());
            self.constants.push((self.slots - 1, *value));
        }
        for input in &program.inputs {
            let repeated = input.spread && program.len > 1;
            places.push(match repeated {
                true => self.spread(input.operand),
                false => self.value(input.operand),
            });
        }
        let first = places.len();
        for _ in &program.outputs {
            places.push(self.fresh());
        }
        for op in &program.ops {
            let to = usize::from(op.to);
            let memory = to.checked_sub(first).map(|o| program.outputs[o]);
            let from = op.from.map(|place| places[usize::from(place)]);
            self.op(Operation::Micro(op.code), from, places[to], memory);
        }
        for (output, slot) in program.outputs.iter().zip(&places[first..]) {
            self.made(*output, *slot);
        }
    }

    /// Adds the slot and the lane of every entry of the vectors of a product.
    fn entries(&mut self, segments: &[Operand]) {
        for segment in segments {
            let mut done = 0;
            while done < segment.len {
                let start = segment.start + done;
                let entry = Operand {
                    start,
                    len: 1,
                    ..*segment
                };
                let atom = self.atoms.iter().find(|a| a.overlaps(&entry)).copied();
                let whole = atom.map_or(
                    Operand {
                        len: self.lanes.min(segment.len - done),
                        ..entry
                    },
                    |atom| Operand {
                        shift: segment.shift,
                        ..atom
                    },
                );
                let slot = self.value(whole);
                let lane = start - whole.start;
                let count = (whole.len - lane).min(segment.len - done);
                self.terms.extend((lane..lane + count).map(|l| (slot, l)));
                done += count;
            }
        }
    }

    pub(super) fn product(
        &mut self,
        out: Operand,
        start: Option<Operand>,
        segments: &[Operand],
        pack: usize,
    ) {
        let first_term = self.terms.len();
        self.entries(segments);
        let terms = self.terms.len() - first_term;
        let inside = |a: &&Operand| a.overlaps(&out);
        let mut outs: Vec<Operand> = self.atoms.iter().filter(inside).copied().collect();
        outs.sort_by_key(|o| o.start);
        let mut columns = Vec::with_capacity(out.len);
        for group in outs.chunks(PIECES) {
            let first_piece = self.pieces.len();
            let row = group.len() * self.lanes;
            for (i, piece) in group.iter().enumerate() {
                let slot = self.fresh();
                let begin = start.map_or(slot, |start| self.begin(start, &out, piece));
                self.pieces.push((begin, slot, *piece));
                let place = self.matrix + i * self.lanes;
                columns.extend((0..piece.len).map(|j| (place + j, row)));
            }
            let operation = Operation::Product {
                first_term,
                terms,
                first_piece,
                pieces: group.len(),
                starts: start.is_some(),
            };
            // The first argument is the start of the matrix.
            let at = [self.matrix; 3];
            self.op(operation, at, usize::MAX, None);
            self.matrix += terms * row;
        }
        for i in self.pieces.len() - outs.len()..self.pieces.len() {
            let (_, slot, piece) = self.pieces[i];
            self.made(piece, slot);
        }
        self.rows.push(Rows { pack, columns });
    }

    /// The slot of the initial value of a piece of a product.
    fn begin(&mut self, start: Operand, out: &Operand, piece: &Operand) -> usize {
        let own = Operand {
            start: start.start + piece.start - out.start,
            len: piece.len,
            ..start
        };
        if own != *piece {
            return self.value(own);
        }
        // The loop computed it, or it was computed before the loop in the same memory.
        self.find(piece, false).unwrap_or_else(|| {
            let slot = self.fresh();
            self.loads.push((own, false, slot));
            slot
        })
    }

    fn reads(&self, op: &Draft, slot: usize) -> bool {
        match op.operation {
            Operation::Product {
                first_term,
                terms,
                first_piece,
                pieces,
                ..
            } => {
                let terms = &self.terms[first_term..first_term + terms];
                let pieces = &self.pieces[first_piece..first_piece + pieces];
                terms.iter().any(|t| t.0 == slot) || pieces.iter().any(|p| p.0 == slot)
            }
            Operation::Load => false,
            Operation::Micro(_) | Operation::Spread => op.from.contains(&slot),
        }
    }

    fn writes(&self, op: &Draft, slot: usize) -> bool {
        match op.operation {
            Operation::Product {
                first_piece,
                pieces,
                ..
            } => {
                let pieces = &self.pieces[first_piece..first_piece + pieces];
                pieces.iter().any(|p| p.1 == slot)
            }
            _ => op.to == slot,
        }
    }

    /// Lets the read of a register share the slot of the value carried, unless the value is written
    /// before the last use of the read. Returns the other pairs, which are copied at the end of a
    /// step.
    pub(super) fn share(&mut self) -> Vec<(usize, usize)> {
        let mut copies = Vec::new();
        for (value, read) in std::mem::take(&mut self.carried) {
            let Some(made) = self.find(&value, false) else {
                continue;
            };
            let first = self.ops.iter().position(|a| self.writes(a, made));
            let last = self.ops.iter().rposition(|a| self.reads(a, read));
            if first < last {
                copies.push((made, read));
                continue;
            }
            for slot in self.ops.iter_mut().flat_map(|a| match a.operation {
                Operation::Product { .. } => &mut a.from[..0],
                _ => &mut a.from[..],
            }) {
                *slot = if *slot == read { made } else { *slot };
            }
            let terms = self.terms.iter_mut().map(|t| &mut t.0);
            let begins = self.pieces.iter_mut().map(|p| &mut p.0);
            let before = self.before.iter_mut().map(|b| &mut b.2);
            for slot in terms.chain(begins).chain(before) {
                *slot = if *slot == read { made } else { *slot };
            }
        }
        copies
    }
}

/// The operands written by a loop, split so that each is used as a whole; `None` if the loop has
/// other instructions or is too long.
pub(super) fn atoms(plan: &Plan, body: &[&Instruction], lanes: usize) -> Option<Vec<Operand>> {
    let (mut atoms, mut products, mut used) = (Vec::new(), Vec::new(), Vec::new());
    let mut operations = 0;
    for instruction in body {
        match instruction {
            Instruction::Program(index) => {
                let program = &plan.programs[*index];
                operations += program.ops.len() + program.inputs.len();
                if program.len > lanes || operations > OPERATIONS {
                    return None;
                }
                used.extend(program.inputs.iter().map(|i| i.operand));
                used.extend(&program.outputs);
                atoms.extend(&program.outputs);
            }
            Instruction::Gemm { out, pack, .. } => {
                operations += 1;
                if plan.packs[*pack].k > TERMS || operations > OPERATIONS {
                    return None;
                }
                used.push(*out);
                products.push(*out);
            }
            _ => return None,
        }
    }
    for out in products {
        let end = out.start + out.len;
        let ends = used.iter().filter(|u| u.overlaps(&out));
        let ends = ends.flat_map(|u| [u.start.max(out.start), (u.start + u.len).min(end)]);
        let mut cuts: Vec<usize> = ends.collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces = 0;
        for ends in cuts.windows(2) {
            for start in (ends[0]..ends[1]).step_by(lanes) {
                let len = lanes.min(ends[1] - start);
                atoms.push(Operand { start, len, ..out });
                pieces += 1;
            }
        }
        if pieces > VECTORS {
            return None;
        }
    }
    let mut once: Vec<Operand> = Vec::new();
    for atom in atoms {
        // Operands that overlap without being equal cannot be split into such parts.
        if once.iter().any(|o| o.overlaps(&atom) && *o != atom) {
            return None;
        }
        if !once.contains(&atom) {
            once.push(atom);
        }
    }
    Some(once)
}
