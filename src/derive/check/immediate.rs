//! Immediate derivatives: the states before a step are held fixed.
//!
//! The reads of other steps become inputs. Those of the states have no perturbation; those of other values have the one
//! that the run gives them.

use std::sync::Arc;

use ndarray::{Array2, ArrayD, IxDyn};

use super::evaluate::{Instance, Key};
use super::oracle::{Oracle, Place, by_step, give, rank2};
use crate::derive::algebra::chain::names;
use crate::derive::algebra::term::{Name, Quantity};
use crate::error::Result;
use crate::recurrence::{Batch, Outputs, Recurrence};
use crate::shape::{Rate, Type};

type Direction = (Name, Type, ArrayD<f64>);

impl Oracle<'_> {
    /// The immediate differentials of the states and, if there is a single state, its immediate derivative with respect
    /// to each parameter.
    pub(super) fn immediate(&self, instance: &mut Instance) -> Result<()> {
        if self.derivation.carried().is_empty() {
            return Ok(());
        }
        let (apart, batch) = self.with_reads_given()?;
        let direction = self.direction();
        let whole = self.along(&self.observed, &self.batch, &direction)?;
        for chain in [&self.derivation.states, &self.derivation.back] {
            let states = names(chain);
            let mut direction = direction.clone();
            for (read, of, _) in &self.reads {
                let dot = whole.get(&format!("{read}.dot"));
                let ty = apart.tape().named(read).map(|id| apart.tape().ty(id));
                if let (Some(dot), Some(ty), false) = (dot, ty, states.contains(of)) {
                    direction.push((Arc::clone(read), ty, dot.clone()));
                }
            }
            let outputs = self.along(&apart, &batch, &direction)?;
            for state in &states {
                let Some(array) = outputs.get(&format!("{state}.dot")) else {
                    continue;
                };
                for (t, value) in by_step(array, Rate::Step) {
                    let key = t.map(|t| Key::new(Quantity::DPlus, [state], [t]));
                    instance.numbers.extend(key.map(|k| (k, value)));
                }
            }
        }
        for (name, state) in self.derivation.mapped() {
            self.maps((&apart, &batch), &name, &state, instance)?;
        }
        Ok(())
    }

    fn maps(
        &self,
        (apart, batch): (&Recurrence, &Batch<f64>),
        name: &Name,
        state: &Name,
        instance: &mut Instance,
    ) -> Result<()> {
        let tape = apart.tape();
        let Some(id) = tape.named(name) else {
            return Ok(());
        };
        let ty = tape.ty(id);
        let dims = self.dims(ty);
        for entry in 0..dims.iter().product() {
            let mut direction = ArrayD::zeros(IxDyn(&dims));
            if let Some(x) = direction.iter_mut().nth(entry) {
                *x = 1.0;
            }
            let outputs = self.along(apart, batch, &[(Arc::clone(name), ty, direction)])?;
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

    /// The outputs of forward mode in a direction.
    fn along(
        &self,
        recurrence: &Recurrence,
        batch: &Batch<f64>,
        direction: &[Direction],
    ) -> Result<Outputs<f64>> {
        let names: Vec<&str> = direction.iter().map(|(name, ..)| &**name).collect();
        let tangent = recurrence.tangent(&names[..])?;
        let (mut params, mut batch) = (self.params.clone(), batch.clone());
        for (name, ty, array) in direction {
            let name = format!("{name}.dot");
            give(&name, *ty, array.clone(), &mut params, &mut batch);
        }
        tangent.evaluate(&params, &batch)
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
}
