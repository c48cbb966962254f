//! Accesses: some nodes are only views of a value in memory.

use std::collections::HashMap;

use super::graph::{Graph, Id, Kind};
use crate::shape::Rate;
use crate::tape::Direction;

/// A view of a value in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Access {
    /// The node that computes the value.
    pub(super) base: Id,
    /// The first entry.
    pub(super) start: usize,
    /// The number of steps from the current step to the step of the value: −1, 0 or 1.
    pub(super) shift: i8,
    /// True if a single entry is broadcast.
    pub(super) spread: bool,
}

impl Graph {
    /// The view through which the value of a node is accessed.
    pub(super) fn access(&self, id: Id) -> Access {
        let node = &self.nodes[id];
        match node.kind {
            Kind::Read(r) => {
                let register = &self.registers[r];
                let shift = match register.direction {
                    Direction::Forward => -1,
                    Direction::Backward => 1,
                };
                let base = register.def;
                Access {
                    base,
                    start: 0,
                    shift,
                    spread: false,
                }
            }
            Kind::Part(start) => {
                let whole = self.access(node.args[0]);
                Access {
                    start: whole.start + start,
                    ..whole
                }
            }
            Kind::Spread => Access {
                spread: true,
                ..self.access(node.args[0])
            },
            _ => Access {
                base: id,
                start: 0,
                shift: 0,
                spread: false,
            },
        }
    }

    /// Returns true if a node computes a value, and is not a leaf, a constant or a view.
    pub(super) fn is_computed(&self, id: Id) -> bool {
        !matches!(
            self.nodes[id].kind,
            Kind::Leaf(_) | Kind::Constant(_) | Kind::Read(_) | Kind::Part(_) | Kind::Spread
        )
    }

    /// Inserts copies: of values that must be in memory but are not, and of values of registers
    /// that need memory of their own.
    pub(super) fn materialise(&mut self) {
        for id in 0..self.nodes.len() {
            if self.nodes[id].kind.is_entrywise() {
                continue;
            }
            for i in 0..self.nodes[id].args.len() {
                self.nodes[id].args[i] = self.in_memory(self.nodes[id].args[i]);
            }
        }
        for i in 0..self.outputs.len() {
            // An output of another step is copied, so that each pass has its outputs at its own steps.
            let node = self.outputs[i].node;
            self.outputs[i].node = match self.access(node).shift {
                0 => self.in_memory(node),
                _ => self.copy(node, Rate::Step),
            };
        }
        // The initial value of the first register of each value and direction.
        let mut claimed: HashMap<(Id, Direction), Option<Id>> = HashMap::new();
        for r in 0..self.registers.len() {
            let mut register = self.registers[r];
            register.init = register.init.map(|init| self.in_memory(init));
            let first = claimed.get(&(register.def, register.direction));
            let own = self.is_computed(register.def)
                && self.nodes[register.def].rate == Rate::Step
                && first.is_none_or(|init| *init == register.init);
            if !own {
                register.def = self.copy(register.def, Rate::Step);
            }
            claimed
                .entry((register.def, register.direction))
                .or_insert(register.init);
            self.registers[r] = register;
        }
    }

    fn in_memory(&mut self, id: Id) -> Id {
        match self.nodes[id].kind {
            Kind::Constant(_) | Kind::Spread => self.copy(id, self.nodes[id].rate),
            _ => id,
        }
    }

    fn copy(&mut self, id: Id, rate: Rate) -> Id {
        let copy = self.add_like(id, Kind::Sum(vec![1]), vec![id], rate);
        self.nodes[copy].label = self.nodes[id].label.clone();
        copy
    }
}
