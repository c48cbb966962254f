//! Products and the transpose, one row each.

use ndarray::{Array2, ArrayView1};

use super::axis::{all_real, real};
use super::call::{Call, ok};
use super::lowering::{Contract, Extent, Lowering, entries};
use super::value::total;
use super::{
    Expr, LinearRule, Linearity, Notation, Op, Pointwise, Reason, Scalar, Spelling, Value,
    common_shape,
};
use crate::shape::{Shape, Type};

fn transposed<F: Scalar>(a: &Value<F>) -> ndarray::ArrayView2<'_, F> {
    a.matrix().reversed_axes()
}

fn product<'b>(strong: bool, a: Expr<'b>, b: Expr<'b>) -> Expr<'b> {
    Expr::apply(MatMul { strong }, &[a, b])
}

fn outer<'b>(strong: bool, a: Expr<'b>, b: Expr<'b>) -> Expr<'b> {
    Expr::apply(Outer { strong }, &[a, b])
}

/// The product of two numbers; if `strong`, zero times infinity is zero.
fn times<F: Scalar>(strong: bool, a: F, b: F) -> F {
    match strong {
        true => Pointwise::StrongMul.eval(&[a, b]),
        false => a * b,
    }
}

/// The matrix product `A x` or `A B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatMul {
    /// True if zero times infinity is zero, as in `strong_mul`.
    pub strong: bool,
}

impl LinearRule for MatMul {
    const NAME: &'static str = "matmul";
    const CALLS: &'static [Call] = &[
        Call::new(
            "matmul",
            "the product of a matrix with a matrix or a vector",
            2,
            &[],
            |_| ok(Self { strong: false }),
        ),
        Call::new(
            "strong_matmul",
            "the same, of products by `strong_mul`",
            2,
            &[],
            |_| ok(Self { strong: true }),
        ),
    ];
    const ROUNDS: bool = true;
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
        if self.strong {
            let entry = |row: ArrayView1<'_, F>, column: ArrayView1<'_, F>| {
                total(row.iter().zip(column).map(|(a, b)| times(true, *a, *b)))
            };
            if args[1].rank() == 1 {
                let b = args[1].vector();
                return a.map_axis(ndarray::Axis(1), |row| entry(row, b)).into();
            }
            let b = args[1].matrix();
            let at = |(i, j): (usize, usize)| entry(a.row(i), b.column(j));
            return Array2::from_shape_fn((a.nrows(), b.ncols()), at).into();
        }
        if args[1].rank() == 1 {
            a.dot(&args[1].vector()).into()
        } else {
            // The product of `ndarray` depends on the processor.
            let b = args[1].matrix();
            let at = |(i, j): (usize, usize)| a.row(i).dot(&b.column(j));
            Array2::from_shape_fn((a.nrows(), b.ncols()), at).into()
        }
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let vector = args[1].shape().is_some_and(|s| s.rank() == 1);
        let other = args[1 - i];
        // An infinity in a constant matrix counts at every step, so a strong product would not help:
        // its products stay plain matrix products.
        let strong = self.strong || other.has_pole() && (i == 0 || other.varies());
        match (i, vector) {
            (0, true) => outer(strong, y_bar, args[1]),
            (0, false) => product(strong, y_bar, args[1].t()),
            _ => product(strong, args[0].t(), y_bar),
        }
    }
    fn lower(&self, args: &[Extent], _: Extent) -> Lowering {
        if !self.strong {
            return Lowering::Product;
        }
        Lowering::Contract(Contract::product(args[0], args[1][1], true))
    }
    fn notation(&self) -> Notation {
        Notation::infix("@", r"\,", 3)
    }
    fn spelling(&self) -> Spelling {
        match self.strong {
            true => self.as_call(),
            false => self.notation().into(),
        }
    }
    fn remedy(&self, args: &[Type]) -> Option<&'static str> {
        match [args.first()?.shape, args.get(1)?.shape] {
            [Shape::Scalar, _] | [_, Shape::Scalar] => Some(
                "the product with a number is written `*`; a vector or matrix has its size in its declaration, as in `state h[H]`",
            ),
            [Shape::Matrix(n, _), Shape::Vector(m)] if n == m => {
                Some("the transpose of the matrix fits: `A.T @ v`, written `.T`")
            }
            _ => None,
        }
    }
}

/// The inner product `Σ aᵢ bᵢ` of two vectors or two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dot;

