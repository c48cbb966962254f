//! NumPy's archive of arrays: a zip file with one `.npy` member for each.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Arrays, npy};

/// Enough of a member to hold the header of an array.
const BEGINNING: u64 = 1 << 17;

/// Whether these are the first bytes of an archive.
pub(super) fn begins(bytes: &[u8]) -> Result<(), String> {
    match bytes.starts_with(b"PK") {
        true => Ok(()),
        false => Err("is not a .npz archive".into()),
    }
}

/// The arrays of an archive. What is compressed may expand to `limit` bytes.
pub(super) fn read(bytes: &[u8], limit: u64) -> Result<Arrays, String> {
    let broken = |error| format!("is not a .npz archive, or is damaged: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut arrays = Arrays::new();
    // Without compression only narrow integers expand, to eight bytes each.
    let mut left = limit.max(8 * bytes.len() as u64);
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(broken)?;
        let file = member.name().to_owned();
        let Some(name) = file.strip_suffix(".npy") else {
            return Err(format!("`{file}` in the archive is not a .npy array"));
        };
        let of = |reason: String| format!("array `{name}` {reason}");
        let damaged = |error| of(format!("is damaged: {error}"));
        let mut found = Vec::new();
        (&mut member)
            .take(BEGINNING)
            .read_to_end(&mut found)
            .map_err(damaged)?;
        let header = npy::Header::read(&found).map_err(of)?;
        let expected = header.bytes().map_err(of)?;
        let memory = header.memory().map_err(of)?;
        if memory > left {
            return Err(of(format!(
                "expands to {memory} bytes, which with the other arrays is more than the limit \
                 of {limit}; an archive that is not compressed has no limit"
            )));
        }
        left -= memory;
        // One byte more than there should be, to notice that there are more.
        let more = (expected + 1).saturating_sub(found.len() as u64);
        (&mut member)
            .take(more)
            .read_to_end(&mut found)
            .map_err(damaged)?;
        let array = header.array(&found).map_err(of)?;
        if arrays.get(name).is_some() {
            return Err(of("is there twice".into()));
        }
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// An archive, not compressed: the numbers of a gradient hardly shrink.
pub(super) fn bytes(arrays: &Arrays) -> Result<Vec<u8>, String> {
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
