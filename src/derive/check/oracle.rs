//! Numbers to check equations on: a random run, and its derivatives from injected perturbations.
//!
//! δ of a value is computed from its definition: a perturbation is injected at one step and entry, and forward mode
//! gives the change of the loss. This file uses no transpose, no sum over steps and no equation of the derivation.

use std::sync::Arc;

use ndarray::{Array2, ArrayD, IxDyn};

use super::arrays::matrix;
use super::evaluate::{Instance, Key};
use crate::derive::algebra::chain::read_of;
use crate::derive::algebra::term::{Name, Quantity};
use crate::derive::reading::read::Reader;
use crate::derive::record::derivation::Derivation;
use crate::error::{Error, Result};
use crate::limit::check_memory;
use crate::noise::Noise;
use crate::op::{NodeId, Op};
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Unrolled, Wrt};
use crate::shape::{Kind, Rate, Type};
use crate::tape::{Derived, Leaf, Role};

/// The number of steps of the runs on which lines are checked.
pub(crate) const STEPS: usize = 5;

/// The number of random runs that are tried before a recurrence counts as one without values.
const ATTEMPTS: u64 = 200;

/// A run and its recurrence, with every named value as an output.
pub(crate) struct Oracle<'a> {
    pub(super) derivation: &'a Derivation,
    pub(super) observed: Recurrence,
    pub(super) params: Params<f64>,
    pub(super) batch: Batch<f64>,
    pub(super) sizes: Vec<usize>,
    pub(super) steps: usize,
    /// The reads of states: the output name, the state, and the shift in steps.
    pub(super) reads: Vec<(Name, Name, i64)>,
}

