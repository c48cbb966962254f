//! The values of a step that tell how a gradient passes it: named values, the slopes of their functions, and the gates of
//! states that are updated by scaling and addition.

use std::sync::Arc;

use super::{LOSS, Recurrence};
use crate::error::Result;
use crate::op::{Expr, Linear, NodeId, Op, Pointwise, Time};
use crate::shape::Rate;
use crate::tape::{Role, Scope, Tape, added_name};

/// A recurrence with these values as outputs, beside the loss.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) recurrence: Recurrence,
    pub(crate) values: Vec<ObservedValue>,
    pub(crate) gates: Vec<ObservedGate>,
    pub(crate) matrices: Vec<RecurrentMatrix>,
    /// The names of the values on which carried values depend.
    pub(crate) recurrent: Vec<Arc<str>>,
}

/// A named value that varies with the step.
#[derive(Clone, Debug)]
pub(crate) struct ObservedValue {
    /// The name, which is that of the output.
    pub(crate) name: Arc<str>,
    /// The function whose value it is, if its slope is bounded.
    pub(crate) function: Option<String>,
    /// The interval of its values, if the function has one.
    pub(crate) range: Option<(f64, f64)>,
    /// The output of its slope, and the largest one.
    pub(crate) slope: Option<(Arc<str>, f64)>,
}

/// The gate of a state: `c' = gate * c + …`.
#[derive(Clone, Debug)]
pub(crate) struct ObservedGate {
    pub(crate) state: Arc<str>,
    /// The name of the gate, or its expression.
    pub(crate) gate: Arc<str>,
    /// The output of the gate.
    pub(crate) output: Arc<str>,
    /// The parameter that is added to the argument of the gate, if it is a function of a sum.
    pub(crate) bias: Option<Arc<str>>,
}

/// A parameter that is multiplied by a state of the step before.
#[derive(Clone, Debug)]
pub(crate) struct RecurrentMatrix {
    pub(crate) parameter: Arc<str>,
    pub(crate) state: Arc<str>,
}

impl Recurrence {
    /// The recurrence with named values, slopes and gates as outputs.
    ///
    /// # Errors
    /// [`Error::NoLoss`](crate::Error::NoLoss).
    pub(crate) fn with_gates(&self) -> Result<Observed> {
        let scope = Scope::new(self.tape.clone());
        let mut outputs = indexmap::IndexMap::from([(Arc::from(LOSS), self.loss()?)]);
        let names = self.tape.names();
        let named: Vec<(Arc<str>, NodeId)> = names
            .filter(|(_, id)| {
                let node = self.tape.node(*id);
                let is_value = !matches!(node.op(), Op::Leaf(_) | Op::Read(_));
                is_value && node.ty().rate == Rate::Step && node.ty().is_real()
            })
            .map(|(name, id)| (Arc::clone(name), id))
            .collect();
        for (name, id) in named.iter().filter(|(name, _)| **name != *LOSS) {
            outputs.insert(Arc::clone(name), *id);
        }
        let mut values = Vec::new();
        for (name, id) in &named {
            let op = self.tape.node(*id).op().clone();
            let slope = op.slope().and_then(|(low, high)| {
                let found = slope(&scope, &self.tape, *id)?;
                let output = added_name(name, "slope", |n| outputs.contains_key(n));
                outputs.insert(Arc::clone(&output), found);
                Some((output, high.abs().max(low.abs())))
            });
            values.push(ObservedValue {
                name: Arc::clone(name),
                function: op.slope().map(|_| op.name().to_owned()),
                range: op.range(),
                slope,
            });
        }
        let mut gates = Vec::new();
        for state in self.states.iter().filter(|s| !s.inner) {
            let register = self.tape.register(state.register);
            let (Some(read), Some(def)) = (self.tape.read_of(state.register), register.def) else {
                continue;
            };
            let Some(gate) = scaling(&self.tape, def, read) else {
                continue;
            };
            let output = added_name(&state.name, "gate", |n| outputs.contains_key(n));
            let Some(held) = scope.expr(gate).hold(Rate::Step).id() else {
                continue;
            };
            outputs.insert(Arc::clone(&output), held);
            gates.push(ObservedGate {
                state: Arc::clone(&state.name),
                gate: match self.tape.label(gate) {
                    Some(name) => name.into(),
                    None => self.tape.definition(gate).into(),
                },
                output,
                bias: bias(&self.tape, gate),
            });
        }
        let carried = self.tape.registers().iter().filter_map(|r| r.def());
        let live = self.tape.live(carried);
        let recurrent = named.iter().filter(|(_, id)| live[id.index()]);
        let recurrent = recurrent.map(|(name, _)| Arc::clone(name)).collect();
        let mut recurrence = self.clone();
        recurrence.tape = scope.with(Tape::clone);
        recurrence.outputs = outputs;
        recurrence.roles.clear();
        Ok(Observed {
            recurrence,
            values,
            gates,
            matrices: self.recurrent_matrices(),
            recurrent,
        })
    }

