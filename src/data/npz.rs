//! NumPy's `.npz` format: a zip archive with one `.npy` member per array.

use std::collections::HashSet;
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::file::{Format, Request};
use super::{Arrays, npy};

/// The bytes of a member that are read to find its header.
const BEGINNING: u64 = 1 << 17;

pub(super) const FORMAT: Format = Format {
    extensions: &["npz"],
    begins,
    // Its arrays are counted as they are read.
    memory: |bytes| Some(bytes.len()),
    read,
    write: Some(bytes),
};

/// Checks the first bytes of an archive.
fn begins(bytes: &[u8]) -> Result<(), String> {
    match bytes.starts_with(b"PK") {
        true => Ok(()),
        false => Err("is not a .npz archive".into()),
    }
}

/// Reads the arrays of an archive that are wanted.
fn read(bytes: &[u8], request: &Request<'_>) -> Result<Arrays, String> {
    let broken = |error| format!("is not a .npz archive, or is damaged: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if let Some(twice) = repeated(bytes, archive.central_directory_start()) {
        let name = twice.strip_suffix(".npy").unwrap_or(&twice);
        return Err(format!("array `{name}` occurs twice"));
    }
    let mut arrays = Arrays::new();
    // An archive without compression expands only where narrow types are widened, to eight times their size at most.
    let mut left = request.limit.max(8 * bytes.len() as u64);
    for i in 0..archive.len() {
        let file = archive.name_for_index(i).unwrap_or_default().to_owned();
        let name = file.strip_suffix(".npy");
        if request.inputs.is_some() && !name.is_some_and(|name| request.wants(name)) {
            arrays.unused.push(name.unwrap_or(&file).to_owned());
            continue;
        }
        let Some(name) = name else {
            return Err(format!("`{file}` in the archive is not a .npy array"));
        };
        let mut member = archive.by_index(i).map_err(broken)?;
        let of = |reason: String| format!("array `{name}` {reason}");
        let damaged = |error| of(format!("is damaged: {error}"));
        let mut found = Vec::new();
        (&mut member)
            .take(BEGINNING)
            .read_to_end(&mut found)
            .map_err(damaged)?;
        if arrays.has(name) {
            return Err(of("occurs twice".into()));
        }
        let header = npy::Header::read(&found).map_err(of)?;
        let ty = match header.ty() {
            Ok(ty) => ty,
            Err(reason) => {
                arrays.insert_read(name, Err(of(reason)));
                continue;
            }
        };
        let expected = header.bytes(ty).map_err(of)?;
        let stored = match member.compression() {
            CompressionMethod::Stored => usize::try_from(member.compressed_size()).ok(),
            _ => None,
        };
        // A header may promise more bytes than memory has.
        if let Some(stored) = stored.filter(|stored| (*stored as u64) < expected) {
            return Err(of(header.other_length(stored.min(bytes.len()), expected)));
        }
        let memory = header.memory(ty).map_err(of)?;
        if memory > left {
            return Err(of(format!(
                "expands to {memory} bytes, which with the other arrays is more than the limit \
                 of {}; an archive that is not compressed has no limit",
                request.limit
            )));
        }
        left -= memory;
        // One byte more than expected, to detect excess data.
        let more = (expected + 1).saturating_sub(found.len() as u64);
        (&mut member)
            .take(more)
            .read_to_end(&mut found)
            .map_err(damaged)?;
        let entries = header.entries(ty, &found).map_err(of)?;
        arrays.insert_read(name, entries.array(ty).map_err(of));
    }
    Ok(arrays)
}

/// The name of a member listed twice in the central directory of an archive, of which the `zip` crate would
/// keep the last. See section 4.3.12 of the zip specification.
fn repeated(bytes: &[u8], start: u64) -> Option<String> {
    const FIXED: usize = 46;
    let mut rest = bytes.get(usize::try_from(start).ok()?..)?;
    let mut seen = HashSet::new();
    while rest.starts_with(b"PK\x01\x02") {
        let length = |at: usize| {
            let bytes = rest.get(at..at + 2)?.try_into().ok()?;
            Some(usize::from(u16::from_le_bytes(bytes)))
        };
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let text = rest.get(FIXED..FIXED + name)?;
        if !seen.insert(text) {
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(FIXED + name + extra + comment..)?;
    }
    None
}

/// Writes an archive without compression: gradients hardly compress.
fn bytes(arrays: &Arrays) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot be made: {error}");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays.iter() {
        let (header, entries) = (npy::header(array), npy::entries(array));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(u32::try_from(header.len() + entries.len()).is_err());
        archive
            .start_file(format!("{name}.npy"), options)
            .map_err(failed)?;
        let written = archive
            .write_all(&header)
            .and_then(|()| archive.write_all(&entries));
        written.map_err(|error| format!("cannot be made: {error}"))?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}
