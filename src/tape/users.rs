//! The users of each node.

use smallvec::SmallVec;

use super::Tape;
use crate::op::NodeId;

/// For each of the first nodes of a tape, the nodes that have it as an argument.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    of: Vec<SmallVec<[NodeId; 2]>>,
}

impl Users {
    /// Adds the nodes appended to the tape since the last call.
    pub(super) fn update(&mut self, tape: &Tape) {
        let known = self.of.len();
        self.of.resize(tape.len(), SmallVec::new());
        for (index, node) in tape.nodes.iter().enumerate().skip(known) {
            for arg in &node.args {
                self.of[arg.index()].push(NodeId::new(index));
            }
        }
    }

    /// The nodes that use a node.
    pub(crate) fn of(&self, id: NodeId) -> &[NodeId] {
        &self.of[id.index()]
    }
}

impl Tape {
    /// The users of each node.
    pub(crate) fn users(&self) -> Users {
        let mut users = Users::default();
        users.update(self);
        users
    }
}
