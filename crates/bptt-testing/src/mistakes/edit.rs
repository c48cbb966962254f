//! Faults, and the places of a graph at which they may be made: the first-order mutants of a recurrence or of its gradient.

use bptt::{NodeId, Op, Recurrence};

use super::mutation::Mutation;

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
pub(super) enum Place {
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
        let mut mutation = Mutation::new(self.fault, &self.place, graph);
        let mutant = graph.edit(&mut mutation).ok()?;
        let applied = mutation.is_applied();
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
        _ => {
            if fault == Fault::IgnoreCondition {
                places.extend(uses_of_conditions(graph));
            }
            places.extend(tape.nodes().map(|(id, _)| Place::Node(id)));
        }
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

/// The two choices of a derivative that belong to one choice of the recurrence: `δ` goes to the value that was taken, and
/// zero to the other. A mask that is forgotten in the backward pass is forgotten in both.
fn uses_of_conditions(graph: &Recurrence) -> Vec<Place> {
    let tape = graph.tape();
    let forward = live(graph);
    let choices = tape
        .nodes()
        .filter(|(id, node)| node.op().name() == "select" && !forward[id.index()]);
    let choices: Vec<(NodeId, &[NodeId])> = choices.map(|(id, node)| (id, node.args())).collect();
    let pairs = choices.iter().flat_map(|(first, a)| {
        let mirrored = choices
            .iter()
            .filter(|(_, b)| a[0] == b[0] && a[1] == b[2] && a[1] != a[2]);
        mirrored.map(move |(second, _)| (*first, *second, a[0]))
    });
    let place = |(first, second, condition)| {
        let text = format!("{} in the backward pass", shown(graph, condition));
        Place::Every(vec![(first, 0), (second, 0)], text)
    };
    pairs.map(place).collect()
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
    pub(super) const fn takes_an_argument(self) -> bool {
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
    pub(super) const fn is_of_a_function(self) -> bool {
        matches!(
            self,
            Self::ArgumentForValue | Self::ValueForArgument | Self::OtherDerivative
        )
    }
}

/// For each node, true if the loss depends on it.
pub(super) fn live(graph: &Recurrence) -> Vec<bool> {
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
pub(super) fn carried(graph: &Recurrence, id: NodeId) -> Option<NodeId> {
    match graph.tape().node(id).op() {
        Op::Read(r) => graph.tape().registers()[r.index()].def(),
        _ => None,
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
