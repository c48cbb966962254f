//! The state of a stepper: the values that a step reads from the one before, by name.

#![allow(
    unsafe_code,
    reason = "the state is read and written through pointers to its rows"
)]

use ndarray::{ArrayView, ArrayViewD, Dimension, IxDyn, ShapeBuilder as _};

use super::Real;
use super::kept::Kept;
use super::step_actions::sums;
use super::step_inputs::whole;
use super::stepper::Stepper;
use crate::error::{Error, Result, number};
use crate::op::Scalar;
use crate::recurrence::Params;

/// The name of the number of steps in a saved state.
const STEPS: &str = "stepper.steps";
/// The name of the sums over steps in a saved state.
const SUMS: &str = "stepper.sums";
/// The whole numbers below are floating-point numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl<F: Real> Stepper<F> {
    /// The names of the states, in the order of a saved state. States that no output needs are not among them.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.kept
            .iter()
            .flat_map(|kept| &kept.states)
            .map(|name| &**name)
    }

    fn kept(&self, name: &str) -> Result<&Kept<F>> {
        let found = self
            .kept
            .iter()
            .find(|k| k.states.iter().any(|s| s == name));
        found.ok_or_else(|| Error::UnknownName {
            what: "state of the stepper",
            name: name.into(),
            known: self.states().map(Into::into).collect(),
        })
    }

    /// The value of a state after the last step, `[B, …]`; before the first step, its initial value.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there is no such state, or no output needs it.
    pub fn state(&self, name: &str) -> Result<ArrayViewD<'_, F>> {
        Ok(self.view(self.kept(name)?))
    }

    pub(super) fn view(&self, kept: &Kept<F>) -> ArrayViewD<'_, F> {
        let mut shape = IxDyn::zeros(kept.shape.len() + 1);
        let mut strides = shape.clone();
        (shape[0], strides[0]) = (self.samples(), kept.row);
        let mut distance = 1;
        for (axis, size) in kept.shape.iter().enumerate().rev() {
            (shape[axis + 1], strides[axis + 1]) = (*size, distance);
            distance *= size;
        }
        // SAFETY: the buffer has a row for each sample, in memory of the stepper, which is borrowed as long as the view lives.
        unsafe { ArrayView::from_shape_ptr(shape.strides(strides), kept.at.cast_const()) }
    }

    /// Sets the value of a state that the next step reads, `[B, …]`: that of another stepper, or the
    /// [final state](crate::Recurrence::with_final_states) of a run. States with the same definition are one value, and are
    /// set together.
    ///
    /// # Errors
    /// [`Error::UnknownName`] as for [`state`](Self::state), [`Error::ArrayShape`] for a wrong shape,
    /// [`Error::NonFiniteData`] for a NaN or an infinity.
    pub fn set_state<'v, D: Dimension>(
        &mut self,
        name: &str,
        value: impl Into<ArrayView<'v, F, D>>,
    ) -> Result<()>
    where
        F: 'v,
    {
        let kept = self.kept(name)?;
        self.fits("state", name, kept, &value.into().into_dyn())
            .map(|value| self.put(kept, &value))?;
        let is_first = self.steps == 0;
        self.actions.enter(&mut self.workspace, is_first);
        Ok(())
    }

    /// Returns the value, if it fits a state.
    fn fits<'v>(
        &self,
        what: &'static str,
        name: &str,
        kept: &Kept<F>,
        value: &ArrayViewD<'v, F>,
    ) -> Result<ArrayViewD<'v, F>> {
        let expected = [&[self.samples()], &kept.shape[..]].concat();
        if value.shape() != expected {
            return Err(Error::ArrayShape {
                what,
                name: name.into(),
                expected: format!("{expected:?}"),
                found: value.shape().to_vec(),
            });
        }
        let bad = value.indexed_iter().find(|(_, x)| !x.is_finite());
        match bad {
            None => Ok(value.clone()),
            Some((index, x)) => Err(Error::NonFiniteData {
                what,
                name: name.into(),
                index: index.as_array_view().to_vec(),
                value: Scalar::to_f64(*x),
            }),
        }
    }

    pub(super) fn put(&self, kept: &Kept<F>, value: &ArrayViewD<'_, F>) {
        let len = value.len() / self.samples().max(1);
        for (i, x) in value.iter().enumerate() {
            let to = kept.at.wrapping_add(i / len * kept.row + i % len);
            // SAFETY: the buffer has a row for each sample; no view of it is alive, since callers borrow the stepper mutably.
            unsafe { *to = *x };
        }
    }

    /// Begins a new sequence: all states have their initial values, and the sums over steps are zero.
    pub fn reset(&mut self) {
        self.actions
            .start(&self.source.program, &mut self.workspace);
        self.steps = 0;
    }

    /// All that the next steps depend on, as named arrays, which any writer of [`Params`] can save: the states, `[B, …]`; values
    /// of earlier steps that have no name, such as those of `delay`; the number of steps; and the sums over steps.
    ///
    /// ```
    /// use bptt::{Params, Recurrence};
    /// let text = "input x\nstate s\ns' = s + delay(x)\noutput s'\n";
    /// let program = Recurrence::parse("r.rec", text)?.compile::<f64>(&[])?;
    /// let mut stepper = program.stepper(&Params::new())?;
    /// stepper.step(&[1.0])?;
    /// let saved = stepper.save();
    /// let mut other = program.stepper(&Params::new())?;
    /// other.restore(&saved)?;
    /// assert_eq!(other.step(&[5.0])?, stepper.step(&[5.0])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn save(&self) -> Params<F> {
        let mut saved = Params::new();
        for kept in &self.kept {
            saved.insert(&kept.name, self.view(kept).to_owned());
        }
        saved.insert(STEPS, ndarray::arr0(F::of(self.steps as f64)));
        let sums = self.sums();
        if !sums.is_empty() {
            saved.insert(SUMS, ndarray::Array1::from(sums));
        }
        saved
    }

    pub(super) fn sums(&self) -> Vec<F> {
        let buffers = &self.workspace.buffers;
        let all = sums(&self.source.program.plan).flat_map(|index| buffers[index].to_vec());
        all.collect()
    }

    pub(super) fn put_sums(&mut self, mut from: &[F]) {
        for index in sums(&self.source.program.plan) {
            let to = self.workspace.buffers[index].as_mut_slice();
            let (own, rest) = from.split_at(to.len());
            to.copy_from_slice(own);
            from = rest;
        }
    }

    /// Goes on from a [saved](Self::save) state.
    ///
    /// # Errors
    /// [`Error::Missing`] for an array that is not there, [`Error::UnknownName`] for one that does not belong to the state,
    /// [`Error::ArrayShape`] and [`Error::NonFiniteData`] as for [`set_state`](Self::set_state), [`Error::Array`] for a number of
    /// steps that is none. Nothing is changed then.
    pub fn restore(&mut self, saved: &Params<F>) -> Result<()> {
        let missing = |name: &str, expected: String| Error::Missing {
            what: "state",
            name: name.into(),
            expected,
        };
        let sums_now = self.sums();
        let mut known: Vec<String> = self.kept.iter().map(|k| k.name.clone()).collect();
        known.push(STEPS.into());
        known.extend((!sums_now.is_empty()).then(|| SUMS.into()));
        if let Some((name, _)) = saved
            .iter()
            .find(|(name, _)| !known.iter().any(|k| k == name))
        {
            return Err(Error::UnknownName {
                what: "state of the stepper",
                name: name.into(),
                known,
            });
        }
        for kept in &self.kept {
            let expected = || format!("{:?}", [&[self.samples()], &kept.shape[..]].concat());
            let value = saved
                .get(&kept.name)
                .ok_or_else(|| missing(&kept.name, expected()))?;
            self.fits("state", &kept.name, kept, &value.view())?;
        }
        let steps = saved.get(STEPS).and_then(|a| a.first()).copied();
        let steps = steps.ok_or_else(|| missing(STEPS, "[]".into()))?;
        let count = Scalar::to_f64(steps);
        if count.fract() != 0.0 || !(0.0..EXACT).contains(&count) {
            let reason = format!(
                "state `{STEPS}` is {}, expected the number of steps taken: a whole number from 0 on",
                number(count)
            );
            return Err(Error::Array { reason });
        }
        let sums_then = saved
            .get(SUMS)
            .map_or(Vec::new(), |a| a.iter().copied().collect());
        if sums_then.len() != sums_now.len() {
            return Err(match saved.get(SUMS) {
                None => missing(SUMS, format!("{:?}", [sums_now.len()])),
                Some(array) => Error::ArrayShape {
                    what: "state",
                    name: SUMS.into(),
                    expected: format!("{:?}", [sums_now.len()]),
                    found: array.shape().to_vec(),
                },
            });
        }
        for kept in &self.kept {
            if let Some(value) = saved.get(&kept.name) {
                self.put(kept, &value.view());
            }
        }
        self.put_sums(&sums_then);
        self.steps = whole(count);
        self.actions.enter(&mut self.workspace, self.steps == 0);
        Ok(())
    }
}
