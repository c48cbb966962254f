//! Reads the data and parameters of a command for its recurrence.

use std::path::Path;

use bptt::data::{Array, Arrays};
use bptt::{Batch, Params, Recurrence, Scalar};
use ndarray::Dimension;

use crate::args::Size;
use crate::report::Report;
use crate::{Failure, cell};

/// The array that marks the starts of sequences.
const RESET: &str = "reset";
/// The array with the length of each sequence.
const LENGTHS: &str = "lengths";

/// A recurrence and its inputs. If there is an array `reset`, a new sequence starts where it is 1.
pub(crate) fn recurrence_and_batch<F: Scalar>(
    name: &str,
    data: &Path,
    dims: &[Size],
    report: &Report,
) -> Result<(Recurrence, Batch<F>), Failure> {
    let mut recurrence = cell::load(name)?;
    let arrays = Arrays::read(data)?;
    if resets(&recurrence, &arrays, data)?.is_some() {
        if let Some(other) = namesake(&recurrence) {
            return Err(format!(
                "{}: the array `{RESET}` marks the starts of sequences, but `{}` has {other} of that name: rename one \
                 of them, such as `{RESET}_2`",
                data.display(),
                recurrence.name()
            )
            .into());
        }
        recurrence = recurrence.with_resets(RESET)?;
    }
    let batch = matched(&recurrence, &arrays, data, dims, report)?;
    Ok((recurrence, batch))
}

/// A recurrence and the first sequence of its inputs, up to the start of the second.
pub(crate) fn first_sequence(
    name: &str,
    data: &Path,
    dims: &[Size],
    report: &Report,
) -> Result<(Recurrence, Batch<f64>), Failure> {
    let recurrence = cell::load(name)?;
    let arrays = Arrays::read(data)?;
    let batch: Batch<f64> = matched(&recurrence, &arrays, data, dims, report)?;
    let (steps, samples) = (batch.steps(), batch.samples());
    let mut first = batch.sequence(&recurrence, 0)?;
    if let Some(resets) = resets(&recurrence, &arrays, data)? {
        let resets = resets.real::<f64>();
        if resets.shape() != [steps, samples] {
            return Err(format!(
                "{}: array `{RESET}`: expected shape [{steps}, {samples}], found {:?}",
                data.display(),
                resets.shape()
            )
            .into());
        }
        if let Some(end) = (1..first.steps()).find(|t| resets[[*t, 0]] == 1.0) {
            first = first.with_lengths([end]).sequence(&recurrence, 0)?;
        }
    }
    Ok((recurrence, first))
}

/// The kind of a thing of the recurrence that has the name of the array `reset`.
fn namesake(recurrence: &Recurrence) -> Option<&'static str> {
    let tape = recurrence.tape();
    let is_value = tape.named(RESET).is_some();
    if recurrence.parameters().any(|n| n == RESET) {
        Some("a parameter")
    } else if recurrence.states().any(|n| n == RESET) {
        Some("a state")
    } else if tape.dims().any(|n| n == RESET) {
        Some("a size")
    } else {
        is_value.then_some("a value")
    }
}

/// The array `reset`, unless the recurrence has an input of that name.
fn resets<'a>(
    recurrence: &Recurrence,
    arrays: &'a Arrays,
    file: &Path,
) -> Result<Option<&'a Array>, Failure> {
    let own = recurrence.inputs().any(|n| n == RESET);
    if let Some((_, reason)) = arrays.refused().find(|(n, _)| *n == RESET && !own) {
        return Err(format!("{}: {reason}", file.display()).into());
    }
    let Some(resets) = arrays.get(RESET).filter(|_| !own) else {
        return Ok(None);
    };
    let lengths = arrays.get(LENGTHS).map(Array::real::<f64>);
    let ends = lengths.filter(|lengths| lengths.ndim() == 1);
    let is_read = |step: usize, sample: usize| {
        let end = ends.as_ref().and_then(|ends| ends.get([sample].as_slice()));
        end.is_none_or(|end| (step as f64) < *end)
    };
    truth(resets, is_read).map_err(|reason| format!("{}: {reason}", file.display()))?;
    Ok(Some(resets))
}

/// The inputs of a recurrence, from the arrays of a file.
fn matched<F: Scalar>(
    recurrence: &Recurrence,
    arrays: &Arrays,
    file: &Path,
    dims: &[Size],
    report: &Report,
) -> Result<Batch<F>, Failure> {
    let in_file = |reason: String| Failure::from(format!("{}: {reason}", file.display()));
    note_unused(recurrence, arrays, file, report);
    let is_there = |n: &str| arrays.get(n).is_some() || arrays.refused().any(|(r, _)| r == n);
    if let Some(name) = recurrence.inputs().find(|n| !is_there(n)) {
        let refused = arrays.refused().map(|(n, _)| n);
        let found: Vec<&str> = arrays.iter().map(|(n, _)| n).chain(refused).collect();
        let cure = match found.contains(&"arr_0") {
            true => format!("; name the arrays, as in `numpy.savez(file, {name}=array)`"),
            false => String::new(),
        };
        return Err(in_file(format!(
            "there is no array `{name}`, which is an input of `{}`; the file has: {}{cure}",
            recurrence.name(),
            match found.is_empty() {
                true => "none".into(),
                false => bptt::quoted(found),
            }
        )));
    }
    let batch = arrays.batch(recurrence);
    let batch = batch.map_err(|error| in_file(error.to_string()))?;
    Ok(with_sizes(batch, dims))
}

