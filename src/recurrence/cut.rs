//! A recurrence without its registers: each step is given the values that it reads, and returns those that it carries.
//!
//! The registers are the only way from step to step. A pullback of the cut graph is therefore that of all steps at once,
//! and whoever moves the cotangents from the reads to the values that were carried decides how far they go back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Draft, LOSS, Recurrence};
use crate::error::Result;
use crate::op::{Expr, NodeId, Op};
use crate::shape::Rate;
use crate::tape::{Direction, Edit, NodeSite, Role, Scope, Tape, Unchanged, added_name};

/// A recurrence whose steps do not read each other.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// The outputs are the loss and those of the registers.
    pub(crate) recurrence: Recurrence,
    /// The recurrence with the loss, and the values that its registers read as outputs of the names of the inputs.
    pub(crate) reads: Recurrence,
    /// The recurrence with the loss and the outputs of the registers.
    pub(crate) whole: Recurrence,
    pub(crate) registers: Vec<CutRegister>,
    /// The parameters of `recurrence`, in order.
    pub(crate) parameters: Vec<ParameterCopy>,
}

/// A register of the original graph.
#[derive(Clone, Debug)]
pub(crate) struct CutRegister {
    /// The name of the state, if it is one.
    pub(crate) name: Arc<str>,
    pub(crate) direction: Direction,
    /// The input: the value that is read at each step.
    pub(crate) read: Arc<str>,
    /// The output: the value that is carried from each step.
    pub(crate) carried: Arc<str>,
    /// The output: the initial value of each sample, if it depends on a parameter.
    pub(crate) start: Option<Arc<str>>,
}

/// The parameter as the named value `through` reads it, directly or by values without a name.
#[derive(Clone, Debug)]
pub(crate) struct ParameterCopy {
    pub(crate) leaf: Arc<str>,
    pub(crate) parameter: Arc<str>,
    /// The first named value on the way from the parameter; `None` if there is none.
    pub(crate) through: Option<Arc<str>>,
}

impl Cut {
    /// The parameters on which a carried or initial value depends.
    pub(crate) fn recurrent_parameters(&self) -> HashSet<Arc<str>> {
        let names = self
            .registers
            .iter()
            .flat_map(|r| std::iter::once(&r.carried).chain(&r.start));
        let roots: Vec<NodeId> = names
            .filter_map(|name| self.recurrence.output_node(name))
            .collect();
        let live = self.recurrence.tape.live(roots);
        let used = |copy: &&ParameterCopy| {
            let leaf = self.recurrence.tape.leaf_named(&copy.leaf);
            leaf.is_some_and(|leaf| live[leaf.node.index()])
        };
        let copies = self.parameters.iter().filter(used);
        copies.map(|copy| Arc::clone(&copy.parameter)).collect()
    }
}

impl Recurrence {
    /// The recurrence cut at its registers, for its loss. Each named value that varies with the step reads copies of the
    /// parameters of its own, so that the gradients of the copies tell by which of them a gradient came.
    ///
    /// # Errors
    /// [`Error::NoLoss`](crate::Error::NoLoss).
    pub(crate) fn cut(&self) -> Result<Cut> {
        self.loss()?;
        let base = self.only_loss()?;
        let mut taken: HashSet<String> = base.taken().into_iter().map(Into::into).collect();
        taken.insert(LOSS.into());
        let mut fresh = |of: &str, part: &str| {
            let name = added_name(of, part, |name| taken.contains(name));
            taken.insert(name.to_string());
            name
        };
        let scope = Scope::new(base.tape.clone());
        let (mut registers, mut given) = (Vec::new(), Vec::new());
        let mut ends = base.outputs.clone();
        let mut reads = base.outputs.clone();
        for state in &base.states {
            let register = base.tape.register(state.register);
            let read = base.tape.read_of(state.register);
            let def = register.def.map(|def| scope.expr(def).hold(Rate::Step));
            let (Some(read), Some(def)) = (read, def.and_then(Expr::id)) else {
                continue;
            };
            let name = fresh(&state.name, "before");
            given.push((read, Arc::clone(&name)));
            reads.insert(Arc::clone(&name), read);
            let carried = fresh(&state.name, "after");
            ends.insert(Arc::clone(&carried), def);
            let start = register
                .init
                .filter(|init| base.depends_on_parameter(*init));
            let start = start.map(|init| {
                let start = fresh(&state.name, "start");
                ends.insert(Arc::clone(&start), init);
                start
            });
            registers.push(CutRegister {
                name: Arc::clone(&state.name),
                direction: register.direction,
                read: name,
                carried,
                start,
            });
        }
        let draft = |outputs| Draft {
            outputs,
            states: base.states.clone(),
            roles: super::Roles::new(),
            initials: base.initials.clone(),
        };
        let whole = draft(ends).finish(scope, &self.name)?;
        let reads = draft(reads).finish(Scope::new(base.tape.clone()), &self.name)?;
        let alone = whole.with_reads_given(&given)?.edit(&mut Unchanged)?;
        let (recurrence, parameters) = alone.with_parameter_copies(&mut fresh)?;
        Ok(Cut {
            recurrence,
            reads,
            whole,
            registers,
            parameters,
        })
    }

