//! Slices, concatenation, padding, gather and scatter, one row each.

use ndarray::{Array1, Array2, ArrayD, IxDyn, Slice as Span};
use smallvec::SmallVec;

use super::axis::{Axis, all_real, fixed, real, size, with_size};
use super::call::{Call, Given, Made, Takes, ok};
use super::lowering::{Extent, Lowering, Move, Strides};
use super::{Expr, LinearRule, Linearity, Reason, Scalar, Setting, Spelling, Value};
use crate::shape::{Dim, Kind, Shape, Type};

const ROWS: Axis = Axis::Rows;
const COLUMNS: Axis = Axis::Columns;

/// The concatenation of values along an axis. The transpose is [`Slice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis of concatenation.
    pub axis: Axis,
}

impl LinearRule for Concat {
    const NAME: &'static str = "concat";
    const CALLS: &'static [Call] = &[
        Call::new(
            "concat",
            "vectors or matrices, one below the other",
            Call::MANY,
            &[],
            |_| ok(Self { axis: ROWS }),
        ),
        Call::new(
            "concat_columns",
            "matrices, side by side",
            Call::MANY,
            &[],
            |_| ok(Self { axis: COLUMNS }),
        ),
    ];
    fn linearity(&self) -> Linearity {
        Linearity::Jointly(0)
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let first = args.first().ok_or("it needs an argument")?.shape;
        let mut total: Option<Dim> = None;
        for arg in args {
            let len = size(arg.shape, self.axis).ok_or(match arg.shape {
                Shape::Scalar => "a scalar cannot be joined to others",
                _ => "only matrices are joined side by side",
            })?;
            if with_size(arg.shape, self.axis, Dim::fixed(1))
                != with_size(first, self.axis, Dim::fixed(1))
            {
                return Err("the shapes differ across the axis along which they are joined");
            }
            total = Some(total.map_or(len, |t| t + len));
        }
        let total = total.ok_or("it needs an argument")?;
        if total.is_invalid() {
            return Err("the joined size is a sum of too many named dimensions");
        }
        Ok(real(args, with_size(first, self.axis, total)))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let views: Vec<_> = args.iter().map(|a| a.real().view()).collect();
        ndarray::concatenate(ndarray::Axis(self.axis.index()), &views)
            .expect("the shapes are checked on insertion")
            .into()
    }
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let lens: SmallVec<[Dim; 4]> = args
            .iter()
            .filter_map(|a| size(a.shape()?, self.axis))
            .collect();
        let start = lens[..i].iter().fold(Dim::fixed(0), |a, b| a + *b);
        y_bar.slice_axis(self.axis, start, lens[i])
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        if self.axis == Axis::Rows {
            return Lowering::Join;
        }
        let mut start = 0;
        let place = |extent: &Extent| {
            let moved = Move {
                extent: *extent,
                from: Strides::of(extent[1], 1),
                to: Strides::of(out[1], 1).starting(start),
            };
            start += extent[1];
            moved
        };
        Lowering::Move(args.iter().map(place).collect())
    }
}

/// A contiguous part of a vector, or of the rows or columns of a matrix. The transpose is
/// [`Pad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis of the slice.
    pub axis: Axis,
    /// The first index (0-based).
    pub start: Dim,
    /// The number of indices.
    pub len: Dim,
}

impl LinearRule for Slice {
    const NAME: &'static str = "slice";
    const CALLS: &'static [Call] = &[Call::new(
        "slice",
        "`n` entries from entry `m` on, as `x[m:m + n]`",
        1,
        &[Takes::AxisIfAny, Takes::Size, Takes::Size],
        |given| {
            let (axis, start, len) = (given.axis_or_rows(), given.size(0), given.size(1));
            ok(Self { axis, start, len })
        },
    )
    .explained("write `slice(x, start, length)` or `slice(A, columns, start, length)`")];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        let total = size(x.shape, self.axis).ok_or("there is no such axis to slice")?;
        if total.checked_sub(self.start + self.len).is_none() {
            return Err("the slice is not inside the value for every size of the dimensions");
        }
        Ok(real(args, with_size(x.shape, self.axis, self.len)))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let start = fixed(self.start);
        let span = Span::from(start..start + fixed(self.len));
        args[0]
            .real()
            .slice_axis(ndarray::Axis(self.axis.index()), span)
            .to_owned()
            .into()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let after = args[0]
            .shape()
            .and_then(|s| size(s, self.axis))
            .and_then(|total| total.checked_sub(self.start + self.len));
        y_bar.pad(self.axis, self.start, after.unwrap_or(Dim::INVALID))
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        let (start, columns) = (fixed(self.start), args[0][1]);
        match self.axis {
            Axis::Rows => Lowering::Part(start * columns),
            Axis::Columns => Lowering::Move(vec![Move {
                extent: out,
                from: Strides::of(columns, 1).starting(start),
                to: Strides::of(out[1], 1),
            }]),
        }
    }
    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::Word(self.axis.text()),
            Setting::Size(self.start),
            Setting::Size(self.len),
        ]
    }
    fn spelling(&self) -> Spelling {
        Spelling::Range(self.axis, self.start, self.start + self.len)
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            start: f(self.start),
            len: f(self.len),
            ..self
        }
    }
}

