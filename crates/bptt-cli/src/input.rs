//! Reads the data and parameters of a command for its recurrence.

use std::path::Path;

use bptt::data::{Array, Arrays, MASK};
use bptt::{Batch, Derived, Kind, Leaf, Params, Recurrence, Role, Scalar};
use bptt_testing::start_of;
use ndarray::Dimension;

use crate::args::Size;
use crate::reading::{Absent, Source};
use crate::report::Report;
use crate::{Failure, cell};

/// The array that marks the starts of sequences.
const RESET: &str = "reset";
/// The array with the length of each sequence.
const LENGTHS: &str = "lengths";

/// A recurrence, its inputs, and the texts of classes, as arrays to save beside the parameters. If there is an array
/// `reset`, a new sequence starts where it is 1; steps with missing values may be masked; an array `h0` is the start of
/// a state `h` that starts at zero.
pub(crate) fn recurrence_and_batch<F: Scalar>(
    name: &str,
    data: &Source<'_>,
    dims: &[Size],
    report: &Report,
) -> Result<(Recurrence, Batch<F>, Arrays), Failure> {
    let mut recurrence = cell::load(name)?;
    let mut arrays = data.read(&recurrence)?;
    let starts = starts(&recurrence, &arrays);
    if !starts.is_empty() {
        for (state, input) in &starts {
            report.note(&format!("{data}: `{input}` is the start of `{state}`"));
        }
        let pairs: Vec<(&str, &str)> = starts.iter().map(|(s, i)| (&**s, &**i)).collect();
        recurrence = recurrence.with_start_inputs(&pairs)?;
        arrays = data.read(&recurrence)?;
    }
    if resets(&recurrence, &arrays, data)?.is_some() {
        if let Some(other) = namesake(&recurrence, RESET) {
            return Err(format!(
                "{data}: the array `{RESET}` marks the starts of sequences, but `{}` has {other} of that name: rename one \
                 of them, such as `{RESET}_2`",
                recurrence.name()
            )
            .into());
        }
        recurrence = recurrence.with_resets(RESET)?;
    }
    if has_own_mask(&recurrence, &arrays) {
        if let Some(other) = namesake(&recurrence, MASK) {
            return Err(format!(
                "{data}: `{MASK}` is the mask of steps with missing values, but `{}` has {other} of that name: rename it, \
                 such as `{MASK}_2`",
                recurrence.name()
            )
            .into());
        }
        recurrence = recurrence.with_mask(MASK)?;
    }
    let batch = matched(&recurrence, &arrays, data, dims, report)?;
    let mut classes = Arrays::new();
    for input in recurrence.inputs() {
        if let Some(texts) = arrays.alphabet(input) {
            classes.insert_alphabet(input, texts)?;
        }
    }
    Ok((recurrence, batch, classes))
}

/// The states that start at zero, with an array of the file that is the start of each: `h0` for `h`, `h0_1` for `h_1`.
fn starts(recurrence: &Recurrence, arrays: &Arrays) -> Vec<(String, String)> {
    let is_there = |name: &str| {
        let read = arrays.get(name).is_some() && !recurrence.inputs().any(|i| i == name);
        read || arrays.unused().any(|other| other == name)
    };
    let pairs = recurrence.states().map(|s| (s.to_owned(), start_of(s)));
    pairs
        .filter(|(state, input)| {
            is_there(input) && recurrence.with_start_inputs(&[(state, input)]).is_ok()
        })
        .collect()
}

/// True if steps are masked by an array that is no input of the recurrence.
fn has_own_mask(recurrence: &Recurrence, arrays: &Arrays) -> bool {
    arrays.get(MASK).is_some() && !recurrence.inputs().any(|input| input == MASK)
}

