//! The entries of the arrays of a model.

use std::rc::Rc;

use ndarray::{ArrayD, IxDyn};

use super::proto::{Tensor, entry};
use super::value::{Kind, Known};
use crate::data::Array;
use crate::data::entries::{Entries, Type};
use crate::error::printable;

/// The most axes of an array.
const MOST_AXES: usize = 16;

/// The array of a message, as real numbers.
pub(super) fn known(tensor: &Tensor) -> Result<Known, String> {
    let named = |reason: &str| format!("array `{}` {reason}", printable(&tensor.name));
    if tensor.location == 1 {
        return Err(named(
            "has its entries in another file; save the model in one: `onnx.save(onnx.load(path), path, save_as_external_data=False)`",
        ));
    }
    let dims = tensor.dims.iter().map(|d| usize::try_from(*d));
    let shape = dims.collect::<Result<Vec<usize>, _>>();
    let shape = shape.map_err(|_| named(&format!("has the shape {:?}", tensor.dims)))?;
    let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let count = count.filter(|_| shape.len() <= MOST_AXES);
    let count =
        count.ok_or_else(|| named(&format!("has the shape {shape:?}, which is too large")))?;
    let (ty, kind) = match tensor.ty {
        entry::F32 => (Type::F32, Kind::Real),
        entry::F64 => (Type::F64, Kind::Real),
        entry::F16 => (Type::F16, Kind::Real),
        entry::BF16 => (Type::Bf16, Kind::Real),
        entry::U8 => (Type::U8, Kind::Int),
        entry::I8 => (Type::I8, Kind::Int),
        entry::U16 => (Type::U16, Kind::Int),
        entry::I16 => (Type::I16, Kind::Int),
        entry::I32 => (Type::I32, Kind::Int),
        entry::I64 => (Type::I64, Kind::Int),
        entry::U32 => (Type::U32, Kind::Int),
        entry::U64 => (Type::U64, Kind::Int),
        entry::BOOL => (Type::Bool, Kind::Bool),
        other => {
            return Err(named(&format!(
                "has entries of type {other} of `onnx.TensorProto.DataType`, expected numbers of 8 to 64 bits or booleans"
            )));
        }
    };
    let numbers: Vec<f64> = if !tensor.raw.is_empty() || count == 0 {
        if count.checked_mul(ty.width()) != Some(tensor.raw.len()) {
            return Err(named(&format!(
                "has the shape {shape:?}, which does not fit its {} bytes of entries",
                tensor.raw.len()
            )));
        }
        let entries = Entries {
            shape: &shape,
            bytes: &tensor.raw,
            is_big_endian: false,
            is_fortran: false,
        };
        let array: Array = entries.array(ty).map_err(|reason| named(&reason))?;
        array.real::<f64>().into_iter().collect()
    } else {
        listed(tensor)
    };
    let found = numbers.len();
    let array = match found == count {
        true => ArrayD::from_shape_vec(IxDyn(&shape), numbers).ok(),
        false => None,
    };
    let array = array.ok_or_else(|| {
        named(&format!(
            "has the shape {shape:?}, which does not fit its {found} entries"
        ))
    })?;
    Ok(Known {
        array: Rc::new(array),
        kind,
        source: None,
    })
}

/// The entries in the list of their type.
#[expect(
    clippy::cast_precision_loss,
    reason = "integers beyond 2^53 are marks for the end of an axis"
)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "half precision is the lower 16 bits of an entry"
)]
fn listed(tensor: &Tensor) -> Vec<f64> {
    let half = |is_brain: bool| {
        let bytes: Vec<u8> = tensor
            .ints
            .iter()
            .flat_map(|i| (*i as u16).to_le_bytes())
            .collect();
        let entries = Entries {
            shape: &[tensor.ints.len()],
            bytes: &bytes,
            is_big_endian: false,
            is_fortran: false,
        };
        let array = entries.array(if is_brain { Type::Bf16 } else { Type::F16 });
        array.map_or_else(|_| Vec::new(), |a| a.real::<f64>().into_iter().collect())
    };
    match tensor.ty {
        entry::F32 => tensor.floats.iter().map(|x| f64::from(*x)).collect(),
        entry::F64 => tensor.doubles.clone(),
        entry::F16 => half(false),
        entry::BF16 => half(true),
        entry::I64 => tensor.longs.iter().map(|x| *x as f64).collect(),
        entry::U32 | entry::U64 => tensor.unsigned.iter().map(|x| *x as f64).collect(),
        _ => tensor.ints.iter().map(|x| f64::from(*x)).collect(),
    }
}