/// Refuses entries of `reset` other than 0 and 1, which would be treated as 1, except behind the ends of
/// sequences.
fn truth(resets: &Array, is_read: impl Fn(usize, usize) -> bool) -> Result<(), String> {
    let numbers = resets.real::<f64>();
    let wrong = numbers
        .indexed_iter()
        .filter(|(index, _)| match index.as_array_view().as_slice() {
            Some([step, sample, ..]) => is_read(*step, *sample),
            _ => true,
        })
        .find(|(_, x)| ![0.0, 1.0].contains(*x));
    match wrong {
        None => Ok(()),
        Some((index, x)) => Err(format!(
            "array `{RESET}`: expected 0 or 1, found {} at {:?} (counted from 0)",
            bptt::number(*x),
            index.as_array_view().to_vec()
        )),
    }
}

pub(crate) fn with_sizes<F: Scalar>(batch: Batch<F>, dims: &[Size]) -> Batch<F> {
    dims.iter()
        .fold(batch, |batch, s| batch.size(&s.name, s.size))
}

/// Notes the arrays of a file that are not used, one of which may be a misspelt input.
fn note_unused(recurrence: &Recurrence, arrays: &Arrays, file: &Path, report: &Report) {
    let used =
        |name: &str| [LENGTHS, RESET].contains(&name) || recurrence.inputs().any(|i| i == name);
    let refused = arrays.refused().map(|(n, _)| n);
    let names = arrays.iter().map(|(n, _)| n).chain(refused);
    let unused: Vec<&str> = names.filter(|n| !used(n)).collect();
    if !unused.is_empty() {
        let (file, names) = (file.display(), bptt::quoted(unused));
        report.note(&format!(
            "{file}: not used by `{}`: {names}",
            recurrence.name()
        ));
    }
}

/// The parameters in `file`, in either layout; without a file, the initial parameters.
pub(crate) fn params<F: Scalar>(
    recurrence: &Recurrence,
    file: Option<&Path>,
    batch: &Batch<F>,
    seed: u64,
) -> Result<Params<F>, Failure> {
    match file {
        Some(file) => read_params(recurrence, file),
        None => {
            let sizes = recurrence.known_sizes(&Params::new(), batch)?;
            Ok(Params::initial(recurrence, &sizes, seed)?)
        }
    }
}

/// Reads parameters in either layout.
pub(crate) fn read_params<F: Scalar>(
    recurrence: &Recurrence,
    file: &Path,
) -> Result<Params<F>, Failure> {
    let mut arrays = Arrays::read(file)?;
    match take_loss(recurrence, &mut arrays) {
        None => params_of(recurrence, &arrays, false, file),
        Some(_) => Err(format!(
            "{}: has an array `{LOSS}`, so it has gradients or other results, as `bptt grad` and `bptt run` write them, and no parameters",
            file.display()
        )
        .into()),
    }
}

/// The output of a recurrence that `bptt grad` stores beside the gradients.
pub(crate) const LOSS: &str = "loss";

/// Removes the loss, whose presence says that the arrays are gradients of parameters.
pub(crate) fn take_loss(recurrence: &Recurrence, arrays: &mut Arrays) -> Option<Array> {
    let is_own = recurrence.parameters().any(|p| p == LOSS);
    if is_own { None } else { arrays.remove(LOSS) }
}

/// The arrays of parameters, or their gradients, in either layout.
pub(crate) fn params_of<F: Scalar>(
    recurrence: &Recurrence,
    arrays: &Arrays,
    are_gradients: bool,
    file: &Path,
) -> Result<Params<F>, Failure> {
    let named = |p: &str| arrays.get(p).is_some();
    let is_pytorch = arrays.is_pytorch() && !recurrence.parameters().any(named);
    let found = match (is_pytorch, are_gradients) {
        (true, true) => arrays.pytorch_gradients(recurrence),
        (true, false) => arrays.pytorch_params(recurrence),
        (false, _) => arrays.params(recurrence),
    };
    let found = found.and_then(|params| {
        // Sizes that disagree are noticed here, where the file is known.
        recurrence.known_sizes(&params, &Batch::new(1, 1))?;
        Ok(params)
    });
    found.map_err(|error| format!("{}: {error}", file.display()).into())
}
