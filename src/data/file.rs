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
/// and until then what was there before stays. A file that is there keeps its permissions, a link
/// stays a link and what it leads to is written, and a device or a pipe is written to as it is.
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
/// When the file cannot be written; then nothing has changed, unless it is a device or a pipe.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    match Target::of(path)? {
        Target::Stream => fs::File::options()
            .write(true)
            .open(path)
            .and_then(|mut stream| stream.write_all(bytes))
            .map_err(|error| not_written(path, &error)),
        Target::File {
            place,
            part,
            permissions,
        } => {
            let written = fs::File::create(&part).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()?;
                permissions.map_or(Ok(()), |kept| file.set_permissions(kept))?;
                fs::rename(&part, place)
            });
            written.map_err(|error| {
                // The half-written file is of no use; that it could not be removed would be no news.
                let _ = fs::remove_file(&part);
                not_written(path, &error)
            })
        }
    }
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
    match Target::of(path)? {
        // Opening a pipe to try it would end the reading at its other end.
        Target::Stream => Ok(()),
        Target::File { part, .. } => fs::File::create(&part)
            .and_then(|_| fs::remove_file(&part))
            .map_err(|error| not_written(path, &error)),
    }
}

/// What bytes are written to.
enum Target {
    /// A device, a pipe or a socket: renaming a file to its name would put the file in its place.
    Stream,
    /// A file, or the place of a new one.
    File {
        /// Where it lies, once links are followed.
        place: PathBuf,
        /// What it is called until it is complete: it lies next to it, so that the renaming stays
        /// on one disk.
        part: PathBuf,
        /// Those of the file that is there.
        permissions: Option<fs::Permissions>,
    },
}

impl Target {
    fn of(path: &Path) -> Result<Self> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(refuse(path, "cannot be written: it is a folder"));
        }
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Ok(Self::Stream);
        }
        let place = match &there {
            Some(_) => fs::canonicalize(path).map_err(|error| not_written(path, &error))?,
            None => path.to_path_buf(),
        };
        let name = place
            .file_name()
            .ok_or_else(|| refuse(path, "is not a file name"))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        Ok(Self::File {
            part: place.with_file_name(hidden),
            permissions: there.map(|there| there.permissions()),
            place,
        })
    }
}

fn not_written(path: &Path, error: &io::Error) -> Error {
    refuse(path, format!("cannot be written: {error}"))
}
