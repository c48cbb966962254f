//! Data and parameters of a command, read and matched with its recurrence.

use std::path::Path;

use bptt::data::Arrays;
use bptt::{Batch, Params, Recurrence, Scalar};

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
    if arrays.get(RESET).is_some() && !recurrence.inputs().any(|n| n == RESET) {
        recurrence = recurrence.with_resets(RESET)?;
    }
    note_unused(&recurrence, &arrays, data, report);
    let batch = arrays.batch(&recurrence);
    let batch = batch.map_err(|error| format!("{}: {error}", data.display()))?;
    let batch = with_sizes(batch, dims);
    Ok((recurrence, batch))
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
