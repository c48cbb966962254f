//! The gradient in one pass forwards in time, with a trace for each parameter.
//!
//! If entry i of a state depends on entry i of the states before it and on no other, the derivative of the state by the
//! parameters has few entries that are not zero: as many as the parameters. The recurrence carries them along, each array in
//! the shape of its parameter: `E_t = ∂s_t/∂s_{t-1} ⊙ E_{t-1} + ∂s_t/∂θ` (real-time recurrent learning, Williams and Zipser
//! 1989; for such networks Mozer 1989).
//!
//! No rule is written here. The factors are cotangents of ones within a step: since an entry of the parameter has a part in
//! one entry of the state, the sum over the state is that entry.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::differentiate::{Target, cotangent_roles};
use super::per_sample::depending;
use super::{LOSS, Recurrence, Wrt};
use crate::diff::{Linearization, Within, linearize_within, transpose};
use crate::error::{Error, Mistake, Result};
use crate::op::{Axis, Expr, NodeId, Op, RegisterId, Time, aligned};
use crate::shape::{Rate, Shape};
use crate::tape::{Direction, Role, Scope, Tape, added_name};

impl Recurrence {
    /// The gradient of the loss in one pass forwards in time: as [`gradient`](Self::gradient), from a recurrence without states
    /// that run backwards. A run keeps no value for later, so its memory does not grow with the number of steps; a
    /// [`Stepper`](crate::Stepper) of it has the gradient of the steps so far after each of them.
    ///
    /// It exists if entry `i` of each state depends on entry `i` of the states of the step before and on no other, as in
    /// `h' = tanh(a * h + W @ x)` with `a` a vector, in a leaky integrator, in a GARCH model or any other recurrence of numbers. Each pair of a
    /// state and a parameter that acts on it then has one array in the shape of the parameter, its trace, and a step takes time
    /// in proportion to the number of parameters. The graph alone tells.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::{Array3, array};
    /// let text = "dim H, K\nparam a[H], W[H, K]\ninput x[K]\nstate h[H]\nh' = tanh(a * h + W @ x)\nloss sum(h'^2)\n";
    /// let r = Recurrence::parse("diagonal.rec", text)?;
    /// let params = Params::new().with("a", array![0.9, -0.5]).with("W", array![[1.0, 0.0, 0.5], [0.5, -1.0, 0.0]]);
    /// let batch = Batch::new(4, 1).with("x", Array3::from_shape_fn((4, 1, 3), |(t, _, k)| (t + k) as f64 / 4.0));
    /// let online = r.online_gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// let gradient = r.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// assert!((&online["W"] - &gradient["W"]).iter().all(|d| d.abs() < 1e-14));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient). [`Error::NotCausal`] if a state that depends on the variables runs backwards;
    /// [`Error::NotDifferentiable`] for a variable that varies with the step; [`Error::Definition`] if a state is not entrywise in
    /// this sense, with the expression that mixes its entries.
    /// [`Program::forward_gradient`](crate::Program::forward_gradient) then has the gradient of a few parameters in bounded memory.
    pub fn online_gradient<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        self.online(wrt.into(), false)
    }

    /// The same, if asked with the outputs that vary with the step. One that has the name of a variable gets `.value` behind it.
    pub(crate) fn online(&self, wrt: Wrt<'_>, with_outputs: bool) -> Result<Self> {
        let loss = self.loss()?;
        let targets = self.targets(wrt)?;
        for (name, node) in &targets {
            if self.tape.ty(*node).rate == Rate::Step {
                return Err(Error::NotDifferentiable {
                    name: name.to_string(),
                    reason: "it varies with the step; the gradient in one pass forwards is that of parameters and of inputs per sample".into(),
                });
            }
        }
        let scope = Scope::new(self.tape.clone());
        let found = Traces::new(self, &scope, loss, &targets)?.gradient(loss, &targets)?;
        let mut roles = cotangent_roles(&found);
        let mut outputs = IndexMap::from([(LOSS.into(), loss)]);
        outputs.extend(found);
        let own = self
            .outputs
            .iter()
            .filter(|(name, _)| with_outputs && ***name != *LOSS);
        for (name, id) in own {
            if scope.with(|tape| tape.ty(*id).rate) != Rate::Step {
                continue;
            }
            let name = match outputs.contains_key(name) {
                true => added_name(name, "value", |n| outputs.contains_key(n)),
                false => Arc::clone(name),
            };
            roles.extend(
                self.roles
                    .get(&name)
                    .map(|role| (Arc::clone(&name), role.clone())),
            );
            outputs.insert(name, *id);
        }
        self.derivative(scope, outputs, roles, &[], "online gradient")
    }
}

