//! The routes of the square, one after the other.

use ndarray::{ArrayD, Dimension};

use super::differences::{Estimate, derivative};
use super::{Certificate, Check, Finding, Noise, Route};
use crate::error::{Error, Result};
use crate::recurrence::{Batch, LOSS, Outputs, Params, Recurrence, Unrolled, Wrt};
use crate::shape::Rate;
use crate::tape::Derived;

/// What differences say counts when they are surer of it than this part of the tolerance.
const RESOLVED: f64 = 0.5;

/// Differences are refined until they are known this well, relative to the derivative.
const GOAL: f64 = 1e-9;

/// Parameters and inputs under their common names.
#[derive(Clone)]
struct Data {
    params: Params<f64>,
    batch: Batch<f64>,
}

impl Data {
    fn get(&self, name: &str) -> Option<&ArrayD<f64>> {
        self.params.get(name).or_else(|| self.batch.get(name))
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<f64>> {
        match self.params.get(name) {
            Some(_) => self.params.get_mut(name),
            None => self.batch.get_mut(name),
        }
    }

    /// Adds `step · direction` to an array.
    fn moved(&self, name: &str, direction: &ArrayD<f64>, step: f64) -> Self {
        let mut moved = self.clone();
        if let Some(array) = moved.get_mut(name) {
            array.scaled_add(step, direction);
        }
        moved
    }
}

/// One parameter or input that is differentiated.
struct Target {
    name: String,
    rate: Rate,
    shape: Vec<usize>,
    /// Against what errors are measured, for first and second order.
    scale: Scale,
    second_scale: Scale,
}

pub(super) struct Runner<'a> {
    check: &'a Check<'a>,
    data: Data,
    targets: Vec<Target>,
    gradient: Outputs<f64>,
    loss: Unrolled,
    tape: Unrolled,
    noise: Noise,
    findings: Vec<Finding>,
}

/// A disagreement under way to becoming a finding.
struct Worst {
    error: f64,
    index: Vec<usize>,
    compared: usize,
    skipped: usize,
}

impl Worst {
    const fn new() -> Self {
        Self {
            error: 0.0,
            index: Vec::new(),
            compared: 0,
            skipped: 0,
        }
    }

    fn see(&mut self, error: f64, index: &[usize]) {
        self.compared += 1;
        // A NaN is worse than anything.
        if error > self.error || error.is_nan() || self.compared == 1 {
            self.error = if error.is_nan() { f64::INFINITY } else { error };
            self.index = index.to_vec();
        }
    }

    fn see_all(&mut self, expected: &ArrayD<f64>, found: &ArrayD<f64>, scale: Scale) {
        for (index, e) in expected.indexed_iter() {
            let index = index.as_array_view().to_vec();
            let found = found.get(&*index).copied().unwrap_or(f64::NAN);
            self.see(scale.exact(found - e, 0.0), &index);
        }
    }

    fn see_estimate(
        &mut self,
        estimate: Option<Estimate>,
        found: f64,
        scale: f64,
        index: &[usize],
    ) {
        match estimate {
            Some(e) if e.error <= RESOLVED * Route::Differences.tolerance() * scale => {
                self.see((e.value - found).abs() / scale, index);
            }
            _ => self.skipped += 1,
        }
    }
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        check: &'a Check<'a>,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Self> {
        let recurrence = check.recurrence;
        let loss = recurrence.unroll_for(params, batch)?;
        let tape = loss.gradient(Wrt::Everything)?;
        let reference = tape.evaluate(params, batch)?;
        let gradient = match check.gradient {
            Some(gradient) => gradient.evaluate(params, batch)?,
            None => recurrence
                .gradient(Wrt::Everything)?
                .evaluate(params, batch)?,
        };
        let sizes = Magnitudes::new(&tape, &reference, params, batch);
        let mut targets = Vec::new();
        for leaf in recurrence
            .tape()
            .leaves()
            .iter()
            .filter(|l| l.ty().is_real())
        {
            let own = found(&reference, leaf.name())?;
            found(&gradient, leaf.name())?;
            targets.push(Target {
                name: leaf.name().into(),
                rate: leaf.ty().rate,
                shape: own.shape().to_vec(),
                scale: sizes.scale(leaf.name()),
                second_scale: Scale::default(),
            });
        }
        let data = Data {
            params: params.clone(),
            batch: batch.clone(),
        };
        let mut runner = Self {
            check,
            data,
            targets,
            gradient,
            loss,
            tape,
            noise: Noise(check.seed),
            findings: Vec::new(),
        };
        runner.compare_with_tape(&reference)?;
        Ok(runner)
    }

