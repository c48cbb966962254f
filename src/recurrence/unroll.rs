//! Unrolls a recurrence: one copy of the step for every sample and step. This defines its meaning.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::{ArrayD, Axis, IxDyn};

use super::bind::Bound;
use super::phases::Phases;
use super::place::{Place, not_finite};
use super::{Batch, Outputs, Params, Recurrence};
use crate::error::{Error, Result};
use crate::limit::check_memory;
use crate::op::{Broadcast, Edge, LeafId, NodeId, Op, Over, Pointwise, Scalar, Time, Value};
use crate::shape::{Dim, Kind, Rate, Shape, Type};
use crate::tape::{Derived, Direction, Node, Role, Side, Tape, causes, evaluate, kinks};

#[derive(Clone, Debug)]
pub(super) struct UnrolledOutput {
    pub(super) name: Arc<str>,
    pub(super) role: Option<Derived>,
    pub(super) rate: Rate,
    pub(super) shape: Vec<usize>,
    /// One node for each place, by sample, then by step.
    pub(super) nodes: Vec<NodeId>,
}

/// A recurrence unrolled over given lengths: a flat tape without time.
///
/// It can be evaluated many times, with data of the same sizes and lengths.
///
/// ```
/// use bptt::{Batch, Params, Recurrence};
/// use ndarray::{arr0, array};
/// let r = Recurrence::parse("r.rec", "input x\nparam a\nstate h\nh' = a * h + x\nloss h'\n")?;
/// let params = Params::new().with("a", arr0(0.5));
/// let batch = Batch::new(2, 1).with("x", array![[1.0], [2.0]]);
/// let flat = r.unroll_for(&params, &batch)?;
/// let gradient = flat.gradient(&["a"])?;             // reverse mode, node by node
/// let slope = gradient.nodes_of("a").expect("it is an output")[0];
/// let values = gradient.values(&params, &batch)?;    // of every node
/// assert_eq!(values[slope.index()], arr0(1.0).into());
/// let forward = flat.to_string();
/// assert!(forward.contains("# h[0, 0]") && forward.contains("output loss = %"), "{forward}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Unrolled {
    pub(super) recurrence: Recurrence,
    pub(super) tape: Tape,
    pub(super) sizes: Vec<usize>,
    /// The number of steps in the arrays of the data, their first axis.
    pub(super) steps: usize,
    pub(super) lengths: Vec<usize>,
    pub(super) outputs: Vec<UnrolledOutput>,
    /// For each leaf of the flat tape, the source of its value: leaf, sample, step.
    pub(super) leaves: Vec<(usize, usize, usize)>,
    /// For each node of the flat tape, the place of which it is a copy.
    pub(super) origins: Vec<Option<Place>>,
}

impl Recurrence {
    /// Unrolls over the given lengths, one per sample and at most `steps`, for given sizes of the
    /// named dimensions.
    ///
    /// # Errors
    /// When a custom op refuses these sizes.
    pub(crate) fn unroll(
        &self,
        sizes: &[usize],
        steps: usize,
        lengths: &[usize],
    ) -> Result<Unrolled> {
        check_memory(self.unrolled_bytes(sizes, lengths))?;
        let mut unroller = Unroller::new(self, sizes, lengths);
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (name, node) in &self.outputs {
            let ty = self.tape.ty(*node);
            let nodes = unroller
                .places(*node)
                .into_iter()
                .map(|p| unroller.demand(p))
                .collect::<Result<_>>()?;
            let shape = ty.shape.values(sizes);
            outputs.push(UnrolledOutput {
                name: Arc::clone(name),
                role: self.role(name).cloned(),
                rate: ty.rate,
                shape,
                nodes,
            });
        }
        Ok(Unrolled {
            recurrence: self.clone(),
            sizes: sizes.to_vec(),
            steps,
            lengths: lengths.to_vec(),
            outputs,
            leaves: unroller.leaves,
            origins: unroller.origins,
            tape: unroller.flat,
        })
    }
}

