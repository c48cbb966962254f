//! The `.safetensors` format: a header in JSON, then the entries of all arrays.

use std::collections::HashSet;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use super::Arrays;
use super::array::Array;
use super::npy::{MOST_AXES, entries, fill};
use crate::error::counted;

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
    let broken = |error| broken(bytes.len(), &error);
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

/// The description of a damaged file.
fn broken(size: usize, error: &SafeTensorError) -> String {
    let damage = match error {
        SafeTensorError::InvalidHeader(_)
        | SafeTensorError::InvalidHeaderStart
        | SafeTensorError::InvalidHeaderDeserialization(_) => {
            "its header is not the expected JSON, `{\"x\": {\"dtype\": \"F64\", \"shape\": [2], …}}`".into()
        }
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::HeaderTooLarge
        | SafeTensorError::InvalidHeaderLength => {
            format!("its header does not end within its {}", counted(size, "byte"))
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("the entries of array `{name}` do not follow those of the array before it")
        }
        SafeTensorError::TensorInvalidInfo => {
            "the bytes of an array do not fit its shape and type".into()
        }
        SafeTensorError::MetadataIncompleteBuffer => format!(
            "its {} are not as many as its header describes",
            counted(size, "byte")
        ),
        SafeTensorError::ValidationOverflow => "the shape of an array is too large".into(),
        other => format!("{other}"),
    };
    format!(
        "is not a .safetensors file, or is damaged: {damage}; write it again, with \
         `safetensors.numpy.save_file`"
    )
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
        Dtype::BOOL => Ok(Array::Bool(fill(shape, data, |[b]: [u8; 1]| b != 0)?)),
        other => Err(format!(
            "has entries of type {other:?}, expected F32, F64, I32, I64 or BOOL; save it with \
             `tensor.to(torch.float64)`, or `tensor.to(torch.int64)` for integers"
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
            Array::Bool(_) => Dtype::BOOL,
        };
        Ok((
            *name,
            TensorView::new(dtype, array.shape().to_vec(), bytes)?,
        ))
    });
    let views: Result<Vec<_>, _> = views.collect();
    safetensors::serialize(views.map_err(failed)?, None).map_err(failed)
}