    /// The parameters that are multiplied by a state of the step before.
    fn recurrent_matrices(&self) -> Vec<RecurrentMatrix> {
        let mut found: Vec<RecurrentMatrix> = Vec::new();
        for (_, node) in self.tape.nodes() {
            let product = matches!(node.op(), Op::Linear(Linear::MatMul(_)))
                || matches!(node.op(), Op::Pointwise(Pointwise::Mul));
            let [a, b] = node.args() else { continue };
            for (parameter, read) in [(a, b), (b, a)].into_iter().filter(|_| product) {
                let [parameter, read] = [*parameter, *read].map(|id| under(&self.tape, id));
                let (Op::Leaf(leaf), Op::Read(register)) =
                    (self.tape.node(parameter).op(), self.tape.node(read).op())
                else {
                    continue;
                };
                let leaf = self.tape.leaf(*leaf);
                let state = self.states.iter().find(|s| s.register == *register);
                if let (Role::Parameter, Some(state)) = (leaf.role(), state) {
                    let dims = leaf.ty().shape.dims();
                    let is_square = dims.first() == dims.last() && dims.len() != 1;
                    let is_new = !found.iter().any(|m| *m.parameter == *leaf.name());
                    if is_square && is_new {
                        found.push(RecurrentMatrix {
                            parameter: leaf.name().into(),
                            state: Arc::clone(&state.name),
                        });
                    }
                }
            }
        }
        found
    }
}

/// The derivative of an entry of the value of a function of one argument.
fn slope(scope: &Scope, tape: &Tape, id: NodeId) -> Option<NodeId> {
    let node = tape.node(id);
    let args: Vec<Expr<'_>> = node.args().iter().map(|a| scope.expr(*a)).collect();
    let [x] = args[..] else { return None };
    let ones = x.full_like(1.0);
    let found = node.op().tangent(&args, scope.expr(id), &[Some(ones)])?;
    found.hold(Rate::Step).id()
}

/// The factor of a read in a sum, if there is a single product with it.
fn scaling(tape: &Tape, def: NodeId, read: NodeId) -> Option<NodeId> {
    let (mut open, mut found) = (vec![def], Vec::new());
    while let Some(id) = open.pop() {
        let node = tape.node(under(tape, id));
        match (node.op(), node.args()) {
            (Op::Pointwise(Pointwise::Add), args) => open.extend(args),
            (Op::Pointwise(Pointwise::Mul), [a, b]) => match [a, b].map(|id| under(tape, *id)) {
                [a, b] if a == read => found.push(b),
                [a, b] if b == read => found.push(a),
                _ => {}
            },
            _ => {}
        }
    }
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// The parameter that is a term of the argument of a function.
fn bias(tape: &Tape, gate: NodeId) -> Option<Arc<str>> {
    let node = tape.node(gate);
    node.op().slope()?;
    let mut open = node.args().to_vec();
    while let Some(id) = open.pop() {
        let node = tape.node(under(tape, id));
        match node.op() {
            Op::Pointwise(Pointwise::Add) => open.extend(node.args()),
            Op::Leaf(leaf) if tape.leaf(*leaf).role() == Role::Parameter => {
                return Some(tape.leaf(*leaf).name().into());
            }
            _ => {}
        }
    }
    None
}

/// The value that a node repeats: for all steps, or under another name.
fn under(tape: &Tape, mut id: NodeId) -> NodeId {
    while let (Op::Linear(Linear::Alias(_)) | Op::Time(Time::Hold(_)), [arg]) =
        (tape.node(id).op(), tape.node(id).args())
    {
        id = *arg;
    }
    id
}
