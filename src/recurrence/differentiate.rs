//! Derivatives of recurrences, as recurrences.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Draft, LOSS, Recurrence, Roles};
use crate::diff::{linearize, transpose};
use crate::error::{Error, Result};
use crate::op::{Expr, NodeId};
use crate::shape::{Rate, Type};
use crate::tape::{Derived, Leaf, Role, Scope, added_name};

/// The variables of a derivative.
///
/// Names are those of parameters, real inputs (initial states given as inputs among them), states
/// and named values. The derivative with respect to a state or named value `v` is the derivative
/// with respect to `ε_t` when every `v_t` is replaced by `v_t + ε_t`: the δ of backpropagation
/// through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrt<'a> {
    /// Every parameter.
    Parameters,
    /// Every parameter and every real input except conditions, which are only compared or used as the condition
    /// of a `select`, such as resets and masks. Their derivative is zero wherever it exists;
    /// [`Names`](Self::Names) includes them if named.
    Everything,
    /// The given names; repetitions are ignored.
    Names(&'a [&'a str]),
}

impl<'a> From<&'a [&'a str]> for Wrt<'a> {
    fn from(names: &'a [&'a str]) -> Self {
        Self::Names(names)
    }
}

impl<'a, const N: usize> From<&'a [&'a str; N]> for Wrt<'a> {
    fn from(names: &'a [&'a str; N]) -> Self {
        Self::Names(names)
    }
}

/// A name and its node.
pub(super) type Target = (Arc<str>, NodeId);

impl Recurrence {
    /// The nodes selected by `wrt`.
    pub(super) fn targets(&self, wrt: Wrt<'_>) -> Result<Vec<Target>> {
        let target = |l: &Leaf| (Arc::clone(&l.name), l.node);
        match wrt {
            Wrt::Parameters => {
                let parameters = self.leaves(Role::Parameter).filter(|l| l.ty.is_real());
                Ok(parameters.map(target).collect())
            }
            Wrt::Everything => Ok(self.real_leaves().map(target).collect()),
            Wrt::Names(names) => {
                let (mut targets, mut known) = (Vec::new(), HashSet::new());
                for name in names {
                    let target = self.target(name)?;
                    if known.insert(name) {
                        targets.push(target);
                    }
                }
                Ok(targets)
            }
        }
    }

    fn target(&self, name: &str) -> Result<Target> {
        let leaf = self.tape.leaf_named(name);
        let Some(node) = leaf.map(|l| l.node).or_else(|| self.tape.named(name)) else {
            let mut known: Vec<String> = self.tape.names().map(|(n, _)| n.to_string()).collect();
            let leaves = self.tape.leaves().iter().map(|l| l.name.to_string());
            known.extend(leaves.filter(|l| self.tape.named(l).is_none()));
            return Err(Error::UnknownName {
                what: "parameter, input, state or value",
                name: name.into(),
                known,
            });
        };
        let classes = leaf.is_some_and(|leaf| leaf.classes.is_some());
        if classes || !self.tape.ty(node).is_real() {
            return Err(Error::NotDifferentiable {
                name: name.into(),
                reason: "it is a class, not a real number".into(),
            });
        }
        Ok((name.into(), node))
    }

    /// Creates a perturbation leaf for each target.
    pub(super) fn seeds(&self, scope: &Scope, targets: &[Target]) -> IndexMap<NodeId, NodeId> {
        self.seeds_at(Rate::Static, scope, targets)
    }

    /// Creates a perturbation leaf for each target, at its rate or at `least`, the faster one.
    fn seeds_at(&self, least: Rate, scope: &Scope, targets: &[Target]) -> IndexMap<NodeId, NodeId> {
        let taken = self.taken();
        let seed = |(name, node): &Target| {
            let role = Derived::Tangent(Arc::clone(name));
            let ty = self.tape.ty(*node);
            let leaf = derived_leaf(scope, role, ty.at(ty.rate.max(least)), &taken);
            Some((*node, leaf.id()?))
        };
        targets.iter().filter_map(seed).collect()
    }

