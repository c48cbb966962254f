//! The routes of second order.

use ndarray::{ArrayD, Dimension};

use super::differences::{Kink, derivative};
use super::routes::{Runner, Worst, found};
use super::scale::{MARGIN, Magnitudes};
use super::subject::{Part, tangent_of_loss};
use super::work::SECOND;
use super::{Remark, Route};
use crate::error::Result;
use crate::recurrence::{Outputs, Wrt};

/// Differences are refined until they are known this well, relative to the derivative.
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

        let tangent = recurrence.tangent(Wrt::Everything)?;
        let own: Vec<&str> = self.targets.iter().map(|t| &*t.name).collect();
        // A Hessian product of the caller's may have other names for its directions.
        let mut data = self.base.clone();
        let names = data.add_directions(&tangent, &self.targets)?;
        data.assign(&names, &directions);
        let second = tangent.unroll_for(&data.params, &data.batch)?;
        let second = second.gradient_of(tangent_of_loss(&tangent)?, Wrt::Names(&own))?;
        let values = second.values(&data.params, &data.batch)?;
        let exact = second.read(&values)?;
        let sides = second.kinks(&values);
        drop(values);
        let (params, batch) = (&data.params, &data.batch);
        let sizes = Magnitudes::new(&second, &exact, params, batch, &sides, &mut self.noise);
        for i in 0..self.targets.len() {
            let name = &self.targets[i].name;
            let scale = sizes.scale(i, name);
            let mut worst = Worst::new(Route::SecondTape);
            worst.see_all(found(&exact, name)?, found(&product, name)?, scale);
            self.targets[i].second_scale = scale;
            self.record(i, worst);
        }
        self.meter.add(SECOND * self.scope.loss);
        self.second_differences(&directions, &product)?;
        self.explain_zeros();
        Ok(())
    }

    fn second_differences(
        &mut self,
        directions: &[ArrayD<f64>],
        product: &Outputs<f64>,
    ) -> Result<()> {
        let root = self.tape.values(&self.base.params, &self.base.batch)?;
        let sides = self.tape.kinks(&root);
        drop(root);
        // Every entry of an array is rounded as its worst.
        let mut noise = Vec::new();
        for target in &self.targets {
            let entries = target.shape.iter().product();
            let rounding = target.scale.own.rounding * MARGIN / 8.0;
            noise.extend(std::iter::repeat_n(rounding, entries));
        }
        let mut moved = self.base.clone();
        let gradient = |step: f64| {
            for (target, direction) in self.targets.iter().zip(directions) {
                let name = &*target.name;
                moved.place(&self.base, &Part { name, direction }, step);
            }
            self.meter.add(3.0 * self.scope.loss);
            let values = self.tape.values(&moved.params, &moved.batch);
            let values = values.map_err(|_| Kink)?;
            if self.tape.kinks(&values) != sides {
                return Err(Kink);
            }
            let out = self.tape.read(&values).map_err(|_| Kink)?;
            let arrays = self.targets.iter().filter_map(|t| out.get(&t.name));
            Ok(arrays.flatten().copied().collect())
        };
        let sizes = self.targets.iter().map(|t| t.second_scale.size);
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        let estimates = derivative(1.0, GOAL * smallest, &noise, gradient);
        let mut next = 0;
        for i in 0..self.targets.len() {
            let mut worst = Worst::new(Route::SecondDifferences);
            let own = found(product, &self.targets[i].name)?;
            let scale = self.targets[i].second_scale;
            let mut hidden = None;
            for (index, own) in own.indexed_iter() {
                let estimate = estimates.as_ref().map(|e| e[next]).map_err(|k| *k);
                next += 1;
                let index = index.as_array_view();
                let index = index.as_slice();
                hidden = worst.see_estimate(estimate, *own, scale, index).or(hidden);
            }
            if self.is_held(i) {
                continue;
            }
            if let Some(remark) = hidden.filter(|_| !worst.is_resolved()) {
                self.remark(i, remark);
            }
            self.record(i, worst);
        }
        Ok(())
    }

    /// Tells an optimum from a saturated unit, where the gradient is zero.
    fn explain_zeros(&mut self) {
        for i in 0..self.targets.len() {
            let target = &self.targets[i];
            if !self.is_held(i) && target.scale.is_zero() {
                let remark = match target.second_scale.is_zero() {
                    true => Remark::Flat,
                    false => Remark::Stationary,
                };
                self.remark(i, remark);
            }
        }
    }
}
