//! The search for the origin of a NaN or an infinity. The program runs once more and is watched.
//! Then, from the outputs backwards, the steps with incidents are evaluated node by node, from the
//! values in memory.

#![allow(
    unsafe_code,
    reason = "values are read from the buffers through the same pointers as in a run"
)]

use std::collections::HashSet;

use ndarray::{ArrayD, IxDyn};

use super::results::Place;
use super::watch::{Incident, Watch};
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::op::{NodeId, Value};
use crate::plan::{Found, Storage};
use crate::recurrence::{Batch, Given, Memory, Origin, Params, Phases, Turn};
use crate::shape::Rate;

/// The maximum number of steps that are evaluated.
const MOST_STEPS: usize = 200;

impl<F: Real> Program<F> {
    /// Finds the origin of a NaN or an infinity that reaches an output. The error names the
    /// operation, the step, the sample and the entry. `None` if all outputs are finite.
    ///
    /// Use it on data for which [`run`](Self::run) failed with [`Error::NonFiniteValue`]. The
    /// program runs once more and keeps all values, whatever its [`memory`](Self::memory); if they do not fit into
    /// [`memory_limit`](crate::memory_limit), the error names the output only. Of several origins, the first is returned. States that depend on each other are
    /// examined together: if several of them have an origin at the same step, the returned one may be
    /// one that does not reach an output.
    ///
    /// ```
    /// use bptt::{Batch, Error, Params, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x\nstate s\ns' = 10 * s + x\nfinal loss s'\n")?;
    /// let program = r.compile::<f64>(&[])?;
    /// let (params, batch) = (Params::new(), Batch::new(1000, 1).with("x", ndarray::Array2::ones((1000, 1))));
    /// let mut workspace = program.workspace();
    /// assert!(program.run(&params, &batch, &mut workspace).is_err());
    /// let found = program.find_non_finite(&params, &batch, &mut workspace)?.expect("it overflows");
    /// assert!(found.to_string().contains("step 309 of sample 0"), "{found}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`run`](Self::run), except for values that are not finite.
    ///
    /// # Panics
    /// If the workspace was made by another program.
    pub fn find_non_finite(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        workspace: &mut Workspace<F>,
    ) -> Result<Option<Error>> {
        let binding = self.bind(workspace).params(params).batch(batch);
        binding.find_non_finite()
    }

    /// The same on checked data.
    pub(super) fn trace(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
    ) -> Result<Option<Error>> {
        if self.directions.is_some() {
            return self.trace_directions(given);
        }
        let numbers = given.steps.saturating_mul(given.samples);
        let watch = Watch::new(&self.plan, self.recurrence.tape(), numbers);
        let mut places: Vec<_> = self.plan.outputs.iter().map(|_| None).collect();
        let watch = match self.execute_watched(given, workspace, watch) {
            // The search reads values of all steps. In less memory, the error is that of the run.
            Err(Error::OutOfMemory { .. }) => {
                self.execute(given, workspace, &mut places, Place::Buffers)?;
                None
            }
            watched => watched?,
        };
        let failure = match self.read(workspace, &mut places, Place::Buffers) {
            Err(error @ Error::NonFiniteValue { .. }) => error,
            other => return other.map(|()| None),
        };
        let Some(watch) = watch else {
            return Ok(Some(failure));
        };
        let mut search = Search {
            program: self,
            given,
            workspace,
            watch: &watch,
            phases: Phases::of(&self.recurrence),
            seen: HashSet::new(),
            first: None,
            beyond: None,
        };
        search.run()?;
        let found = search.first.or(search.beyond);
        Ok(Some(found.map_or(failure, |(_, error)| error)))
    }
}

/// The search for the first operation with a value that is not finite and reaches an output.
struct Search<'a, 'g, F: Real> {
    program: &'a Program<F>,
    given: &'a Given<'g, F>,
    workspace: &'a Workspace<F>,
    watch: &'a Watch<F>,
    phases: Phases,
    seen: HashSet<(Incident, NodeId)>,
    first: Option<(Turn, Error)>,
    /// The first value that was followed to an earlier step: the result if no origin is found.
    beyond: Option<(Turn, Error)>,
}

/// A step to evaluate (`None` is the end of the run), and the nodes that were not finite there.
type Suspects = (Option<Incident>, Vec<NodeId>);

