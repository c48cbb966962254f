//! A recurrence that reads its sequences from their ends.

use super::Recurrence;
use crate::error::Result;
use crate::op::{Edge, Expr, Op, RegisterId, Time};
use crate::tape::{Direction, Edit, NodeSite, Register};

impl Recurrence {
    /// The same with time reversed: what was read from the step before is read from the step after, and the
    /// first step is the last. On sequences that are turned round it gives what the recurrence gives on
    /// the sequences as they are, turned round.
    ///
    /// # Errors
    /// When the reversed graph is not a recurrence, which it always is.
    pub fn reversed(&self) -> Result<Self> {
        self.edit(&mut Reverse)
    }
}

struct Reverse;

impl<'b> Edit<'b> for Reverse {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let other = |edge: Edge| match edge {
            Edge::First => Edge::Last,
            Edge::Last => Edge::First,
        };
        match (site.node.op(), site.args.first()) {
            (Op::Time(Time::Pick(pick)), Some(x)) => x.pick(other(pick.0)),
            (Op::Time(Time::Impulse(impulse)), Some(x)) => x.impulse(other(impulse.0)),
            _ => site.copy(),
        }
    }

    fn direction(&mut self, _: RegisterId, register: &Register) -> Direction {
        register.direction().reversed()
    }
}
