//! Custom ops: the same contract as the built-in rows, implemented by a user.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, Zip};

use super::{Expr, Notation, Scalar, Value};
use crate::shape::Shape;

/// An operation defined outside the crate.
///
/// An implementation supplies the value and the tangent (or, for a linear op, the transpose) as
/// expressions. Forward mode, reverse mode, all higher orders, certification and printing follow as
/// for a built-in op. [`ScalarFunction`] is a shortcut for functions applied entry by entry.
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
    /// The reason, if the op does not accept arguments of these shapes.
    fn shape(&self, args: &[Shape]) -> Result<Shape, String>;

    /// The value, in `f64`: an array of the shape given by [`shape`](Self::shape).
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64>;

    /// The value, in `f32`; by default computed in `f64` and rounded.
    fn eval_f32(&self, args: &[ArrayViewD<'_, f32>]) -> ArrayD<f32> {
        let wide: Vec<ArrayD<f64>> = args.iter().map(|a| a.mapv(f64::from)).collect();
        let views: Vec<ArrayViewD<'_, f64>> = wide.iter().map(|a| a.view()).collect();
        self.eval(&views).mapv(f32::of)
    }

    /// The values of many rows at once, in `f64`; a [`Program`](crate::Program) calls this. The first axis of
    /// each argument and of `out` counts the rows: all samples of a step, or of many steps. Row `i` of `out` is the
    /// value at row `i` of the arguments, whatever the other rows are. An argument that is the same for all rows has
    /// stride zero along the first axis.
    ///
    /// By default, each row is a call of [`eval`](Self::eval), which allocates its result. An op that writes to `out`
    /// instead is as fast as its loop:
    ///
    /// ```
    /// use bptt::{CustomOp, Expr, Shape};
    /// use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Zip};
    /// #[derive(Debug)]
    /// struct Softsign;
    /// impl CustomOp for Softsign {
    ///     fn name(&self) -> &str {
    ///         "softsign"
    ///     }
    ///     fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
    ///         Ok(args[0])
    ///     }
    ///     fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
    ///         args[0].mapv(|x| x / (1.0 + x.abs()))
    ///     }
    ///     fn eval_rows(&self, args: &[ArrayViewD<'_, f64>], out: ArrayViewMutD<'_, f64>) -> Result<(), String> {
    ///         Zip::from(out).and(&args[0]).for_each(|y, x| *y = x / (1.0 + x.abs()));
    ///         Ok(())
    ///     }
    ///     fn tangent<'b>(&self, x: &[Expr<'b>], _: Expr<'b>, x_dot: &[Option<Expr<'b>>]) -> Option<Expr<'b>> {
    ///         x_dot[0].map(|x_dot| x_dot / (1.0 + x[0].abs()).square())
    ///     }
    /// }
    /// # let r = bptt::Recurrence::define("r", |r| {
    /// #     let op: std::sync::Arc<dyn CustomOp> = std::sync::Arc::new(Softsign);
    /// #     r.loss(Expr::custom(&op, [r.input("x", [2])]).sum());
    /// # })?;
    /// # let batch = bptt::Batch::new(2, 1).with("x", ndarray::array![[[1.0, -1.0]], [[3.0, 0.0]]]);
    /// # let found = r.compile::<f64>(&[])?.evaluate(&bptt::Params::new(), &batch)?;
    /// # assert_eq!(found.loss()?, 0.75);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// The reason, if the op has no value here; the run fails with it.
    fn eval_rows(
        &self,
        args: &[ArrayViewD<'_, f64>],
        out: ArrayViewMutD<'_, f64>,
    ) -> Result<(), String> {
        each_row(args, out, |row| self.eval(row))
    }

    /// The same in `f32`; by default, each row is a call of [`eval_f32`](Self::eval_f32).
    ///
    /// # Errors
    /// The reason, if the op has no value here; the run fails with it.
    fn eval_rows_f32(
        &self,
        args: &[ArrayViewD<'_, f32>],
        out: ArrayViewMutD<'_, f32>,
    ) -> Result<(), String> {
        each_row(args, out, |row| self.eval_f32(row))
    }

    /// The tangent of the result `y` at the arguments `x`: an expression of the shape of `y`,
    /// *linear* in `x_dot`. An argument with `None` in `x_dot` has tangent zero; a result `None` is
    /// zero.
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>>;

    /// The cotangent of argument `i` for a result with cotangent `y_bar`: an expression of the
    /// shape of `x[i]`. Called only if [`is_linear_in`](Self::is_linear_in) returns true for that
    /// argument.
    fn transpose<'b>(&self, i: usize, x: &[Expr<'b>], y_bar: Expr<'b>) -> Option<Expr<'b>> {
        let _ = (i, x, y_bar);
        None
    }

    /// Returns true if the op is jointly linear in the arguments marked in `active`, with all other
    /// arguments fixed. By default, it is linear in none.
    fn is_linear_in(&self, active: &[bool]) -> bool {
        active.iter().all(|a| !a)
    }

    /// The closed interval of the entries of the value, if it is bounded; by default it is not. Derivations bound
    /// the entries by it, and check that. An interval whose ends are not in order is none.
    fn range(&self) -> Option<(f64, f64)> {
        None
    }

    /// The closed interval of the derivative of an entry, if the op is applied entry by entry to one argument and its
    /// derivative is bounded; by default it is not.
    fn slope(&self) -> Option<(f64, f64)> {
        None
    }

    /// The notation; by default a function call.
    fn notation(&self) -> Notation {
        Notation::call(self.name(), &format!(r"\operatorname{{{}}}", self.name()))
    }
}

fn each_row<F: Scalar>(
    args: &[ArrayViewD<'_, F>],
    mut out: ArrayViewMutD<'_, F>,
    eval: impl Fn(&[ArrayViewD<'_, F>]) -> ArrayD<F>,
) -> Result<(), String> {
    for (row, mut out) in out.outer_iter_mut().enumerate() {
        let args: Vec<_> = args.iter().map(|a| a.index_axis(Axis(0), row)).collect();
        let value = eval(&args);
        if value.shape() != out.shape() {
            return Err(wrong_shape(value.shape(), out.shape()));
        }
        out.assign(&value);
    }
    Ok(())
}

/// The reason why a value is refused whose shape is not the one that the op declared.
pub(crate) fn wrong_shape(found: &[usize], declared: &[usize]) -> String {
    format!("its value has shape {found:?}, it said {declared:?}")
}

/// A custom op in a node; equal only to the same object.
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

    fn eval_rows(
        &self,
        args: &[ArrayViewD<'_, f64>],
        out: ArrayViewMutD<'_, f64>,
    ) -> Result<(), String> {
        Zip::from(out)
            .and(&args[0])
            .for_each(|y, x| *y = (self.eval)(*x));
        Ok(())
    }

    fn eval_rows_f32(
        &self,
        args: &[ArrayViewD<'_, f32>],
        out: ArrayViewMutD<'_, f32>,
    ) -> Result<(), String> {
        Zip::from(out)
            .and(&args[0])
            .for_each(|y, x| *y = f32::of((self.eval)(f64::from(*x))));
        Ok(())
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
