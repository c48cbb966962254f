//! Names for unnamed values that a derivation refers to: arguments and results of nonlinear functions, values that
//! are used twice, and values that a register carries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::derive::algebra::term::Name;
use crate::error::Result;
use crate::op::{Linear, NodeId, Notation, Op};
use crate::recurrence::Recurrence;
use crate::shape::Rate;
use crate::tape::{Direction, Tape};

/// The recurrence with these values named.
pub(crate) fn named(recurrence: &Recurrence) -> Result<Recurrence> {
    let loss = recurrence.loss_node()?;
    let tape = recurrence.tape();
    let live = tape.live(std::iter::once(loss));
    let outside_loss = outside_loss(tape);
    let uses = uses(tape, &live);
    let mut namer = Namer::new(recurrence);
    // A carried value is read at another step, so it needs a name.
    for register in tape.registers() {
        if let Some(def) = register.def().filter(|d| !is_read(tape, *d)) {
            namer.name(tape, def, "v");
        }
    }
    for (id, node) in tape.nodes() {
        let wanted = live[id.index()] && node.ty().is_real() && node.ty().rate == Rate::Step;
        if !wanted || !outside_loss[id.index()] {
            continue;
        }
        if is_function(node.op()) {
            let result = namer.name(tape, id, "m");
            if let [argument] = node.args()
                && is_composite(tape, *argument)
            {
                let name = match &*result {
                    // `h = tanh(a)`: the argument of a state is called `a`.
                    name if tape.registers().iter().any(|r| r.name() == name) => "a".into(),
                    name => format!("a_{name}"),
                };
                namer.name(tape, *argument, &name);
            }
        } else if uses[id.index()] > 1 && is_composite(tape, id) && tape.fill(id).is_none() {
            namer.name(tape, id, "u");
        }
    }
    let given: Vec<(NodeId, Name)> = namer.given.into_iter().collect();
    Ok(recurrence.with_names(&given))
}

/// The number of names, those of outputs among them, and of functions that the loss depends on: at most that of the
/// values with an equation.
pub(crate) fn values(recurrence: &Recurrence) -> Result<usize> {
    let tape = recurrence.tape();
    let live = tape.live(std::iter::once(recurrence.loss_node()?));
    let wanted =
        |id: NodeId, op: &Op| tape.label(id).is_some() || live[id.index()] && is_function(op);
    let nodes = tape.nodes();
    Ok(nodes.filter(|(id, node)| wanted(*id, node.op())).count())
}

struct Namer {
    /// The names of the definition.
    own: HashSet<Name>,
    /// The letters of every name in use.
    taken: HashSet<String>,
    /// The number of the last name with these letters.
    last: HashMap<String, usize>,
    given: IndexMap<NodeId, Name>,
}

impl Namer {
    fn new(recurrence: &Recurrence) -> Self {
        let tape = recurrence.tape();
        let names = tape.names().map(|(n, _)| Arc::clone(n));
        let leaves = tape.leaves().iter().map(|l| Name::from(l.name()));
        let outputs = recurrence.outputs().map(Name::from);
        let dims = tape.dims().map(Name::from);
        let own: HashSet<Name> = names.chain(leaves).chain(outputs).chain(dims).collect();
        Self {
            taken: own.iter().map(|name| letters(name)).collect(),
            own,
            last: HashMap::new(),
            given: IndexMap::new(),
        }
    }

    /// The letter of numbered names: one that the definition does not use with numbers.
    fn stem<'w>(&self, wish: &'w str) -> &'w str {
        let others: &[&'w str] = match wish {
            "a" => &["z", "e", "c"],
            "m" => &["n", "r", "p"],
            "u" => &["w", "r", "p"],
            "v" => &["w", "r", "p"],
            _ => &[],
        };
        let own = |name: &str| self.own.iter().any(|own| is_numbered(own, name));
        let mut wishes = std::iter::once(&wish).chain(others);
        wishes.find(|stem| !own(stem)).copied().unwrap_or(wish)
    }

    /// The name of a node; if it has none, it is given a new name similar to `wish`.
    fn name(&mut self, tape: &Tape, id: NodeId, wish: &str) -> Name {
        if let Some(label) = tape.label(id) {
            return label.into();
        }
        if let Some(name) = self.given.get(&id) {
            return Arc::clone(name);
        }
        let wish = self.stem(wish);
        let mut number = self.last.get(wish).copied().unwrap_or(0);
        let name = loop {
            number += 1;
            let name = match number {
                1 => wish.to_owned(),
                n => format!("{wish}_{n}"),
            };
            if self.taken.insert(letters(&name)) {
                break Name::from(name);
            }
        };
        self.last.insert(wish.to_owned(), number);
        self.given.insert(id, Arc::clone(&name));
        name
    }
}

