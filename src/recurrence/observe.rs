//! Access to the inside of a recurrence: additional names and outputs, and the unpruned graph of a gradient
//! with every use of a rule.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::differentiate::Target;
use super::{LOSS, Recurrence, Wrt};
use crate::diff::{Adjoint, linearize, transpose};
use crate::error::Result;
use crate::op::{Expr, NodeId, Op, RegisterId, Time};
use crate::shape::Rate;
use crate::tape::{Edit, NodeSite, Role, Scope, Tape, Unchanged};

/// The graph written by [`Recurrence::gradient`], before pruning.
#[derive(Debug)]
pub(crate) struct AdjointGraph {
    /// The definition, then its linear graph, then the transpose of that.
    pub(crate) tape: Tape,
    /// The number of registers of the definition; they come first.
    pub(crate) defined: usize,
    /// The tangent of each node that has one.
    pub(crate) tangents: HashMap<NodeId, NodeId>,
    /// The perturbation of each target.
    pub(crate) seeds: IndexMap<NodeId, NodeId>,
    /// The targets, with their cotangents; `None` is zero.
    pub(crate) cotangents: Vec<(Target, Option<NodeId>)>,
    /// The register that carries the cotangent of each register of the definition that has one.
    pub(crate) transposed: HashMap<RegisterId, RegisterId>,
    /// Every use of a transpose rule, in order.
    pub(crate) adjoints: Vec<Adjoint>,
}

impl Recurrence {
    /// A copy with additional names.
    pub(crate) fn with_names(&self, names: &[(NodeId, Arc<str>)]) -> Self {
        let mut copy = self.clone();
        for (id, name) in names {
            copy.tape.set_name(*id, name);
        }
        copy
    }

    /// A copy with all names but those of outputs replaced by `name`.
    #[cfg(feature = "derive")]
    pub(crate) fn renamed(&self, name: impl Fn(&str) -> Arc<str>) -> Self {
        let mut copy = self.clone();
        copy.tape.rename(&name);
        for state in &mut copy.states {
            state.name = name(&state.name);
        }
        copy
    }

    /// A copy without the final values of the states, and without delays that no name, output or state uses.
    pub(crate) fn without_unused(&self) -> Result<Self> {
        let mut copy = self.clone();
        copy.states.iter_mut().for_each(|state| state.end = None);
        copy.edit(&mut Unchanged)
    }

    /// A copy with the loss and these values as outputs.
    pub(crate) fn observing(
        &self,
        values: impl IntoIterator<Item = (Arc<str>, NodeId)>,
    ) -> Result<Self> {
        let mut copy = self.clone();
        copy.outputs = IndexMap::from([(LOSS.into(), self.loss()?)]);
        copy.roles.clear();
        copy.outputs.extend(values);
        Ok(copy)
    }

    /// A copy in which these reads of registers are inputs of these names, so that no step reads another step.
    pub(crate) fn with_reads_given(&self, reads: &[(NodeId, Arc<str>)]) -> Result<Self> {
        let scope = Scope::default();
        // The first of two names wins.
        let reads = reads.iter().rev().map(|(id, name)| (*id, name)).collect();
        let mut cut = Cut {
            scope: &scope,
            reads,
        };
        self.transplant(&scope, &mut cut).finish(scope, &self.name)
    }

    /// A copy in which registers with the same definition, initial value and direction are merged.
    pub(crate) fn with_registers_together(&self) -> Result<Self> {
        self.with_together(|r| vec![true; r.tape.len()])
    }

    /// As `with_registers_together`, for registers whose reads `may` allows; it returns a flag for each node.
    pub(crate) fn with_together(&self, may: impl Fn(&Self) -> Vec<bool>) -> Result<Self> {
        let mut merged = self.clone();
        // Merging registers may make the definitions of further registers equal, so repeat.
        loop {
            let twins = merged.twins(&may(&merged));
            if twins.is_empty() {
                break;
            }
            let scope = Scope::default();
            let draft = merged.transplant(&scope, &mut Together { twins });
            merged = draft.finish(scope, &self.name)?;
            let scope = Scope::default();
            let draft = merged.transplant(&scope, &mut Unchanged);
            merged = draft.finish(scope, &self.name)?;
        }
        Ok(merged)
    }

    /// Maps the read of each register that duplicates an earlier one to the read of the earlier one.
    fn twins(&self, may: &[bool]) -> HashMap<NodeId, NodeId> {
        let reads = self.tape.nodes().filter_map(|(id, node)| match node.op() {
            Op::Read(register) => Some((id, self.tape.register(*register))),
            _ => None,
        });
        let mut found: HashMap<_, Vec<NodeId>> = HashMap::new();
        let mut twins = HashMap::new();
        for (id, register) in reads {
            let key = (register.def(), register.init(), register.direction());
            let alike = found.entry(key).or_default();
            let first = alike.iter().find(|first| may[first.index()]).copied();
            match first.filter(|_| may[id.index()]) {
                Some(first) => drop(twins.insert(id, first)),
                None => alike.push(id),
            }
        }
        twins
    }

    /// The node of the loss.
    pub(crate) fn loss_node(&self) -> Result<NodeId> {
        self.loss()
    }

    /// The loss of a step, if the loss is a sum over steps.
    pub(crate) fn step_loss(&self) -> Option<NodeId> {
        let node = self.tape.node(self.loss().ok()?);
        let summed = matches!(node.op(), Op::Time(Time::Total(_)));
        let term = *node.args().first().filter(|_| summed)?;
        (self.tape.ty(term).rate == Rate::Step).then_some(term)
    }

    /// The graph of the gradient with respect to some names, with all uses of transpose rules.
    pub(crate) fn adjoint_graph(&self, names: &[&str]) -> Result<AdjointGraph> {
        let loss = self.loss()?;
        let targets = self.targets(Wrt::Names(names))?;
        let scope = Scope::new(self.tape.clone());
        let one = scope.expr(loss).full_like(1.0);
        let seeds = self.seeds(&scope, &targets);
        let linear = linearize(&scope, &seeds, &[loss])?;
        let ends = linear.tangents.get(&loss).copied().zip(one.id());
        let leaves: Vec<NodeId> = seeds.values().copied().collect();
        let ends: Vec<(NodeId, NodeId)> = ends.into_iter().collect();
        let found = transpose(&scope, &linear, &ends, &leaves)?;
        let cotangent = |node: &NodeId| found.cotangents.get(seeds.get(node)?).copied();
        let cotangents = targets
            .into_iter()
            .map(|target| {
                let cotangent = cotangent(&target.1);
                (target, cotangent)
            })
            .collect();
        let (tape, _) = scope.finish();
        Ok(AdjointGraph {
            tape,
            defined: self.tape.registers().len(),
            tangents: linear.tangents,
            cotangents,
            transposed: found.registers,
            adjoints: found.adjoints,
            seeds,
        })
    }
}

/// Replaces reads of duplicate registers.
struct Together {
    twins: HashMap<NodeId, NodeId>,
}

impl<'b> Edit<'b> for Together {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let first = self.twins.get(&site.id);
        let first = first.and_then(|first| site.earlier(*first));
        first.unwrap_or(site.copy())
    }
}

/// Replaces reads by inputs.
struct Cut<'a, 'b> {
    scope: &'b Scope,
    reads: HashMap<NodeId, &'a Arc<str>>,
}

impl<'b> Edit<'b> for Cut<'_, 'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        match self.reads.get(&site.id) {
            Some(name) => {
                let name = Arc::clone(name);
                self.scope.leaf(name, Role::Input, site.node.ty()).1
            }
            None => site.copy(),
        }
    }
}
