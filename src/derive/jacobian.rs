//! The Jacobian of the state: blocks, products, the double sum, truncation, bounds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::canon::{add, diagonal, neg, product, scale, transpose};
use super::chain::{self, Carried, flow};
use super::generate::Writer;
use super::read::Label;
use super::readoff;
use super::rewrite::{Argument, At, Proof, Rewrite};
use super::rules::Rule;
use super::step::now;
use super::term::{Name, Term, Time};
use super::{Level, Part, Range};
use crate::error::Result;
use crate::op::{Linear, NodeId, Op, Pointwise, RegisterId, Sum};
use crate::shape::Shape;
use crate::tape::{Direction, Tape};

/// A part of the state: its value, and what the next step reads of it.
struct State {
    part: Carried,
    def: NodeId,
    read: NodeId,
}

impl State {
    /// Of a value and its delays, the value.
    const fn is_value(&self) -> bool {
        self.part.delay == 0
    }
}

/// Writes what can be said with matrices, and gives the state it is about. That is nothing when the
/// sequence is not read forwards only, or some part of the state is a matrix.
pub(crate) fn write(writer: &mut Writer<'_>) -> Result<Vec<Carried>> {
    let Some(states) = states(writer) else {
        return Ok(Vec::new());
    };
    let mut blocks = HashMap::new();
    for of in states.iter().filter(|s| s.is_value()) {
        for by in &states {
            let mut paths = Paths {
                writer,
                states: &states,
                of,
                by,
                known: HashMap::new(),
            };
            let Some(block) = paths.of_value(of.def)? else {
                return Ok(Vec::new());
            };
            blocks.insert((Arc::clone(&of.part.name), by.part.clone()), block);
        }
    }
    let parts: Vec<Carried> = states.iter().map(|s| s.part.clone()).collect();
    writer.states = chain::names(&parts);
    write_blocks(writer, &states, &parts, &blocks);
    write_product(writer, &parts);
    if parts.len() > 1 && parts.iter().all(|part| part.name == parts[0].name) {
        write_corner(writer, &parts);
    }
    write_meanings(writer, &states, &parts, &blocks)?;
    super::responses::write(writer, &parts);
    if parts.iter().all(|part| part.name == parts[0].name) {
        super::bridge::write(writer, &parts);
    }
    super::costate::write(writer, &parts);
    super::bounds::write(writer, &parts);
    Ok(parts)
}

type Blocks = HashMap<(Name, Carried), Term>;

fn states(writer: &Writer<'_>) -> Option<Vec<State>> {
    let tape = writer.recurrence.tape();
    let mut states = Vec::new();
    for (i, register) in tape.registers().iter().enumerate() {
        let id = RegisterId::new(i);
        // What runs the other way is another chain.
        if register.direction() != Direction::Forward {
            continue;
        }
        let (def, shift) = writer.reader.held(id)?;
        let read = tape.nodes().find(|(_, n)| *n.op() == Op::Read(id))?.0;
        let Some(Label::Value(name)) = writer.reader.labels.get(&def) else {
            return None;
        };
        // A state that the loss does not depend on is no part of the problem, and a delayed input
        // comes from outside.
        let input = matches!(tape.node(def).op(), Op::Leaf(_));
        if input || !writer.graph.tangents.contains_key(&def) {
            continue;
        }
        if matches!(tape.ty(def).shape, Shape::Matrix(..)) {
            return None;
        }
        let part = Carried {
            name: Arc::clone(name),
            delay: -1 - shift,
        };
        // Two registers of one value start from different values.
        if states.iter().any(|s: &State| s.part == part) {
            return None;
        }
        states.push(State { part, def, read });
    }
    // The delays of a value follow it.
    let order: Vec<NodeId> = states.iter().map(|s| s.def).collect();
    let place = |s: &State| order.iter().position(|def| *def == s.def);
    states.sort_by_key(|s| (place(s), s.part.delay));
    let whole = !states.is_empty() && !comes_back(tape, &states);
    whole.then_some(states)
}

