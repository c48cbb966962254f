//! The nodes of an unrolled recurrence: their values, their places, and a listing.

use std::fmt;

use super::Unrolled;
use crate::op::NodeId;
use crate::shape::Rate;

impl Unrolled {
    /// The nodes of an output in the flat tape, one for each step of each sample (samples first), for each
    /// sample, or one.
    #[must_use]
    pub fn nodes_of(&self, output: &str) -> Option<&[NodeId]> {
        let found = self.outputs.iter().find(|o| *o.name == *output);
        found.map(|o| &*o.nodes)
    }

    /// The named value of which a node is a copy, with its step and sample as in the arrays of the data:
    /// `h[2, 0]`, or `c[0]` for a value per sample. Nodes of the gradient and nodes in between have no name.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Option<String> {
        let place = self.origins.get(node.index()).copied().flatten()?;
        let name = self.recurrence.tape().label(place.node)?;
        Some(match self.recurrence.tape().ty(place.node).rate {
            Rate::Static => name.into(),
            Rate::Sample => format!("{name}[{}]", place.sample),
            Rate::Step => format!("{name}[{}, {}]", place.step, place.sample),
        })
    }
}

/// One line for each node, with its [`place`](Unrolled::place), then the outputs.
impl fmt::Display for Unrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, _) in self.tape.nodes() {
            self.tape.write_node(f, id, self.place(id).as_deref())?;
        }
        for output in &self.outputs {
            write!(f, "output {} =", output.name)?;
            for node in &output.nodes {
                write!(f, " %{}", node.index())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