pub(super) struct Unroller<'a> {
    source: &'a Tape,
    sizes: &'a [usize],
    lengths: &'a [usize],
    /// The offset of each sample's steps in the list of all steps.
    starts: Vec<usize>,
    pub(super) flat: Tape,
    pub(super) leaves: Vec<(usize, usize, usize)>,
    pub(super) origins: Vec<Option<Place>>,
    done: Done,
    /// The part to unroll, if not the whole; places with known values become leaves of the flat tape.
    pub(super) window: Option<Window<'a>>,
}

/// The flat nodes made so far.
enum Done {
    /// For each node of the recurrence, a slot for each place.
    All(Vec<Vec<Option<NodeId>>>),
    /// The places of a window.
    Few(HashMap<Place, Option<NodeId>>),
}

/// A part of a long recurrence; the values outside are known.
pub(super) struct Window<'a> {
    pub(super) is_given: &'a dyn Fn(Place) -> bool,
    /// The places of the leaves made for known values.
    pub(super) given: HashMap<LeafId, Place>,
    /// The most flat nodes to make.
    pub(super) most: usize,
}

impl<'a> Unroller<'a> {
    /// Unrolls a part of a recurrence.
    pub(super) fn within(
        recurrence: &'a Recurrence,
        sizes: &'a [usize],
        lengths: &'a [usize],
        window: Window<'a>,
    ) -> Self {
        Self {
            done: Done::Few(HashMap::new()),
            window: Some(window),
            ..Self::new(recurrence, sizes, lengths)
        }
    }

    fn new(recurrence: &'a Recurrence, sizes: &'a [usize], lengths: &'a [usize]) -> Self {
        let starts = lengths
            .iter()
            .scan(0, |total, l| Some(std::mem::replace(total, *total + l)))
            .collect();
        Self {
            source: &recurrence.tape,
            sizes,
            lengths,
            starts,
            flat: Tape::default(),
            leaves: Vec::new(),
            origins: Vec::new(),
            done: Done::All(vec![Vec::new(); recurrence.tape.len()]),
            window: None,
        }
    }

    fn places(&self, node: NodeId) -> Vec<Place> {
        let place = |sample, step| Place { node, sample, step };
        let samples = 0..self.lengths.len();
        match self.source.ty(node).rate {
            Rate::Static => vec![place(0, 0)],
            Rate::Sample => samples.map(|b| place(b, 0)).collect(),
            Rate::Step => samples
                .flat_map(|b| (0..self.lengths[b]).map(move |t| place(b, t)))
                .collect(),
        }
    }

    fn slot(&mut self, place: Place) -> &mut Option<NodeId> {
        let done = match &mut self.done {
            Done::All(done) => done,
            Done::Few(done) => return done.entry(place).or_default(),
        };
        let total: usize = self.lengths.iter().sum();
        let (index, count) = match self.source.ty(place.node).rate {
            Rate::Static => (0, 1),
            Rate::Sample => (place.sample, self.lengths.len()),
            Rate::Step => (self.starts[place.sample] + place.step, total),
        };
        let slots = &mut done[place.node.index()];
        if slots.is_empty() {
            slots.resize(count, None);
        }
        &mut slots[index]
    }

    /// The flat node of a place, made after all its dependencies. The stack is explicit, so only the memory
    /// limits the length of a sequence.
    pub(super) fn demand(&mut self, place: Place) -> Result<NodeId> {
        let mut stack = vec![place];
        while let Some(place) = stack.last().copied() {
            if self.slot(place).is_some() {
                stack.pop();
                continue;
            }
            if let Some(window) = &self.window {
                if (window.is_given)(place) {
                    let leaf = self.given(place);
                    *self.slot(place) = Some(leaf);
                    stack.pop();
                    continue;
                }
                if self.flat.len() + stack.len() > window.most || self.sums_over_steps(place.node) {
                    let reason = "too much of it lies outside of the window".into();
                    return Err(Error::Batch { reason });
                }
            }
            let needs = self.needs(place);
            let missing: Vec<Place> = needs
                .iter()
                .copied()
                .filter(|p| self.slot(*p).is_none())
                .collect();
            if missing.is_empty() {
                let args: Vec<NodeId> = needs
                    .iter()
                    .map(|p| self.slot(*p).expect("what is needed was made first"))
                    .collect();
                let made = self.make(place, &args)?;
                self.origins.resize(self.flat.len(), Some(place));
                *self.slot(place) = Some(made);
                stack.pop();
            } else {
                stack.extend(missing.into_iter().rev());
            }
        }
        Ok(self
            .slot(place)
            .expect("the stack is empty only when the place is made"))
    }

