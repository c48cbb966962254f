//! The gradient of the loss of some steps of a window: truncated backpropagation through time.
//!
//! A window of steps starts from given states, which are constants, and the loss counts some of its steps only. Both are
//! rewrites of the graph, so that the gradient is an ordinary one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Draft, LOSS, Recurrence, State, Wrt};
use crate::error::{Error, Result};
use crate::op::{Edge, Expr, NodeId, Op, Pointwise, RegisterId, Time};
use crate::shape::{Rate, Type};
use crate::tape::{
    Edit, NodeSite, RegisterEdit, RegisterSite, Role, Scope, Tape, Unchanged, added_name,
};

/// The gradient of a window, and the names of what a window is given and gives beside the data.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// The gradient of the loss; its other outputs are those of `carried`.
    pub(crate) gradient: Recurrence,
    /// An input per step, 1 at the steps whose loss counts.
    pub(crate) counts: Arc<str>,
    /// An input per sample, 1 if its last step is in the window.
    pub(crate) ends: Arc<str>,
    /// An input per sample, 1 if its first step is in the window.
    pub(crate) begins: Arc<str>,
    pub(crate) carried: Vec<CarriedState>,
}

/// A value that is carried from step to step.
#[derive(Clone, Debug)]
pub(crate) struct CarriedState {
    /// An input per sample: the value before the window, unless it has the first step.
    pub(crate) start: Arc<str>,
    /// An output per step: the value after the step.
    pub(crate) value: Arc<str>,
}

impl Recurrence {
    /// The gradient of windows of this recurrence.
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient); [`Error::NotCausal`] if the loss needs values of other steps than those before;
    /// [`Error::NotDifferentiable`] for a variable that is not a parameter.
    pub(crate) fn window_gradient(&self, wrt: Wrt<'_>) -> Result<Window> {
        self.loss()?;
        for (name, node) in self.targets(wrt)? {
            if self.tape.ty(node).rate != Rate::Static {
                return Err(Error::NotDifferentiable {
                    name: name.to_string(),
                    reason: "a window has some of its steps only; truncated gradients are those of parameters".into(),
                });
            }
        }
        let base = self.only_loss()?;
        base.check_windows()?;
        let scope = Scope::default();
        for (dim, symbol) in base.tape.symbols() {
            scope.dim(dim, symbol.least());
        }
        let mut taken: HashSet<String> = base.taken().into_iter().map(Into::into).collect();
        let mut input = |of: &str, part: &str, ty: Type| {
            let name = added_name(of, part, |name| taken.contains(name));
            taken.insert(name.to_string());
            let (_, leaf) = scope.leaf(Arc::clone(&name), Role::Input, ty);
            (name, leaf)
        };
        let (counts, counts_leaf) = input("window", "counts", Type::real((), Rate::Step));
        let (ends, ends_leaf) = input("window", "ends", Type::real((), Rate::Sample));
        let (begins, begins_leaf) = input("window", "begins", Type::real((), Rate::Sample));
        let mut starts = HashMap::new();
        let mut names = Vec::new();
        for state in &base.states {
            let ty = Type {
                rate: Rate::Sample,
                ..base.tape.register(state.register).ty
            };
            let (name, leaf) = input(&state.name, "start", ty);
            starts.insert(state.register, leaf);
            names.push((Arc::clone(&state.name), name));
        }
        let mut edit = Windowed {
            source: &base.tape,
            reaches: base.reaches(),
            counts: counts_leaf,
            ends: ends_leaf,
            begins: begins_leaf,
            starts,
        };
        let draft = base.transplant(&scope, &mut edit);
        let windowed = draft.finish(scope, &self.name)?;
        let gradient = windowed.gradient(wrt)?;
        let (gradient, carried) = gradient.with_carried(&names)?;
        Ok(Window {
            gradient,
            counts,
            ends,
            begins,
            carried,
        })
    }

    /// A copy with the loss as its only output, in which each register is a state of its own name.
    pub(super) fn only_loss(&self) -> Result<Self> {
        let scope = Scope::default();
        let mut draft = self.transplant(&scope, &mut Unchanged);
        draft.outputs.retain(|name, _| &**name == LOSS);
        let mut base = draft.finish_pruned(scope, &self.name, |_| true)?;
        let known: HashSet<RegisterId> = base.states.iter().map(|s| s.register).collect();
        for (index, register) in base.tape.registers().iter().enumerate() {
            let id = RegisterId::new(index);
            if known.contains(&id) {
                continue;
            }
            let is_taken = |name: &str| base.states.iter().any(|s| *s.name == *name);
            base.states.push(State {
                name: added_name(&register.name, "carried", is_taken),
                register: id,
                end: None,
                inner: true,
            });
        }
        Ok(base)
    }

    /// Refuses a loss that a window cannot compute.
    fn check_windows(&self) -> Result<()> {
        let live = self.tape.live(self.outputs.values().copied());
        let is_first = |op: &Op| matches!(op, Op::Time(Time::Pick(pick)) if pick.0 == Edge::First);
        let mut nodes = self.tape.nodes().filter(|(id, _)| live[id.index()]);
        let first = nodes.find(|(_, node)| is_first(node.op()));
        let first = first.map(|(id, _)| {
            format!(
                "`{}` is known to the first window alone",
                self.tape.definition(id)
            )
        });
        let later = self.needs_later_steps(self.outputs.values().copied());
        match later.or(first) {
            None => Ok(()),
            Some(reason) => Err(Error::NotCausal {
                recurrence: self.name.clone(),
                how: "in windows of steps",
                reason,
            }),
        }
    }

    /// For each node, the steps that a value per sample depends on.
    fn reaches(&self) -> Vec<Reach> {
        let mut found = vec![Reach::Nothing; self.tape.len()];
        for (id, node) in self
            .tape
            .nodes()
            .filter(|(_, n)| n.ty().rate == Rate::Sample)
        {
            let of = node.args().iter().map(|arg| found[arg.index()]);
            let reach = match node.op() {
                Op::Time(Time::Pick(_)) => Reach::Last,
                Op::Time(Time::Total(_)) => Reach::Sums,
                op if is_sum(op) => of.max().unwrap_or_default(),
                _ if { of.clone() }.any(|reach| reach == Reach::Last) => Reach::Last,
                _ => of.max().unwrap_or_default(),
            };
            found[id.index()] = reach;
        }
        found
    }

    /// A copy with the values of registers as outputs per step.
    fn with_carried(&self, names: &[(Arc<str>, Arc<str>)]) -> Result<(Self, Vec<CarriedState>)> {
        let scope = Scope::new(self.tape.clone());
        let mut outputs = self.outputs.clone();
        let mut carried = Vec::new();
        for state in &self.states {
            let start = names.iter().find(|(name, _)| *name == state.name);
            let def = self.tape.register(state.register).def();
            let (Some((_, start)), Some(def)) = (start, def) else {
                continue;
            };
            if let Some(id) = scope.expr(def).hold(Rate::Step).id() {
                let name = added_name(&state.name, "carried", |n| outputs.contains_key(n));
                outputs.insert(Arc::clone(&name), id);
                carried.push(CarriedState {
                    start: Arc::clone(start),
                    value: name,
                });
            }
        }
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            roles: self.roles.clone(),
            initials: self.initials.clone(),
        };
        Ok((draft.finish(scope, &self.name)?, carried))
    }
}

