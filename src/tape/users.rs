//! Which nodes use a node.

use smallvec::SmallVec;

use super::Tape;
use crate::op::NodeId;

/// The nodes that have a node among their arguments, for the first nodes of a tape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    of: Vec<SmallVec<[NodeId; 2]>>,
}

impl Users {
    /// Adds what was appended to the tape since the last call.
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
    /// Which nodes use which.
    pub(crate) fn users(&self) -> Users {
        let mut users = Users::default();
        users.update(self);
        users
    }
}
