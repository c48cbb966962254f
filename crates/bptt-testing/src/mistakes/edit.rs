//! Faults at one place of a graph: the first-order mutants of a recurrence or of its gradient.

use bptt::{
    Direction, Edge, Edit, Expr, NodeId, NodeSite, Notation, Op, Rate, Recurrence, Register,
    RegisterEdit, RegisterId, RegisterSite,
};

/// A fault at one place of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A term of a sum or difference is left out.
    DropTerm,
    /// A term of a sum or difference counts twice.
    DoubleTerm,
    /// A factor of an elementwise product is left out.
    DropFactor,
    /// The factors of an outer product are exchanged.
    SwapFactors,
    /// A transpose is left out.
    DropTranspose,
    /// A square matrix is transposed.
    Transpose,
    /// A sign is wrong.
    FlipSign,
    /// `h_t` stands for `h_{t−1}`.
    NewForPrevious,
    /// `h_{t−1}` stands for `h_t`.
    PreviousForNew,
    /// A use of a state takes zero for its start.
    ForgetStart,
    /// A factor is another named value.
    OtherFactor,
    /// A value of a derivative is zero: no derivative goes through it.
    Detach,
    /// A value of a derivative has the wrong sign.
    Negate,
    /// A register runs in the other direction of time.
    ReverseTime,
    /// A register is always at its start after the first step: the carry is cut.
    CutCarry,
    /// A register has its start at every step.
    StartAtEveryStep,
    /// A register starts at zero.
    StartAtZero,
    /// The first value stands for the last, or the reverse.
    WrongEnd,
    /// A sum over steps has its last term only.
    OnlyLastStep,
    /// A sum over steps has its first term only.
    OnlyFirstStep,
    /// A condition is taken as always true.
    IgnoreCondition,
    /// The loss counts every class but the right one.
    WrongClass,
    /// An elementwise factor of a product with a matrix moves to the other side of the matrix.
    MoveFactor,
    /// A gate `z` stands for `1 − z`.
    Complement,
    /// `tanh` and `sigmoid` are exchanged.
    OtherFunction,
    /// A function of one number is left out.
    DropFunction,
    /// The derivative of a function takes its argument where it needs its value.
    ArgumentForValue,
    /// The derivative of a function is taken at its value instead of at its argument.
    ValueForArgument,
    /// The derivative of `tanh` stands for that of `sigmoid`, or the reverse.
    OtherDerivative,
}

/// Every fault.
pub const FAULTS: [Fault; 29] = [
    Fault::DropTerm,
    Fault::DoubleTerm,
    Fault::DropFactor,
    Fault::SwapFactors,
    Fault::DropTranspose,
    Fault::Transpose,
    Fault::FlipSign,
    Fault::NewForPrevious,
    Fault::PreviousForNew,
    Fault::ForgetStart,
    Fault::OtherFactor,
    Fault::Detach,
    Fault::Negate,
    Fault::ReverseTime,
    Fault::CutCarry,
    Fault::StartAtEveryStep,
    Fault::StartAtZero,
    Fault::WrongEnd,
    Fault::OnlyLastStep,
    Fault::OnlyFirstStep,
    Fault::IgnoreCondition,
    Fault::WrongClass,
    Fault::MoveFactor,
    Fault::Complement,
    Fault::OtherFunction,
    Fault::DropFunction,
    Fault::ArgumentForValue,
    Fault::ValueForArgument,
    Fault::OtherDerivative,
];

/// The place of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Node(NodeId),
    /// An argument of a node, by its index.
    Argument(NodeId, usize),
    /// An argument of a node, and the value in its place.
    Replace(NodeId, usize, NodeId),
    Register(usize),
    /// Every register that carries a derivative; the derivative of a start is then that of the last step, if true.
    Cotangents(bool),
    /// All of these arguments, and the description of them.
    Every(Vec<(NodeId, usize)>, String),
}

/// A graph with one fault.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The fault.
    pub fault: Fault,
    /// The place, in words and in the recurrence language.
    pub place: String,
    /// The graph.
    pub graph: Recurrence,
}

/// A place at which a fault may apply; the graph is built by [`Site::mutant`].
#[derive(Clone, Debug)]
pub struct Site {
    fault: Fault,
    place: Place,
}

