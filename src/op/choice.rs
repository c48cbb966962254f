//! The choice between two values, and a value as a node of its own.

use super::axis::real;
use super::call::{Call, ok};
use super::lowering::{Extent, Lowering};
use super::{Expr, LinearRule, Linearity, Notation, Reason, Scalar, Spelling, Value, common_shape};
use crate::shape::Type;

/// An entrywise choice: the first value where the condition is nonzero, the second where it is
/// zero. Jointly linear in the two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl LinearRule for Select {
    const NAME: &'static str = "select";
    const CALLS: &'static [Call] = &[Call::new(
        "select",
        "`b` where `a` is not zero, else `c`",
        3,
        &[],
        |_| ok(Self),
    )
    .usage("`select(c, a, b)` is `a` where `c` is not zero, `b` elsewhere")];
    const SPREADS: bool = true;
    fn linearity(&self) -> Linearity {
        Linearity::Jointly(1)
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        if args.len() != 3 {
            return Err("it takes a condition and two values");
        }
        Ok(real(args, common_shape(args)?))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        ndarray::Zip::from(args[0].real())
            .and(args[1].real())
            .and(args[2].real())
            .map_collect(|&c, &yes, &no| {
                if c.is_nan() {
                    c
                } else if c == F::zero() {
                    no
                } else {
                    yes
                }
            })
            .into()
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let zeros = y_bar.zeros_like();
        // A NaN condition must not turn a zero cotangent into NaN; the value itself is NaN there.
        let (is_no, condition) = match args[0].has_pole() {
            true => (true, args[0].equal(args[0].full_like(0.0))),
            false => (false, args[0]),
        };
        if (i == 1) == is_no {
            condition.select(zeros, y_bar)
        } else {
            condition.select(y_bar, zeros)
        }
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Select
    }
}

/// The same value as a separate node. Equal nodes are one node; the number makes two nodes of equal
/// values different, so that each can have its own name and cotangent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alias(pub u32);

impl LinearRule for Alias {
    const NAME: &'static str = "alias";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        match args {
            [x] if x.is_real() => Ok(*x),
            [_] => Err("a class is not a number; use `gather`, `one_hot` or `number`"),
            _ => Err("it takes one argument"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        args[0].clone()
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Same
    }
    fn notation(&self) -> Notation {
        Notation::Silent
    }
    fn spelling(&self) -> Spelling {
        Spelling::Same
    }
}

impl Expr<'_> {
    /// `yes` where `self` is nonzero, `no` where it is zero, NaN where it is NaN, entry by entry. A
    /// scalar among the three is broadcast to the shape of the others.
    #[must_use]
    #[track_caller]
    pub fn select(self, yes: Self, no: Self) -> Self {
        let (yes, no) = yes.align(no);
        let (condition, yes) = self.align(yes);
        let (_, no) = condition.align(no);
        Self::apply(Select, &[condition, yes, no])
    }
}
