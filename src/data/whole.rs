//! Atomic writes: a file has its old content or all of the new one.
//!
//! The new content is written to a temporary file in the same folder, which is synced and renamed. The
//! temporary file has a random name, is newly created, and is locked by its writer. An unlocked file with such
//! a name was left by a process that was killed; the next write removes it. Locks work across threads,
//! processes and containers, unlike process ids.

use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::file::refuse;
use crate::error::{Error, Result};

/// The names of temporary files: `.bptt-`, 16 hexadecimal digits, `.part`.
const PREFIX: &str = ".bptt-";
const SUFFIX: &str = ".part";
/// The number of attempts to create a temporary file, as other processes may remove it.
const ATTEMPTS: usize = 16;
/// The most symbolic links in a chain, as on Linux.
const MOST_LINKS: usize = 40;

/// Writes a file atomically: it has its old content until all of the new one is on the disk.
///
/// An existing file keeps its permissions and, if the system allows it, its owner; a read-only file is not
/// replaced. Symbolic links are followed, including links to missing files. Devices, pipes and open descriptors
/// such as `/dev/stdout` are written directly.
///
/// The content is first written to a temporary file in the same folder, `.bptt-….part` with 16
/// random hexadecimal digits. Such files of processes that were killed are removed by the next write.
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
/// When the file cannot be written; then it is unchanged, unless it is a device or a pipe. When the
/// folder cannot be synced, the new content is there but may not survive a loss of power.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let written = match Target::of(path)? {
        Target::Output => io::stdout()
            .write_all(bytes)
            .and_then(|()| io::stdout().flush()),
        Target::Stream(place) => open_stream(&place).and_then(|mut s| s.write_all(bytes)),
        Target::File { place, there } => replace(&place, there.as_ref(), bytes),
    };
    written.map_err(|error| not_written(path, &error))
}

/// Checks that [`write_whole`] can create the file, before a computation whose result it would store.
///
/// ```
/// assert!(bptt::data::can_write_whole("no/such/folder/page.html").is_err());
/// ```
///
/// # Errors
/// When the file cannot be written.
pub fn can_write_whole(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match Target::of(path)? {
        // Opening a pipe as a test would end the input of its reader.
        Target::Output | Target::Stream(_) => Ok(()),
        Target::File { place, there } => may_replace(&place, there.as_ref())
            .and_then(|()| Part::create(&place, there.as_ref()).map(drop))
            .map_err(|error| not_written(path, &error)),
    }
}

/// The destination of a write, after links.
enum Target {
    /// The standard output of this process, by a name such as `/dev/stdout`.
    Output,
    /// A device, a pipe or a descriptor, which a rename would replace.
    Stream(PathBuf),
    /// A file: its path and, if it exists, its metadata.
    File {
        place: PathBuf,
        there: Option<fs::Metadata>,
    },
}

impl Target {
    fn of(path: &Path) -> Result<Self> {
        let mut place = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            if let Some(stream) = descriptor(&place) {
                return Ok(stream);
            }
            let there = match fs::symlink_metadata(&place) {
                Ok(there) => there,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return match place.file_name() {
                        Some(_) => Ok(Self::File { place, there: None }),
                        None => Err(refuse(path, "is not a file name")),
                    };
                }
                Err(error) => return Err(not_written(path, &error)),
            };
            if there.is_symlink() {
                let target = fs::read_link(&place).map_err(|error| not_written(path, &error))?;
                place = place.with_file_name("").join(target);
            } else if there.is_dir() {
                return Err(refuse(path, "cannot be written: it is a folder"));
            } else if there.is_file() {
                let there = Some(there);
                return Ok(Self::File { place, there });
            } else {
                return Ok(Self::Stream(place));
            }
        }
        let reason = format!("cannot be written: it leads through more than {MOST_LINKS} links");
        Err(refuse(path, reason))
    }
}

/// The target, if `place` is a descriptor of a process, a link in `/proc` on Linux. It may lead to a file to
/// which the caller appends, which must not be replaced.
fn descriptor(place: &Path) -> Option<Target> {
    let folder = place.parent()?;
    if !(cfg!(target_os = "linux") && folder.ends_with("fd")) {
        return None;
    }
    let folder = fs::canonicalize(folder).ok()?;
    if !folder.starts_with("/proc") {
        return None;
    }
    let own = folder.starts_with(format!("/proc/{}", std::process::id()));
    Some(match place.file_name() {
        Some(name) if own && name == "1" => Target::Output,
        _ => Target::Stream(place.to_path_buf()),
    })
}

