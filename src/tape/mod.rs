//! The tape: the arena of nodes and registers of a recurrence.
//!
//! A tape is append-only and hash-consed (equal nodes are one node), so it is in SSA form by
//! construction. An insertion checks the types and applies a few rewrites that change no bit of any
//! result ([`simplify`]). Only registers refer to other time steps.

mod components;
mod eval;
mod poles;
mod rewrite;
mod scope;
mod simplify;
mod text;
mod users;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use smallvec::SmallVec;

pub(crate) use components::strongly_connected;
pub(crate) use eval::{
    Side, causes, evaluate, evaluate_adjusted, evaluate_rounded, kinks, kinks_of,
};
pub use rewrite::{Edit, NodeSite, RegisterEdit, RegisterSite};
pub(crate) use rewrite::{Transplant, Unchanged};
pub(crate) use scope::{Scope, check_name};

use crate::op::{LeafId, NodeId, Op, RegisterId};
use crate::shape::{Dim, Rate, Symbol, Type};
use users::Users;

/// The arguments of a node.
pub(crate) type Args = SmallVec<[NodeId; 3]>;

/// One operation applied to earlier nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub(crate) op: Op,
    pub(crate) args: Args,
    pub(crate) ty: Type,
}

impl Node {
    /// The operation.
    #[must_use]
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// The arguments; they are earlier nodes.
    #[must_use]
    pub fn args(&self) -> &[NodeId] {
        &self.args
    }

    /// The type of the value.
    #[must_use]
    pub const fn ty(&self) -> Type {
        self.ty
    }
}

/// The direction of time in which a register carries its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A delay: the value read at step t is the one defined at t − 1.
    Forward,
    /// An advance: the value read at step t is the one defined at t + 1.
    Backward,
}

impl Direction {
    /// The direction of the transpose.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// A value carried from one step to the next (a delay) or to the previous one (an advance).
#[derive(Clone, Debug)]
pub struct Register {
    pub(crate) name: Arc<str>,
    pub(crate) direction: Direction,
    /// The type of the value that is read; its rate is `Step`.
    pub(crate) ty: Type,
    /// The value read at the first step (at the last, for a backward register); `None` is zero.
    pub(crate) init: Option<NodeId>,
    /// The value carried to the next step; `None` only during a definition.
    pub(crate) def: Option<NodeId>,
}

impl Register {
    /// The name; for the register of a state, the name of the state.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The direction of time in which the value is carried.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The value read at the first step (at the last, for a backward register); `None` is zero.
    #[must_use]
    pub const fn init(&self) -> Option<NodeId> {
        self.init
    }

    /// The value carried; `None` only during a definition.
    #[must_use]
    pub const fn def(&self) -> Option<NodeId> {
        self.def
    }
}

/// The role of a leaf in the recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Trained; the same for all samples and steps.
    Parameter,
    /// Data; one value per sample or per step.
    Input,
}

/// The role of a parameter, input or output added by a derivative or by
/// [`with_final_states`](crate::Recurrence::with_final_states). It is recorded explicitly, because
/// names have no meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Derived {
    /// The tangent, `w.dot`, of this parameter, input, state, value or output.
    Tangent(Arc<str>),
    /// As an input, the cotangent, `y.bar`, of this output; as an output, the derivative with
    /// respect to this parameter, input, state or value.
    Cotangent(Arc<str>),
    /// The value of this state after its last step: `h.final`.
    Final(Arc<str>),
}

impl Derived {
    /// The name of the differentiated variable, or of the state.
    #[must_use]
    pub fn of(&self) -> &str {
        match self {
            Self::Tangent(of) | Self::Cotangent(of) | Self::Final(of) => of,
        }
    }
}

/// `of.part`, or the first of `of.part2`, `of.part3`, … that is not taken. The last dot separates
/// `of` from the added part, so names made from different `of` differ.
pub(crate) fn added_name(of: &str, part: &str, taken: impl Fn(&str) -> bool) -> Arc<str> {
    let plain = format!("{of}.{part}");
    let mut name = plain.clone();
    let mut count = 2;
    while taken(&name) {
        name = format!("{plain}{count}");
        count += 1;
    }
    name.into()
}