/// The letters that tell names apart: `m2` and `m_2` are easily confused.
fn letters(name: &str) -> String {
    name.chars().filter(|c| *c != '_').collect()
}

/// Returns true if a name is `letter` followed by a number.
fn is_numbered(name: &str, letter: &str) -> bool {
    let number = name.strip_prefix(letter).map(|n| n.trim_start_matches('_'));
    number.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
}

fn is_read(tape: &Tape, id: NodeId) -> bool {
    matches!(tape.node(id).op(), Op::Read(_))
}

/// Returns true if an op is written as a function, so that its derivative is written with the name.
fn is_function(op: &Op) -> bool {
    match op {
        Op::Pointwise(_) => matches!(op.notation(), Notation::Call { .. }),
        Op::Reduce(_) | Op::Dense(_) | Op::Declared(_) | Op::Custom(_) => true,
        _ => false,
    }
}

/// Returns true if a value is more than a leaf, a read, or a change of rate of one.
fn is_composite(tape: &Tape, id: NodeId) -> bool {
    match tape.node(id).op() {
        Op::Leaf(_) | Op::Read(_) | Op::Constant(_) | Op::Time(_) => false,
        Op::Linear(Linear::Broadcast(_) | Linear::Transpose(_) | Linear::Alias(_)) => {
            is_composite(tape, tape.node(id).args()[0])
        }
        _ => true,
    }
}

/// Marks the nodes that states and named values depend on; the others belong to the loss alone.
fn outside_loss(tape: &Tape) -> Vec<bool> {
    let carried = tape.registers().iter().filter_map(|r| r.def());
    let named = tape.names().map(|(_, id)| id);
    tape.live(carried.chain(named))
}

fn uses(tape: &Tape, live: &[bool]) -> Vec<usize> {
    let mut uses = vec![0; tape.len()];
    for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
        let _ = id;
        for arg in node.args() {
            uses[arg.index()] += 1;
        }
    }
    uses
}

/// The parameters and inputs that are only initial values, each with its state.
pub(crate) fn starts(tape: &Tape) -> Vec<(Name, Name)> {
    let forward = tape.registers().iter();
    let forward = forward.filter(|r| r.direction() == Direction::Forward);
    forward
        .filter_map(|r| {
            let start = start_of(tape, r.init()?)?;
            // A delayed input has a register of another name.
            let input = r
                .def()
                .filter(|d| matches!(tape.node(*d).op(), Op::Leaf(_)));
            let of = input.and_then(|d| tape.label(d));
            Some((start, of.map_or_else(|| r.name().into(), Name::from)))
        })
        .collect()
}

/// The leaf that is the initial value of a register, if it has no other use. With resets, steps use it as well.
fn start_of(tape: &Tape, init: NodeId) -> Option<Name> {
    let is_hold = |id: NodeId| matches!(tape.node(id).op(), Op::Time(crate::op::Time::Hold(_)));
    let held = |mut id: NodeId| {
        while is_hold(id) {
            id = tape.node(id).args()[0];
        }
        id
    };
    let leaf = held(init);
    let is_read = tape.nodes().any(|(id, node)| {
        let mut args = node.args().iter();
        !is_hold(id) && args.any(|arg| held(*arg) == leaf)
    });
    match tape.node(leaf).op() {
        Op::Leaf(leaf) if !is_read => Some(tape.leaf(*leaf).name().into()),
        _ => None,
    }
}

/// True if an op of the recurrence has a kink.
pub(crate) fn has_kinks(tape: &Tape) -> bool {
    tape.nodes().any(|(_, node)| match node.op() {
        Op::Pointwise(op) => {
            let inside = [1.0, 1.0];
            op.kink::<f64>(&inside[..op.arity()]).is_some()
        }
        Op::Linear(Linear::Select(_)) => true,
        _ => false,
    })
}
