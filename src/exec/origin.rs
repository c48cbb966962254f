//! Where a number that is not finite began. The program runs once more and is watched; the step found
//! is then evaluated node by node, from what lies in memory.

#![allow(
    unsafe_code,
    reason = "values are read from the buffers through the same pointers as in a run"
)]

use ndarray::{ArrayD, IxDyn};

use super::results::Place;
use super::watch::{Incident, Reached, Watch};
use super::workspace::Workspace;
use super::{Program, Real};
use crate::error::{Error, Result};
use crate::op::{NodeId, Op, Time, Value};
use crate::plan::{Found, Storage};
use crate::recurrence::{Batch, Given, Memory, Origin, Params};
use crate::shape::Rate;

impl<F: Real> Program<F> {
    /// Where a number began that is not finite and reaches an output: the error names the operation,
    /// the step, the sample and the entry. `None` when all outputs are finite.
    ///
    /// It is meant for data on which [`run`](Self::run) failed with [`Error::NonFiniteValue`]. The
    /// program runs again, at most twice and no further than necessary, in the memory of the
    /// workspace, so that neither time nor memory grows beyond that of a few runs.
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
    /// As for [`run`](Self::run), numbers that are not finite aside.
    ///
    /// # Panics
    /// When the workspace was made by another program.
    pub fn find_non_finite(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        workspace: &mut Workspace<F>,
    ) -> Result<Option<Error>> {
        let binding = self.bind(workspace).params(params).batch(batch);
        binding.find_non_finite()
    }

    /// The same for data that was checked.
    pub(super) fn trace(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
    ) -> Result<Option<Error>> {
        let watched = self.execute_watched(given, workspace, Some(Watch::default()))?;
        let watch = watched.unwrap_or_default();
        if let Some(incident) = watch.found {
            return self.trace_incident(given, workspace, &watch, incident);
        }
        // Every step was fine by itself: a sum, or what is computed from sums, is not.
        let mut places: Vec<_> = self.plan.outputs.iter().map(|_| None).collect();
        let failure = match self.read(workspace, &mut places, Place::Buffers) {
            Err(error @ Error::NonFiniteValue { .. }) => error,
            other => return other.map(|()| None),
        };
        let end = Reached {
            pass: self.plan.passes.len(),
            times: 0..0,
        };
        let outputs: Vec<NodeId> = self.recurrence.output_nodes().map(|(_, id)| id).collect();
        let found = self.evaluate_at(given, workspace, &end, None, &outputs)?;
        let error = match found {
            Some(Origin::Operation(error)) => error,
            Some(Origin::Before { node, error, .. }) => self
                .trace_streak(given, workspace, &watch, node)?
                .unwrap_or(error),
            None => failure,
        };
        Ok(Some(error))
    }

    /// Traces what began at a step, or in a pass before.
    fn trace_incident(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
        watch: &Watch,
        incident: Incident,
    ) -> Result<Option<Error>> {
        let is_here = |r: &&Reached| r.times.contains(&incident.step);
        let found = match watch.reached.as_ref().filter(is_here) {
            Some(reached) => self.evaluate_step(given, workspace, reached, incident)?,
            None => self.go_to(given, workspace, incident)?,
        };
        let row = incident.row;
        let Some(Origin::Before {
            node, step, error, ..
        }) = found
        else {
            return Ok(Some(match found {
                Some(Origin::Operation(error)) => error,
                _ => self.unknown(workspace, incident),
            }));
        };
        // A register that was not finite already when an earlier pass ended.
        let mut values = self.plan.values.iter();
        let before = values.find(|v| v.node == node && v.pass < incident.pass);
        let earlier = before.and_then(|v| {
            let start = (*watch.streaks.get(v.pass)?.get(row)?)?;
            let is_before = match self.plan.passes[v.pass].forward {
                true => start <= step,
                false => start >= step,
            };
            is_before.then_some(Incident {
                pass: v.pass,
                step: start,
                row,
            })
        });
        let found = match earlier {
            Some(earlier) => self.go_to(given, workspace, earlier)?,
            None => None,
        };
        Ok(Some(match found {
            Some(Origin::Operation(found)) => found,
            _ => error,
        }))
    }

    /// Traces a register that was not finite when the passes ended.
    fn trace_streak(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
        watch: &Watch,
        node: NodeId,
    ) -> Result<Option<Error>> {
        let tape = self.recurrence.tape();
        if !matches!(tape.node(node).op(), Op::Time(Time::Pick(_))) {
            return Ok(None);
        }
        let incidents = watch.streaks.iter().enumerate().flat_map(|(pass, rows)| {
            let rows = rows.iter().enumerate();
            rows.filter_map(move |(row, step)| {
                let step = (*step)?;
                Some(Incident { pass, step, row })
            })
        });
        let Some(incident) = incidents.min_by_key(|i| (i.pass, i.row)) else {
            return Ok(None);
        };
        let found = self.go_to(given, workspace, incident)?;
        Ok(found.map(|found| match found {
            Origin::Operation(error) | Origin::Before { error, .. } => error,
        }))
    }

    /// Runs as far as a step, and evaluates it.
    fn go_to(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
        incident: Incident,
    ) -> Result<Option<Origin>> {
        let watched = self.execute_watched(given, workspace, Some(Watch::until(incident)))?;
        match watched.and_then(|w| w.reached) {
            Some(reached) => self.evaluate_step(given, workspace, &reached, incident),
            None => Ok(None),
        }
    }

