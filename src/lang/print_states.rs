//! Which registers of a graph are written as states, and what those are said to become.

use std::collections::HashSet;

use super::lexer::is_name;
use super::print::{Head, Printer, State, Statement};
use crate::op::{Linear, NodeId, Op, RegisterId};
use crate::recurrence::{self, Recurrence};
use crate::tape::{Direction, Register, Tape};

/// Whether what is read of a register is written as a delay or an advance: it belongs to no state
/// of the recurrence, and does not depend on itself.
pub(super) fn is_shift(recurrence: &Recurrence, read: NodeId) -> bool {
    let tape = recurrence.tape();
    let Some(register) = tape.register_read_by(read) else {
        return false;
    };
    let r = tape.register(register);
    let spelt = r.direction() == Direction::Forward || r.init().is_none();
    let state = recurrence.state_registers().any(|state| state == register);
    spelt && !state && !depends_on_itself(tape, read)
}

/// Whether a value is needed for itself, at any step.
fn depends_on_itself(tape: &Tape, id: NodeId) -> bool {
    let mut seen = HashSet::new();
    let mut stack = vec![id];
    while let Some(next) = stack.pop() {
        let node = tape.node(next);
        let mut needs: Vec<NodeId> = node.args.to_vec();
        if let Op::Read(r) = node.op {
            needs.extend(tape.register(r).def());
            needs.extend(tape.register(r).init());
        }
        if needs.contains(&id) {
            return true;
        }
        stack.extend(needs.into_iter().filter(|n| seen.insert(*n)));
    }
    false
}

impl Printer<'_> {
    pub(super) fn take_states(&mut self, states: &[recurrence::State]) -> Result<(), String> {
        for recurrence::State {
            name,
            register,
            end,
            inner,
        } in states
        {
            if !is_name(name) || self.free(name) != **name {
                return Err(format!("the state `{name}` is no name"));
            }
            self.states.push(State {
                register: *register,
                name: name.to_string(),
                end: *end,
                inner: *inner,
            });
        }
        let mut registers: Vec<RegisterId> = states.iter().map(|s| s.register).collect();
        let live = self.live();
        for (id, node) in self.tape.nodes() {
            let Op::Read(register) = node.op else {
                continue;
            };
            if !live[id.index()] || registers.contains(&register) {
                continue;
            }
            // A delay of something that does not depend on it needs no state.
            if !is_shift(self.recurrence, id) {
                registers.push(register);
            }
        }
        let declared = states.len();
        for register in registers.into_iter().skip(declared) {
            let name = self.free(self.register(register).name());
            self.states.push(State {
                register,
                name,
                end: None,
                inner: true,
            });
        }
        for i in 0..self.states.len() {
            let State { register, name, .. } = &self.states[i];
            let Some(def) = self.register(*register).def() else {
                continue;
            };
            let name = format!("{name}'");
            let core = self.core(def);
            // When the text is read, a state that carries what has another name is a second name for
            // it; so is one that starts from what it carries, which has to be there before.
            let other = i >= declared
                && (self.tape.register_read_by(core).is_some()
                    || self.tape.label(def).is_some()
                    || self.starts_from_itself(*register));
            let plain = other || self.is_trivial(core) || self.is_only_carried(def, &live);
            if !plain && !self.statements.contains_key(&def) {
                let head = Head::Next;
                self.statements.insert(def, Statement { head, name });
            }
        }
        Ok(())
    }

    /// Whether the initial value of a register depends on what it carries.
    fn starts_from_itself(&self, register: RegisterId) -> bool {
        let (Some(init), def) = (
            self.register(register).init(),
            self.register(register).def(),
        ) else {
            return false;
        };
        let mut seen = HashSet::from([init]);
        let mut stack = vec![init];
        while let Some(id) = stack.pop() {
            if Some(id) == def {
                return true;
            }
            let node = self.tape.node(id);
            let mut needs: Vec<NodeId> = node.args.to_vec();
            if let Op::Read(r) = node.op {
                needs.extend(self.register(r).init());
                if !self.is_trivial(id) {
                    needs.extend(self.register(r).def());
                }
            }
            // The next value of a state is written after its initial value.
            let states = self.states.iter().map(|s| self.register(s.register));
            let carries = states.filter(|r| r.def() == Some(id));
            needs.extend(carries.filter_map(Register::init));
            stack.extend(needs.into_iter().filter(|n| seen.insert(*n)));
        }
        false
    }

    /// Whether a value is a second name for another one that only a state knows. In a derivative such
    /// a state carries the other value itself, and both are written alike.
    fn is_only_carried(&self, id: NodeId, live: &[bool]) -> bool {
        let alias = matches!(self.tape.node(id).op, Op::Linear(Linear::Alias(_)));
        let read = || {
            let mut nodes = self.tape.nodes().filter(|(n, _)| live[n.index()]);
            nodes.any(|(_, node)| node.args.contains(&id))
        };
        let output = || {
            let mut outputs = self.recurrence.outputs();
            outputs.any(|name| self.recurrence.output(name) == Ok(id))
        };
        let carried = || {
            let ends = self
                .tape
                .registers()
                .iter()
                .flat_map(|r| [r.def(), r.init()]);
            ends.filter(|end| *end == Some(id)).count()
        };
        alias && !read() && !output() && carried() == 1
    }

    /// What a state carries, under its first name.
    pub(super) fn carried(&self, def: NodeId) -> NodeId {
        let node = self.tape.node(def);
        let alias = matches!(node.op, Op::Linear(Linear::Alias(_)));
        let plain = alias && !self.statements.contains_key(&def);
        self.unheld(if plain { node.args[0] } else { def })
    }
}
