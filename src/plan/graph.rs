//! The graph of a plan: a recurrence with fixed sizes, in terms of memory patterns and not ops.
//! Nodes that only rename a value (changes of rate, aliases) are removed, chains of additions are
//! one sum, and a sum over time of an outer product is one node.

use std::collections::HashMap;

use crate::op::{
    Contract, Custom, Dense, Edge, Extent, Lowering, Move, NodeId, Op, Pointwise, Reduce, extent,
};
use crate::recurrence::Recurrence;
use crate::shape::{Dim, Rate};
use crate::tape::{Derived, Direction, Tape};

/// The index of a node in the graph.
pub(super) type Id = usize;

/// The operation of a node.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A leaf of the recurrence.
    Leaf(usize),
    /// A constant in all entries.
    Constant(f64),
    /// The read of a register.
    Read(usize),
    Pointwise(Pointwise),
    Select,
    /// The sum of the arguments with these signs.
    Sum(Vec<i8>),
    /// The single entry of the argument, repeated.
    Spread,
    /// Consecutive entries of the argument, from this index on.
    Part(usize),
    /// The concatenation of the entries of the arguments.
    Join,
    /// `A v` or `Aᵀ v`, with a matrix that is the same for all samples and steps.
    Product {
        transposed: bool,
    },
    /// The sum of the initial value, if any, and products `A v`, `B w`, …; the arguments after the
    /// initial value are the pairs of a matrix and a vector.
    Gemm {
        init: bool,
        transposed: Vec<bool>,
    },
    /// `Σ a bᵀ` over samples and steps.
    OuterTotal {
        strong: bool,
    },
    /// The sum over the steps, the samples, or both.
    Total,
    /// The sum over samples and steps of a strided copy.
    MoveTotal(Move),
    /// The sum over the samples at each step.
    Pool,
    Pick(Edge),
    Impulse(Edge),
    Move(Vec<Move>),
    Contract(Contract),
    Reduce(Reduce),
    /// A function of whole arrays, and the numbers of rows and columns of its arguments.
    Dense(Dense, Vec<Extent>),
    /// A custom op, and the shapes of its arguments; the nodes of the arguments may have other
    /// shapes with the same entries.
    Custom(Custom, Vec<Vec<usize>>),
}

impl Kind {
    /// Returns true if the operation is entrywise and can be fused.
    pub(super) const fn is_entrywise(&self) -> bool {
        matches!(
            self,
            Self::Pointwise(_) | Self::Select | Self::Sum(_) | Self::Spread
        )
    }

    /// Returns true if the operation reduces over time, so that its value is known after the last
    /// step.
    pub(super) const fn ends_time(&self) -> bool {
        matches!(
            self,
            Self::OuterTotal { .. } | Self::Total | Self::MoveTotal(_) | Self::Pick(_)
        )
    }
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) args: Vec<Id>,
    pub(super) rate: Rate,
    pub(super) extent: Extent,
    pub(super) shape: Vec<usize>,
    /// The name of the value, for descriptions.
    pub(super) label: Option<String>,
}

impl Node {
    /// The number of entries.
    pub(super) const fn len(&self) -> usize {
        crate::op::entries(self.extent)
    }
}

/// A register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register {
    pub(super) direction: Direction,
    pub(super) init: Option<Id>,
    pub(super) def: Id,
}

/// An output of the recurrence.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) node: Id,
    pub(super) shape: Vec<usize>,
    pub(super) rate: Rate,
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) registers: Vec<Register>,
    pub(super) outputs: Vec<Output>,
    /// The nodes to compute as early as possible, so that their arguments need not be kept.
    pub(super) prompt: Vec<Id>,
    /// Pairs of a node of the recurrence and the node of this graph with the same value.
    pub(super) of: Vec<(NodeId, Id)>,
    /// The definitions of the first registers, as nodes of the recurrence.
    pub(super) carried: Vec<NodeId>,
}

