//! Sums over axes and their transposes, broadcasts; one row each.

use ndarray::{ArrayD, IxDyn};

use super::axis::{Axis, Over, all_real, fixed, real, size};
use super::call::{Call, Takes, ok};
use super::lowering::{Contract, Extent, Lowering, Move, Strides};
use super::value::total;
use super::{Expr, LinearRule, Linearity, Notation, Reason, Scalar, Setting, Value};
use crate::shape::{Dim, Shape, Type};

/// The sum over all entries or over one axis. The transpose is [`Broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sum(pub Over);

impl LinearRule for Sum {
    const NAME: &'static str = "sum";
    const CALLS: &'static [Call] = &[Call::new("sum", "the sum of all entries, over the rows (down the columns), or over the columns (along the rows)", 1, &[Takes::AxisIfAny], |given| {
        ok(Self(given.axis.map_or(Over::All, Over::Axis)))
    })
    .form(
        "write `sum(x)`, `sum(A, rows)` or `sum(A, columns)`; a sum over the steps is `total_steps(x)`",
    )];
    const ROUNDS: bool = true;
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        match (self.0, x.shape) {
            (Over::All, _) => Ok(real(args, Shape::Scalar)),
            (Over::Axis(Axis::Rows), Shape::Matrix(_, n)) => Ok(real(args, Shape::Vector(n))),
            (Over::Axis(Axis::Columns), Shape::Matrix(m, _)) => Ok(real(args, Shape::Vector(m))),
            _ => Err("only a matrix can be summed over one axis"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        match self.0 {
            Over::All => Value::scalar(total(args[0].real().iter().copied())),
            Over::Axis(axis) => args[0]
                .matrix()
                .map_axis(ndarray::Axis(axis.index()), |x| total(x.iter().copied()))
                .into(),
        }
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        match args[0].shape() {
            Some(shape) => y_bar.broadcast(shape, self.0),
            None => y_bar,
        }
    }
    fn lower(&self, args: &[Extent], _: Extent) -> Lowering {
        let [rows, columns] = args[0];
        let (m, k, a) = match self.0 {
            Over::All => (1, rows * columns, [0, 1]),
            Over::Axis(Axis::Rows) => (columns, rows, [1, columns]),
            Over::Axis(Axis::Columns) => (rows, columns, [columns, 1]),
        };
        let (n, b) = (1, [0, 0]);
        Lowering::Contract(Contract {
            m,
            k,
            n,
            a,
            b,
            strong: false,
        })
    }
    fn settings(&self) -> Vec<Setting> {
        match self.0 {
            Over::All => Vec::new(),
            Over::Axis(axis) => vec![Setting::Word(axis.text())],
        }
    }
}

/// A scalar repeated over a shape, or a vector repeated along a new axis. The transpose is
/// [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
    /// The axes of repetition: all (of a scalar), or one new axis (of a vector).
    pub over: Over,
}

impl Broadcast {
    /// A vector of this shape as each of `count` rows or columns.
    pub(crate) fn repeated(vector: Shape, axis: Axis, count: Dim) -> Result<Self, Reason> {
        let shape = match (vector, axis) {
            (Shape::Vector(n), Axis::Rows) => Shape::Matrix(count, n),
            (Shape::Vector(n), Axis::Columns) => Shape::Matrix(n, count),
            _ => return Err("only a vector can be repeated into a matrix"),
        };
        let over = Over::Axis(axis);
        Ok(Self { shape, over })
    }
}

impl LinearRule for Broadcast {
    const NAME: &'static str = "broadcast";
    const CALLS: &'static [Call] = &[
        Call::new(
            "spread",
            "an array with the scalar in every entry",
            1,
            &[Takes::Shape],
            |given| {
                let (shape, over) = (given.shape.unwrap_or(Shape::Scalar), Over::All);
                ok(Self { shape, over })
            },
        )
        .form("write the shape in brackets: `spread(x, [H, K])`"),
        Call::new(
            "repeat",
            "a vector `n` times, as rows or as columns",
            1,
            &[Takes::Axis, Takes::Size],
            |given| {
                let shape = given.types.first().map_or(Shape::Scalar, |t| t.shape);
                ok(Self::repeated(shape, given.axis_or_rows(), given.size(0))?)
            },
        )
        .form("write `repeat(v, rows, n)` or `repeat(v, columns, n)`"),
    ];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        let fits = match (self.over, x.shape) {
            (Over::All, Shape::Scalar) => true,
            (Over::Axis(axis), Shape::Vector(n)) => {
                self.shape.rank() == 2 && size(self.shape, axis.other()) == Some(n)
            }
            _ => false,
        };
        if fits {
            Ok(real(args, self.shape))
        } else {
            Err("the value cannot be repeated to that shape")
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let dims: Vec<usize> = self.shape.dims().iter().map(|d| fixed(*d)).collect();
        let repeated: ArrayD<F> = match self.over {
            Over::All => ArrayD::from_elem(IxDyn(&dims), args[0].item()),
            Over::Axis(axis) => args[0]
                .vector()
                .insert_axis(ndarray::Axis(axis.index()))
                .broadcast(IxDyn(&dims))
                .expect("the shape is checked on insertion")
                .to_owned(),
        };
        repeated.into()
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        if self.shape == Shape::Scalar {
            y_bar
        } else {
            y_bar.sum_over(self.over)
        }
    }
    fn lower(&self, _: &[Extent], out: Extent) -> Lowering {
        let from = match self.over {
            Over::All => return Lowering::Spread,
            Over::Axis(Axis::Rows) => Strides::of(0, 1),
            Over::Axis(Axis::Columns) => Strides::of(1, 0),
        };
        let to = Strides::of(out[1], 1);
        Lowering::Move(vec![Move {
            extent: out,
            from,
            to,
        }])
    }
    fn call(&self) -> &'static Call {
        &Self::CALLS[usize::from(self.over != Over::All)]
    }
    fn settings(&self) -> Vec<Setting> {
        match self.over {
            Over::All => vec![Setting::Shape(self.shape)],
            Over::Axis(axis) => {
                let count = size(self.shape, axis).unwrap_or(Dim::INVALID);
                vec![Setting::Word(axis.text()), Setting::Size(count)]
            }
        }
    }
    fn notation(&self) -> Notation {
        match self.over {
            // Equations omit the broadcast of a scalar.
            Over::All => Notation::Silent,
            Over::Axis(axis) => Notation::Call {
                text: "repeat".into(),
                latex: r"\operatorname{repeat}".into(),
                settings: vec![Setting::Word(axis.text())],
            },
        }
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            shape: self.shape.map(f),
            ..self
        }
    }
}

