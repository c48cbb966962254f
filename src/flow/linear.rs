//! The step as a linear map: products with `J_t` and `J_tᵀ` at many steps of many samples and in many directions, in one run.

use ndarray::{ArrayD, ArrayView2};

use super::Flow;
use super::bundle::Bundle;
use crate::error::{Error, Result};
use crate::exec::{Program, Workspace};
use crate::recurrence::Recurrence;
use crate::shape::Rate;
use crate::tape::{Derived, Role};

/// A step of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sample: usize,
    /// Counted from 0: step `t` of the formulas is `step + 1`.
    pub(super) step: usize,
}

/// A compiled tangent or pullback of the step, in several directions.
#[derive(Debug)]
pub(super) struct Linear<'f> {
    flow: &'f Flow,
    program: Program<f64>,
    workspace: Workspace<f64>,
    /// For each part, the names of the direction and of the result.
    names: Vec<(String, String)>,
}

impl Flow {
    /// The change `J_t v` of the state after a step by a change `v` of the state before it. Steps are counted from 1, as in `s_t`.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// // Hénon's map.
    /// let map = Recurrence::parse("henon.rec", "state x, y\nx' = 1 - 1.4 * x^2 + y\ny' = 0.3 * x\n")?;
    /// let flow = map.flow(&Params::new(), &Batch::new(2, 1))?;
    /// assert_eq!(flow.tangent(0, 2, &[1.0, 0.0])?, [-2.8, 0.3]);
    /// assert_eq!(flow.pullback(0, 2, &[1.0, 0.0])?, [-2.8, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Batch`] if there is no such sample or step; [`Error::ArrayShape`] if the direction does not have
    /// [`size`](Self::size) entries; otherwise as for [`Program::run`].
    pub fn tangent(&self, sample: usize, step: usize, direction: &[f64]) -> Result<Vec<f64>> {
        let step = self.check_step(sample, step)?;
        self.tangents(1)?
            .apply_one(Place { sample, step }, direction)
    }

    /// The gradient `J_tᵀ v` by the state before a step, of a function whose gradient by the state after it is `v`.
    ///
    /// # Errors
    /// As for [`tangent`](Self::tangent).
    pub fn pullback(&self, sample: usize, step: usize, cotangent: &[f64]) -> Result<Vec<f64>> {
        let step = self.check_step(sample, step)?;
        self.pullbacks(1)?
            .apply_one(Place { sample, step }, cotangent)
    }

    /// Products `J_t v` with `count` vectors at a step.
    pub(super) fn tangents(&self, count: usize) -> Result<Linear<'_>> {
        let parts = &self.transition.parts;
        let before: Vec<&str> = parts.iter().map(|p| &*p.before).collect();
        let tangent = self.transition.step.tangent(&before[..])?;
        let names = parts.iter().map(|part| {
            let direction = tangent.leaf_for(&Derived::Tangent(part.before.clone()));
            let result = tangent.output_for(&Derived::Tangent(part.after.clone()));
            Some((direction?.to_string(), result?.to_string()))
        });
        let names = names.collect();
        self.linear(&tangent, names, count)
    }

    /// Products `J_tᵀ v` with `count` vectors at a step.
    pub(super) fn pullbacks(&self, count: usize) -> Result<Linear<'_>> {
        let parts = &self.transition.parts;
        let before: Vec<&str> = parts.iter().map(|p| &*p.before).collect();
        let after: Vec<&str> = parts.iter().map(|p| &*p.after).collect();
        let pullback = self.transition.step.pullback(&after, &before[..])?;
        let names = parts.iter().map(|part| {
            let direction = pullback.leaf_for(&Derived::Cotangent(part.after.clone()));
            Some((direction?.to_string(), part.before.to_string()))
        });
        let names = names.collect();
        self.linear(&pullback, names, count)
    }

    fn linear(
        &self,
        recurrence: &Recurrence,
        names: Option<Vec<(String, String)>>,
        count: usize,
    ) -> Result<Linear<'_>> {
        let sizes: Vec<(&str, usize)> = self.sizes.iter().map(|(n, size)| (&**n, *size)).collect();
        let program = recurrence
            .compile(&sizes)?
            .directions(count)?
            .threads(self.threads);
        Ok(Linear {
            flow: self,
            workspace: program.workspace(),
            program,
            names: names.expect("a derivative names its directions and its results"),
        })
    }
}