/// A value from outside: a parameter or an input.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) derived: Option<Derived>,
    pub(crate) ty: Type,
    /// The number of classes, if the entries are the numbers of classes.
    pub(crate) classes: Option<Dim>,
    pub(crate) node: NodeId,
}

impl Leaf {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True for a parameter of shape `[]`.
    pub(crate) fn is_scalar_parameter(&self) -> bool {
        self.ty.rate == Rate::Static && self.ty.shape.rank() == 0
    }

    /// The role: parameter or input.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The number of classes, if the entries of an array are the numbers of classes: they have no derivative.
    #[must_use]
    pub const fn classes(&self) -> Option<Dim> {
        self.classes
    }

    /// The role recorded by a derivative, if one added this leaf.
    #[must_use]
    pub const fn derived(&self) -> Option<&Derived> {
        self.derived.as_ref()
    }

    /// The type.
    #[must_use]
    pub const fn ty(&self) -> Type {
        self.ty
    }
}

/// The registers with a node as initial value, and those with it as definition, in the order in
/// which they were set.
#[derive(Clone, Debug, Default)]
struct Ends {
    starting: Vec<RegisterId>,
    carrying: Vec<RegisterId>,
}

/// The arena.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    nodes: IndexSet<Node>,
    /// True at each node whose value can be infinite or NaN for finite data.
    poles: Vec<bool>,
    /// For each node, true if its value is exactly zero in a whole region.
    flags: Vec<bool>,
    users: Users,
    leaves: Vec<Leaf>,
    /// The first leaf of each name.
    leaf_names: HashMap<Arc<str>, LeafId>,
    registers: Vec<Register>,
    ends: HashMap<NodeId, Ends>,
    /// The dimensions with their least sizes.
    dims: IndexMap<Arc<str>, u8>,
    names: IndexMap<Arc<str>, NodeId>,
    labels: HashMap<NodeId, Arc<str>>,
    /// The names of the inputs that mark active steps.
    masks: IndexSet<Arc<str>>,
}