impl LinearRule for Dot {
    const NAME: &'static str = "dot";
    const CALLS: &'static [Call] = &[Call::new(
        "dot",
        "`Σ aᵢ bᵢ`, also of two matrices",
        2,
        &[],
        |given| {
            let numbers = given.types.iter().all(|t| t.shape == Shape::Scalar);
            if numbers {
                ok(Pointwise::Mul)
            } else {
                ok(Self)
            }
        },
    )];
    const ROUNDS: bool = true;
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
            strong: false,
        })
    }
    fn remedy(&self, args: &[Type]) -> Option<&'static str> {
        let is_matrix = |t: &Type| t.shape.rank() == 2;
        let remedy = "the matrix product is written `A @ b`";
        args.iter().any(is_matrix).then_some(remedy)
    }
}

/// The outer product `a bᵀ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outer {
    /// True if zero times infinity is zero, as in `strong_mul`.
    pub strong: bool,
}

impl LinearRule for Outer {
    const NAME: &'static str = "outer";
    const CALLS: &'static [Call] = &[
        Call::new("outer", "`a bᵀ`", 2, &[], |_| ok(Self { strong: false })),
        Call::new(
            "strong_outer",
            "the same, of products by `strong_mul`",
            2,
            &[],
            |_| ok(Self { strong: true }),
        ),
    ];
    const ROUNDS: bool = true;
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
        let entry = |(i, j): (usize, usize)| times(self.strong, a[i], b[j]);
        Array2::from_shape_fn((a.len(), b.len()), entry).into()
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let strong = self.strong || args[1 - i].has_pole();
        match i {
            0 => product(strong, y_bar, args[1]),
            _ => product(strong, y_bar.t(), args[0]),
        }
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Outer {
            strong: self.strong,
        }
    }
    fn notation(&self) -> Notation {
        Notation::call(Self::NAME, &self.latex())
    }
}

/// The transpose of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transpose;

impl LinearRule for Transpose {
    const NAME: &'static str = "transpose";
    const CALLS: &'static [Call] = &[Call::new(
        "transpose",
        "the transpose of a matrix",
        1,
        &[],
        |_| ok(Self),
    )];
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
        // The transpose is copied to C order, so a product with it adds its terms in one order, also
        // if the transpose is a node with other users.
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
    fn remedy(&self, args: &[Type]) -> Option<&'static str> {
        let remedy = "of vectors, `x @ y` is the inner and `outer(x, y)` the outer product, `x @ W` is `W.T @ x`";
        (args.first()?.shape.rank() == 1).then_some(remedy)
    }
}

impl Expr<'_> {
    /// The matrix product.
    ///
    /// | `self` | `other` | result |
    /// |---|---|---|
    /// | `[m, n]` | `[n]` | `[m]` |
    /// | `[m, n]` | `[n, p]` | `[m, p]` |
    /// | `[n]` | `[n]` | `[]`, the inner product |
    /// | `[m]` | `[m, n]` | `[n]`, i.e. `otherᵀ self`, as in `ndarray` |
    #[must_use]
    #[track_caller]
    pub fn dot(self, other: Self) -> Self {
        let op: Op = match (self.shape(), other.shape()) {
            (Some(Shape::Vector(_)), Some(Shape::Vector(_))) => Dot.into(),
            (Some(Shape::Vector(_)), Some(Shape::Matrix(..))) => return other.t().dot(self),
            _ => MatMul { strong: false }.into(),
        };
        Self::apply(op, &[self, other])
    }

    /// The Frobenius inner product `Σ selfᵢⱼ otherᵢⱼ` of two values of one shape, a scalar.
    #[must_use]
    #[track_caller]
    pub fn inner(self, other: Self) -> Self {
        if self.shape() == Some(Shape::Scalar) && other.shape() == Some(Shape::Scalar) {
            return self * other;
        }
        Self::apply(Dot, &[self, other])
    }

    /// The outer product `self otherᵀ`, `[m, n]`, of vectors `[m]` and `[n]`.
    #[must_use]
    #[track_caller]
    pub fn outer(self, other: Self) -> Self {
        Self::apply(Outer { strong: false }, &[self, other])
    }

    /// The transpose `[n, m]` of a matrix `[m, n]`.
    #[must_use]
    #[track_caller]
    pub fn t(self) -> Self {
        Self::apply(Transpose, &[self])
    }
}
