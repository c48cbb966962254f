//! An array in a file: real numbers in single or double precision, or integers.

use ndarray::ArrayD;

use crate::op::Scalar;

/// An array as stored in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Single precision.
    F32(ArrayD<f32>),
    /// Double precision.
    F64(ArrayD<f64>),
    /// Integers of any width; booleans as 0 and 1.
    Int(ArrayD<i64>),
}

/// The types of entries of an [`Array`].
pub trait Element: Sized {
    /// Wraps an array.
    fn array(array: ArrayD<Self>) -> Array;
}

impl Element for f32 {
    fn array(array: ArrayD<Self>) -> Array {
        Array::F32(array)
    }
}

impl Element for f64 {
    fn array(array: ArrayD<Self>) -> Array {
        Array::F64(array)
    }
}

impl Element for i64 {
    fn array(array: ArrayD<Self>) -> Array {
        Array::Int(array)
    }
}

impl Array {
    /// The sizes of the axes.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(a) => a.shape(),
            Self::F64(a) => a.shape(),
            Self::Int(a) => a.shape(),
        }
    }

    /// The type of the entries, as text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Int(_) => "integers",
        }
    }

    /// The entries as real numbers, rounded if `F` is narrower.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers given for real numbers are rounded like any others"
    )]
    pub fn real<F: Scalar>(&self) -> ArrayD<F> {
        match self {
            Self::F32(a) => a.mapv(|x| F::of(x.into())),
            Self::F64(a) => a.mapv(F::of),
            Self::Int(a) => a.mapv(|x| F::of(x as f64)),
        }
    }

    /// The entries as classes; an error if they are not integers. A negative entry becomes `usize::MAX`, which
    /// is refused only if it is used: `-100` often marks a missing class.
    pub(super) fn classes(&self) -> Result<ArrayD<usize>, String> {
        match self {
            Self::Int(a) => Ok(a.mapv(|x| usize::try_from(x).unwrap_or(usize::MAX))),
            _ => Err(format!("expected integers, found {}", self.kind())),
        }
    }

    /// The entries as counts; an error if they are not integers or if one is negative.
    pub(super) fn counts(&self) -> Result<ArrayD<usize>, String> {
        let Self::Int(a) = self else {
            return Err(format!("expected integers, found {}", self.kind()));
        };
        if let Some(bad) = a.iter().find(|x| usize::try_from(**x).is_err()) {
            return Err(format!("expected integers from 0 on, found {bad}"));
        }
        Ok(a.mapv(|x| usize::try_from(x).unwrap_or(0)))
    }
}