impl Tape {
    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns true if there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node `id`.
    ///
    /// # Panics
    /// If `id` belongs to another tape and is out of range.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes
            .get_index(id.index())
            .expect("a node id is used with the tape it came from")
    }

    /// All nodes with their ids, in topological order.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, n)| (NodeId::new(i), n))
    }

    /// The registers, in order of declaration.
    #[must_use]
    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    pub(crate) fn register(&self, id: RegisterId) -> &Register {
        &self.registers[id.index()]
    }

    /// The registers with this node as definition, in the order in which they were set.
    pub(crate) fn carriers(&self, id: NodeId) -> impl Iterator<Item = RegisterId> {
        let ends = self.ends.get(&id).into_iter();
        ends.flat_map(|ends| ends.carrying.iter().copied())
    }

    /// The registers with this node as initial value or definition.
    pub(crate) fn registers_at(&self, id: NodeId) -> impl Iterator<Item = RegisterId> {
        let ends = self.ends.get(&id).into_iter();
        ends.flat_map(|ends| ends.starting.iter().chain(&ends.carrying).copied())
    }

    /// The node that reads a register.
    pub(crate) fn read_of(&self, id: RegisterId) -> Option<NodeId> {
        let read = Node {
            op: Op::Read(id),
            args: Args::new(),
            ty: self.register(id).ty,
        };
        self.nodes.get_index_of(&read).map(NodeId::new)
    }

    /// The register read by this node, if the node is a read.
    pub(crate) fn register_read_by(&self, id: NodeId) -> Option<RegisterId> {
        match self.node(id).op {
            Op::Read(r) => Some(r),
            _ => None,
        }
    }

    /// The leaves, in order of declaration.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub(crate) fn leaf(&self, id: LeafId) -> &Leaf {
        &self.leaves[id.index()]
    }

    /// True for real numbers other than those of classes.
    #[cfg(feature = "derive")]
    pub(crate) fn is_differentiable(&self, id: NodeId) -> bool {
        let numbered = match self.node(id).op {
            Op::Leaf(leaf) => self.leaf(leaf).classes.is_some(),
            _ => false,
        };
        self.ty(id).is_real() && !numbered
    }

    /// The first leaf with this name.
    #[must_use]
    pub fn leaf_named(&self, name: &str) -> Option<&Leaf> {
        self.leaf_names.get(name).map(|id| self.leaf(*id))
    }

    /// The index, among the leaves, of the first leaf with this name.
    pub(crate) fn leaf_index(&self, name: &str) -> Option<usize> {
        self.leaf_names.get(name).map(|id| id.index())
    }

    /// The names of the dimensions.
    pub fn dims(&self) -> impl Iterator<Item = &str> {
        self.dims.keys().map(|d| &**d)
    }

    /// The least size that a declaration allows, 1 if it states none: 2 of `dim H >= 2`.
    #[must_use]
    pub fn least_size(&self, dim: &str) -> usize {
        let mut symbols = self.symbols();
        let found = symbols.find(|(name, _)| *name == dim);
        found.map_or(1, |(_, symbol)| usize::from(symbol.least()).max(1))
    }

    /// The dimensions by name.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = (&str, Symbol)> {
        let dims = self.dims.iter().enumerate();
        dims.filter_map(|(i, (name, least))| Some((&**name, Symbol::new(i, *least)?)))
    }

    /// The names of the inputs that mark active steps.
    pub(crate) fn masks(&self) -> impl Iterator<Item = &Arc<str>> {
        self.masks.iter()
    }

    pub(crate) fn add_mask(&mut self, name: Arc<str>) {
        self.masks.insert(name);
    }

    /// Returns true if the entries of this leaf at inactive steps have no influence: the leaf
    /// varies with the step, the tape has a mask, and the leaf is not itself a mask.
    pub(crate) fn is_masked(&self, leaf: &Leaf) -> bool {
        leaf.ty.rate == Rate::Step && !self.masks.is_empty() && !self.masks.contains(&leaf.name)
    }

    /// The index of a dimension, in order of declaration, and the dimension.
    pub(crate) fn dimension(&self, name: &str) -> Option<(usize, Symbol)> {
        let (index, _, least) = self.dims.get_full(name)?;
        Some((index, Symbol::new(index, *least)?))
    }

    pub(crate) fn dim_names(&self) -> Vec<Arc<str>> {
        self.dims.keys().cloned().collect()
    }

    /// The type of a node.
    #[must_use]
    pub fn ty(&self, id: NodeId) -> Type {
        self.node(id).ty
    }

    /// The name of a node, if it has one.
    #[must_use]
    pub fn label(&self, id: NodeId) -> Option<&str> {
        self.labels.get(&id).map(|s| &**s)
    }

    /// The node with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&Arc<str>, NodeId)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// The dimension of this name; a new one has this least size.
    pub(crate) fn dim(&mut self, name: &str, least: u8) -> Option<Dim> {
        let entry = self.dims.entry(name.into());
        let index = entry.index();
        // A name that does not fit is not recorded.
        Symbol::new(index, least)?;
        Some(Dim::named(Symbol::new(index, *entry.or_insert(least))?))
    }

    /// Names a node; returns false if another node has the name.
    pub(crate) fn set_name(&mut self, id: NodeId, name: &str) -> bool {
        let name: Arc<str> = name.into();
        let holder = *self.names.entry(Arc::clone(&name)).or_insert(id);
        self.labels.entry(id).or_insert(name);
        holder == id
    }

    /// Renames all leaves, registers, dimensions, values and masks; `name` must be injective.
    #[cfg(feature = "derive")]
    pub(crate) fn rename(&mut self, name: impl Fn(&str) -> Arc<str>) {
        for leaf in &mut self.leaves {
            leaf.name = name(&leaf.name);
        }
        let leaves = self.leaf_names.iter();
        self.leaf_names = leaves.map(|(n, id)| (name(n), *id)).collect();
        for register in &mut self.registers {
            register.name = name(&register.name);
        }
        self.dims = self
            .dims
            .iter()
            .map(|(n, least)| (name(n), *least))
            .collect();
        self.names = self.names.iter().map(|(n, id)| (name(n), *id)).collect();
        self.labels = self.labels.iter().map(|(id, n)| (*id, name(n))).collect();
        self.masks = self.masks.iter().map(|n| name(n)).collect();
    }

    fn insert(&mut self, op: Op, args: Args, ty: Type) -> NodeId {
        let (index, is_new) = self.nodes.insert_full(Node { op, args, ty });
        if is_new {
            self.poles.push(self.finds_pole(index));
            self.flags.push(self.finds_flag(index));
        }
        NodeId::new(index)
    }

    /// Declares a leaf. Two leaves are always different nodes.
    pub(crate) fn add_leaf(&mut self, name: Arc<str>, role: Role, ty: Type) -> LeafId {
        let id = LeafId::new(self.leaves.len());
        let node = self.insert(Op::Leaf(id), Args::new(), ty);
        self.leaf_names.entry(Arc::clone(&name)).or_insert(id);
        self.leaves.push(Leaf {
            name,
            role,
            derived: None,
            ty,
            classes: None,
            node,
        });
        id
    }

    /// Declares that the entries of a leaf are numbers of classes.
    pub(crate) fn set_classes(&mut self, id: LeafId, classes: Option<Dim>) {
        self.leaves[id.index()].classes = classes;
    }

    /// Records the role that a derivative gives to a leaf.
    pub(crate) fn set_derived(&mut self, id: LeafId, derived: Option<Derived>) {
        self.leaves[id.index()].derived = derived;
    }

    /// Declares a register; [`set_register`](Self::set_register) sets its definition later.
    pub(crate) fn add_register(
        &mut self,
        name: Arc<str>,
        direction: Direction,
        ty: Type,
        init: Option<NodeId>,
    ) -> (RegisterId, NodeId) {
        let id = RegisterId::new(self.registers.len());
        let ty = ty.at(Rate::Step);
        if let Some(init) = init {
            self.ends.entry(init).or_default().starting.push(id);
        }
        self.registers.push(Register {
            name,
            direction,
            ty,
            init,
            def: None,
        });
        (id, self.insert(Op::Read(id), Args::new(), ty))
    }

    pub(crate) fn set_register(&mut self, id: RegisterId, init: Option<NodeId>, def: NodeId) {
        let register = &mut self.registers[id.index()];
        let before = (register.init, register.def);
        (register.init, register.def) = (init, Some(def));
        if init != before.0 {
            if let Some(ends) = before.0.and_then(|n| self.ends.get_mut(&n)) {
                ends.starting.retain(|r| *r != id);
            }
            if let Some(init) = init {
                self.ends.entry(init).or_default().starting.push(id);
            }
        }
        if Some(def) != before.1 {
            if let Some(ends) = before.1.and_then(|n| self.ends.get_mut(&n)) {
                ends.carrying.retain(|r| *r != id);
            }
            self.ends.entry(def).or_default().carrying.push(id);
        }
        self.spread_poles(id);
    }

    /// Returns a node equal to `op(args)`: an existing one, a simpler one, or a new one.
    ///
    /// # Errors
    /// The reason, if the arguments have different rates or types that do not fit the op.
    pub(crate) fn push(&mut self, op: Op, args: &[NodeId]) -> Result<NodeId, String> {
        let types: SmallVec<[Type; 3]> = args.iter().map(|a| self.ty(*a)).collect();
        if types.iter().any(|t| t.rate != types[0].rate) {
            return Err("the arguments vary with different things".into());
        }
        let ty = op.infer(&types)?;
        if ty.shape.dims().iter().any(|d| d.is_invalid()) {
            return Err("a size is too large, or a sum of too many named dimensions".into());
        }
        let known = |d: &Dim| d.named_terms().all(|(s, _)| s.index() < self.dims.len());
        if !ty.shape.dims().iter().all(known) {
            return Err("a dimension belongs to another recurrence".into());
        }
        if let Some(id) = self.simplify(&op, args, ty) {
            return Ok(id);
        }
        Ok(self.insert(op, args.into(), ty))
    }

    /// Pushes an op whose arguments have valid types.
    fn push_valid(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        self.push(op, args)
            .expect("a rewrite keeps the types of the node it replaces")
    }

    /// Marks every node that the roots depend on, directly or through registers.
    pub(crate) fn live(&self, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut live = vec![false; self.len()];
        let mut stack: Vec<NodeId> = roots.into_iter().collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut live[id.index()], true) {
                continue;
            }
            let node = self.node(id);
            stack.extend_from_slice(&node.args);
            if let Op::Read(r) = node.op {
                let register = self.register(r);
                stack.extend(register.init);
                stack.extend(register.def);
            }
        }
        live
    }
}