impl Site {
    /// The graph with the fault; `None` if the fault does not apply here, changes nothing, or gives no recurrence.
    #[must_use]
    pub fn mutant(&self, graph: &Recurrence) -> Option<Mutant> {
        let mut mutation = Mutation {
            fault: self.fault,
            place: &self.place,
            graph,
            forward: live(graph),
            applied: false,
        };
        let mutant = graph.edit(&mut mutation).ok()?;
        let applied = mutation.applied;
        applied.then(|| Mutant {
            fault: self.fault,
            place: self.describe(graph),
            graph: mutant,
        })
    }

    fn describe(&self, graph: &Recurrence) -> String {
        let node = |argument, id| describe(self.fault, argument, graph, id);
        match &self.place {
            Place::Node(id) => node(None, *id),
            Place::Argument(id, i) => node(Some(*i), *id),
            Place::Replace(id, i, other) => {
                format!("{} for {}", shown(graph, *other), node(Some(*i), *id))
            }
            Place::Register(i) => format!("`{}`", graph.tape().registers()[*i].name()),
            Place::Cotangents(_) => "all states".into(),
            Place::Every(_, text) => text.clone(),
        }
    }
}

/// The places at which a fault may apply.
#[must_use]
pub fn sites(graph: &Recurrence, fault: Fault) -> Vec<Site> {
    let tape = graph.tape();
    let mut places = Vec::new();
    match fault {
        Fault::ReverseTime | Fault::CutCarry | Fault::StartAtEveryStep | Fault::StartAtZero => {
            if fault == Fault::ReverseTime {
                places.extend([Place::Cotangents(true), Place::Cotangents(false)]);
            }
            places.extend((0..tape.registers().len()).map(Place::Register));
        }
        Fault::OtherFactor => places.extend(replacements(graph)),
        _ if fault.takes_an_argument() => {
            let nodes = tape.nodes();
            let args = nodes.flat_map(|(id, node)| (0..node.args().len()).map(move |i| (id, i)));
            let args: Vec<(NodeId, usize)> = args.collect();
            places.extend(groups(graph, fault, &args));
            places.extend(args.into_iter().map(|(id, i)| Place::Argument(id, i)));
        }
        _ => places.extend(tape.nodes().map(|(id, _)| Place::Node(id))),
    }
    places
        .into_iter()
        .map(|place| Site { fault, place })
        .collect()
}