    pub(super) fn run(mut self) -> Result<Certificate> {
        self.forward()?;
        self.differences()?;
        self.second_order()?;
        Ok(Certificate {
            recurrence: self.check.recurrence.name().into(),
            findings: self.findings,
        })
    }

    fn record(&mut self, target: usize, route: Route, worst: Worst) {
        let target = &self.targets[target];
        let index = &worst.index;
        let (step, sample, entry) = match target.rate {
            _ if index.is_empty() => (None, None, &index[..]),
            Rate::Static => (None, None, &index[..]),
            Rate::Sample => (None, Some(index[0]), &index[1..]),
            Rate::Step => (Some(index[0] + 1), Some(index[1]), &index[2..]),
        };
        self.findings.push(Finding {
            name: target.name.clone(),
            route,
            error: worst.error,
            sample,
            step,
            entry: entry.to_vec(),
            compared: worst.compared,
            skipped: worst.skipped,
        });
    }

    fn compare_with_tape(&mut self, reference: &Outputs<f64>) -> Result<()> {
        for i in 0..self.targets.len() {
            let target = &self.targets[i];
            let mut worst = Worst::new();
            let expected = found(reference, &target.name)?;
            worst.see_all(expected, found(&self.gradient, &target.name)?, target.scale);
            self.record(i, Route::TapeReverse, worst);
        }
        Ok(())
    }

    /// Directions to try for a target: some single entries, then all entries at random.
    fn directions(&mut self, target: usize) -> Vec<(Vec<usize>, ArrayD<f64>)> {
        let Target { shape, rate, .. } = &self.targets[target];
        let lengths = self.data.batch.lengths();
        let inside = |index: &[usize]| *rate != Rate::Step || index[0] < lengths[index[1]];
        let mut directions = Vec::new();
        let mut seen: Vec<Vec<usize>> = Vec::new();
        for _ in 0..4 * self.check.entries {
            let index: Vec<usize> = shape.iter().map(|n| self.noise.below(*n)).collect();
            if seen.len() < self.check.entries && inside(&index) && !seen.contains(&index) {
                let mut unit = ArrayD::zeros(&shape[..]);
                unit[&*index] = 1.0;
                directions.push((index.clone(), unit));
                seen.push(index);
            }
        }
        directions.push((Vec::new(), self.noise.array(shape)));
        directions
    }

    fn forward(&mut self) -> Result<()> {
        let recurrence = self.check.recurrence;
        let tangent = recurrence.tangent(Wrt::Everything)?;
        let mut data = self.data.clone();
        let names = self.add_directions(&tangent, &mut data)?;
        let of_loss = tangent_of_loss(&tangent)?;
        let unrolled = tangent.unroll_for(&data.params, &data.batch)?;
        for (i, name) in names.iter().enumerate() {
            let mut worst = Worst::new();
            for (index, direction) in self.directions(i) {
                let mut data = data.clone();
                if let Some(array) = data.get_mut(name) {
                    array.assign(&direction);
                }
                let out = unrolled.evaluate(&data.params, &data.batch)?;
                let slope = found(&out, of_loss)?.sum();
                let own = found(&self.gradient, &self.targets[i].name)?;
                let terms = own * &direction;
                // A direction adds up many entries, and their rounding errors with them.
                let size = terms.iter().map(|x| x.abs()).sum::<f64>();
                let error = terms.sum() - slope;
                worst.see(self.targets[i].scale.exact(error, size), &index);
            }
            self.record(i, Route::Forward, worst);
        }
        Ok(())
    }