    fn depends_on_parameter(&self, id: NodeId) -> bool {
        let live = self.tape.live([id]);
        let mut parameters = self.leaves(Role::Parameter);
        parameters.any(|leaf| leaf.ty.is_real() && live[leaf.node.index()])
    }

    /// A copy in which each named value per step reads parameters of its own.
    fn with_parameter_copies(
        &self,
        fresh: &mut dyn FnMut(&str, &str) -> Arc<str>,
    ) -> Result<(Self, Vec<ParameterCopy>)> {
        let scope = Scope::default();
        let named = self.tape.names().filter(|(_, id)| {
            let node = self.tape.node(*id);
            !node.args().is_empty() && node.ty().rate == Rate::Step
        });
        let named: HashMap<NodeId, Arc<str>> =
            named.map(|(name, id)| (id, Arc::clone(name))).collect();
        let mut copies = Copies {
            tape: &self.tape,
            scope: &scope,
            fitted: fitted(&self.tape, &named),
            named,
            fresh,
            made: Vec::new(),
        };
        let draft = self.transplant(&scope, &mut copies);
        let made = copies.made;
        let copied = draft.finish(scope, &self.name)?;
        let own = self
            .leaves(Role::Parameter)
            .filter(|leaf| leaf.ty.is_real());
        let own = own.map(|leaf| ParameterCopy {
            leaf: Arc::clone(&leaf.name),
            parameter: Arc::clone(&leaf.name),
            through: None,
        });
        Ok((copied, own.chain(made).collect()))
    }
}

/// The nodes that depend on a real parameter by values without a name.
fn fitted(tape: &Tape, named: &HashMap<NodeId, Arc<str>>) -> Vec<bool> {
    let mut fitted = vec![false; tape.len()];
    for (id, node) in tape.nodes() {
        let open = |arg: &NodeId| fitted[arg.index()] && !named.contains_key(arg);
        fitted[id.index()] = is_parameter(tape, id) || node.args().iter().any(open);
    }
    fitted
}

fn is_parameter(tape: &Tape, id: NodeId) -> bool {
    let node = tape.node(id);
    match node.op() {
        Op::Leaf(leaf) => tape.leaf(*leaf).role() == Role::Parameter && node.ty().is_real(),
        _ => false,
    }
}

/// Gives each named value copies of the parameters that it reads.
struct Copies<'a, 'b, 'f> {
    tape: &'a Tape,
    scope: &'b Scope,
    named: HashMap<NodeId, Arc<str>>,
    fitted: Vec<bool>,
    fresh: &'f mut dyn FnMut(&str, &str) -> Arc<str>,
    made: Vec<ParameterCopy>,
}

impl<'b> Edit<'b> for Copies<'_, 'b, '_> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let Some(through) = self
            .named
            .get(&site.id)
            .cloned()
            .filter(|_| self.fitted[site.id.index()])
        else {
            return site.copy();
        };
        let is_open = |id: &NodeId| self.fitted[id.index()] && !self.named.contains_key(id);
        let (mut inside, mut left) = (BTreeSet::new(), site.node.args().to_vec());
        while let Some(id) = left.pop() {
            if is_open(&id) && inside.insert(id) {
                left.extend(self.tape.node(id).args());
            }
        }
        // The arguments of a node come before it.
        let mut copied: HashMap<NodeId, Expr<'b>> = HashMap::new();
        for id in inside {
            let node = self.tape.node(id);
            let value = match node.op() {
                Op::Leaf(leaf) => {
                    let leaf = self.tape.leaf(*leaf);
                    let name = (self.fresh)(leaf.name(), &through);
                    self.made.push(ParameterCopy {
                        leaf: Arc::clone(&name),
                        parameter: leaf.name().into(),
                        through: Some(Arc::clone(&through)),
                    });
                    self.scope.leaf(name, Role::Parameter, leaf.ty()).1
                }
                op => {
                    let args = node.args().iter();
                    let args =
                        args.map(|arg| copied.get(arg).copied().or_else(|| site.earlier(*arg)));
                    let args: Option<Vec<Expr<'b>>> = args.collect();
                    match args {
                        Some(args) => site.apply(op, &args),
                        None => self.scope.poison(),
                    }
                }
            };
            copied.insert(id, value);
        }
        let args = site.node.args().iter().zip(&site.args);
        let args: Vec<Expr<'b>> = args
            .map(|(id, arg)| copied.get(id).copied().unwrap_or(*arg))
            .collect();
        site.with_args(&args)
    }
}