impl Expr<'_> {
    /// The sum of all entries, a scalar.
    #[must_use]
    #[track_caller]
    pub fn sum(self) -> Self {
        self.sum_over(Over::All)
    }

    /// The sum of a matrix `[m, n]` over its rows (`Axis::Rows`, shape `[n]`) or over its columns
    /// (`Axis::Columns`, shape `[m]`).
    #[must_use]
    #[track_caller]
    pub fn sum_axis(self, axis: Axis) -> Self {
        self.sum_over(Over::Axis(axis))
    }

    /// The mean of all entries, a scalar.
    ///
    /// ```
    /// use bptt::{Axis, Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let r = Recurrence::define("means", |r| {
    ///     let a = r.param("A", [r.dim("H"), r.dim("K")]);
    ///     r.output("mean", a.mean());
    ///     r.output("rows", a.mean_axis(Axis::Rows));
    ///     r.output("norm", a.norm());
    /// })?;
    /// let params = Params::new().with("A", array![[1.0, 5.0], [3.0, 1.0]]);
    /// let found = r.evaluate(&params, &Batch::new(1, 1))?;
    /// assert_eq!(found["mean"].sum(), 2.5);
    /// assert_eq!(found["rows"], array![2.0, 3.0].into_dyn());
    /// assert_eq!(found["norm"].sum(), 6.0);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mean(self) -> Self {
        self.mean_over(Over::All)
    }

    /// The mean of a matrix `[m, n]` over its rows (`Axis::Rows`, shape `[n]`) or over its columns
    /// (`Axis::Columns`, shape `[m]`).
    #[must_use]
    #[track_caller]
    pub fn mean_axis(self, axis: Axis) -> Self {
        self.mean_over(Over::Axis(axis))
    }

    #[track_caller]
    fn mean_over(self, over: Over) -> Self {
        let sum = self.sum_over(over);
        let terms = match (over, self.shape()) {
            (Over::All, shape) => shape,
            (Over::Axis(axis), shape) => shape.and_then(|s| Some(Shape::Vector(size(s, axis)?))),
        };
        match terms {
            Some(terms) => sum / self.count(terms),
            None => sum,
        }
    }

    /// The number of entries of an array of this shape: the sum of ones, or a constant.
    pub(crate) fn count(self, shape: Shape) -> Self {
        let sizes = shape.as_fixed();
        let count = sizes.and_then(|n| u32::try_from(n.iter().product::<usize>()).ok());
        match count {
            Some(count) => self.constant(count.into()),
            None => self.constant(1.0).spread(shape).sum(),
        }
    }

    /// The Euclidean norm `√(Σ selfᵢ²)`, of a matrix the Frobenius norm. Where it is 0, its derivative is taken to be 0,
    /// the smallest subgradient; its second derivative is infinite there.
    #[must_use]
    #[track_caller]
    pub fn norm(self) -> Self {
        // The zeros of a strong product win against the infinite derivative of the root.
        self.strong_mul(self).sum().sqrt()
    }

    #[track_caller]
    pub(super) fn sum_over(self, over: Over) -> Self {
        Self::apply(Sum(over), &[self])
    }

    /// A scalar repeated over `shape`.
    #[must_use]
    #[track_caller]
    pub fn spread(self, shape: impl Into<Shape>) -> Self {
        self.broadcast(shape.into(), Over::All)
    }

    /// A matrix with this vector `[n]` as each of `count` rows (`Axis::Rows`, shape `[count, n]`)
    /// or columns (`Axis::Columns`, shape `[n, count]`).
    #[must_use]
    #[track_caller]
    pub fn repeat(self, axis: Axis, count: impl Into<Dim>) -> Self {
        let Some(shape) = self.shape() else {
            return self;
        };
        match Broadcast::repeated(shape, axis, count.into()) {
            Ok(op) => Self::apply(op, &[self]),
            Err(reason) => self.fail(reason),
        }
    }

    #[track_caller]
    pub(super) fn broadcast(self, shape: Shape, over: Over) -> Self {
        Self::apply(Broadcast { shape, over }, &[self])
    }
}
