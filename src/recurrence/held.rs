//! Evaluation near some data, with all that a derivative takes as constant held fixed: differences of these values
//! are those of the derivative, also of a declared one.

use super::{Batch, Params, Unrolled};
use crate::error::Result;
use crate::op::{NodeId, Op, Value};
use crate::tape::{Side, Tape, evaluate_adjusted, kinks_of};

/// The values of all nodes at some data, if derivatives of the tape hold any of them fixed.
pub(crate) struct Held {
    at: Vec<Value<f64>>,
    /// The nodes on which the outputs depend, other than through values that are held.
    free: Vec<bool>,
}

impl Unrolled {
    /// Holds values fixed: `values` are those of all nodes.
    pub(crate) fn hold(&self, values: &[Value<f64>]) -> Option<Held> {
        let declared = |op: &Op| matches!(op, Op::Declared(_));
        let any = self.tape.nodes().any(|(_, node)| declared(node.op()));
        any.then(|| Held {
            at: values.to_vec(),
            free: free(&self.tape, self.outputs.iter().flat_map(|o| &o.nodes)),
        })
    }

    /// The value of every node if the held values stay fixed.
    pub(crate) fn values_with(
        &self,
        held: Option<&Held>,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> Result<Vec<Value<f64>>> {
        let Some(held) = held else {
            return self.values(params, batch);
        };
        let bound = self.bound(params, batch)?;
        let leaf = |leaf| self.leaf_value(&bound, leaf);
        evaluate_adjusted(&self.tape, leaf, |id, args, value| {
            let node = self.tape.node(id);
            if let Op::Declared(op) = node.op() {
                let then = |a: &NodeId| &held.at[a.index()];
                let args_at: Vec<&Value<f64>> = node.args().iter().map(then).collect();
                *value = op.held(&held.at[id.index()], args, &args_at);
            }
        })
    }

    /// The kinks of the loss as a function of what is not held.
    pub(crate) fn kinks_with(&self, held: Option<&Held>, values: &[Value<f64>]) -> Vec<Side> {
        match held {
            None => self.kinks(values),
            Some(held) => kinks_of(&self.tape, values, |id| held.free[id.index()]),
        }
    }
}

fn free<'a>(tape: &Tape, roots: impl Iterator<Item = &'a NodeId>) -> Vec<bool> {
    let mut free = vec![false; tape.len()];
    let mut stack: Vec<NodeId> = roots.copied().collect();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut free[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        let declared = matches!(node.op(), Op::Declared(_));
        let args = node.args().iter().enumerate();
        let seen = args.filter(|(i, _)| !(declared && node.op().is_constant_in(*i)));
        stack.extend(seen.map(|(_, a)| *a));
    }
    free
}
