//! One step of a recurrence as a map from the state before it to the state after it.
//!
//! Every value that comes from other steps becomes an input. No step then depends on another one, so one run applies the
//! step, its tangent or its pullback at any number of steps of a known trajectory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Draft, Recurrence};
use crate::error::{Error, Mistake, Result};
use crate::op::{Expr, LeafId, NodeId, Op, RegisterId, Time};
use crate::shape::{Rate, Shape, Type};
use crate::tape::{Direction, Edit, Leaf, NodeSite, Role, Scope, Unchanged, added_name};

/// One step of a recurrence, and the run that gives its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    /// The recurrence with the arguments of each step as outputs, and the values of the parts after each step.
    pub(crate) trajectory: Recurrence,
    /// The step: its extra inputs are the arguments, its outputs the values of the parts after it.
    pub(crate) step: Recurrence,
    /// The parts of the state that is carried from step to step.
    pub(crate) parts: Vec<CarriedPart>,
    /// All arguments of a step, the parts before it among them: outputs of the trajectory and leaves of the step.
    pub(crate) arguments: Vec<Arc<str>>,
}

/// A value that is carried from step to step.
#[derive(Clone, Debug)]
pub(crate) struct CarriedPart {
    /// The name of the state, or the expression of a delayed value.
    pub(crate) name: Arc<str>,
    /// The input of the step: the value before it.
    pub(crate) before: Arc<str>,
    /// The output of the step: the value after it.
    pub(crate) after: Arc<str>,
    pub(crate) shape: Shape,
}

impl Recurrence {
    /// The step through some states, or through all. Other states are given, as the inputs are.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a state that does not exist, [`Error::NotCausal`] if a step needs states of later steps
    /// or a state runs backwards, [`Error::Definition`] if no state is carried or a step mixes samples.
    pub(crate) fn transition(&self, through: Option<&[&str]>) -> Result<Transition> {
        let carried = self.carried(through)?;
        let tape = &self.tape;
        let register = |r: &RegisterId| tape.register(*r);
        let ends: Vec<NodeId> = carried.iter().filter_map(|r| register(r).def()).collect();
        let live = self.live_in_step(&ends);
        let varies = self.varying(&carried);
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            if let Some(reason) = self.needs_later_state(id, &varies) {
                return Err(self.not_causal(reason));
            }
            let pools = matches!(node.op(), Op::Time(Time::Pool(_)));
            if pools && varies[id.index()] {
                return Err(self.no_flow(format!(
                    "`{}` mixes the states of the samples, so no sample has a Jacobian of its own; measure a recurrence without \
                     `total_samples`",
                    tape.definition(id)
                )));
            }
        }