/// Whether the chain reads something that runs the other way and has read the chain before: then a
/// state depends on others by more ways than the product of its Jacobians has.
fn comes_back(tape: &Tape, states: &[State]) -> bool {
    let mut stack: Vec<(NodeId, bool)> = states.iter().map(|s| (s.def, false)).collect();
    let mut seen: HashSet<(NodeId, bool)> = stack.iter().copied().collect();
    while let Some((id, other)) = stack.pop() {
        let node = tape.node(id);
        let mut next: Vec<(NodeId, bool)> = node.args().iter().map(|a| (*a, other)).collect();
        if let Op::Read(register) = *node.op() {
            let forward = tape.register(register).direction() == Direction::Forward;
            if forward && other && states.iter().any(|s| s.read == id) {
                return true;
            }
            let def = tape.register(register).def().filter(|_| !forward || other);
            next = def.map(|def| (def, true)).into_iter().collect();
        }
        for place in next {
            if seen.insert(place) {
                stack.push(place);
            }
        }
    }
    false
}

/// Sums over paths through the linear graph, from what is read of one state to the value of
/// another.
struct Paths<'w, 'a> {
    writer: &'w Writer<'a>,
    states: &'w [State],
    of: &'w State,
    by: &'w State,
    known: HashMap<NodeId, Option<Term>>,
}

impl Paths<'_, '_> {
    fn of_value(&mut self, id: NodeId) -> Result<Option<Term>> {
        match self.writer.own_tangent(id) {
            Some((own, negative)) => {
                let found = self.linear(own)?;
                Ok(found.map(|t| if negative { neg(t) } else { t }))
            }
            None => Ok(Some(Term::Zero)),
        }
    }

    /// The Jacobian of a linear node; `None` where it is not a matrix one could write.
    fn linear(&mut self, id: NodeId) -> Result<Option<Term>> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let found = self.linear_now(id)?;
        self.known.insert(id, found.clone());
        Ok(found)
    }

    fn linear_now(&mut self, id: NodeId) -> Result<Option<Term>> {
        let writer = self.writer;
        let tape = writer.tape;
        if let Some(Label::D(name)) = writer.reader.labels.get(&id) {
            let Some(value) = tape.named(name) else {
                return Ok(None);
            };
            if matches!(tape.node(value).op(), Op::Leaf(_)) {
                return Ok(Some(Term::Zero));
            }
            let other = self.states.iter().find(|s| s.def == value);
            if let Some(other) = other.filter(|s| s.def != self.of.def) {
                let depends = self.of_value(value)?;
                let parts: Vec<Carried> = self.states.iter().map(|s| s.part.clone()).collect();
                let (of, by) = (&other.part.name, &self.by.part);
                let block = || chain::block(&parts, of, by, &Time::var('t'));
                return Ok(depends.map(|d| if d == Term::Zero { d } else { block() }));
            }
            return self.of_value(value);
        }
        let node = tape.node(id).clone();
        let args = node.args();
        let at = now();
        let term = |id: NodeId| writer.reader.term(id, &at);
        let spread = |id: NodeId| match tape.node(id).op() {
            Op::Linear(Linear::Broadcast(_)) => Some(tape.node(id).args()[0]),
            Op::Time(crate::op::Time::Hold(_)) => {
                let held = tape.node(id).args()[0];
                match tape.node(held).op() {
                    Op::Linear(Linear::Broadcast(_)) => Some(tape.node(held).args()[0]),
                    _ => None,
                }
            }
            _ => None,
        };
        let is_linear =
            |id: &NodeId| term(*id).is_ok_and(|t| t.is_linear_part() || t == Term::Zero);
        let both = |s: &mut Self| -> Result<Option<(Term, Term)>> {
            Ok(s.linear(args[0])?.zip(s.linear(args[1])?))
        };
        Ok(match node.op() {
            Op::Read(_) => {
                let own = writer.own_tangent(self.by.read).map(|(own, _)| own) == Some(id);
                let one = if writer.is_scalar(self.by.def) {
                    Term::Num(1.0)
                } else {
                    Term::Eye
                };
                Some(if own { one } else { Term::Zero })
            }
            Op::Leaf(_) | Op::Constant(_) | Op::Time(_) => Some(Term::Zero),
            Op::Pointwise(Pointwise::Add) => both(self)?.map(|(a, b)| add([a, b])),
            Op::Pointwise(Pointwise::Sub) => both(self)?.map(|(a, b)| add([a, neg(b)])),
            Op::Pointwise(Pointwise::Neg) => self.linear(args[0])?.map(neg),
            Op::Pointwise(Pointwise::Mul) => {
                let (v, x) = if is_linear(&args[0]) {
                    (args[1], args[0])
                } else {
                    (args[0], args[1])
                };
                // A number that is spread over a vector, which scales it entry by entry.
                if let (Some(number), false) = (spread(x), writer.is_scalar(id)) {
                    let v = term(v)?;
                    return Ok(self.linear(number)?.map(|x| match x {
                        Term::Zero => Term::Zero,
                        x => product(vec![v, x]),
                    }));
                }
                let Some(x) = self.linear(x)? else {
                    return Ok(None);
                };
                Some(if writer.is_scalar(id) {
                    scale(vec![term(v)?, x], None)
                } else if let Some(s) = spread(v) {
                    scale(vec![term(s)?], Some(x))
                } else {
                    diagonal(term(v)?, x)
                })
            }
            Op::Linear(Linear::MatMul(_)) if !is_linear(&args[0]) => {
                let a = term(args[0])?;
                self.linear(args[1])?.map(|x| match x {
                    Term::Zero => Term::Zero,
                    x => product(vec![a, x]),
                })
            }
            Op::Linear(Linear::MatMul(_)) => {
                // A matrix that varies with the state would need a tensor.
                self.linear(args[0])?.filter(|t| *t == Term::Zero)
            }
            Op::Linear(Linear::Dot(_)) => {
                let (v, x) = if is_linear(&args[0]) {
                    (args[1], args[0])
                } else {
                    (args[0], args[1])
                };
                let v = transpose(term(v)?);
                self.linear(x)?.map(|x| product(vec![v, x]))
            }
            Op::Linear(Linear::Sum(Sum(crate::op::Over::All))) => self
                .linear(args[0])?
                .map(|x| product(vec![transpose(Term::Ones), x])),
            Op::Linear(Linear::Alias(_)) => self.linear(args[0])?,
            _ => {
                let mut zero = true;
                for arg in args {
                    zero &= !is_linear(arg) || self.linear(*arg)? == Some(Term::Zero);
                }
                zero.then_some(Term::Zero)
            }
        })
    }
}

