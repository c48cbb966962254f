//! Variable lengths and resets, as rewrites of what registers read and carry.
//!
//! They are applied to a definition; its gradients then follow from the rewritten graph.

use super::Recurrence;
use crate::error::{Error, Mistake, Result};
use crate::op::{Edge, Expr, Op, Time};
use crate::shape::{Rate, Type};
use crate::tape::{Direction, Edit, NodeSite, RegisterEdit, RegisterSite, Role, Scope, check_name};

impl Recurrence {
    /// Adds a per-step scalar input `name` that says which steps are active (1) and which are not
    /// (0). An inactive step carries every state unchanged and adds nothing to any sum over
    /// steps; the first and last step are the first and last active ones. The other inputs may hold
    /// anything there: NaN and classes out of range are read as zeros.
    ///
    /// For sequences of different lengths this is the same as giving the lengths to
    /// [`Batch::with_lengths`](super::Batch::with_lengths); as a rewrite it can be run by an
    /// engine that treats all samples alike.
    ///
    /// # Errors
    /// When the name is taken, or when the recurrence is itself a derivative: mask first, then
    /// differentiate.
    pub fn with_mask(&self, name: &str) -> Result<Self> {
        let scope = Scope::default();
        let active = self.new_input(&scope, name)?;
        scope.mask(name.into());
        let draft = self.transplant(
            &scope,
            &mut Mask {
                scope: &scope,
                active,
            },
        );
        draft.finish(scope, &self.name)
    }

    /// Adds a per-step scalar input `name`; where it is 1, a new sequence begins: every forward
    /// state is read as its initial value at that step, and every backward state as its initial
    /// value at the step before.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn with_resets(&self, name: &str) -> Result<Self> {
        let scope = Scope::default();
        let reset = self.new_input(&scope, name)?;
        let ends = carried(&scope, Direction::Backward, "reset", reset, |_| reset);
        let draft = self.transplant(
            &scope,
            &mut Reset {
                begins: reset,
                ends,
            },
        );
        draft.finish(scope, &self.name)
    }

    /// A per-step scalar input, in a scope that will hold a copy of this recurrence.
    fn new_input<'b>(&self, scope: &'b Scope, name: &str) -> Result<Expr<'b>> {
        let taken = self.tape.leaves().iter().any(|l| *l.name == *name);
        let refuse = |message: String| Error::Definition {
            recurrence: self.name.clone(),
            mistakes: vec![Mistake::anywhere(message)],
        };
        check_name(name).map_err(refuse)?;
        if taken || self.tape.named(name).is_some() {
            return Err(refuse(format!(
                "the name `{name}` is used twice: by the definition, and for the input to be added"
            )));
        }
        let ty = Type::real((), Rate::Step);
        let (_, leaf) = scope.leaf(name.into(), Role::Input, ty);
        if let Some(id) = leaf.id() {
            scope.rename(id, name);
        }
        Ok(leaf)
    }
}

/// A register that carries what `def` makes of its read; the result is its read.
fn carried<'b>(
    scope: &'b Scope,
    direction: Direction,
    name: &str,
    like: Expr<'b>,
    def: impl FnOnce(Expr<'b>) -> Expr<'b>,
) -> Expr<'b> {
    let Some(shape) = like.shape() else {
        return like;
    };
    let ty = Type::real(shape, Rate::Step);
    let (register, read) = scope.register(name.into(), direction, ty, None);
    if let Some(id) = def(read).hold(Rate::Step).id() {
        scope.set_register(register, None, id);
    }
    read
}

struct Mask<'b> {
    scope: &'b Scope,
    active: Expr<'b>,
}

impl<'b> Edit<'b> for Mask<'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let Some(x) = site.args.first().copied() else {
            return site.copy;
        };
        match site.node.op() {
            Op::Time(Time::Total(_)) if x.rate() == Some(Rate::Step) => self
                .active
                .select(x, x.zeros_like())
                .total(site.node.ty().rate),
            Op::Time(Time::Pick(pick)) => {
                // The value at the nearest active step on the way to that end.
                let direction = match pick.0 {
                    Edge::Last => Direction::Forward,
                    Edge::First => Direction::Backward,
                };
                let mut latest = x;
                carried(self.scope, direction, "nearest", x, |read| {
                    latest = self.active.select(x, read);
                    latest
                });
                latest.pick(pick.0)
            }
            Op::Time(Time::Impulse(_)) => {
                let text = "a derivative cannot be masked: mask the recurrence, then differentiate";
                self.scope.mistake(Mistake::anywhere(text));
                site.copy
            }
            _ => site.copy,
        }
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        RegisterEdit {
            init: site.init,
            def: self.active.select(site.def, site.read),
        }
    }
}

struct Reset<'b> {
    /// Whether a sequence begins at this step.
    begins: Expr<'b>,
    /// Whether a sequence begins at the step after.
    ends: Expr<'b>,
}

impl<'b> Edit<'b> for Reset<'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let (Op::Read(_), Some(direction)) = (site.node.op(), site.direction) else {
            return site.copy;
        };
        let init = site.init.unwrap_or_else(|| site.copy.zeros_like());
        match direction {
            Direction::Forward => self.begins.select(init, site.copy),
            Direction::Backward => self.ends.select(init, site.copy),
        }
    }
}
