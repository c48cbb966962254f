//! The choice between keeping a value for a later pass and computing it there again.

use std::collections::HashMap;

use super::graph::{Graph, Id, Kind, Node, Register};
use super::schedule::Schedule;
use crate::op::{Edge, Pointwise};
use crate::shape::Rate;
use crate::tape::Direction;

/// The smallest number of entries of a value that is recomputed.
const FROM: usize = 16;

/// The smallest number of entries of a state that is recomputed; for smaller states, time matters
/// more than memory.
const STATES_FROM: usize = 128;

/// A user of a state runs promptly, and is kept instead of the state, if the state has at least this
/// many times as many entries.
const MUCH_SMALLER: usize = 8;

/// The largest number of ops to recompute a state.
const FEW_OPS: usize = 3;

/// The parts from which a value is recomputed.
#[derive(Default)]
struct Parts {
    /// The number of ops.
    ops: usize,
    /// The values that are kept.
    kept: Vec<Id>,
}

/// The recomputation of the value of a register in a later pass.
struct Again {
    /// The kept values it is computed from.
    kept: Vec<Id>,
    /// The uses that are replaced, as pairs of a user and an argument index.
    uses: Vec<(Id, usize)>,
    /// The users of the current value of the state, which are computed promptly and not in the
    /// later pass.
    prompt: Vec<Id>,
}

/// The users of each value in each pass, in order, for nodes that run in a pass.
struct Users {
    by_argument: HashMap<(usize, Id), Vec<Id>>,
    /// The same, for the base of the access to an argument.
    by_base: HashMap<(usize, Id), Vec<Id>>,
}

impl Users {
    fn of(graph: &Graph, schedule: &Schedule) -> Self {
        let mut users = Self {
            by_argument: HashMap::new(),
            by_base: HashMap::new(),
        };
        let note = |all: &mut HashMap<_, Vec<Id>>, key: (usize, Id), id: Id| {
            let known = all.entry(key).or_default();
            if known.last() != Some(&id) {
                known.push(id);
            }
        };
        for id in schedule.order.iter().copied() {
            let Some(pass) = schedule.run_in(graph, id) else {
                continue;
            };
            for arg in graph.nodes[id].args.iter().copied() {
                note(&mut users.by_argument, (pass, arg), id);
                note(&mut users.by_base, (pass, graph.access(arg).base), id);
            }
        }
        users
    }
}

impl Graph {
    /// Computes entrywise values again in a later pass that uses them, if all their arguments are
    /// kept for that pass anyway: `tanh(c)` from `c`, `1 − z` from `z`.
    pub(super) fn recompute(&mut self, schedule: &Schedule) {
        let mut is_end = vec![false; self.nodes.len()];
        let ends = self.registers.iter().flat_map(|r| [Some(r.def), r.init]);
        let outputs = self.outputs.iter().map(|o| o.node);
        for id in ends.flatten().chain(outputs) {
            is_end[id] = true;
        }
        let mut users = Users::of(self, schedule);
        for id in schedule.order.iter().copied() {
            let node = &self.nodes[id];
            let may = node.kind.is_entrywise()
                && node.rate == Rate::Step
                && node.len() >= FROM
                && !is_end[id];
            if !may {
                continue;
            }
            for pass in schedule.places[id].pass + 1..schedule.passes.len() {
                self.recompute_in(pass, id, schedule, &mut users);
            }
        }
    }

    fn recompute_in(&mut self, pass: usize, id: Id, schedule: &Schedule, known: &mut Users) {
        let users = known.by_argument.get(&(pass, id));
        let mut users = users.cloned().unwrap_or_default();
        // Users that were already changed to use a recomputed value do not count.
        users.retain(|n| self.nodes[*n].args.contains(&id));
        let in_place = |n: &Id| self.in_place(*n).is_some();
        let is_there = |arg: &Id| {
            let base = self.access(*arg).base;
            let uses = |n: &Id| {
                let mut args = self.nodes[*n].args.iter();
                args.any(|a| self.access(*a).base == base)
            };
            let there = known.by_base.get(&(pass, base));
            !self.is_computed(base)
                || self.nodes[base].rate != Rate::Step
                || there.into_iter().flatten().any(uses)
        };
        let kept = self.nodes[id].args.iter().all(is_there);
        if users.is_empty() || users.iter().any(in_place) || !kept {
            return;
        }
        let (kind, args) = (self.nodes[id].kind.clone(), self.nodes[id].args.clone());
        let again = self.add_like(id, kind, args, Rate::Step);
        self.nodes[again].label = self.nodes[id].label.clone();
        for user in &users {
            for arg in &mut self.nodes[*user].args {
                if *arg == id {
                    *arg = again;
                }
            }
        }
        // Users through a view have users of their own, so all users are determined again.
        if users.iter().all(|n| self.is_computed(*n)) {
            known.by_base.insert((pass, again), users);
        } else {
            *known = Users::of(self, schedule);
        }
    }

