//! The compiled engine on all of the data, if the other routes use a part of it.

use super::routes::{Runner, Worst};
use super::scale::Seen;
use super::subject::{Data, found, tangent_of_loss};
use super::{Noise, Route};
use crate::error::Result;
use crate::exec::{Program, Real, Workspace};
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Wrt};

/// `f32` resolves a derivative if its relative error is at most this.
const SEEN: f64 = 0.1;

/// A recurrence compiled for one type.
struct Engine<F: Real> {
    program: Program<F>,
    workspace: Workspace<F>,
}

impl<F: Real> Engine<F> {
    fn new(recurrence: &Recurrence, data: &Data) -> Result<Self> {
        let program = recurrence.compile_for::<F>(&data.params.cast(), &data.batch.cast())?;
        let workspace = program.workspace();
        Ok(Self { program, workspace })
    }

    fn run(&mut self, params: &Params<F>, batch: &Batch<F>) -> Result<&Outputs<F>> {
        Ok(&*self.program.run(params, batch, &mut self.workspace)?)
    }
}

/// Refuses data for which the gradient or the tangent needs more memory than the limit.
pub(super) fn check_room(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<()> {
    let bound = recurrence.bind(params, batch)?;
    let sizes: Vec<(&str, usize)> = recurrence
        .tape()
        .dims()
        .zip(bound.sizes().iter().copied())
        .collect();
    for derived in [
        recurrence.gradient(Wrt::Everything)?,
        recurrence.tangent(Wrt::Everything)?,
    ] {
        let program = derived.compile::<f64>(&sizes)?;
        program.make_room(batch.steps(), batch.samples(), &mut program.workspace())?;
    }
    Ok(())
}

impl Runner<'_> {
    /// Compares reverse mode with forward mode along a random direction of each array.
    pub(super) fn all_steps(&mut self, data: &Data, work: f64) -> Result<()> {
        let recurrence = self.recurrence();
        let derived;
        let gradient = match self.check.gradient {
            Some(gradient) => gradient,
            None => {
                derived = recurrence.gradient(Wrt::Everything)?;
                &derived
            }
        };
        let own = Engine::<f64>::new(gradient, data)?
            .run(&data.params, &data.batch)?
            .clone();
        let narrow = Engine::<f32>::new(gradient, data)?
            .run(&data.params.cast(), &data.batch.cast())
            .map_or_else(|_| Outputs::default(), Clone::clone);
        let tangent = recurrence.tangent(Wrt::Everything)?;
        let mut moved = data.clone();
        let names = moved.add_directions(&tangent, &self.targets)?;
        let of_loss = tangent_of_loss(&tangent)?;
        let mut forward = Engine::<f64>::new(&tangent, &moved)?;
        let mut forward_narrow = Engine::<f32>::new(&tangent, &moved)?;
        let mut noise = Noise(self.check.seed ^ 1);
        let part = work / self.groups.len().max(1) as f64;
        for group in self.groups.clone() {
            let (mut sum, mut size, mut unsure) = (0.0, 0.0, 0.0);
            for target in &group {
                let name = &self.targets[*target].name;
                let own = found(&own, name)?;
                let direction = noise.array(own.shape());
                let narrow = narrow.get(name).into_iter().flatten().copied();
                let mut narrow = narrow.map(f64::from);
                for (g, d) in own.iter().zip(&direction) {
                    sum += g * d;
                    size += (g * d).abs();
                    unsure += narrow.next().map_or(f64::INFINITY, |n| ((n - g) * d).abs());
                }
                if let Some(array) = moved.get_mut(&names[*target]) {
                    array.assign(&direction);
                }
            }
            let slope = found(forward.run(&moved.params, &moved.batch)?, of_loss)?.sum();
            let rounded = forward_narrow.run(&moved.params.cast(), &moved.batch.cast());
            let rounded = rounded.ok().and_then(|out| out.get(of_loss)?.first());
            unsure += rounded.map_or(f64::INFINITY, |x| (f64::from(*x) - slope).abs());
            for target in &group {
                if let Some(array) = moved.get_mut(&names[*target]) {
                    array.fill(0.0);
                }
            }
            // If `f32` does not resolve the derivative, its error does not predict the rounding error in `f64`.
            let seen = match self
                .scale_of(&group)
                .on_all_steps(sum - slope, size, unsure)
            {
                seen if seen.refutes() && (unsure.is_nan() || unsure > SEEN * size) => Seen::Hidden,
                seen => seen,
            };
            let mut worst = Worst::new(Route::AllSteps);
            worst.see_exact(seen, None);
            for target in &group {
                self.record(*target, worst.clone());
            }
            self.meter.add(part);
        }
        Ok(())
    }
}
