//! A recurrence: a timed graph with named leaves, states and outputs.

mod batches;
mod bind;
mod build;
mod causal;
pub mod cells;
mod collections;
mod cut;
mod data;
mod differentiate;
mod estimate;
mod final_states;
mod gates;
mod given;
mod held;
mod influence;
mod initial;
mod listing;
mod losses;
mod mask;
#[cfg_attr(
    not(feature = "derive"),
    allow(dead_code, reason = "derivations use most of it")
)]
mod observe;
mod observed;
mod online;
mod origin;
mod outer_factors;
mod outputs;
mod per_sample;
mod phases;
mod place;
mod resets;
mod reversed;
mod roles;
mod rounding;
mod shifts;
mod start_inputs;
mod tape_gradient;
mod terms;
mod transition;
mod unroll;
mod windows;
mod without_inputs;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

pub(crate) use bind::is_class;
pub use build::Definition;
pub(crate) use cut::{Cut, ParameterCopy};
pub(crate) use data::check_room;
pub use data::{Batch, Params};
pub use differentiate::Wrt;
pub(crate) use gates::{Observed, ObservedGate};
pub(crate) use given::{Given, View};
pub(crate) use held::Held;
pub(crate) use influence::Influence;
pub use initial::{Initial, Spread};
#[cfg(feature = "derive")]
pub(crate) use observe::AdjointGraph;
pub(crate) use origin::{Memory, Origin};
pub(crate) use outer_factors::{OuterFactors, Part, Side};
pub use outputs::Outputs;
pub(crate) use phases::{Phases, Turn};
pub(crate) use roles::Roles;
pub(crate) use terms::Terms;
pub(crate) use transition::Transition;
pub use unroll::Unrolled;
pub(crate) use windows::Window;

use crate::error::{Error, Mistake, Result};
use crate::op::{NodeId, RegisterId, Scalar};
use crate::tape::{Edit, Leaf, Role, Scope, Tape, Transplant, Unchanged};

/// The name of the loss among the outputs.
pub(crate) const LOSS: &str = "loss";

/// A state: a register named by the user.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) name: Arc<str>,
    pub(crate) register: RegisterId,
    /// The final value in each sequence, if it differs from the value carried at the end of the row.
    pub(crate) end: Option<NodeId>,
    /// True for a register that is written as a state in the text only, since the language has no other
    /// notation for it.
    pub(crate) inner: bool,
}

/// A recurrence `s_t = f(s_{t-1}, x_t, θ)` with outputs and, usually, a loss.
///
/// It is defined by this loop:
///
/// ```text
/// for t in 1..=T:  compute every node at t, reading forward registers at t-1
///                  and backward registers at t+1
/// ```
///
/// Every derivative of a recurrence is again a recurrence, with the same parameters and inputs.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt};
/// use ndarray::array;
///
/// // h_t = tanh(w h_{t-1} + x_t), L = Σ ½ (h_t − y_t)²
/// let rnn = Recurrence::define("scalar rnn", |r| {
///     let (w, x, y) = (r.param("w", ()), r.input("x", ()), r.input("y", ()));
///     let h = r.state("h", ());
///     let h = r.next(h, (w * h + x).tanh());
///     r.loss(h.squared_error(y));
/// })?;
/// let params = Params::new().with("w", ndarray::arr0(0.5));
/// let batch = Batch::new(3, 1)
///     .with("x", array![[1.0], [0.0], [-1.0]])
///     .with("y", array![[0.5], [0.5], [0.5]]);
/// let found = rnn.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
/// let h1 = 1f64.tanh();
/// let h2 = (0.5 * h1).tanh();
/// let h3 = (0.5 * h2 - 1.0).tanh();
/// let loss = [h1, h2, h3].iter().map(|h| 0.5 * (h - 0.5).powi(2)).sum::<f64>();
/// assert!((found.loss()? - loss).abs() < 1e-15);
/// assert_eq!(found["w"].ndim(), 0);
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recurrence {
    name: String,
    tape: Tape,
    states: Vec<State>,
    outputs: IndexMap<Arc<str>, NodeId>,
    /// The roles of the outputs that a derivative added, by name.
    roles: Roles,
    initials: IndexMap<Arc<str>, Initial>,
}

/// All fields of a recurrence except its name, for code that must handle each of them.
pub(crate) struct Contents<'r> {
    pub(crate) tape: &'r Tape,
    pub(crate) states: &'r [State],
    pub(crate) outputs: &'r IndexMap<Arc<str>, NodeId>,
    pub(crate) roles: &'r Roles,
    pub(crate) initials: &'r IndexMap<Arc<str>, Initial>,
}

