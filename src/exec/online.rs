//! Learning while steps come in: a stepper with its gradient, new parameters between steps, sums that begin again.

use std::sync::Arc;

use ndarray::ArrayD;

use super::memory::Aligned;
use super::step_actions::totals;
use super::stepper::{Source, Stepper};
use super::{Program, Real, Workspace};
use crate::error::Result;
use crate::plan::Storage;
use crate::recurrence::{Outputs, Params, Wrt};
use crate::shape::Rate;

impl<F: Real> Stepper<F> {
    /// A stepper with the gradient of the loss, in one pass forwards: as this one at its first step, with the same sizes,
    /// parameters, inputs per sample and outputs per step. After any step, [`so_far`](Self::so_far) and [`take`](Self::take) have the
    /// loss and its gradient by the variables, each under its name. A step takes time in proportion to the number of
    /// parameters, see [`Recurrence::online_gradient`](crate::Recurrence::online_gradient).
    ///
    /// This loop takes a descent step after each step of the series, along the gradient of the loss of that step:
    ///
    /// ```
    /// use bptt::{Params, Recurrence, Wrt};
    /// use ndarray::arr0;
    /// let text = "param a\ninput x, y\nstate s\ns' = a * s + x\nloss (s' - y)^2\noutput s'\n";
    /// let program = Recurrence::parse("filter.rec", text)?.compile::<f64>(&[])?;
    /// let mut params = Params::new().with("a", arr0(0.0));
    /// let mut stepper = program.stepper(&params)?.with_gradient(Wrt::Parameters)?;
    /// let mut truth = 0.0;
    /// for t in 0..400 {
    ///     let x = f64::from(t % 7) - 3.0;
    ///     truth = 0.8 * truth + x;
    ///     stepper.step(&[x, truth])?;
    ///     let found = stepper.take()?;
    ///     params["a"] -= &(0.01 * &found["a"]);
    ///     stepper.set_params(&params)?;
    /// }
    /// assert!((params["a"].sum() - 0.8).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Recurrence::online_gradient`](crate::Recurrence::online_gradient).
    pub fn with_gradient<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let source = &self.source;
        let online = source.program.recurrence.online(wrt.into(), true)?;
        let program = Program::new(&online, source.program.sizes.clone())?;
        program.stepper_of(&source.params, &source.batch)
    }

    /// Goes on with other parameters, from the present states and sums; before the first step, from their initial values under
    /// the new parameters. Copies of the stepper keep theirs. Matrices are packed again, so the time is in proportion to the
    /// number of parameters.
    ///
    /// # Errors
    /// As for [`Program::stepper_of`](crate::Program::stepper_of). Nothing is changed if the parameters do not fit.
    pub fn set_params(&mut self, params: &Params<F>) -> Result<()> {
        F::set_params(self, params)
    }

    /// The outputs that do not vary with the step, as [`so_far`](Self::so_far), of the steps since the last call; then sums over
    /// steps begin again. The states stay, and so does a value of the first step.
    ///
    /// After each step, this is the loss of that step, and in a stepper [with its gradient](Self::with_gradient) the gradient
    /// of that loss through all steps before (Williams and Zipser 1989). If the parameters change on the way, it is the gradient
    /// as that paper takes it: the derivatives of the states are those under the parameters of their time.
    ///
    /// # Errors
    /// As for [`so_far`](Self::so_far); the sums begin again all the same.
    pub fn take(&mut self) -> Result<Outputs<F>> {
        let found = self.so_far();
        for buffer in totals(&self.source.program.plan) {
            self.workspace.buffers[buffer]
                .as_mut_slice()
                .fill(F::zero());
        }
        found
    }

    pub(super) fn change_params(&mut self, params: &Params<F>) -> Result<()> {
        let program = &self.source.program;
        program.check(&program.recurrence.given(params, &self.source.batch))?;
        if !self.has_own_params {
            let mut own = Self::new(Arc::clone(&self.source), true)?;
            own.go_on_from(self)?;
            *self = own;
        }
        let leaves = self.source.program.recurrence.tape().leaves().iter();
        for (leaf, own) in leaves.zip(&mut self.workspace.copies) {
            if let (Rate::Static, Some(array)) = (leaf.ty().rate, params.get(leaf.name())) {
                copy(array, own);
            }
        }
        let (states, sums) = (
            self.kept.iter().map(|kept| self.view(kept).to_owned()),
            self.sums(),
        );
        let states: Vec<ArrayD<F>> = states.collect();
        let program = &self.source.program;
        self.actions.renew(program, &mut self.workspace)?;
        if self.steps == 0 {
            self.actions.start(program, &mut self.workspace);
            return Ok(());
        }
        // The values at the start may have been computed in memory of sums.
        for (kept, value) in self.kept.iter().zip(&states) {
            self.put(kept, &value.view());
        }
        self.put_sums(&sums);
        self.actions.enter(&mut self.workspace, false);
        Ok(())
    }

    /// Takes over all that another stepper with the same source has.
    pub(super) fn go_on_from(&mut self, other: &Self) -> Result<()> {
        if other.has_own_params {
            let copies = self.workspace.copies.iter_mut();
            copies
                .zip(&other.workspace.copies)
                .for_each(|(to, from)| to.copy_from(from));
            self.actions
                .renew(&self.source.program, &mut self.workspace)?;
        }
        self.steps = other.steps;
        let buffers = self.workspace.buffers.iter_mut();
        buffers
            .zip(&other.workspace.buffers)
            .for_each(|(to, from)| to.copy_from(from));
        self.actions.go_on_from(&other.actions, &mut self.workspace);
        Ok(())
    }
}

impl<F: Real> Source<F> {
    /// Copies the parameters to memory of a workspace, from which its runs read them from now on.
    pub(super) fn copy_params(&self, workspace: &mut Workspace<F>) -> Result<()> {
        let leaves = self.program.recurrence.tape().leaves();
        for (index, buffer) in self.program.plan.buffers.iter().enumerate() {
            let Storage::Leaf(leaf) = buffer.storage else {
                continue;
            };
            let Some(array) = self.params.get(leaves[leaf].name()) else {
                continue;
            };
            let own = &mut workspace.copies[leaf];
            own.reserve(array.len())?;
            copy(array, own);
            for worker in &mut workspace.workers {
                let slot = &mut worker.slots[index];
                slot.ptr = own.as_mut_ptr();
                slot.base = slot.ptr;
            }
        }
        Ok(())
    }
}

fn copy<F: Real>(from: &ArrayD<F>, to: &mut Aligned<F>) {
    let to = to.as_mut_slice().iter_mut();
    to.zip(from).for_each(|(to, from)| *to = *from);
}