/// A value that does not vary with the step, at the place where a step takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    /// The value.
    value: NodeId,
    /// Where it is taken.
    taken: Taken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// At each step, or at the first: the node that varies with the step.
    By(NodeId),
    /// As the initial value of registers.
    AtStart,
}

/// A register that depends on the variables.
#[derive(Clone, Copy, Debug)]
struct State {
    register: RegisterId,
    read: NodeId,
    init: Option<NodeId>,
    /// The definition, as a value that varies with the step.
    def: NodeId,
}

/// The derivatives of one value of a step by the reads and the sources, as cotangents of ones.
type Slopes<'b> = HashMap<NodeId, Expr<'b>>;

struct Traces<'a, 'b> {
    recurrence: &'a Recurrence,
    scope: &'b Scope,
    states: Vec<State>,
    sources: Vec<Source>,
    /// The sums over steps, and values of a single step, that the loss is made of.
    sums: Vec<NodeId>,
    /// The slopes of each definition, and of each term of the sums.
    slopes: HashMap<NodeId, Slopes<'b>>,
    /// The traces by the numbers of the state and the source.
    traces: HashMap<(usize, usize), (RegisterId, Expr<'b>)>,
}

impl<'a, 'b> Traces<'a, 'b> {
    fn new(
        recurrence: &'a Recurrence,
        scope: &'b Scope,
        loss: NodeId,
        targets: &[Target],
    ) -> Result<Self> {
        let live = recurrence.tape.live([loss]);
        let targets: Vec<NodeId> = targets.iter().map(|(_, id)| *id).collect();
        let mut states = Vec::new();
        for (index, register) in recurrence.tape.registers().iter().enumerate() {
            let id = RegisterId::new(index);
            let read = recurrence
                .tape
                .read_of(id)
                .filter(|read| live[read.index()]);
            let def = register
                .def()
                .and_then(|def| scope.expr(def).hold(Rate::Step).id());
            if let (Some(read), Some(def)) = (read, def) {
                states.push(State {
                    register: id,
                    read,
                    init: register.init(),
                    def,
                });
            }
        }
        let tape = scope.with(Tape::clone);
        let active = depending(&tape, &targets);
        let is_active = |id: &NodeId| active[id.index()];
        states.retain(|state| is_active(&state.read));
        let defs = states.iter().map(|state| state.def);
        let live = tape.live(defs.chain([loss]));
        let rate = |id: NodeId| tape.ty(id).rate;
        let (mut sources, mut sums) = (Vec::new(), Vec::new());
        for (id, node) in tape
            .nodes()
            .filter(|(id, _)| live[id.index()] && is_active(id))
        {
            let Some(arg) = node.args().first().filter(|arg| is_active(arg)) else {
                continue;
            };
            match (rate(*arg) == Rate::Step, rate(id) == Rate::Step) {
                (false, true) => sources.push(Source {
                    value: *arg,
                    taken: Taken::By(id),
                }),
                (true, false) => sums.push(id),
                _ => {}
            }
        }
        for init in states.iter().filter_map(|s| s.init).filter(is_active) {
            let source = Source {
                value: init,
                taken: Taken::AtStart,
            };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        let registers = states.iter().map(|state| tape.register(state.register));
        let mut backward = registers.filter(|r| r.direction() == Direction::Backward);
        if let Some(register) = backward.next() {
            return Err(Error::NotCausal {
                recurrence: recurrence.name.clone(),
                how: "forwards in time with its gradient",
                reason: format!("`{}` runs from the last step to the first", register.name()),
            });
        }
        let mut traces = Self {
            recurrence,
            scope,
            states,
            sources,
            sums,
            slopes: HashMap::new(),
            traces: HashMap::new(),
        };
        traces.find_slopes()?;
        traces.carry()?;
        Ok(traces)
    }

    /// The terms of the sums: values that vary with the step.
    fn terms(&self) -> Vec<NodeId> {
        let term = |sum: &NodeId| self.scope.with(|tape| tape.node(*sum).args()[0]);
        self.sums.iter().map(term).collect()
    }

    /// Leaves for perturbations of these nodes.
    fn seeds(&self, of: impl IntoIterator<Item = NodeId>) -> IndexMap<NodeId, NodeId> {
        let mut count = 0;
        let mut seed = |node: NodeId| {
            let ty = self.scope.with(|tape| tape.ty(node));
            let taken = |name: &str| self.scope.with(|tape| tape.leaf_named(name).is_some());
            let name = added_name(&format!("seed{count}"), "dot", taken);
            count += 1;
            let (_, expr) = self.scope.leaf(name, Role::Input, ty);
            Some((node, expr.id()?))
        };
        of.into_iter().filter_map(&mut seed).collect()
    }

    /// The cotangents of the seeds, by the nodes that are perturbed.
    fn pull(
        &self,
        linear: &Linearization,
        cotangents: &[(NodeId, NodeId)],
        seeds: &IndexMap<NodeId, NodeId>,
    ) -> Result<Slopes<'b>> {
        let cotangents = cotangents.iter();
        let active: Vec<(NodeId, NodeId)> = cotangents
            .filter_map(|(node, bar)| Some((*linear.tangents.get(node)?, *bar)))
            .collect();
        let leaves: Vec<NodeId> = seeds.values().copied().collect();
        let found = transpose(self.scope, linear, &active, &leaves)?.cotangents;
        let found = seeds
            .iter()
            .filter_map(|(node, leaf)| Some((*node, *found.get(leaf)?)));
        Ok(found
            .map(|(node, id)| (node, self.scope.expr(id)))
            .collect())
    }

