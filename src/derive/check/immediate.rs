//! Immediate derivatives: the states before a step are held fixed.
//!
//! In forward mode, states follow a perturbation. Here the reads of states are perturbed as well, so that their
//! tangents vanish. Such a perturbation changes the tangents of later steps only, so the steps become correct one after
//! the other.

use std::sync::Arc;

use ndarray::{Array2, ArrayD, IxDyn};

use super::evaluate::{Instance, Key};
use super::oracle::{Oracle, Place, by_step, give, rank2};
use crate::derive::algebra::term::{Name, Quantity};
use crate::error::{Error, Result};
use crate::op::Op;
use crate::recurrence::{Batch, Outputs, Params, Unrolled};
use crate::shape::{Rate, Type};

type Direction = (Name, Type, ArrayD<f64>);

/// Forward mode, unrolled once for all directions, and the reads of states.
struct Held {
    unrolled: Unrolled,
    reads: Vec<Direction>,
}

impl Oracle<'_> {
    /// The immediate differentials of the states and, if there is a single state, its immediate derivative with respect
    /// to each parameter.
    pub(super) fn immediate(&self, instance: &mut Instance) -> Result<()> {
        let states = &self.derivation.carried();
        if states.is_empty() {
            return Ok(());
        }
        let direction = self.direction();
        let outputs = self.held(&self.holding(&direction)?, &direction)?;
        for state in states {
            let Some(array) = outputs.get(&format!("{state}.dot")) else {
                continue;
            };
            for (t, value) in by_step(array, Rate::Step) {
                let key = t.map(|t| Key::new(Quantity::DPlus, [state], [t]));
                instance.numbers.extend(key.map(|k| (k, value)));
            }
        }
        for (name, state) in self.derivation.mapped() {
            self.maps(&name, &state, instance)?;
        }
        Ok(())
    }

    fn maps(&self, name: &Name, state: &Name, instance: &mut Instance) -> Result<()> {
        let tape = self.observed.tape();
        let Some(id) = tape.named(name) else {
            return Ok(());
        };
        let ty = tape.ty(id);
        let dims = self.dims(ty);
        let zero = ArrayD::zeros(IxDyn(&dims));
        let held = self.holding(&[(Arc::clone(name), ty, zero)])?;
        for entry in 0..dims.iter().product() {
            let mut direction = ArrayD::zeros(IxDyn(&dims));
            if let Some(x) = direction.iter_mut().nth(entry) {
                *x = 1.0;
            }
            let outputs = self.held(&held, &[(Arc::clone(name), ty, direction)])?;
            let place = Place {
                name,
                leaf: true,
                at: None,
                index: entry,
                shape: rank2(&dims),
            };
            self.respond(&outputs, state, name, &place, instance, Quantity::Immediate);
        }
        Ok(())
    }

    /// Stores the derivative of a state with respect to one entry of a parameter as a column; entries are counted
    /// column by column.
    pub(super) fn respond(
        &self,
        outputs: &Outputs<f64>,
        state: &Name,
        name: &Name,
        place: &Place<'_>,
        instance: &mut Instance,
        quantity: Quantity,
    ) {
        let Some(array) = outputs.get(&format!("{state}.dot")) else {
            return;
        };
        let (rows, columns) = place.shape;
        let column = place.index % columns * rows + place.index / columns;
        for (t, value) in by_step(array, Rate::Step) {
            let Some(t) = t else { continue };
            let dim = (value.len(), rows * columns);
            let entry = instance
                .numbers
                .entry(Key::new(quantity, [state, name], [t]))
                .or_insert_with(|| Array2::zeros(dim));
            for (i, x) in value.iter().enumerate() {
                entry[(i, column)] = *x;
            }
        }
    }

    /// Forward mode with respect to some values and to every read of a state.
    fn holding(&self, direction: &[Direction]) -> Result<Held> {
        let tape = self.observed.tape();
        let mut reads: Vec<Direction> = Vec::new();
        for (name, of, _) in &self.reads {
            // A delayed input is not a state.
            let input = tape.named(of);
            if input.is_some_and(|id| matches!(tape.node(id).op(), Op::Leaf(_))) {
                continue;
            }
            let read = tape
                .named(name)
                .filter(|id| matches!(tape.node(*id).op(), Op::Read(_)));
            if let Some(ty) = read.map(|id| tape.ty(id)).filter(|ty| ty.is_real()) {
                let zero = ArrayD::zeros(IxDyn(&self.dims(ty)));
                reads.push((Arc::clone(name), ty, zero));
            }
        }
        let names = direction.iter().chain(&reads).map(|(n, ..)| &**n);
        let names: Vec<&str> = names.collect();
        let tangent = self.observed.tangent(&names[..])?;
        let (params, batch) = self.with_tangents(direction.iter().chain(&reads));
        let unrolled = tangent.unroll_for(&params, &batch)?;
        Ok(Held { unrolled, reads })
    }

    /// The parameters and the batch of the run, with tangents of some values.
    fn with_tangents<'d>(
        &self,
        directions: impl Iterator<Item = &'d Direction>,
    ) -> (Params<f64>, Batch<f64>) {
        let (mut params, mut batch) = (self.params.clone(), self.batch.clone());
        for (name, ty, array) in directions {
            let name = format!("{name}.dot");
            give(&name, *ty, array.clone(), &mut params, &mut batch);
        }
        (params, batch)
    }

    /// Runs forward mode in a direction, with the tangents of all reads of states made to vanish.
    fn held(&self, held: &Held, direction: &[Direction]) -> Result<Outputs<f64>> {
        let mut reads = held.reads.clone();
        let mut found = None;
        for _ in 0..=self.steps {
            let (params, batch) = self.with_tangents(direction.iter().chain(&reads));
            let outputs = held.unrolled.evaluate(&params, &batch)?;
            let mut still = true;
            for (name, _, seed) in &mut reads {
                if let Some(left) = outputs.get(&format!("{name}.dot")) {
                    still &= left.iter().all(|x| *x == 0.0);
                    *seed -= left;
                }
            }
            found = Some(outputs);
            if still {
                break;
            }
        }
        found.ok_or_else(|| Error::Batch {
            reason: "a run needs a step".into(),
        })
    }
}