    /// The places on which a place depends directly.
    fn needs(&self, place: Place) -> Vec<Place> {
        let Place {
            node: id,
            sample,
            step,
        } = place;
        let node = self.source.node(id);
        let at = |node: NodeId, step| match self.source.ty(node).rate {
            Rate::Static => Place {
                node,
                sample: 0,
                step: 0,
            },
            Rate::Sample => Place {
                node,
                sample,
                step: 0,
            },
            Rate::Step => Place { node, sample, step },
        };
        match &node.op {
            Op::Read(r) => {
                let register = self.source.register(*r);
                let neighbour = match register.direction {
                    Direction::Forward => step.checked_sub(1),
                    Direction::Backward => Some(step + 1).filter(|t| *t < self.lengths[sample]),
                };
                match neighbour {
                    Some(t) => register.def.iter().map(|def| at(*def, t)).collect(),
                    None => register.init.iter().map(|init| at(*init, 0)).collect(),
                }
            }
            Op::Time(Time::Total(_)) if node.ty.rate == Rate::Sample => (0..self.lengths[sample])
                .map(|t| at(node.args[0], t))
                .collect(),
            Op::Time(Time::Total(_)) => self.places(node.args[0]),
            Op::Time(Time::Pool(_)) => {
                let running = (0..self.lengths.len()).filter(|b| step < self.lengths[*b]);
                let node = node.args[0];
                running.map(|sample| Place { node, sample, step }).collect()
            }
            Op::Time(Time::Pick(pick)) => vec![at(node.args[0], self.edge(pick.0, sample))],
            Op::Time(Time::Impulse(impulse)) if step != self.edge(impulse.0, sample) => vec![],
            _ => node.args.iter().map(|a| at(*a, step)).collect(),
        }
    }

    /// Returns true if a node is a sum over steps.
    fn sums_over_steps(&self, node: NodeId) -> bool {
        let Node { op, args, .. } = self.source.node(node);
        let of = |arg: &NodeId| self.source.ty(*arg).rate == Rate::Step;
        matches!(op, Op::Time(Time::Total(_))) && args.iter().any(of)
    }

    /// Makes a leaf for a place with a known value.
    fn given(&mut self, place: Place) -> NodeId {
        let ty = self.flat_type(place.node);
        let (leaf, node) = self.leaf("given".into(), Role::Input, ty, (0, 0, 0));
        if let Some(window) = &mut self.window {
            window.given.insert(leaf, place);
        }
        self.origins.resize(self.flat.len(), Some(place));
        node
    }

    /// The type of a node at one sample and step, for the given sizes.
    fn flat_type(&self, node: NodeId) -> Type {
        let fix = |d: Dim| Dim::fixed(d.value(self.sizes));
        let ty = self.source.ty(node);
        Type {
            shape: ty.shape.map(fix),
            rate: Rate::Static,
            kind: match ty.kind {
                Kind::Class(n) => Kind::Class(fix(n)),
                Kind::Real => Kind::Real,
            },
        }
    }

    fn leaf(
        &mut self,
        name: Arc<str>,
        role: Role,
        ty: Type,
        from: (usize, usize, usize),
    ) -> (LeafId, NodeId) {
        self.leaves.push(from);
        let leaf = self.flat.add_leaf(name, role, ty);
        (leaf, self.flat.leaf(leaf).node)
    }

    fn edge(&self, edge: Edge, sample: usize) -> usize {
        match edge {
            Edge::First => 0,
            Edge::Last => self.lengths[sample] - 1,
        }
    }

