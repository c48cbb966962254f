//! The types of entries in files, and arrays from bytes. Narrow types are widened, which is exact.

use ndarray::{ArrayD, Dimension, IxDyn, ShapeBuilder};

use super::array::Array;

/// A type of entries that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Type {
    /// The bytes of an entry in a file.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// The bytes of an entry in memory.
    pub(super) const fn memory(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::F32 => 4,
            _ => 8,
        }
    }
}

/// The entries of an array in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'b> {
    pub(super) shape: &'b [usize],
    pub(super) bytes: &'b [u8],
    pub(super) is_big_endian: bool,
    /// True if the first index changes fastest.
    pub(super) is_fortran: bool,
}

impl Entries<'_> {
    pub(super) fn array(&self, ty: Type) -> Result<Array, String> {
        Ok(match ty {
            Type::F16 => Array::F32(self.fill(|b| half(u16::from_le_bytes(b)))?),
            Type::Bf16 => {
                Array::F32(self.fill(|b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))?)
            }
            Type::F32 => Array::F32(self.fill(f32::from_le_bytes)?),
            Type::F64 => Array::F64(self.fill(f64::from_le_bytes)?),
            Type::I8 => Array::Int(self.fill(|b| i8::from_le_bytes(b).into())?),
            Type::I16 => Array::Int(self.fill(|b| i16::from_le_bytes(b).into())?),
            Type::I32 => Array::Int(self.fill(|b| i32::from_le_bytes(b).into())?),
            Type::I64 => Array::Int(self.fill(i64::from_le_bytes)?),
            Type::U8 => Array::Int(self.fill(|b| u8::from_le_bytes(b).into())?),
            Type::U16 => Array::Int(self.fill(|b| u16::from_le_bytes(b).into())?),
            Type::U32 => Array::Int(self.fill(|b| u32::from_le_bytes(b).into())?),
            Type::U64 => Array::Int(signed(&self.fill(u64::from_le_bytes)?)?),
            Type::Bool => Array::Bool(self.fill(|[b]: [u8; 1]| b != 0)?),
        })
    }

    /// An array of entries of `N` bytes each.
    fn fill<T: Clone, const N: usize>(
        &self,
        of: impl Fn([u8; N]) -> T,
    ) -> Result<ArrayD<T>, String> {
        let entries = self.bytes.chunks_exact(N);
        let entries = entries.filter_map(|c| <[u8; N]>::try_from(c).ok());
        let entries: Vec<T> = entries
            .map(|mut entry| {
                if self.is_big_endian {
                    entry.reverse();
                }
                of(entry)
            })
            .collect();
        let (found, shape) = (entries.len(), self.shape);
        let array = ArrayD::from_shape_vec(IxDyn(shape).set_f(self.is_fortran), entries);
        let array = array.map_err(|_| {
            let found = match found {
                1 => "1 entry".into(),
                n => format!("{n} entries"),
            };
            format!("has shape {shape:?}, which is too large or does not fit its {found}")
        })?;
        Ok(match self.is_fortran {
            true => array.as_standard_layout().into_owned(),
            false => array,
        })
    }
}

/// A number in the half precision of IEEE 754: five bits of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from((bits >> 10) & 0x1f), u32::from(bits & 0x3ff));
    let size = match exponent {
        // A multiple of 2^-24.
        0 => f32::from(bits & 0x3ff) / 16_777_216.0,
        0x1f => f32::from_bits(0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(((exponent + 112) << 23) | (fraction << 13)),
    };
    match bits >> 15 {
        0 => size,
        _ => -size,
    }
}

fn signed(large: &ArrayD<u64>) -> Result<ArrayD<i64>, String> {
    let mut beyond = large.indexed_iter();
    match beyond.find(|(_, x)| i64::try_from(**x).is_err()) {
        Some((index, x)) => Err(format!(
            "has the entry {x} at {:?} (counted from 0), expected at most {}; for real numbers, \
             save it with `array.astype(np.float64)`",
            index.as_array_view().to_vec(),
            i64::MAX
        )),
        None => Ok(large.mapv(|x| i64::try_from(x).unwrap_or(i64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_precision_is_widened_exactly() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(number), "{bits:#x}");
        }
        assert!(
            half(0x7e00).is_nan() && half(0x8000).is_sign_negative(),
            "NaN and -0"
        );
    }
}
