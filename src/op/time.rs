//! Changes of rate: the only ops, apart from registers, that depend on time.
//!
//! All are linear, and they form pairs of transposes.

use ndarray::ArrayD;

use super::family::{LinearRule, Linearity, linear_family};
use super::lowering::{Extent, Lowering};
use super::{Expr, Notation, Reason, Scalar, Setting, Spelling, Value};
use crate::shape::{Rate, Type};

/// The first or last step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// Step 1.
    First,
    /// Step T.
    Last,
}

/// A value held constant over samples, or over samples and steps. The transpose is [`Total`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold(pub Rate);

/// The sum over steps, over samples, or over both. The transpose is [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Total(pub Rate);

/// The value at the first or last step. The transpose is [`Impulse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pick(pub Edge);

/// The value at the first or last step, zero at all other steps. The transpose is [`Pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Impulse(pub Edge);

linear_family! {
    /// The time ops.
    Time {
        Hold: [Hold(Rate::Sample), Hold(Rate::Step)],
        Total: [Total(Rate::Static), Total(Rate::Sample)],
        Pick: [Pick(Edge::First), Pick(Edge::Last)],
        Impulse: [Impulse(Edge::First), Impulse(Edge::Last)],
    }
}

fn one_real(args: &[Type]) -> Result<Type, Reason> {
    match args {
        [x] if x.is_real() => Ok(*x),
        [_] => Err("a class is not a number"),
        _ => Err("it takes one argument"),
    }
}

/// The value for a single step and sample: the argument.
fn pass<F: Scalar>(args: &[&Value<F>]) -> Value<F> {
    Value::Real(ArrayD::clone(args[0].real()))
}

fn rate_of(x: Expr<'_>) -> Rate {
    x.rate().unwrap_or(Rate::Step)
}

impl LinearRule for Hold {
    const NAME: &'static str = "hold";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        match args {
            // A class may be held, because it is an index, the same at every step.
            [x] if x.rate < self.0 => Ok(x.at(self.0)),
            [_] => Err("it can only go from a slower rate to a faster one"),
            _ => Err("it takes one argument"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        args[0].clone()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.total(rate_of(args[0]))
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Same
    }
    fn notation(&self) -> Notation {
        Notation::Silent
    }
    fn spelling(&self) -> Spelling {
        Spelling::call("hold", vec![Setting::Word(self.0.text())])
    }
}

impl LinearRule for Total {
    const NAME: &'static str = "total";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let x = one_real(args)?;
        if x.rate > self.0 && self.0 != Rate::Step {
            Ok(x.at(self.0))
        } else {
            Err("there is nothing to sum over: the value does not vary with steps or samples")
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        pass(args)
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.hold(rate_of(args[0]))
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Total
    }
    fn notation(&self) -> Notation {
        match self.0 {
            Rate::Sample => Notation::call("total_steps", r"\sum_t"),
            _ => Notation::call("total", r"\sum"),
        }
    }
}

impl LinearRule for Pick {
    const NAME: &'static str = "pick";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let x = one_real(args)?;
        if x.rate == Rate::Step {
            Ok(x.at(Rate::Sample))
        } else {
            Err("only a value that varies with the step has a first and a last one")
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        pass(args)
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.impulse(self.0)
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Pick(self.0)
    }
    fn notation(&self) -> Notation {
        match self.0 {
            Edge::First => Notation::call("first", r"\operatorname{first}"),
            Edge::Last => Notation::call("last", r"\operatorname{last}"),
        }
    }
}

impl LinearRule for Impulse {
    const NAME: &'static str = "impulse";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let x = one_real(args)?;
        if x.rate == Rate::Sample {
            Ok(x.at(Rate::Step))
        } else {
            Err("an impulse is made of one value per sample")
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        pass(args)
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.pick(self.0)
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Impulse(self.0)
    }
    fn notation(&self) -> Notation {
        match self.0 {
            Edge::First => Notation::call("impulse_first", r"\operatorname{impulse}_1"),
            Edge::Last => Notation::call("impulse_last", r"\operatorname{impulse}_T"),
        }
    }
}
