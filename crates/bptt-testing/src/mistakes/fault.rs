//! Faults, and the kinds of places at which they may be made.

use bptt::{NodeId, Op, Recurrence};

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
    /// The same for one use of the gate in a derivative, or for all of them.
    ComplementUse,
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
pub const FAULTS: [Fault; 30] = [
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
    Fault::ComplementUse,
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
    /// The partial derivatives of every use of a function, by its name.
    EveryFunction(&'static str),
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
                | Self::IgnoreCondition
                | Self::ComplementUse
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

/// The gate `z` of `1 − z`.
pub(super) fn complement_of(graph: &Recurrence, id: NodeId) -> Option<NodeId> {
    let tape = graph.tape();
    let node = tape.node(id);
    let is_gate = |id: NodeId| tape.node(id).op().name() == "sigmoid";
    match (node.op().name(), node.args()) {
        ("sub", [_, gate]) if is_gate(*gate) => Some(*gate),
        _ => None,
    }
}
