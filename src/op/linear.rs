//! Linear and bilinear ops, one row each: shape, value, and the transpose in each argument.

use ndarray::{Array2, ArrayD, IxDyn};

use super::parts::{Concat, Gather, Pad, Scatter, Slice};
use super::{Expr, LinearRule, Linearity, Notation, Reason, Scalar, Setting, Value, common_shape};
use crate::shape::{Dim, Rate, Shape, Type};

/// An axis of a matrix; a vector has only rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The first axis, counted downwards.
    Rows,
    /// The second axis, counted to the right.
    Columns,
}

impl Axis {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Rows => 0,
            Self::Columns => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Rows => Self::Columns,
            Self::Columns => Self::Rows,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
        }
    }
}

/// What a sum runs over, or a broadcast repeats along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// Everything: the other side is a scalar.
    All,
    /// One axis of a matrix: the other side is a vector.
    Axis(Axis),
}

macro_rules! linear_ops {
    ($($variant:ident $example:expr),+ $(,)?) => {
        /// The linear and bilinear ops.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Linear {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] $variant($variant),)+
        }

        impl Linear {
            /// Every row of the table, with example settings.
            pub const ALL: &'static [Self] = &[$(Self::$variant($example)),+];

            pub(super) const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $variant::NAME,)+ }
            }
            pub(super) fn linearity(&self) -> Linearity {
                match self { $(Self::$variant(op) => op.linearity(),)+ }
            }
            pub(super) fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
                match self { $(Self::$variant(op) => op.infer(args),)+ }
            }
            pub(super) fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
                match self { $(Self::$variant(op) => op.eval(args),)+ }
            }
            pub(super) fn transpose<'b>(
                &self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>,
            ) -> Expr<'b> {
                match self { $(Self::$variant(op) => op.transpose(i, args, y_bar),)+ }
            }
            pub(super) fn notation(&self) -> Notation {
                match self { $(Self::$variant(op) => op.notation(),)+ }
            }
            pub(super) fn map_dims(&self, f: &dyn Fn(Dim) -> Dim) -> Self {
                match *self { $(Self::$variant(op) => Self::$variant(op.map_dims(f)),)+ }
            }
        }
    };
}

linear_ops!(
    MatMul MatMul,
    Dot Dot,
    Outer Outer,
    Transpose Transpose,
    Sum Sum(Over::All),
    Broadcast Broadcast { shape: Shape::Scalar, over: Over::All },
    Concat Concat { axis: Axis::Rows },
    Slice Slice { axis: Axis::Rows, start: Dim::fixed(1), len: Dim::fixed(1) },
    Pad Pad { axis: Axis::Rows, before: Dim::fixed(1), after: Dim::fixed(1) },
    Gather Gather { axis: Axis::Rows },
    Scatter Scatter { axis: Axis::Rows, len: Dim::fixed(1) },
    Select Select,
);

fn rate(args: &[Type]) -> Rate {
    args.first().map_or(Rate::Static, |t| t.rate)
}

pub(super) fn real(args: &[Type], shape: Shape) -> Type {
    Type::real(shape, rate(args))
}

pub(super) fn all_real(args: &[Type]) -> Result<(), Reason> {
    if args.iter().all(|t| t.is_real()) {
        Ok(())
    } else {
        Err("a class is not a number; use `gather` or `one_hot`")
    }
}

/// The size of a fixed dimension; the evaluator only runs tapes without named dimensions.
pub(super) fn fixed(d: Dim) -> usize {
    d.as_fixed().expect("an evaluated tape has fixed sizes")
}

pub(super) fn size(shape: Shape, axis: Axis) -> Option<Dim> {
    shape.dims().get(axis.index()).copied()
}

pub(super) fn with_size(shape: Shape, axis: Axis, len: Dim) -> Shape {
    let mut dims = shape.dims();
    dims[axis.index()] = len;
    Shape::from_dims(&dims).unwrap_or(shape)
}

fn transposed<F: Scalar>(a: &Value<F>) -> ndarray::ArrayView2<'_, F> {
    a.matrix().reversed_axes()
}

/// The matrix product `A x` or `A B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatMul;

impl LinearRule for MatMul {
    const NAME: &'static str = "matmul";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [a, b] = args else {
            return Err("it takes two arguments");
        };
        match (a.shape, b.shape) {
            (Shape::Matrix(m, k), Shape::Vector(l)) if k == l => Ok(real(args, Shape::Vector(m))),
            (Shape::Matrix(m, k), Shape::Matrix(l, n)) if k == l => {
                Ok(real(args, Shape::Matrix(m, n)))
            }
            (Shape::Matrix(..), Shape::Vector(_) | Shape::Matrix(..)) => {
                Err("the inner dimensions differ")
            }
            _ => Err(
                "a matrix product needs a matrix on the left, and a vector or matrix on the right",
            ),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let a = args[0].matrix();
        if args[1].rank() == 1 {
            a.dot(&args[1].vector()).into()
        } else {
            a.dot(&args[1].matrix()).into()
        }
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let vector = args[1].shape().is_some_and(|s| s.rank() == 1);
        match (i, vector) {
            (0, true) => y_bar.outer(args[1]),
            (0, false) => y_bar.dot(args[1].t()),
            _ => args[0].t().dot(y_bar),
        }
    }
    fn notation(&self) -> Notation {
        Notation::infix("@", r"\,", 3)
    }
}

