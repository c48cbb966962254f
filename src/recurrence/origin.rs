//! Traces a value that is not finite to its origin: evaluates one step node by node, from values that a run has
//! left in memory.

use std::collections::HashMap;

use super::bind::Bound;
use super::phases::{Phases, Turn};
use super::place::{Place, not_finite};
use super::unroll::{Unroller, Window};
use super::{Given, Recurrence};
use crate::error::{Error, Result};
use crate::op::{NodeId, Op, Scalar, Time, Value};
use crate::shape::Rate;
use crate::tape::{Tape, causes, evaluate};

/// The most flat nodes that may be made to evaluate a step, including values of the steps around it.
const MOST_NODES: usize = 100_000;

/// The values left in memory by a run.
pub(crate) trait Memory<F> {
    /// The value of a node at a sample and step (0 for those its rate does not have), if it is in memory.
    fn recall(&self, node: NodeId, sample: usize, step: usize) -> Option<Value<F>>;
}

/// The origin of a value that is not finite.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The node, if its value was in memory; `None` if `error` names the operation that produced it.
    pub(crate) before: Option<NodeId>,
    pub(crate) sample: usize,
    pub(crate) step: usize,
    /// The position in the order of evaluation.
    pub(crate) turn: Turn,
    pub(crate) error: Error,
}

impl Recurrence {
    /// Evaluates the suspects at one step of a sample, and traces values that are not finite. Without a step,
    /// suspects that vary with the sample only are evaluated for all samples. Returns no origins if all values
    /// are finite or too few are in memory. If `borderline` is set and all values are finite, the largest one
    /// is taken as the origin: the run rounded differently and overflowed.
    pub(crate) fn origins<F: Scalar>(
        &self,
        (given, sizes): (&Given<'_, F>, &[usize]),
        memory: &dyn Memory<F>,
        phases: &Phases,
        at: Option<(usize, usize)>,
        suspects: &[NodeId],
        borderline: bool,
    ) -> Result<Vec<Origin>> {
        let bound = Bound::new(self, given.view(), sizes.to_vec());
        let lengths = bound.lengths();
        let tape = &self.tape;
        let is_given = |place: Place| {
            let node = tape.node(place.node);
            let of_steps = |arg: &NodeId| tape.ty(*arg).rate == Rate::Step;
            let gathers = || match &node.op {
                Op::Time(Time::Total(_) | Time::Pick(_)) => node.args.iter().any(of_steps),
                _ => false,
            };
            let is_step = node.ty.rate == Rate::Step;
            let is_here = is_step && at.is_some_and(|(_, step)| place.step == step);
            let recalled = || memory.recall(place.node, place.sample, place.step);
            match is_here {
                // A value of this step that is not finite is traced further.
                true => recalled().is_some_and(|value| value.is_finite()),
                false => (is_step || gathers()) && recalled().is_some(),
            }
        };
        let window = Window {
            is_given: &is_given,
            given: HashMap::new(),
            most: MOST_NODES,
        };
        let mut unroller = Unroller::within(self, sizes, &lengths, window);
        let mut found = Vec::new();
        for suspect in suspects.iter().copied() {
            let place = |sample, step| Place {
                node: suspect,
                sample,
                step,
            };
            let places: Vec<Place> = match (tape.ty(suspect).rate, at) {
                (Rate::Static, _) => vec![place(0, 0)],
                (Rate::Sample, Some((sample, _))) => vec![place(sample, 0)],
                (Rate::Sample, None) => (0..lengths.len()).map(|b| place(b, 0)).collect(),
                (Rate::Step, Some((sample, step))) => vec![place(sample, step)],
                (Rate::Step, None) => Vec::new(),
            };
            for place in places {
                // Skip a suspect that needs too many values of other steps.
                found.extend(unroller.demand(place).ok());
            }
        }
        let Some(window) = unroller.window.take() else {
            return Ok(Vec::new());
        };
        let mut values = evaluate(&unroller.flat, |leaf| {
            if let Some(place) = window.given.get(&leaf) {
                let value = memory.recall(place.node, place.sample, place.step);
                return value.unwrap_or_else(|| Value::Real(ndarray::ArrayD::zeros(vec![])));
            }
            let (source, sample, step) = unroller.leaves[leaf.index()];
            bound.value(source, sample, step)
        })?;
        let is_bad = |id: &NodeId| !values[id.index()].is_finite();
        let is_evaluated = !found.is_empty();
        found.retain(is_bad);
        let mut traced = causes(&unroller.flat, &values, &found);
        if traced.is_empty() && borderline && is_evaluated {
            traced.extend(overflow(&unroller.flat, &mut values));
        }
        let origin = |id: NodeId| {
            let place = unroller.origins.get(id.index()).copied().flatten();
            let place = place.unwrap_or(Place::once(id));
            Origin {
                before: is_leaf(&unroller.flat, id).then_some(place.node),
                sample: place.sample,
                step: place.step,
                turn: phases.turn(tape, place),
                error: not_finite(tape, place, &values[id.index()]),
            }
        };
        Ok(traced.into_iter().map(origin).collect())
    }
}

/// Makes the largest value infinite, and returns its operation.
fn overflow<F: Scalar>(tape: &Tape, values: &mut [Value<F>]) -> Option<NodeId> {
    let mut largest = (F::zero(), None);
    for (id, _) in tape.nodes().filter(|(id, _)| !is_leaf(tape, *id)) {
        if let Value::Real(array) = &values[id.index()] {
            for (entry, x) in array.iter().enumerate().filter(|(_, x)| x.is_finite()) {
                if x.abs() > largest.0 {
                    largest = (x.abs(), Some((id, entry)));
                }
            }
        }
    }
    let (id, entry) = largest.1?;
    if let Value::Real(array) = &mut values[id.index()] {
        let entry = array.iter_mut().nth(entry);
        entry
            .into_iter()
            .for_each(|x| *x = F::infinity().copysign(*x));
    }
    Some(id)
}

fn is_leaf(tape: &Tape, id: NodeId) -> bool {
    matches!(tape.node(id).op, Op::Leaf(_))
}