    fn find_slopes(&mut self) -> Result<()> {
        let reads = self.states.iter().map(|state| state.read);
        let taken = self.sources.iter().filter_map(|source| match source.taken {
            Taken::By(node) => Some(node),
            Taken::AtStart => None,
        });
        let seeds = self.seeds(reads.chain(taken));
        let mut values: Vec<NodeId> = self.states.iter().map(|state| state.def).collect();
        values.extend(self.terms());
        let linear = linearize_within(self.scope, &seeds, &values, Within::Step)?;
        for value in values {
            if let Some(mixed) = self.mixed(&linear, &seeds, value) {
                return Err(self.refusal(value, mixed));
            }
            let ones = self.scope.expr(value).full_like(1.0).id();
            let ones: Vec<(NodeId, NodeId)> = ones.map(|one| (value, one)).into_iter().collect();
            let slopes = self.pull(&linear, &ones, &seeds)?;
            self.slopes.insert(value, slopes);
        }
        Ok(())
    }

    /// The node where entries of a value begin to depend on other entries of a perturbed node, or on other samples.
    fn mixed(
        &self,
        linear: &Linearization,
        seeds: &IndexMap<NodeId, NodeId>,
        value: NodeId,
    ) -> Option<NodeId> {
        let tangent = *linear.tangents.get(&value)?;
        let tape = self.scope.with(Tape::clone);
        let rank = tape.ty(value).shape.rank();
        let needed = tape.live([tangent]);
        let primal = |of: NodeId| {
            let found = linear
                .tangents
                .iter()
                .filter(|(_, tangent)| **tangent == of);
            found.map(|(primal, _)| *primal).min()
        };
        for seed in seeds.values() {
            // The leading axes along which a node has the entries of the seed apart.
            let mut apart: HashMap<NodeId, usize> = HashMap::new();
            apart.insert(*seed, tape.ty(*seed).shape.rank());
            for (id, node) in tape
                .nodes()
                .skip(seed.index())
                .filter(|(id, _)| needed[id.index()])
            {
                let shapes: Vec<Shape> = node.args().iter().map(|a| tape.ty(*a).shape).collect();
                let uses = node.args().iter().enumerate();
                let kept = uses.filter_map(|(i, arg)| {
                    let before = apart.get(arg)?;
                    let joins = matches!(node.op(), Op::Time(Time::Pool(_)));
                    let axes = aligned(node.op(), i, &shapes, node.ty().shape);
                    Some(if joins { None } else { Some(axes.min(*before)) })
                });
                let Some(kept) = kept.reduce(|a, b| Some(a?.min(b?))) else {
                    continue;
                };
                match kept {
                    Some(axes) if axes >= rank => {
                        apart.insert(id, axes);
                    }
                    // A tangent between two values of the definition has none of its own.
                    _ => return (id.index()..tape.len()).find_map(|i| primal(NodeId::new(i))),
                }
            }
        }
        None
    }