    /// The gradient of the loss: a recurrence with the output `loss` and one output for each variable of `wrt`,
    /// under its name and in its shape.
    ///
    /// A derivative with respect to a parameter is summed over steps and samples; a derivative with respect to
    /// a per-step input has one value per sample and step.
    ///
    /// ```
    /// use bptt::{Recurrence, Wrt};
    /// let r = Recurrence::define("decay", |r| {
    ///     let (a, x0) = (r.param("a", ()), r.sample_input("x0", ()));
    ///     let x = r.state_from("x", x0);
    ///     r.final_loss(r.next(x, a * x));
    /// })?;
    /// let gradient = r.gradient(&["a", "x0", "x"])?;
    /// assert_eq!(gradient.outputs().collect::<Vec<_>>(), ["loss", "a", "x0", "x"]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no loss, a name is unknown or not differentiable, or a custom op breaks its
    /// contract.
    pub fn gradient<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let loss = self.loss()?;
        let targets = self.targets(wrt.into())?;
        let scope = Scope::new(self.tape.clone());
        let one = scope.expr(loss).full_like(1.0);
        let cotangents = [(loss, one)];
        let found = self.pull(&scope, &cotangents, &targets)?;
        let roles = cotangent_roles(&found);
        let mut outputs = IndexMap::from([(LOSS.into(), loss)]);
        outputs.extend(found);
        self.derivative(scope, outputs, roles, &[], "gradient")
    }

    /// The pullback `ȳ ↦ Jᵀ ȳ` of some outputs: a recurrence with an extra input `y.bar` for each output `y` (a
    /// parameter if the output is static) and one output for each variable of `wrt`. If `y.bar` is taken, the
    /// name is `y.bar2`, and so on; [`leaf_for`](Self::leaf_for) returns it.
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient); also when an output is unknown.
    pub fn pullback<'a>(&self, outputs: &[&str], wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let targets = self.targets(wrt.into())?;
        let scope = Scope::new(self.tape.clone());
        let mut cotangents = Vec::new();
        let taken = self.taken();
        for name in outputs {
            let node = self.output(name)?;
            let role = Derived::Cotangent((*name).into());
            let y_bar = derived_leaf(&scope, role, self.tape.ty(node), &taken);
            cotangents.push((node, y_bar));
        }
        let found = self.pull(&scope, &cotangents, &targets)?;
        let roles = cotangent_roles(&found);
        let asked: Vec<NodeId> = cotangents.iter().filter_map(|(_, e)| e.id()).collect();
        let outputs = found.into_iter().collect();
        self.derivative(scope, outputs, roles, &asked, "pullback")
    }

    /// Linearises, then transposes.
    fn pull<'b>(
        &self,
        scope: &'b Scope,
        cotangents: &[(NodeId, Expr<'b>)],
        targets: &[Target],
    ) -> Result<Vec<Target>> {
        self.pull_at(Rate::Static, scope, cotangents, targets)
    }

    /// The same, with cotangents at the rates of the targets or at `least`, the faster one. At [`Rate::Sample`]
    /// the cotangent of a parameter is not summed over the samples: each has a perturbation of its own.
    pub(super) fn pull_at<'b>(
        &self,
        least: Rate,
        scope: &'b Scope,
        cotangents: &[(NodeId, Expr<'b>)],
        targets: &[Target],
    ) -> Result<Vec<Target>> {
        let seeds = self.seeds_at(least, scope, targets);
        let outputs: Vec<NodeId> = cotangents.iter().map(|(node, _)| *node).collect();
        let linear = linearize(scope, &seeds, &outputs)?;
        let active: Vec<(NodeId, NodeId)> = cotangents
            .iter()
            .filter_map(|(node, y_bar)| Some((*linear.tangents.get(node)?, y_bar.id()?)))
            .collect();
        let seed_leaves: Vec<NodeId> = seeds.values().copied().collect();
        let found = transpose(scope, &linear, &active, &seed_leaves)?.cotangents;
        let cotangent = |node: &NodeId| {
            let known = seeds.get(node).and_then(|seed| found.get(seed)).copied();
            let zeros = || scope.expr(*node).zeros_like();
            let rate = self.tape.ty(*node).rate.max(least);
            let found = known.map_or_else(zeros, |id| scope.expr(id));
            match rate {
                Rate::Static => found.id(),
                rate => found.hold(rate).id(),
            }
        };
        Ok(targets
            .iter()
            .filter_map(|(name, node)| Some((Arc::clone(name), cotangent(node)?)))
            .collect())
    }

    /// Forward mode, `v ↦ J v`: a recurrence with an extra leaf `p.dot`, the direction, for each name `p` in
    /// `wrt`, and an extra output `y.dot`, the derivative in that direction, for each output `y`. If such a
    /// name is taken, a number follows, as in `p.dot2` for a second direction; [`leaf_for`](Self::leaf_for) and
    /// [`output_for`](Self::output_for) return the names.
    ///
    /// The direction of a parameter (or of another static value) belongs in [`Params`](super::Params), that of
    /// an input, state or named value in the [`Batch`](super::Batch).
    ///
    /// # Errors
    /// When a name is unknown or not differentiable.
    pub fn tangent<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        self.tangent_of(wrt.into(), &|_| true)
    }

    /// The tangent of the loss alone: as [`tangent`](Self::tangent), with the outputs `loss` and `loss.dot` only.
    /// A run of it keeps no value per step, so its memory does not grow with the number of steps if all states run
    /// forwards; [`Program::forward_gradient`](crate::Program::forward_gradient) makes the gradient of it.
    ///
    /// # Errors
    /// As for [`tangent`](Self::tangent); [`Error::NoLoss`] when there is no loss.
    pub fn loss_tangent<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        self.loss()?;
        self.tangent_of(wrt.into(), &|output| output == LOSS)
    }

    /// The tangent of some outputs.
    fn tangent_of(&self, wrt: Wrt<'_>, is_kept: &dyn Fn(&str) -> bool) -> Result<Self> {
        let Pushed {
            scope,
            seeds,
            tangents,
        } = self.push(wrt)?;
        let (mut outputs, mut roles) = (self.outputs.clone(), self.roles.clone());
        outputs.retain(|name, _| is_kept(name));
        roles.retain(|name, _| is_kept(name));
        for (of, id) in tangents.into_iter().filter(|(of, _)| is_kept(of)) {
            let name = added_name(&of, "dot", |n| outputs.contains_key(n));
            outputs.insert(Arc::clone(&name), id);
            roles.insert(name, Derived::Tangent(of));
        }
        self.derivative(scope, outputs, roles, &seeds, "tangent")
    }

    /// The tangents of all outputs.
    fn push(&self, wrt: Wrt<'_>) -> Result<Pushed> {
        let targets = self.targets(wrt)?;
        let scope = Scope::new(self.tape.clone());
        let seeds = self.seeds(&scope, &targets);
        let nodes: Vec<NodeId> = self.outputs.values().copied().collect();
        let linear = linearize(&scope, &seeds, &nodes)?;
        let mut tangents = Vec::new();
        for (name, node) in &self.outputs {
            let zero = || scope.expr(*node).zeros_like();
            let tangent = linear.tangent(&scope, *node).unwrap_or_else(zero);
            tangents.extend(tangent.id().map(|id| (Arc::clone(name), id)));
        }
        Ok(Pushed {
            scope,
            seeds: seeds.into_values().collect(),
            tangents,
        })
    }

    /// The Hessian-vector product of the loss, `v ↦ H v`, by forward mode over the gradient: a recurrence with
    /// an extra leaf `p.dot`, the direction, for each name `p` in `wrt`, and the outputs `loss` and, under the
    /// names of the variables, the parts of `H v`. If such a name is taken, a number follows, as in a
    /// [`tangent`](Self::tangent).
    ///
    /// The direction of a parameter (or of another static value) belongs in [`Params`](super::Params), that of
    /// an input, state or named value in the [`Batch`](super::Batch).
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient).
    pub fn hessian_vector<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let wrt = wrt.into();
        let gradient = self.gradient(wrt)?;
        let names: Vec<Arc<str>> = self
            .targets(wrt)?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let names: Vec<&str> = names.iter().map(|n| &**n).collect();
        let pushed = gradient.push(Wrt::Names(&names))?;
        let mut outputs = IndexMap::from([(LOSS.into(), gradient.loss()?)]);
        let tangents = pushed.tangents.into_iter();
        outputs.extend(tangents.filter(|(name, _)| **name != *LOSS));
        let roles = gradient.roles.clone();
        gradient.derivative(
            pushed.scope,
            outputs,
            roles,
            &pushed.seeds,
            "hessian_vector",
        )
    }

    /// Finishes a derivative. Values that no output needs are dropped. All leaves of the original recurrence
    /// stay, so that the derivative takes the same data, and so do the leaves in `asked`.
    pub(super) fn derivative(
        &self,
        scope: Scope,
        outputs: IndexMap<Arc<str>, NodeId>,
        roles: Roles,
        asked: &[NodeId],
        what: &str,
    ) -> Result<Self> {
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            roles,
            initials: self.initials.clone(),
        };
        let name = format!("{what} of {}", self.name);
        let own = self.tape.leaves().iter().map(|l| l.node);
        let kept: HashSet<NodeId> = own.chain(asked.iter().copied()).collect();
        draft.finish_pruned(scope, &name, |leaf| kept.contains(&leaf.node))
    }
}

/// Creates a leaf for a tangent or cotangent: a parameter if it is static, else an input.
fn derived_leaf<'b>(
    scope: &'b Scope,
    derived: Derived,
    ty: Type,
    taken: &HashSet<&str>,
) -> Expr<'b> {
    let role = if ty.rate == Rate::Static {
        Role::Parameter
    } else {
        Role::Input
    };
    let part = match derived {
        Derived::Cotangent(_) => "bar",
        Derived::Tangent(_) | Derived::Final(_) => "dot",
    };
    let name = added_name(derived.of(), part, |n| taken.contains(n));
    let (leaf, expr) = scope.leaf(name, role, ty);
    scope.set_derived(leaf, Some(derived));
    expr
}

/// The result of forward mode: the directions, and the tangents of the outputs.
struct Pushed {
    scope: Scope,
    seeds: Vec<NodeId>,
    tangents: Vec<Target>,
}

pub(super) fn cotangent_roles(found: &[Target]) -> Roles {
    let role = |(name, _): &Target| (Arc::clone(name), Derived::Cotangent(Arc::clone(name)));
    found.iter().map(role).collect()
}