impl<F: Real> Search<'_, '_, F> {
    fn run(&mut self) -> Result<()> {
        let mut todo = self.outputs();
        while let Some((at, suspects)) = todo.pop() {
            for origin in self.evaluate(at, &suspects, at.is_some())? {
                self.follow(origin, &mut todo)?;
            }
            if self.seen.len() > MOST_STEPS {
                break;
            }
        }
        Ok(())
    }

    /// The outputs to examine; those that vary with the step, at the steps where they are not
    /// finite.
    fn outputs(&mut self) -> Vec<Suspects> {
        let tape = self.program.recurrence.tape();
        let (mut todo, mut others): (Vec<Suspects>, Vec<NodeId>) = Default::default();
        let outputs = self.program.recurrence.output_nodes();
        for ((_, node), spec) in outputs.zip(&self.program.plan.outputs) {
            if tape.ty(node).rate != Rate::Step {
                others.push(node);
                continue;
            }
            for pass in 0..self.program.plan.passes.len() {
                for leak in self.watch.leaks(pass, spec.operand) {
                    self.put(&mut todo, leak, &[node]);
                }
            }
        }
        todo.push((None, others));
        todo
    }

    fn put(&mut self, todo: &mut Vec<Suspects>, at: Incident, suspects: &[NodeId]) {
        let new = suspects.iter().filter(|s| self.seen.insert((at, **s)));
        // All suspects are examined, because the one that is not finite may be a known one.
        if new.count() > 0 {
            todo.push((Some(at), suspects.to_vec()));
        }
    }

    /// Follows a value that is not finite to its origin.
    fn follow(&mut self, origin: Origin, todo: &mut Vec<Suspects>) -> Result<()> {
        let Origin {
            before,
            sample,
            step,
            turn,
            error,
        } = origin;
        let Some(node) = before else {
            keep_first(&mut self.first, turn, error);
            return Ok(());
        };
        let tape = self.program.recurrence.tape();
        let plan = &self.program.plan;
        let row = self.workspace.order.iter().position(|s| *s == sample);
        let values = plan.values.iter().filter(|v| v.node == node);
        if tape.ty(node).rate != Rate::Step {
            // A sum over steps, or a value at the first or last step: the previous pass has
            // recorded the steps at which it left the pass.
            let sum = values.min_by_key(|v| v.pass);
            let pass = sum.and_then(|v| v.pass.checked_sub(1));
            let terms = tape.node(node).args();
            let mut is_term = false;
            let leaks = pass.and_then(|pass| Some(self.watch.leaks(pass, sum?.operand)));
            let leaks = leaks.unwrap_or_default();
            for leak in leaks.into_iter().take(MOST_STEPS) {
                if tape.ty(node).rate == Rate::Sample && Some(leak.row) != row {
                    continue;
                }
                let found = self.evaluate(Some(leak), terms, true)?;
                is_term |= !found.is_empty();
                if terms.iter().any(|term| self.seen.insert((leak, *term))) {
                    for origin in found {
                        self.follow(origin, todo)?;
                    }
                }
            }
            if !is_term {
                keep_first(&mut self.first, turn, error);
            }
            return Ok(());
        }
        keep_first(&mut self.beyond, turn, error);
        let Some(row) = row else {
            return Ok(());
        };
        let carried = values
            .clone()
            .filter(|v| v.is_carried)
            .map(|v| v.pass)
            .min();
        let streak = carried.and_then(|pass| {
            let all = self.watch.carried(pass);
            let group = all.iter().find(|c| c.node == node)?.group;
            let streak = self.watch.streak(pass, group, row, step)?;
            let members = all.iter().filter(|c| c.group == group).map(|c| c.node);
            let at = Incident {
                pass,
                step: streak.first,
                row,
            };
            Some((at, members.collect::<Vec<_>>()))
        });
        let here = || {
            let pass = values.map(|v| v.pass).min()?;
            Some((Incident { pass, step, row }, vec![node]))
        };
        if let Some((at, suspects)) = streak.or_else(here) {
            self.put(todo, at, &suspects);
        }
        Ok(())
    }