/// Arguments at which a fault is often made together: the uses of a state in a derivative, the biases, the matrices.
fn groups(graph: &Recurrence, fault: Fault, args: &[(NodeId, usize)]) -> Vec<Place> {
    let tape = graph.tape();
    let forward = live(graph);
    let arg = |(id, i): &(NodeId, usize)| tape.node(*id).args()[*i];
    let every = |of: &dyn Fn(&(NodeId, usize)) -> bool, text: String| {
        let members: Vec<(NodeId, usize)> = args.iter().filter(|a| of(a)).copied().collect();
        (members.len() > 1).then_some(Place::Every(members, text))
    };
    let of_registers = |carried: bool| {
        let registers = tape.registers().iter().enumerate();
        let groups = registers.filter_map(|(r, register)| {
            let uses = |a: &(NodeId, usize)| {
                let is_it = match tape.node(arg(a)).op() {
                    Op::Read(read) => !carried && read.index() == r,
                    _ => carried && register.def() == Some(arg(a)),
                };
                is_it && !forward[a.0.index()]
            };
            every(
                &uses,
                format!("every use of `{}` in the backward pass", register.name()),
            )
        });
        groups.collect()
    };
    match fault {
        Fault::NewForPrevious | Fault::ForgetStart => of_registers(false),
        Fault::PreviousForNew => of_registers(true),
        Fault::DropTerm | Fault::DoubleTerm => {
            let is_bias = |a: &(NodeId, usize)| {
                let id = arg(a);
                let held = tape.node(id);
                let leaf = matches!((held.op(), held.args()), (Op::Time(_), [leaf])
                    if matches!(tape.node(*leaf).op(), Op::Leaf(_)));
                leaf && matches!(tape.node(a.0).op().name(), "add" | "sub")
                    && tape.ty(id).shape.rank() == 1
            };
            every(&is_bias, "every bias".into()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The factors of elementwise products, each with the named values that could stand there.
fn replacements(graph: &Recurrence) -> Vec<Place> {
    let tape = graph.tape();
    let is_named = |id: NodeId| {
        let inner = !matches!(tape.node(id).op(), Op::Leaf(_));
        inner && (tape.label(id).is_some() || matches!(tape.node(id).op(), Op::Read(_)))
    };
    let named: Vec<NodeId> = tape
        .nodes()
        .map(|(id, _)| id)
        .filter(|id| is_named(*id))
        .collect();
    let mut found = Vec::new();
    for (id, node) in tape.nodes().filter(|(_, node)| node.op().name() == "mul") {
        for (i, arg) in node
            .args()
            .iter()
            .enumerate()
            .filter(|(_, arg)| is_named(**arg))
        {
            let others = named
                .iter()
                .filter(|o| *o != arg && tape.ty(**o) == tape.ty(*arg));
            found.extend(others.map(|other| Place::Replace(id, i, *other)));
        }
    }
    found
}

/// All mutants with one fault: first-order mutants.
pub fn mutants(graph: &Recurrence, fault: Fault) -> impl Iterator<Item = Mutant> + '_ {
    let sites = sites(graph, fault).into_iter();
    sites.filter_map(|site| site.mutant(graph))
}

impl Fault {
    /// The fault belongs to one argument of a node.
    const fn takes_an_argument(self) -> bool {
        matches!(
            self,
            Self::DropTerm
                | Self::DoubleTerm
                | Self::DropFactor
                | Self::FlipSign
                | Self::NewForPrevious
                | Self::PreviousForNew
                | Self::ForgetStart
                | Self::MoveFactor
                | Self::Transpose
        )
    }
}

impl Fault {
    /// The fault concerns the partial derivative of a function.
    const fn is_of_a_function(self) -> bool {
        matches!(
            self,
            Self::ArgumentForValue | Self::ValueForArgument | Self::OtherDerivative
        )
    }
}

/// For each node, true if the loss depends on it.
fn live(graph: &Recurrence) -> Vec<bool> {
    let tape = graph.tape();
    let mut live = vec![false; tape.len()];
    let mut stack = graph.output_node("loss").into_iter().collect::<Vec<_>>();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut live[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        stack.extend(node.args());
        if let Op::Read(r) = node.op() {
            let register = &tape.registers()[r.index()];
            stack.extend(register.init().into_iter().chain(register.def()));
        }
    }
    live
}

/// The value that is carried to this read, and the register.
fn carried(graph: &Recurrence, id: NodeId) -> Option<NodeId> {
    match graph.tape().node(id).op() {
        Op::Read(r) => graph.tape().registers()[r.index()].def(),
        _ => None,
    }
}

struct Mutation<'g> {
    fault: Fault,
    place: &'g Place,
    graph: &'g Recurrence,
    /// The nodes that the loss depends on; the others belong to derivatives.
    forward: Vec<bool>,
    applied: bool,
}

impl<'b> Edit<'b> for Mutation<'_> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let broken = match self.place {
            Place::Argument(id, i) if *id == site.id => self.argument(&site, *i),
            Place::Every(args, _) => self.arguments(&site, args),
            Place::Replace(id, i, other) if *id == site.id => {
                let mut args = site.args.clone();
                site.earlier(*other).map(|other| {
                    args[*i] = other;
                    site.with_args(&args)
                })
            }
            Place::Node(id) if self.fault.is_of_a_function() => self.derivative(&site, *id),
            Place::Node(id) if *id == site.id => self.broken(&site),
            Place::Register(i) => self.read(&site, *i),
            Place::Cotangents(true) => {
                // A start has the derivative that is carried last.
                let is_first = matches!(site.node.op().notation(), Notation::Call { text, .. } if text == "first");
                let of_derivative =
                    !self.forward[site.id.index()] && site.node.op().name() == "pick";
                return match is_first && of_derivative {
                    true => site.args[0].last(),
                    false => site.copy(),
                };
            }
            _ => None,
        };
        self.applied |= broken.is_some();
        broken.unwrap_or_else(|| site.copy())
    }

    fn direction(&mut self, id: RegisterId, register: &Register) -> Direction {
        let here = match self.place {
            Place::Cotangents(_) => register.name().ends_with(".bar"),
            place => *place == Place::Register(id.index()),
        };
        if here && self.fault == Fault::ReverseTime {
            self.applied = true;
            return register.direction().reversed();
        }
        register.direction()
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let mut edit = RegisterEdit {
            init: site.init,
            def: site.def,
        };
        if *self.place == Place::Register(site.id.index()) {
            match self.fault {
                Fault::CutCarry => edit.def = site.def.full_like(0.0),
                Fault::StartAtZero if edit.init.is_some() => edit.init = None,
                _ => return edit,
            }
            self.applied = true;
        }
        edit
    }
}

