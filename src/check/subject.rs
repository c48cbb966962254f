//! The recurrence, its data, and the parameters and inputs that are differentiated.

use std::collections::HashMap;

use ndarray::{ArrayD, Zip};

use super::scale::Scale;
use crate::error::{Error, Result};
use crate::recurrence::{Batch, Influence, LOSS, Outputs, Params, Recurrence};
use crate::shape::Rate;
use crate::tape::Derived;

/// Parameters and inputs in one namespace.
#[derive(Clone)]
pub(super) struct Data {
    pub(super) params: Params<f64>,
    pub(super) batch: Batch<f64>,
}

impl Data {
    pub(super) fn get(&self, name: &str) -> Option<&ArrayD<f64>> {
        self.params.get(name).or_else(|| self.batch.get(name))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<f64>> {
        match self.params.get(name) {
            Some(_) => self.params.get_mut(name),
            None => self.batch.get_mut(name),
        }
    }

    /// Sets an array to `base + step · direction`.
    pub(super) fn place(&mut self, base: &Self, part: &Part<'_>, step: f64) {
        if let (Some(array), Some(base)) = (self.get_mut(part.name), base.get(part.name)) {
            Zip::from(array)
                .and(base)
                .and(part.direction)
                .for_each(|x, base, direction| *x = base + step * direction);
        }
    }

    /// Restores an array to its values in `base`.
    pub(super) fn restore(&mut self, base: &Self, name: &str) {
        if let (Some(array), Some(base)) = (self.get_mut(name), base.get(name)) {
            array.assign(base);
        }
    }

    /// Sets the named arrays to these directions.
    pub(super) fn assign(&mut self, names: &[String], directions: &[ArrayD<f64>]) {
        for (name, direction) in names.iter().zip(directions) {
            if let Some(array) = self.get_mut(name) {
                array.assign(direction);
            }
        }
    }

    /// Adds an array of zeros for the direction of each target; returns the names of the directions.
    ///
    /// # Errors
    /// If a target has no direction in this derivative.
    pub(super) fn add_directions(
        &mut self,
        derived: &Recurrence,
        targets: &[Target],
    ) -> Result<Vec<String>> {
        let leaves = derived.tape().leaves().iter();
        let directions: HashMap<&str, &str> = leaves
            .filter_map(|leaf| match leaf.derived() {
                Some(Derived::Tangent(of)) => Some((&**of, leaf.name())),
                _ => None,
            })
            .collect();
        let mut names = Vec::new();
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(0, 0));
        for target in targets {
            let name = directions.get(&*target.name).copied();
            let name = name.ok_or_else(|| no_tangent(&target.name, derived))?;
            let array = self.params.get(&target.name);
            let array = array.or_else(|| batch.get(&target.name));
            let zeros = ArrayD::zeros(array.map_or(&[][..], ArrayD::shape));
            match target.rate {
                Rate::Static => self.params.insert(name, zeros),
                _ => batch = batch.with(name, zeros),
            }
            names.push(name.into());
        }
        self.batch = batch;
        Ok(names)
    }
}

/// The output of a tangent recurrence that is the derivative of the loss.
pub(super) fn tangent_of_loss(tangent: &Recurrence) -> Result<&str> {
    let name = tangent.output_for(&Derived::Tangent(LOSS.into()));
    name.ok_or_else(|| no_tangent(LOSS, tangent))
}

fn no_tangent(of: &str, derived: &Recurrence) -> Error {
    Error::UnknownName {
        what: "tangent",
        name: of.into(),
        known: derived
            .parameters()
            .chain(derived.inputs())
            .map(Into::into)
            .collect(),
    }
}

/// One array and the direction of its perturbation.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) direction: &'a ArrayD<f64>,
}

/// One parameter or input that is differentiated.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) rate: Rate,
    pub(super) shape: Vec<usize>,
    /// The influence of this array on the loss.
    pub(super) influence: Influence,
    /// The error scales for first and second order.
    pub(super) scale: Scale,
    pub(super) second_scale: Scale,
}

impl Target {
    /// Returns true if differences must resolve its derivative.
    pub(super) fn is_real(&self) -> bool {
        self.influence == Influence::Real
    }
}

/// The first `steps` steps of the first samples.
pub(super) fn first_part(
    recurrence: &Recurrence,
    batch: &Batch<f64>,
    steps: usize,
    samples: usize,
) -> Result<Batch<f64>> {
    let chosen: Vec<usize> = (0..samples.min(batch.samples())).collect();
    let part = match chosen.len() == batch.samples() {
        true => batch.clone(),
        false => batch.samples_of(recurrence, &chosen)?,
    };
    Ok(match steps < part.steps() {
        true => part.first_steps(recurrence, steps),
        false => part,
    })
}

pub(super) fn found<'o>(outputs: &'o Outputs<f64>, name: &str) -> Result<&'o ArrayD<f64>> {
    outputs.get(name).ok_or_else(|| Error::UnknownName {
        what: "output of the gradient",
        name: name.into(),
        known: outputs.iter().map(|(n, _)| n.into()).collect(),
    })
}

/// Checks that a derivative of the caller has the shapes of the parameters and inputs.
pub(super) fn check_shapes(outputs: &Outputs<f64>, targets: &[Target]) -> Result<()> {
    for target in targets {
        let shape = found(outputs, &target.name)?.shape();
        if shape != target.shape {
            return Err(Error::ArrayShape {
                what: "derivative with respect to",
                name: target.name.clone(),
                expected: format!("{:?}", target.shape),
                found: shape.to_vec(),
            });
        }
    }
    Ok(())
}
