//! The routes of first order.

use std::collections::HashSet;

use indexmap::IndexSet;
use ndarray::{ArrayD, Dimension};

use super::differences::{Estimate, Kink, bends, derivative};
use super::scale::{MARGIN, Magnitudes, Scale, Seen};
use super::subject::{Data, Part, Target, check_shapes, found, tangent_of_loss};
use super::work::{Meter, Scope};
use super::{Certificate, Check, Extent, Finding, Noise, Remark, Route};
use crate::error::Result;
use crate::recurrence::{Held, Influence, Outputs, Recurrence, Unrolled, Wrt};
use crate::shape::Rate;
use crate::tape::Side;

/// Differences are refined until their error, relative to the derivative, is below this.
const GOAL: f64 = 1e-9;
/// The step size for detecting kinks near the data.
const NEAR: f64 = 1e-6;
/// An array with at most this many distinct values is treated as codes, such as 0 and 1.
const CODES: usize = 4;

pub(super) struct Runner<'a> {
    pub(super) check: &'a Check<'a>,
    pub(super) scope: Scope,
    pub(super) meter: &'a Meter<'a>,
    pub(super) base: Data,
    pub(super) targets: Vec<Target>,
    /// The influence of each leaf on the loss.
    influences: Vec<Influence>,
    /// The targets that are perturbed together; each alone unless there are very many.
    pub(super) groups: Vec<Vec<usize>>,
    pub(super) gradient: Outputs<f64>,
    pub(super) loss: Unrolled,
    pub(super) tape: Unrolled,
    /// The values of the loss and of the gradient that derivatives hold fixed.
    pub(super) held: Option<Held>,
    pub(super) held_in_tape: Option<Held>,
    /// The rounding error of the loss.
    loss_noise: f64,
    /// The side of its kinks for every value of the loss.
    sides: Vec<Side>,
    freedom: Vec<Freedom>,
    pub(super) noise: Noise,
    pub(super) findings: Vec<Finding>,
    pub(super) remarks: IndexSet<(usize, Remark)>,
}

/// The entries of a target that can be perturbed without crossing a kink immediately.
pub(super) enum Freedom {
    All,
    /// A mask with 1 at these entries.
    Some(ArrayD<f64>),
    /// No entry: an array of zeros and ones, such as a mask.
    None,
    /// A kink is very close to the data.
    Kinked,
}

/// A perturbation.
struct Probe {
    /// The perturbed targets with their directions.
    parts: Vec<(usize, ArrayD<f64>)>,
    /// The perturbed entry; `None` for all entries in a random direction.
    entry: Option<Vec<usize>>,
}

/// The worst comparison so far, which becomes a finding.
#[derive(Clone)]
pub(super) struct Worst {
    route: Route,
    error: f64,
    tolerance: f64,
    entry: Option<Vec<usize>>,
    compared: usize,
    skipped: usize,
    /// A reason why a comparison that the verdict depends on was not possible.
    doubt: Option<Remark>,
}

impl Worst {
    pub(super) const fn new(route: Route) -> Self {
        Self {
            route,
            error: 0.0,
            tolerance: route.tolerance(),
            entry: None,
            compared: 0,
            skipped: 0,
            doubt: None,
        }
    }

    /// Records a comparison with an exact route; every number must be comparable.
    pub(super) fn see_exact(&mut self, seen: Seen, entry: Option<&[usize]>) {
        match seen {
            Seen::Compared { error, tolerance } => self.see(error, tolerance, entry),
            _ => {
                self.skipped += 1;
                self.doubt = Some(Remark::Rounded);
            }
        }
    }

    pub(super) fn see(&mut self, error: f64, tolerance: f64, entry: Option<&[usize]>) {
        self.compared += 1;
        // A NaN is worse than any number.
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error / tolerance > self.error / self.tolerance || self.compared == 1 {
            self.error = error;
            self.tolerance = tolerance;
            self.entry = entry.map(<[usize]>::to_vec);
        }
    }

    pub(super) fn see_all(&mut self, expected: &ArrayD<f64>, found: &ArrayD<f64>, scale: Scale) {
        let tolerance = self.route.tolerance();
        for (index, e) in expected.indexed_iter() {
            let index = index.as_array_view();
            let index = index.as_slice().unwrap_or_default();
            let found = found.get(index).copied().unwrap_or(f64::NAN);
            self.see_exact(scale.exact(found - e, 0.0, tolerance), Some(index));
        }
    }