    /// Computes the previous value of a state again in a later pass that uses nothing else of the
    /// state, from values kept for that pass anyway: the `h` of an LSTM from `o` and `c`.
    pub(super) fn recompute_states(&mut self, schedule: &Schedule) {
        let mut carried: HashMap<Id, usize> = HashMap::new();
        let mut is_needed = vec![false; self.nodes.len()];
        for register in &self.registers {
            *carried.entry(register.def).or_default() += 1;
            register
                .init
                .into_iter()
                .for_each(|id| is_needed[id] = true);
        }
        for output in &self.outputs {
            is_needed[self.access(output.node).base] = true;
        }
        for r in 0..self.registers.len() {
            let def = self.registers[r].def;
            if is_needed[def] || carried[&def] > 1 {
                continue;
            }
            if let Some(Again { kept, uses, prompt }) = self.is_recomputed(r, schedule) {
                self.prompt.extend(prompt);
                let again = self.held_again(r, &kept);
                for (user, i) in uses {
                    self.nodes[user].args[i] = again;
                }
            }
        }
    }

    /// The recomputation of a register in a later pass, if it is possible.
    fn is_recomputed(&self, r: usize, schedule: &Schedule) -> Option<Again> {
        let def = self.registers[r].def;
        let node = &self.nodes[def];
        let is_free = node.kind.is_entrywise()
            && node.len() >= STATES_FROM
            && self.outputs.iter().all(|o| self.access(o.node).base != def)
            && self.registers.iter().filter(|s| s.def == def).count() == 1
            && self.registers.iter().all(|s| s.init != Some(def));
        if !is_free {
            return None;
        }
        let home = schedule.run_in(self, def);
        let later = |id: &Id| schedule.run_in(self, *id) != home;
        let (mut uses, mut prompt, mut pass) = (Vec::new(), Vec::new(), None);
        for id in schedule.order.iter().copied().filter(later) {
            for (i, arg) in self.nodes[id].args.iter().copied().enumerate() {
                if self.access(arg).base != def {
                    continue;
                }
                if self.need_not_wait(id, def, schedule) {
                    prompt.push(id);
                    continue;
                }
                let here = schedule.run_in(self, id);
                let is_plain = matches!(self.nodes[arg].kind, Kind::Read(_));
                let is_start = i == 0 && self.in_place(id).is_some();
                if !is_plain || is_start || pass.is_some_and(|p| p != here) {
                    return None;
                }
                pass = Some(here);
                uses.push((id, i));
            }
        }
        let there = |id: &&Id| Some(schedule.run_in(self, **id)) == pass;
        let there: Vec<Id> = schedule.order.iter().filter(there).copied().collect();
        let kept = |id: Id| {
            let uses = |n: &Id| {
                self.nodes[*n]
                    .args
                    .iter()
                    .any(|a| self.access(*a).base == id)
            };
            there.iter().any(uses)
        };
        let mut parts = Parts::default();
        (pass.is_some() && self.is_made_of(def, &kept, &mut parts)).then_some(Again {
            kept: parts.kept,
            uses,
            prompt,
        })
    }

    /// Returns true if a user of a value can run in the pass of the value, and is much smaller.
    fn need_not_wait(&self, id: Id, value: Id, schedule: &Schedule) -> bool {
        let node = &self.nodes[id];
        let is_early = |arg: &Id| {
            let access = self.access(*arg);
            access.shift == 0
                && (!self.is_computed(access.base)
                    || schedule.places[access.base].pass <= schedule.places[value].pass)
        };
        node.rate == Rate::Step
            && node.len() * MUCH_SMALLER <= self.nodes[value].len()
            && node.args.iter().all(is_early)
    }

