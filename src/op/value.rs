//! The numbers and values of the evaluator.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::{ArrayD, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMutD, IxDyn, NdFloat};

use super::elementary::Elementary;
use super::entry::Eval;
use super::{CustomOp, Op, Pointwise};

/// The floating-point type of an evaluation: `f64` or `f32`.
#[expect(
    private_bounds,
    reason = "what the evaluator needs is no concern of a user's"
)]
pub trait Scalar: NdFloat + std::iter::Sum + Default + Elementary {
    /// The nearest value of this type to `x`.
    fn of(x: f64) -> Self;
    /// The value as an `f64`; exact.
    fn to_f64(self) -> f64;
    /// Calls a custom op with arguments of this type.
    #[doc(hidden)]
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self>;
    /// Calls a custom op on many rows.
    #[doc(hidden)]
    fn call_rows(
        op: &dyn CustomOp,
        args: &[ArrayViewD<'_, Self>],
        out: ArrayViewMutD<'_, Self>,
    ) -> Result<(), String>;
    /// The value of a pointwise op for one entry.
    #[doc(hidden)]
    fn entry(op: Pointwise, args: [Self; 2]) -> Self;
    /// The value of an op. As a method of two types, and not a generic function, it is compiled
    /// once with this crate and not again in every crate that evaluates.
    #[doc(hidden)]
    fn value(op: &Op, args: &[&Value<Self>]) -> Value<Self>;
    /// `ln(1 + exp(x))` without overflow or cancellation.
    fn softplus(self) -> Self {
        self.max(Self::zero()) + Elementary::ln_1p(Elementary::exp(-self.abs()))
    }
}

impl Scalar for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn entry(op: Pointwise, args: [Self; 2]) -> Self {
        op.visit(Eval(args))
    }
    fn value(op: &Op, args: &[&Value<Self>]) -> Value<Self> {
        op.eval(args)
    }
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self> {
        let views: Vec<_> = args.iter().map(|v| v.real().view()).collect();
        op.eval(&views)
    }
    fn call_rows(
        op: &dyn CustomOp,
        args: &[ArrayViewD<'_, Self>],
        out: ArrayViewMutD<'_, Self>,
    ) -> Result<(), String> {
        op.eval_rows(args, out)
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
    fn entry(op: Pointwise, args: [Self; 2]) -> Self {
        op.visit(Eval(args))
    }
    fn value(op: &Op, args: &[&Value<Self>]) -> Value<Self> {
        op.eval(args)
    }
    fn call(op: &dyn CustomOp, args: &[&Value<Self>]) -> ArrayD<Self> {
        let views: Vec<_> = args.iter().map(|v| v.real().view()).collect();
        op.eval_f32(&views)
    }
    fn call_rows(
        op: &dyn CustomOp,
        args: &[ArrayViewD<'_, Self>],
        out: ArrayViewMutD<'_, Self>,
    ) -> Result<(), String> {
        op.eval_rows_f32(args, out)
    }
}

/// The sum of many numbers, with an error of a few units of roundoff of the sum of their absolute
/// values: each addition compensates the rounding error of the previous one (Kahan 1965).
pub(super) fn total<F: Scalar>(terms: impl Iterator<Item = F>) -> F {
    let (mut sum, mut lost) = (F::zero(), F::zero());
    for term in terms {
        let term = term + lost;
        let next = sum + term;
        let part = next - sum;
        lost = (sum - (next - part)) + (term - part);
        // An infinity has no rounding error.
        if lost.is_nan() {
            lost = F::zero();
        }
        sum = next;
    }
    sum
}

/// The number type of the pointwise rows: a number, or a vector register of numbers.
pub(crate) trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    fn recip(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn powi(self, n: i32) -> Self;
    fn powf(self, p: Self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tanh(self) -> Self;
    fn sigmoid(self) -> Self;
    fn softplus(self) -> Self;
    fn abs(self) -> Self;
    /// −1, 0 or 1, or NaN.
    fn sign(self) -> Self;
    /// The larger of two numbers; unlike `f64::max`, NaN if either is NaN.
    fn larger(self, other: Self) -> Self;
    /// 1 where `self < other`, else 0.
    fn less(self, other: Self) -> Self;
    /// 1 where `self ≤ other`, else 0.
    fn less_eq(self, other: Self) -> Self;
    /// 1 where `self = other`, else 0.
    fn equal(self, other: Self) -> Self;
    /// The product, but 0 where either factor is 0.
    fn strong_mul(self, other: Self) -> Self;
    /// A function of numbers, computed in `f64` and rounded.
    fn with(self, other: Self, function: fn([f64; 2]) -> f64) -> Self;
}

macro_rules! number {
    ($float:ident) => {
        impl Number for $float {
            #[inline(always)]
            fn of(x: f64) -> Self {
                Scalar::of(x)
            }
            fn recip(self) -> Self {
                1.0 / self
            }
            fn exp(self) -> Self {
                Elementary::exp(self)
            }
            fn ln(self) -> Self {
                Elementary::ln(self)
            }
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            fn powi(self, n: i32) -> Self {
                Elementary::powi(self, n)
            }
            fn powf(self, p: Self) -> Self {
                Elementary::powf(self, p)
            }
            fn sin(self) -> Self {
                Elementary::sin(self)
            }
            fn cos(self) -> Self {
                Elementary::cos(self)
            }
            fn tanh(self) -> Self {
                Elementary::tanh(self)
            }
            fn sigmoid(self) -> Self {
                1.0 / (1.0 + <Self as Elementary>::exp(-self))
            }
            fn softplus(self) -> Self {
                Scalar::softplus(self)
            }
            fn abs(self) -> Self {
                $float::abs(self)
            }
            fn sign(self) -> Self {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    self
                }
            }
            fn larger(self, other: Self) -> Self {
                if self > other || self.is_nan() {
                    self
                } else {
                    other
                }
            }
            fn less(self, other: Self) -> Self {
                if self < other { 1.0 } else { 0.0 }
            }
            fn less_eq(self, other: Self) -> Self {
                if self <= other { 1.0 } else { 0.0 }
            }
            fn equal(self, other: Self) -> Self {
                if self == other { 1.0 } else { 0.0 }
            }
            fn with(self, other: Self, function: fn([f64; 2]) -> f64) -> Self {
                Scalar::of(function([self.to_f64(), other.to_f64()]))
            }
            fn strong_mul(self, other: Self) -> Self {
                if self == 0.0 || other == 0.0 {
                    0.0
                } else {
                    self * other
                }
            }
        }
    };
}

number!(f64);
number!(f32);

/// The value of one node: an array of rank 0, 1 or 2, or a class.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<F> {
    /// Real numbers.
    Real(ArrayD<F>),
    /// A class.
    Class(usize),
}

impl<F: Scalar> Value<F> {
    /// A value of rank 0.
    pub fn scalar(x: F) -> Self {
        Self::Real(ArrayD::from_elem(IxDyn(&[]), x))
    }

    /// The array of numbers.
    ///
    /// # Panics
    /// If the value is a class, which the types of a tape rule out.
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

    /// Returns true if all numbers are finite; a class always is.
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