/// Zero padding at both ends of an axis. The transpose is [`Slice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// The padded axis.
    pub axis: Axis,
    /// The number of zeros before the value.
    pub before: Dim,
    /// The number of zeros after the value.
    pub after: Dim,
}

impl LinearRule for Pad {
    const NAME: &'static str = "pad";
    const CALLS: &'static [Call] = &[Call::new(
        "pad",
        "zeros: `m` before and `n` behind",
        1,
        &[Takes::AxisIfAny, Takes::Size, Takes::Size],
        |given| {
            let axis = given.axis_or_rows();
            let (before, after) = (given.size(0), given.size(1));
            ok(Self {
                axis,
                before,
                after,
            })
        },
    )
    .explained("write `pad(x, before, after)` or `pad(A, columns, before, after)`")];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let [x] = args else {
            return Err("it takes one argument");
        };
        let len = size(x.shape, self.axis).ok_or("there is no such axis to pad")?;
        let total = self.before + len + self.after;
        if total.is_invalid() {
            return Err("the padded size is a sum of too many named dimensions");
        }
        Ok(real(args, with_size(x.shape, self.axis, total)))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let x = args[0].real();
        let axis = ndarray::Axis(self.axis.index());
        let (before, len) = (fixed(self.before), x.len_of(axis));
        let mut dims = x.shape().to_vec();
        dims[axis.index()] = before + len + fixed(self.after);
        let mut padded = ArrayD::zeros(IxDyn(&dims));
        padded
            .slice_axis_mut(axis, Span::from(before..before + len))
            .assign(x);
        padded.into()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        let len = args[0].shape().and_then(|s| size(s, self.axis));
        y_bar.slice_axis(self.axis, self.before, len.unwrap_or(Dim::INVALID))
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        let before = fixed(self.before);
        let start = match self.axis {
            Axis::Rows => before * out[1],
            Axis::Columns => before,
        };
        Lowering::Move(vec![Move {
            extent: args[0],
            from: Strides::of(args[0][1], 1),
            to: Strides::of(out[1], 1).starting(start),
        }])
    }
    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::Word(self.axis.text()),
            Setting::Size(self.before),
            Setting::Size(self.after),
        ]
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            before: f(self.before),
            after: f(self.after),
            ..self
        }
    }
}

/// The entry of a vector, or the row or column of a matrix, at the index given by a class. The
/// transpose is [`Scatter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis indexed by the class.
    pub axis: Axis,
}

impl LinearRule for Gather {
    const NAME: &'static str = "gather";
    const CALLS: &'static [Call] = &[
        Call::new(
            "gather",
            "the entry or row of `a` of the class `b`",
            2,
            &[],
            |_| ok(Self { axis: ROWS }),
        ),
        Call::new(
            "gather_column",
            "the column of `a` of the class `b`",
            2,
            &[],
            |_| ok(Self { axis: COLUMNS }),
        ),
    ];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let [x, class] = args else {
            return Err("it takes two arguments");
        };
        let Kind::Class(count) = class.kind else {
            return Err("the second argument must be a class");
        };
        all_real(&args[..1])?;
        let total = size(x.shape, self.axis).ok_or("a scalar has no entries to choose from")?;
        if total != count {
            return Err("the number of classes is not the size of the axis");
        }
        Ok(real(
            args,
            match (x.shape, self.axis) {
                (Shape::Matrix(_, n), Axis::Rows) => Shape::Vector(n),
                (Shape::Matrix(m, _), Axis::Columns) => Shape::Vector(m),
                _ => Shape::Scalar,
            },
        ))
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let axis = ndarray::Axis(self.axis.index());
        args[0]
            .real()
            .index_axis(axis, args[1].class())
            .to_owned()
            .into()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.scatter(self.axis, args[1])
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        let columns = args[0][1];
        let from = match self.axis {
            Axis::Rows => Strides::of(1, 1).chosen(columns),
            Axis::Columns => Strides::of(columns, 1).chosen(1),
        };
        Lowering::Move(vec![Move {
            extent: out,
            from,
            to: Strides::of(1, 1),
        }])
    }
}

/// A value at the entry, row or column given by a class, and zeros elsewhere. The transpose is
/// [`Gather`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// The axis indexed by the class.
    pub axis: Axis,
    /// The number of classes.
    pub len: Dim,
}

impl Scatter {
    fn of(axis: Axis, given: &Given) -> Made {
        match given.types[..] {
            [_, class] => match class.kind {
                Kind::Class(len) => ok(Self { axis, len }),
                Kind::Real => Err("expected a class, found a real value"),
            },
            _ => Err("it takes two arguments"),
        }
    }
}