    /// Returns true if a number was compared, and no doubt remains.
    pub(super) const fn is_resolved(&self) -> bool {
        self.compared > 0 && self.doubt.is_none()
    }

    /// Records a comparison with differences; the remark is the reason if they do not resolve the derivative.
    /// `explained` returns true if the bend of the derivative can cause a given difference.
    pub(super) fn see_estimate(
        &mut self,
        estimate: Result<Estimate, Kink>,
        found: f64,
        scale: Scale,
        entry: Option<&[usize]>,
        explained: impl FnOnce(Estimate) -> bool,
    ) -> Result<(), Remark> {
        let hidden = match estimate {
            Err(Kink) => Remark::Kink,
            Ok(estimate) => match scale.compare(estimate, found, self.route.tolerance()) {
                seen if seen.refutes() && explained(estimate) => {
                    self.doubt = Some(Remark::Bent);
                    Remark::Bent
                }
                Seen::Compared { error, tolerance } => {
                    self.see(error, tolerance, entry);
                    return Ok(());
                }
                Seen::Bounded { error, tolerance } => {
                    self.see(error, tolerance, entry);
                    return Err(Remark::Faint);
                }
                Seen::Hidden => Remark::Rule,
                Seen::Bent => Remark::Bent,
            },
        };
        self.skipped += 1;
        Err(hidden)
    }
}

impl<'a> Runner<'a> {
    /// The comparison of the gradient by two routes.
    pub(super) fn new(
        check: &'a Check<'a>,
        base: Data,
        scope: Scope,
        meter: &'a Meter<'a>,
    ) -> Result<Self> {
        let recurrence = check.recurrence;
        let (params, batch) = (&base.params, &base.batch);
        let mut noise = Noise(check.seed);
        // The recurrence reports the position of a non-finite value, the tape does not.
        let gradient = match check.gradient {
            Some(gradient) => gradient.evaluate(params, batch)?,
            None => recurrence
                .gradient(Wrt::Everything)?
                .evaluate(params, batch)?,
        };
        let loss = recurrence.unroll_for(params, batch)?;
        let root = loss.values(params, batch)?;
        let tape = loss.gradient(Wrt::Everything)?;
        let values = tape.values(params, batch)?;
        let reference = tape.read(&values)?;
        let sides = tape.kinks(&values);
        let draws = (scope.draws, &mut noise);
        let sizes = Magnitudes::new(&tape, &reference, params, batch, &sides, draws);
        let influences = recurrence.influences(&[recurrence.loss()?]);
        let rules = recurrence.uses_rules(&[recurrence.loss()?], &[]);
        let leaves = recurrence.tape().leaves().iter();
        let leaves = leaves.zip(influences.iter().copied()).zip(rules);
        let mut targets = Vec::new();
        let mut remarks = IndexSet::new();
        for ((leaf, influence), alone) in leaves {
            let Some(own) = reference.get(leaf.name()).filter(|_| leaf.ty().is_real()) else {
                continue;
            };
            let i = targets.len();
            remarks.extend(influence.remark().map(|remark| (i, remark)));
            targets.push(Target {
                name: leaf.name().into(),
                rate: leaf.ty().rate,
                shape: own.shape().to_vec(),
                influence,
                // Output 0 is the loss.
                scale: sizes.scale(i, leaf.name(), alone),
                second_scale: Scale::default(),
            });
        }
        check_shapes(&gradient, &targets)?;
        let held = loss.hold(&root);
        let mut runner = Self {
            sides: loss.kinks_with(held.as_ref(), &root),
            held,
            held_in_tape: tape.hold(&values),
            loss_noise: sizes.loss.rounding * MARGIN / 8.0,
            groups: groups(&targets, scope.groups),
            freedom: Vec::new(),
            check,
            scope,
            meter,
            base,
            targets,
            influences,
            gradient,
            loss,
            tape,
            noise,
            findings: Vec::new(),
            remarks,
        };
        runner.compare_with_tape(&reference)?;
        meter.add(scope.first_order());
        Ok(runner)
    }

