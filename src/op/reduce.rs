//! Reductions that are neither pointwise nor linear; a row defines the value and the tangent.

use ndarray::Array1;

use super::call::{Call, Given, Made, Takes, ok};
use super::value::total;
use super::{Dense, Elementary, Expr, Notation, Reason, Scalar, Value};
use crate::shape::{Shape, Type};

/// The reductions of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reduce {
    /// `ln Σ exp(xᵢ)`, computed relative to the largest entry.
    LogSumExp,
    /// `exp(xᵢ) / Σ exp(xⱼ)`.
    Softmax,
    /// `xᵢ − ln Σ exp(xⱼ)`.
    LogSoftmax,
}

impl Reduce {
    /// All rows of the table.
    pub const ALL: &'static [Self] = &[Self::LogSumExp, Self::Softmax, Self::LogSoftmax];

    pub(super) const CALLS: &'static [Call] = &[
        Call::new(
            "logsumexp",
            "`ln Σ exp(xᵢ)`, of a vector or of each row or column",
            1,
            &[Takes::AxisIfAny],
            |given| Self::LogSumExp.over(given),
        ),
        Call::new(
            "softmax",
            "`exp(xᵢ) / Σ exp(xⱼ)`, of a vector or of each row or column",
            1,
            &[Takes::AxisIfAny],
            |given| Self::Softmax.over(given),
        ),
        Call::new(
            "log_softmax",
            "the logarithm of `softmax`, without cancellation",
            1,
            &[Takes::AxisIfAny],
            |given| Self::LogSoftmax.over(given),
        ),
    ];

    /// The reduction of a vector, or of each row or column of a matrix.
    fn over(self, given: &Given) -> Made {
        match given.axis {
            Some(axis) => ok(Dense::Along(self, axis)),
            None => ok(self),
        }
    }

    /// The name of the function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::CALLS[self as usize].name
    }

    pub(super) fn infer(self, args: &[Type]) -> Result<Type, Reason> {
        match args {
            [x] if x.is_real() && x.shape.rank() == 1 => Ok(Type {
                shape: if self == Self::LogSumExp {
                    Shape::Scalar
                } else {
                    x.shape
                },
                ..*x
            }),
            [_] => Err("it is defined for a vector"),
            _ => Err("it takes one argument"),
        }
    }

    pub(super) fn remedy(self, args: &[Type]) -> Option<&'static str> {
        let remedy = "of each row of a matrix, write `softmax(A, columns)`; of each column, `softmax(A, rows)`";
        (args.first()?.shape.rank() == 2).then_some(remedy)
    }

    pub(super) fn eval<F: Scalar>(self, args: &[&Value<F>]) -> Value<F> {
        let x = args[0].vector().to_vec();
        let mut out = vec![F::zero(); if self == Self::LogSumExp { 1 } else { x.len() }];
        // Bits that are the same on every machine.
        self.eval_row_by(&x, &mut out, Elementary::exp);
        match self {
            Self::LogSumExp => Value::scalar(out[0]),
            _ => Array1::from(out).into(),
        }
    }

    /// Writes the value for the entries `x` to `out`, without cancellation: logsumexp is the
    /// largest entry plus `ln(1 + the other terms)`.
    pub(crate) fn eval_row<F: Scalar>(self, x: &[F], out: &mut [F]) {
        // The system's function takes a third of the time.
        self.eval_row_by(x, out, |x| x.exp());
    }

    fn eval_row_by<F: Scalar>(self, x: &[F], out: &mut [F], exp: impl Fn(F) -> F) {
        let power = |x, shift| power(x, shift, &exp);
        let first = |at: usize, i: usize| if x[i] > x[at] { i } else { at };
        let at = (0..x.len()).reduce(first).unwrap_or(0);
        let is_finite = x[at].is_finite();
        let shift = if is_finite { x[at] } else { F::zero() };
        // The term of the largest entry is exactly 1; `ln_1p` adds it.
        let others = (0..x.len()).filter(|i| *i != at || !is_finite);
        let rest = total(others.map(|i| power(x[i], shift)));
        let (all, log) = if is_finite {
            (F::one() + rest, Elementary::ln_1p(rest))
        } else {
            (rest, Elementary::ln(rest))
        };
        match self {
            Self::LogSumExp => out[0] = shift + log,
            Self::Softmax => entrywise(x, out, |v| power(v, shift) / all),
            Self::LogSoftmax => entrywise(x, out, |v| v - shift - log),
        }
    }

    pub(super) fn tangent<'b>(
        self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let (x, x_dot) = (x[0], x_dot[0]?);
        Some(match self {
            Self::LogSumExp => x.softmax().dot(x_dot),
            Self::Softmax => y.applied_to(x_dot) - y.applied_to(y.dot(x_dot)),
            Self::LogSoftmax => x_dot - x.softmax().dot(x_dot).spread(x.shape()?),
        })
    }

    pub(super) fn notation(self) -> Notation {
        let name = self.name();
        let upright = name.replace('_', "");
        Notation::call(name, &format!(r"\operatorname{{{upright}}}"))
    }
}

/// `exp(x − shift)`, corrected for the rounding error of the difference.
fn power<F: Scalar>(x: F, shift: F, exp: impl Fn(F) -> F) -> F {
    let difference = x - shift;
    let kept = difference + shift;
    let lost = (x - kept) - (shift - (kept - difference));
    let power = exp(difference);
    if lost.is_finite() {
        power + power * lost
    } else {
        power
    }
}

fn entrywise<F: Scalar>(x: &[F], out: &mut [F], f: impl Fn(F) -> F) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f(*x);
    }
}

impl Expr<'_> {
    /// `ln Σ exp(selfᵢ)` of a vector, a scalar.
    #[must_use]
    #[track_caller]
    pub fn logsumexp(self) -> Self {
        Self::apply(Reduce::LogSumExp, &[self])
    }

    /// `exp(selfᵢ) / Σⱼ exp(selfⱼ)` of a vector.
    #[must_use]
    #[track_caller]
    pub fn softmax(self) -> Self {
        Self::apply(Reduce::Softmax, &[self])
    }

    /// `selfᵢ − logsumexp(self)` of a vector.
    #[must_use]
    #[track_caller]
    pub fn log_softmax(self) -> Self {
        Self::apply(Reduce::LogSoftmax, &[self])
    }
}
