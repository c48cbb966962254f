//! Estimates the memory of a flat tape before unrolling.

use super::{Recurrence, Unrolled};
use crate::op::{NodeId, Op, Time};
use crate::shape::Rate;

/// The bytes of a node of a flat tape without its value (measured).
const NODE_BYTES: usize = 400;

impl Recurrence {
    /// The bytes needed to unroll over these lengths and to evaluate; `None` on overflow.
    pub(super) fn unrolled_bytes(&self, sizes: &[usize], lengths: &[usize]) -> Option<usize> {
        let live = self.tape.live(self.outputs.values().copied());
        let nodes = self.tape.nodes().filter(|(id, _)| live[id.index()]);
        let steps = lengths
            .iter()
            .try_fold(0usize, |all, l| all.checked_add(*l))?;
        nodes
            .map(|(_, node)| {
                // A sum takes one addition per term.
                let rate = match node.op {
                    Op::Time(Time::Total(_)) => self.tape.ty(node.args[0]).rate,
                    _ => node.ty.rate,
                };
                let places = match rate {
                    Rate::Static => 1,
                    Rate::Sample => lengths.len(),
                    Rate::Step => steps,
                };
                let entries = node.ty.shape.values(sizes).into_iter();
                let value = { entries }.try_fold(size_of::<f64>(), usize::checked_mul);
                // A read, hold or pick reuses the node of another value.
                let own = match node.op {
                    Op::Read(_) | Op::Time(Time::Hold(_) | Time::Pick(_)) => size_of::<NodeId>(),
                    _ => value?.checked_add(NODE_BYTES)?,
                };
                places.checked_mul(own)
            })
            .try_fold(0usize, |all, bytes| all.checked_add(bytes?))
    }
}

impl Unrolled {
    /// The bytes of the flat tape and its values; `None` on overflow.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.tape.nodes().try_fold(0usize, |all, (_, node)| {
            let entries: usize = node.ty.shape.as_fixed()?.iter().product();
            all.checked_add(NODE_BYTES)?
                .checked_add(entries.checked_mul(size_of::<f64>())?)
        })
    }
}