    /// The certificate, with a remark for each condition as well.
    pub(super) fn certificate(self, extent: Extent) -> Certificate {
        let leaves = self.check.recurrence.tape().leaves().iter();
        let targets: HashSet<&str> = self.targets.iter().map(|t| &*t.name).collect();
        let constant = leaves.zip(&self.influences).filter(|(l, _)| {
            let is_target = targets.contains(l.name());
            l.ty().is_real() && !is_target
        });
        let mut remarks: Vec<(String, Remark)> = constant
            .map(|(l, influence)| {
                let remark = influence.remark().unwrap_or(Remark::Condition);
                (l.name().into(), remark)
            })
            .collect();
        let own = self.remarks.iter();
        remarks.extend(own.map(|(i, remark)| (self.targets[*i].name.clone(), *remark)));
        Certificate {
            recurrence: self.check.recurrence.name().into(),
            findings: self.findings,
            remarks,
            extent,
        }
    }

    pub(super) fn recurrence(&self) -> &'a Recurrence {
        self.check.recurrence
    }

    pub(super) fn record(&mut self, target: usize, worst: Worst) {
        if let Some(doubt) = worst.doubt {
            self.remark(target, doubt);
        }
        let compared = if worst.is_resolved() {
            worst.compared
        } else {
            0
        };
        let target = &self.targets[target];
        let index = worst.entry.as_deref().unwrap_or_default();
        let (step, sample, entry) = match target.rate {
            _ if index.is_empty() => (None, None, index),
            Rate::Static => (None, None, index),
            Rate::Sample => (None, Some(index[0]), &index[1..]),
            Rate::Step => (Some(index[0]), Some(index[1]), &index[2..]),
        };
        self.findings.push(Finding {
            name: target.name.clone(),
            route: worst.route,
            error: worst.error,
            tolerance: worst.tolerance,
            sample,
            step,
            entry: entry.to_vec(),
            direction: compared > 0 && worst.entry.is_none() && !target.shape.is_empty(),
            compared,
            skipped: worst.skipped + worst.compared - compared,
        });
    }

    pub(super) fn remark(&mut self, target: usize, remark: Remark) {
        self.remarks.insert((target, remark));
    }

    fn compare_with_tape(&mut self, reference: &Outputs<f64>) -> Result<()> {
        for i in 0..self.targets.len() {
            let target = &self.targets[i];
            let mut worst = Worst::new(Route::TapeReverse);
            let expected = found(reference, &target.name)?;
            worst.see_all(expected, found(&self.gradient, &target.name)?, target.scale);
            self.record(i, worst);
        }
        Ok(())
    }

    /// Finds the entries that can be perturbed, and the targets that are conditions at this data.
    pub(super) fn find_freedom(&mut self) {
        let alone = self.groups.iter().all(|group| group.len() == 1);
        for i in 0..self.targets.len() {
            let free = match self.targets[i].is_real() && alone {
                true => self.freedom_of(i),
                false => Freedom::All,
            };
            if matches!(free, Freedom::None) {
                self.remark(i, Remark::Condition);
            }
            self.freedom.push(free);
        }
    }

    fn freedom_of(&mut self, target: usize) -> Freedom {
        let direction = self.noise.array(&self.targets[target].shape);
        let name = self.targets[target].name.clone();
        let Some(values) = self.base.get(&name).cloned() else {
            return Freedom::All;
        };
        if self.is_smooth(&name, &direction) {
            return Freedom::All;
        }
        let mut codes: Vec<f64> = Vec::new();
        for x in &values {
            if !codes.contains(x) {
                codes.push(*x);
            }
            if codes.len() > CODES {
                return Freedom::Kinked;
            }
        }
        let is = |code: f64| values.mapv(|x| f64::from(x == code));
        let free: Vec<f64> = codes
            .iter()
            .copied()
            .filter(|code| self.is_smooth(&name, &(&direction * &is(*code))))
            .collect();
        let flags = codes.iter().all(|x| [0.0, 1.0].contains(x));
        match free.is_empty() {
            false => Freedom::Some(values.mapv(|x| f64::from(free.contains(&x)))),
            true if flags && self.base.params.get(&name).is_none() => Freedom::None,
            true => Freedom::Kinked,
        }
    }

    /// Returns true if a small step to either side crosses no kink.
    fn is_smooth(&self, name: &str, direction: &ArrayD<f64>) -> bool {
        let mut moved = self.base.clone();
        [NEAR, -NEAR].into_iter().all(|step| {
            moved.place(&self.base, &Part { name, direction }, step);
            self.meter.add(self.scope.loads.loss.evaluated());
            let values = self.loss_near(&moved);
            values.is_ok_and(|values| self.sides_of(&values) == self.sides)
        })
    }

    /// A random direction of a target, restricted to its free entries if all kinks are known.
    pub(super) fn smooth_direction(&mut self, target: usize) -> ArrayD<f64> {
        let direction = self.noise.array(&self.targets[target].shape);
        match &self.freedom[target] {
            Freedom::All => direction,
            Freedom::Some(free) => direction * free,
            Freedom::None | Freedom::Kinked => direction * 0.0,
        }
    }

    /// Returns true if differences cannot perturb a target because it is a condition at this data.
    pub(super) fn is_held(&self, target: usize) -> bool {
        !self.targets[target].is_real() || matches!(self.freedom[target], Freedom::None)
    }

    /// Perturbations for a group: some single entries, then all entries in a random direction.
    fn probes(&mut self, group: &[usize]) -> Vec<Probe> {
        let lengths: Vec<usize> = self.base.batch.lengths().collect();
        let mut probes = Vec::new();
        if let [target] = *group {
            let Target { shape, rate, .. } = &self.targets[target];
            let free = |index: &[usize]| match &self.freedom[target] {
                Freedom::Some(free) => free[index] == 1.0,
                _ => true,
            };
            let inside = |i: &[usize]| *rate != Rate::Step || i[0] < lengths[i[1]];
            let mut seen: Vec<Vec<usize>> = Vec::new();
            for _ in 0..4 * self.scope.entries {
                let index: Vec<usize> = shape.iter().map(|n| self.noise.below(*n)).collect();
                let wanted = seen.len() < self.scope.entries && inside(&index) && free(&index);
                if wanted && !seen.contains(&index) {
                    let mut unit = ArrayD::zeros(&shape[..]);
                    unit[&*index] = 1.0;
                    probes.push(Probe {
                        parts: vec![(target, unit)],
                        entry: Some(index.clone()),
                    });
                    seen.push(index);
                }
            }
        }
        let mut parts = Vec::new();
        for target in group {
            let mut direction = self.noise.array(&self.targets[*target].shape);
            if let Freedom::Some(free) = &self.freedom[*target] {
                direction *= free;
            }
            parts.push((*target, direction));
        }
        probes.push(Probe { parts, entry: None });
        probes
    }

    /// The derivative along a perturbation, and the size of its terms.
    fn along(&self, probe: &Probe) -> Result<(f64, f64)> {
        let (mut sum, mut size) = (0.0, 0.0);
        for (target, direction) in &probe.parts {
            let own = found(&self.gradient, &self.targets[*target].name)?;
            for (g, d) in own.iter().zip(direction) {
                sum += g * d;
                size += (g * d).abs();
            }
        }
        Ok((sum, size))
    }

    /// The scale of a group: that of its largest member.
    pub(super) fn scale_of(&self, group: &[usize]) -> Scale {
        let scales = group.iter().map(|i| self.targets[*i].scale);
        scales.fold(Scale::default(), Scale::larger)
    }

    pub(super) fn forward(&mut self) -> Result<()> {
        let recurrence = self.recurrence();
        let tangent = recurrence.tangent(Wrt::Everything)?;
        let mut data = self.base.clone();
        let names = data.add_directions(&tangent, &self.targets)?;
        let of_loss = tangent_of_loss(&tangent)?;
        let unrolled = tangent.unroll_for(&data.params, &data.batch)?;
        self.meter.add(self.scope.loads.tangent.built());
        for group in self.groups.clone() {
            let mut worst = Worst::new(Route::Forward);
            let scale = self.scale_of(&group);
            for probe in self.probes(&group) {
                for (target, direction) in &probe.parts {
                    if let Some(array) = data.get_mut(&names[*target]) {
                        array.assign(direction);
                    }
                }
                let out = unrolled.evaluate(&data.params, &data.batch)?;
                self.meter.add(self.scope.loads.tangent.evaluated());
                let slope = found(&out, of_loss)?.sum();
                let (sum, size) = self.along(&probe)?;
                // A direction sums many entries with their rounding errors.
                let tolerance = Route::Forward.tolerance();
                let seen = scale.exact(sum - slope, size, tolerance);
                worst.see_exact(seen, probe.entry.as_deref());
            }
            for target in &group {
                if let Some(array) = data.get_mut(&names[*target]) {
                    array.fill(0.0);
                }
            }
            self.record_group(&group, worst);
        }
        Ok(())
    }

    pub(super) fn differences(&mut self) -> Result<()> {
        let mut moved = self.base.clone();
        for group in self.groups.clone() {
            if group.iter().any(|i| self.is_held(*i)) {
                continue;
            }
            let mut worst = Worst::new(Route::Differences);
            let scale = self.scale_of(&group);
            let (mut hidden, mut resolved) = (None, false);
            for probe in self.probes(&group) {
                let name = |target: usize| &*self.targets[target].name;
                let loss = |step: f64| {
                    for (target, direction) in &probe.parts {
                        let name = name(*target);
                        moved.place(&self.base, &Part { name, direction }, step);
                    }
                    self.meter.add(self.scope.loads.loss.evaluated());
                    let values = self.loss_near(&moved).map_err(|_| Kink)?;
                    if self.sides_of(&values) != self.sides {
                        return Err(Kink);
                    }
                    let loss = self.loss.read(&values).and_then(|out| out.loss());
                    Ok(vec![loss.map_err(|_| Kink)?])
                };
                let size = probe.parts.first().map_or(1.0, |(target, _)| {
                    size_of(&self.base, name(*target), probe.entry.as_deref())
                });
                let found = derivative(size, GOAL * scale.goal(), &[self.loss_noise], loss);
                let found = found.map(|f| f[0]);
                let (own, _) = self.along(&probe)?;
                let explained = |estimate: Estimate| {
                    let found = bends(estimate.reach, |step| self.slope(&probe, step));
                    let difference = (estimate.value - own).abs();
                    found.map_or(true, |bends| bends[0].explains(difference))
                };
                let entry = probe.entry.as_deref();
                match worst.see_estimate(found, own, scale, entry, explained) {
                    Ok(()) => resolved = true,
                    Err(remark) => hidden = Some(remark),
                }
            }
            for target in &group {
                moved.restore(&self.base, &self.targets[*target].name);
            }
            for target in &group {
                // A gradient of zero has a remark of its own.
                if let Some(remark) = hidden.filter(|_| !resolved)
                    && !(remark == Remark::Faint && self.targets[*target].scale.is_zero())
                {
                    self.remark(*target, remark);
                }
            }
            self.record_group(&group, worst);
        }
        Ok(())
    }

    /// The derivative along a perturbation, by the tape, at a multiple `step` of it.
    fn slope(&self, probe: &Probe, step: f64) -> Result<Vec<f64>, Kink> {
        let mut moved = self.base.clone();
        for (target, direction) in &probe.parts {
            let name = &*self.targets[*target].name;
            moved.place(&self.base, &Part { name, direction }, step);
        }
        let values = self.gradient_near(&moved).map_err(|_| Kink)?;
        let found = self.tape.read(&values).map_err(|_| Kink)?;
        let mut sum = 0.0;
        for (target, direction) in &probe.parts {
            let own = found.get(&self.targets[*target].name).ok_or(Kink)?;
            sum += own.iter().zip(direction).map(|(g, d)| g * d).sum::<f64>();
        }
        Ok(vec![sum])
    }

    fn record_group(&mut self, group: &[usize], worst: Worst) {
        for target in group {
            self.record(*target, worst.clone());
        }
    }
}

/// Partitions the targets that the loss depends on into at most `count` groups.
fn groups(targets: &[Target], count: usize) -> Vec<Vec<usize>> {
    let real: Vec<usize> = (0..targets.len())
        .filter(|i| targets[*i].is_real())
        .collect();
    // A target that only differences can test is not perturbed together with a larger one.
    let (alone, others): (Vec<usize>, Vec<usize>) =
        real.iter().partition(|i| targets[**i].scale.alone);
    let count = count.saturating_sub(alone.len()).max(1);
    let size = others.len().div_ceil(count).max(1);
    let mut groups: Vec<Vec<usize>> = others.chunks(size).map(<[usize]>::to_vec).collect();
    groups.extend(alone.into_iter().map(|i| vec![i]));
    groups.sort_unstable();
    groups
}

/// The size of the perturbed numbers: at least 1, and at least the absolute value of the entry.
fn size_of(data: &Data, name: &str, entry: Option<&[usize]>) -> f64 {
    let entry = entry.and_then(|index| data.get(name)?.get(index));
    entry.copied().unwrap_or(1.0).abs().max(1.0)
}
