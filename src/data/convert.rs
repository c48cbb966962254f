//! Converts named arrays to the data of a recurrence.

use super::alphabet::is_alphabet;
use super::inputs::{LENGTHS, RESET};
use super::roles::{self, Use};
use super::unread::Unread;
use super::{Array, Arrays, FIT, MASK};
use crate::error::{Error, Result, counted};
use crate::op::Scalar;
use crate::recurrence::{Batch, Params, Recurrence};
use crate::shape::{Kind, Rate, Type};
use crate::tape::{Leaf, Role};

impl Arrays {
    /// The parameters of a recurrence. Arrays whose names begin with [`FIT`] are ignored, and
    /// so are the texts of classes and the inputs, which a fit over inputs stores as well. A missing parameter
    /// is not an error here.
    ///
    /// # Errors
    /// When a parameter is not an array of real numbers, or an array is not a parameter.
    pub fn params<F: Scalar>(&self, recurrence: &Recurrence) -> Result<Params<F>> {
        let is_input = |name: &str| {
            [LENGTHS, RESET, MASK].contains(&name) || recurrence.role_of(name) == Some(Role::Input)
        };
        let is_beside = |name: &str| {
            let own = recurrence.role_of(name) == Some(Role::Parameter);
            !own && (name.starts_with(FIT) || is_alphabet(name) || is_input(name))
        };
        let unknown = |name: &str| Error::UnknownName {
            what: "parameter",
            name: name.into(),
            known: recurrence.parameters().map(Into::into).collect(),
        };
        if let Some((name, _)) = self
            .iter()
            .find(|(n, _)| !is_beside(n) && recurrence.role_of(n) != Some(Role::Parameter))
        {
            return Err(unknown(name));
        }
        let mut params = Params::new();
        for name in recurrence.parameters() {
            self.reason_against(name)?;
            // A missing parameter is reported, with its shape, when the parameters are used.
            if let Some(array) = self.get(name) {
                let numbers = roles::numbers::<F>(array, Use::Parameter);
                params.insert(name, numbers.map_err(|reason| refused(name, &reason))?);
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
        recurrence
            .inputs()
            .chain([LENGTHS])
            .try_for_each(|name| self.reason_against(name))?;
        let lengths = match self.get(LENGTHS).filter(|_| !is_input(LENGTHS)) {
            Some(array) => {
                if array.shape().len() != 1 {
                    let reason = format!(
                        "expected shape [B], found {:?}; a .csv file is one sequence without \
                         `{LENGTHS}`: rename or remove such a column",
                        array.shape()
                    );
                    return Err(refused(LENGTHS, &reason));
                }
                let lengths = roles::integers(array, Use::Lengths);
                let lengths = lengths.map_err(|reason| refused(LENGTHS, &reason))?;
                Some(lengths.into_iter().collect::<Vec<_>>())
            }
            None => None,
        };
        let (steps, samples) = self.extent(recurrence, lengths.as_deref())?;
        let (none, empty) = (Params::<F>::new(), Batch::new(steps, samples));
        recurrence.given(&none, &empty).check_extent()?;
        let lengths = lengths
            .map(|lengths| checked_lengths(&lengths, steps, samples))
            .transpose()?;
        let unread = Unread::of(self, recurrence, lengths.as_deref());
        let mut batch = Batch::new(steps, samples);
        for (name, array) in self.iter() {
            let ty = input(recurrence, name);
            if let Some(reason) = ty.and_then(|ty| other_coding(ty, array)) {
                return Err(refused(name, &reason));
            }
            batch = match ty.map(|t| t.kind) {
                Some(Kind::Class(_)) => {
                    let classes = |array: &Array| roles::integers(array, Use::Class);
                    let classes = unread.convert(recurrence, (name, array), classes);
                    let classes = classes.map_err(|reason| refused(name, &reason))?;
                    // A negative class is refused only if it is used: `-100` often marks a missing one.
                    let class = |x| usize::try_from(x).unwrap_or(usize::MAX);
                    batch.with_classes(name, classes.mapv(class))
                }
                Some(Kind::Real) => {
                    let leaf = recurrence.tape().leaf_named(name);
                    let used = match leaf.and_then(Leaf::classes) {
                        Some(_) => Use::Classes,
                        None => Use::Real,
                    };
                    let numbers = |array: &Array| roles::numbers::<F>(array, used);
                    let numbers = unread.convert(recurrence, (name, array), numbers);
                    batch.with(name, numbers.map_err(|reason| refused(name, &reason))?)
                }
                None => batch,
            };
        }
        self.check_outer_axes(recurrence, (steps, samples))?;
        Ok(match lengths {
            Some(lengths) => batch.with_lengths(lengths),
            None => batch,
        })
    }

    /// Refuses inputs whose axes of steps and samples are not those of the first, which may be the wrong one.
    fn check_outer_axes(&self, recurrence: &Recurrence, extent: (usize, usize)) -> Result<()> {
        let Some((first, _)) = self.first(recurrence, Rate::Step) else {
            return Ok(());
        };
        let (steps, samples) = extent;
        for name in recurrence.inputs() {
            let outer: &[usize] = match input(recurrence, name).map(|t| t.rate) {
                Some(Rate::Step) => &[steps, samples],
                Some(_) => &[samples],
                None => continue,
            };
            let Some(array) = self.get(name) else {
                continue;
            };
            let found = array.shape();
            if found.len() < outer.len() || found[..outer.len()] == *outer {
                continue;
            }
            let axes = if outer.len() == 2 { "T, B" } else { "B" };
            let cure = match found {
                [b, t, ..] if outer.len() == 2 && (*t, *b) == extent => {
                    "; inputs are [T, B, …], steps first: of the one whose samples are first, take \
                     `array.swapaxes(0, 1)`"
                }
                _ => "",
            };
            let reason = format!(
                "expected axes [{axes}] with T = {steps}, B = {samples}, as `{first}` has them, found shape {found:?}{cure}"
            );
            return Err(refused(name, &reason));
        }
        Ok(())
    }

    /// The first input of this rate and its shape. `reset` is considered last, as it describes the data in other
    /// arrays.
    fn first<'a>(
        &'a self,
        recurrence: &'a Recurrence,
        rate: Rate,
    ) -> Option<(&'a str, &'a [usize])> {
        let names = recurrence.inputs();
        let names = names.filter(|n| input(recurrence, n).is_some_and(|t| t.rate == rate));
        let names = names.filter(|n| self.get(n).is_some());
        let first = names.min_by_key(|n| *n == RESET)?;
        self.get(first).map(|array| (first, array.shape()))
    }

    /// The numbers of steps `T` and samples `B`.
    fn extent(&self, recurrence: &Recurrence, lengths: Option<&[i64]>) -> Result<(usize, usize)> {
        let longest = lengths.and_then(|l| l.iter().max()).copied();
        // Lengths without a positive one are refused with a message of their own.
        let longest = longest.map(|l| usize::try_from(l).unwrap_or(0));
        match self.first(recurrence, Rate::Step) {
            Some((_, [steps, samples, ..])) => return Ok((*steps, *samples)),
            Some((name, found)) => {
                let reason = format!(
                    "expected shape [T, B, …], the axes of steps and samples first, found {found:?}; give a \
                     single sequence as `array[:, None]`"
                );
                return Err(refused(name, &reason));
            }
            None => {}
        }
        let samples = self
            .first(recurrence, Rate::Sample)
            .and_then(|(_, shape)| shape.first().copied());
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

/// The remedy for vectors given for classes, or classes for vectors.
fn other_coding(ty: Type, array: &Array) -> Option<String> {
    let outer = match ty.rate {
        Rate::Step => "T, B",
        _ => "B",
    };
    let axes = outer.split(", ").count();
    let found = array.shape();
    match ty.kind {
        Kind::Class(_) if found.len() == axes + 1 => Some(format!(
            "expected classes, an array of shape [{outer}], found shape {found:?}; of one-hot vectors or \
             probabilities, take `array.argmax(-1)`"
        )),
        Kind::Real
            if ty.shape.rank() == 1 && found.len() == axes && matches!(array, Array::Int(_)) =>
        {
            Some(format!(
                "expected vectors, an array of shape [{outer}, size], found integers of shape {found:?}; if \
                 they are classes, give `np.eye(size)[array]`, or declare the input as `class(size)`"
            ))
        }
        _ => None,
    }
}

/// Refuses lengths that do not fit, with the sample and the value.
fn checked_lengths(lengths: &[i64], steps: usize, samples: usize) -> Result<Vec<usize>> {
    if lengths.len() != samples {
        let cure = match lengths.len() == steps {
            true => {
                "; inputs are [T, B, …], steps first: `array.swapaxes(0, 1)` if samples are first"
            }
            false => "",
        };
        let reason = format!(
            "expected {}, one for each sample (B = {samples}), found {}{cure}",
            counted(samples, "length"),
            lengths.len()
        );
        return Err(refused(LENGTHS, &reason));
    }
    let length = |(sample, found): (usize, &i64)| {
        let fits = usize::try_from(*found)
            .ok()
            .filter(|l| (1..=steps.max(1)).contains(l));
        fits.ok_or_else(|| {
            let range = match steps {
                0 => "at least 1".into(),
                _ => format!("1 to {steps}"),
            };
            let reason = format!(
                "the length of sample {sample} is {found}, expected {range} (samples are counted from 0)"
            );
            refused(LENGTHS, &reason)
        })
    };
    lengths.iter().enumerate().map(length).collect()
}

pub(super) fn refused(name: &str, reason: &str) -> Error {
    Error::Array {
        reason: format!("array `{name}`: {reason}"),
    }
}
