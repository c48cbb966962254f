//! A user's own op, with the same contract as the built-in rows.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD};

use super::{Expr, Notation, Scalar, Value};
use crate::shape::Shape;

/// An operation defined outside the crate.
///
/// Give its value and its tangent (or, where it is linear, its transpose) as expressions in the
/// op language; forward mode, reverse mode, every higher order, certification and printing follow
/// as for a built-in op. [`ScalarFunction`] is a shortcut for functions applied entry by entry.
///
/// Two nodes with the same `Arc` and the same arguments are one node, so `eval` must be a pure
/// function.
///
/// ```
/// use std::sync::Arc;
/// use bptt::{CustomOp, Expr, ScalarFunction};
/// let swish: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
///     name: "swish",
///     eval: |x| x / (1.0 + (-x).exp()),
///     derivative: |x, y| y + x.sigmoid() * (1.0 - y),
/// });
/// let r = bptt::Recurrence::define("swish rnn", |r| {
///     let w = r.param("w", [2]);
///     let h = r.state("h", [2]);
///     let h = r.next(h, Expr::custom(&swish, [w * h + r.input("x", [2])]));
///     r.loss(h.square().sum());
/// })?;
/// # Ok::<(), bptt::Error>(())
/// ```
pub trait CustomOp: Debug + Send + Sync {
    /// The name used in printing.
    fn name(&self) -> &str;

    /// The shape of the result.
    ///
    /// # Errors
    /// Says why the arguments do not fit.
    fn shape(&self, args: &[Shape]) -> Result<Shape, String>;

    /// The value, in `f64`.
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64>;

    /// The value, in `f32`; by default computed in `f64` and rounded.
    fn eval_f32(&self, args: &[ArrayViewD<'_, f32>]) -> ArrayD<f32> {
        let wide: Vec<ArrayD<f64>> = args.iter().map(|a| a.mapv(f64::from)).collect();
        let views: Vec<ArrayViewD<'_, f64>> = wide.iter().map(|a| a.view()).collect();
        self.eval(&views).mapv(f32::of)
    }

    /// The tangent of the result `y` at arguments `x`: an expression *linear* in `x_dot`, where
    /// `None` is zero.
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>>;

    /// For an op that is linear in argument `i`: the cotangent of that argument when the result
    /// has cotangent `y_bar`. Needed only when [`is_linear_in`](Self::is_linear_in) says so.
    fn transpose<'b>(&self, i: usize, x: &[Expr<'b>], y_bar: Expr<'b>) -> Option<Expr<'b>> {
        let _ = (i, x, y_bar);
        None
    }

    /// Whether the op is linear in the marked arguments taken together, the others held fixed.
    fn is_linear_in(&self, active: &[bool]) -> bool {
        active.iter().all(|a| !a)
    }

    /// How the op is written; by default as a function call.
    fn notation(&self) -> Notation {
        Notation::call(self.name(), &format!(r"\operatorname{{{}}}", self.name()))
    }
}

/// A custom op held by a node; equal when it is the same object.
#[derive(Clone, Debug)]
pub struct Custom(Arc<dyn CustomOp>);

impl Custom {
    pub(crate) fn new(op: &Arc<dyn CustomOp>) -> Self {
        Self(Arc::clone(op))
    }

    pub(crate) fn rule(&self) -> &dyn CustomOp {
        &*self.0
    }

    pub(super) fn name(&self) -> &str {
        self.0.name()
    }

    pub(super) fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        F::call(self.rule(), args).into()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

/// A scalar function and its derivative, applied entry by entry: the simplest [`CustomOp`].
pub struct ScalarFunction {
    /// The name used in printing.
    pub name: &'static str,
    /// The function.
    pub eval: fn(f64) -> f64,
    /// The derivative, from the argument `x` and the result `y`.
    pub derivative: for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>,
}

impl Debug for ScalarFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScalarFunction")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl CustomOp for ScalarFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        match args {
            [shape] => Ok(*shape),
            _ => Err(format!("it takes one argument, found {}", args.len())),
        }
    }

    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        args[0].mapv(self.eval)
    }

    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        x_dot[0].map(|x_dot| (self.derivative)(x[0], y).applied_to(x_dot))
    }
}
