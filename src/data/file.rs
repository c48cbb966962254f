//! Files of named arrays: formats, and reading of bytes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use indexmap::IndexMap;

use super::Arrays;
use super::inputs::{Input, LENGTHS};
use super::options::ReadOptions;
use crate::error::{Error, Result};
use crate::limit::check_memory;

/// A file format for named arrays: a row in the file of the format.
pub(super) struct Format {
    /// The extensions of its files, in lower case.
    pub(super) extensions: &'static [&'static str],
    /// Checks the first eight bytes of a file, so that large files of other formats and endless devices are not
    /// read into memory.
    pub(super) begins: fn(&[u8]) -> Result<(), String>,
    /// The bytes of memory that a file and its arrays need; `None` if they are too many to count.
    pub(super) memory: fn(&[u8]) -> Option<usize>,
    /// Reads the arrays.
    pub(super) read: fn(&[u8], &Request<'_>) -> Result<Arrays, String>,
    /// The bytes of a file, if the format is written.
    pub(super) write: Option<Write>,
}

/// The part of a file that is read.
pub(super) struct Request<'a> {
    /// The bytes that compressed data may expand to.
    pub(super) limit: u64,
    /// The name of the file without its extension.
    pub(super) stem: &'a str,
    /// The inputs that are wanted; `None` for all of the file.
    pub(super) inputs: Option<&'a [Input]>,
    pub(super) options: &'a ReadOptions,
    /// The names of the samples of a table that was read before.
    pub(super) samples: &'a [String],
    /// The texts of the classes of inputs in the files that were read before.
    pub(super) alphabets: &'a IndexMap<String, Vec<String>>,
    /// True if no other file can have the columns that this one lacks.
    pub(super) is_only_file: bool,
    /// The line of the only row of a table, if its rows come one after the other.
    pub(super) line: Option<usize>,
}

impl Request<'_> {
    /// True for the name of an array that is used.
    pub(super) fn wants(&self, name: &str) -> bool {
        let Some(inputs) = self.inputs else {
            return true;
        };
        let is_bound = |input: &str| self.options.of(input).next().is_some();
        name == LENGTHS
            || self.options.bindings.iter().any(|b| b.column == name)
            || inputs.iter().any(|i| i.name == name && !is_bound(name))
    }
}

type Write = fn(&Arrays) -> Result<Vec<u8>, String>;

/// Formats of files that are often at hand, and a remedy.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["pt", "pth"],
        "expected a .safetensors file, as `safetensors.torch.save_file` writes it",
    ),
    (
        &["h5", "hdf5", "keras"],
        "expected a .npz file, as `numpy.savez(\"model.npz\", **{w.path: w.numpy() for w in model.weights})` of Keras 3 writes it",
    ),
    (&["onnx"], "expected arrays; `bptt import` reads models"),
];

impl Format {
    /// The format given by the extension of a file.
    pub(super) fn of(path: &Path, formats: &'static [Self]) -> Result<&'static Self> {
        let extension = path.extension().and_then(|e| e.to_str());
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        let other = OTHERS.iter().find(|(all, _)| all.contains(&&*extension));
        let known = formats.iter().find(|f| f.extensions.contains(&&*extension));
        known.ok_or_else(|| match other {
            Some((_, remedy)) => refuse(path, remedy),
            None => {
                let all = formats.iter().flat_map(|f| f.extensions);
                let all = all.map(|extension| format!(".{extension}"));
                let all = all.collect::<Vec<_>>();
                refuse(path, format!("expected a {} file", either(&all)))
            }
        })
    }

    /// The writer for a file, given by its extension.
    pub(super) fn to_write(path: &Path, formats: &'static [Self]) -> Result<Write> {
        let found = Self::of(path, formats).ok().and_then(|f| f.write);
        found.ok_or_else(|| {
            let written = formats.iter().filter(|f| f.write.is_some());
            let written = written
                .flat_map(|f| f.extensions)
                .map(|e| format!("a .{e}"));
            let written = either(&written.collect::<Vec<_>>());
            refuse(path, format!("arrays are written to {written} file"))
        })
    }
}

/// `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

pub(super) fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// The bytes of a file, after a check of its first eight bytes and of the memory it needs.
pub(super) fn read(path: &Path, format: &Format) -> Result<Vec<u8>> {
    checked(path, format.begins, format.memory)
}

/// As [`read`], with these checks.
pub(super) fn checked(
    path: &Path,
    begins: fn(&[u8]) -> Result<(), String>,
    memory: fn(&[u8]) -> Option<usize>,
) -> Result<Vec<u8>> {
    let fail = |error: io::Error| refuse(path, format!("cannot be read: {error}"));
    let there = fs::metadata(path).map_err(fail)?;
    if !there.is_file() {
        return Err(refuse(path, "is not a file"));
    }
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(fail)?;
    begins(&bytes).map_err(|reason| refuse(path, reason))?;
    let length = usize::try_from(there.len()).ok();
    check_memory(length)?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    check_memory(memory(&bytes))?;
    Ok(bytes)
}
