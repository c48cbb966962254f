//! Loops over narrow values, prepared once for a workspace: each value in its slot.

use std::collections::HashMap;

use super::Real;
use super::interpret::steps::Cursor;
use super::interpret::vector_loop::{Load, Operation, Piece, VectorOp};
use super::memory::Aligned;
use super::slots::{Builder, Draft, Rows, atoms};
use crate::error::Result;
use crate::plan::{Instruction, Operand, Plan};

/// Nowhere in memory.
pub(super) const fn nowhere<T>() -> Cursor<T> {
    Cursor {
        ptr: std::ptr::null_mut(),
        stride: 0,
        len: 0,
    }
}

/// A pass and the place of a stage in it.
pub(super) type Place = (usize, usize);

/// The values in memory.
struct Uses {
    /// For each buffer, by the first entry: each value, and the stage that uses it; `None` for a use
    /// outside of stages.
    of: HashMap<usize, Vec<(Option<Place>, Operand)>>,
    /// The number of entries of the longest value.
    longest: usize,
}

impl Uses {
    fn of(plan: &Plan) -> Self {
        let (mut of, mut longest): (HashMap<_, Vec<_>>, _) = (HashMap::new(), 0);
        for (place, operand) in uses(plan) {
            longest = operand.len.max(longest);
            of.entry(operand.buffer).or_default().push((place, operand));
        }
        for uses in of.values_mut() {
            uses.sort_by_key(|(_, operand)| operand.start);
        }
        Self { of, longest }
    }

    /// Returns true if a value in memory is used outside of this stage.
    fn elsewhere(&self, here: Option<Place>, value: &Operand) -> bool {
        let all = self.of.get(&value.buffer).map_or(&[][..], Vec::as_slice);
        let first = value.start.saturating_sub(self.longest);
        let near = &all[all.partition_point(|u| u.1.start < first)..];
        let mut near = near
            .iter()
            .take_while(|u| u.1.start < value.start + value.len);
        near.any(|u| u.0 != here && u.1.overlaps(value))
    }
}

/// Each value in memory, and the stage that uses it.
fn uses(plan: &Plan) -> Vec<(Option<Place>, Operand)> {
    let mut uses = Vec::new();
    let mut note = |place, i: &Instruction| {
        uses.extend(i.operands(&plan.programs).into_iter().map(|o| (place, o)));
    };
    plan.once.iter().flatten().for_each(|i| note(None, i));
    for (pass, p) in plan.passes.iter().enumerate() {
        for (stage, s) in p.stages.iter().enumerate() {
            s.body
                .iter()
                .for_each(|w| note(Some((pass, stage)), &w.instruction));
        }
    }
    uses.extend(plan.outputs.iter().map(|o| (None, o.operand)));
    uses.extend(plan.carries.iter().map(|c| (None, c.value)));
    uses
}

/// A loop prepared to run for one row, and the memory of its slots.
#[derive(Debug)]
pub(super) struct PreparedLoop<T> {
    _slots: Aligned<T>,
    pub(super) matrix: Aligned<T>,
    pub(super) rows: Vec<Rows>,
    pub(super) before: Vec<Load<T>>,
    pub(super) before_at: Vec<Operand>,
    pub(super) loads: Vec<Load<T>>,
    pub(super) loads_at: Vec<Operand>,
    pub(super) ops: Vec<VectorOp<T>>,
    pub(super) ops_at: Vec<Option<Operand>>,
    pub(super) terms: Vec<*const T>,
    pub(super) pieces: Vec<Piece<T>>,
    pub(super) pieces_at: Vec<Option<Operand>>,
    pub(super) carried: Vec<(*const T, *mut T)>,
}

impl<F: Real> PreparedLoop<F> {
    /// For each stage of each pass, its loop prepared, if all its values are narrow.
    pub(super) fn all(plan: &Plan, lanes: usize) -> Result<Vec<Vec<Option<Self>>>> {
        let uses = Uses::of(plan);
        let prepared = |pass: usize| {
            let stages = 0..plan.passes[pass].stages.len();
            stages
                .map(|s| Self::new(plan, (pass, s), lanes, &uses))
                .collect()
        };
        (0..plan.passes.len()).map(prepared).collect()
    }

