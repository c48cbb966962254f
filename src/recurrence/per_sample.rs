//! The gradient of each sample, and losses with a weight for each sample.
//!
//! Both need a loss that is a sum over samples, each of whose terms depends on its own sample alone: [`sums`]
//! finds the sums, and refuses every other loss by the expression that joins the samples.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::differentiate::{Target, cotangent_roles};
use super::{Draft, LOSS, Recurrence, Wrt};
use crate::error::{Error, Mistake, Result};
use crate::op::{Expr, NodeId, Op, Time};
use crate::shape::{Rate, Type};
use crate::tape::{Scope, Tape, Unchanged};

impl Recurrence {
    /// The gradient of the loss of each sample: as [`gradient`](Self::gradient), but the output of a parameter has one
    /// value for each sample, `[B, …]`. The sum over the samples is the gradient, to rounding.
    ///
    /// The loss must be a sum `L = c · Σ_b ℓ_b` over samples, as [`loss`](super::Definition::loss) and its relatives
    /// write it, where `ℓ_b` depends on no other sample, and `c` on no variable of `wrt`. Entry `b` is then `c · ∂ℓ_b/∂p`. In a mean, `c` is
    /// one over the number of steps or samples of the whole batch, so that entry `b` is `1 / B` (or
    /// `T_b / Σ T`) of the gradient that sample `b` would have alone. With [resets](Self::with_resets) a sample is a row of the batch, which holds
    /// several sequences.
    ///
    /// The arrays take `B` times the memory of the gradient. [`fit::SampleNorms`](crate::fit::SampleNorms) has their norms
    /// without them.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::{arr0, array};
    /// let text = "param a\ninput x\nstate s\ns' = a * s + x\nloss s'^2\n";
    /// let sum = Recurrence::parse("sum.rec", text)?;
    /// let params = Params::new().with("a", arr0(0.5));
    /// let batch = Batch::new(2, 3).with("x", array![[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]]);
    /// let each = sum.gradient_per_sample(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// // s_1 = x_1 and s_2 = a x_1 + x_2, so that dL/da = 2 (a x_1 + x_2) x_1.
    /// assert_eq!(each["a"], array![1.0, 8.0, 0.0].into_dyn());
    /// let whole = sum.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// assert_eq!(whole["a"], arr0(9.0).into_dyn());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient). [`Error::Definition`] if the loss is not such a sum; it names the
    /// expression: a function of a sum over samples, a statistic of the batch in the loss of a sample, or a term of
    /// parameters alone, which belongs to no sample.
    pub fn gradient_per_sample<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let (scope, loss, found) = self.pulled_per_sample(wrt.into())?;
        let roles = cotangent_roles(&found);
        let mut outputs = IndexMap::from([(LOSS.into(), loss)]);
        outputs.extend(found);
        self.derivative(scope, outputs, roles, &[], "gradient per sample")
    }

    /// The graph of the gradients of each sample, the loss, and the gradients.
    pub(super) fn pulled_per_sample(&self, wrt: Wrt<'_>) -> Result<(Scope, NodeId, Vec<Target>)> {
        let loss = self.loss()?;
        let targets = self.targets(wrt)?;
        self.sums_over_samples(&targets)?;
        let scope = Scope::new(self.tape.clone());
        let one = scope.expr(loss).full_like(1.0);
        let found = self.pull_at(Rate::Sample, &scope, &[(loss, one)], &targets)?;
        Ok((scope, loss, found))
    }

    /// A copy with an extra input `name`, one number for each sample, by which the loss of that sample is multiplied:
    /// `L = c · Σ_b w_b ℓ_b`. A gradient of the result is the sum of the [gradients of each
    /// sample](Self::gradient_per_sample), with these weights, at the cost of one gradient. Terms of the loss without parameters stay as they are.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::{arr0, array};
    /// let text = "param a\ninput x, y\nmean loss (a * x - y)^2\n";
    /// let line = Recurrence::parse("line.rec", text)?.with_sample_weights("weight")?;
    /// let params = Params::new().with("a", arr0(1.0));
    /// let batch = Batch::new(1, 2)
    ///     .with("x", array![[1.0, 1.0]])
    ///     .with("y", array![[0.0, 3.0]])
    ///     .with("weight", array![1.0, 0.0]);
    /// let found = line.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// assert_eq!(found.loss()?, 0.5, "the second sample has no weight");
    /// assert_eq!(found["a"], arr0(1.0).into_dyn());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there is no loss, it is not a sum over samples (as for
    /// [`gradient_per_sample`](Self::gradient_per_sample)), or the name is taken.
    pub fn with_sample_weights(&self, name: &str) -> Result<Self> {
        self.weighted(name, Wrt::Parameters)
    }

    /// The same, where only the variables of `wrt` must not be in terms that belong to no sample.
    pub(crate) fn weighted(&self, name: &str, wrt: Wrt<'_>) -> Result<Self> {
        let loss = self.loss()?;
        let found = self.sums_over_samples(&self.targets(wrt)?)?;
        let scope = Scope::new(self.tape.clone());
        let weight = self.new_input(&scope, name, Type::real((), Rate::Sample))?;
        // The sums are written again, since other outputs may use those without weights.
        let mut made: HashMap<NodeId, Expr<'_>> = HashMap::new();
        for id in &found.region {
            let node = self.tape.node(*id);
            let arg = |a: &NodeId| made.get(a).copied().unwrap_or_else(|| scope.expr(*a));
            let args: Vec<Expr<'_>> = node.args().iter().map(arg).collect();
            let value = match (found.sums.contains(id), &args[..]) {
                (true, [x]) => (*x * weight).total(Rate::Static),
                _ => Expr::apply_in(&scope, node.op().clone(), &args),
            };
            made.insert(*id, value);
        }
        let mut outputs = self.outputs.clone();
        outputs.extend(made.get(&loss).and_then(|e| Some((LOSS.into(), e.id()?))));
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            roles: self.roles.clone(),
            initials: self.initials.clone(),
        };
        draft.finish(scope, &self.name)?.edit(&mut Unchanged)
    }

    /// The sums over samples of which the loss is made, as far as they depend on the targets.
    fn sums_over_samples(&self, targets: &[Target]) -> Result<Sums> {
        let refuse = |text: String| Error::Definition {
            recurrence: self.name.clone(),
            mistakes: vec![Mistake::anywhere(text)],
        };
        let loss = self.loss()?;
        let targets: Vec<NodeId> = targets.iter().map(|(_, id)| *id).collect();
        let tape = &self.tape;
        let active = depending(tape, &targets);
        let terms = sums(tape, loss, &active).map_err(refuse)?;
        for id in terms.region.iter().filter(|id| terms.sums.contains(id)) {
            own_sample(tape, tape.node(*id).args()[0]).map_err(refuse)?;
        }
        Ok(terms)
    }
}