impl Recurrence {
    pub(crate) fn contents(&self) -> Contents<'_> {
        // Without `..`, so that a new field is a compile error here. The name is that of the file.
        let Self {
            name: _,
            tape,
            states,
            outputs,
            roles,
            initials,
        } = self;
        Contents {
            tape,
            states,
            outputs,
            roles,
            initials,
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph of one step.
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The names of the parameters, in order of declaration.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.leaves(Role::Parameter).map(Leaf::name)
    }

    /// The names of the inputs, in order of declaration.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.leaves(Role::Input).map(Leaf::name)
    }

    /// The names of the states, in order of declaration.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.states.iter().filter(|s| !s.inner).map(|s| &*s.name)
    }

    /// The registers of the states, in order of declaration, including `inner` ones.
    pub(crate) fn state_registers(&self) -> impl Iterator<Item = RegisterId> {
        self.states.iter().map(|s| s.register)
    }

    /// The final values of the states that have one of their own.
    pub(crate) fn state_ends(&self) -> impl Iterator<Item = NodeId> {
        self.states.iter().filter_map(|s| s.end)
    }

    /// The names of the outputs; the loss is called `loss`.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.keys().map(|s| &**s)
    }

    pub(crate) fn output_nodes(&self) -> impl Iterator<Item = (&Arc<str>, NodeId)> {
        self.outputs.iter().map(|(name, id)| (name, *id))
    }

    fn leaves(&self, role: Role) -> impl Iterator<Item = &Leaf> {
        self.tape.leaves().iter().filter(move |l| l.role == role)
    }

    /// The index of an output.
    pub(crate) fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.get_index_of(name)
    }

    /// The role of the leaf of this name.
    pub(crate) fn role_of(&self, name: &str) -> Option<Role> {
        self.tape.leaf_named(name).map(Leaf::role)
    }

    /// The type of an output: its shape, and whether there is one for each step or sample.
    #[must_use]
    pub fn output_type(&self, name: &str) -> Option<crate::shape::Type> {
        self.output_node(name).map(|node| self.tape.ty(node))
    }

    /// The node of an output, if there is one of this name.
    #[doc(hidden)]
    #[must_use]
    pub fn output_node(&self, name: &str) -> Option<NodeId> {
        self.outputs.get(name).copied()
    }

    pub(crate) fn output(&self, name: &str) -> Result<NodeId> {
        self.output_node(name).ok_or_else(|| Error::UnknownName {
            what: "output",
            name: name.into(),
            known: self.outputs().map(Into::into).collect(),
        })
    }

    pub(crate) fn loss(&self) -> Result<NodeId> {
        self.output(LOSS).map_err(|_| Error::NoLoss {
            recurrence: self.name.clone(),
        })
    }

    /// Runs the recurrence on the tape evaluator: all nodes at all steps.
    ///
    /// # Errors
    /// When data and recurrence do not fit, or a value that is not finite reaches an output; the
    /// error then names the operation, step, sample and entry in which it began.
    /// [`Error::OutOfMemory`] when the nodes of all steps need more memory than
    /// [`memory_limit`](crate::memory_limit) allows: [`compile`](Self::compile) needs far less.
    pub fn evaluate<F: Scalar>(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Outputs<F>> {
        self.unroll_for(params, batch)?.evaluate(params, batch)
    }

    /// Unrolls the recurrence for the lengths and sizes of some data.
    ///
    /// # Errors
    /// When data and recurrence do not fit; [`Error::OutOfMemory`] as for
    /// [`evaluate`](Self::evaluate).
    pub fn unroll_for<F: Scalar>(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Unrolled> {
        let bound = self.bind(params, batch)?;
        self.unroll(bound.sizes(), batch.steps(), &bound.lengths())
    }

    /// A copy with an edited graph.
    ///
    /// Tests use this to make wrong gradients; it can also express a rewrite such as a mask.
    ///
    /// # Errors
    /// [`Error::Definition`] when the changed graph is not a recurrence.
    #[doc(hidden)]
    pub fn edit(&self, edit: &mut dyn for<'b> Edit<'b>) -> Result<Self> {
        let scope = Scope::default();
        self.transplant(&scope, edit).finish(scope, &self.name)
    }

    /// A copy with the loss as its only output, and without the scalar parameters that it does not depend on.
    pub(crate) fn loss_alone(&self) -> Result<Self> {
        let scope = Scope::default();
        let mut draft = self.transplant(&scope, &mut Unchanged);
        draft.outputs.retain(|name, _| &**name == LOSS);
        draft.finish_pruned(scope, &self.name, |leaf| !leaf.is_scalar_parameter())
    }

    /// Copies the graph into a scope, with every leaf, state, output and named value.
    fn transplant<'b, E: Edit<'b> + ?Sized>(&self, scope: &'b Scope, edit: &mut E) -> Draft {
        let mut roots: Vec<NodeId> = self.outputs.values().copied().collect();
        let states = self.states.iter().filter(|s| !s.inner);
        roots.extend(states.filter_map(|s| self.tape.register(s.register).def()));
        roots.extend(self.states.iter().filter_map(|s| s.end));
        roots.extend(self.tape.names().map(|(_, id)| id));
        let copy = Transplant::new(&self.tape, scope, &roots, |_| true, edit);
        let outputs = self.outputs.iter();
        let states = self.states.iter();
        Draft {
            outputs: outputs
                .filter_map(|(n, id)| Some((Arc::clone(n), copy.get(*id)?)))
                .collect(),
            states: states
                .filter_map(|s| {
                    let register = copy.register(s.register)?;
                    Some(State {
                        name: Arc::clone(&s.name),
                        register,
                        end: s.end.and_then(|id| copy.get(id)),
                        inner: s.inner,
                    })
                })
                .collect(),
            roles: self.roles.clone(),
            initials: self.initials.clone(),
        }
    }
}

/// The graph of a recurrence under construction: all fields but the name and the tape.
#[derive(Debug, Default)]
struct Draft {
    states: Vec<State>,
    outputs: IndexMap<Arc<str>, NodeId>,
    roles: Roles,
    initials: IndexMap<Arc<str>, Initial>,
}

impl Draft {
    /// Checks the graph; all errors are reported together.
    fn finish(self, scope: Scope, name: &str) -> Result<Recurrence> {
        let (tape, mut mistakes) = scope.finish();
        if mistakes.is_empty() {
            mistakes.extend(tape.verify().into_iter().map(Mistake::anywhere));
        }
        if !mistakes.is_empty() {
            return Err(Error::Definition {
                recurrence: name.into(),
                mistakes,
            });
        }
        Ok(Recurrence {
            name: name.into(),
            tape,
            states: self.states,
            outputs: self.outputs,
            roles: self.roles,
            initials: self.initials,
        })
    }

    /// As `finish`, but keeps only nodes needed by the outputs, and the leaves for which `keep` returns true.
    fn finish_pruned(
        self,
        scope: Scope,
        name: &str,
        keep: impl Fn(&Leaf) -> bool,
    ) -> Result<Recurrence> {
        let whole = self.finish(scope, name)?;
        let scope = Scope::default();
        let mut roots: Vec<NodeId> = whole.outputs.values().copied().collect();
        let live = whole.tape.live(roots.iter().copied());
        let nodes = whole.tape.nodes().filter(|(id, _)| live[id.index()]);
        let reads = nodes.filter_map(|(id, _)| whole.tape.register_read_by(id));
        let kept: HashSet<RegisterId> = reads.collect();
        let states = whole.states.iter().filter(|s| kept.contains(&s.register));
        roots.extend(states.filter_map(|s| s.end));
        let copy = Transplant::new(&whole.tape, &scope, &roots, keep, &mut Unchanged);
        let outputs = whole.outputs.iter();
        let draft = Self {
            outputs: outputs
                .filter_map(|(n, id)| Some((Arc::clone(n), copy.get(*id)?)))
                .collect(),
            states: whole
                .states
                .into_iter()
                .filter_map(|s| {
                    Some(State {
                        register: copy.register(s.register)?,
                        end: s.end.and_then(|id| copy.get(id)),
                        ..s
                    })
                })
                .collect(),
            roles: whole.roles,
            initials: whole.initials,
        };
        draft.finish(scope, name)
    }
}

impl fmt::Display for Recurrence {
    /// The definition as equations, one line per leaf, named value, state and output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tape.dim_names();
        writeln!(f, "recurrence {}", self.name)?;
        for leaf in self.tape.leaves() {
            let role = match leaf.role {
                Role::Parameter => "param",
                Role::Input => "input",
            };
            writeln!(f, "  {role:<6} {} : {}", leaf.name, leaf.ty.text(&names))?;
        }
        for state in &self.states {
            let register = self.tape.register(state.register);
            let init = register
                .init
                .map_or("0".into(), |i| self.tape.expression(i));
            let direction = register.direction.text();
            let ty = register.ty.text(&names);
            writeln!(
                f,
                "  state  {} : {ty}, {direction}, starts at {init}",
                state.name
            )?;
        }
        let states: HashSet<&str> = self.states().collect();
        for (name, id) in self.tape.names() {
            let node = self.tape.node(id);
            if node.args.is_empty() {
                continue;
            }
            let prime = if states.contains(&**name) { "'" } else { "" };
            writeln!(f, "  {name}{prime} = {}", self.tape.definition(id))?;
        }
        for (name, id) in &self.outputs {
            match self.tape.expression(*id) {
                text if text == **name => writeln!(f, "  output {name}")?,
                text => writeln!(f, "  output {name} = {text}")?,
            }
        }
        Ok(())
    }
}