    fn make(&mut self, place: Place, args: &[NodeId]) -> Result<NodeId> {
        let node = self.source.node(place.node);
        let sizes = self.sizes;
        let fix = |d: Dim| Dim::fixed(d.value(sizes));
        match &node.op {
            Op::Leaf(leaf) => {
                let (source, ty) = (self.source.leaf(*leaf), self.flat_type(place.node));
                let from = (leaf.index(), place.sample, place.step);
                Ok(self.leaf(Arc::clone(&source.name), source.role, ty, from).1)
            }
            Op::Read(_) | Op::Time(Time::Impulse(_)) => match args {
                [value, ..] => Ok(*value),
                [] => self.zeros(node.ty.shape.map(fix)),
            },
            Op::Time(Time::Hold(_) | Time::Pick(_)) => Ok(args[0]),
            Op::Time(Time::Total(_)) => self.total(place.node, args),
            Op::Time(Time::Pool(_)) => self.sum(args),
            op => {
                let made = self.push(op.map_dims(&fix), args)?;
                let (expected, found) = (node.ty.shape.map(fix), self.flat.ty(made).shape);
                match op {
                    Op::Custom(custom) if found != expected => Err(Error::CustomOp {
                        op: custom.rule().name().into(),
                        reason: format!(
                            "expected shape {}, as in the definition, found {}",
                            expected.text(&[]),
                            found.text(&[])
                        ),
                    }),
                    _ => Ok(made),
                }
            }
        }
    }

    /// Sums over the steps of each sample, then over samples. The order is fixed: pairs of neighbours, then
    /// pairs of pairs, so that rounding errors grow slowly with the number of terms.
    fn total(&mut self, node: NodeId, terms: &[NodeId]) -> Result<NodeId> {
        let arg = self.source.node(node).args[0];
        let over_all = self.source.ty(node).rate == Rate::Static;
        let group = |b: usize| {
            if self.source.ty(arg).rate == Rate::Step {
                self.lengths[b]
            } else {
                1
            }
        };
        let groups: Vec<usize> = if over_all {
            (0..self.lengths.len()).map(group).collect()
        } else {
            vec![terms.len()]
        };
        let mut rest = terms;
        let mut parts = Vec::with_capacity(groups.len());
        for len in groups {
            let (part, others) = rest.split_at(len);
            parts.push(self.sum(part)?);
            rest = others;
        }
        self.sum(&parts)
    }

    fn sum(&mut self, terms: &[NodeId]) -> Result<NodeId> {
        let mut terms = terms.to_vec();
        while terms.len() > 1 {
            let pairs = terms.chunks(2).map(|pair| match *pair {
                [a, b] => self.push(Pointwise::Add.into(), &[a, b]),
                _ => Ok(pair[0]),
            });
            terms = pairs.collect::<Result<_>>()?;
        }
        Ok(terms[0])
    }

    fn zeros(&mut self, shape: Shape) -> Result<NodeId> {
        let zero = self.push(Op::constant(0.0), &[])?;
        let broadcast = Broadcast {
            shape,
            over: Over::All,
        };
        match shape {
            Shape::Scalar => Ok(zero),
            _ => self.push(broadcast.into(), &[zero]),
        }
    }

    fn push(&mut self, op: Op, args: &[NodeId]) -> Result<NodeId> {
        let custom = match &op {
            Op::Custom(custom) => Some(custom.rule().name().to_owned()),
            _ => None,
        };
        self.flat.push(op, args).map_err(|reason| match custom {
            Some(op) => Error::CustomOp { op, reason },
            None => Error::Batch {
                reason: format!("it cannot be unrolled: {reason}"),
            },
        })
    }
}

