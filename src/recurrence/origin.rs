//! Where a value that is not finite began: one step is evaluated node by node, from values that a run
//! has left in memory.

use std::collections::HashMap;

use super::bind::Bound;
use super::unroll::{Place, Unroller, Window};
use super::{Given, Recurrence};
use crate::error::{Error, Result};
use crate::op::{NodeId, Op, Pointwise, Scalar, Time, Value};
use crate::shape::Rate;
use crate::tape::{Direction, Tape, causes, evaluate};

/// The most nodes of a step, with what has to be computed of the steps around it.
const MOST_NODES: usize = 100_000;

/// The values that a run has left in memory.
pub(crate) trait Memory<F> {
    /// The value of a node for a sample and step, as far as it varies with them.
    fn recall(&self, node: NodeId, sample: usize, step: usize) -> Option<Value<F>>;
}

/// Where a value that is not finite was traced to.
#[derive(Debug)]
pub(crate) struct Origin {
    /// A value that was in memory, or, if there is none, the operation that made it.
    pub(crate) before: Option<NodeId>,
    pub(crate) sample: usize,
    pub(crate) step: usize,
    /// The order of what is evaluated, as far as it is known.
    pub(crate) turn: Turn,
    pub(crate) error: Error,
}

/// When a value is evaluated: its phase, what is computed once before a phase, the step in the direction of the
/// phase, the sample, the node.
pub(crate) type Turn = (usize, Option<usize>, usize, NodeId);

/// The phases in which a recurrence is evaluated: forward through all steps, backward, forward again, and so on.
/// A value belongs to the last phase in time for all that use it.
pub(crate) struct Phases(Vec<usize>);

impl Phases {
    pub(crate) fn of(recurrence: &Recurrence) -> Self {
        let tape = &recurrence.tape;
        let components = tape.components();
        let reads = |id: NodeId| match tape.node(id).op {
            Op::Read(r) => Some(tape.register(r)),
            _ => None,
        };
        // From one argument to the next, and from the definition of a register to its reads.
        let needs = |id: NodeId| {
            let register = reads(id).into_iter();
            let register = register.flat_map(|r| r.init.into_iter().chain(r.def));
            let args = tape.node(id).args.iter().copied();
            args.chain(register).collect::<Vec<_>>()
        };
        let gathers = |id: NodeId| {
            let node = tape.node(id);
            let of_steps = node.args.iter().any(|a| tape.ty(*a).rate == Rate::Step);
            usize::from(matches!(node.op, Op::Time(Time::Total(_) | Time::Pick(_))) && of_steps)
        };
        let mut earliest = vec![0; tape.len()];
        for component in &components {
            let mut phase = 0;
            for id in &component.nodes {
                let known = needs(*id).into_iter().map(|n| earliest[n.index()]).max();
                phase = phase.max(known.unwrap_or(0) + gathers(*id));
            }
            let backward = component.nodes.iter().filter_map(|id| reads(*id)).next();
            if let Some(register) = backward {
                let parity = usize::from(register.direction == Direction::Backward);
                phase += (phase + parity) % 2;
            }
            component
                .nodes
                .iter()
                .for_each(|id| earliest[id.index()] = phase);
        }
        let live = tape.live(recurrence.output_nodes().map(|(_, id)| id));
        let mut latest = vec![usize::MAX; tape.len()];
        for (_, output) in recurrence.output_nodes() {
            latest[output.index()] = earliest[output.index()];
        }
        for component in components.iter().rev() {
            let stays = |id: &NodeId| reads(*id).is_some() || gathers(*id) > 0;
            let fixed = component.cyclic || component.nodes.iter().any(stays);
            for id in component.nodes.iter().rev() {
                let at = &mut latest[id.index()];
                if fixed || *at == usize::MAX {
                    *at = earliest[id.index()];
                }
                let phase = (*at).max(earliest[id.index()]);
                *at = phase;
                for need in needs(*id).into_iter().filter(|_| live[id.index()]) {
                    let need = &mut latest[need.index()];
                    *need = (*need).min(phase - gathers(*id));
                }
            }
        }
        Self(latest)
    }

    /// When a value is evaluated.
    pub(super) fn turn(&self, tape: &Tape, place: Place) -> Turn {
        let Place { node, sample, step } = place;
        let phase = self.0[node.index()];
        let step = (tape.ty(node).rate == Rate::Step).then_some(match phase % 2 {
            0 => step,
            _ => usize::MAX - step,
        });
        (phase, step, sample, node)
    }
}

impl Recurrence {
    /// Evaluates some nodes at one step of a sample, and traces those that are not finite. Without a step, nodes that
    /// vary with the sample only are evaluated for all samples. `None` when all are finite, or too little is in
    /// memory; then, if `borderline` is set, the largest value is taken for one that is not finite: a run that
    /// rounds otherwise came out on the other side.
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
                // What is not finite at this step is traced.
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
                // One that needs too much of other steps says nothing; others may.
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

/// The operation with the largest value, which is made infinite.
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
