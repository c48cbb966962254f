//! Products and the transpose, one row each.

use ndarray::Array2;

use super::axis::{Axis, Over, all_real, real};
use super::lowering::{Contract, Extent, Lowering, entries};
use super::value::total;
use super::{Expr, LinearRule, Linearity, Notation, Reason, Scalar, Spelling, Value, common_shape};
use crate::shape::{Dim, Shape, Type};

fn transposed<F: Scalar>(a: &Value<F>) -> ndarray::ArrayView2<'_, F> {
    a.matrix().reversed_axes()
}

/// The outer product, of factors of which one can be infinite: zero wherever the other is.
fn strong_outer<'b>(a: Expr<'b>, b: Expr<'b>) -> Expr<'b> {
    let size = |x: Expr<'b>| x.shape().and_then(|s| s.dims().first().copied());
    let shape = Shape::Matrix(
        size(a).unwrap_or(Dim::INVALID),
        size(b).unwrap_or(Dim::INVALID),
    );
    let rows = b.broadcast(shape, Over::Axis(Axis::Rows));
    a.broadcast(shape, Over::Axis(Axis::Columns))
        .strong_mul(rows)
}

/// The products of a matrix with a vector, summed over one axis, where one of them can be infinite:
/// nothing is added wherever the other is zero.
fn strong_sum<'b>(matrix: Expr<'b>, vector: Expr<'b>, axis: Axis) -> Expr<'b> {
    let Some(shape) = matrix.shape() else {
        return matrix;
    };
    let vector = vector.broadcast(shape, Over::Axis(axis.other()));
    matrix.strong_mul(vector).sum_axis(axis)
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
            (0, true) if args[1].has_pole() => strong_outer(y_bar, args[1]),
            (0, true) => y_bar.outer(args[1]),
            (0, false) => y_bar.dot(args[1].t()),
            (_, true) if args[0].has_pole() => strong_sum(args[0], y_bar, Axis::Rows),
            _ => args[0].t().dot(y_bar),
        }
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Product
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
        let terms = args[0].real().iter().zip(args[1].real());
        Value::scalar(total(terms.map(|(a, b)| *a * *b)))
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        args[1 - i].applied_to(y_bar)
    }
    fn lower(&self, args: &[Extent], _: Extent) -> Lowering {
        Lowering::Contract(Contract {
            m: 1,
            k: entries(args[0]),
            n: 1,
            a: [0, 1],
            b: [1, 0],
        })
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
        let other = args[1 - i];
        match i {
            0 if other.has_pole() => strong_sum(y_bar, other, Axis::Columns),
            0 => y_bar.dot(other),
            _ if other.has_pole() => strong_sum(y_bar, other, Axis::Rows),
            _ => y_bar.t().dot(other),
        }
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Outer
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
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Transpose
    }
    fn notation(&self) -> Notation {
        Notation::Suffix {
            text: "ᵀ".into(),
            latex: r"^{\top}".into(),
        }
    }
    fn spelling(&self) -> Spelling {
        Spelling::Suffix(".T".into(), 5)
    }
}
