//! The Jacobian of the state: blocks and products.

use std::collections::HashSet;
use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::chain::{self, Carried, flow};
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::{Range, pairs};
use crate::derive::record::rewrite::{Argument, Rewrite};
use crate::derive::record::rule::Rule;
use crate::derive::rules::proof::{Made, Proof};
use crate::op::{NodeId, Op, RegisterId};
use crate::shape::Shape;
use crate::tape::{Direction, Register, Tape};

/// A part of the state: its value, and its read at the next step.
struct State {
    part: Carried,
    def: NodeId,
    read: NodeId,
}

/// Writes the lines with matrices, and returns true if there are any. There is no Jacobian if a part of the state is a
/// matrix, if an initial value is not constant, if a part is carried in both directions of time, if the chain depends on
/// itself through a backward value, or if a block would not be a matrix.
pub(crate) fn write(writer: &mut Writer<'_>) -> bool {
    let Some(states) = states(writer) else {
        return false;
    };
    let at = writer.equations.len();
    writer.state = states.iter().map(|s| s.part.clone()).collect();
    let written = write_blocks(writer, &states).and_then(|()| {
        write_product(writer);
        write_within(writer)
    });
    if written.is_none() {
        writer.equations.truncate(at);
        writer.state.clear();
        return false;
    }
    write_meanings(writer);
    true
}

fn states(writer: &Writer<'_>) -> Option<Vec<State>> {
    let tape = writer.recurrence.tape();
    // The values needed by computed states. Delayed values are not counted here, since they have no reader yet.
    let computed = tape.registers().iter().filter_map(Register::def);
    let computed = computed.filter(|def| !matches!(tape.node(*def).op(), Op::Read(_)));
    let carried = tape.live(computed);
    let mut states = Vec::new();
    for (i, register) in tape.registers().iter().enumerate() {
        let id = RegisterId::new(i);
        // Backward registers belong to another chain.
        if register.direction() != Direction::Forward {
            continue;
        }
        let (def, shift) = writer.reader.held(id)?;
        let read = tape.nodes().find(|(_, n)| *n.op() == Op::Read(id))?.0;
        let Some((Quantity::Value, name)) = writer.reader.labels.get(&def) else {
            return None;
        };
        // A state that does not affect the loss is ignored, and a delayed input is not a state.
        let input = matches!(tape.node(def).op(), Op::Leaf(_));
        let affects = writer.graph.tangents.contains_key(&def) && writer.cotangent(name).is_some();
        if input || !affects {
            continue;
        }
        if matches!(tape.ty(def).shape, Shape::Matrix(..)) {
            return None;
        }
        // A value that is also carried backwards, and here is read by the loss alone, is not a state of this chain. If
        // states read it from both directions, a step depends on more than the states before it.
        let other = |r: &Register| r.direction() == Direction::Backward && r.def() == Some(def);
        let mut others = tape.nodes().filter(|(_, node)| match *node.op() {
            Op::Read(r) => other(tape.register(r)),
            _ => false,
        });
        if carried[read.index()] {
            if others.any(|(id, _)| carried[id.index()]) {
                return None;
            }
        } else if others.next().is_some() {
            continue;
        }
        // An initial value computed by another chain is not constant.
        if register.init().is_some_and(|init| reads(tape, init)) {
            return None;
        }
        let part = Carried {
            name: Arc::clone(name),
            delay: -1 - shift,
        };
        // Two registers of one value differ in their initial values.
        if states.iter().any(|s: &State| s.part == part) {
            return None;
        }
        states.push(State { part, def, read });
    }
    // The delays of a value come after it.
    let order: Vec<NodeId> = states.iter().map(|s| s.def).collect();
    let place = |s: &State| order.iter().position(|def| *def == s.def);
    states.sort_by_key(|s| (place(s), s.part.delay));
    let whole = !states.is_empty() && !comes_back(tape, &states);
    whole.then_some(states)
}

/// Returns true if a value depends on the read of some register.
fn reads(tape: &Tape, value: NodeId) -> bool {
    let live = tape.live(std::iter::once(value));
    let mut nodes = tape.nodes();
    nodes.any(|(id, node)| live[id.index()] && matches!(node.op(), Op::Read(_)))
}

