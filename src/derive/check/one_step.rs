//! The Jacobian of every step of a run at once, by forward mode.
//!
//! The reads of other steps become inputs with the values of the run. Then no step depends on another, and one run of
//! the tangent with an entry perturbed at every step gives that column of the Jacobian of every step.

use ndarray::{Array2, ArrayD, IxDyn};

use super::evaluate::{Instance, Key};
use super::oracle::{Oracle, by_step, give};
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::term::{Name, Quantity};
use crate::error::Result;
use crate::op::{NodeId, Op};
use crate::recurrence::{Batch, Recurrence};
use crate::shape::Rate;

impl Oracle<'_> {
    /// The recurrence with all reads of other steps as inputs, and a batch with their values.
    pub(super) fn with_reads_given(&self) -> Result<(Recurrence, Batch<f64>)> {
        let tape = self.observed.tape();
        let reads: Vec<(NodeId, Name)> = self
            .reads
            .iter()
            .filter_map(|(name, ..)| Some((tape.named(name)?, Name::clone(name))))
            .filter(|(id, _)| matches!(tape.node(*id).op(), Op::Read(_)))
            .collect();
        let apart = self.observed.with_reads_given(&reads)?;
        let values = self.observed.evaluate(&self.params, &self.batch)?;
        let mut batch = self.batch.clone();
        for (_, name) in &reads {
            if let Some(array) = values.get(name) {
                batch = batch.with(name, array.clone());
            }
        }
        Ok((apart, batch))
    }

    /// The values of the run, and the derivative of each part of the state with respect to the reads of its step.
    pub(crate) fn steps_apart(&self) -> Result<Instance> {
        let mut instance = self.values()?;
        let (apart, batch) = self.with_reads_given()?;
        let state = |way: i64, parts: &[Carried]| -> Vec<(Name, Name)> {
            parts
                .iter()
                .map(|p| (p.observed(way), p.read(way)))
                .collect()
        };
        let chains = [
            state(-1, &self.derivation.states),
            state(1, &self.derivation.back),
        ];
        for chain in &chains {
            for (_, by) in chain {
                let Some(id) = apart.tape().named(by) else {
                    continue;
                };
                let ty = apart.tape().ty(id);
                let dims = self.dims(ty);
                let tangent = apart.tangent(&[&**by])?;
                let entries: usize = dims.iter().skip(2).product();
                for entry in 0..entries {
                    let mut direction = ArrayD::zeros(IxDyn(&dims));
                    for x in direction.iter_mut().skip(entry).step_by(entries) {
                        *x = 1.0;
                    }
                    let (mut params, mut batch) = (self.params.clone(), batch.clone());
                    give(&format!("{by}.dot"), ty, direction, &mut params, &mut batch);
                    let outputs = tangent.evaluate(&params, &batch)?;
                    for (of, _) in chain {
                        let Some(array) = outputs.get(&format!("{of}.dot")) else {
                            continue;
                        };
                        for (t, column) in by_step(array, Rate::Step) {
                            let Some(t) = t else { continue };
                            let dim = (column.len(), entries);
                            let key = Key::new(Quantity::Jacobian, [of, by], [t, t]);
                            let block = instance.numbers.entry(key);
                            let block = block.or_insert_with(|| Array2::zeros(dim));
                            for (i, x) in column.iter().enumerate() {
                                block[(i, entry)] = *x;
                            }
                        }
                    }
                }
            }
        }
        Ok(instance)
    }
}
