//! Where a value that is not finite began: one step is evaluated node by node, from values that a run
//! has left in memory.

use std::collections::HashMap;

use super::bind::Bound;
use super::unroll::{Place, Unroller, Window};
use super::{Given, Recurrence};
use crate::error::{Error, Result};
use crate::op::{NodeId, Op, Pointwise, Scalar, Time, Value};
use crate::shape::Rate;
use crate::tape::{Tape, cause, evaluate};

/// The most nodes of a step, with what has to be computed of the steps around it.
const MOST_NODES: usize = 100_000;

/// The values that a run has left in memory.
pub(crate) trait Memory<F> {
    /// The value of a node for a sample and step, as far as it varies with them.
    fn recall(&self, node: NodeId, sample: usize, step: usize) -> Option<Value<F>>;
}

/// Where a value that is not finite was traced to.
#[derive(Debug)]
pub(crate) enum Origin {
    /// To the operation that made it.
    Operation(Error),
    /// To a value of another step that was in memory.
    Before {
        node: NodeId,
        step: usize,
        error: Error,
    },
}

impl Recurrence {
    /// Evaluates some nodes at one step of a sample, and traces the first that is not finite.
    /// Nodes that vary with the sample only are evaluated for all samples when there is no step.
    /// `None` when all are finite, or too little is in memory.
    pub(crate) fn origin<F: Scalar>(
        &self,
        given: &Given<'_, F>,
        sizes: &[usize],
        memory: &dyn Memory<F>,
        at: Option<(usize, usize)>,
        suspects: &[NodeId],
    ) -> Result<Option<Origin>> {
        let bound = Bound::new(self, given.view(), sizes.to_vec());
        let lengths = bound.lengths();
        let tape = &self.tape;
        let is_given = |place: Place| {
            let node = tape.node(place.node);
            let of_steps = |arg: &NodeId| tape.ty(*arg).rate == Rate::Step;
            let may = match node.ty.rate {
                Rate::Step => at.is_none_or(|(_, step)| place.step != step),
                _ => match &node.op {
                    Op::Time(Time::Total(_) | Time::Pick(_)) => node.args.iter().any(of_steps),
                    _ => false,
                },
            };
            may && memory
                .recall(place.node, place.sample, place.step)
                .is_some()
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
                // One that needs too much of other steps says nothing; others may.
                found.extend(unroller.demand(place).ok());
            }
        }
        let Some(window) = unroller.window.take() else {
            return Ok(None);
        };
        let values = evaluate(&unroller.flat, |leaf| {
            if let Some(place) = window.given.get(&leaf) {
                let value = memory.recall(place.node, place.sample, place.step);
                return value.unwrap_or_else(|| Value::Real(ndarray::ArrayD::zeros(vec![])));
            }
            let (source, sample, step) = unroller.leaves[leaf.index()];
            bound.value(source, sample, step)
        })?;
        let is_bad = |id: &NodeId| !values[id.index()].is_finite();
        let traced = found.into_iter().filter(is_bad);
        let traced = traced.map(|id| cause(&unroller.flat, &values, id));
        let first = traced.min_by_key(|id| (is_leaf(&unroller.flat, *id), *id));
        Ok(first.map(|id| {
            let place = unroller.origins.get(id.index()).copied().flatten();
            let place = place.unwrap_or(Place::once(id));
            let error = not_finite(tape, place, &values[id.index()]);
            match is_leaf(&unroller.flat, id) {
                true => Origin::Before {
                    node: place.node,
                    step: place.step,
                    error,
                },
                false => Origin::Operation(error),
            }
        }))
    }
}

fn is_leaf(tape: &Tape, id: NodeId) -> bool {
    matches!(tape.node(id).op, Op::Leaf(_))
}

/// The error for a value that is not finite, made at a place of a recurrence.
pub(super) fn not_finite<F: Scalar>(tape: &Tape, at: Place, value: &Value<F>) -> Error {
    let Place { node, sample, step } = at;
    let place = match tape.ty(node).rate {
        Rate::Static => "no particular step".into(),
        Rate::Sample => format!("sample {sample}, counted from 0"),
        Rate::Step => format!("step {step} of sample {sample}, counted from 0"),
    };
    let entries = match value {
        Value::Real(array) => array.indexed_iter().find(|(_, x)| !x.is_finite()),
        Value::Class(_) => None,
    };
    let (entry, value) = entries.map_or((Vec::new(), f64::NAN), |(entry, x)| {
        let entry = ndarray::Dimension::as_array_view(&entry).to_vec();
        (entry, Scalar::to_f64(*x))
    });
    Error::NonFiniteValue {
        expression: format!("`{}`", tape.definition(node)),
        place,
        entry,
        value,
        safe_form: safe_form(tape, node),
    }
}

/// How an operation is written to keep away from its poles. The derivative of a root is a quotient by the
/// root; its remedy is that of the root.
fn safe_form(tape: &Tape, node: NodeId) -> Option<&'static str> {
    let root = Op::Pointwise(Pointwise::Sqrt);
    let node = tape.node(node);
    let divisor = match node.op() {
        Op::Pointwise(Pointwise::Div | Pointwise::Recip) => node.args().last(),
        _ => None,
    };
    match divisor {
        Some(divisor) if *tape.node(*divisor).op() == root => root.safe_form(),
        _ => node.op().safe_form(),
    }
}