/// Returns true if the chain reads a backward value that depends on the chain itself. Then there are paths between
/// states that the product of the Jacobians does not contain.
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

/// Writes the blocks of the Jacobian, and the whole matrix.
fn write_blocks(writer: &mut Writer<'_>, states: &[State]) -> Option<()> {
    let now = Time::var('t');
    for of in states.iter().filter(|s| s.part.delay == 0) {
        for by in states {
            let name = &of.part.name;
            let left = match states {
                [_] => Quantity::StateJacobian.of([], [now.clone()]),
                _ => chain::block(&writer.state, name, &by.part, &now),
            };
            let made = block(writer, name, &by.part)?;
            let (rows, columns) = (writer.shape(of.def), writer.shape(by.def));
            let shape: Vec<String> = rows
                .into_iter()
                .take(1)
                .chain(columns.into_iter().take(1))
                .collect();
            let id = Line::block(name, &by.part.name, by.part.delay + 1);
            let equation = writer.prove(id, Part::Jacobian, left, made);
            equation.range = Range::all();
            equation.shape = (shape.len() == 2).then_some(shape);
        }
    }
    if states.len() > 1 {
        let made = whole(writer)?;
        let left = Quantity::StateJacobian.of([], [now]);
        let equation = writer.prove(Line::Jacobian, Part::Jacobian, left, made);
        equation.range = Range::all();
    }
    Some(())
}

/// Writes the derivatives of states with respect to other states of the same step.
fn write_within(writer: &mut Writer<'_>) -> Option<()> {
    let states = chain::names(&writer.state);
    let now = Time::var('t');
    for by in &states {
        for of in states.iter().filter(|of| *of != by) {
            let made = within(writer, of, by)?;
            if made.term == Term::Zero {
                continue;
            }
            let id = Line::within(of, by);
            let left = jacobian(of, &now, by, &now);
            let equation = writer.prove(id, Part::Jacobian, left, made);
            equation.range = Range::all();
        }
    }
    Some(())
}

fn jacobian(of: &Name, to: &Time, by: &Name, from: &Time) -> Term {
    Quantity::Jacobian.of([of, by], [to.clone(), from.clone()])
}

/// Writes the three meanings of `∂c_t/∂c_{t−1}`: with the other states held fixed, which is a block; with the other
/// states following; and over many steps.
fn write_meanings(writer: &mut Writer<'_>) {
    let states = chain::names(&writer.state);
    let (t, k) = (Time::var('t'), Time::var('k'));
    for by in &states {
        let line = |of: &Name| Line::within(of, by);
        let follow: Vec<&Name> = states
            .iter()
            .filter(|of| writer.right(&line(of)).is_some())
            .collect();
        if follow.is_empty() {
            continue;
        }
        // One step: the direct path, and the paths through the states that follow.
        let left = jacobian(by, &t, by, &t.plus(-1));
        let made = Proof::of(writer.known(), left.clone()).by(Rewrite::LastStep);
        if let Some(made) = made.map(Proof::done) {
            let equation = writer.prove(Line::Total(Arc::clone(by)), Part::Jacobian, left, made);
            equation.premises.extend(follow.iter().map(|of| line(of)));
            equation.range = Range {
                vars: vec![('t', Time::at(2), Time::last())],
            };
        }
        // Many steps: the product of the whole Jacobians, not of these derivatives.
        let left = writer.stack(&|s| jacobian(&s.name, &t.plus(-s.delay), by, &k));
        let made = Proof::of(writer.known(), left.clone())
            .by(Rewrite::WholeState)
            .and_then(|p| p.by(Rewrite::Unfold(Line::JacobianProduct.into())));
        if let Some(made) = made.map(Proof::done) {
            let id = Line::ManySteps(Arc::clone(by));
            let equation = writer.prove(id, Part::Jacobian, left, made);
            equation.range = Range {
                vars: vec![
                    ('k', Time::at(1), Time::last().plus(-1)),
                    ('t', k.plus(1), Time::last()),
                ],
            };
        }
        if let ([a, b], 2) = (&states[..], writer.state.len()) {
            two_steps(writer, by, if a == by { b } else { a });
        }
    }
}

