//! Reverses the direction of time in a recurrence.

use super::Recurrence;
use crate::error::Result;
use crate::op::{Edge, Expr, Op, RegisterId, Time};
use crate::tape::{Direction, Edit, NodeSite, Register};

impl Recurrence {
    /// A copy with time reversed: reads of the previous step become reads of the next step, and the first step
    /// becomes the last. On reversed sequences it gives the reversed results of the original.
    ///
    /// # Errors
    /// None in practice: the reversed graph is always a recurrence.
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