    /// Evaluates what a pass computes at a step, and traces what is not finite in it.
    fn evaluate_step(
        &self,
        given: &Given<'_, F>,
        workspace: &Workspace<F>,
        reached: &Reached,
        incident: Incident,
    ) -> Result<Option<Origin>> {
        let Incident { pass, step, row } = incident;
        let sample = workspace.order[row];
        let tape = self.recurrence.tape();
        let values = self.plan.values.iter();
        let carried = values.clone().filter(|v| v.is_carried && v.pass == pass);
        let mut suspects: Vec<NodeId> = carried.map(|v| v.node).collect();
        for value in values {
            let node = tape.node(value.node);
            let of_steps = || {
                node.args()
                    .iter()
                    .filter(|a| tape.ty(**a).rate == Rate::Step)
            };
            match node.op() {
                // The sums of a pass are known from the next pass on.
                Op::Time(Time::Total(_)) if value.pass == pass + 1 => suspects.extend(of_steps()),
                Op::Time(Time::Pick(_)) if value.pass == pass + 1 => suspects.extend(of_steps()),
                _ => {}
            }
        }
        for (_, id) in self.recurrence.output_nodes() {
            let mut values = self.plan.values.iter();
            if tape.ty(id).rate == Rate::Step && values.any(|v| v.node == id && v.pass == pass) {
                suspects.push(id);
            }
        }
        self.evaluate_at(given, workspace, reached, Some((sample, step)), &suspects)
    }

    fn evaluate_at(
        &self,
        given: &Given<'_, F>,
        workspace: &Workspace<F>,
        reached: &Reached,
        at: Option<(usize, usize)>,
        suspects: &[NodeId],
    ) -> Result<Option<Origin>> {
        let memory = Recall {
            program: self,
            workspace,
            reached,
        };
        self.recurrence
            .origin(given, &self.sizes, &memory, at, suspects)
    }

    /// The error for a step at which the evaluation finds nothing, for it rounds differently.
    fn unknown(&self, workspace: &Workspace<F>, incident: Incident) -> Error {
        let Incident { step, row, .. } = incident;
        Error::NonFiniteValue {
            expression: format!("a value of `{}`", self.recurrence.name()),
            place: format!(
                "step {step} of sample {}, counted from 0",
                workspace.order[row]
            ),
            entry: Vec::new(),
            value: f64::NAN,
            safe_form: None,
        }
    }
}

/// The memory of a workspace after some steps of a run.
struct Recall<'a, F: Real> {
    program: &'a Program<F>,
    workspace: &'a Workspace<F>,
    reached: &'a Reached,
}

impl<F: Real> Recall<'_, F> {
    /// True if a value is in memory at a step, or does not vary with the step.
    fn has(&self, value: &Found, sample: usize, step: usize) -> bool {
        let Reached { pass, times } = self.reached;
        let plan = &self.program.plan;
        let is_now = value.pass == *pass;
        match plan.buffers[value.operand.buffer].storage {
            Storage::Leaf(_) | Storage::Local => false,
            Storage::Static | Storage::Sample => value.pass <= *pass,
            Storage::Full => {
                let is_done = |forward: bool| match forward {
                    true => step < times.end,
                    false => step >= times.start,
                };
                value.pass < *pass || is_now && is_done(plan.passes[*pass].forward)
            }
            Storage::Chunk => {
                let row = self.row_of(sample);
                let runs = row.is_some_and(|row| step < self.workspace.lengths[row]);
                let is_beside = || match plan.passes[*pass].forward {
                    true => step + 1 == times.start,
                    false => step == times.end,
                };
                is_now && runs && (times.contains(&step) || value.is_carried && is_beside())
            }
        }
    }

    fn row_of(&self, sample: usize) -> Option<usize> {
        self.workspace.order.iter().position(|s| *s == sample)
    }
}

impl<F: Real> Memory<F> for Recall<'_, F> {
    fn recall(&self, node: NodeId, sample: usize, step: usize) -> Option<Value<F>> {
        let mut values = self.program.plan.values.iter();
        let value = values.find(|v| v.node == node && self.has(v, sample, step))?;
        let Found { operand, .. } = value;
        let shape = self.program.recurrence.tape().ty(node).shape;
        let shape = shape.values(&self.program.sizes);
        if shape.iter().product::<usize>() != operand.len || operand.shift != 0 {
            return None;
        }
        let slot = self.workspace.workers.first()?.slots[operand.buffer];
        let row = match operand.rate {
            Rate::Static => 0,
            _ => self.row_of(sample)?,
        };
        let steps = match operand.rate {
            Rate::Step => step as isize - slot.origin as isize,
            _ => 0,
        };
        let time = slot.ptr.wrapping_offset(steps * slot.time as isize);
        let first = time.wrapping_add(row * slot.row + operand.start);
        // SAFETY: the buffer has this row of this step, or a row that stands for all; the run is over.
        let entries = unsafe { std::slice::from_raw_parts(first.cast_const(), operand.len) };
        let array = ArrayD::from_shape_vec(IxDyn(&shape), entries.to_vec());
        array.ok().map(Value::Real)
    }
}
