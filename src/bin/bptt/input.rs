//! Data and parameters of a command, read and matched with its recurrence.

use std::path::Path;

use bptt::data::{Array, Arrays};
use bptt::{Batch, Params, Recurrence, Scalar};
use ndarray::Dimension;

use crate::args::Size;
use crate::report::Report;
use crate::{Failure, cell};

/// The array that says where sequences begin anew.
const RESET: &str = "reset";
/// The array that says how long each sequence is.
const LENGTHS: &str = "lengths";

/// A recurrence and its inputs. With an array `reset`, a new sequence begins where it is 1.
pub(crate) fn recurrence_and_batch<F: Scalar>(
    name: &str,
    data: &Path,
    dims: &[Size],
    report: &Report,
) -> Result<(Recurrence, Batch<F>), Failure> {
    let mut recurrence = cell::load(name)?;
    let arrays = Arrays::read(data)?;
    let in_file = |reason: String| Failure::from(format!("{}: {reason}", data.display()));
    if let Some(resets) = arrays.get(RESET)
        && !recurrence.inputs().any(|n| n == RESET)
    {
        truth(resets).map_err(in_file)?;
        recurrence = recurrence.with_resets(RESET)?;
    }
    note_unused(&recurrence, &arrays, data, report);
    if let Some(name) = recurrence.inputs().find(|n| arrays.get(n).is_none()) {
        let found: Vec<&str> = arrays.iter().map(|(n, _)| n).collect();
        return Err(in_file(format!(
            "there is no array `{name}`, which is an input of `{}`; there is {}",
            recurrence.name(),
            match found.is_empty() {
                true => "none".into(),
                false => format!("`{}`", found.join("`, `")),
            }
        )));
    }
    let batch = arrays.batch(&recurrence);
    let batch = batch.map_err(|error| in_file(error.to_string()))?;
    let batch = with_sizes(batch, dims);
    Ok((recurrence, batch))
}

/// Anything but 0 and 1 in the array `reset` is a mistake, and would silently count as 1.
fn truth(resets: &Array) -> Result<(), String> {
    let numbers = resets.real::<f64>();
    let wrong = numbers
        .indexed_iter()
        .find(|(_, x)| ![0.0, 1.0].contains(*x));
    match wrong {
        None => Ok(()),
        Some((index, x)) => Err(format!(
            "array `{RESET}`: expected 0 or 1, found {x} at {:?}",
            index.as_array_view().to_vec()
        )),
    }
}

pub(crate) fn with_sizes<F: Scalar>(batch: Batch<F>, dims: &[Size]) -> Batch<F> {
    dims.iter()
        .fold(batch, |batch, s| batch.size(&s.name, s.size))
}

/// Says which arrays of a file are not used: a misspelt name would be among them.
fn note_unused(recurrence: &Recurrence, arrays: &Arrays, file: &Path, report: &Report) {
    let used = |name: &str| name == LENGTHS || recurrence.inputs().any(|i| i == name);
    let unused: Vec<&str> = arrays.iter().map(|(n, _)| n).filter(|n| !used(n)).collect();
    if !unused.is_empty() {
        let (file, names) = (file.display(), unused.join("`, `"));
        report.note(&format!(
            "{file}: not used by `{}`: `{names}`",
            recurrence.name()
        ));
    }
}

/// Parameters in either layout; without a file, as they start before a fit.
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

/// Parameters in either layout.
pub(crate) fn read_params<F: Scalar>(
    recurrence: &Recurrence,
    file: &Path,
) -> Result<Params<F>, Failure> {
    let arrays = Arrays::read(file)?;
    let named = |p: &str| arrays.get(p).is_some();
    let found = if arrays.is_pytorch() && !recurrence.parameters().any(named) {
        arrays.pytorch_params(recurrence)
    } else {
        arrays.params(recurrence)
    };
    found.map_err(|error| format!("{}: {error}", file.display()).into())
}