    fn new(plan: &Plan, (pass, stage): Place, lanes: usize, uses: &Uses) -> Result<Option<Self>> {
        let here = Some((pass, stage));
        let forward = plan.passes[pass].forward;
        let stage = &plan.passes[pass].stages[stage];
        if !stage.is_loop {
            return Ok(None);
        }
        let body: Vec<&Instruction> = stage.body.iter().map(|w| &w.instruction).collect();
        Self::of_body(plan, &body, (forward, lanes), &|value| {
            uses.elsewhere(here, value)
        })
    }

    /// The instructions of a step prepared for vectors of this many lanes, if all their values are narrow. `found`
    /// returns true if something other than these instructions finds a value in memory.
    pub(super) fn of_body(
        plan: &Plan,
        body: &[&Instruction],
        (forward, lanes): (bool, usize),
        found: &dyn Fn(&Operand) -> bool,
    ) -> Result<Option<Self>> {
        let Some(atoms) = atoms(plan, body, lanes) else {
            return Ok(None);
        };
        let mut maker = Builder {
            plan,
            lanes,
            behind: if forward { -1 } else { 1 },
            atoms,
            known: Vec::new(),
            slots: 0,
            constants: Vec::new(),
            before: Vec::new(),
            loads: Vec::new(),
            ops: Vec::new(),
            terms: Vec::new(),
            pieces: Vec::new(),
            carried: Vec::new(),
            rows: Vec::new(),
            matrix: 0,
        };
        for instruction in body {
            match instruction {
                Instruction::Program(index) => maker.program(&maker.plan.programs[*index]),
                Instruction::Gemm {
                    out,
                    start,
                    segments,
                    pack,
                } => maker.product(*out, *start, segments, *pack),
                _ => return Ok(None),
            }
        }
        let carried = maker.share();
        Self::of(&maker, &carried, found).map(Some)
    }

    fn of(
        maker: &Builder<'_>,
        carried: &[(usize, usize)],
        found: &dyn Fn(&Operand) -> bool,
    ) -> Result<Self> {
        let (mut slots, mut matrix) = (Aligned::default(), Aligned::default());
        slots.reserve(maker.slots * maker.lanes)?;
        matrix.reserve(maker.matrix)?;
        let (first, packed): (*mut F, *mut F) = (slots.as_mut_ptr(), matrix.as_mut_ptr());
        for (slot, value) in &maker.constants {
            slots.as_mut_slice()[slot * maker.lanes..][..maker.lanes].fill(F::of(*value));
        }
        let at = |slot: usize| first.wrapping_add(slot.min(maker.slots) * maker.lanes);
        let from_memory = |a: &Draft| a.memory.filter(|_| matches!(a.operation, Operation::Load));
        let kept = |value: Operand| {
            let mut read = maker.ops.iter().filter_map(from_memory);
            let is_read = read.any(|o| o.overlaps(&value));
            (is_read || found(&value)).then_some(value)
        };
        let load = |(_, spread, slot): &(Operand, bool, usize)| Load {
            from: nowhere(),
            spread: *spread,
            to: at(*slot),
        };
        let op = |a: &Draft| VectorOp {
            operation: a.operation,
            from: a.from.map(|slot| match a.operation {
                Operation::Product { .. } => packed.wrapping_add(slot).cast_const(),
                _ => at(slot).cast_const(),
            }),
            to: at(a.to),
            memory: nowhere(),
        };
        let ops_at = |a: &Draft| match a.operation {
            Operation::Load => a.memory,
            _ => a.memory.and_then(kept),
        };
        let places = |list: &[(Operand, bool, usize)]| list.iter().map(|l| l.0).collect();
        Ok(Self {
            rows: maker.rows.clone(),
            before: maker.before.iter().map(load).collect(),
            before_at: places(&maker.before),
            loads: maker.loads.iter().map(load).collect(),
            loads_at: places(&maker.loads),
            ops: maker.ops.iter().map(op).collect(),
            ops_at: maker.ops.iter().map(ops_at).collect(),
            terms: maker
                .terms
                .iter()
                .map(|(slot, lane)| at(*slot).wrapping_add(*lane).cast_const())
                .collect(),
            pieces: maker
                .pieces
                .iter()
                .map(|(begin, slot, _)| Piece {
                    start: at(*begin).cast_const(),
                    slot: at(*slot),
                    memory: nowhere(),
                })
                .collect(),
            pieces_at: maker.pieces.iter().map(|p| kept(p.2)).collect(),
            carried: carried
                .iter()
                .map(|(from, to)| (at(*from).cast_const(), at(*to)))
                .collect(),
            _slots: slots,
            matrix,
        })
    }
}