    fn refusal(&self, value: NodeId, mixed: NodeId) -> Error {
        let tape = &self.recurrence.tape;
        let state = self.states.iter().find(|state| state.def == value);
        let what = match state {
            Some(state) => format!("state `{}`", tape.register(state.register).name()),
            None => "the loss".into(),
        };
        let mixed = match mixed.index() < tape.len() {
            true => tape.definition(mixed),
            false => self.scope.with(|tape| tape.definition(mixed)),
        };
        Error::Definition {
            recurrence: self.recurrence.name.clone(),
            mistakes: vec![Mistake::anywhere(format!(
                "the gradient in one pass forwards: an entry of {what} depends on other entries, or on other samples, through \
                 `{mixed}`; take `gradient`, or `loss_tangent` with `directions` and `forward_gradient` for a few parameters"
            ))],
        }
    }

    /// Makes the traces and their recurrences.
    fn carry(&mut self) -> Result<()> {
        let mut pairs = Vec::new();
        let mut is_new = true;
        while is_new {
            is_new = false;
            for (m, state) in self.states.iter().enumerate() {
                for (u, source) in self.sources.iter().enumerate() {
                    let slopes = &self.slopes[&state.def];
                    let acts = match source.taken {
                        Taken::By(node) => slopes.contains_key(&node),
                        Taken::AtStart => state.init == Some(source.value),
                    };
                    let earlier = |(i, other): (usize, &State)| {
                        slopes.contains_key(&other.read) && pairs.contains(&(i, u))
                    };
                    let acts = acts || self.states.iter().enumerate().any(earlier);
                    if acts && !pairs.contains(&(m, u)) {
                        pairs.push((m, u));
                        is_new = true;
                    }
                }
            }
        }
        for (m, u) in &pairs {
            let (state, source) = (self.states[*m], self.sources[*u]);
            let name = self.recurrence.tape.register(state.register).name();
            let value = self.scope.expr(source.value);
            let ty = self.scope.with(|tape| tape.ty(source.value));
            let starts = source.taken == Taken::AtStart && state.init == Some(source.value);
            let one = starts.then(|| value.full_like(1.0).hold(ty.rate));
            let name = format!("{name}.trace{u}").into();
            let init = one.and_then(Expr::id);
            let (register, read) = self.scope.register(name, Direction::Forward, ty, init);
            self.traces.insert((*m, *u), (register, read));
        }
        for (m, u) in pairs {
            let def = self.along(self.states[m].def, u);
            let (register, read) = self.traces[&(m, u)];
            let def = def.unwrap_or_else(|| read.zeros_like());
            let init = self.scope.with(|tape| tape.register(register).init());
            if let Some(def) = def.hold(Rate::Step).id() {
                self.scope.set_register(register, init, def);
            }
        }
        Ok(())
    }