/// The steps that a value per sample depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    #[default]
    Nothing,
    /// The last step, so that it counts in the window that has this step.
    Last,
    /// All steps, so that it is the value of those that count.
    Sums,
}

fn is_sum(op: &Op) -> bool {
    matches!(op, Op::Pointwise(Pointwise::Add | Pointwise::Sub))
}

struct Windowed<'a, 'b> {
    /// The original graph.
    source: &'a Tape,
    /// The steps that each of its values per sample depends on.
    reaches: Vec<Reach>,
    counts: Expr<'b>,
    ends: Expr<'b>,
    begins: Expr<'b>,
    starts: HashMap<RegisterId, Expr<'b>>,
}

impl<'b> Edit<'b> for Windowed<'_, 'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let Some(x) = site.args.first().copied() else {
            return site.copy();
        };
        let only = |condition: Expr<'b>, x: Expr<'b>| condition.select(x, x.zeros_like());
        match site.node.op() {
            Op::Time(Time::Total(_)) => {
                let of: NodeId = site.node.args()[0];
                let counted = match self.source.ty(of).rate {
                    Rate::Step => only(self.counts, x),
                    _ if self.reaches[of.index()] == Reach::Last => only(self.ends, x),
                    _ => return site.copy(),
                };
                counted.total(site.node.ty().rate)
            }
            Op::Time(Time::Impulse(_)) => only(self.begins, site.copy()),
            // Terms at the last step are told from sums over steps.
            op if is_sum(op) && self.reaches[site.id.index()] == Reach::Sums => {
                let [a, b] = [0, 1].map(|i| {
                    let of = site.node.args()[i];
                    match self.reaches[of.index()] {
                        Reach::Last => only(self.ends, site.args[i]),
                        _ => site.args[i],
                    }
                });
                match op {
                    Op::Pointwise(Pointwise::Sub) => a - b,
                    _ => a + b,
                }
            }
            _ => site.copy(),
        }
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let init = match self.starts.get(&site.id) {
            None => site.init,
            Some(start) => {
                let own = site.init.unwrap_or_else(|| start.zeros_like());
                Some(self.begins.select(own, *start))
            }
        };
        RegisterEdit {
            init,
            def: site.def,
        }
    }
}
