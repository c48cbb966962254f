//! Files as a whole: their formats, and writing them whole or not at all.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A format for named arrays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Npz,
    Safetensors,
    Csv,
}

impl Format {
    /// The format that the extension of a file says.
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
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
}

pub(super) fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// The bytes of a file, if its first eight bytes look right: a large file that is something else is
/// not read into memory, nor is a device that has no end.
pub(super) fn read(path: &Path, looks_right: fn(&[u8]) -> Result<(), String>) -> Result<Vec<u8>> {
    let fail = |error: io::Error| refuse(path, format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(fail)?.is_file() {
        return Err(refuse(path, "is not a file"));
    }
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(fail)?;
    looks_right(&bytes).map_err(|reason| refuse(path, reason))?;
    file.read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Writes a file whole or not at all: it appears under its name once every byte is on the disk,
/// and until then what was there before stays.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("bptt-whole-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("note.txt");
/// bptt::data::write_whole(&path, b"kept")?;
/// assert_eq!(std::fs::read(&path)?, b"kept");
/// assert!(bptt::data::write_whole(folder.join("no/folder.txt"), b"").is_err());
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file cannot be written; then nothing has changed.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let part = part(path)?;
    let written = fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|error| {
        // The half-written file is of no use; that it could not be removed would be no news.
        let _ = fs::remove_file(&part);
        not_written(path, &error)
    })
}

/// Whether [`write_whole`] can begin to write a file, asked before work whose result it is to hold.
///
/// ```
/// assert!(bptt::data::can_write_whole("no/such/folder/page.html").is_err());
/// ```
///
/// # Errors
/// When it cannot.
pub fn can_write_whole(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if path.is_dir() {
        return Err(refuse(path, "cannot be written: it is a folder"));
    }
    let part = part(path)?;
    let made = fs::File::create(&part).and_then(|_| fs::remove_file(&part));
    made.map_err(|error| not_written(path, &error))
}

/// What a file is called until it is complete: it lies next to it, so that the renaming stays on
/// one disk.
fn part(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| refuse(path, "is not a file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn not_written(path: &Path, error: &io::Error) -> Error {
    refuse(path, format!("cannot be written: {error}"))
}
