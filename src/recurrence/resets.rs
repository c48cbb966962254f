//! Several sequences in one row of the batch, by a rewrite of the graph.
//!
//! Every op and register is rewritten so that its values at the steps of a sequence are its values on that
//! sequence alone. A value per sample that depends on the steps becomes a value per step, constant within each
//! sequence. This holds for any graph, including derivatives.

use super::mask::carried;
use super::{Draft, Recurrence, State};
use crate::error::Result;
use crate::op::{Alias, Edge, Expr, NodeId, Op, Time};
use crate::shape::{Rate, Type};
use crate::tape::{Direction, Edit, NodeSite, RegisterEdit, RegisterSite, Scope, Tape, Unchanged};

impl Recurrence {
    /// Adds a per-step scalar input `name`. Where it is 1, a new sequence begins, so that a row of the batch
    /// holds several sequences, one after the other. The first step of a row always begins a sequence.
    ///
    /// Each sequence gives the same loss, outputs, final values and gradients as a sample of its own:
    ///
    /// * states and delayed values begin anew with each sequence;
    /// * `first`, `last` and sums over steps are those of each sequence; sums and means over samples
    ///   are over sequences, as in [`final_loss`](super::Definition::final_loss);
    /// * an output per sample becomes an output per step, constant within each sequence; so do the outputs of
    ///   [`with_final_states`](Self::with_final_states);
    /// * an input per sample remains one value per row, shared by all its sequences.
    ///
    /// The gradient of the result with respect to an input per sample is summed over the sequences of its row.
    /// With respect to a named value per sample, it is distributed over the steps of the sequence: their sum is
    /// the gradient of the sample. If resets are added to a gradient instead, both are given for each sequence,
    /// as outputs per step.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let sums = "input x\nstate s\ns' = s + x\noutput all = last(s')\nfinal loss s'^2\n";
    /// let sums = Recurrence::parse("sums.rec", sums)?.with_resets("reset")?;
    /// let batch = Batch::new(4, 1)
    ///     .with("x", array![[1.0], [2.0], [3.0], [4.0]])
    ///     .with("reset", array![[0.0], [0.0], [1.0], [0.0]]);
    /// let found = sums.evaluate(&Params::new(), &batch)?;
    /// assert_eq!(found["all"], array![[3.0], [3.0], [7.0], [7.0]].into_dyn());
    /// assert_eq!(found.loss()?, 9.0 + 49.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the name is taken, and when the recurrence has sums over samples.
    pub fn with_resets(&self, name: &str) -> Result<Self> {
        self.refuse_pools("a reset")?;
        let scope = Scope::default();
        let reset = self.new_input(&scope, name, Type::real((), Rate::Step))?;
        let mut sequences = Sequences {
            source: &self.tape,
            scope: &scope,
            reset,
            next: None,
        };
        let mut draft = self.transplant(&scope, &mut sequences);
        sequences.give_ends(&mut draft);
        for (name, id) in &mut draft.outputs {
            // An output per sample becomes an output per step, even if it does not depend on the steps.
            if self.output_node(name).map(|id| self.tape.ty(id).rate) == Some(Rate::Sample) {
                *id = scope.expr(*id).hold(Rate::Step).id().unwrap_or(*id);
            }
        }
        // Drop flags and registers that are not used.
        draft.finish(scope, &self.name)?.edit(&mut Unchanged)
    }
}

/// The flag marks the starts of sequences inside a row. At the ends of the row, the ops and registers of the
/// row act as at the ends of a sample.
struct Sequences<'a, 'b> {
    /// The original graph.
    source: &'a Tape,
    scope: &'b Scope,
    /// The indicator of the first step of a sequence, except at the start of the row.
    reset: Expr<'b>,
    /// The indicator of the last step of a sequence, except at the end of the row.
    next: Option<Expr<'b>>,
}

