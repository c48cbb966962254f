//! Data and parameters of a command, read and matched with its recurrence.

use std::path::Path;

use bptt::data::Arrays;
use bptt::{Batch, Params, Recurrence, Scalar};

use crate::args::Size;
use crate::{Failure, cell};

/// The array that says where sequences begin anew.
const RESET: &str = "reset";

/// A recurrence and its inputs. With an array `reset`, a new sequence begins where it is 1.
pub(crate) fn recurrence_and_batch<F: Scalar>(
    name: &str,
    data: &Path,
    dims: &[Size],
) -> Result<(Recurrence, Batch<F>), Failure> {
    let mut recurrence = cell::load(name)?;
    let arrays = Arrays::read(data)?;
    if arrays.get(RESET).is_some() && !recurrence.inputs().any(|n| n == RESET) {
        recurrence = recurrence.with_resets(RESET)?;
    }
    let batch = arrays.batch(&recurrence);
    let batch = batch.map_err(|error| format!("{}: {error}", data.display()))?;
    let batch = with_sizes(batch, dims);
    Ok((recurrence, batch))
}

pub(crate) fn with_sizes<F: Scalar>(batch: Batch<F>, dims: &[Size]) -> Batch<F> {
    dims.iter()
        .fold(batch, |batch, s| batch.size(&s.name, s.size))
}

/// Parameters in either layout; none at all for a recurrence that has none.
pub(crate) fn params<F: Scalar>(
    recurrence: &Recurrence,
    file: Option<&Path>,
) -> Result<Params<F>, Failure> {
    let Some(file) = file else {
        if let Some(name) = recurrence.parameters().next() {
            let text = format!(
                "`{}` has parameters such as `{name}`: give --params FILE",
                recurrence.name()
            );
            return Err(text.into());
        }
        return Ok(Params::new());
    };
    let arrays = Arrays::read(file)?;
    let named = |p: &str| arrays.get(p).is_some();
    let found = if arrays.is_pytorch() && !recurrence.parameters().any(named) {
        arrays.pytorch_params(recurrence)
    } else {
        arrays.params(recurrence)
    };
    found.map_err(|error| format!("{}: {error}", file.display()).into())
}
