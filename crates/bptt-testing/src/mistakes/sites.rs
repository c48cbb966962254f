//! The places of a graph at which faults may be made: the first-order mutants of a recurrence or of its gradient.

use bptt::{NodeId, Op, Recurrence, Shape};

use super::fault::{Fault, Place, complement_of, live};
use super::mutation::Mutation;

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
            Place::EveryFunction(name) => format!("every `{name}`"),
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
        Fault::IgnoreCondition => {
            places.extend(uses_of_conditions(graph));
            let choices = tape
                .nodes()
                .filter(|(_, node)| node.op().name() == "select");
            places.extend(choices.flat_map(|(id, _)| [1, 2].map(|i| Place::Argument(id, i))));
        }
        _ if fault.takes_an_argument() => {
            let nodes = tape.nodes();
            let args = nodes.flat_map(|(id, node)| (0..node.args().len()).map(move |i| (id, i)));
            let args: Vec<(NodeId, usize)> = args.collect();
            places.extend(groups(graph, fault, &args));
            places.extend(args.into_iter().map(|(id, i)| Place::Argument(id, i)));
        }
        _ => {
            match fault {
                Fault::DropTranspose => places.extend(all_transposes(graph)),
                Fault::OnlyFirstStep | Fault::OnlyLastStep => places.extend(sums_over_steps(graph)),
                _ if fault.is_of_a_function() => {
                    places.extend(["sigmoid", "tanh"].map(Place::EveryFunction));
                }
                _ => {}
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
            let shape_of_bias = |a: &(NodeId, usize)| {
                let held = tape.node(arg(a));
                let is_leaf = matches!((held.op(), held.args()), (Op::Time(_), [leaf])
                    if matches!(tape.node(*leaf).op(), Op::Leaf(_)));
                let is_term = matches!(tape.node(a.0).op().name(), "add" | "sub");
                let shape = tape.ty(arg(a)).shape;
                (is_leaf && is_term && shape.rank() == 1).then_some(shape)
            };
            let mut shapes: Vec<_> = args.iter().filter_map(shape_of_bias).collect();
            shapes.dedup();
            let text = |shape: Option<Shape>| {
                let members = args
                    .iter()
                    .filter(|a| shape_of_bias(a).is_some_and(|own| shape.is_none_or(|s| s == own)));
                let mut names: Vec<String> = members.map(|a| shown(graph, arg(a))).collect();
                names.dedup();
                names.join(", ")
            };
            let each = shapes.iter().map(|shape| {
                every(
                    &|a| shape_of_bias(a).as_ref() == Some(shape),
                    text(Some(*shape)),
                )
            });
            let all = every(&|a| shape_of_bias(a).is_some(), text(None));
            each.chain([all]).flatten().collect()
        }
        Fault::ComplementUse => {
            let gates = tape
                .nodes()
                .filter(|(_, node)| node.op().name() == "sigmoid");
            let groups = gates.filter_map(|(gate, _)| {
                let uses = |a: &(NodeId, usize)| {
                    let is_gate = arg(a) == gate || complement_of(graph, arg(a)) == Some(gate);
                    is_gate && !forward[a.0.index()] && tape.node(a.0).op().name() == "mul"
                };
                every(
                    &uses,
                    format!("every use of {} in the backward pass", shown(graph, gate)),
                )
            });
            groups.collect()
        }
        _ => Vec::new(),
    }
}

/// The transposes of the backward pass, if there are several.
fn all_transposes(graph: &Recurrence) -> Option<Place> {
    let forward = live(graph);
    let nodes = graph.tape().nodes();
    let transposes =
        nodes.filter(|(id, node)| node.op().name() == "transpose" && !forward[id.index()]);
    let transposes: Vec<(NodeId, usize)> = transposes.map(|(id, _)| (id, 0)).collect();
    let text = "every square matrix of the backward pass".to_owned();
    (transposes.len() > 1).then_some(Place::Every(transposes, text))
}

/// The sums over steps of a derivative, all and by the vector that they are products with: a `+=` that is forgotten in a loop
/// over gates is forgotten for each.
fn sums_over_steps(graph: &Recurrence) -> Vec<Place> {
    let tape = graph.tape();
    let forward = live(graph);
    let sums = tape
        .nodes()
        .filter(|(id, node)| node.op().name() == "total" && !forward[id.index()]);
    // The vector that the term is a product with, and whether it depends on what is carried back.
    let kind = |id: NodeId| {
        let arg = tape.node(id).args()[0];
        let term = tape.node(arg);
        let factor = (term.op().name() == "outer").then(|| term.args()[1].index());
        (is_carried(graph, arg), factor)
    };
    let sums: Vec<(NodeId, (bool, Option<usize>))> = sums.map(|(id, _)| (id, kind(id))).collect();
    let every = |members: Vec<NodeId>| {
        let text: Vec<String> = members.iter().map(|id| shown(graph, *id)).collect();
        let members: Vec<(NodeId, usize)> = members.into_iter().map(|id| (id, 0)).collect();
        (members.len() > 1).then(|| Place::Every(members, text.join(", ")))
    };
    let of = |test: &dyn Fn((bool, Option<usize>)) -> bool| {
        every(
            sums.iter()
                .filter(|(_, kind)| test(*kind))
                .map(|(id, _)| *id)
                .collect(),
        )
    };
    let mut kinds: Vec<(bool, Option<usize>)> = sums.iter().map(|(_, kind)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let groups = kinds.into_iter().map(|kind| of(&|other| other == kind));
    [of(&|_| true), of(&|(carried, _)| carried)]
        .into_iter()
        .chain(groups)
        .flatten()
        .collect()
}

/// Returns true if a value depends on a derivative that is carried from step to step.
fn is_carried(graph: &Recurrence, id: NodeId) -> bool {
    let tape = graph.tape();
    let mut seen = vec![false; tape.len()];
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        if let Op::Read(r) = node.op()
            && tape.registers()[r.index()].name().ends_with(".bar")
        {
            return true;
        }
        stack.extend(node.args());
    }
    false
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
        [1, 2].map(|i| Place::Every(vec![(first, i), (second, i)], text.clone()))
    };
    pairs.flat_map(place).collect()
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