/// Opens a stream for appending if possible, as it may lead to a file.
fn open_stream(place: &Path) -> io::Result<File> {
    let open = |append| File::options().write(true).append(append).open(place);
    open(true).or_else(|_| open(false))
}

/// Refuses to replace a read-only file: a rename requires write permission for the folder only.
fn may_replace(place: &Path, there: Option<&fs::Metadata>) -> io::Result<()> {
    match there {
        Some(_) => File::options().write(true).open(place).map(drop),
        None => Ok(()),
    }
}

fn replace(place: &Path, there: Option<&fs::Metadata>, bytes: &[u8]) -> io::Result<()> {
    may_replace(place, there)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut part = Part::create(place, there)?;
        part.file.write_all(bytes)?;
        if let Some(there) = there {
            part.file.set_permissions(kept(&part.file, there))?;
        }
        part.file.sync_all()?;
        match part.rename(place) {
            // Locks may not work across hosts, so another process may have removed the file.
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < ATTEMPTS => {}
            renamed => {
                renamed?;
                break;
            }
        }
    }
    let folder = folder_of(place);
    sweep(folder);
    sync(folder)
}

/// The permissions for the new file: those of the old file, whose owner is kept if the system allows it.
#[cfg(unix)]
fn kept(file: &File, there: &fs::Metadata) -> Permissions {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let owner = |m: &fs::Metadata| (m.uid(), m.gid());
    let (wanted, mode) = (owner(there), there.permissions().mode());
    let has = |own: io::Result<fs::Metadata>| own.is_ok_and(|own| owner(&own) == wanted);
    if has(file.metadata()) || fchown(file, Some(wanted.0), Some(wanted.1)).is_ok() {
        return there.permissions();
    }
    // If the owner changes, drop the setuid and setgid bits.
    Permissions::from_mode(mode & 0o1777)
}

#[cfg(not(unix))]
fn kept(_: &File, there: &fs::Metadata) -> Permissions {
    there.permissions()
}

/// A temporary file, locked by its writer, and removed on drop unless renamed.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// Creates a file beside `place`. Until it is renamed, it is not readable by more users than the old file.
    fn create(place: &Path, there: Option<&fs::Metadata>) -> io::Result<Self> {
        let folder = folder_of(place);
        let mut last = io::Error::from(ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let path = folder.join(format!("{PREFIX}{:016x}{SUFFIX}", random()));
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            if there.is_some() {
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            }
            #[cfg(not(unix))]
            let _ = there;
            let file = match options.open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    last = error;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // A concurrent sweep may remove the file before it is locked; then try again.
            let locked = !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
            let part = Self { path, file };
            if locked && fs::symlink_metadata(&part.path).is_ok() {
                return Ok(part);
            }
        }
        Err(last)
    }

    fn rename(mut self, place: &Path) -> io::Result<()> {
        fs::rename(&self.path, place)?;
        // Nothing is left to remove.
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.path != Path::new("") {
            // If removal fails, the next write removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A random number that differs between threads, processes and machines.
fn random() -> u64 {
    RandomState::new().hash_one((std::process::id(), std::time::SystemTime::now()))
}

fn folder_of(place: &Path) -> &Path {
    match place.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Removes temporary files whose writers have ended. Files that cannot be examined are kept.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(is_part);
        if !is_part || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if let Ok(file) = File::options().read(true).write(true).open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_part(name: &str) -> bool {
    let middle = name
        .strip_prefix(PREFIX)
        .and_then(|n| n.strip_suffix(SUFFIX));
    middle.is_some_and(|digits| {
        digits.len() == 16
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Makes a rename durable. Errors of file systems that cannot sync folders, and of unreadable folders, are
/// ignored.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    let Ok(opened) = File::open(folder) else {
        return Ok(());
    };
    match opened.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

fn not_written(path: &Path, error: &io::Error) -> Error {
    refuse(path, format!("cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::is_part;

    #[test]
    fn only_names_of_our_own_pattern_are_swept() {
        assert!(is_part(".bptt-0123456789abcdef.part"), "our own");
        for other in [
            ".bptt-0123456789abcde.part",
            ".bptt-0123456789ABCDEF.part",
            ".bptt-0123456789abcdef.part2",
            "bptt-0123456789abcdef.part",
            ".kept.npz.1234.part",
            ".bptt-é123456789abcde.part",
            ".part",
        ] {
            assert!(!is_part(other), "{other}");
        }
    }
}