/// The inner product `Σ aᵢ bᵢ` of two vectors or two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dot;

impl LinearRule for Dot {
    const NAME: &'static str = "dot";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        if args.len() != 2 {
            return Err("it takes two arguments");
        }
        if common_shape(args)?.rank() == 0 {
            return Err("an inner product is of vectors or matrices");
        }
        Ok(real(args, Shape::Scalar))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        if args[0].rank() == 1 {
            return Value::scalar(args[0].vector().dot(&args[1].vector()));
        }
        Value::scalar((args[0].real() * args[1].real()).sum())
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        args[1 - i] * y_bar
    }
    fn notation(&self) -> Notation {
        Notation::call("dot", r"\operatorname{dot}")
    }
}

/// The outer product `a bᵀ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outer;

impl LinearRule for Outer {
    const NAME: &'static str = "outer";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        match args {
            [a, b] => match (a.shape, b.shape) {
                (Shape::Vector(m), Shape::Vector(n)) => Ok(real(args, Shape::Matrix(m, n))),
                _ => Err("an outer product is of two vectors"),
            },
            _ => Err("it takes two arguments"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let (a, b) = (args[0].vector(), args[1].vector());
        Array2::from_shape_fn((a.len(), b.len()), |(i, j)| a[i] * b[j]).into()
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        match i {
            0 => y_bar.dot(args[1]),
            _ => y_bar.t().dot(args[0]),
        }
    }
    fn notation(&self) -> Notation {
        Notation::call("outer", r"\operatorname{outer}")
    }
}

/// The transpose of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transpose;

impl LinearRule for Transpose {
    const NAME: &'static str = "transpose";
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        match args {
            [
                Type {
                    shape: Shape::Matrix(m, n),
                    ..
                },
            ] => Ok(real(args, Shape::Matrix(*n, *m))),
            _ => Err("only a matrix can be transposed"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        // The transpose is copied to standard order, so that a product with it adds up the same
        // way whether or not somebody computed the transpose before.
        transposed(args[0]).as_standard_layout().into_owned().into()
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.t()
    }
    fn notation(&self) -> Notation {
        Notation::Suffix {
            text: "ᵀ".into(),
            latex: r"^{\top}".into(),
        }
    }
}

/// The sum over everything or over one axis. The transpose is [`Broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sum(pub Over);

impl LinearRule for Sum {
    const NAME: &'static str = "sum";
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
            Over::All => Value::scalar(args[0].real().sum()),
            Over::Axis(axis) => args[0]
                .matrix()
                .sum_axis(ndarray::Axis(axis.index()))
                .into(),
        }
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        match args[0].shape() {
            Some(shape) => y_bar.broadcast(shape, self.0),
            None => y_bar,
        }
    }
    fn notation(&self) -> Notation {
        match self.0 {
            Over::All => Notation::call("sum", r"\operatorname{sum}"),
            Over::Axis(axis) => Notation::call_with(
                "sum",
                r"\operatorname{sum}",
                vec![Setting::Word(axis.text())],
            ),
        }
    }
}

/// A scalar repeated over a shape, or a vector repeated along a new axis. The transpose is
/// [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Broadcast {
    /// The shape of the result.
    pub shape: Shape,
    /// What is repeated: a scalar everywhere, or a vector along a new axis.
    pub over: Over,
}

impl LinearRule for Broadcast {
    const NAME: &'static str = "broadcast";
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
    fn notation(&self) -> Notation {
        match self.over {
            // A scalar next to an array is spread without being said.
            Over::All => Notation::Silent,
            Over::Axis(axis) => Notation::call_with(
                "repeat",
                r"\operatorname{repeat}",
                vec![Setting::Word(axis.text())],
            ),
        }
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            shape: self.shape.map(f),
            ..self
        }
    }
}

/// One of two values, entry by entry, by a condition that is zero (no) or not (yes). Linear in
/// the two values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select;

impl LinearRule for Select {
    const NAME: &'static str = "select";
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
        match i {
            1 => args[0].select(y_bar, zeros),
            _ => args[0].select(zeros, y_bar),
        }
    }
    fn notation(&self) -> Notation {
        Notation::call("select", r"\operatorname{select}")
    }
}
