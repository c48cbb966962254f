//! Fuses sums of matrix products into one operation each: `init + A v + B w + …`.
//!
//! Inside a loop, the terms from outside the loop are split off and computed for all steps at once.
//! This moves the input projection out of the loop.

use std::collections::HashMap;

use super::graph::{Graph, Id, Kind};
use super::schedule::SINK_FROM;
use crate::shape::Rate;

/// Properties of the nodes before any is changed; nodes added later have defaults.
struct Before {
    /// The loop of a node, if it is in one.
    cycle: Vec<Option<usize>>,
    uses: Vec<usize>,
}

impl Before {
    fn cycle(&self, id: Id) -> Option<usize> {
        self.cycle.get(id).copied().flatten()
    }

    fn is_private(&self, id: Id) -> bool {
        self.uses.get(id).is_none_or(|n| *n == 1)
    }
}

impl Graph {
    /// Turns each product into a [`Kind::Gemm`].
    pub(super) fn fuse_products(&mut self) {
        let mut cycle = vec![None; self.nodes.len()];
        for (index, (nodes, cyclic)) in self.components().into_iter().enumerate() {
            if cyclic {
                nodes.iter().for_each(|id| cycle[*id] = Some(index));
            }
        }
        let (live, uses) = (self.live(), self.uses());
        let before = Before { cycle, uses };
        let mut id = 0;
        // The sums that are split off are appended, so they are visited last.
        while id < self.nodes.len() {
            if live.get(id).copied().unwrap_or(true) {
                self.fuse_sum(id, &before);
            }
            id += 1;
        }
        for node in &mut self.nodes {
            if let Kind::Product { transposed } = node.kind {
                node.kind = Kind::Gemm {
                    init: false,
                    transposed: vec![transposed],
                };
            }
        }
        self.align_starts();
    }

    /// Makes products of the same vectors start alike, all in place or none, so that they can be
    /// one operation.
    fn align_starts(&mut self) {
        let mut groups: HashMap<Vec<Id>, (bool, Vec<Id>)> = HashMap::new();
        for id in 0..self.nodes.len() {
            let (in_place, common) = (self.in_place(id), self.common_start(id));
            if in_place.or(common).is_some() {
                let group = groups.entry(super::graph::vectors(self, id)).or_default();
                group.0 |= in_place.is_some();
                group.1.extend(common.map(|_| id));
            }
        }
        let mut mixed: Vec<Id> = groups
            .into_values()
            .filter(|(some_in_place, _)| *some_in_place)
            .flat_map(|(_, ids)| ids)
            .collect();
        mixed.sort_unstable();
        for id in mixed {
            let start = self.nodes[id].args[0];
            let copy = self.add_like(start, Kind::Sum(vec![1]), vec![start], self.nodes[id].rate);
            self.nodes[copy].label = self.nodes[start].label.clone();
            self.nodes[id].args[0] = copy;
        }
    }

    fn fuse_sum(&mut self, id: Id, before: &Before) {
        let Kind::Sum(signs) = self.nodes[id].kind.clone() else {
            return;
        };
        let (own, rate) = (before.cycle(id), self.nodes[id].rate);
        let (mut products, mut outside, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (arg, sign) in self.nodes[id].args.clone().into_iter().zip(signs) {
            let node = &self.nodes[arg];
            let is_product = matches!(node.kind, Kind::Product { .. })
                && sign > 0
                && node.rate == rate
                && before.is_private(arg);
            match own.is_none() || before.cycle(arg) == own {
                true if is_product => products.push(arg),
                true if own.is_some() => rest.push((arg, sign)),
                _ => outside.push((arg, sign)),
            }
        }
        let leaves = |(id, _): &(Id, i8)| {
            matches!(self.nodes[*id].kind, Kind::Product { .. }) && before.is_private(*id)
        };
        // A product leaves the loop together with all other terms from outside. A short sum is
        // computed faster for many steps at once.
        let short = self.nodes[id].len() < SINK_FROM;
        let split = own.is_some() && outside.len() > 1 && (short || outside.iter().any(leaves));
        if products.is_empty() {
            if split {
                let init = self.initial(id, outside, before).map(|init| (init, 1));
                let (terms, signs) = init.into_iter().chain(rest).unzip();
                (self.nodes[id].kind, self.nodes[id].args) = (Kind::Sum(signs), terms);
            }
            return;
        }
        let init = self.initial(id, outside, before);
        let mut args: Vec<Id> = init.into_iter().collect();
        let mut transposed = Vec::new();
        for product in products {
            if let Kind::Product { transposed: t } = self.nodes[product].kind {
                transposed.push(t);
                args.extend_from_slice(&self.nodes[product].args);
            }
        }
        let kind = Kind::Gemm {
            init: init.is_some(),
            transposed,
        };
        if rest.is_empty() {
            (self.nodes[id].kind, self.nodes[id].args) = (kind, args);
            return;
        }
        let gemm = self.add_like(id, kind, args, rate);
        let (terms, signs): (Vec<Id>, Vec<i8>) = [(gemm, 1)].into_iter().chain(rest).unzip();
        (self.nodes[id].kind, self.nodes[id].args) = (Kind::Sum(signs), terms);
    }

    /// The initial value of a product. It has no other use, so the product can overwrite it; or it
    /// is one row for all rows, next to the initial values of other products.
    fn initial(&mut self, like: Id, terms: Vec<(Id, i8)>, before: &Before) -> Option<Id> {
        let rate = self.nodes[like].rate;
        let label = self.nodes[like].label.clone();
        match terms[..] {
            [] => return None,
            [(only, 1)] => {
                let node = &self.nodes[only];
                let computed = matches!(node.kind, Kind::Sum(_) | Kind::Product { .. });
                if computed && node.rate == rate && before.is_private(only) {
                    self.nodes[only].label = label.or(self.nodes[only].label.take());
                    return Some(only);
                }
            }
            _ => {}
        }
        let (args, signs): (Vec<Id>, Vec<i8>) = terms.into_iter().unzip();
        let is_static = args.iter().all(|arg| self.nodes[*arg].rate == Rate::Static);
        let rate = if is_static { Rate::Static } else { rate };
        let init = self.add_like(like, Kind::Sum(signs), args, rate);
        self.nodes[init].label = label;
        Some(init)
    }
}
