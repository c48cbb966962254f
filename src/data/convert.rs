//! Converts named arrays to the data of a recurrence.

use super::{Array, Arrays, FIT};
use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::recurrence::{Batch, Params, Recurrence};
use crate::shape::{Kind, Rate, Type};
use crate::tape::Role;

/// The array with the length of each sequence.
const LENGTHS: &str = "lengths";
/// The input of [`Recurrence::with_resets`] on the command line.
const RESET: &str = "reset";

impl Arrays {
    /// The parameters of a recurrence. Arrays whose names begin with [`FIT`] are ignored. A missing parameter
    /// is not an error here.
    ///
    /// # Errors
    /// When a parameter is not an array of real numbers, or an array is not a parameter.
    pub fn params<F: Scalar>(&self, recurrence: &Recurrence) -> Result<Params<F>> {
        let unknown = |name: &str| Error::UnknownName {
            what: "parameter",
            name: name.into(),
            known: recurrence.parameters().map(Into::into).collect(),
        };
        if let Some((name, _)) = self
            .iter()
            .find(|(n, _)| !n.starts_with(FIT) && recurrence.role_of(n) != Some(Role::Parameter))
        {
            return Err(unknown(name));
        }
        let mut params = Params::new();
        for name in recurrence.parameters() {
            match self.get(name) {
                Some(Array::Int(_)) => return Err(whole_numbers(name)),
                Some(array) => params.insert(name, array.real()),
                // A missing parameter is reported, with its shape, when the parameters are used.
                None => {}
            }
        }
        Ok(params)
    }

    /// The inputs of a recurrence. The numbers of steps and samples are taken from the first input that has
    /// them, the lengths from the array `lengths`, unless that is an input. Other arrays are ignored.
    ///
    /// # Errors
    /// When an input has no axis of steps or samples, a class is not an integer, or no array determines the
    /// numbers of steps and samples.
    pub fn batch<F: Scalar>(&self, recurrence: &Recurrence) -> Result<Batch<F>> {
        let is_input = |name: &str| recurrence.role_of(name) == Some(Role::Input);
        let lengths = match self.get(LENGTHS).filter(|_| !is_input(LENGTHS)) {
            Some(array) => {
                if array.shape().len() != 1 {
                    return Err(Error::ArrayShape {
                        what: "array",
                        name: LENGTHS.into(),
                        expected: "[B]".into(),
                        found: array.shape().into(),
                    });
                }
                Some(counts(LENGTHS, array)?.into_iter().collect::<Vec<_>>())
            }
            None => None,
        };
        let (steps, samples) = self.extent(recurrence, lengths.as_deref())?;
        let mut batch = Batch::new(steps, samples);
        for (name, array) in self.iter() {
            batch = match input(recurrence, name).map(|t| t.kind) {
                Some(Kind::Class(_)) => {
                    let classes = array.classes().map_err(|reason| refused(name, &reason))?;
                    batch.with_classes(name, classes)
                }
                Some(Kind::Real) => batch.with(name, array.real()),
                None => batch,
            };
        }
        Ok(match lengths {
            Some(lengths) => batch.with_lengths(lengths),
            None => batch,
        })
    }

    /// The numbers of steps `T` and samples `B`.
    fn extent(&self, recurrence: &Recurrence, lengths: Option<&[usize]>) -> Result<(usize, usize)> {
        let longest = lengths.and_then(|l| l.iter().max()).copied();
        let of = |rate: Rate| {
            let names = recurrence
                .inputs()
                .filter(move |n| input(recurrence, n).is_some_and(|t| t.rate == rate));
            // `reset` is considered last, as it describes the data in other arrays.
            let first = names.filter(|n| self.get(n).is_some());
            let first = first.min_by_key(|n| *n == RESET)?;
            self.get(first).map(Array::shape)
        };
        if let Some([steps, samples, ..]) = of(Rate::Step) {
            return Ok((*steps, *samples));
        }
        let samples = of(Rate::Sample).and_then(|s| s.first().copied());
        match (longest, samples.or(lengths.map(<[_]>::len))) {
            (Some(steps), Some(samples)) => Ok((steps, samples)),
            _ => Err(Error::Batch {
                reason: format!(
                    "no array of `{}` says how many steps and samples there are: expected an input \
                     [T, B, …], or `{LENGTHS}` [B]",
                    recurrence.name()
                ),
            }),
        }
    }
}

fn input(recurrence: &Recurrence, name: &str) -> Option<Type> {
    let leaf = recurrence.tape().leaf_named(name)?;
    (leaf.role() == Role::Input).then_some(leaf.ty())
}

fn counts(name: &str, array: &Array) -> Result<ndarray::ArrayD<usize>> {
    array.counts().map_err(|reason| refused(name, &reason))
}

fn refused(name: &str, reason: &str) -> Error {
    Error::Batch {
        reason: format!("array `{name}`: {reason}"),
    }
}

fn whole_numbers(name: &str) -> Error {
    Error::ArrayKind {
        name: name.into(),
        expected: "real numbers",
        found: "integers",
    }
}
