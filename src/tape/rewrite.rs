//! Copying a tape, with changes: what pruning, masking and mutation are made of.

use std::sync::Arc;

use super::{Direction, Leaf, Node, Register, Scope, Tape};
use crate::op::{Expr, NodeId, Op, RegisterId};
use crate::shape::Rate;

/// A node about to be copied.
#[derive(Debug)]
pub struct NodeSite<'a, 'b> {
    /// Its id in the original.
    pub id: NodeId,
    /// The original.
    pub node: &'a Node,
    /// The copied arguments.
    pub args: Vec<Expr<'b>>,
    /// For the read of a register: its copied initial value; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// For the read of a register: its direction in the original.
    pub direction: Option<Direction>,
    /// The copy of a leaf or a read: these are declared before they are edited.
    declared: Option<Expr<'b>>,
    scope: &'b Scope,
    copied: &'a [Option<NodeId>],
}

impl<'b> NodeSite<'_, 'b> {
    /// The copy without a change. It is made when it is asked for: after changes to its arguments
    /// the op may no longer apply to them.
    #[must_use]
    pub fn copy(&self) -> Expr<'b> {
        self.declared.unwrap_or_else(|| self.with_args(&self.args))
    }

    /// The same op applied to other arguments.
    #[must_use]
    pub fn with_args(&self, args: &[Expr<'b>]) -> Expr<'b> {
        Expr::apply_in(self.scope, self.node.op.clone(), args)
    }

    /// What became of an earlier node of the original; `None` when it was not copied.
    #[must_use]
    pub fn earlier(&self, id: NodeId) -> Option<Expr<'b>> {
        let id = self.copied.get(id.index()).copied().flatten()?;
        Some(self.scope.expr(id))
    }
}

/// A register whose contents have been copied.
#[derive(Debug)]
pub struct RegisterSite<'a, 'b> {
    /// Its id in the original.
    pub id: RegisterId,
    /// The original.
    pub register: &'a Register,
    /// The copy of what is read, before any change to it.
    pub read: Expr<'b>,
    /// The copied initial value; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// The copy of what is carried.
    pub def: Expr<'b>,
}

/// What a register becomes.
#[derive(Debug)]
pub struct RegisterEdit<'b> {
    /// The initial value; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// What is carried.
    pub def: Expr<'b>,
}

/// Changes made to a graph while it is copied. Each method, left out, changes nothing.
pub trait Edit<'b> {
    /// What takes the place of a node.
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        site.copy()
    }

    /// The direction of a register.
    fn direction(&mut self, id: RegisterId, register: &Register) -> Direction {
        let _ = id;
        register.direction
    }

    /// What a register starts with and carries.
    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        RegisterEdit {
            init: site.init,
            def: site.def,
        }
    }
}

/// No change.
pub(crate) struct Unchanged;

impl Edit<'_> for Unchanged {}

/// The copy of a tape inside a scope.
#[derive(Debug)]
pub(crate) struct Transplant {
    nodes: Vec<Option<NodeId>>,
    registers: Vec<Option<RegisterId>>,
}

impl Transplant {
    /// Copies the nodes that `roots` need, and every leaf in `keep` whether needed or not.
    pub(crate) fn new<'b, E: Edit<'b> + ?Sized>(
        source: &Tape,
        scope: &'b Scope,
        roots: &[NodeId],
        keep: impl Fn(&Leaf) -> bool,
        edit: &mut E,
    ) -> Self {
        let live = source.live(roots.iter().copied());
        for dim in source.dims() {
            scope.dim(dim);
        }
        for mask in source.masks() {
            scope.mask(Arc::clone(mask));
        }
        let mut copy = Self {
            nodes: vec![None; source.len()],
            registers: vec![None; source.registers().len()],
        };
        let mut reads: Vec<Option<NodeId>> = vec![None; source.registers().len()];
        for id in source.order_of_copies() {
            let (node, alive) = (source.node(id), live[id.index()]);
            let declared = match &node.op {
                Op::Leaf(leaf) => {
                    let leaf = source.leaf(*leaf);
                    if !alive && !keep(leaf) {
                        continue;
                    }
                    let (new, copied) = scope.leaf(Arc::clone(&leaf.name), leaf.role, leaf.ty);
                    scope.set_derived(new, leaf.derived.clone());
                    Some(copied)
                }
                _ if !alive => continue,
                Op::Read(r) => {
                    let register = source.register(*r);
                    let (new, read) = scope.register(
                        Arc::clone(&register.name),
                        edit.direction(*r, register),
                        register.ty,
                        None,
                    );
                    copy.registers[r.index()] = Some(new);
                    reads[r.index()] = read.id();
                    Some(read)
                }
                _ => None,
            };
            let register = match node.op {
                Op::Read(r) => Some(source.register(r)),
                _ => None,
            };
            let init = register.and_then(|r| copy.expr(scope, r.init?));
            let direction = register.map(|r| r.direction);
            let args = copy.args(scope, node);
            let site = NodeSite {
                id,
                node,
                args,
                init,
                direction,
                declared,
                scope,
                copied: &copy.nodes,
            };
            let edited = edit.node(site).id();
            copy.nodes[id.index()] = edited;
        }
        for (i, register) in source.registers().iter().enumerate() {
            let (Some(new), Some(read)) = (copy.registers[i], reads[i]) else {
                continue;
            };
            let (Some(def), init) = (register.def, register.init) else {
                continue;
            };
            let site = RegisterSite {
                id: RegisterId::new(i),
                register,
                read: scope.expr(read),
                init: init.and_then(|id| copy.expr(scope, id)),
                def: copy.expr(scope, def).unwrap_or_else(|| scope.poison()),
            };
            let edited = edit.register(site);
            let init = edited.init.and_then(|e| e.hold(Rate::Sample).id());
            if let Some(def) = edited.def.hold(Rate::Step).id() {
                scope.set_register(new, init, def);
            }
        }
        for (name, id) in source.names() {
            if let Some(copied) = copy.nodes[id.index()] {
                scope.rename(copied, name);
            }
        }
        copy
    }

    /// Where a node went.
    pub(crate) fn get(&self, id: NodeId) -> Option<NodeId> {
        self.nodes[id.index()]
    }

    /// Where a register went.
    pub(crate) fn register(&self, id: RegisterId) -> Option<RegisterId> {
        self.registers[id.index()]
    }

    fn expr<'b>(&self, scope: &'b Scope, id: NodeId) -> Option<Expr<'b>> {
        self.get(id).map(|id| scope.expr(id))
    }

    fn args<'b>(&self, scope: &'b Scope, node: &Node) -> Vec<Expr<'b>> {
        node.args
            .iter()
            .map(|a| self.expr(scope, *a).unwrap_or_else(|| scope.poison()))
            .collect()
    }
}

impl Tape {
    /// The nodes, each after its arguments, and a read after the initial value of its register: in a
    /// derivative that was written later.
    fn order_of_copies(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.len());
        let mut seen = vec![false; self.len()];
        for (root, _) in self.nodes() {
            let mut stack = vec![(root, false)];
            while let Some((id, ready)) = stack.pop() {
                if ready {
                    order.push(id);
                    continue;
                }
                if std::mem::replace(&mut seen[id.index()], true) {
                    continue;
                }
                stack.push((id, true));
                let node = self.node(id);
                let init = match node.op {
                    Op::Read(r) => self.register(r).init,
                    _ => None,
                };
                let before = node.args.iter().copied().chain(init);
                stack.extend(before.filter(|n| !seen[n.index()]).map(|n| (n, false)));
            }
        }
        order
    }
}
