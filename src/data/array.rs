//! An array in a file: real numbers in single or double precision, integers or booleans.

use ndarray::ArrayD;

use crate::op::Scalar;

/// An array as stored in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Single precision.
    F32(ArrayD<f32>),
    /// Double precision.
    F64(ArrayD<f64>),
    /// Integers of any width.
    Int(ArrayD<i64>),
    /// Booleans.
    Bool(ArrayD<bool>),
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

impl Element for bool {
    fn array(array: ArrayD<Self>) -> Array {
        Array::Bool(array)
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
            Self::Bool(a) => a.shape(),
        }
    }

    /// The type of the entries, as text.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::Int(_) => "integers",
            Self::Bool(_) => "booleans",
        }
    }

    /// The entries as real numbers, rounded if `F` is narrower; booleans as 0 and 1.
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
            Self::Bool(a) => a.mapv(|x| F::of(f64::from(u8::from(x)))),
        }
    }
}
