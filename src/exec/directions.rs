//! Several directions in one run.

use ndarray::Axis;

use super::{Program, Real};
use crate::error::{Error, Result};
use crate::plan::Directions;
use crate::recurrence::{Given, Recurrence, View};
use crate::shape::Rate;
use crate::tape::{Derived, Leaf};

impl<F: Real> Program<F> {
    /// The same program, run in `count` directions at once: for programs made of a
    /// [`tangent`](crate::Recurrence::tangent), a [`hessian_vector`](crate::Recurrence::hessian_vector) or a
    /// [`pullback`](crate::Recurrence::pullback).
    ///
    /// Each array that a derivative has added (`w.dot`, or `y.bar` in a pullback) then holds all
    /// directions, and so does each output that depends on them. Their axis, of length `count`, comes right
    /// before the axes of the value: `[count, H, H]` for a parameter `W[H, H]`, `[T, B, count, H]` for a value
    /// per step, `[count]` for `loss.dot`. Arrays in this order are used without a copy. All other arrays are as
    /// before.
    ///
    /// The states and the loss are computed once, matrices are read once for all directions, and a step
    /// multiplies them by all directions together. So eight directions take much less time than eight runs.
    /// Each direction has the same results as in a run of its own, to the last bit. The memory for
    /// values that depend on directions is `count` times as large.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::{arr0, array};
    /// let r = Recurrence::parse("r.rec", "param a, b\ninput x\nstate h\nh' = tanh(a * h + b * x)\nloss h'^2\n")?;
    /// let tangent = r.tangent(Wrt::Parameters)?;
    /// let program = tangent.compile::<f64>(&[])?.directions(2)?;
    /// let params = Params::new().with("a", arr0(0.5)).with("b", arr0(2.0));
    /// let batch = Batch::new(3, 1).with("x", array![[1.0], [-0.5], [0.2]]);
    /// // The unit vectors: the slopes along them are the entries of the gradient.
    /// let along = params.clone().with("a.dot", array![1.0, 0.0]).with("b.dot", array![0.0, 1.0]);
    /// let found = program.evaluate(&along, &batch)?;
    /// let gradient = r.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;
    /// assert!((found["loss.dot"][0] - gradient["a"].sum()).abs() < 1e-15);
    /// assert!((found["loss.dot"][1] - gradient["b"].sum()).abs() < 1e-15);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoDirections`] if `count` is zero or the recurrence has no array added by a derivative.
    pub fn directions(self, count: usize) -> Result<Self> {
        let several = several(&self.recurrence);
        let refuse = |reason: String| Err(Error::NoDirections { reason });
        let name = self.recurrence.name();
        if !several.leaves.contains(&true) {
            return refuse(format!(
                "no derivative has added an array to `{name}`; compile its `tangent`, its `hessian_vector` or \
                 a `pullback`"
            ));
        }
        if count == 0 {
            return refuse(format!(
                "`{name}` was to run in 0 directions; give at least 1, as in `.directions(8)`"
            ));
        }
        Ok(Self {
            threads: self.threads,
            longest_chunk: self.longest_chunk,
            isa: self.isa,
            wide: self.wide,
            memory: self.memory,
            directions: Some(count),
            ..Self::planned(&self.recurrence, self.sizes, several)?
        })
    }

    /// The origin of a value that is not finite, in the first direction that has one.
    pub(super) fn trace_directions(&self, given: &Given<'_, F>) -> Result<Option<Error>> {
        let one = Self::planned(&self.recurrence, self.sizes.clone(), Directions::default())?;
        let mut workspace = one.workspace();
        for lane in 0..self.directions.unwrap_or(1) {
            let given = self.direction(given, lane)?;
            if let Some(found) = one.trace(&given, &mut workspace)? {
                return Ok(Some(in_direction(found, lane)));
            }
        }
        Ok(None)
    }

    /// Checks the data of one direction.
    pub(super) fn check_direction(&self, given: &Given<'_, F>, lane: usize) -> Result<()> {
        let one = self.direction(given, lane)?;
        self.check_one(&one).map_err(|error| match error {
            Error::NonFiniteData {
                what,
                name,
                mut index,
                value,
            } => {
                let leaves = self.recurrence.tape().leaves().iter();
                let leaf = leaves
                    .zip(&self.several.leaves)
                    .find(|(l, _)| l.name() == name);
                if let Some((leaf, true)) = leaf {
                    index.insert(axis(leaf), lane);
                }
                Error::NonFiniteData {
                    what,
                    name,
                    index,
                    value,
                }
            }
            other => other,
        })
    }

    /// The data of one direction.
    pub(super) fn direction<'a>(
        &self,
        given: &'a Given<'_, F>,
        lane: usize,
    ) -> Result<Given<'a, F>> {
        let count = self.directions.unwrap_or(1);
        let mut one = given.view();
        let leaves = self.recurrence.tape().leaves().iter();
        for ((leaf, several), array) in leaves.zip(&self.several.leaves).zip(&mut one.arrays) {
            let (true, Some(View::Real(all))) = (*several, array.as_ref()) else {
                continue;
            };
            let axis = axis(leaf);
            if all.ndim() != axis + leaf.ty().shape.dims().len() + 1 || all.shape()[axis] != count {
                return Err(Error::ArrayShape {
                    what: "direction",
                    name: leaf.name().into(),
                    expected: self.recurrence.expected_directions(leaf, count),
                    found: all.shape().into(),
                });
            }
            *array = Some(View::Real(all.clone().index_axis_move(Axis(axis), lane)));
        }
        Ok(one)
    }
}

/// The origin of a value that is not finite, with the direction in which it was found.
fn in_direction(found: Error, lane: usize) -> Error {
    match found {
        Error::NonFiniteValue {
            expression,
            place,
            entry,
            value,
            safe_form,
        } => Error::NonFiniteValue {
            expression,
            place: format!("{place}, in direction {lane}"),
            entry,
            value,
            safe_form,
        },
        other => other,
    }
}

/// The axis of the directions in an array.
const fn axis(leaf: &Leaf) -> usize {
    match leaf.ty().rate {
        Rate::Static => 0,
        Rate::Sample => 1,
        Rate::Step => 2,
    }
}

/// The leaves that derivatives have added, and the outputs that there are several of even where they are
/// zero whatever the direction.
fn several(recurrence: &Recurrence) -> Directions {
    let leaves = recurrence.tape().leaves();
    let has = |role: &Derived| leaves.iter().any(|l| l.derived() == Some(role));
    let is_pullback = leaves
        .iter()
        .any(|l| matches!(l.derived(), Some(Derived::Cotangent(_))));
    let is_several = |name: &str| match recurrence.role(name) {
        Some(Derived::Tangent(_)) => true,
        Some(Derived::Cotangent(of)) => {
            // A product with the Hessian has the name of its variable; beside a tangent of the gradient,
            // that is the name of the gradient.
            let tangent = Derived::Tangent(of.clone());
            is_pullback || has(&tangent) && recurrence.output_for(&tangent).is_none()
        }
        _ => false,
    };
    Directions {
        leaves: leaves
            .iter()
            .map(|l| l.derived().is_some() && l.ty().is_real())
            .collect(),
        outputs: recurrence.outputs().map(is_several).collect(),
    }
}
