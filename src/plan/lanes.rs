//! Lanes: the values of a run that depend on directions, of which there are several.
//!
//! A run with `k` directions computes these values `k` times, and all others once. Nothing else of a
//! plan depends on the directions: the order of all sums is that of the plan for one direction, so
//! each direction has the same results, to the last bit, as in a run of its own.

use super::graph::{Graph, Id, Kind};

impl Graph {
    /// Marks the values that there are several of: those that depend on one of these leaves, and a
    /// few others that are part of such a value.
    pub(super) fn lanes(&self, is_direction: &dyn Fn(usize) -> bool) -> Vec<bool> {
        let live = self.live();
        let nodes = || (0..self.nodes.len()).filter(|id| live[*id]);
        let mut users: Vec<Vec<Id>> = vec![Vec::new(); self.nodes.len()];
        for id in nodes() {
            for on in self.dependencies(id) {
                users[on].push(id);
            }
        }
        let is_leaf = |id: &Id| matches!(self.nodes[*id].kind, Kind::Leaf(l) if is_direction(l));
        let mut stack: Vec<Id> = nodes().filter(is_leaf).collect();
        let uses = self.uses();
        let mut laned = vec![false; self.nodes.len()];
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut laned[id], true) {
                stack.extend(&users[id]);
                stack.extend(self.parts(id, &uses));
            }
        }
        laned
    }

    /// The values that are computed as parts of a value: the initial value that a product
    /// overwrites, a factor of a multiply-add, and the value behind the read of a register, which
    /// may depend on a direction through its initial value only.
    fn parts(&self, id: Id, uses: &[usize]) -> Vec<Id> {
        let node = &self.nodes[id];
        let is_factor = |arg: &Id| {
            uses[*arg] == 1
                && matches!(self.nodes[*arg].kind, Kind::Pointwise(op) if op.is_product())
        };
        match node.kind {
            Kind::Gemm { .. } => self.in_place(id).into_iter().collect(),
            Kind::Sum(_) => node.args.iter().copied().filter(is_factor).collect(),
            Kind::Read(r) => vec![self.registers[r].def],
            _ => Vec::new(),
        }
    }
}
