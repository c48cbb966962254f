//! Fuses chains of additions into one sum.
//!
//! A sum absorbs the terms of a sum without other uses. While the graph is built, it only records
//! this: copying the terms at each sum of a chain would take quadratic time.

use super::graph::{Id, Kind, Lower, Terms};
use crate::op::{Extent, Move, NodeId};
use crate::shape::Rate;

/// The maximum number of terms of a sum, so that it fits into one program.
const MOST_TERMS: usize = 4096;

impl Lower<'_> {
    pub(super) fn sum(&mut self, id: NodeId, signs: &[i8], args: &[Id]) -> Id {
        let rate = self.tape.ty(id).rate;
        let mut terms = Terms {
            taken: Vec::new(),
            count: 0,
            padded: [Some(0); 2],
        };
        for ((tape_arg, arg), sign) in self.tape.node(id).args().iter().zip(args).zip(signs) {
            let inner = &self.graph.nodes[*arg];
            let may = inner.rate == rate && self.uses[tape_arg.index()] == 1;
            let (count, padded) = match &inner.kind {
                Kind::Sum(inner_signs) if may => match self.sums.get(arg) {
                    Some(inner) => (inner.count, inner.padded),
                    None => {
                        let padded = self.padded(inner_signs, &inner.args);
                        (inner.args.len(), padded)
                    }
                },
                _ => (0, [None; 2]),
            };
            let takes = count > 0 && count + terms.count < MOST_TERMS;
            let [plus, minus] = match takes {
                true => padded,
                false => self.padded(&[1], &[*arg]),
            };
            let own = if *sign > 0 {
                [plus, minus]
            } else {
                [minus, plus]
            };
            for (sum, own) in terms.padded.iter_mut().zip(own) {
                *sum = sum.zip(own).map(|(a, b)| a + b);
            }
            terms.taken.push(takes);
            terms.count += if takes { count } else { 1 };
        }
        let extent = self.extent(id);
        let is_covered = terms.padded[0] == Some(crate::op::entries(extent));
        let has_taken = terms.taken.contains(&true);
        let sum = self.push(id, Kind::Sum(signs.to_vec()), args.to_vec());
        if has_taken {
            self.sums.insert(sum, terms);
        }
        if is_covered && let Some(parts) = self.disjoint(&self.terms(sum).0, extent) {
            let node = &mut self.graph.nodes[sum];
            (node.kind, node.args) = (Kind::Join, parts);
            self.sums.remove(&sum);
        }
        sum
    }

    /// The number of entries of padded terms before padding, if all have the sign `+` (first) or
    /// `−` (second).
    fn padded(&self, signs: &[i8], terms: &[Id]) -> [Option<usize>; 2] {
        [1, -1].map(|sign| {
            let entries = terms.iter().zip(signs).map(|(term, s)| {
                let (_, len, _) = self.part(*term)?;
                (*s == sign).then_some(len)
            });
            entries.sum()
        })
    }

    /// The start, the length and the argument of a node that pads its argument.
    fn part(&self, term: Id) -> Option<(usize, usize, Id)> {
        let node = &self.graph.nodes[term];
        let Kind::Move(moves) = &node.kind else {
            return None;
        };
        let [Move { extent, from, to }] = moves[..] else {
            return None;
        };
        let rows_follow = extent[1] == 1 || (from.rows == extent[1] && to.rows == extent[1]);
        let unit = extent[1] == 1 && from.rows == 1 && to.rows == 1
            || extent[1] > 1 && from.columns == 1 && to.columns == 1;
        if from.class + to.class + from.start > 0 || !rows_follow || !unit {
            return None;
        }
        Some((to.start, crate::op::entries(extent), node.args[0]))
    }

    /// The arguments, in order, of a sum of disjoint padded values that cover the result. The
    /// transposes of slices of stacked gates have this form.
    fn disjoint(&self, terms: &[Id], extent: Extent) -> Option<Vec<Id>> {
        let parts = terms.iter().map(|term| self.part(*term));
        let mut parts: Vec<(usize, usize, Id)> = parts.collect::<Option<_>>()?;
        parts.sort_unstable();
        let mut next = 0;
        for (start, len, arg) in &parts {
            if *start != next || self.graph.nodes[*arg].rate != Rate::Step {
                return None;
            }
            next += len;
        }
        (next == crate::op::entries(extent)).then(|| parts.iter().map(|p| p.2).collect())
    }

    /// All terms of a sum with their signs.
    fn terms(&self, sum: Id) -> (Vec<Id>, Vec<i8>) {
        let (mut terms, mut all) = (Vec::new(), Vec::new());
        // The open sums, with the sign and the index of the next argument of each.
        let mut stack = vec![(sum, 1, 0)];
        while let Some((id, sign, next)) = stack.last_mut() {
            let (id, sign, at) = (*id, *sign, *next);
            *next += 1;
            let node = &self.graph.nodes[id];
            let Kind::Sum(signs) = &node.kind else {
                stack.pop();
                continue;
            };
            let (Some(arg), Some(own)) = (node.args.get(at), signs.get(at)) else {
                stack.pop();
                continue;
            };
            match self.sums.get(&id).is_some_and(|sum| sum.taken[at]) {
                true => stack.push((*arg, sign * own, 0)),
                false => {
                    terms.push(*arg);
                    all.push(sign * own);
                }
            }
        }
        (terms, all)
    }

    /// Stores all terms in each live sum.
    pub(super) fn join_sums(&mut self) {
        let mut live = vec![false; self.graph.nodes.len()];
        let mut stack: Vec<Id> = self.graph.outputs.iter().map(|o| o.node).collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut live[id], true) {
                continue;
            }
            if self.sums.contains_key(&id) {
                let (terms, signs) = self.terms(id);
                let node = &mut self.graph.nodes[id];
                (node.kind, node.args) = (Kind::Sum(signs), terms);
                self.sums.remove(&id);
            }
            stack.extend(self.graph.dependencies(id));
        }
    }
}
