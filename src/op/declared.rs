//! Values with a declared derivative: it is not that of the value.

use super::call::{Call, ok};
use super::lowering::Lowering;
use super::{Expr, Notation, Op, Reason, Scalar, Value, common_shape};
use crate::shape::{Rate, Type};

/// The value of the first argument, with a declared derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Declared {
    /// The derivative is zero.
    StopGradient,
    /// The derivative is that of the second argument.
    Surrogate,
}

impl From<Declared> for Op {
    fn from(op: Declared) -> Self {
        Self::Declared(op)
    }
}

impl Declared {
    /// All rows of the table.
    pub const ALL: &'static [Self] = &[Self::StopGradient, Self::Surrogate];

    pub(super) const CALLS: &'static [Call] = &[
        Call::new("stop_gradient", "`x`, which every derivative takes as constant", 1, &[], |_| ok(Self::StopGradient)),
        Call::new("surrogate", "`a` with the derivative of `b`", 2, &[], |_| ok(Self::Surrogate)).usage(
            "`surrogate(a, b)` is `a` with the derivative of `b`: `surrogate(v > 1, sigmoid(v - 1))`",
        ),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::StopGradient => "stop_gradient",
            Self::Surrogate => "surrogate",
        }
    }

    /// For each argument, true if the derivative of the result is that of the argument.
    pub(crate) const fn carries(self) -> &'static [bool] {
        match self {
            Self::StopGradient => &[false],
            Self::Surrogate => &[false, true],
        }
    }

    pub(super) fn infer(self, args: &[Type]) -> Result<Type, Reason> {
        if args.len() != self.carries().len() {
            return Err("the number of arguments is wrong");
        }
        let rate = args.iter().map(|t| t.rate).max();
        let shape = common_shape(args)?;
        Ok(Type::real(shape, rate.unwrap_or(Rate::Static)))
    }

    pub(super) fn eval<F: Scalar>(args: &[&Value<F>]) -> Value<F> {
        args[0].clone()
    }

    /// The value of a function whose derivative is the declared one: the value at a point, plus the change of the
    /// arguments that carry the derivative. Differences of the loss use it.
    pub(crate) fn held(
        self,
        at: &Value<f64>,
        args: &[&Value<f64>],
        args_at: &[&Value<f64>],
    ) -> Value<f64> {
        let mut held = at.real().clone();
        let carried = self.carries().iter().zip(args.iter().zip(args_at));
        for (_, (now, then)) in carried.filter(|(carries, _)| **carries) {
            held += &(now.real() - then.real());
        }
        held.into()
    }

    pub(super) fn tangent<'b>(self, x_dot: &[Option<Expr<'b>>]) -> Option<Expr<'b>> {
        let carried = self.carries().iter().zip(x_dot);
        Expr::sum_all(carried.filter_map(|(carries, dot)| dot.filter(|_| *carries)))
    }

    pub(super) fn transpose<'b>(self, i: usize, y_bar: Expr<'b>) -> Option<Expr<'b>> {
        self.carries()[i].then_some(y_bar)
    }

    pub(super) const fn lower() -> Lowering {
        Lowering::Same
    }

    pub(super) fn notation(self) -> Notation {
        match self {
            Self::StopGradient => Notation::call(self.name(), r"\operatorname{stop\_gradient}"),
            Self::Surrogate => Notation::call(self.name(), r"\operatorname{surrogate}"),
        }
    }
}

impl Expr<'_> {
    /// The value, taken as a constant by every derivative.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::arr0;
    /// let r = Recurrence::define("stop", |r| {
    ///     let a = r.param("a", ());
    ///     r.loss(a * a.stop_gradient());
    /// })?;
    /// let params = Params::<f64>::new().with("a", arr0(3.0));
    /// let gradient = r.gradient(Wrt::Parameters)?.evaluate(&params, &Batch::new(1, 1))?;
    /// assert_eq!(gradient["loss"].sum(), 9.0);
    /// assert_eq!(gradient["a"].sum(), 3.0, "not 6");
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn stop_gradient(self) -> Self {
        Self::apply(Declared::StopGradient, &[self])
    }

    /// The value of `self` with the derivative of `backward`, as for a spike or a rounded number (Bengio, Léonard and
    /// Courville 2013; Neftci, Mostafa and Zenke 2019). A scalar is spread over the other argument.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::arr0;
    /// let r = Recurrence::define("straight through", |r| {
    ///     let a = r.param("a", ());
    ///     r.loss(3.0 * a.floor().surrogate(a));
    /// })?;
    /// let params = Params::<f64>::new().with("a", arr0(1.7));
    /// let gradient = r.gradient(Wrt::Parameters)?.evaluate(&params, &Batch::new(1, 1))?;
    /// assert_eq!((gradient["loss"].sum(), gradient["a"].sum()), (3.0, 3.0));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn surrogate(self, backward: Self) -> Self {
        let (forward, backward) = self.align(backward);
        Self::apply(Declared::Surrogate, &[forward, backward])
    }
}