    /// The trace of a value of a step for a source: the sum of its slopes times the traces of the states that it reads.
    fn along(&self, value: NodeId, source: usize) -> Option<Expr<'b>> {
        let slopes = &self.slopes[&value];
        let Source { value, taken } = self.sources[source];
        let shape = self.scope.with(|tape| tape.ty(value).shape);
        let mut terms = Vec::new();
        for (m, state) in self.states.iter().enumerate() {
            if let (Some(slope), Some((_, trace))) =
                (slopes.get(&state.read), self.traces.get(&(m, source)))
            {
                terms.push(rows(*slope, shape).applied_to(*trace));
            }
        }
        if let Taken::By(node) = taken
            && let Some(slope) = slopes.get(&node)
        {
            let op = self.scope.with(|tape| tape.node(node).op().clone());
            terms.push(match op {
                Op::Time(Time::Impulse(_)) => {
                    let ones = self.scope.expr(value).full_like(1.0).hold(Rate::Sample);
                    Expr::apply_in(self.scope, op, &[ones]).applied_to(*slope)
                }
                _ => *slope,
            });
        }
        Expr::sum_all(terms)
    }

    /// The gradients of the targets.
    ///
    /// A cotangent of a value of the whole sequence reaches the targets directly, and through sums, whose terms have traces: these
    /// give cotangents of the sources, and so on, since a source can depend on other sums.
    fn gradient(&self, loss: NodeId, targets: &[Target]) -> Result<Vec<Target>> {
        let nodes = targets.iter().map(|(_, node)| *node);
        let seeds = self.seeds(nodes.chain(self.sums.iter().copied()));
        let mut values: Vec<NodeId> = self.sources.iter().map(|source| source.value).collect();
        values.push(loss);
        let linear = linearize_within(self.scope, &seeds, &values, Within::Step)?;
        let mut found: HashMap<NodeId, Vec<Expr<'b>>> = HashMap::new();
        let one = self.scope.expr(loss).full_like(1.0).id();
        let mut cotangents: Vec<(NodeId, NodeId)> =
            one.map(|one| (loss, one)).into_iter().collect();
        while !cotangents.is_empty() {
            let weights = self.pull(&linear, &cotangents, &seeds)?;
            for (_, node) in targets {
                let direct = weights.get(node).copied();
                found.entry(*node).or_default().extend(direct);
            }
            cotangents.clear();
            for (u, source) in self.sources.iter().enumerate() {
                let rate = self.scope.with(|tape| tape.ty(source.value).rate);
                let mut parts = Vec::new();
                for (sum, term) in self.sums.iter().zip(self.terms()) {
                    if let (Some(weight), Some(along)) = (weights.get(sum), self.along(term, u)) {
                        parts.push(self.summed(*sum, along.hold(Rate::Step), *weight, rate));
                    }
                }
                let bar = Expr::sum_all(parts).and_then(Expr::id);
                cotangents.extend(bar.map(|bar| (source.value, bar)));
            }
        }
        let cotangent = |(name, node): &Target| {
            let zeros = || self.scope.expr(*node).zeros_like();
            let parts = found.get(node).into_iter().flatten().copied();
            let rate = self.scope.with(|tape| tape.ty(*node).rate);
            let sum = Expr::sum_all(parts).unwrap_or_else(zeros);
            Some((Arc::clone(name), sum.hold(rate).id()?))
        };
        Ok(targets.iter().filter_map(cotangent).collect())
    }

    /// The sum over steps, as `sum` has it, of a trace, times the weight of the sum; at the rate of the source.
    fn summed(&self, sum: NodeId, along: Expr<'b>, weight: Expr<'b>, rate: Rate) -> Expr<'b> {
        let (op, own) = self
            .scope
            .with(|tape| (tape.node(sum).op().clone(), tape.ty(sum).rate));
        let summed = match op {
            Op::Time(Time::Total(_)) => along.total(own.max(rate)),
            op => Expr::apply_in(self.scope, op, &[along]),
        };
        let shape = summed.shape().unwrap_or(Shape::Scalar);
        rows(weight, shape).applied_to(summed).total(rate)
    }
}

/// A value with one entry for each leading index of a shape, repeated over its other axes.
fn rows(value: Expr<'_>, shape: Shape) -> Expr<'_> {
    match (value.shape(), shape) {
        (Some(Shape::Scalar), Shape::Vector(_) | Shape::Matrix(..)) => value.spread(shape),
        (Some(Shape::Vector(_)), Shape::Matrix(_, columns)) => value.repeat(Axis::Columns, columns),
        _ => value,
    }
}
