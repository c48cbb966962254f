//! The registers of a graph that are written as states, and the statements for their next values.

use std::collections::HashSet;

use indexmap::IndexSet;

use super::lexer::is_name;
use super::print::{Head, Printer, State, Statement};
use super::shifts::shifts;
use crate::op::{Linear, NodeId, Op, RegisterId};
use crate::recurrence;

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
                return Err(format!("the state `{name}` is not a valid name"));
            }
            self.state_registers.insert(*register);
            self.states.push(State {
                register: *register,
                name: name.to_string(),
                end: *end,
                inner: *inner,
            });
        }
        let mut registers: IndexSet<RegisterId> = states.iter().map(|s| s.register).collect();
        let (live, shifts) = (self.live(), shifts(self.recurrence));
        for (id, node) in self.tape.nodes() {
            let Op::Read(register) = node.op else {
                continue;
            };
            // A register whose value does not depend on its own read needs no state.
            if live[id.index()] && !shifts[id.index()] {
                registers.insert(register);
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
            self.state_registers.insert(register);
        }
        let mut known: HashSet<NodeId> = self.recurrence.output_nodes().map(|o| o.1).collect();
        let live_nodes = self.tape.nodes().filter(|(id, _)| live[id.index()]);
        known.extend(live_nodes.flat_map(|(_, node)| node.args.iter().copied()));
        for i in 0..self.states.len() {
            let State { register, name, .. } = &self.states[i];
            let Some(def) = self.register(*register).def() else {
                continue;
            };
            let name = format!("{name}'");
            let core = self.core(def);
            // When the text is parsed, a state that carries a named value becomes a second name for it. The
            // same holds for a state whose initial value depends on the carried value, which must have a
            // statement of its own.
            let other = i >= declared
                && (self.tape.register_read_by(core).is_some()
                    || self.tape.label(def).is_some()
                    || self.starts_from_itself(*register));
            let plain = other || self.is_trivial(core) || self.is_only_carried(def, &known);
            if !plain && !self.statements.contains_key(&def) {
                let head = Head::Next;
                self.statements.insert(def, Statement { head, name });
            }
        }
        Ok(())
    }

    /// Returns true if the initial value of a register depends on the value it carries.
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
            let carriers = self.tape.carriers(id);
            let states = carriers.filter(|r| self.state_registers.contains(r));
            needs.extend(states.filter_map(|r| self.register(r).init()));
            stack.extend(needs.into_iter().filter(|n| seen.insert(*n)));
        }
        false
    }

    /// Returns true if a value is an alias used by a single register and by nothing else. In a derivative, the
    /// register carries the aliased value itself, and both are written alike. `known` holds the values used by
    /// other nodes and by outputs.
    fn is_only_carried(&self, id: NodeId, known: &HashSet<NodeId>) -> bool {
        let alias = matches!(self.tape.node(id).op, Op::Linear(Linear::Alias(_)));
        alias && !known.contains(&id) && self.tape.registers_at(id).count() == 1
    }

    /// The value carried by a state, without an unnamed alias or `Hold`.
    pub(super) fn carried(&self, def: NodeId) -> NodeId {
        let node = self.tape.node(def);
        let alias = matches!(node.op, Op::Linear(Linear::Alias(_)));
        let plain = alias && !self.statements.contains_key(&def);
        self.unheld(if plain { node.args[0] } else { def })
    }
}