impl Graph {
    /// Lowers the live part of a recurrence, for these sizes of its dimensions.
    pub(super) fn of(recurrence: &Recurrence, sizes: &[usize]) -> Self {
        let tape = recurrence.tape();
        let roots: Vec<NodeId> = recurrence.output_nodes().map(|(_, id)| id).collect();
        let live = tape.live(roots.iter().copied());
        let mut lowering = Lower::new(tape, sizes, &live, &roots);
        for (id, _) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            lowering.node(id);
        }
        lowering.finish(recurrence)
    }

    pub(super) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Appends a node with the extent of an existing one.
    pub(super) fn add_like(&mut self, like: Id, kind: Kind, args: Vec<Id>, rate: Rate) -> Id {
        self.add(Node {
            kind,
            args,
            rate,
            label: None,
            ..self.nodes[like].clone()
        })
    }

    /// The initial value that a product overwrites, if there is one: it has a row for each row of
    /// the product.
    pub(super) fn in_place(&self, id: Id) -> Option<Id> {
        let node = &self.nodes[id];
        let init = matches!(node.kind, Kind::Gemm { init: true, .. }).then(|| node.args[0]);
        init.filter(|init| self.nodes[*init].rate == node.rate)
    }

    /// The initial value of a product, if it is one row for all rows of the product.
    pub(super) fn common_start(&self, id: Id) -> Option<Id> {
        let node = &self.nodes[id];
        let init = matches!(node.kind, Kind::Gemm { init: true, .. }).then(|| node.args[0]);
        init.filter(|init| self.nodes[*init].rate != node.rate)
    }

    /// The name of a node in descriptions.
    pub(super) fn name(&self, id: Id) -> String {
        let label = self.nodes[id].label.clone();
        label.unwrap_or_else(|| format!("%{id}"))
    }

    /// Gives a node a name for descriptions, unless it has one.
    fn call(&mut self, id: Id, name: impl Into<String>) {
        self.nodes[id].label.get_or_insert_with(|| name.into());
    }

    /// Returns true if a node reduces over the steps.
    pub(super) fn ends_time(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        node.kind.ends_time() && node.args.iter().any(|a| self.nodes[*a].rate == Rate::Step)
    }

    /// The nodes that a value is computed from, directly or through a register.
    pub(super) fn dependencies(&self, id: Id) -> Vec<usize> {
        let node = &self.nodes[id];
        match node.kind {
            Kind::Read(r) => {
                let register = &self.registers[r];
                register.init.into_iter().chain([register.def]).collect()
            }
            _ => node.args.clone(),
        }
    }

    /// Marks the nodes that the outputs depend on.
    pub(super) fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        let mut stack: Vec<Id> = self.outputs.iter().map(|o| o.node).collect();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut live[id], true) {
                stack.extend(self.dependencies(id));
            }
        }
        live
    }

    /// The registers read by live nodes.
    pub(super) fn read_registers(&self) -> Vec<Register> {
        let mut is_read = vec![false; self.registers.len()];
        for (node, live) in self.nodes.iter().zip(self.live()) {
            if let (Kind::Read(r), true) = (&node.kind, live) {
                is_read[*r] = true;
            }
        }
        let read = self.registers.iter().zip(is_read);
        read.filter(|(_, is_read)| *is_read)
            .map(|(r, _)| *r)
            .collect()
    }

    /// The number of uses of each live node: as an argument, by a register, or as an output.
    pub(super) fn uses(&self) -> Vec<usize> {
        let live = self.live();
        let mut uses = vec![0; self.nodes.len()];
        for id in (0..self.nodes.len()).filter(|id| live[*id]) {
            for on in self.dependencies(id) {
                uses[on] += 1;
            }
        }
        for output in &self.outputs {
            uses[output.node] += 1;
        }
        uses
    }
}

/// The terms of a sum while the graph is made.
pub(super) struct Terms {
    /// True for each argument that is a sum whose terms belong to this one.
    pub(super) taken: Vec<bool>,
    pub(super) count: usize,
    /// The entries that the terms pad, if each of them is padded to some place and all have the sign
    /// `+`, or all `−`.
    pub(super) padded: [Option<usize>; 2],
}

/// The construction of a graph.
pub(super) struct Lower<'a> {
    pub(super) tape: &'a Tape,
    sizes: &'a [usize],
    pub(super) uses: Vec<usize>,
    pub(super) graph: Graph,
    /// The node of the graph for each node of the tape.
    of: HashMap<NodeId, Id>,
    /// The register of the graph for each register of the tape.
    registers: HashMap<usize, usize>,
    /// The sums that absorb the terms of other sums.
    pub(super) sums: HashMap<Id, Terms>,
    /// True at each node of the tape that is an outer product or a sum of outer products.
    has_outer: Vec<bool>,
}

