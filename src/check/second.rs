//! The routes of second order.

use ndarray::{ArrayD, Dimension};

use super::differences::{Estimate, Kink, bends, derivative};
use super::routes::{Runner, Worst};
use super::scale::{MARGIN, Magnitudes};
use super::subject::{Data, Part, check_shapes, found, tangent_of_loss};
use super::{Remark, Route};
use crate::error::Result;
use crate::op::{NodeId, Op};
use crate::recurrence::{Held, Outputs, Recurrence, Unrolled, Wrt};

/// Differences are refined until their error, relative to the derivative, is below this.
const GOAL: f64 = 1e-9;

impl Runner<'_> {
    pub(super) fn second_order(&mut self) -> Result<()> {
        let recurrence = self.recurrence();
        let derived;
        let hessian = match self.check.hessian {
            Some(hessian) => hessian,
            None => {
                derived = recurrence.hessian_vector(Wrt::Everything)?;
                &derived
            }
        };
        let mut data = self.base.clone();
        let names = data.add_directions(hessian, &self.targets)?;
        let directions = 0..self.targets.len();
        let directions: Vec<ArrayD<f64>> = directions.map(|i| self.smooth_direction(i)).collect();
        data.assign(&names, &directions);
        let product = hessian.evaluate(&data.params, &data.batch)?;
        check_shapes(&product, &self.targets)?;

        let tangent = recurrence.tangent(Wrt::Everything)?;
        let own: Vec<&str> = self.targets.iter().map(|t| &*t.name).collect();
        // A Hessian product of the caller may have other names for its directions.
        let mut data = self.base.clone();
        let names = data.add_directions(&tangent, &self.targets)?;
        data.assign(&names, &directions);
        let second = tangent.unroll_for(&data.params, &data.batch)?;
        let second = second.gradient_of(tangent_of_loss(&tangent)?, Wrt::Names(&own))?;
        let values = second.values(&data.params, &data.batch)?;
        let exact = second.read(&values)?;
        let sides = second.kinks(&values);
        let held = second.hold(&values);
        drop(values);
        let (params, batch) = (&data.params, &data.batch);
        let draws = (self.scope.draws, &mut self.noise);
        let sizes = Magnitudes::new(&second, &exact, params, batch, &sides, draws);
        let alone = rules_of_rules(recurrence)?;
        for i in 0..self.targets.len() {
            let name = &self.targets[i].name;
            let scale = sizes.scale(i, name, alone.contains(name));
            let mut worst = Worst::new(Route::SecondTape);
            worst.see_all(found(&exact, name)?, found(&product, name)?, scale);
            self.targets[i].second_scale = scale;
            self.record(i, worst);
        }
        self.meter.add(self.scope.second_order());
        self.second_differences(&directions, &product, (&second, held.as_ref(), &data))?;
        self.explain_zeros();
        Ok(())
    }

    fn second_differences(
        &mut self,
        directions: &[ArrayD<f64>],
        product: &Outputs<f64>,
        second: (&Unrolled, Option<&Held>, &Data),
    ) -> Result<()> {
        let root = self.tape.values(&self.base.params, &self.base.batch)?;
        let held = self.held_in_tape.as_ref();
        let sides = self.tape.kinks_with(held, &root);
        drop(root);
        // Every entry of an array is taken to have the rounding error of the worst one.
        let mut noise = Vec::new();
        for target in &self.targets {
            let entries = target.shape.iter().product();
            let rounding = target.scale.own.rounding * MARGIN / 8.0;
            noise.extend(std::iter::repeat_n(rounding, entries));
        }
        let mut moved = self.base.clone();
        let mut gradient = |step: f64| {
            for (target, direction) in self.targets.iter().zip(directions) {
                let name = &*target.name;
                moved.place(&self.base, &Part { name, direction }, step);
            }
            self.meter.add(self.scope.loads.gradient.evaluated());
            let values = self.gradient_near(&moved).map_err(|_| Kink)?;
            if self.tape.kinks_with(held, &values) != sides {
                return Err(Kink);
            }
            let out = self.tape.read(&values).map_err(|_| Kink)?;
            let arrays = self.targets.iter().filter_map(|t| out.get(&t.name));
            Ok(arrays.flatten().copied().collect())
        };
        let sizes = self.targets.iter().map(|t| t.second_scale.goal());
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        let estimates = derivative(1.0, GOAL * smallest, &noise, &mut gradient);
        let explained = self.bent_entries(&estimates, directions, product, second)?;
        let mut next = 0;
        for i in 0..self.targets.len() {
            let mut worst = Worst::new(Route::SecondDifferences);
            let own = found(product, &self.targets[i].name)?;
            let scale = self.targets[i].second_scale;
            let mut hidden = None;
            for (index, own) in own.indexed_iter() {
                let estimate = estimates.as_ref().map(|e| e[next]).map_err(|k| *k);
                let bent = explained.get(next).is_some_and(|bent| *bent);
                next += 1;
                let index = index.as_array_view();
                let seen = worst.see_estimate(estimate, *own, scale, index.as_slice(), |_| bent);
                hidden = seen.err().or(hidden);
            }
            if self.is_held(i) {
                continue;
            }
            let resolved = worst.is_resolved();
            if let Some(remark) = hidden.filter(|r| !resolved && *r != Remark::Faint) {
                self.remark(i, remark);
            }
            self.record(i, worst);
        }
        Ok(())
    }

    /// The entries of the product, of all targets in order, whose own bend explains a disagreement of the
    /// differences.
    fn bent_entries(
        &self,
        estimates: &Result<Vec<Estimate>, Kink>,
        directions: &[ArrayD<f64>],
        product: &Outputs<f64>,
        (second, held, at): (&Unrolled, Option<&Held>, &Data),
    ) -> Result<Vec<bool>> {
        let Ok(estimates) = estimates else {
            return Ok(Vec::new());
        };
        let mut own = Vec::with_capacity(estimates.len());
        for target in &self.targets {
            let entries = found(product, &target.name)?.iter();
            own.extend(entries.map(|x| (*x, target.second_scale)));
        }
        let tolerance = Route::SecondDifferences.tolerance();
        let refuted = estimates.iter().zip(&own);
        let refuted = refuted.filter(|(e, (x, scale))| scale.compare(**e, *x, tolerance).refutes());
        let reach = refuted.map(|(e, _)| e.reach).fold(0.0, f64::max);
        if reach == 0.0 {
            return Ok(Vec::new());
        }
        let mut moved = at.clone();
        let bends = bends(reach, |step| {
            for (target, direction) in self.targets.iter().zip(directions) {
                let name = &*target.name;
                moved.place(&self.base, &Part { name, direction }, step);
            }
            let values = second.values_with(held, &moved.params, &moved.batch);
            let out = second.read(&values.map_err(|_| Kink)?);
            let out = out.map_err(|_| Kink)?;
            let arrays = self.targets.iter().filter_map(|t| out.get(&t.name));
            Ok(arrays.flatten().copied().collect())
        });
        let Ok(bends) = bends else {
            return Ok(vec![true; own.len()]);
        };
        let bends = bends.iter().zip(estimates).zip(&own);
        Ok(bends
            .map(|((bend, e), (x, _))| bend.explains((e.value - x).abs()))
            .collect())
    }

    /// Distinguishes an optimum from a saturated unit if the gradient is zero.
    fn explain_zeros(&mut self) {
        for i in 0..self.targets.len() {
            let target = &self.targets[i];
            // A gradient of zero that is due to a wrong rule is neither an optimum nor saturation.
            if !self.is_held(i) && target.scale.is_zero() && !target.scale.alone {
                let remark = match target.second_scale.is_zero() {
                    true => Remark::Flat,
                    false => Remark::Stationary,
                };
                self.remark(i, remark);
            }
        }
    }
}

/// The leaves whose second derivatives use the rule of a custom op that the loss does not contain: an op in the rule
/// of another.
fn rules_of_rules(recurrence: &Recurrence) -> Result<Vec<String>> {
    let tape = recurrence.tape();
    let ops = tape.nodes().map(|(_, node)| node.op().clone());
    let first: Vec<Op> = ops.filter(|op| matches!(op, Op::Custom(_))).collect();
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let gradient = recurrence.gradient(Wrt::Everything)?;
    let roots: Vec<NodeId> = gradient.output_nodes().map(|(_, id)| id).collect();
    let uses = gradient.uses_rules(&roots, &first);
    let leaves = gradient.tape().leaves().iter().zip(uses);
    Ok(leaves
        .filter(|(_, uses)| *uses)
        .map(|(leaf, _)| leaf.name().into())
        .collect())
}