/// The derivative over two steps is not the product of the derivatives over one step; the path through the other state
/// alone is added.
fn two_steps(writer: &mut Writer<'_>, by: &Name, other: &Name) {
    let t = Time::var('t');
    let name = Arc::clone;
    let left = Quantity::Jacobian.of([&name(by), &name(by)], [t.clone(), t.plus(-2)]);
    let first = Argument::Jacobian(name(by), t.plus(-1), name(by), t.plus(-2));
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::LastStep)
        .and_then(|p| p.by(Rewrite::Around(name(other), name(by))))
        .and_then(|p| p.by(Rewrite::Factor(first)))
        .and_then(|p| p.by(Rewrite::Fold(Line::Total(name(by)).into())))
        .map(Proof::done);
    let Some(made) = made.filter(|m| matches!(m.term, Term::Add(_))) else {
        return;
    };
    let equation = writer.prove(Line::TwoSteps(name(by)), Part::Jacobian, left, made);
    equation.range = Range {
        vars: vec![('t', Time::at(3), Time::last())],
    };
    equation.level = Level::Normal;
}

fn write_product(writer: &mut Writer<'_>) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let left = flow(&writer.state, t.clone(), k.clone());
    let Some(made) = Proof::of(writer.known(), left.clone()).by(Rewrite::Chain) else {
        return;
    };
    let made = made.done();
    let premise = match &writer.state[..] {
        [one] => Line::block(&one.name, &one.name, 1),
        _ => Line::Jacobian,
    };
    let equation = writer.prove(Line::JacobianProduct, Part::Jacobian, left, made);
    equation.range = pairs();
    equation.rules.insert(0, Rule::Unrolling);
    equation.premises = vec![premise];
    // The derivative of the single state with delays.
    let (true, [one]) = (
        chain::is_delayed(&writer.state),
        &chain::names(&writer.state)[..],
    ) else {
        return;
    };
    let left = jacobian(one, &t, one, &k);
    let made = Proof::of(writer.known(), left.clone()).by(Rewrite::Corner);
    if let Some(made) = made.map(Proof::done) {
        let equation = writer.prove(Line::JacobianCorner, Part::Jacobian, left, made);
        equation.range = pairs();
        equation.premises = vec![Line::JacobianProduct];
    }
}

/// The derivative of a value of the state with respect to a part of the previous state, the other parts held fixed.
fn block(writer: &Writer<'_>, of: &Name, by: &Carried) -> Option<Made> {
    let read = by.read_at(&Time::var('t'));
    let by = Argument::D(Arc::clone(&by.name), Some(read));
    matrix(writer, of, by, &chain::names(&writer.state))
}

/// The derivative of a value of the state with respect to another value of the same step, the whole previous state held
/// fixed.
fn within(writer: &Writer<'_>, of: &Name, by: &Name) -> Option<Made> {
    let by = Argument::D(Arc::clone(by), Some(Time::var('t')));
    matrix(writer, of, by, &[])
}

fn matrix(writer: &Writer<'_>, of: &Name, by: Argument, follow: &[Name]) -> Option<Made> {
    let differential = Quantity::D.of([of], [Time::var('t')]);
    let held = Proof::of(writer.known(), differential)
        .if_it_applies(Rewrite::Unfold(Line::Differential(Arc::clone(of)).into()))
        .towards(&by, follow)?
        .if_it_applies(Rewrite::Partition)
        .if_it_applies(Rewrite::Alone(by.clone()));
    if held.term == Term::Zero {
        return Some(held.done());
    }
    let factored = held.if_it_applies(Rewrite::Factor(by.clone()));
    factored.by(Rewrite::ReadOff(by)).map(Proof::done)
}

/// The Jacobian of the state as the matrix of its blocks.
fn whole(writer: &Writer<'_>) -> Option<Made> {
    let now = Time::var('t');
    Proof::of(writer.known(), writer.differential(&now))
        .by(Rewrite::Partials)?
        .by(Rewrite::StateProduct)?
        .by(Rewrite::ReadOff(Argument::States(now.plus(-1))))
        .map(Proof::done)
}