impl<'b> Sequences<'_, 'b> {
    /// The indicator of the first or last step of a sequence, except at the ends of the row.
    fn at(&mut self, edge: Edge) -> Expr<'b> {
        let (scope, reset) = (self.scope, self.reset);
        match edge {
            Edge::First => reset,
            Edge::Last => *self.next.get_or_insert_with(|| {
                carried(scope, Direction::Backward, "reset", reset, None, |_| reset).0
            }),
        }
    }

    /// The value at the first or last step of each sequence, at all steps of the sequence.
    fn pick(&mut self, edge: Edge, x: Expr<'b>) -> Expr<'b> {
        let at = self.at(edge);
        let (name, away) = match edge {
            Edge::First => ("first", Direction::Forward),
            Edge::Last => ("last", Direction::Backward),
        };
        let init = Some(x.pick(edge));
        carried(self.scope, away, name, x, init, |read| at.select(x, read)).1
    }

    /// The sum over the steps of each sequence, at all steps of the sequence.
    fn sum(&mut self, x: Expr<'b>) -> Expr<'b> {
        let begins = self.at(Edge::First);
        let sum = |read: Expr<'b>| begins.select(x.zeros_like(), read) + x;
        let (_, sum) = carried(self.scope, Direction::Forward, "sum", x, None, sum);
        self.pick(Edge::Last, sum)
    }

    /// A value per sample at one step of each sequence, zero at the others.
    fn impulse(&mut self, edge: Edge, x: Expr<'b>) -> Expr<'b> {
        let row = if is_per_step(x) { x.pick(edge) } else { x };
        self.at(edge).select(x, row.impulse(edge))
    }

    /// Puts `x`, the copy of a value per sample, at one step of each sequence. A value that was picked at a
    /// step need not be carried to the other steps, unless it has a name and so a derivative of its own.
    fn once(&mut self, site: &NodeSite<'_, 'b>, of: NodeId, x: Expr<'b>) -> Expr<'b> {
        let node = self.source.node(of);
        match node.op() {
            Op::Time(Time::Pick(pick)) if self.source.label(of).is_none() => {
                let picked = site.earlier(node.args()[0]);
                self.impulse(pick.0, picked.unwrap_or(x))
            }
            _ => self.impulse(Edge::Last, x),
        }
    }

    /// Sets the final values of the states in each sequence.
    fn give_ends(&mut self, draft: &mut Draft) {
        let wanted = |s: &&mut State| s.end.is_none() && !s.inner;
        for state in draft.states.iter_mut().filter(wanted) {
            let register = self.scope.with(|t| t.register(state.register).clone());
            if let Some(def) = register.def() {
                let edge = start(register.direction().reversed());
                state.end = self.pick(edge, self.scope.expr(def)).id();
            }
        }
    }
}

impl<'b> Edit<'b> for Sequences<'_, 'b> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let value = match (site.node.op(), site.args.first().copied()) {
            (Op::Read(_), _) => {
                let init = site.init.unwrap_or_else(|| site.copy().zeros_like());
                let edge = start(site.direction.unwrap_or(Direction::Forward));
                self.at(edge).select(init, site.copy())
            }
            (Op::Time(Time::Pick(pick)), Some(x)) => self.pick(pick.0, x),
            (Op::Time(Time::Impulse(impulse)), Some(x)) => self.impulse(impulse.0, x),
            (Op::Time(Time::Total(total)), Some(x)) => {
                let of = site.node.args()[0];
                match (self.source.ty(of).rate, total.0) {
                    (Rate::Sample, _) => self.once(&site, of, x).total(total.0),
                    (_, Rate::Sample) => self.sum(x),
                    _ => site.copy(),
                }
            }
            (Op::Time(Time::Hold(_)), Some(x)) if is_per_step(x) => x,
            _ => site.copy(),
        };
        // A named value must stay distinct from the value it holds or that is carried to it.
        let carries = matches!(site.node.op(), Op::Time(_)) && is_per_step(value);
        match (
            self.source.label(site.id),
            u32::try_from(self.scope.with(Tape::len)),
        ) {
            (Some(_), Ok(number)) if carries => Expr::apply(Alias(number), &[value]),
            _ => value,
        }
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let edge = start(site.register.direction());
        let first = |init: Expr<'b>| {
            if is_per_step(init) {
                init.pick(edge)
            } else {
                init
            }
        };
        RegisterEdit {
            init: site.init.map(first),
            def: site.def,
        }
    }
}

fn is_per_step(x: Expr<'_>) -> bool {
    x.rate() == Some(Rate::Step)
}

/// The step at which a read returns the initial value.
const fn start(direction: Direction) -> Edge {
    match direction {
        Direction::Forward => Edge::First,
        Direction::Backward => Edge::Last,
    }
}