impl<'a> Lower<'a> {
    fn new(tape: &'a Tape, sizes: &'a [usize], live: &[bool], roots: &[NodeId]) -> Self {
        let mut uses = vec![0; tape.len()];
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            for arg in node.args() {
                uses[arg.index()] += 1;
            }
            if let Some(r) = tape.register_read_by(id) {
                let register = tape.register(r);
                for on in register.init.into_iter().chain(register.def) {
                    uses[on.index()] += 2;
                }
            }
        }
        for root in roots {
            uses[root.index()] += 2;
        }
        Self {
            tape,
            sizes,
            uses,
            graph: Graph::default(),
            of: HashMap::new(),
            registers: HashMap::new(),
            sums: HashMap::new(),
            has_outer: vec![false; tape.len()],
        }
    }

    pub(super) fn extent(&self, id: NodeId) -> Extent {
        let shape = self.tape.ty(id).shape.values(self.sizes);
        [
            shape.first().copied().unwrap_or(1),
            shape.get(1).copied().unwrap_or(1),
        ]
    }

    pub(super) fn push(&mut self, id: NodeId, kind: Kind, args: Vec<Id>) -> Id {
        let rate = self.tape.ty(id).rate;
        let label = self.tape.label(id).map(ToOwned::to_owned);
        let extent = self.extent(id);
        let shape = self.tape.ty(id).shape.values(self.sizes);
        self.graph.add(Node {
            kind,
            args,
            rate,
            extent,
            shape,
            label,
        })
    }

    /// The node of the tape that this one renames, or this one.
    fn source(&self, mut id: NodeId) -> NodeId {
        while matches!(self.lowering(id), Lowering::Same) {
            id = self.tape.node(id).args()[0];
        }
        id
    }

    fn lowering(&self, id: NodeId) -> Lowering {
        let node = self.tape.node(id);
        let fix = |d: Dim| Dim::fixed(d.value(self.sizes));
        let extents: Vec<Extent> = node.args().iter().map(|a| self.extent(*a)).collect();
        node.op().map_dims(&fix).lower(&extents, self.extent(id))
    }

    fn node(&mut self, id: NodeId) {
        let node = self.tape.node(id);
        let args: Vec<Id> = node.args().iter().map(|a| self.of[a]).collect();
        let extents: Vec<Extent> = node.args().iter().map(|a| self.extent(*a)).collect();
        let out = self.extent(id);
        let made = match self.lowering(id) {
            Lowering::Same => {
                self.has_outer[id.index()] = self.has_outer[node.args()[0].index()];
                args[0]
            }
            Lowering::Constant(value) => self.push(id, Kind::Constant(value), args),
            Lowering::Source => self.source_node(id),
            Lowering::Pointwise(op) => match op.signs() {
                Some(signs) => {
                    let mut terms = node.args().iter();
                    self.has_outer[id.index()] = terms.any(|a| self.has_outer[a.index()]);
                    self.sum(id, signs, &args)
                }
                None => self.push(id, Kind::Pointwise(op), args),
            },
            Lowering::Select => self.push(id, Kind::Select, args),
            Lowering::Spread => self.spread(id, args[0]),
            Lowering::Part(start) => self.push(id, Kind::Part(start), args),
            Lowering::Join => self.push(id, Kind::Join, args),
            Lowering::Transpose => {
                let [rows, columns] = extents[0];
                let from = crate::op::Strides {
                    rows: 1,
                    columns,
                    ..Default::default()
                };
                let to = crate::op::Strides {
                    rows,
                    columns: 1,
                    ..Default::default()
                };
                let moved = Move {
                    extent: [columns, rows],
                    from,
                    to,
                };
                self.push(id, Kind::Move(vec![moved]), args)
            }
            Lowering::Product => self.product(id, args, &extents),
            Lowering::Outer { strong } => {
                self.has_outer[id.index()] = true;
                let contract = Contract::product([out[0], 1], out[1], strong);
                self.push(id, Kind::Contract(contract), args)
            }
            Lowering::Total => self.total(id, node.args()[0]),
            // A value that does not vary with the step is the same at both ends.
            Lowering::Pick(_) if self.graph.nodes[args[0]].rate != Rate::Step => args[0],
            Lowering::Pool => self.push(id, Kind::Pool, args),
            Lowering::Pick(edge) => self.push(id, Kind::Pick(edge), args),
            Lowering::Impulse(edge) => self.push(id, Kind::Impulse(edge), args),
            Lowering::Move(moves) => self.push(id, Kind::Move(moves), args),
            Lowering::Contract(c) => self.push(id, Kind::Contract(c), args),
            Lowering::Reduce(op) => self.push(id, Kind::Reduce(op), args),
            Lowering::Dense(op) => {
                let extent = |a: &NodeId| extent(&self.tape.ty(*a).shape.values(self.sizes));
                let extents = node.args().iter().map(extent).collect();
                self.push(id, Kind::Dense(op, extents), args)
            }
            Lowering::Custom(op) => {
                let shape = |a: &NodeId| self.tape.ty(*a).shape.values(self.sizes);
                let shapes = node.args().iter().map(shape).collect();
                self.push(id, Kind::Custom(op, shapes), args)
            }
        };
        self.of.insert(id, made);
    }

    fn source_node(&mut self, id: NodeId) -> Id {
        match self.tape.node(id).op() {
            Op::Leaf(leaf) => {
                let node = self.push(id, Kind::Leaf(leaf.index()), vec![]);
                self.graph.call(node, self.tape.leaf(*leaf).name());
                node
            }
            _ => {
                let count = self.registers.len();
                let register = self.tape.register_read_by(id).map_or(0, |r| r.index());
                let index = *self.registers.entry(register).or_insert(count);
                self.push(id, Kind::Read(index), vec![])
            }
        }
    }

    fn spread(&mut self, id: NodeId, arg: Id) -> Id {
        match self.graph.nodes[arg].kind {
            Kind::Constant(value) => self.push(id, Kind::Constant(value), vec![]),
            _ if self.graph.nodes[arg].extent == self.extent(id) => arg,
            _ => self.push(id, Kind::Spread, vec![arg]),
        }
    }

    fn product(&mut self, id: NodeId, args: Vec<Id>, extents: &[Extent]) -> Id {
        let n = extents[1][1];
        let matrix = self.source(self.tape.node(id).args()[0]);
        let is_vector = self.tape.ty(id).shape.rank() == 1;
        if is_vector && self.tape.ty(matrix).rate == Rate::Static {
            return match self.lowering(matrix) {
                Lowering::Transpose => {
                    let matrix = self.of[&self.tape.node(matrix).args()[0]];
                    self.push(
                        id,
                        Kind::Product { transposed: true },
                        vec![matrix, args[1]],
                    )
                }
                _ => self.push(id, Kind::Product { transposed: false }, args),
            };
        }
        let contract = Contract::product(extents[0], n, false);
        self.push(id, Kind::Contract(contract), args)
    }

    /// The total of a sum of outer products, as a sum of totals; each is one matrix product.
    fn total(&mut self, id: NodeId, arg: NodeId) -> Id {
        enum Task {
            Total(NodeId),
            Add(Vec<i8>),
        }
        // The nesting of sums is not bounded, so the stack is explicit.
        let (mut tasks, mut made) = (vec![Task::Total(arg)], Vec::new());
        while let Some(task) = tasks.pop() {
            match task {
                Task::Total(arg) => match self.apart(id, arg) {
                    Some((signs, terms)) => {
                        tasks.push(Task::Add(signs));
                        tasks.extend(terms.into_iter().rev().map(Task::Total));
                    }
                    None => made.push(self.total_of_one(id, arg)),
                },
                Task::Add(signs) => {
                    let parts = made.split_off(made.len() - signs.len());
                    made.push(self.push(id, Kind::Sum(signs), parts));
                }
            }
        }
        made[0]
    }

    /// The signs and terms of a sum whose total is split into totals of the terms; `None` for any
    /// other node.
    fn apart(&self, id: NodeId, arg: NodeId) -> Option<(Vec<i8>, Vec<NodeId>)> {
        let (rate, source) = (self.tape.ty(id).rate, self.source(arg));
        let is_whole = rate == Rate::Static && self.tape.ty(source).rate == self.tape.ty(arg).rate;
        match self.lowering(source) {
            Lowering::Pointwise(op) if is_whole && self.has_outer[source.index()] => {
                Some((op.signs()?.to_vec(), self.tape.node(source).args().to_vec()))
            }
            _ => None,
        }
    }

    fn total_of_one(&mut self, id: NodeId, arg: NodeId) -> Id {
        let (rate, source) = (self.tape.ty(id).rate, self.source(arg));
        let from = self.tape.ty(arg).rate;
        let node = self.tape.node(source);
        if rate != Rate::Static || self.tape.ty(source).rate != from {
            return self.plain_total(id, arg);
        }
        let args: Vec<Id> = node.args().iter().map(|a| self.of[a]).collect();
        let varies = |this: &Self, a: &Id| this.graph.nodes[*a].rate == from;
        match self.lowering(source) {
            Lowering::Outer { strong } if args.iter().all(|a| varies(self, a)) => {
                self.push(id, Kind::OuterTotal { strong }, args)
            }
            Lowering::Move(moves) if moves.len() == 1 && args.iter().all(|a| varies(self, a)) => {
                self.push(id, Kind::MoveTotal(moves[0]), args)
            }
            _ => self.plain_total(id, arg),
        }
    }

    /// The sum of a value over all rows of its type. A value with fewer rows than its type is first
    /// repeated, because it counts once for every row.
    fn plain_total(&mut self, id: NodeId, arg: NodeId) -> Id {
        let (mut from, rate) = (self.of[&arg], self.tape.ty(arg).rate);
        if self.graph.nodes[from].rate != rate {
            let copy = Kind::Sum(vec![1]);
            from = self.graph.add_like(from, copy, vec![from], rate);
        }
        self.push(id, Kind::Total, vec![from])
    }

    /// Names an output. If it is a sum over time and the gradient of a parameter, its term is named
    /// as the cotangent of the parameter at each step.
    fn call_output(&mut self, id: Id, name: &str, role: Option<&Derived>) {
        let leaf = |of: &str| self.tape.leaf_named(of).is_some();
        let is_leaf = matches!(role, Some(Derived::Cotangent(of)) if leaf(of));
        let node = &self.graph.nodes[id];
        if let (true, Kind::Total, Some(term)) = (is_leaf, &node.kind, node.args.first().copied()) {
            self.graph.call(term, format!("{name}.bar"));
        }
        self.graph.call(id, format!("output {name}"));
    }

    fn finish(mut self, recurrence: &Recurrence) -> Graph {
        let mut registers: Vec<Option<Register>> = vec![None; self.registers.len()];
        self.graph.carried = vec![NodeId::new(0); registers.len()];
        self.graph.of = self.of.iter().map(|(node, id)| (*node, *id)).collect();
        self.graph.of.sort_unstable();
        for (register, index) in &self.registers {
            let register = &self.tape.registers()[*register];
            let def = register
                .def
                .expect("a finished recurrence has its registers");
            let node = self.of[&def];
            self.graph.call(node, register.name());
            self.graph.carried[*index] = def;
            registers[*index] = Some(Register {
                direction: register.direction,
                init: register.init.map(|i| self.of[&i]),
                def: node,
            });
        }
        self.graph.registers = registers.into_iter().flatten().collect();
        for (name, id) in recurrence.output_nodes() {
            let (ty, node) = (self.tape.ty(id), self.of[&id]);
            self.call_output(node, name, recurrence.role(name));
            self.graph.outputs.push(Output {
                name: name.to_string(),
                node,
                shape: ty.shape.values(self.sizes),
                rate: ty.rate,
            });
        }
        self.join_sums();
        self.graph
    }
}

/// The vectors a product multiplies, in order.
pub(super) fn vectors(graph: &Graph, id: Id) -> Vec<Id> {
    let node = &graph.nodes[id];
    match node.kind {
        Kind::Gemm { init, .. } => {
            let pairs = &node.args[usize::from(init)..];
            pairs.chunks(2).filter_map(|p| p.get(1).copied()).collect()
        }
        _ => Vec::new(),
    }
}