impl LinearRule for Scatter {
    const NAME: &'static str = "scatter";
    const CALLS: &'static [Call] = &[
        Call::new(
            "scatter",
            "zeros, with `a` at the entry or row of the class `b`",
            2,
            &[],
            |given| Self::of(ROWS, given),
        ),
        Call::new(
            "scatter_column",
            "zeros, with the vector `a` at the column of the class `b`",
            2,
            &[],
            |given| Self::of(COLUMNS, given),
        ),
    ];
    fn linearity(&self) -> Linearity {
        Linearity::Each
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        let [x, class] = args else {
            return Err("it takes two arguments");
        };
        all_real(&args[..1])?;
        if class.kind != Kind::Class(self.len) {
            return Err("the second argument must be a class of that size");
        }
        match (x.shape, self.axis) {
            (Shape::Scalar, Axis::Rows) => Ok(real(args, Shape::Vector(self.len))),
            (Shape::Vector(n), Axis::Rows) => Ok(real(args, Shape::Matrix(self.len, n))),
            (Shape::Vector(m), Axis::Columns) => Ok(real(args, Shape::Matrix(m, self.len))),
            _ => Err("a number is scattered into a vector, a vector into a matrix"),
        }
    }
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        let (class, len) = (args[1].class(), fixed(self.len));
        if args[0].rank() == 0 {
            let mut out = Array1::zeros(len);
            out[class] = args[0].item();
            return out.into();
        }
        let x = args[0].vector();
        let dims = match self.axis {
            Axis::Rows => (len, x.len()),
            Axis::Columns => (x.len(), len),
        };
        let mut out = Array2::zeros(dims);
        out.index_axis_mut(ndarray::Axis(self.axis.index()), class)
            .assign(&x);
        out.into()
    }
    fn transpose<'b>(&self, _: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b> {
        y_bar.gather_axis(self.axis, args[1])
    }
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        let to = match self.axis {
            Axis::Rows => Strides::of(1, 1).chosen(out[1]),
            Axis::Columns => Strides::of(out[1], 1).chosen(1),
        };
        Lowering::Move(vec![Move {
            extent: args[0],
            from: Strides::of(1, 1),
            to,
        }])
    }
    fn call(&self) -> &'static Call {
        &Self::CALLS[self.axis.index()]
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            len: f(self.len),
            ..self
        }
    }
}

impl Expr<'_> {
    /// The `len` entries of a vector, or rows of a matrix, from `start` (0-based).
    #[must_use]
    #[track_caller]
    pub fn slice(self, start: impl Into<Dim>, len: impl Into<Dim>) -> Self {
        self.slice_axis(Axis::Rows, start.into(), len.into())
    }

    /// The `len` columns of a matrix from `start` (0-based).
    #[must_use]
    #[track_caller]
    pub fn slice_columns(self, start: impl Into<Dim>, len: impl Into<Dim>) -> Self {
        self.slice_axis(Axis::Columns, start.into(), len.into())
    }

    #[track_caller]
    pub(super) fn slice_axis(self, axis: Axis, start: Dim, len: Dim) -> Self {
        Self::apply(Slice { axis, start, len }, &[self])
    }

    #[track_caller]
    pub(super) fn pad(self, axis: Axis, before: Dim, after: Dim) -> Self {
        Self::apply(
            Pad {
                axis,
                before,
                after,
            },
            &[self],
        )
    }

    /// Entry `class` of a vector `[n]`, or row `class` of a matrix `[n, k]` (an embedding), for a
    /// class in `0..n`.
    #[must_use]
    #[track_caller]
    pub fn gather(self, class: Self) -> Self {
        self.gather_axis(Axis::Rows, class)
    }

    /// Column `class` of a matrix `[m, n]`, for a class in `0..n`.
    #[must_use]
    #[track_caller]
    pub fn gather_column(self, class: Self) -> Self {
        self.gather_axis(Axis::Columns, class)
    }

    #[track_caller]
    pub(super) fn gather_axis(self, axis: Axis, class: Self) -> Self {
        Self::apply(Gather { axis }, &[self, class])
    }

    #[track_caller]
    pub(super) fn scatter(self, axis: Axis, class: Self) -> Self {
        match class.ty().map(|t| t.kind) {
            Some(Kind::Class(len)) => Self::apply(Scatter { axis, len }, &[self, class]),
            Some(Kind::Real) => self.fail("scatter needs a class, found a real value"),
            None => class,
        }
    }

    /// The unit vector `[n]` of a class in `0..n`: 1 at the class, 0 elsewhere.
    #[must_use]
    #[track_caller]
    pub fn one_hot(self) -> Self {
        self.constant(1.0).scatter(Axis::Rows, self)
    }
}

/// The concatenation of vectors, `[a; b; …]`, or of matrices with equal numbers of columns, from
/// top to bottom.
#[must_use]
#[track_caller]
pub fn concat<'b, const N: usize>(parts: [Expr<'b>; N]) -> Expr<'b> {
    const { assert!(N > 0, "there must be something to join") };
    Expr::apply(Concat { axis: Axis::Rows }, &parts)
}