impl Mutation<'_> {
    /// A fault of several arguments of a node.
    fn arguments<'b>(&self, site: &NodeSite<'_, 'b>, all: &[(NodeId, usize)]) -> Option<Expr<'b>> {
        let here: Vec<usize> = all
            .iter()
            .filter(|(id, _)| *id == site.id)
            .map(|(_, i)| *i)
            .collect();
        match here[..] {
            [] => None,
            [i] => self.argument(site, i),
            // A square takes the value twice.
            _ => {
                let args = site.node.args().iter().enumerate();
                let args = args.map(|(i, id)| match here.contains(&i) {
                    true => self.neighbour(site, *id, site.args[i]),
                    false => Some(site.args[i]),
                });
                Some(site.with_args(&args.collect::<Option<Vec<_>>>()?))
            }
        }
    }

    /// The other value of a state that a fault takes: the new for the previous, the previous for the new, or the previous
    /// with zero for its start.
    fn neighbour<'b>(
        &self,
        site: &NodeSite<'_, 'b>,
        id: NodeId,
        copy: Expr<'b>,
    ) -> Option<Expr<'b>> {
        let tape = self.graph.tape();
        match (self.fault, tape.node(id).op()) {
            (Fault::NewForPrevious, Op::Read(_)) => site.earlier(carried(self.graph, id)?),
            (Fault::PreviousForNew, _) => {
                let is_read = |n: NodeId| carried(self.graph, n) == Some(id);
                let (read, _) = tape.nodes().find(|(n, _)| is_read(*n))?;
                site.earlier(read)
            }
            (Fault::ForgetStart, Op::Read(r)) => {
                let register = &tape.registers()[r.index()];
                let edge = match register.direction() {
                    Direction::Forward => Edge::First,
                    Direction::Backward => Edge::Last,
                };
                let init = site.earlier(register.init()?)?.hold(Rate::Sample);
                Some(copy - init.impulse(edge))
            }
            _ => None,
        }
    }

    /// A fault of one argument.
    fn argument<'b>(&self, site: &NodeSite<'_, 'b>, i: usize) -> Option<Expr<'b>> {
        let copy = site.copy();
        let fits =
            |e: Expr<'b>| (e.shape() == copy.shape() && e.rate() == copy.rate()).then_some(e);
        let args = &site.args;
        let other = || args.get(1 - i).copied();
        match (self.fault, site.node.op().name(), i) {
            (Fault::DropTerm, "add", _) | (Fault::DropTerm, "sub", 1) => fits(other()?),
            (Fault::DropTerm, "sub", 0) => fits(-other()?),
            (Fault::DoubleTerm, "add", _) | (Fault::DoubleTerm, "sub", 0) => Some(copy + args[i]),
            (Fault::DoubleTerm, "sub", 1) => Some(copy - args[i]),
            (Fault::DropFactor, "mul", _) => fits(other()?),
            (Fault::FlipSign, "neg", 0) => Some(args[0]),
            (Fault::FlipSign, "sub", 1) => Some(args[0] + args[1]),
            (Fault::FlipSign, "add", _) => Some(other()? - args[i]),
            (Fault::NewForPrevious | Fault::PreviousForNew | Fault::ForgetStart, ..) => {
                let id = *site.node.args().get(i)?;
                let twice = site.node.args().iter().filter(|arg| **arg == id).count() > 1;
                if twice && i > 0 {
                    return None;
                }
                let other = self.neighbour(site, id, args[i])?;
                let args = site.node.args().iter().zip(args);
                let args: Vec<Expr<'b>> = args
                    .map(|(a, e)| if *a == id { other } else { *e })
                    .collect();
                fits(site.with_args(&args))
            }
            (Fault::Transpose, "matmul", 0) => {
                let shape = args[0].shape()?;
                let dims = shape.dims();
                (dims.len() == 2 && dims[0] == dims[1]).then(|| args[0].t().dot(args[1]))
            }
            (Fault::MoveFactor, ..) => self.moved(site, i),
            _ => None,
        }
    }

    /// `r ⊙ (W v)` for `W (r ⊙ v)` and the reverse; a bias that is added to `W v` stays outside.
    fn moved<'b>(&self, site: &NodeSite<'_, 'b>, i: usize) -> Option<Expr<'b>> {
        let tape = self.graph.tape();
        let earlier = |id: NodeId| site.earlier(id);
        let arg = *site.node.args().get(i)?;
        let inner = tape.node(arg);
        match (site.node.op().name(), inner.op().name()) {
            ("matmul", "mul") if i == 1 => {
                let [a, b] = [earlier(inner.args()[0])?, earlier(inner.args()[1])?];
                // The factor is the one that is no state.
                let (factor, vector) = match tape.node(inner.args()[0]).op() {
                    Op::Read(_) => (b, a),
                    _ => (a, b),
                };
                let moved = factor * site.args[0].dot(vector);
                (moved.shape() == site.copy().shape()).then_some(moved)
            }
            ("mul", "matmul") => {
                let factor = site.args[1 - i];
                let (w, v) = (earlier(inner.args()[0])?, earlier(inner.args()[1])?);
                (v.shape() == factor.shape()).then(|| w.dot(factor * v))
            }
            ("mul", "add") => {
                let factor = site.args[1 - i];
                let (product, bias) = (inner.args()[0], inner.args()[1]);
                let inner = tape.node(product);
                if inner.op().name() != "matmul" {
                    return None;
                }
                let (w, v) = (earlier(inner.args()[0])?, earlier(inner.args()[1])?);
                let bias = earlier(bias)?;
                (v.shape() == factor.shape()).then(|| w.dot(factor * v) + bias)
            }
            _ => None,
        }
    }

    /// A fault of a whole node.
    fn broken<'b>(&self, site: &NodeSite<'_, 'b>) -> Option<Expr<'b>> {
        let copy = site.copy();
        let fits =
            |e: Expr<'b>| (e.shape() == copy.shape() && e.rate() == copy.rate()).then_some(e);
        let args = &site.args;
        match (self.fault, site.node.op().name()) {
            (Fault::SwapFactors, "outer") => fits(args[1].outer(args[0])),
            (Fault::DropTranspose, "transpose") => fits(args[0]),
            (Fault::WrongEnd, "pick") => match site.node.op().notation() {
                Notation::Call { text, .. } if text == "first" => Some(args[0].last()),
                _ => Some(args[0].first()),
            },
            (Fault::OnlyLastStep, "total") if args[0].rate() == Some(Rate::Step) => {
                Some(args[0].last().total(site.node.ty().rate))
            }
            (Fault::OnlyFirstStep, "total") if args[0].rate() == Some(Rate::Step) => {
                Some(args[0].first().total(site.node.ty().rate))
            }
            (Fault::IgnoreCondition, "select") => fits(args[1]),
            (Fault::Detach, _) if self.is_cotangent(site) => Some(copy.full_like(0.0)),
            (Fault::Negate, _) if self.is_cotangent(site) => Some(-copy),
            (Fault::WrongClass, "scatter") => Some(copy.full_like(1.0) - copy),
            (Fault::Complement, "sigmoid") => Some(copy.full_like(1.0) - copy),
            (Fault::OtherFunction, "sigmoid") => Some(args[0].tanh()),
            (Fault::OtherFunction, "tanh") => Some(args[0].sigmoid()),
            (Fault::OtherFunction, "relu") => Some(args[0].tanh()),
            (Fault::DropFunction, _) if matches!(site.node.op(), Op::Pointwise(_)) => {
                (args.len() == 1 && site.node.op().name() != "neg").then(|| fits(args[0]))?
            }
            _ => None,
        }
    }

    /// A read that has its start at every step.
    fn read<'b>(&self, site: &NodeSite<'_, 'b>, register: usize) -> Option<Expr<'b>> {
        match site.node.op() {
            Op::Read(r) if r.index() == register && self.fault == Fault::StartAtEveryStep => {
                // From zero, this is a carry that is cut.
                site.init.map(|init| init.hold(Rate::Step))
            }
            _ => None,
        }
    }

    /// Returns true if the node is a sum or a product of a derivative that varies with the step.
    fn is_cotangent(&self, site: &NodeSite<'_, '_>) -> bool {
        let is_inner = matches!(
            site.node.op().name(),
            "mul" | "add" | "sub" | "matmul" | "select"
        );
        is_inner
            && !self.forward[site.id.index()]
            && site.node.ty().rate == Rate::Step
            && site.node.ty().shape.rank() > 0
    }

    /// A fault of the partial derivative of the function in the node `of`: the nodes that only it and constants lead to,
    /// and that the loss does not depend on.
    fn derivative<'b>(&self, site: &NodeSite<'_, 'b>, of: NodeId) -> Option<Expr<'b>> {
        let tape = self.graph.tape();
        let function = tape.node(of);
        let is_function = matches!(function.op(), Op::Pointwise(_)) && function.args().len() == 1;
        if !is_function || !self.forward[of.index()] || !self.is_partial(site.id, of) {
            return None;
        }
        let value = site.earlier(of)?;
        if self.fault == Fault::OtherDerivative {
            if !self.is_whole_partial(site.id, of) {
                return None;
            }
            let one = value.full_like(1.0);
            return match function.op().name() {
                "sigmoid" => Some(one - value * value),
                "tanh" => Some(value * (one - value)),
                _ => None,
            };
        }
        if !site.node.args().contains(&of) {
            return None;
        }
        let wrong = match self.fault {
            Fault::ArgumentForValue => site.earlier(function.args()[0])?,
            _ => match function.op().name() {
                "sigmoid" => value.sigmoid(),
                "tanh" => value.tanh(),
                _ => return None,
            },
        };
        let args = site.node.args().iter().zip(&site.args);
        let args: Vec<Expr<'b>> = args
            .map(|(id, a)| if *id == of { wrong } else { *a })
            .collect();
        Some(site.with_args(&args))
    }

    /// Returns true if the node is the partial derivative itself: some value that uses it is not part of it.
    fn is_whole_partial(&self, id: NodeId, of: NodeId) -> bool {
        let users = self
            .graph
            .tape()
            .nodes()
            .filter(|(_, node)| node.args().contains(&id));
        users
            .into_iter()
            .any(|(user, _)| !self.is_partial(user, of))
    }

    /// Returns true if a node of a derivative depends on `of` and otherwise on constants only.
    fn is_partial(&self, id: NodeId, of: NodeId) -> bool {
        let args = self.graph.tape().node(id).args();
        let partial = |arg: NodeId| arg == of || self.is_partial(arg, of);
        !self.forward[id.index()]
            && args.iter().any(|arg| partial(*arg))
            && args
                .iter()
                .all(|arg| partial(*arg) || self.is_constant(*arg))
    }

    fn is_constant(&self, id: NodeId) -> bool {
        let node = self.graph.tape().node(id);
        match node.op() {
            Op::Constant(_) => true,
            Op::Leaf(_) | Op::Read(_) => false,
            _ => node.args().iter().all(|arg| self.is_constant(*arg)),
        }
    }
}

/// The longest expression that is printed whole.
const LONGEST: usize = 72;

/// The expression of a node, cut if it is long.
pub(crate) fn shown(graph: &Recurrence, id: NodeId) -> String {
    let text = graph.tape().expression(id);
    match text.chars().count() > LONGEST {
        true => {
            let start: String = text.chars().take(LONGEST - 2).collect();
            format!("`{start} …`")
        }
        false => format!("`{text}`"),
    }
}

fn describe(fault: Fault, argument: Option<usize>, graph: &Recurrence, id: NodeId) -> String {
    let definition = |id: NodeId| {
        let text = graph.tape().definition(id);
        let count = text.chars().count();
        let start: String = text.chars().take(LONGEST - 2).collect();
        match count > LONGEST {
            true => format!("`{start} …`"),
            false => format!("`{text}`"),
        }
    };
    let node = graph.tape().node(id);
    let whole = match graph.tape().label(id) {
        Some(name) => format!("`{name}` = {}", definition(id)),
        None => definition(id),
    };
    match argument.and_then(|i| node.args().get(i)) {
        Some(arg) if !matches!(fault, Fault::FlipSign if node.args().len() == 1) => {
            format!("{} in {whole}", shown(graph, *arg))
        }
        _ => whole,
    }
}