fn write_blocks(writer: &mut Writer<'_>, states: &[State], parts: &[Carried], blocks: &Blocks) {
    let now = Time::var('t');
    for of in states {
        for by in states {
            let name = &of.part.name;
            let block = of
                .is_value()
                .then(|| blocks.get(&(Arc::clone(name), by.part.clone())));
            let Some(block) = block.flatten() else {
                continue;
            };
            let left = match states {
                [_] => Term::StateJacobian(now.clone()),
                _ => chain::block(parts, name, &by.part, &now),
            };
            let mut shape = writer.shape(of.def);
            shape.truncate(1);
            let mut columns = writer.shape(by.def);
            columns.truncate(1);
            shape.append(&mut columns);
            let id = chain::block_line(name, &by.part.name, by.part.delay + 1);
            // What is read again after several steps is not read off in single steps.
            let made = match chain::is_delayed(parts) {
                true => None,
                false => readoff::block(writer, name, &by.part.name),
            };
            let equation = match made {
                Some(made) => writer.prove(id, Part::Jacobian, left, made),
                None => {
                    let equation = writer.push(id, Part::Jacobian, left, block.clone());
                    equation.rules = vec![Rule::ReadOff, Rule::Diagonal, Rule::PathSum];
                    equation.premises = vec![format!("d.{name}")];
                    equation
                }
            };
            equation.range = Range::all();
            equation.shape = (shape.len() == 2).then_some(shape);
        }
    }
    if states.len() < 2 {
        return;
    }
    let left = Term::StateJacobian(now.clone());
    let equation = if chain::is_delayed(parts) {
        // A block that is zero is written as zero where there is room for its size beside it.
        let cell = |of: &State, by: &State| match of.is_value() {
            true => chain::block(parts, &of.part.name, &by.part, &now),
            // What was carried is carried on: the companion form.
            false if by.def == of.def && by.part.delay + 1 == of.part.delay => Term::Eye,
            false => Term::Zero,
        };
        let row = |of: &State| states.iter().map(|by| cell(of, by)).collect();
        let rows = states.iter().map(row).collect();
        let equation = writer.push("jac".into(), Part::Jacobian, left, Term::Matrix(rows));
        equation.rules = vec![Rule::ReadOff];
        equation
    } else {
        let Some(made) = readoff::whole(writer) else {
            return;
        };
        writer.prove("jac".into(), Part::Jacobian, left, made)
    };
    equation.range = Range::all();
}