    /// Adds an array of zeros for every direction leaf; returns their names, in target order.
    fn add_directions(&self, derived: &Recurrence, data: &mut Data) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for target in &self.targets {
            let role = Derived::Tangent((*target.name).into());
            let leaf = derived.leaf_for(&role);
            let leaf = leaf.ok_or_else(|| no_tangent(&target.name, derived))?;
            let zeros = ArrayD::zeros(&target.shape[..]);
            match target.rate {
                Rate::Static => data.params.insert(leaf, zeros),
                _ => data.batch = data.batch.clone().with(leaf, zeros),
            }
            names.push(leaf.into());
        }
        Ok(names)
    }

    fn differences(&mut self) -> Result<()> {
        let root = self.loss.values(&self.data.params, &self.data.batch)?;
        let sides = self.loss.kinks(&root);
        for i in 0..self.targets.len() {
            let mut worst = Worst::new();
            for (index, direction) in self.directions(i) {
                let Target { name, scale, .. } = &self.targets[i];
                let loss = |step: f64| {
                    let data = self.data.moved(name, &direction, step);
                    let values = self.loss.values(&data.params, &data.batch).ok()?;
                    if self.loss.kinks(&values) != sides {
                        return None;
                    }
                    Some(vec![self.loss.read(&values).ok()?.loss().ok()?])
                };
                let scale = scale.size;
                let goal = GOAL * scale;
                let found = derivative(size_of(&self.data, name, &index), goal, 1, loss);
                let own = (found_or_zero(&self.gradient, name) * &direction).sum();
                worst.see_estimate(found.map(|f| f[0]), own, scale, &index);
            }
            self.record(i, Route::Differences, worst);
        }
        Ok(())
    }

    fn second_order(&mut self) -> Result<()> {
        let recurrence = self.check.recurrence;
        let derived;
        let hessian = match self.check.hessian {
            Some(hessian) => hessian,
            None => {
                derived = recurrence.hessian_vector(Wrt::Everything)?;
                &derived
            }
        };
        let mut data = self.data.clone();
        let names = self.add_directions(hessian, &mut data)?;
        let direction = self.smooth_direction()?;
        for (name, direction) in names.iter().zip(&direction) {
            if let Some(array) = data.get_mut(name) {
                array.assign(direction);
            }
        }
        let product = hessian.evaluate(&data.params, &data.batch)?;

        let tangent = recurrence.tangent(Wrt::Everything)?;
        let own: Vec<&str> = self.targets.iter().map(|t| &*t.name).collect();
        // A Hessian product of the caller's may have other names for its directions.
        let mut data = self.data.clone();
        let names = self.add_directions(&tangent, &mut data)?;
        for (name, direction) in names.iter().zip(&direction) {
            if let Some(array) = data.get_mut(name) {
                array.assign(direction);
            }
        }
        let second = tangent.unroll_for(&data.params, &data.batch)?;
        let second = second.gradient_of(tangent_of_loss(&tangent)?, Wrt::Names(&own))?;
        let exact = second.evaluate(&data.params, &data.batch)?;
        let sizes = Magnitudes::new(&second, &exact, &data.params, &data.batch);
        for i in 0..self.targets.len() {
            let expected = found(&exact, &self.targets[i].name)?;
            self.targets[i].second_scale = sizes.scale(&self.targets[i].name);
            let mut worst = Worst::new();
            let own = found(&product, &self.targets[i].name)?;
            worst.see_all(expected, own, self.targets[i].second_scale);
            self.record(i, Route::SecondTape, worst);
        }
        self.second_differences(&direction, &product)
    }

    /// A random direction along which no kink is crossed at once. Inputs that only say yes or no,
    /// such as a mask, stay as they are.
    fn smooth_direction(&mut self) -> Result<Vec<ArrayD<f64>>> {
        let root = self.loss.values(&self.data.params, &self.data.batch)?;
        let sides = self.loss.kinks(&root);
        let mut directions = Vec::new();
        for i in 0..self.targets.len() {
            let mut direction = self.noise.array(&self.targets[i].shape);
            let smooth = |step: f64| {
                let data = self.data.moved(&self.targets[i].name, &direction, step);
                let values = self.loss.values(&data.params, &data.batch);
                values.is_ok_and(|values| self.loss.kinks(&values) == sides)
            };
            if !smooth(1e-6) || !smooth(-1e-6) {
                direction.fill(0.0);
            }
            directions.push(direction);
        }
        Ok(directions)
    }

    fn second_differences(
        &mut self,
        direction: &[ArrayD<f64>],
        product: &Outputs<f64>,
    ) -> Result<()> {
        let root = self.tape.values(&self.data.params, &self.data.batch)?;
        let sides = self.tape.kinks(&root);
        let len = self
            .targets
            .iter()
            .map(|t| t.shape.iter().product::<usize>())
            .sum();
        let gradient = |step: f64| {
            let mut data = self.data.clone();
            for (target, direction) in self.targets.iter().zip(direction) {
                data = data.moved(&target.name, direction, step);
            }
            let values = self.tape.values(&data.params, &data.batch).ok()?;
            if self.tape.kinks(&values) != sides {
                return None;
            }
            let out = self.tape.read(&values).ok()?;
            Some(
                self.targets
                    .iter()
                    .flat_map(|t| found_or_zero(&out, &t.name))
                    .collect(),
            )
        };
        let smallest = self
            .targets
            .iter()
            .map(|t| t.second_scale.size)
            .fold(f64::INFINITY, f64::min);
        let found_all = derivative(1.0, GOAL * smallest, len, gradient);
        let mut estimates = found_all.map(Vec::into_iter);
        for i in 0..self.targets.len() {
            let mut worst = Worst::new();
            let own = found(product, &self.targets[i].name)?;
            for (index, own) in own.indexed_iter() {
                let estimate = estimates.as_mut().and_then(Iterator::next);
                let index = index.as_array_view().to_vec();
                worst.see_estimate(estimate, *own, self.targets[i].second_scale.size, &index);
            }
            self.record(i, Route::SecondDifferences, worst);
        }
        Ok(())
    }
}

