//! Changes of rate: the only ops, apart from registers, that depend on time.
//!
//! All are linear, and they form pairs of transposes.

use ndarray::ArrayD;

use super::call::{Call, Takes, ok};
use super::family::{LinearRule, Linearity, linear_family};
use super::lowering::{Extent, Lowering};
use super::{Expr, Notation, Reason, Scalar, Setting, Value};
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

/// The sum over the samples at a step, the same for each of them. It is its own transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool;

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
        Pool: [Pool],
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
    const CALLS: &'static [Call] = &[Call::new(
        "hold",
        "the same value for every step, or for every sample",
        1,
        &[Takes::Rate],
        |given| ok(Self(given.rate.unwrap_or(Rate::Step))),
    )
    .explained("write `hold(x, step)` or `hold(x, sample)`")];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        match args {
            // A class may be held, because it is an index, the same at every step.
            [x] if x.rate <= self.0 => Ok(x.at(self.0)),
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
    fn settings(&self) -> Vec<Setting> {
        vec![Setting::Word(self.0.text())]
    }
}

impl LinearRule for Total {
    const NAME: &'static str = "total";
    const CALLS: &'static [Call] = &[
        Call::new(
            "total",
            "the sum over all steps and samples",
            1,
            &[],
            |_| ok(Self(Rate::Static)),
        )
        .usage("`total(x)` is the sum of `x` over all steps of all samples"),
        Call::new(
            "total_steps",
            "the sum over the steps of each sample",
            1,
            &[],
            |_| ok(Self(Rate::Sample)),
        )
        .usage("`total_steps(x)` is the sum of `x` over the steps of each sample"),
    ];
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
    fn latex(&self) -> String {
        match self.0 {
            Rate::Sample => r"\sum_t".into(),
            _ => r"\sum".into(),
        }
    }
    fn remedy(&self, _: &[Type]) -> Option<&'static str> {
        Some("a value counts at every step with `hold`: `total_steps(hold(a, step))`")
    }
}

impl LinearRule for Pool {
    const NAME: &'static str = "pool";
    const CALLS: &'static [Call] = &[Call::new(
        "total_samples",
        "the sum over the samples at each step",
        1,
        &[],
        |_| ok(Self),
    )
    .usage("`total_samples(x)` is the sum of `x` over the samples at each step")];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let x = one_real(args)?;
        if x.rate == Rate::Step {
            Ok(x)
        } else {
            Err("only a value that varies with the step is summed over the samples at each step")
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        pass(args)
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        Expr::apply(Self, &[y_bar])
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Pool
    }
    fn latex(&self) -> String {
        r"\sum_b".into()
    }
    fn remedy(&self, _: &[Type]) -> Option<&'static str> {
        Some(
            "a value counts at every step with `hold`: `total_samples(hold(a, step))`; the sum of a value per sample is `total(x)`",
        )
    }
}

impl LinearRule for Pick {
    const NAME: &'static str = "pick";
    const CALLS: &'static [Call] = &[
        Call::new("first", "the value at the first step", 1, &[], |_| {
            ok(Self(Edge::First))
        })
        .usage("`first(x)` is `x` at the first step; entry 3 of a vector is `x[3]`"),
        Call::new("last", "the value at the last step", 1, &[], |_| {
            ok(Self(Edge::Last))
        })
        .usage("`last(x)` is `x` at the last step; entry 3 of a vector is `x[3]`"),
    ];
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
    fn latex(&self) -> String {
        format!(r"\operatorname{{{}}}", self.call().name)
    }
    fn remedy(&self, _: &[Type]) -> Option<&'static str> {
        Some("the value is the same at every step: leave out `first` or `last`")
    }
}

impl LinearRule for Impulse {
    const NAME: &'static str = "impulse";
    const CALLS: &'static [Call] = &[
        Call::new(
            "impulse_first",
            "a value per sample at the first step, zero at the others",
            1,
            &[],
            |_| ok(Self(Edge::First)),
        )
        .usage("`impulse_first(v)` is `v` at the first step and zero after it"),
        Call::new(
            "impulse_last",
            "a value per sample at the last step, zero at the others",
            1,
            &[],
            |_| ok(Self(Edge::Last)),
        )
        .usage("`impulse_last(v)` is `v` at the last step and zero before it"),
    ];
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
    fn latex(&self) -> String {
        match self.0 {
            Edge::First => r"\operatorname{impulse}_1".into(),
            Edge::Last => r"\operatorname{impulse}_T".into(),
        }
    }
    fn remedy(&self, args: &[Type]) -> Option<&'static str> {
        let remedy = "a value at each step has a first and a last one: `impulse_first(first(x))`";
        (args.first()?.rate == Rate::Step).then_some(remedy)
    }
}

impl Expr<'_> {
    /// This value at a faster rate: the same for every sample (`Rate::Sample`), or for every sample
    /// and step (`Rate::Step`).
    #[must_use]
    #[track_caller]
    pub fn hold(self, rate: Rate) -> Self {
        Self::apply(Hold(rate), &[self])
    }

    /// The sum over the steps of each sample (`Rate::Sample`), or over all samples and steps
    /// (`Rate::Static`).
    #[must_use]
    #[track_caller]
    pub fn total(self, rate: Rate) -> Self {
        if self.rate() == Some(rate) {
            return self;
        }
        Self::apply(Total(rate), &[self])
    }

    /// The sum over the samples at each step, for batch statistics; shorter samples are in the sums of their own steps only. Its
    /// value depends on the samples that a batch holds, so masks and resets, which move samples in time, refuse it.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let r = Recurrence::define("centred", |r| {
    ///     let x = r.input("x", ());
    ///     let count = r.constant(1.0).hold(bptt::Rate::Step).total_samples();
    ///     r.output("y", x - x.total_samples() / count);
    /// })?;
    /// let batch = Batch::new(2, 2).with("x", array![[1.0, 3.0], [5.0, 0.0]]).with_lengths(&[2, 1]);
    /// let found = r.evaluate(&Params::new(), &batch)?;
    /// assert_eq!(found["y"], array![[-1.0, 1.0], [0.0, 0.0]].into_dyn());
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn total_samples(self) -> Self {
        Self::apply(Pool, &[self])
    }

    /// The value at step 1 of each sample.
    #[must_use]
    #[track_caller]
    pub fn first(self) -> Self {
        Self::apply(Pick(Edge::First), &[self])
    }

    /// The value at the last step of each sample.
    #[must_use]
    #[track_caller]
    pub fn last(self) -> Self {
        Self::apply(Pick(Edge::Last), &[self])
    }

    /// A value per sample, placed at the first or last step of the sample; zero at all other steps.
    #[must_use]
    #[track_caller]
    pub fn impulse(self, edge: Edge) -> Self {
        Self::apply(Impulse(edge), &[self])
    }

    #[track_caller]
    pub(crate) fn pick(self, edge: Edge) -> Self {
        Self::apply(Pick(edge), &[self])
    }
}