impl<'a> Oracle<'a> {
    /// Random numbers on which the recurrence has a value; `scale` multiplies the parameters.
    pub(crate) fn new(
        derivation: &'a Derivation,
        seed: u64,
        steps: usize,
        scale: f64,
    ) -> Result<Self> {
        let recurrence = &derivation.recurrence;
        let count = recurrence.tape().dims().count();
        let sizes: Vec<usize> = (0..count).map(|i| [3, 2, 4, 5][i % 4]).collect();
        let (observed, reads) = observed(derivation)?;
        let leaves = recurrence.tape().leaves().iter().map(Leaf::ty);
        check_memory(bytes(numbers(leaves, &sizes, steps)))?;
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            let mut random = Noise(seed.wrapping_mul(1009) + attempt);
            let (mut params, batch) =
                data(recurrence, &sizes, steps, &mut random, attempt % 2 == 1)?;
            let names: Vec<String> = params.iter().map(|(n, _)| n.into()).collect();
            for name in names {
                if let Some(array) = params.get_mut(&name) {
                    array.mapv_inplace(|x| scale * x);
                }
            }
            match observed.evaluate(&params, &batch) {
                Ok(_) => {
                    return Ok(Self {
                        derivation,
                        observed,
                        params,
                        batch,
                        sizes,
                        steps,
                        reads,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        let last = last.map_or_else(String::new, |error| format!("; the last one: {error}"));
        Err(Error::NotDerivable {
            recurrence: recurrence.name().into(),
            reason: format!(
                "its lines are checked on random numbers, and none of {ATTEMPTS} random runs has finite values{last}"
            ),
        })
    }

    /// A run from the initial parameters on random inputs; `None` if the recurrence has no values there.
    pub(crate) fn initial(
        derivation: &'a Derivation,
        steps: usize,
        sizes: [usize; 4],
    ) -> Result<Option<Self>> {
        let recurrence = &derivation.recurrence;
        let dims: Vec<&str> = recurrence.tape().dims().collect();
        let sizes: Vec<(&str, usize)> = dims.into_iter().zip(sizes.into_iter().cycle()).collect();
        let params = Params::initial(recurrence, &sizes, 1)?;
        let sizes: Vec<usize> = sizes.iter().map(|(_, size)| *size).collect();
        let leaves = recurrence.tape().leaves().iter().map(Leaf::ty);
        check_memory(bytes(numbers(leaves, &sizes, steps)))?;
        let (_, batch) = data(recurrence, &sizes, steps, &mut Noise(1), false)?;
        let (observed, reads) = observed(derivation)?;
        if observed.evaluate(&params, &batch).is_err() {
            return Ok(None);
        }
        Ok(Some(Self {
            derivation,
            observed,
            params,
            batch,
            sizes,
            steps,
            reads,
        }))
    }

    /// A given run of one sequence.
    pub(crate) fn on(
        derivation: &'a Derivation,
        params: &Params<f64>,
        batch: Batch<f64>,
    ) -> Result<Self> {
        let (observed, reads) = observed(derivation)?;
        let sizes = derivation.recurrence.bind(params, &batch)?.sizes().to_vec();
        Ok(Self {
            derivation,
            observed,
            params: params.clone(),
            sizes,
            steps: batch.steps(),
            batch,
            reads,
        })
    }

    /// Returns an error if the instances exceed the memory limit: the loss and each state have a total and an immediate
    /// derivative with respect to each value.
    pub(crate) fn check_memory(&self, instances: usize) -> Result<()> {
        let tape = self.observed.tape();
        let states = self.derivation.states.iter().chain(&self.derivation.back);
        let states = states.filter_map(|s| tape.named(&s.name));
        let of = numbers(states.map(|id| tape.ty(id)), &self.sizes, self.steps);
        let named = tape.names().map(|(_, id)| tape.ty(id));
        let by = numbers(named, &self.sizes, self.steps);
        let each = of.and_then(|n| n.checked_add(1)?.checked_mul(by?)?.checked_mul(2));
        check_memory(bytes(each.and_then(|n| n.checked_mul(instances))))
    }

    /// Every number that a term may need.
    pub(crate) fn instance(&self, progress: &dyn Fn(f64)) -> Result<Instance> {
        let mut instance = self.values()?;
        self.directions(&mut instance)?;
        self.injections(&mut instance, progress)?;
        self.immediate(&mut instance)?;
        self.shares(&mut instance)?;
        instance.measure();
        Ok(instance)
    }

    /// The values of a run without perturbations.
    pub(crate) fn values(&self) -> Result<Instance> {
        let mut instance = Instance {
            steps: i64::try_from(self.steps).unwrap_or(0),
            functions: self.derivation.functions.clone(),
            letters: self.derivation.letters.clone(),
            states: self.derivation.states.clone(),
            back: self.derivation.back.clone(),
            sizes: self.sizes.clone(),
            ..Instance::default()
        };
        self.classes(&mut instance);
        let values = self.observed.evaluate(&self.params, &self.batch)?;
        self.record(&values, false, &mut instance);
        Ok(instance)
    }

    fn classes(&self, instance: &mut Instance) {
        for leaf in self.observed.tape().leaves() {
            let Kind::Class(count) = leaf.ty().kind else {
                continue;
            };
            let Some(data) = self.batch.classes(leaf.name()) else {
                continue;
            };
            let count = count.value_at(&self.sizes);
            for (t, class) in data.iter().enumerate() {
                let at = i64::try_from(t + 1).ok();
                let at = at.filter(|_| leaf.ty().rate == Rate::Step);
                let key = Key::new(Quantity::Value, [&leaf.name().into()], at);
                instance.classes.insert(key, (*class, count));
            }
        }
    }

    pub(super) fn dims(&self, ty: Type) -> Vec<usize> {
        dims(ty, &self.sizes, self.steps)
    }

    fn steps_i64(&self) -> i64 {
        i64::try_from(self.steps).unwrap_or(i64::MAX)
    }

    fn rate(&self, name: &str) -> Rate {
        let id = self.observed.tape().named(name);
        id.map_or(Rate::Step, |id| self.observed.tape().ty(id).rate)
    }

    /// Records the outputs of a run, or their tangents, in an instance.
    fn record(&self, outputs: &Outputs<f64>, dot: bool, instance: &mut Instance) {
        let (loss, quantity) = match dot {
            true => (Quantity::DLoss, Quantity::D),
            false => (Quantity::Loss, Quantity::Value),
        };
        let key = |name: &Name, at: Option<i64>| Key::new(quantity, [name], at);
        for (output, array) in outputs.iter() {
            let name: Name = match outputs.role(output) {
                Some(Derived::Tangent(of)) if dot => Arc::clone(of),
                None if !dot => output.into(),
                _ => continue,
            };
            if &*name == STEP_LOSS {
                for (t, value) in by_step(array, Rate::Step) {
                    instance.numbers.insert(Key::new(loss, [], t), value);
                }
                continue;
            }
            if &*name == "loss" {
                instance
                    .numbers
                    .insert(Key::new(loss, [], []), matrix(array));
                continue;
            }
            let read = self.reads.iter().find(|(n, ..)| *n == name);
            let (name, shift) = match read {
                Some((_, state, shift)) => (Arc::clone(state), *shift),
                None => (name, 0),
            };
            for (t, value) in by_step(array, self.rate(&name)) {
                let at = t.map(|t| t + shift);
                // A value beyond the ends is known only from its reads.
                let known = read.is_none() || !instance.numbers.contains_key(&key(&name, at));
                if known {
                    instance.numbers.insert(key(&name, at), value);
                }
            }
        }
    }

    /// Runs forward mode once, with random tangents of all external quantities.
    fn directions(&self, instance: &mut Instance) -> Result<()> {
        let leaves = self.observed.tape().leaves().iter();
        let names: Vec<&str> = leaves
            .filter(|l| l.ty().is_real() && l.classes().is_none())
            .map(Leaf::name)
            .collect();
        let tangent = self.observed.tangent(Wrt::Names(&names))?;
        let (mut params, mut batch) = (self.params.clone(), self.batch.clone());
        for (name, ty, direction) in self.direction() {
            let name = format!("{name}.dot");
            give(&name, ty, direction, &mut params, &mut batch);
        }
        let outputs = tangent.evaluate(&params, &batch)?;
        self.record(&outputs, true, instance);
        Ok(())
    }

    /// A random direction for all external quantities.
    pub(super) fn direction(&self) -> Vec<(Name, Type, ArrayD<f64>)> {
        let mut random = Noise(77);
        let leaves = self.observed.tape().leaves().iter();
        leaves
            .filter(|l| l.ty().is_real() && l.classes().is_none())
            .map(|leaf| {
                let dims = self.dims(leaf.ty());
                // An input that only the loss reads is not differentiated.
                let targets = &self.derivation.graph.cotangents;
                let target = targets.iter().any(|((name, _), _)| **name == *leaf.name());
                let direction = match target {
                    true => clear_of_zero(&mut random, &dims, false),
                    false => ArrayD::zeros(IxDyn(&dims)),
                };
                (leaf.name().into(), leaf.ty(), direction)
            })
            .collect()
    }

    /// Runs forward mode for each entry of each value at each step.
    fn injections(&self, instance: &mut Instance, progress: &dyn Fn(f64)) -> Result<()> {
        let tape = self.observed.tape();
        let names: Vec<(Name, NodeId)> = tape
            .names()
            .filter(|(_, id)| tape.is_differentiable(*id))
            .map(|(n, id)| (Arc::clone(n), id))
            .collect();
        let count = names.len() as f64;
        for (done, (name, id)) in names.into_iter().enumerate() {
            progress(done as f64 / count);
            let ty = tape.ty(id);
            let tangent = self.observed.tangent(&[&*name])?;
            let unrolled = tangent.unroll_for_direction(&name, ty, self)?;
            let dims = self.dims(ty);
            let count: usize = dims.iter().product();
            let per_step = if ty.rate == Rate::Step {
                count / self.steps
            } else {
                count
            };
            for entry in 0..count {
                let mut direction = ArrayD::zeros(IxDyn(&dims));
                if let Some(x) = direction.iter_mut().nth(entry) {
                    *x = 1.0;
                }
                let (mut params, mut batch) = (self.params.clone(), self.batch.clone());
                give(
                    &format!("{name}.dot"),
                    ty,
                    direction,
                    &mut params,
                    &mut batch,
                );
                let outputs = unrolled.evaluate(&params, &batch)?;
                let place = Place {
                    name: &name,
                    leaf: matches!(tape.node(id).op(), Op::Leaf(_)),
                    at: (ty.rate == Rate::Step)
                        .then(|| i64::try_from(entry / per_step + 1).unwrap_or(0)),
                    index: entry % per_step,
                    shape: rank2(&ty.shape.values(&self.sizes)),
                };
                self.answer(&outputs, &place, instance);
            }
        }
        Ok(())
    }

    /// Records the change of the loss and of the states after one injection.
    fn answer(&self, outputs: &Outputs<f64>, place: &Place<'_>, instance: &mut Instance) {
        let Place {
            name,
            leaf,
            at,
            index,
            shape,
        } = *place;
        let name: Name = (*name).into();
        if let Some(d_loss) = outputs.get("loss.dot").and_then(|a| a.first()) {
            let quantity = if leaf {
                Quantity::Gradient
            } else {
                Quantity::Delta
            };
            let key = Key::new(quantity, [&name], at);
            let total = instance
                .numbers
                .entry(key)
                .or_insert_with(|| Array2::zeros(shape));
            if let Some(x) = total.iter_mut().nth(index) {
                *x = *d_loss;
            }
        }
        if let Some(losses) = outputs.get(&format!("{STEP_LOSS}.dot")) {
            for (t, d_loss) in by_step(losses, Rate::Step) {
                let Some(t) = t else { continue };
                let steps = std::iter::once(t).chain(at);
                let key = Key::new(Quantity::StepGradient, [&name], steps);
                let total = instance
                    .numbers
                    .entry(key)
                    .or_insert_with(|| Array2::zeros(shape));
                if let (Some(x), Some(d)) = (total.iter_mut().nth(index), d_loss.first()) {
                    *x = *d;
                }
            }
        }
        let read = self.reads.iter().find(|(n, ..)| *n == name);
        // The read of the first step is the initial state.
        let start = |(_, state, shift): &(Name, Name, i64)| {
            let first = if *shift < 0 { 1 } else { self.steps_i64() };
            (at == Some(first)).then(|| (Arc::clone(state), first + shift))
        };
        let start = read.and_then(start);
        if let (Some((state, step)), Some(d_loss)) =
            (&start, outputs.get("loss.dot").and_then(|a| a.first()))
        {
            let key = Key::new(Quantity::Gradient, [state], [*step]);
            let total = instance
                .numbers
                .entry(key)
                .or_insert_with(|| Array2::zeros(shape));
            if let Some(x) = total.iter_mut().nth(index) {
                *x = *d_loss;
            }
        }
        let Some(k) = at else {
            for state in self.derivation.carried().iter().filter(|_| leaf) {
                self.respond(outputs, state, &name, place, instance, Quantity::Response);
            }
            return;
        };
        let forward = self.derivation.states.iter().map(|c| c.observed(-1));
        let back = self.derivation.back.iter().map(|c| c.observed(1));
        for of in forward.chain(back) {
            let Some(array) = outputs.get(&format!("{of}.dot")) else {
                continue;
            };
            for (t, column) in by_step(array, Rate::Step) {
                let Some(t) = t else { continue };
                let jacobian = |by: &Name, k: i64| Key::new(Quantity::Jacobian, [&of, by], [t, k]);
                let mut keys = vec![jacobian(&name, k)];
                if let Some((by, step)) = &start {
                    keys.push(jacobian(by, *step));
                }
                let dim = (column.len(), shape.0 * shape.1);
                for key in keys {
                    let jacobian = instance
                        .numbers
                        .entry(key)
                        .or_insert_with(|| Array2::zeros(dim));
                    for (i, x) in column.iter().enumerate() {
                        jacobian[(i, index)] = *x;
                    }
                }
            }
        }
    }
}

/// The output name of the loss of a step.
const STEP_LOSS: &str = "loss.step";

/// The recurrence with every value that terms may need as an output, and the reads of states.
type Observed = (Recurrence, Vec<(Name, Name, i64)>);

fn observed(derivation: &Derivation) -> Result<Observed> {
    let recurrence = &derivation.recurrence;
    let tape = recurrence.tape();
    let reader = Reader::new(tape, derivation.name());
    let mut reads: Vec<(Name, Name, i64)> = Vec::new();
    let mut names: Vec<(NodeId, Name)> = Vec::new();
    for (id, node) in tape.nodes() {
        let Op::Read(register) = *node.op() else {
            continue;
        };
        let Some((def, shift)) = reader.held(register) else {
            continue;
        };
        let state: Name = tape.label(def).unwrap_or_default().into();
        let name = read_of(&state, shift);
        if reads.iter().any(|(n, ..)| *n == name) {
            continue;
        }
        reads.push((Arc::clone(&name), state, shift));
        names.push((id, name));
    }
    let values: Vec<(Name, NodeId)> = tape
        .names()
        .filter(|(_, id)| tape.is_differentiable(*id))
        .map(|(n, id)| (Arc::clone(n), id))
        .chain(names.iter().map(|(id, n)| (Arc::clone(n), *id)))
        .chain(recurrence.step_loss().map(|id| (STEP_LOSS.into(), id)))
        .collect();
    Ok((recurrence.with_names(&names).observing(values)?, reads))
}

/// The place of an injected perturbation.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) leaf: bool,
    pub(super) at: Option<i64>,
    pub(super) index: usize,
    pub(super) shape: (usize, usize),
}

impl Recurrence {
    /// Unrolls a tangent for the sizes of a run, to be evaluated in many directions.
    fn unroll_for_direction(&self, name: &str, ty: Type, oracle: &Oracle<'_>) -> Result<Unrolled> {
        let (mut params, mut batch) = (oracle.params.clone(), oracle.batch.clone());
        let zero = ArrayD::zeros(IxDyn(&oracle.dims(ty)));
        give(&format!("{name}.dot"), ty, zero, &mut params, &mut batch);
        self.unroll_for(&params, &batch)
    }
}

pub(super) fn give(
    name: &str,
    ty: Type,
    array: ArrayD<f64>,
    params: &mut Params<f64>,
    batch: &mut Batch<f64>,
) {
    if ty.rate == Rate::Static {
        params.insert(name, array);
    } else {
        *batch = batch.clone().with(name, array);
    }
}

/// The dimensions of the data of a value: one sample.
fn dims(ty: Type, sizes: &[usize], steps: usize) -> Vec<usize> {
    let shape = ty.shape.values(sizes);
    let lead: &[usize] = match ty.rate {
        Rate::Static => &[],
        Rate::Sample => &[1],
        Rate::Step => &[steps, 1],
    };
    lead.iter().chain(&shape).copied().collect()
}

/// The number of entries of values of these types; `None` on overflow.
fn numbers(types: impl Iterator<Item = Type>, sizes: &[usize], steps: usize) -> Option<usize> {
    let mut each = types.map(|ty| {
        let mut dims = dims(ty, sizes, steps).into_iter();
        dims.try_fold(1, usize::checked_mul)
    });
    each.try_fold(0, |sum: usize, n| sum.checked_add(n?))
}

fn bytes(numbers: Option<usize>) -> Option<usize> {
    numbers?.checked_mul(size_of::<f64>())
}

pub(super) fn rank2(shape: &[usize]) -> (usize, usize) {
    match *shape {
        [] => (1, 1),
        [n] => (n, 1),
        [m, n] => (m, n),
        _ => (0, 0),
    }
}

/// The values of an output of one sample, with their steps, counted from 1.
pub(super) fn by_step(array: &ArrayD<f64>, rate: Rate) -> Vec<(Option<i64>, Array2<f64>)> {
    let axis = ndarray::Axis(0);
    match rate {
        Rate::Static => vec![(None, matrix(array))],
        Rate::Sample => vec![(None, matrix(&array.index_axis(axis, 0).to_owned()))],
        Rate::Step => (0..array.len_of(axis))
            .map(|t| {
                let value = array.index_axis(axis, t);
                let value = value.index_axis(axis, 0).to_owned();
                (i64::try_from(t + 1).ok(), matrix(&value))
            })
            .collect(),
    }
}

/// Random numbers that are not near zero, so that a wrong term is noticed.
fn clear_of_zero(random: &mut Noise, dims: &[usize], positive: bool) -> ArrayD<f64> {
    ArrayD::from_shape_simple_fn(IxDyn(dims), || {
        let x = random.number();
        let x = x.signum() * (0.15 + 0.75 * x.abs());
        if positive { x.abs() } else { x }
    })
}

/// Random parameters and inputs of one sample.
fn data(
    recurrence: &Recurrence,
    sizes: &[usize],
    steps: usize,
    random: &mut Noise,
    positive: bool,
) -> Result<(Params<f64>, Batch<f64>)> {
    let tape = recurrence.tape();
    let mut params = Params::new();
    let mut batch = Batch::new(steps, 1);
    for (dim, size) in tape.dims().zip(sizes) {
        batch = batch.size(dim, *size);
    }
    for leaf in tape.leaves() {
        let ty = leaf.ty();
        let dims = dims(ty, sizes, steps);
        if let Kind::Class(count) = ty.kind {
            let count = count.value_at(sizes);
            let classes = ArrayD::from_shape_simple_fn(IxDyn(&dims), || random.below(count));
            batch = batch.with_classes(leaf.name(), classes);
        } else if let Some(count) = leaf.classes() {
            let count = count.value_at(sizes);
            #[expect(clippy::cast_precision_loss, reason = "there are few classes")]
            let number = || random.below(count) as f64;
            let numbers = ArrayD::from_shape_simple_fn(IxDyn(&dims), number);
            batch = batch.with(leaf.name(), numbers);
        } else if leaf.role() == Role::Parameter {
            params.insert(leaf.name(), clear_of_zero(random, &dims, positive));
        } else {
            batch = batch.with(leaf.name(), clear_of_zero(random, &dims, positive));
        }
    }
    Ok((params, batch))
}