    /// Evaluates a step, or the end. If the run found a value that is not finite and the
    /// evaluation, which rounds differently, does not, the origin is the operation with the largest
    /// value.
    fn evaluate(
        &self,
        at: Option<Incident>,
        suspects: &[NodeId],
        borderline: bool,
    ) -> Result<Vec<Origin>> {
        let memory = Recall { search: self, at };
        let place = at.map(|at| (self.workspace.order[at.row], at.step));
        let (recurrence, sizes) = (&self.program.recurrence, &self.program.sizes);
        recurrence.origins(
            (self.given, sizes),
            &memory,
            &self.phases,
            place,
            suspects,
            borderline,
        )
    }
}

fn keep_first(first: &mut Option<(Turn, Error)>, turn: Turn, error: Error) {
    if first.as_ref().is_none_or(|(known, _)| turn < *known) {
        *first = Some((turn, error));
    }
}

/// The memory of a workspace after a run, and the recorded values of registers before a step.
struct Recall<'a, 'g, F: Real> {
    search: &'a Search<'a, 'g, F>,
    at: Option<Incident>,
}

impl<F: Real> Recall<'_, '_, F> {
    /// Returns true if the value is still in memory at a step, or does not vary with the step.
    fn has(&self, value: &Found, step: usize) -> bool {
        let is_here = |at: Incident| at.step == step && value.pass >= at.pass;
        match self.search.program.plan.buffers[value.operand.buffer].storage {
            Storage::Leaf(_) | Storage::Local | Storage::Chunk => false,
            Storage::Static | Storage::Sample => true,
            Storage::Full => !self.at.is_some_and(is_here),
        }
    }

    /// NaN for the value of a register that is not in memory any more, if it was not finite.
    fn lost(&self, node: NodeId, row: usize, step: usize) -> Option<Value<F>> {
        if self.at.is_some_and(|at| (at.row, at.step) == (row, step)) {
            return None;
        }
        let watch = self.search.watch;
        let passes = 0..self.search.program.plan.passes.len();
        let mut carried = passes.flat_map(|p| watch.carried(p).iter().map(move |c| (p, c)));
        let (pass, register) = carried.find(|(_, c)| c.node == node)?;
        watch.streak(pass, register.group, row, step)?;
        self.array(node, &vec![F::nan(); register.operand.len])
    }

    fn array(&self, node: NodeId, entries: &[F]) -> Option<Value<F>> {
        let program = self.search.program;
        let shape = program.recurrence.tape().ty(node).shape;
        let shape = shape.values(&program.sizes);
        let array = ArrayD::from_shape_vec(IxDyn(&shape), entries.to_vec());
        array.ok().map(Value::Real)
    }
}

impl<F: Real> Memory<F> for Recall<'_, '_, F> {
    fn recall(&self, node: NodeId, sample: usize, step: usize) -> Option<Value<F>> {
        let Search {
            program,
            workspace,
            watch,
            ..
        } = self.search;
        let row = || workspace.order.iter().position(|s| *s == sample);
        if let Some(at) = self.at.filter(|at| Some(at.row) == row()) {
            let before = match program.plan.passes[at.pass].forward {
                true => at.step.checked_sub(1),
                false => Some(at.step + 1),
            };
            let is_step = program.recurrence.tape().ty(node).rate == Rate::Step;
            let kept = watch
                .before(at, node)
                .filter(|_| is_step && before == Some(step));
            if let Some(entries) = kept {
                return self.array(node, entries);
            }
        }
        let mut values = program.plan.values.iter();
        let Some(value) = values.find(|v| v.node == node && self.has(v, step)) else {
            return self.lost(node, row()?, step);
        };
        let Found { operand, .. } = value;
        if operand.shift != 0 {
            return None;
        }
        let slot = workspace.workers.first()?.slots[operand.buffer];
        let row = match operand.rate {
            Rate::Static => 0,
            _ => row()?,
        };
        let steps = match operand.rate {
            Rate::Step => step as isize - slot.origin as isize,
            _ => 0,
        };
        let time = slot.ptr.wrapping_offset(steps * slot.time as isize);
        let first = time.wrapping_add(row * slot.row + operand.start);
        // SAFETY: the buffer has this row at this step, or one row for all; the run has ended.
        let entries = unsafe { std::slice::from_raw_parts(first.cast_const(), operand.len) };
        self.array(node, entries)
    }
}