impl Linear<'_> {
    fn apply_one(mut self, place: Place, vector: &[f64]) -> Result<Vec<f64>> {
        let parts = self.flow.parts();
        if vector.len() != self.flow.size() {
            return Err(Error::ArrayShape {
                what: "direction",
                name: "state".into(),
                expected: format!("[{}]", self.flow.size()),
                found: vec![vector.len()],
            });
        }
        let mut from = Bundle::zeros(parts, 1, 1)?;
        let vector = ArrayView2::from_shape((1, vector.len()), vector)?;
        from.set_matrix(0, &vector);
        let mut to = from.clone();
        self.apply(&[place], &from, &mut to)?;
        Ok(to.matrix(0).into_iter().collect())
    }

    /// Applies the map of the step `places[i]` to the vectors of row `i`. Each place is a sample of one step in this run, since
    /// no step depends on another one.
    pub(super) fn apply(&mut self, places: &[Place], from: &Bundle, to: &mut Bundle) -> Result<()> {
        let flow = self.flow;
        let leaves = self.program.recurrence().tape().leaves();
        let mut reals: Vec<(&str, ArrayD<f64>)> = Vec::new();
        let mut classes: Vec<(&str, ArrayD<usize>)> = Vec::new();
        for leaf in leaves.iter().filter(|leaf| leaf.derived().is_none()) {
            let (name, rate) = (leaf.name(), leaf.ty().rate);
            let argument = flow.transition.arguments.iter().position(|a| **a == *name);
            if let Some(index) = argument {
                reals.push((name, chosen(&flow.arguments[index], rate, places)));
            } else if leaf.role() == Role::Input {
                if let Some(array) = flow.batch.get(name) {
                    reals.push((name, chosen(array, rate, places)));
                } else if let Some(array) = flow.batch.classes(name) {
                    classes.push((name, chosen(array, rate, places)));
                }
            }
        }
        let mut binding = self
            .program
            .bind(&mut self.workspace)
            .extent(1, places.len());
        for leaf in leaves {
            if let Some(array) = flow.params.get(leaf.name()) {
                binding = binding.with(leaf.name(), array);
            }
        }
        for (name, array) in &reals {
            binding = binding.with(name, array);
        }
        for (name, array) in &classes {
            binding = binding.with_classes(name, array);
        }
        let ends = self.names.iter().zip(from.arrays()).zip(to.arrays_mut());
        for (((direction, result), from), to) in ends {
            binding = binding.with(direction, from).output(result, to);
        }
        binding.run()?;
        Ok(())
    }
}

/// The entries of an array at some places.
fn chosen<T: Clone>(array: &ArrayD<T>, rate: Rate, places: &[Place]) -> ArrayD<T> {
    let (axis, inner) = match rate {
        Rate::Static => return array.clone(),
        Rate::Sample => (0, &array.shape()[1..]),
        Rate::Step => (1, &array.shape()[2..]),
    };
    let mut shape = vec![1; axis];
    shape.push(places.len());
    shape.extend(inner);
    let width: usize = inner.iter().product();
    let samples = array.shape()[axis];
    let mut entries = Vec::with_capacity(places.len() * width);
    let array = array.as_standard_layout();
    for place in places {
        let row = match rate {
            Rate::Step => place.step * samples + place.sample,
            _ => place.sample,
        };
        let all = array.as_slice().unwrap_or_default();
        entries.extend_from_slice(all.get(row * width..(row + 1) * width).unwrap_or_default());
    }
    ArrayD::from_shape_vec(shape, entries).expect("each place has its entries")
}