/// How large the entries of some derivatives are, and how far rounding moves them.
struct Magnitudes {
    names: Vec<String>,
    largest: Vec<f64>,
    /// The largest difference that rounding to `f32` makes.
    rounding: Vec<f64>,
    loss: f64,
}

impl Magnitudes {
    fn new(
        unrolled: &Unrolled,
        values: &Outputs<f64>,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Self {
        // What overflows in `f32` says nothing about rounding; there is no allowance then.
        let rounded = unrolled
            .evaluate::<f32>(&params.cast(), &batch.cast())
            .unwrap_or_default();
        let mut sizes = Self {
            names: Vec::new(),
            largest: Vec::new(),
            rounding: Vec::new(),
            loss: values.loss().map_or(0.0, f64::abs),
        };
        for (name, a) in values.iter().filter(|(name, _)| *name != LOSS) {
            let differences = rounded
                .get(name)
                .into_iter()
                .flat_map(|r| r.iter().zip(a).map(|(r, a)| (f64::from(*r) - a).abs()));
            sizes.rounding.push(differences.fold(0.0, f64::max));
            sizes
                .largest
                .push(a.iter().fold(0.0, |m: f64, x| m.max(x.abs())));
            sizes.names.push(name.into());
        }
        sizes
    }

    fn scale(&self, name: &str) -> Scale {
        /// Rounding errors in `f64` are this much smaller than in `f32`.
        const NARROWER: f64 = 1.0 / (1u64 << 29) as f64;
        /// A rounding error may be this many times the one that was observed.
        const MARGIN: f64 = 64.0;
        let position = self.names.iter().position(|n| n == name);
        let (own, rounding) = position.map_or((0.0, 0.0), |i| (self.largest[i], self.rounding[i]));
        let overall = self.largest.iter().copied().fold(0.0, f64::max);
        Scale {
            size: own
                .max(1e-4 * overall)
                .max(1e-4 * self.loss.min(1.0))
                .max(f64::MIN_POSITIVE),
            noise: MARGIN * NARROWER * rounding,
        }
    }
}

/// Against what the errors of one array are measured.
#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    /// The largest entry of the array, unless that is negligible next to the other arrays or to
    /// the loss (where that is small).
    size: f64,
    /// How large rounding errors are, judging by those that `f32` makes.
    noise: f64,
}

impl Scale {
    /// The relative error of an exact route for a number of this size. Near an optimum a gradient
    /// is a small difference of large terms; their rounding is not held against it.
    fn exact(self, difference: f64, size: f64) -> f64 {
        let rounding = self.noise / Route::TapeReverse.tolerance();
        difference.abs() / (self.size.max(size) + rounding)
    }
}

fn tangent_of_loss(tangent: &Recurrence) -> Result<&str> {
    let name = tangent.output_for(&Derived::Tangent(LOSS.into()));
    name.ok_or_else(|| no_tangent(LOSS, tangent))
}

fn no_tangent(of: &str, derived: &Recurrence) -> Error {
    Error::UnknownName {
        what: "tangent",
        name: of.into(),
        known: derived
            .parameters()
            .chain(derived.inputs())
            .map(Into::into)
            .collect(),
    }
}

fn found<'o>(outputs: &'o Outputs<f64>, name: &str) -> Result<&'o ArrayD<f64>> {
    outputs.get(name).ok_or_else(|| Error::UnknownName {
        what: "output of the gradient",
        name: name.into(),
        known: outputs.iter().map(|(n, _)| n.into()).collect(),
    })
}

fn found_or_zero(outputs: &Outputs<f64>, name: &str) -> ArrayD<f64> {
    outputs.get(name).cloned().unwrap_or_default()
}

/// The size of the numbers that are moved, at least 1 for a whole direction and the entry itself
/// for one that is large.
fn size_of(data: &Data, name: &str, index: &[usize]) -> f64 {
    let entry = data
        .get(name)
        .and_then(|a| a.get(index))
        .copied()
        .unwrap_or(1.0);
    entry.abs().max(1.0)
}
