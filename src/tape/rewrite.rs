//! Copies of a tape with changes: the basis of pruning, masking and mutation.

use std::sync::Arc;

use super::{Direction, Leaf, Node, Register, Scope, Tape};
use crate::op::{Expr, NodeId, Op, RegisterId};
use crate::shape::Rate;

/// A node during a copy.
#[derive(Debug)]
pub struct NodeSite<'a, 'b> {
    /// Its id in the original tape.
    pub id: NodeId,
    /// The node in the original tape.
    pub node: &'a Node,
    /// The copied arguments.
    pub args: Vec<Expr<'b>>,
    /// The copied initial value, if the node is the read of a register; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// The direction in the original tape, if the node is the read of a register.
    pub direction: Option<Direction>,
    /// The copy, if the node is a leaf or a read: these are declared before they are edited.
    declared: Option<Expr<'b>>,
    scope: &'b Scope,
    copied: &'a [Option<NodeId>],
}

impl<'b> NodeSite<'_, 'b> {
    /// The copy without changes. It is built on demand: the op may not apply to changed arguments.
    #[must_use]
    pub fn copy(&self) -> Expr<'b> {
        self.declared.unwrap_or_else(|| self.with_args(&self.args))
    }

    /// The same op applied to other arguments.
    #[must_use]
    pub fn with_args(&self, args: &[Expr<'b>]) -> Expr<'b> {
        Expr::apply_in(self.scope, self.node.op.clone(), args)
    }

    /// An op applied to values of the copy.
    #[must_use]
    pub fn apply(&self, op: &Op, args: &[Expr<'b>]) -> Expr<'b> {
        Expr::apply_in(self.scope, op.clone(), args)
    }

    /// The copy of an earlier node of the original tape; `None` if it was not copied.
    #[must_use]
    pub fn earlier(&self, id: NodeId) -> Option<Expr<'b>> {
        let id = self.copied.get(id.index()).copied().flatten()?;
        Some(self.scope.expr(id))
    }
}

/// A register whose initial value and definition have been copied.
#[derive(Debug)]
pub struct RegisterSite<'a, 'b> {
    /// Its id in the original tape.
    pub id: RegisterId,
    /// The register in the original tape.
    pub register: &'a Register,
    /// The copy of the read, before any edit of it.
    pub read: Expr<'b>,
    /// The copied initial value; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// The copy of the definition.
    pub def: Expr<'b>,
}

/// The edited initial value and definition of a register.
#[derive(Debug)]
pub struct RegisterEdit<'b> {
    /// The initial value; `None` is zero.
    pub init: Option<Expr<'b>>,
    /// The definition.
    pub def: Expr<'b>,
}

/// Changes to a graph while it is copied. Every method defaults to no change.
pub trait Edit<'b> {
    /// The replacement of a node.
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        site.copy()
    }

    /// The direction of the copied register.
    fn direction(&mut self, id: RegisterId, register: &Register) -> Direction {
        let _ = id;
        register.direction
    }

    /// The initial value and the definition of the copied register.
    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        RegisterEdit {
            init: site.init,
            def: site.def,
        }
    }
}

/// An edit without changes.
pub(crate) struct Unchanged;

impl Edit<'_> for Unchanged {}

/// The copy of a tape inside a scope.
#[derive(Debug)]
pub(crate) struct Transplant {
    nodes: Vec<Option<NodeId>>,
    registers: Vec<Option<RegisterId>>,
}

impl Transplant {
    /// Copies the nodes that `roots` depend on, and every leaf selected by `keep`.
    pub(crate) fn new<'b, E: Edit<'b> + ?Sized>(
        source: &Tape,
        scope: &'b Scope,
        roots: &[NodeId],
        keep: impl Fn(&Leaf) -> bool,
        edit: &mut E,
    ) -> Self {
        let live = source.live(roots.iter().copied());
        for (dim, symbol) in source.symbols() {
            scope.dim(dim, symbol.least());
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
                    scope.set_classes(new, leaf.classes);
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

    /// The copy of a node, if it was copied.
    pub(crate) fn get(&self, id: NodeId) -> Option<NodeId> {
        self.nodes[id.index()]
    }

    /// The copy of a register, if it was copied.
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
    /// The nodes in an order in which each comes after its arguments, and a read after the initial
    /// value of its register. In a derivative, the initial value can have a later index than the
    /// read.
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