    /// Returns true if a value can be computed by a few entrywise ops from kept values of the same
    /// step.
    fn is_made_of(&self, id: Id, is_kept: &impl Fn(Id) -> bool, parts: &mut Parts) -> bool {
        let node = &self.nodes[id];
        parts.ops += 1;
        if parts.ops > FEW_OPS || !node.kind.is_entrywise() || !self.is_computed(id) {
            return false;
        }
        node.args.iter().all(|arg| {
            let other = &self.nodes[*arg];
            let is_kept_now = self.is_computed(*arg) && is_kept(*arg);
            if is_kept_now {
                parts.kept.push(*arg);
            }
            other.rate != Rate::Step
                || other.len() == node.len()
                    && (is_kept_now || self.is_made_of(*arg, is_kept, parts))
        })
    }

    /// Adds nodes that recompute the value of a register from the kept parts of its definition, one
    /// step before.
    fn held_again(&mut self, r: usize, kept: &[Id]) -> Id {
        let Register {
            direction,
            init,
            def,
        } = self.registers[r];
        let again = self.step_before(def, direction, kept);
        if init.is_none() && self.starts_at_zero(again) {
            return again;
        }
        let edge = match direction {
            Direction::Forward => Edge::First,
            Direction::Backward => Edge::Last,
        };
        let number = |kind, args, rate| Node {
            kind,
            args,
            rate,
            extent: [1, 1],
            shape: Vec::new(),
            label: None,
        };
        let one = self.add(number(Kind::Constant(1.0), vec![], Rate::Static));
        let one = self.add(number(Kind::Sum(vec![1]), vec![one], Rate::Static));
        let starts = self.add(number(Kind::Impulse(edge), vec![one], Rate::Step));
        let starts = self.add_like(def, Kind::Spread, vec![starts], Rate::Step);
        let init =
            init.unwrap_or_else(|| self.add_like(def, Kind::Constant(0.0), vec![], Rate::Static));
        let held = self.add_like(def, Kind::Select, vec![starts, init, again], Rate::Step);
        self.nodes[held].label = self.nodes[def]
            .label
            .as_ref()
            .map(|l| format!("{l} before"));
        held
    }

    /// Returns true if a product is zero at the first step: one factor is zero and the others are
    /// finite.
    fn starts_at_zero(&self, id: Id) -> bool {
        let args = &self.nodes[id].args;
        let is_zero = |arg: &Id| {
            matches!(self.nodes[*arg].kind, Kind::Read(_)) && self.at_the_start(*arg).is_some()
        };
        matches!(self.nodes[id].kind, Kind::Pointwise(Pointwise::Mul))
            && args.iter().any(is_zero)
            && args
                .iter()
                .all(|a| self.at_the_start(*a).is_some_and(f64::is_finite))
    }

    /// The value of an entrywise node if all registers without initial value are zero, if it can be
    /// evaluated.
    fn at_the_start(&self, id: Id) -> Option<f64> {
        let node = &self.nodes[id];
        match node.kind {
            Kind::Constant(x) => Some(x),
            Kind::Read(r) => self.registers[r].init.is_none().then_some(0.0),
            Kind::Pointwise(op) => {
                let args = node.args.iter().map(|a| self.at_the_start(*a));
                Some(op.eval(&args.collect::<Option<Vec<f64>>>()?))
            }
            _ => None,
        }
    }

    /// Adds nodes for the value of a node one step before, computed from kept values.
    fn step_before(&mut self, id: Id, direction: Direction, kept: &[Id]) -> Id {
        if self.nodes[id].rate != Rate::Step {
            return id;
        }
        if kept.contains(&id) {
            let is_it = |r: &Register| r.def == id && r.direction == direction;
            let r = self.registers.iter().position(is_it).unwrap_or_else(|| {
                self.registers.push(Register {
                    direction,
                    init: None,
                    def: id,
                });
                self.registers.len() - 1
            });
            return self.add_like(id, Kind::Read(r), vec![], Rate::Step);
        }
        let Node { kind, args, .. } = self.nodes[id].clone();
        let args = args
            .into_iter()
            .map(|arg| self.step_before(arg, direction, kept));
        let args = args.collect();
        self.add_like(id, kind, args, Rate::Step)
    }
}
