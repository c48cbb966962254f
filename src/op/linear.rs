//! Linear and bilinear ops, one row each: shape, value, and the transpose in each argument.

use ndarray::{Array1, Array2, ArrayD, IxDyn, Slice as Span};
use smallvec::SmallVec;

use super::{Expr, LinearRule, Linearity, Notation, Reason, Scalar, Setting, Value, common_shape};
use crate::shape::{Dim, Kind, Rate, Shape, Type};

/// An axis of a matrix; a vector has only rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The first axis, counted downwards.
    Rows,
    /// The second axis, counted to the right.
    Columns,
}

impl Axis {
    const fn index(self) -> usize {
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

    const fn text(self) -> &'static str {
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

fn real(args: &[Type], shape: Shape) -> Type {
    Type::real(shape, rate(args))
}

fn all_real(args: &[Type]) -> Result<(), Reason> {
    if args.iter().all(|t| t.is_real()) {
        Ok(())
    } else {
        Err("a class is not a number; use `gather` or `one_hot`")
    }
}

/// The size of a fixed dimension; the evaluator only runs tapes without named dimensions.
fn fixed(d: Dim) -> usize {
    d.as_fixed().expect("an evaluated tape has fixed sizes")
}

fn size(shape: Shape, axis: Axis) -> Option<Dim> {
    shape.dims().get(axis.index()).copied()
}

fn with_size(shape: Shape, axis: Axis, len: Dim) -> Shape {
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

/// Values joined along an axis. The transpose is [`Slice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The axis along which to join.
    pub axis: Axis,
}

impl LinearRule for Concat {
    const NAME: &'static str = "concat";
    fn linearity(&self) -> Linearity {
        Linearity::Jointly(0)
    }
    fn infer(&self, args: &[Type]) -> Result<Type, Reason> {
        all_real(args)?;
        let first = args.first().ok_or("it needs an argument")?.shape;
        let mut total: Option<Dim> = None;
        for arg in args {
            let len = size(arg.shape, self.axis).ok_or("a scalar cannot be joined to others")?;
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
    fn notation(&self) -> Notation {
        Notation::call("concat", r"\operatorname{concat}")
    }
}

/// A contiguous part of a vector, or of the rows or columns of a matrix. The transpose is
/// [`Pad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The axis to cut.
    pub axis: Axis,
    /// The first index, counted from 0.
    pub start: Dim,
    /// The number of indices.
    pub len: Dim,
}

impl LinearRule for Slice {
    const NAME: &'static str = "slice";
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
    fn notation(&self) -> Notation {
        let extra = vec![
            Setting::Word(self.axis.text()),
            Setting::Size(self.start),
            Setting::Size(self.len),
        ];
        Notation::call_with("slice", r"\operatorname{slice}", extra)
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            start: f(self.start),
            len: f(self.len),
            ..self
        }
    }
}

/// Zeros put before and after. The transpose is [`Slice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// The axis to lengthen.
    pub axis: Axis,
    /// How many zeros come before.
    pub before: Dim,
    /// How many zeros come after.
    pub after: Dim,
}

impl LinearRule for Pad {
    const NAME: &'static str = "pad";
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
    fn notation(&self) -> Notation {
        let extra = vec![
            Setting::Word(self.axis.text()),
            Setting::Size(self.before),
            Setting::Size(self.after),
        ];
        Notation::call_with("pad", r"\operatorname{pad}", extra)
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            before: f(self.before),
            after: f(self.after),
            ..self
        }
    }
}

/// An entry of a vector, or a row or column of a matrix, chosen by a class. The transpose is
/// [`Scatter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// The axis along which the class chooses.
    pub axis: Axis,
}

impl LinearRule for Gather {
    const NAME: &'static str = "gather";
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
    fn notation(&self) -> Notation {
        match self.axis {
            Axis::Rows => Notation::call("gather", r"\operatorname{gather}"),
            Axis::Columns => Notation::call("gather_column", r"\operatorname{gather}"),
        }
    }
}

/// Zeros with a value at the entry, row or column of a class. The transpose is [`Gather`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// The axis along which the class chooses.
    pub axis: Axis,
    /// The number of classes.
    pub len: Dim,
}

impl LinearRule for Scatter {
    const NAME: &'static str = "scatter";
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
    fn notation(&self) -> Notation {
        match self.axis {
            Axis::Rows => Notation::call("scatter", r"\operatorname{scatter}"),
            Axis::Columns => Notation::call("scatter_column", r"\operatorname{scatter}"),
        }
    }
    fn map_dims(self, f: &dyn Fn(Dim) -> Dim) -> Self {
        Self {
            len: f(self.len),
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