/// A recurrence and the first sequence of its inputs, up to the start of the second.
pub(crate) fn first_sequence(
    name: &str,
    data: &Source<'_>,
    dims: &[Size],
    report: &Report,
) -> Result<(Recurrence, Batch<f64>), Failure> {
    let recurrence = cell::load(name)?;
    let arrays = data.read(&recurrence)?;
    if has_own_mask(&recurrence, &arrays) {
        return Err(format!(
            "{data}: a run with masked steps is not measured; leave the rows out with --missing drop-row"
        )
        .into());
    }
    let batch: Batch<f64> = matched(&recurrence, &arrays, data, dims, report)?;
    let (steps, samples) = (batch.steps(), batch.samples());
    let mut first = batch.sequence(&recurrence, 0)?;
    if let Some(resets) = resets(&recurrence, &arrays, data)? {
        let resets = resets.real::<f64>();
        if resets.shape() != [steps, samples] {
            return Err(format!(
                "{data}: array `{RESET}`: expected shape [{steps}, {samples}], found {:?}",
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

/// The kind of a thing of the recurrence that has this name.
fn namesake(recurrence: &Recurrence, name: &str) -> Option<&'static str> {
    let tape = recurrence.tape();
    let is_value = tape.named(name).is_some();
    if recurrence.parameters().any(|n| n == name) {
        Some("a parameter")
    } else if recurrence.states().any(|n| n == name) {
        Some("a state")
    } else if tape.dims().any(|n| n == name) {
        Some("a size")
    } else {
        is_value.then_some("a value")
    }
}

/// The array `reset`, unless the recurrence has an input of that name.
fn resets<'a>(
    recurrence: &Recurrence,
    arrays: &'a Arrays,
    data: &Source<'_>,
) -> Result<Option<&'a Array>, Failure> {
    let own = recurrence.inputs().any(|n| n == RESET);
    if let Some((_, reason)) = arrays.refused().find(|(n, _)| *n == RESET && !own) {
        return Err(format!("{data}: {reason}").into());
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
    truth(resets, is_read).map_err(|reason| format!("{data}: {reason}"))?;
    Ok(Some(resets))
}

/// The inputs of a recurrence, from the arrays of a file.
fn matched<F: Scalar>(
    recurrence: &Recurrence,
    arrays: &Arrays,
    data: &Source<'_>,
    dims: &[Size],
    report: &Report,
) -> Result<Batch<F>, Failure> {
    let in_file = |reason: String| Failure::from(format!("{data}: {reason}"));
    note_unused(recurrence, arrays, data, report);
    let is_there = |n: &str| arrays.get(n).is_some() || arrays.refused().any(|(r, _)| r == n);
    let all: Vec<&str> = recurrence.inputs().filter(|n| !is_there(n)).collect();
    let absent = match data.absent {
        Absent::Refused => all,
        Absent::Zero(names) => {
            let (zero, absent) = all.into_iter().partition(|n| names.contains(n));
            let zero: Vec<&str> = zero;
            for name in zero {
                report.note(&format!("{data}: there is no `{name}`, which starts at 0"));
            }
            absent
        }
        Absent::Omitted => match omission(recurrence, &all) {
            Some(left_out) if !all.is_empty() => {
                report.note(&format!(
                    "{data}: there is no {}: left out: {}",
                    bptt::quoted(all),
                    bptt::quoted(left_out.iter().map(|n| &**n))
                ));
                Vec::new()
            }
            _ => all,
        },
    };
    if let Some(name) = absent.first() {
        let refused = arrays.refused().map(|(n, _)| n);
        let found = arrays.iter().map(|(n, _)| n).chain(refused);
        let found: Vec<&str> = found.chain(arrays.unused()).collect();
        let cure = match found.first() {
            _ if found.contains(&"arr_0") => {
                format!("; name the arrays, as in `numpy.savez(file, {name}=array)`")
            }
            Some(other) => format!(
                "; name the one that is `{name}`, such as `--columns {}`",
                bptt::printable(&format!("{name}='{other}'"))
            ),
            None => String::new(),
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
    Ok(with_sizes(
        with_classes(recurrence, arrays, batch, dims),
        dims,
    ))
}

/// The outputs that need some inputs; `None` if final states are among them, or there are no others.
pub(crate) fn omission(recurrence: &Recurrence, inputs: &[&str]) -> Option<Vec<String>> {
    let whole = recurrence.with_final_states().ok()?;
    let rest = whole.without_inputs(inputs).ok()?;
    let is_kept = |name: &str| rest.outputs().any(|other| other == name);
    let gone = whole.outputs().filter(|name| !is_kept(name));
    let gone: Vec<String> = gone.map(Into::into).collect();
    let is_final = |name: &String| matches!(whole.role(name), Some(Derived::Final(_)));
    (!gone.iter().any(is_final)).then_some(gone)
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

/// The sizes that are numbers of classes with texts.
pub(crate) fn with_classes<F: Scalar>(
    recurrence: &Recurrence,
    arrays: &Arrays,
    mut batch: Batch<F>,
    dims: &[Size],
) -> Batch<F> {
    let leaves = recurrence.tape().leaves().iter();
    for leaf in leaves.filter(|leaf| leaf.role() == Role::Input) {
        if let Some(texts) = arrays.alphabet(leaf.name())
            && let Some(dim) = size_of_classes(recurrence, leaf)
            && dims.iter().all(|size| size.name != dim)
        {
            batch = batch.size(&dim, texts.len());
        }
    }
    batch
}

pub(crate) fn with_sizes<F: Scalar>(batch: Batch<F>, dims: &[Size]) -> Batch<F> {
    dims.iter()
        .fold(batch, |batch, s| batch.size(&s.name, s.size))
}

/// Notes the arrays of a file that are not used, one of which may be a misspelt input.
fn note_unused(recurrence: &Recurrence, arrays: &Arrays, data: &Source<'_>, report: &Report) {
    for note in arrays.notes() {
        report.note(&format!("{data}: {note}"));
    }
    // A fit over inputs stores them with the parameters, in one file.
    let is_both = data
        .params
        .is_some_and(|file| data.files.iter().any(|f| f == file));
    let is_param = |name: &str| is_both && recurrence.parameters().any(|p| p == name);
    let used = |name: &str| {
        [LENGTHS, RESET].contains(&name) || recurrence.inputs().any(|i| i == name) || is_param(name)
    };
    let refused = arrays.refused().map(|(n, _)| n);
    let names = arrays.iter().map(|(n, _)| n).chain(refused);
    let names = names.chain(arrays.unused());
    let unused: Vec<&str> = names.filter(|n| !used(n)).collect();
    if !unused.is_empty() {
        let names = bptt::quoted(unused);
        report.note(&format!(
            "{data}: not used by `{}`: {names}",
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

/// The named size that is the number of classes of an input.
pub(crate) fn size_of_classes(recurrence: &Recurrence, leaf: &Leaf) -> Option<String> {
    let count = match leaf.ty().kind {
        Kind::Class(count) => count,
        Kind::Real => leaf.classes()?,
    };
    let dims: Vec<&str> = recurrence.tape().dims().collect();
    let value = |at: usize| {
        let sizes: Vec<usize> = (0..dims.len()).map(|i| usize::from(i == at)).collect();
        count.value_at(&sizes)
    };
    let own = (0..dims.len()).find(|i| value(*i) == 1 && value(dims.len()) == 0)?;
    Some(dims[own].into())
}