/// The nodes between the loss and its sums over samples, each after its arguments, and the sums among them.
struct Sums {
    region: Vec<NodeId>,
    sums: HashSet<NodeId>,
}

/// The nodes that depend on some others through differentiable arguments, across registers as well.
pub(super) fn depending(tape: &Tape, on: &[NodeId]) -> Vec<bool> {
    let mut depends = vec![false; tape.len()];
    let users = tape.users();
    let mut open = on.to_vec();
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut depends[id.index()], true) {
            continue;
        }
        let varies = |user: &&NodeId| {
            let node = tape.node(**user);
            let args = node.args().iter().enumerate();
            let mut uses = args.filter(|(_, a)| **a == id);
            uses.any(|(i, _)| !node.op().is_constant_in(i))
        };
        open.extend(users.of(id).iter().filter(varies));
        open.extend(tape.registers_at(id).filter_map(|r| tape.read_of(r)));
    }
    depends
}

const fn is_sum(op: &Op) -> bool {
    matches!(op, Op::Time(Time::Total(total)) if matches!(total.0, Rate::Static))
}

/// Writes the loss as a linear function of sums over samples; the message if it is none.
fn sums(tape: &Tape, loss: NodeId, active: &[bool]) -> Result<Sums, String> {
    let (mut region, mut sums) = (Vec::new(), HashSet::new());
    let (mut seen, mut open) = (HashSet::new(), vec![loss]);
    let mut has_sum = vec![false; tape.len()];
    for (id, node) in tape.nodes().filter(|(id, _)| active[id.index()]) {
        let is_static = node.ty().rate == Rate::Static;
        let mut args = node.args().iter();
        has_sum[id.index()] = is_sum(node.op()) || is_static && args.any(|a| has_sum[a.index()]);
    }
    while let Some(id) = open.pop() {
        if !active[id.index()] || !seen.insert(id) {
            continue;
        }
        region.push(id);
        let node = tape.node(id);
        if is_sum(node.op()) {
            sums.insert(id);
            continue;
        }
        let text = tape.definition(id);
        if !has_sum[id.index()] {
            return Err(format!(
                "the gradient of each sample: the loss has the term `{text}` of parameters alone, which belongs to no \
                 sample; leave it out and add its gradient, or count it in each sample with `hold({text}, sample)`"
            ));
        }
        let varying: Vec<bool> = node.args().iter().map(|a| active[a.index()]).collect();
        if !node.op().is_linear_in(&varying) {
            return Err(format!(
                "the gradient of each sample: the loss has `{text}`, a function of a sum over all samples, so that no part of it \
                 belongs to one sample; a loss with one, such as `loss x`, is a sum or a mean over samples"
            ));
        }
        open.extend(node.args());
    }
    // The tape is in topological order.
    region.sort_unstable();
    Ok(Sums { region, sums })
}

/// Refuses a value that depends on other samples than its own.
fn own_sample(tape: &Tape, value: NodeId) -> Result<(), String> {
    let live = tape.live([value]);
    for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
        let joins = match node.op() {
            Op::Time(Time::Pool(_)) => true,
            op if is_sum(op) => !is_count(tape, id),
            _ => false,
        };
        if joins {
            return Err(format!(
                "the gradient of each sample: the loss of a sample depends on all samples through `{}`; leave it out, or \
                 give the statistic as an input",
                tape.definition(id)
            ));
        }
    }
    Ok(())
}

/// True for a sum of constants and masks: a number of samples or steps.
fn is_count(tape: &Tape, sum: NodeId) -> bool {
    let live = tape.live([sum]);
    let mut leaves = tape.leaves().iter().filter(|leaf| live[leaf.node.index()]);
    leaves.all(|leaf| tape.masks().any(|mask| **mask == *leaf.name()))
}
