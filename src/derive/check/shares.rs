//! λ of a state: the derivative of the loss with respect to the state, with the other states of the step held fixed.
//!
//! They are held fixed by perturbations that make their tangents vanish at that step. Their dependencies have no cycle,
//! so a few runs of forward mode suffice.

use ndarray::{Array2, ArrayD, IxDyn};

use super::evaluate::{Instance, Key};
use super::oracle::{Oracle, give, rank2};
use crate::derive::algebra::chain::names;
use crate::derive::algebra::term::{Name, Quantity};
use crate::error::Result;
use crate::recurrence::{Batch, Params, Unrolled};
use crate::shape::Type;

impl Oracle<'_> {
    /// λ of every state, if there are several.
    pub(super) fn shares(&self, instance: &mut Instance) -> Result<()> {
        let tape = self.observed.tape();
        for chain in [&self.derivation.states, &self.derivation.back] {
            let typed = |name: Name| tape.named(&name).map(|id| (name, tape.ty(id)));
            let states: Vec<(Name, Type)> = names(chain).into_iter().filter_map(typed).collect();
            if states.len() < 2 {
                continue;
            }
            let perturbed: Vec<&str> = states.iter().map(|(name, _)| &**name).collect();
            let tangent = self.observed.tangent(&perturbed[..])?;
            let (params, batch) = self.perturbed(&states, &self.still(&states));
            // The tangent is evaluated in many directions.
            let tangent = tangent.unroll_for(&params, &batch)?;
            for (place, (name, ty)) in states.iter().enumerate() {
                let shape = rank2(&ty.shape.values(&self.sizes));
                for step in 0..self.steps {
                    let mut share = Array2::zeros(shape);
                    for (entry, answer) in share.iter_mut().enumerate() {
                        *answer = self.share(&tangent, &states, place, (step, entry))?;
                    }
                    let at = i64::try_from(step + 1).unwrap_or(0);
                    let key = Key::new(Quantity::Costate, [name], [at]);
                    instance.numbers.insert(key, share);
                }
            }
        }
        Ok(())
    }

    /// Zero perturbations of all states.
    fn still(&self, states: &[(Name, Type)]) -> Vec<ArrayD<f64>> {
        let zeros = |(_, ty): &(Name, Type)| ArrayD::zeros(IxDyn(&self.dims(*ty)));
        states.iter().map(zeros).collect()
    }

    /// The parameters and the batch of the run, with perturbations of the states.
    fn perturbed(
        &self,
        states: &[(Name, Type)],
        seeds: &[ArrayD<f64>],
    ) -> (Params<f64>, Batch<f64>) {
        let (mut params, mut batch) = (self.params.clone(), self.batch.clone());
        for ((name, ty), seed) in states.iter().zip(seeds) {
            let name = format!("{name}.dot");
            give(&name, *ty, seed.clone(), &mut params, &mut batch);
        }
        (params, batch)
    }

    /// The derivative of the loss with respect to one entry of one state at one step.
    fn share(
        &self,
        tangent: &Unrolled,
        states: &[(Name, Type)],
        place: usize,
        (step, entry): (usize, usize),
    ) -> Result<f64> {
        let mut seeds = self.still(states);
        let size = seeds[place].len() / self.steps;
        if let Some(x) = seeds[place].iter_mut().nth(step * size + entry) {
            *x = 1.0;
        }
        let mut answer = 0.0;
        for _ in 0..=states.len() {
            let (params, batch) = self.perturbed(states, &seeds);
            let outputs = tangent.evaluate(&params, &batch)?;
            let loss = outputs.get("loss.dot").and_then(|a| a.first());
            answer = loss.copied().unwrap_or(0.0);
            let mut still = true;
            for (other, (name, _)) in states.iter().enumerate().filter(|(i, _)| *i != place) {
                let Some(left) = outputs.get(&format!("{name}.dot")) else {
                    continue;
                };
                let size = seeds[other].len() / self.steps;
                let of_step = left.iter().skip(step * size).take(size);
                for (seed, left) in seeds[other].iter_mut().skip(step * size).zip(of_step) {
                    still &= *left == 0.0;
                    *seed -= left;
                }
            }
            if still {
                break;
            }
        }
        Ok(answer)
    }
}
