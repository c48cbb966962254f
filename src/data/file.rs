//! Files of named arrays: formats, and reading of bytes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::Arrays;
use crate::error::{Error, Result};
use crate::limit::check_memory;

/// A file format for named arrays: a row in the file of the format.
pub(super) struct Format {
    /// The extension of its files, in lower case.
    pub(super) extension: &'static str,
    /// Checks the first eight bytes of a file, so that large files of other formats and endless devices are not
    /// read into memory.
    pub(super) begins: fn(&[u8]) -> Result<(), String>,
    /// The bytes of memory that a file and its arrays need; `None` if they are too many to count.
    pub(super) memory: fn(&[u8]) -> Option<usize>,
    /// Reads the arrays. Compressed data may expand to a number of bytes.
    pub(super) read: fn(&[u8], u64) -> Result<Arrays, String>,
    /// The bytes of a file, if the format is written.
    pub(super) write: Option<Write>,
}

type Write = fn(&Arrays) -> Result<Vec<u8>, String>;

/// Formats of files that are often at hand, and a remedy.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["npy"],
        "a .npy file has no names; expected a .npz file, as `np.savez` writes it",
    ),
    (
        &["pt", "pth"],
        "expected a .safetensors file, as `safetensors.torch.save_file` writes it",
    ),
];

impl Format {
    /// The format given by the extension of a file.
    pub(super) fn of(path: &Path, formats: &'static [Self]) -> Result<&'static Self> {
        let extension = path.extension().and_then(|e| e.to_str());
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        let other = OTHERS.iter().find(|(all, _)| all.contains(&&*extension));
        let known = formats.iter().find(|f| f.extension == extension);
        known.ok_or_else(|| match other {
            Some((_, remedy)) => refuse(path, remedy),
            None => {
                let all = formats.iter().map(|f| format!(".{}", f.extension));
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
            let written = written.map(|f| format!("a .{}", f.extension));
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
    let fail = |error: io::Error| refuse(path, format!("cannot be read: {error}"));
    let there = fs::metadata(path).map_err(fail)?;
    if !there.is_file() {
        return Err(refuse(path, "is not a file"));
    }
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(fail)?;
    (format.begins)(&bytes).map_err(|reason| refuse(path, reason))?;
    let length = usize::try_from(there.len()).ok();
    check_memory(length)?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    check_memory((format.memory)(&bytes))?;
    Ok(bytes)
}
