//! The Jacobian of the state: blocks, products, the double sum, truncation, bounds.

use std::collections::HashMap;
use std::sync::Arc;

use super::canon::{add, diagonal, neg, product, scale, transpose};
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
use crate::tape::Direction;

/// A state: its name, its value, and what is read of it.
struct State {
    name: Name,
    def: NodeId,
    read: NodeId,
}

/// Writes what can be said with matrices, and gives the states it is about. That is nothing when
/// the state is more than one forward register of one step for each name.
pub(crate) fn write(writer: &mut Writer<'_>) -> Result<Vec<Name>> {
    let Some(states) = states(writer) else {
        return Ok(Vec::new());
    };
    let mut blocks = HashMap::new();
    for of in &states {
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
            blocks.insert((Arc::clone(&of.name), Arc::clone(&by.name)), block);
        }
    }
    writer.states = states.iter().map(|s| Arc::clone(&s.name)).collect();
    write_blocks(writer, &states, &blocks);
    write_product(writer, &states);
    write_meanings(writer, &states)?;
    let names: Vec<Name> = states.into_iter().map(|s| s.name).collect();
    super::responses::write(writer);
    if let [state] = &names[..] {
        super::bridge::write(writer, state);
    }
    super::costate::write(writer);
    super::bounds::write(writer, &names);
    Ok(names)
}

fn states(writer: &Writer<'_>) -> Option<Vec<State>> {
    let tape = writer.recurrence.tape();
    let mut states = Vec::new();
    for (i, register) in tape.registers().iter().enumerate() {
        let id = RegisterId::new(i);
        let (def, shift) = writer.reader.held(id)?;
        if shift != -1 || register.direction() != Direction::Forward {
            return None;
        }
        let read = tape.nodes().find(|(_, n)| *n.op() == Op::Read(id))?.0;
        let Some(Label::Value(name)) = writer.reader.labels.get(&def) else {
            return None;
        };
        if states.iter().any(|s: &State| s.def == def) {
            return None;
        }
        // A state that the loss does not depend on is no part of the problem.
        if !writer.graph.tangents.contains_key(&def) {
            continue;
        }
        if matches!(tape.ty(def).shape, Shape::Matrix(..)) {
            return None;
        }
        let name = Arc::clone(name);
        states.push(State { name, def, read });
    }
    (!states.is_empty()).then_some(states)
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
                let block = || {
                    let (of, by) = (Arc::clone(&other.name), Arc::clone(&self.by.name));
                    Term::Block(of, by, Time::var('t'))
                };
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

fn write_blocks(writer: &mut Writer<'_>, states: &[State], blocks: &HashMap<(Name, Name), Term>) {
    let now = Time::var('t');
    for of in states {
        for by in states {
            let Some(block) = blocks.get(&(Arc::clone(&of.name), Arc::clone(&by.name))) else {
                continue;
            };
            let left = match states {
                [_] => Term::StateJacobian(now.clone()),
                _ => Term::Block(Arc::clone(&of.name), Arc::clone(&by.name), now.clone()),
            };
            let mut shape = writer.shape(of.def);
            shape.truncate(1);
            let mut columns = writer.shape(by.def);
            columns.truncate(1);
            shape.append(&mut columns);
            let id = format!("jac.{}.{}", of.name, by.name);
            let equation = match readoff::block(writer, &of.name, &by.name) {
                Some(made) => writer.prove(id, Part::Jacobian, left, made),
                None => {
                    let equation = writer.push(id, Part::Jacobian, left, block.clone());
                    equation.rules = vec![Rule::ReadOff, Rule::Diagonal, Rule::PathSum];
                    equation.premises = vec![format!("d.{}", of.name)];
                    equation
                }
            };
            equation.range = Range::all();
            equation.shape = (shape.len() == 2).then_some(shape);
        }
    }
    if let (true, Some(made)) = (states.len() > 1, readoff::whole(writer)) {
        let left = Term::StateJacobian(now);
        let equation = writer.prove("jac".into(), Part::Jacobian, left, made);
        equation.range = Range::all();
    }
}

/// What a perturbation of one state does to the others in the same step, and the three meanings of
/// `∂c_t/∂c_{t−1}`: with the other states held, with them following, and over many steps.
fn write_meanings(writer: &mut Writer<'_>, states: &[State]) -> Result<()> {
    if states.len() < 2 {
        return Ok(());
    }
    let (t, k) = (Time::var('t'), Time::var('k'));
    for by in states {
        let mut within = Vec::new();
        for of in states.iter().filter(|s| s.def != by.def) {
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
            if let Some((own, _)) = writer.own_tangent(by.read) {
                paths.known.insert(own, Some(Term::Zero));
            } else if let Some(read) = writer.graph.tangents.get(&by.read) {
                paths.known.insert(*read, Some(Term::Zero));
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
            let (of, by) = (Arc::clone(&of.name), Arc::clone(&by.name));
            Term::Jacobian(of, at.clone(), by, from.clone())
        };
        for (of, found) in &within {
            let id = format!("within.{}.{}", of.name, by.name);
            let left = jacobian(of, &t, &t);
            let equation = match readoff::within(writer, &of.name, &by.name) {
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
        let left = jacobian(by, &t, &t.plus(-1));
        if let Some(made) = Proof::of(writer.known(), left.clone()).by(Rewrite::LastStep) {
            let made = made.done();
            let id = format!("total.{}", by.name);
            let equation = writer.prove(id, Part::Jacobian, left, made);
            let within = within
                .iter()
                .map(|(of, _)| format!("within.{}.{}", of.name, by.name));
            equation.premises.extend(within);
            equation.range = Range {
                vars: vec![('t', Time::at(2), Time::last())],
            };
        }
        // A state that does not follow would be a block of zeros without a size.
        if within.len() + 1 < states.len() {
            continue;
        }
        // Many steps: the product of the whole Jacobians, not of these.
        let left = Term::Matrix(states.iter().map(|s| vec![jacobian(s, &t, &k)]).collect());
        let made = Proof::of(writer.known(), left.clone())
            .by(Rewrite::WholeState)
            .and_then(|p| p.by(Rewrite::Unfold(At::new("jac.product", &[]))));
        if let Some(made) = made.map(Proof::done) {
            let id = format!("many.{}", by.name);
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
            two_steps(writer, &by.name, &other.name);
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

pub(crate) fn flow(states: &[Name], to: Time, from: Time) -> Term {
    match states {
        [one] => Term::Jacobian(Arc::clone(one), to, Arc::clone(one), from),
        _ => Term::StateFlow(to, from),
    }
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

fn write_product(writer: &mut Writer<'_>, states: &[State]) {
    let names: Vec<Name> = states.iter().map(|s| Arc::clone(&s.name)).collect();
    let left = flow(&names, Time::var('t'), Time::var('k'));
    let Some(made) = Proof::of(writer.known(), left.clone()).by(Rewrite::Chain) else {
        return;
    };
    let made = made.done();
    let equation = writer.prove("jac.product".into(), Part::Jacobian, left, made);
    equation.range = pairs();
    equation.rules.insert(0, Rule::Unrolling);
    equation.premises = vec![match &names[..] {
        [one] => format!("jac.{one}.{one}"),
        _ => "jac".into(),
    }];
}
