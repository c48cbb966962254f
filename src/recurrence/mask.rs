//! Masks inactive steps by a rewrite of the graph.
//!
//! Every op and register is rewritten so that its values at the active steps are its values on the sequence of
//! the active steps alone. This holds for any graph, including derivatives.

use super::Recurrence;
use crate::error::{Error, Mistake, Result};
use crate::op::{Edge, Expr, Op, Time};
use crate::shape::{Rate, Type};
use crate::tape::{Direction, Edit, NodeSite, RegisterEdit, RegisterSite, Role, Scope, check_name};

impl Recurrence {
    /// Adds a per-step scalar input `name`, 1 at active steps and 0 at others. The active steps of a sample
    /// give the same values as a sequence of these steps alone:
    ///
    /// * an inactive step carries every state unchanged and adds nothing to any sum over steps;
    /// * the first and the last step are the first and the last active step;
    /// * outputs per step are zero at an inactive step, and the other inputs may have any value there: NaN and
    ///   classes out of range read as zero;
    /// * a sample without an active step adds nothing to any sum over samples.
    ///
    /// For sequences of different lengths this is equivalent to
    /// [`Batch::with_lengths`](super::Batch::with_lengths); as a rewrite of the graph, it also works with
    /// engines that treat all samples alike. A derivative may be masked too: it gives the derivative on the
    /// active steps.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let mean = Recurrence::parse("mean.rec", "input x\nmean loss x\nfinal loss x\n")?;
    /// let batch = Batch::new(4, 1)
    ///     .with("x", array![[1.0], [7.0], [3.0], [7.0]])
    ///     .with("active", array![[1.0], [0.0], [1.0], [0.0]]);
    /// let found = mean.with_mask("active")?.evaluate(&Params::new(), &batch)?;
    /// assert_eq!(found.loss()?, 2.0 + 3.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the name is taken, and when the recurrence has sums over samples.
    pub fn with_mask(&self, name: &str) -> Result<Self> {
        self.refuse_pools("a mask")?;
        let scope = Scope::default();
        let active = self.new_input(&scope, name, Type::real((), Rate::Step))?;
        scope.mask(name.into());
        let mut mask = Mask {
            scope: &scope,
            active,
        };
        let mut draft = self.transplant(&scope, &mut mask);
        for id in draft.outputs.values_mut() {
            let value = scope.expr(*id);
            if value.rate() == Some(Rate::Step) {
                *id = active.select(value, value.zeros_like()).id().unwrap_or(*id);
            }
        }
        draft.finish(scope, &self.name)
    }

    /// Refuses sums over the samples at a step, which have no meaning where the steps of samples move.
    pub(super) fn refuse_pools(&self, why: &str) -> Result<()> {
        let pools = |op: &Op| matches!(op, Op::Time(Time::Pool(_)));
        match self.tape.nodes().any(|(_, node)| pools(node.op())) {
            false => Ok(()),
            true => Err(Error::Definition {
                recurrence: self.name.clone(),
                mistakes: vec![Mistake::anywhere(format!(
                    "{why} moves the steps of samples against each other, so `total_samples` has no meaning; give each \
                     sequence as a sample of its own, with its length"
                ))],
            }),
        }
    }

    /// A new input, in a scope that will receive a copy of this recurrence.
    pub(super) fn new_input<'b>(&self, scope: &'b Scope, name: &str, ty: Type) -> Result<Expr<'b>> {
        let taken = self.tape.leaf_named(name).is_some() || self.tape.dims().any(|dim| dim == name);
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
        let (_, leaf) = scope.leaf(name.into(), Role::Input, ty);
        if let Some(id) = leaf.id() {
            scope.rename(id, name);
        }
        Ok(leaf)
    }
}

/// A new register with the definition `def(read)`; returns its read and its definition.
pub(super) fn carried<'b>(
    scope: &'b Scope,
    direction: Direction,
    name: &str,
    like: Expr<'b>,
    init: Option<Expr<'b>>,
    def: impl FnOnce(Expr<'b>) -> Expr<'b>,
) -> (Expr<'b>, Expr<'b>) {
    let Some(shape) = like.shape() else {
        return (like, like);
    };
    let ty = Type::real(shape, Rate::Step);
    let (register, read) = scope.register(name.into(), direction, ty, None);
    let def = def(read).hold(Rate::Step);
    if let Some(id) = def.id() {
        scope.set_register(register, init.and_then(Expr::id), id);
    }
    (read, def)
}

/// The direction of time towards an edge.
const fn towards(edge: Edge) -> Direction {
    match edge {
        Edge::First => Direction::Backward,
        Edge::Last => Direction::Forward,
    }
}

struct Mask<'b> {
    scope: &'b Scope,
    active: Expr<'b>,
}

impl<'b> Mask<'b> {
    /// 1 at the first or last active step, 0 at the others.
    fn at(&self, edge: Edge) -> Expr<'b> {
        let away = towards(edge).reversed();
        let one = self.active.full_like(1.0);
        let (seen, _) = carried(self.scope, away, "seen", self.active, None, |seen| {
            self.active.select(one, seen)
        });
        seen.select(self.active.zeros_like(), self.active)
    }
}

impl<'b> Edit<'b> for Mask<'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let Some(x) = site.args.first().copied() else {
            return site.copy();
        };
        let only = |condition: Expr<'b>, x: Expr<'b>| condition.select(x, x.zeros_like());
        match site.node.op() {
            Op::Time(Time::Total(_)) => {
                let counts = match x.rate() {
                    Some(Rate::Sample) => self.active.total(Rate::Sample),
                    _ => self.active,
                };
                only(counts, x).total(site.node.ty().rate)
            }
            Op::Time(Time::Pick(pick)) => {
                // The value at the nearest active step in the direction of that edge.
                let choose = |read| self.active.select(x, read);
                let (_, nearest) = carried(self.scope, towards(pick.0), "nearest", x, None, choose);
                nearest.pick(pick.0)
            }
            Op::Time(Time::Impulse(impulse)) => only(self.at(impulse.0), x.hold(Rate::Step)),
            _ => site.copy(),
        }
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        RegisterEdit {
            init: site.init,
            def: self.active.select(site.def, site.read),
        }
    }
}