/// What a perturbation of one state does to the others in the same step, and the three meanings of
/// `∂c_t/∂c_{t−1}`: with the other states held, with them following, and over many steps.
fn write_meanings(
    writer: &mut Writer<'_>,
    states: &[State],
    parts: &[Carried],
    blocks: &Blocks,
) -> Result<()> {
    let values = || states.iter().filter(|s| s.is_value());
    if values().count() < 2 {
        return Ok(());
    }
    let (t, k) = (Time::var('t'), Time::var('k'));
    for by in values() {
        let mut within = Vec::new();
        for of in values().filter(|s| s.def != by.def) {
            let mut paths = Paths {
                writer,
                states: &[],
                of,
                by,
                known: HashMap::new(),
            };
            if let Some(tangent) = writer.graph.tangents.get(&by.def) {
                let one = if writer.is_scalar(by.def) {
                    Term::Num(1.0)
                } else {
                    Term::Eye
                };
                paths.known.insert(*tangent, Some(one));
            }
            // What is read of the state is another matter here.
            for read in states.iter().filter(|s| s.def == by.def).map(|s| s.read) {
                if let Some((own, _)) = writer.own_tangent(read) {
                    paths.known.insert(own, Some(Term::Zero));
                } else if let Some(read) = writer.graph.tangents.get(&read) {
                    paths.known.insert(*read, Some(Term::Zero));
                }
            }
            match paths.of_value(of.def)? {
                Some(Term::Zero) => {}
                Some(found) => within.push((of, found)),
                None => return Ok(()),
            }
        }
        if within.is_empty() {
            continue;
        }
        let jacobian = |of: &State, at: &Time, from: &Time| {
            let (of, by) = (Arc::clone(&of.part.name), Arc::clone(&by.part.name));
            Term::Jacobian(of, at.clone(), by, from.clone())
        };
        for (of, found) in &within {
            let id = format!("within.{}.{}", of.part.name, by.part.name);
            let left = jacobian(of, &t, &t);
            let made = match chain::is_delayed(parts) {
                true => None,
                false => readoff::within(writer, &of.part.name, &by.part.name),
            };
            let equation = match made {
                Some(made) => writer.prove(id, Part::Jacobian, left, made),
                None => {
                    let equation = writer.push(id, Part::Jacobian, left, found.clone());
                    equation.rules = vec![Rule::PathSum, Rule::Diagonal];
                    equation
                }
            };
            equation.range = Range::all();
        }
        // One step: directly, and through the states that follow it.
        let before = t.plus(-1);
        let left = jacobian(by, &t, &before);
        let id = format!("total.{}", by.part.name);
        let equation = if chain::is_delayed(parts) {
            let block = |of: &State, s: &State, at: &Time| {
                let known = blocks.get(&(Arc::clone(&of.part.name), s.part.clone()));
                match known {
                    Some(Term::Zero) => Term::Zero,
                    _ => chain::block(parts, &of.part.name, &s.part, at),
                }
            };
            let direct = block(by, by, &t);
            let indirect = within
                .iter()
                .map(|(of, _)| product(vec![block(by, of, &t), jacobian(of, &before, &before)]));
            let right = add(std::iter::once(direct).chain(indirect));
            let equation = writer.push(id, Part::Jacobian, left, right);
            equation.rules = vec![Rule::PathSum];
            Some(equation)
        } else {
            let made = Proof::of(writer.known(), left.clone()).by(Rewrite::LastStep);
            made.map(Proof::done).map(|made| {
                let equation = writer.prove(id, Part::Jacobian, left, made);
                let within = within.iter();
                let within =
                    within.map(|(of, _)| format!("within.{}.{}", of.part.name, by.part.name));
                equation.premises.extend(within);
                equation
            })
        };
        if let Some(equation) = equation {
            equation.range = Range {
                vars: vec![('t', Time::at(2), Time::last())],
            };
        }
        // A state that does not follow, or that is carried for longer, would be a block of zeros
        // without a size.
        if within.len() + 1 < states.len() {
            continue;
        }
        // Many steps: the product of the whole Jacobians, not of these.
        let left = Term::Matrix(states.iter().map(|s| vec![jacobian(s, &t, &k)]).collect());
        let made = Proof::of(writer.known(), left.clone())
            .by(Rewrite::WholeState)
            .and_then(|p| p.by(Rewrite::Unfold(At::new("jac.product", &[]))));
        if let Some(made) = made.map(Proof::done) {
            let id = format!("many.{}", by.part.name);
            let equation = writer.prove(id, Part::Jacobian, left, made);
            equation.range = Range {
                vars: vec![
                    ('k', Time::at(1), Time::last().plus(-1)),
                    ('t', k.plus(1), Time::last()),
                ],
            };
        }
        if let ([a, b], [(of, _)]) = (states, &within[..]) {
            let other = if a.def == by.def { b } else { a };
            debug_assert!(other.def == of.def, "there are two states");
            two_steps(writer, &by.part.name, &other.part.name);
        }
    }
    Ok(())
}

