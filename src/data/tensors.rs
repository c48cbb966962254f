//! The `.safetensors` format: a header in JSON, then the entries of all arrays.

use std::collections::HashSet;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Arrays;
use super::array::Array;
use super::npy::{MOST_AXES, entries, fill};

/// The longest header the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// The bytes of memory per byte of a file: one for the file and at most two for the arrays, where narrow types
/// are widened.
pub(super) const MEMORY: usize = 3;

/// Checks the first eight bytes of a file, the length of its header.
pub(super) fn begins(bytes: &[u8]) -> Result<(), String> {
    let length = bytes.try_into().map(u64::from_le_bytes);
    match length {
        Ok(1..=LONGEST_HEADER) => Ok(()),
        _ => Err("is not a .safetensors file".into()),
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Arrays, String> {
    // Two tensors with the same name usually leave a gap in the data; report the name instead of the gap.
    if let Some(name) = header(bytes).and_then(repeated) {
        return Err(format!("its header has the key `{name}` twice"));
    }
    let broken = |error| format!("is not a .safetensors file, or is damaged: {error}");
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut names: Vec<&str> = file.names();
    names.sort_unstable();
    let mut arrays = Arrays::new();
    for name in names {
        let tensor = file.tensor(name).map_err(broken)?;
        let array = array(&tensor).map_err(|reason| format!("array `{name}` {reason}"))?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// The JSON header of a file.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// A key that occurs twice in an object of a JSON text; the `safetensors` crate keeps the last.
fn repeated(json: &[u8]) -> Option<String> {
    let mut objects: Vec<HashSet<String>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' => objects.push(HashSet::new()),
            b'}' => drop(objects.pop()),
            b'"' => {
                let start = at;
                at += 1;
                while *json.get(at)? != b'"' {
                    at += 1 + usize::from(json[at] == b'\\');
                }
                let after = json[at + 1..].iter().find(|b| !b.is_ascii_whitespace());
                if after == Some(&b':') {
                    let key: String = serde_json::from_slice(&json[start..=at]).ok()?;
                    if !objects.last_mut()?.insert(key.clone()) {
                        return Some(key);
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn array(tensor: &TensorView<'_>) -> Result<Array, String> {
    let (shape, data) = (tensor.shape(), tensor.data());
    if shape.len() > MOST_AXES {
        return Err(format!(
            "has {} axes, expected at most {MOST_AXES}",
            shape.len()
        ));
    }
    match tensor.dtype() {
        Dtype::F32 => Ok(Array::F32(fill(shape, data, f32::from_le_bytes)?)),
        Dtype::F64 => Ok(Array::F64(fill(shape, data, f64::from_le_bytes)?)),
        Dtype::I64 => Ok(Array::Int(fill(shape, data, i64::from_le_bytes)?)),
        Dtype::I32 => Ok(Array::Int(fill(shape, data, |b| {
            i32::from_le_bytes(b).into()
        })?)),
        other => Err(format!(
            "has entries of type {other:?}, expected F32, F64, I32 or I64"
        )),
    }
}

pub(super) fn bytes(arrays: &Arrays) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot be made: {error}");
    let data: Vec<(&str, &Array, Vec<u8>)> =
        arrays.iter().map(|(n, a)| (n, a, entries(a))).collect();
    let views = data.iter().map(|(name, array, bytes)| {
        let dtype = match array {
            Array::F32(_) => Dtype::F32,
            Array::F64(_) => Dtype::F64,
            Array::Int(_) => Dtype::I64,
        };
        Ok((
            *name,
            TensorView::new(dtype, array.shape().to_vec(), bytes)?,
        ))
    });
    let views: Result<Vec<_>, _> = views.collect();
    safetensors::serialize(views.map_err(failed)?, None).map_err(failed)
}