impl Unrolled {
    /// The flat tape.
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// When the data does not fit, or has other sizes or lengths than this was unrolled for; and
    /// [`Error::NonFiniteValue`] naming the first value that is not finite, if one reaches an
    /// output.
    pub fn evaluate<F: Scalar>(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Outputs<F>> {
        let values = self.values(params, batch)?;
        self.read(&values)
    }

    /// The value of every node of the flat tape, at its index.
    ///
    /// # Errors
    /// When the data does not fit, or has other sizes or lengths than this was unrolled for.
    pub fn values<F: Scalar>(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Vec<Value<F>>> {
        self.values_bound(&self.bound(params, batch)?)
    }

    /// Checks that data has the sizes and lengths for which this was unrolled.
    pub(super) fn bound<'a, F: Scalar>(
        &'a self,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
    ) -> Result<Bound<'a, F>> {
        let bound = self.recurrence.bind(params, batch)?;
        if batch.steps() != self.steps {
            return Err(Error::Batch {
                reason: format!(
                    "it was unrolled for T = {}, found T = {}",
                    self.steps,
                    batch.steps()
                ),
            });
        }
        if bound.sizes() != self.sizes || bound.lengths() != self.lengths {
            return Err(Error::Batch {
                reason: format!(
                    "it was unrolled for sizes {:?} and lengths {:?}, found {:?} and {:?}",
                    self.sizes,
                    self.lengths,
                    bound.sizes(),
                    bound.lengths()
                ),
            });
        }
        Ok(bound)
    }

    fn values_bound<F: Scalar>(&self, bound: &Bound<'_, F>) -> Result<Vec<Value<F>>> {
        evaluate(&self.tape, |leaf| self.leaf_value(bound, leaf))
    }

    pub(super) fn leaf_value<F: Scalar>(&self, bound: &Bound<'_, F>, leaf: LeafId) -> Value<F> {
        let (source, sample, step) = self.leaves[leaf.index()];
        bound.value(source, sample, step)
    }

    /// For each entry of an argument of an op with a kink, the side of the kink on which it lies.
    pub(crate) fn kinks<F: Scalar>(&self, values: &[Value<F>]) -> Vec<Side> {
        kinks(&self.tape, values)
    }

    /// Extracts the outputs from the values of all nodes.
    pub(crate) fn read<F: Scalar>(&self, values: &[Value<F>]) -> Result<Outputs<F>> {
        let mut outputs = Outputs::default();
        let all = self.outputs.iter().flat_map(|o| o.nodes.iter().copied());
        let bad: Vec<NodeId> = all.filter(|n| !values[n.index()].is_finite()).collect();
        if !bad.is_empty() {
            return Err(self.non_finite(values, &bad));
        }
        for output in &self.outputs {
            let mut places = output.nodes.iter().map(|n| values[n.index()].real());
            let outer: Vec<usize> = match output.rate {
                Rate::Static => vec![],
                Rate::Sample => vec![self.lengths.len()],
                Rate::Step => vec![self.steps, self.lengths.len()],
            };
            let dims: Vec<usize> = outer.iter().chain(&output.shape).copied().collect();
            let mut array = ArrayD::zeros(IxDyn(&dims));
            for b in 0..self.lengths.len() {
                let count = if output.rate == Rate::Step {
                    self.lengths[b]
                } else {
                    1
                };
                for (t, value) in places.by_ref().take(count).enumerate() {
                    let mut part = array.view_mut();
                    if output.rate == Rate::Step {
                        part = part.index_axis_move(Axis(0), t);
                    }
                    if output.rate >= Rate::Sample {
                        part = part.index_axis_move(Axis(0), b);
                    }
                    part.assign(value);
                }
                if output.rate == Rate::Static {
                    break;
                }
            }
            outputs.insert(&output.name, array);
            let role = output.role.clone();
            outputs
                .roles
                .extend(role.map(|r| (Arc::clone(&output.name), r)));
        }
        Ok(outputs)
    }

    /// The error that names the first operation whose result is not finite.
    fn non_finite<F: Scalar>(&self, values: &[Value<F>], outputs: &[NodeId]) -> Error {
        let phases = Phases::of(&self.recurrence);
        let tape = &self.recurrence.tape;
        let place = |id: NodeId| self.origins.get(id.index()).copied().flatten();
        let turn = |id: &NodeId| match place(*id) {
            Some(place) => (false, Some(phases.turn(tape, place)), *id),
            None => (true, None, *id),
        };
        let causes = causes(&self.tape, values, outputs);
        let first = causes.into_iter().min_by_key(turn);
        let id = first.unwrap_or(outputs[0]);
        let value = &values[id.index()];
        match place(id) {
            Some(place) => not_finite(tape, place, value),
            // Nodes added by reverse mode on the flat tape are not copies.
            None => not_finite(&self.tape, Place::once(id), value),
        }
    }
}