/// Two steps of one state are not the product of its single steps: what goes through the other
/// state alone is added.
fn two_steps(writer: &mut Writer<'_>, by: &Name, other: &Name) {
    let t = Time::var('t');
    let name = Arc::clone;
    let left = Term::Jacobian(name(by), t.clone(), name(by), t.plus(-2));
    let first = Argument::Jacobian(name(by), t.plus(-1), name(by), t.plus(-2));
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::LastStep)
        .and_then(|p| p.by(Rewrite::Around(name(other), name(by))))
        .and_then(|p| p.by(Rewrite::Factor(first)))
        .and_then(|p| p.by(Rewrite::Fold(At::new(format!("total.{by}"), &[]))))
        .map(Proof::done);
    let Some(made) = made.filter(|m| matches!(m.term, Term::Add(_))) else {
        return;
    };
    let equation = writer.prove(format!("two.{by}"), Part::Jacobian, left, made);
    equation.range = Range {
        vars: vec![('t', Time::at(3), Time::last())],
    };
    equation.level = Level::Normal;
}

/// The derivative of the one value that is carried with several delays: the first block of that of
/// the state.
fn write_corner(writer: &mut Writer<'_>, parts: &[Carried]) {
    let name = &parts[0].name;
    let (t, k) = (Time::var('t'), Time::var('k'));
    let first = |part: &Carried| match part.delay {
        0 => vec![Term::Eye],
        _ => vec![Term::Zero],
    };
    let first = Term::Matrix(parts.iter().map(first).collect());
    let left = Term::Jacobian(Arc::clone(name), t.clone(), Arc::clone(name), k.clone());
    let right = product(vec![transpose(first.clone()), flow(parts, t, k), first]);
    let equation = writer.push("jac.corner".into(), Part::Jacobian, left, right);
    equation.range = pairs();
    equation.rules = vec![Rule::PathSum];
    equation.premises = vec!["jac.product".into()];
}

/// `t = 1..T`, `k = 0..t`.
pub(crate) fn pairs() -> Range {
    Range {
        vars: vec![
            ('t', Time::at(1), Time::last()),
            ('k', Time::at(0), Time::var('t')),
        ],
    }
}

fn write_product(writer: &mut Writer<'_>, parts: &[Carried]) {
    let left = flow(parts, Time::var('t'), Time::var('k'));
    let Some(made) = Proof::of(writer.known(), left.clone()).by(Rewrite::Chain) else {
        return;
    };
    let made = made.done();
    let equation = writer.prove("jac.product".into(), Part::Jacobian, left, made);
    equation.range = pairs();
    equation.rules.insert(0, Rule::Unrolling);
    equation.premises = vec![match parts {
        [one] => chain::block_line(&one.name, &one.name, 1),
        _ => "jac".into(),
    }];
}
