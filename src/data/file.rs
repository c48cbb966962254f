//! Files of named arrays: formats, and reading of bytes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::limit::check_memory;

/// A file format for named arrays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Npz,
    Safetensors,
    Csv,
}

impl Format {
    /// The format given by the extension of a file.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("npz") => Ok(Self::Npz),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("csv") => Ok(Self::Csv),
            Some("npy") => Err(refuse(
                path,
                "a .npy file has no names; expected a .npz file, as `np.savez` writes it",
            )),
            Some("pt" | "pth") => Err(refuse(
                path,
                "expected a .safetensors file, as `safetensors.torch.save_file` writes it",
            )),
            _ => Err(refuse(path, "expected a .npz, .safetensors or .csv file")),
        }
    }

    /// The format given by the extension of a file to be written.
    pub(super) fn to_write(path: &Path) -> Result<Self> {
        match Self::of(path) {
            Ok(format @ (Self::Npz | Self::Safetensors)) => Ok(format),
            _ => Err(refuse(
                path,
                "arrays are written to a .npz or a .safetensors file",
            )),
        }
    }
}

pub(super) fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// The bytes of a file, after a check of its first eight bytes, so that large files of other formats and
/// endless devices are not read into memory. `memory` is the memory needed per byte of the file, including its
/// arrays.
pub(super) fn read(
    path: &Path,
    memory: usize,
    looks_right: fn(&[u8]) -> Result<(), String>,
) -> Result<Vec<u8>> {
    let fail = |error: io::Error| refuse(path, format!("cannot be read: {error}"));
    let there = fs::metadata(path).map_err(fail)?;
    if !there.is_file() {
        return Err(refuse(path, "is not a file"));
    }
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(fail)?;
    looks_right(&bytes).map_err(|reason| refuse(path, reason))?;
    let length = usize::try_from(there.len()).ok();
    check_memory(length.and_then(|n| n.checked_mul(memory)))?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
