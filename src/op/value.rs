//! The numbers an evaluator computes with.

use std::fmt::Debug;

use ndarray::{ArrayD, ArrayView1, ArrayView2, IxDyn, NdFloat};

use super::CustomOp;

/// A floating-point type the engine runs in: `f64` or `f32`.
pub trait Scalar: NdFloat + std::iter::Sum + Default {
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// The value as an `f64`, exactly.
    fn to_f64(self) -> f64;
    /// Calls a user's op in this type.
    #[doc(hidden)]
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self>;
    /// `ln(1 + exp(x))` without overflow or cancellation.
    fn softplus(self) -> Self {
        self.max(Self::zero()) + (-self.abs()).exp().ln_1p()
    }
}

impl Scalar for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self> {
        let views: Vec<_> = args.iter().map(|v| v.real().view()).collect();
        op.eval(&views)
    }
}

impl Scalar for f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to f32 is what is asked for"
    )]
    fn of(x: f64) -> Self {
        x as Self
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self> {
        let views: Vec<_> = args.iter().map(|v| v.real().view()).collect();
        op.eval_f32(&views)
    }
}

/// The value of one node: an array of rank 0, 1 or 2, or a class.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<F> {
    /// Real numbers.
    Real(ArrayD<F>),
    /// A class.
    Class(usize),
}

impl<F: Scalar> Value<F> {
    /// A rank-0 value.
    pub fn scalar(x: F) -> Self {
        Self::Real(ArrayD::from_elem(IxDyn(&[]), x))
    }

    /// The numbers.
    ///
    /// # Panics
    /// When this is a class: the types of a tape rule that out.
    pub(crate) fn real(&self) -> &ArrayD<F> {
        match self {
            Self::Real(a) => a,
            Self::Class(_) => unreachable!("the tape is typed: a real value stands here"),
        }
    }

    pub(crate) fn class(&self) -> usize {
        match self {
            Self::Class(c) => *c,
            Self::Real(_) => unreachable!("the tape is typed: a class stands here"),
        }
    }

    pub(crate) fn item(&self) -> F {
        *self
            .real()
            .first()
            .expect("the tape is typed: a scalar stands here")
    }

    pub(crate) fn vector(&self) -> ArrayView1<'_, F> {
        self.real()
            .view()
            .into_dimensionality()
            .expect("the tape is typed: a vector stands here")
    }

    pub(crate) fn matrix(&self) -> ArrayView2<'_, F> {
        self.real()
            .view()
            .into_dimensionality()
            .expect("the tape is typed: a matrix stands here")
    }

    pub(crate) fn rank(&self) -> usize {
        self.real().ndim()
    }

    /// Whether every number is finite; a class always is.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Real(a) => a.iter().all(|x| x.is_finite()),
            Self::Class(_) => true,
        }
    }
}

impl<F: Scalar, D: ndarray::Dimension> From<ndarray::Array<F, D>> for Value<F> {
    fn from(a: ndarray::Array<F, D>) -> Self {
        Self::Real(a.into_dyn())
    }
}
