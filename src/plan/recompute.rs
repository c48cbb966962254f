//! What to keep for a later pass and what to compute there once more.

use super::graph::{Graph, Id};
use super::schedule::Schedule;
use crate::shape::Rate;

/// From this many entries on, a value is computed again rather than kept.
const FROM: usize = 16;

impl Graph {
    /// Computes entrywise values again in a later pass that uses them, when all they are computed
    /// from is kept for that pass anyway: `tanh(c)` from `c`, `1 − z` from `z`.
    pub(super) fn recompute(&mut self, schedule: &Schedule) {
        for id in schedule.order.iter().copied() {
            let node = &self.nodes[id];
            let may = node.kind.is_entrywise()
                && node.rate == Rate::Step
                && node.len() >= FROM
                && self.outputs.iter().all(|o| o.node != id)
                && self
                    .registers
                    .iter()
                    .all(|r| r.def != id && r.init != Some(id));
            if !may {
                continue;
            }
            for pass in schedule.places[id].pass + 1..schedule.passes.len() {
                self.recompute_in(pass, id, schedule);
            }
        }
    }

    fn recompute_in(&mut self, pass: usize, id: Id, schedule: &Schedule) {
        let runs = |n: &Id| schedule.run_in(self, *n) == Some(pass);
        let there: Vec<Id> = schedule.order.iter().copied().filter(runs).collect();
        let users: Vec<Id> = there
            .iter()
            .copied()
            .filter(|n| self.nodes[*n].args.contains(&id))
            .collect();
        let in_place = |n: &Id| self.in_place(*n).is_some();
        let is_there = |arg: &Id| {
            let base = self.access(*arg).base;
            let uses = |n: &Id| {
                self.nodes[*n]
                    .args
                    .iter()
                    .any(|a| self.access(*a).base == base)
            };
            !self.is_computed(base) || self.nodes[base].rate != Rate::Step || there.iter().any(uses)
        };
        let kept = self.nodes[id].args.iter().all(is_there);
        if users.is_empty() || users.iter().any(in_place) || !kept {
            return;
        }
        let (kind, args) = (self.nodes[id].kind.clone(), self.nodes[id].args.clone());
        let again = self.add_like(id, kind, args, Rate::Step);
        self.nodes[again].label = self.nodes[id].label.clone();
        for user in users {
            for arg in &mut self.nodes[user].args {
                if *arg == id {
                    *arg = again;
                }
            }
        }
    }
}
