//! The `.safetensors` format: a header in JSON, then the entries of all arrays.

use std::collections::HashSet;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use super::Arrays;
use super::array::Array;
use super::entries::{Entries, Type};
use super::file::{Format, Request};
use super::npy::{MOST_AXES, entries};
use crate::error::counted;

/// The longest header the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) const FORMAT: Format = Format {
    extensions: &["safetensors"],
    begins,
    memory,
    read,
    write: Some(bytes),
};

/// Checks the first eight bytes of a file, the length of its header.
fn begins(bytes: &[u8]) -> Result<(), String> {
    let length = bytes.try_into().map(u64::from_le_bytes);
    match length {
        Ok(1..=LONGEST_HEADER) => Ok(()),
        _ => Err("is not a .safetensors file".into()),
    }
}

/// The memory in bytes of a file and its arrays. A damaged file is left to [`read`].
fn memory(bytes: &[u8]) -> Option<usize> {
    let Ok(file) = SafeTensors::deserialize(bytes) else {
        return Some(bytes.len());
    };
    file.tensors()
        .iter()
        .try_fold(bytes.len(), |all, (_, tensor)| {
            let memory = ty(tensor.dtype()).map_or(Some(0), |ty| {
                (tensor.data().len() / ty.width()).checked_mul(ty.memory())
            });
            all.checked_add(memory?)
        })
}

fn read(bytes: &[u8], request: &Request<'_>) -> Result<Arrays, String> {
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
        if !request.wants(name) {
            arrays.unused.push(name.to_owned());
            continue;
        }
        let tensor = file.tensor(name).map_err(broken)?;
        let of = |reason: String| format!("array `{name}` {reason}");
        let axes = tensor.shape().len();
        if axes > MOST_AXES {
            return Err(of(format!("has {axes} axes, expected at most {MOST_AXES}")));
        }
        let array = match ty(tensor.dtype()) {
            Ok(ty) => {
                let entries = Entries {
                    shape: tensor.shape(),
                    bytes: tensor.data(),
                    is_big_endian: false,
                    is_fortran: false,
                };
                entries.array(ty)
            }
            Err(reason) => Err(reason),
        };
        arrays.insert_read(name, array.map_err(of));
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

/// The type of the entries, or the reason why it cannot be read.
fn ty(dtype: Dtype) -> Result<Type, String> {
    Ok(match dtype {
        Dtype::F16 => Type::F16,
        Dtype::BF16 => Type::Bf16,
        Dtype::F32 => Type::F32,
        Dtype::F64 => Type::F64,
        Dtype::I8 => Type::I8,
        Dtype::I16 => Type::I16,
        Dtype::I32 => Type::I32,
        Dtype::I64 => Type::I64,
        Dtype::U8 => Type::U8,
        Dtype::U16 => Type::U16,
        Dtype::U32 => Type::U32,
        Dtype::U64 => Type::U64,
        Dtype::BOOL => Type::Bool,
        other => {
            let cure = match other {
                Dtype::C64 => "save `tensor.real` and `tensor.imag` as two tensors",
                _ => "save it with `tensor.to(torch.float32)`",
            };
            return Err(format!(
                "has entries of type {other:?}, expected F16, BF16, F32, F64, integers or BOOL; {cure}"
            ));
        }
    })
}

fn bytes(arrays: &Arrays) -> Result<Vec<u8>, String> {
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
