//! Diagonals, and other shapes of the same entries, one row each.

use ndarray::{Array1, Array2, IxDyn};

use super::axis::{all_real, real};
use super::call::{Call, Takes, ok};
use super::lowering::{Extent, Lowering, Move, Strides};
use super::{Expr, LinearRule, Linearity, Reason, Scalar, Setting, Value};
use crate::shape::{Dim, Shape, Type};

/// The diagonal of a square matrix, or the matrix with a vector as its diagonal. Each is the transpose of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Diag;

impl LinearRule for Diag {
    const NAME: &'static str = "diag";
    const CALLS: &'static [Call] = &[Call::new(
        "diag",
        "a diagonal matrix, or the diagonal of a matrix",
        1,
        &[],
        |_| ok(Self),
    )];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        match x.shape {
            Shape::Vector(n) => Ok(real(args, Shape::Matrix(n, n))),
            Shape::Matrix(m, n) if m == n => Ok(real(args, Shape::Vector(n))),
            _ => Err("it is defined for a vector or a square matrix"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        match args[0].rank() {
            1 => Array2::from_diag(&args[0].vector()).into(),
            _ => args[0].matrix().diag().to_owned().into(),
        }
    }
    fn transpose<'b>(&self, _: usize, _: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.diag()
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        let n = args[0][0];
        let (line, diagonal) = (Strides::of(1, 1), Strides::of(n + 1, 1));
        let (from, to) = match args[0][1] == 1 && out[1] != 1 {
            true => (line, diagonal),
            false => (diagonal, line),
        };
        Lowering::Move(vec![Move {
            extent: [n, 1],
            from,
            to,
        }])
    }
}

/// The same entries in another shape, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

/// The factors of the number of entries: a fixed number, and the sizes that have names, in order.
fn factors(shape: Shape) -> (usize, Vec<Dim>) {
    let (mut fixed, mut named) = (1_usize, Vec::new());
    for dim in shape.dims() {
        match dim.as_fixed() {
            Some(n) => fixed = fixed.saturating_mul(n),
            None => {
                let (factor, whole) = dim.factored();
                fixed = fixed.saturating_mul(factor);
                named.push(whole);
            }
        }
    }
    named.sort_unstable_by_key(|dim| format!("{dim:?}"));
    (fixed, named)
}

impl LinearRule for Reshape {
    const NAME: &'static str = "reshape";
    const CALLS: &'static [Call] = &[Call::new(
        "reshape",
        "the same entries, row by row, in another shape",
        1,
        &[Takes::Shape],
        |given| {
            ok(Self {
                shape: given.shape.unwrap_or(Shape::Scalar),
            })
        },
    )
    .explained("write `reshape(x, [2, 3])`")];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        match factors(x.shape) == factors(self.shape) {
            true => Ok(real(args, self.shape)),
            false => Err(
                "the shapes do not have the same number of entries for every size of the dimensions",
            ),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let dims = self
            .shape
            .as_fixed()
            .expect("an evaluated tape has fixed sizes");
        let entries: Array1<F> = args[0].real().iter().copied().collect();
        entries
            .into_dyn()
            .into_shape_with_order(IxDyn(&dims))
            .expect("the number of entries is checked on insertion")
            .into()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        match args[0].shape() {
            Some(shape) => y_bar.reshape(shape),
            None => y_bar,
        }
    }
    fn lower(&self, _: &[Extent], _: Extent) -> Lowering {
        Lowering::Part(0)
    }
    fn settings(&self) -> Vec<Setting> {
        vec![Setting::Shape(self.shape)]
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            shape: self.shape.map(f),
        }
    }
}

impl Expr<'_> {
    /// The diagonal `[n]` of a matrix `[n, n]`, or the matrix `[n, n]` with a vector `[n]` as its diagonal.
    #[must_use]
    #[track_caller]
    pub fn diag(self) -> Self {
        Self::apply(Diag, &[self])
    }

    /// The sum of the diagonal of a square matrix.
    #[must_use]
    #[track_caller]
    pub fn trace(self) -> Self {
        self.diag().sum()
    }

    /// The same entries in another shape, row by row.
    #[must_use]
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self::apply(Reshape { shape }, &[self])
    }
}