        let mut taken: HashSet<String> = self.taken().into_iter().map(Into::into).collect();
        taken.extend(self.outputs().map(Into::into));
        let mut fresh = |of: &str, part: &str| -> Arc<str> {
            let name = added_name(of, part, |name| taken.contains(name));
            taken.insert(name.to_string());
            name
        };
        let mut parts = Vec::new();
        let (mut given, mut outputs) = (IndexMap::new(), IndexMap::new());
        for id in &carried {
            let (register, read) = (register(id), tape.read_of(*id));
            let (Some(def), Some(read)) = (register.def(), read) else {
                continue;
            };
            let (before, after) = (
                fresh(register.name(), "before"),
                fresh(register.name(), "after"),
            );
            given.insert(read, Arc::clone(&before));
            outputs.insert(Arc::clone(&after), def);
            parts.push(CarriedPart {
                name: register.name().into(),
                before,
                after,
                shape: register.ty.shape,
            });
        }
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            if comes_from_other_steps(node.op()) && !given.contains_key(&id) {
                given.insert(id, fresh("given", "value"));
            }
        }
        let step = self.step_with(&given, &outputs, &parts)?;
        let used = |name: &Arc<str>| step.tape.leaf_named(name).is_some();
        let arguments: IndexMap<NodeId, Arc<str>> =
            given.into_iter().filter(|(_, name)| used(name)).collect();
        let mut trajectory = self.clone();
        trajectory.roles.clear();
        trajectory.outputs = arguments
            .iter()
            .map(|(id, n)| (Arc::clone(n), *id))
            .collect();
        trajectory.outputs.extend(outputs);
        let scope = Scope::default();
        let trajectory = trajectory
            .transplant(&scope, &mut Unchanged)
            .finish_pruned(scope, &self.name, |_| true)?;
        Ok(Transition {
            trajectory,
            step,
            parts,
            arguments: arguments.into_values().collect(),
        })
    }

    /// A copy with these outputs, in which these nodes are leaves of these names.
    fn step_with(
        &self,
        given: &IndexMap<NodeId, Arc<str>>,
        outputs: &IndexMap<Arc<str>, NodeId>,
        parts: &[CarriedPart],
    ) -> Result<Self> {
        let mut source = self.clone();
        source.roles.clear();
        source.outputs = outputs.clone();
        source.states.clear();
        let scope = Scope::default();
        let mut cut = Given {
            scope: &scope,
            given: given.iter().map(|(id, name)| (*id, name)).collect(),
        };
        let mut draft: Draft = source.transplant(&scope, &mut cut);
        for id in draft.outputs.values_mut() {
            // A state that is set to an input, or never changes, still has a value at each step.
            *id = scope.expr(*id).hold(Rate::Step).id().unwrap_or(*id);
        }
        for part in parts {
            // A state that no step reads.
            if scope.with(|tape| tape.leaf_named(&part.before).is_none()) {
                let ty = Type::real(part.shape, Rate::Step);
                scope.leaf(Arc::clone(&part.before), Role::Input, ty);
            }
        }
        // Arrays that a derivative added are data of the step.
        let leaves = scope.with(|tape| tape.leaves().len());
        (0..leaves).for_each(|leaf| scope.set_derived(LeafId::new(leaf), None));
        let is_before = |leaf: &Leaf| parts.iter().any(|part| part.before == leaf.name);
        draft.finish_pruned(scope, &format!("step of {}", self.name), is_before)
    }

    /// Marks the nodes of a step that these nodes depend on.
    fn live_in_step(&self, roots: &[NodeId]) -> Vec<bool> {
        let mut live = vec![false; self.tape.len()];
        let mut open = roots.to_vec();
        while let Some(id) = open.pop() {
            let node = self.tape.node(id);
            if !std::mem::replace(&mut live[id.index()], true) && !comes_from_other_steps(node.op())
            {
                open.extend(node.args());
            }
        }
        live
    }

    /// The registers that carry the state.
    fn carried(&self, through: Option<&[&str]>) -> Result<Vec<RegisterId>> {
        let tape = &self.tape;
        let named = || self.states.iter().filter(|s| !s.inner);
        let mut carried: Vec<RegisterId> = Vec::new();
        match through {
            None => carried.extend(named().map(|s| s.register)),
            Some(names) => {
                for name in names {
                    let state = named().find(|s| *s.name == **name);
                    let state = state.ok_or_else(|| Error::UnknownName {
                        what: "state",
                        name: (*name).into(),
                        known: self.states().map(Into::into).collect(),
                    })?;
                    if !carried.contains(&state.register) {
                        carried.push(state.register);
                    }
                }
            }
        }
        for id in &carried {
            let register = tape.register(*id);
            if register.direction() == Direction::Backward {
                return Err(self.not_causal(format!(
                    "the state `{}` runs from the last step to the first; write the recurrence of one direction, and reverse \
                     the inputs for the other",
                    register.name()
                )));
            }
        }
        let states: HashSet<RegisterId> = named().map(|s| s.register).collect();
        let others = (0..tape.registers().len())
            .map(RegisterId::new)
            .filter(|r| !states.contains(r) && tape.register(*r).direction() == Direction::Forward);
        let others: Vec<RegisterId> = others.collect();
        if states.is_empty() {
            let loops = others.iter().filter(|r| self.is_driven_loop(**r));
            carried.extend(loops.copied());
        }
        // A delayed value of the state is a part of it.
        loop {
            let varies = self.varying(&carried);
            let is_part = |r: &&RegisterId| {
                let def = tape.register(**r).def();
                !carried.contains(r) && def.is_some_and(|def| varies[def.index()])
            };
            let more: Vec<RegisterId> = others.iter().filter(is_part).copied().collect();
            if more.is_empty() {
                break;
            }
            carried.extend(more);
        }
        match carried.is_empty() {
            false => Ok(carried),
            true => Err(self.no_flow(
                "no state is carried from step to step; declare one, such as `state h[H]`".into(),
            )),
        }
    }

    /// True for a register whose next value depends on itself and on data; a counter of steps depends on no data.
    fn is_driven_loop(&self, id: RegisterId) -> bool {
        let tape = &self.tape;
        let Some(def) = tape.register(id).def() else {
            return false;
        };
        let live = tape.live([def]);
        let driven = tape.leaves().iter().any(|leaf| live[leaf.node.index()]);
        driven && self.varying(&[id])[def.index()]
    }

    /// For each node, true if it varies with the values before the step that these registers carry.
    fn varying(&self, carried: &[RegisterId]) -> Vec<bool> {
        let tape = &self.tape;
        let mut varies = vec![false; tape.len()];
        for (id, node) in tape.nodes() {
            let mut args = node.args().iter().enumerate();
            varies[id.index()] = match node.op() {
                Op::Read(register) => carried.contains(register),
                op => args.any(|(i, arg)| varies[arg.index()] && !op.is_constant_in(i)),
            };
        }
        varies
    }

    /// The reason why the state after a step depends on states of later steps through this node, if it does.
    fn needs_later_state(&self, id: NodeId, varies: &[bool]) -> Option<String> {
        let tape = &self.tape;
        match tape.node(id).op() {
            Op::Read(register) => {
                let register = tape.register(*register);
                let depends = register
                    .def()
                    .is_some_and(|def| self.reaches_state(def, varies));
                let back = register.direction() == Direction::Backward;
                (back && depends).then(|| match self.states().any(|name| name == register.name()) {
                    true => format!(
                        "the state `{}` runs from the last step to the first",
                        register.name()
                    ),
                    false => format!("`{}` reads the state of the next step", tape.expression(id)),
                })
            }
            Op::Time(Time::Total(_) | Time::Pick(_)) => self.reaches_state(id, varies).then(|| {
                format!(
                    "`{}`, a value of the whole sequence, is used at each step",
                    tape.definition(id)
                )
            }),
            _ => None,
        }
    }

    /// True if the value depends on the state at some step.
    fn reaches_state(&self, id: NodeId, varies: &[bool]) -> bool {
        let live = self.tape.live([id]);
        live.iter()
            .zip(varies)
            .any(|(live, varies)| *live && *varies)
    }

    fn not_causal(&self, reason: String) -> Error {
        Error::NotCausal {
            recurrence: self.name.clone(),
            how: "as a map from one state to the next",
            reason,
        }
    }

    fn no_flow(&self, message: String) -> Error {
        Error::Definition {
            recurrence: self.name.clone(),
            mistakes: vec![Mistake::anywhere(message)],
        }
    }
}

const fn comes_from_other_steps(op: &Op) -> bool {
    matches!(
        op,
        Op::Read(_) | Op::Time(Time::Total(_) | Time::Pick(_) | Time::Impulse(_) | Time::Pool(_))
    )
}

/// Replaces nodes by leaves.
struct Given<'a, 'b> {
    scope: &'b Scope,
    given: HashMap<NodeId, &'a Arc<str>>,
}

impl<'b> Edit<'b> for Given<'_, 'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let Some(name) = self.given.get(&site.id) else {
            return site.copy();
        };
        let role = match site.node.ty().rate {
            Rate::Static => Role::Parameter,
            _ => Role::Input,
        };
        self.scope.leaf(Arc::clone(name), role, site.node.ty()).1
    }
}
