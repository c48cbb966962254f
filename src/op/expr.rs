//! Expressions, in which users write recurrences and rows write derivatives.

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::panic::Location;

use super::{
    Alias, Axis, Broadcast, Concat, Dot, Edge, Gather, Hold, Impulse, MatMul, NodeId, Op, Outer,
    Over, Pad, Pick, Pointwise, Reduce, Scatter, Select, Slice, Sum, Total, Transpose,
};
use crate::shape::{Dim, Kind, Rate, Shape, Type};

/// A mistake found while an expression is built; the builder adds the text of the expression.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The op does not accept these arguments.
    Arguments {
        op: Op,
        args: Vec<NodeId>,
        reason: String,
    },
    /// Any other mistake, as a message.
    Other(String),
}

/// The arena in which expressions are built.
pub(crate) trait Build {
    /// Appends `op(args)`; the arguments are held at their common rate. Returns `None` after
    /// recording a mistake, or if an argument is `None`.
    fn apply(
        &self,
        op: Op,
        args: &[Option<NodeId>],
        at: &'static Location<'static>,
    ) -> Option<NodeId>;
    fn type_of(&self, id: NodeId) -> Type;
    fn fail(&self, fault: Fault, at: &'static Location<'static>);
    fn name(&self, id: NodeId, name: &str, at: &'static Location<'static>);
    /// The number of a new alias, if the node already has an identity: it is a leaf, the read or
    /// the definition of a register, a named value, or a constant (which is shared by all its
    /// uses).
    fn identity(&self, id: NodeId) -> Option<u32>;
    /// Returns true if the value can be infinite or NaN for finite data; overflow of sums and
    /// products does not count.
    fn has_pole(&self, id: NodeId) -> bool;
    /// Returns true if the value is exactly zero in a whole region: a comparison, or a multiple of one.
    fn is_flag(&self, id: NodeId) -> bool;
    /// Returns true if the value can differ between samples or steps.
    fn varies(&self, id: NodeId) -> bool;
}

/// A value in a recurrence under construction.
///
/// Expressions are small `Copy` handles. Operators never panic: a mistake, e.g. shapes that do not
/// fit, is recorded, and the definition returns all mistakes as one error. The result of a mistake
/// has no shape and no rate.
///
/// `a + b`, `a - b`, `a * b`, `a / b` work entry by entry on equal shapes; a scalar or a number is
/// broadcast to the shape of the other operand. `a.dot(b)` is the matrix product.
#[derive(Clone, Copy)]
pub struct Expr<'b> {
    build: &'b dyn Build,
    id: Option<NodeId>,
}

impl fmt::Debug for Expr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.id).finish()
    }
}

impl<'b> Expr<'b> {
    pub(crate) fn new(build: &'b dyn Build, id: Option<NodeId>) -> Self {
        Self { build, id }
    }

    pub(crate) fn id(self) -> Option<NodeId> {
        self.id
    }

    /// Returns true if this expression was built in `build`.
    pub(crate) fn belongs_to(self, build: &dyn Build) -> bool {
        std::ptr::addr_eq(self.build, build)
    }

    pub(crate) fn ty(self) -> Option<Type> {
        self.id.map(|id| self.build.type_of(id))
    }

    /// The shape; `None` after a mistake.
    #[must_use]
    pub fn shape(self) -> Option<Shape> {
        self.ty().map(|t| t.shape)
    }

    /// The rate; `None` after a mistake.
    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        self.ty().map(|t| t.rate)
    }

    /// Applies an op to at least one argument.
    #[track_caller]
    pub(crate) fn apply(op: impl Into<Op>, args: &[Self]) -> Self {
        Self::apply_in(args[0].build, op.into(), args)
    }

    /// Applies an op, possibly without arguments, in `build`.
    #[track_caller]
    pub(crate) fn apply_in(build: &'b dyn Build, op: Op, args: &[Self]) -> Self {
        let at = Location::caller();
        let mut ids = Vec::with_capacity(args.len());
        for arg in args {
            if arg.belongs_to(build) {
                ids.push(arg.id);
            } else {
                let text = "an argument belongs to another recurrence";
                build.fail(Fault::Other(text.into()), at);
                ids.push(None);
            }
        }
        Self::new(build, build.apply(op, &ids, at))
    }

    #[track_caller]
    fn fail(self, text: impl Into<String>) -> Self {
        self.build
            .fail(Fault::Other(text.into()), Location::caller());
        Self { id: None, ..self }
    }

    /// The sum of expressions of one shape, from left to right; `None` if there are none.
    pub(crate) fn sum_all(terms: impl IntoIterator<Item = Self>) -> Option<Self> {
        terms.into_iter().reduce(|a, b| a + b)
    }

    /// Names this value. The name appears in errors, listings and derivations, and one can
    /// differentiate with respect to it. Use the result in place of `self`.
    ///
    /// If the value is a parameter, an input, a state or a constant, or has a name, the result is a
    /// new value: a derivative with respect to the new name counts only the uses of the result.
    #[must_use]
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        let at = Location::caller();
        let named = self.distinct();
        if let Some(id) = named.id {
            self.build.name(id, name, at);
        }
        named
    }

    /// This value, as a node without another identity.
    #[track_caller]
    pub(crate) fn distinct(self) -> Self {
        match self.id.and_then(|id| self.build.identity(id)) {
            Some(number) => Self::apply(Alias(number), &[self]),
            None => self,
        }
    }

    /// The number `value`, a static scalar of the same recurrence.
    #[must_use]
    pub fn constant(self, value: f64) -> Self {
        let at = Location::caller();
        Self::new(self.build, self.build.apply(Op::constant(value), &[], at))
    }

    /// An array of the shape of `self`, filled with `value`.
    #[must_use]
    pub fn full_like(self, value: f64) -> Self {
        self.constant(value).spread_like(self)
    }

    /// Zeros of the shape and rate of `self`.
    pub(crate) fn zeros_like(self) -> Self {
        let zeros = self.full_like(0.0);
        self.rate().map_or(zeros, |rate| zeros.hold(rate))
    }

    /// A scalar broadcast to the shape of `other`.
    fn spread_like(self, other: Self) -> Self {
        match other.shape() {
            Some(shape) => self.spread(shape),
            None => Self { id: None, ..self },
        }
    }

    #[track_caller]
    pub(super) fn pointwise2(self, op: Pointwise, other: Self) -> Self {
        let (a, b) = self.align(other);
        Self::apply(op, &[a, b])
    }

    /// Broadcasts a scalar operand to the shape of the other operand.
    fn align(self, other: Self) -> (Self, Self) {
        match (self.shape(), other.shape()) {
            (Some(Shape::Scalar), Some(shape)) if shape != Shape::Scalar && self.is_real() => {
                (self.spread(shape), other)
            }
            (Some(shape), Some(Shape::Scalar)) if shape != Shape::Scalar && other.is_real() => {
                (self, other.spread(shape))
            }
            _ => (self, other),
        }
    }

    /// Returns true if the value can be infinite or NaN for finite data.
    pub(super) fn has_pole(self) -> bool {
        self.id.is_some_and(|id| self.build.has_pole(id))
    }

    /// Returns true if the value can differ between samples or steps.
    pub(super) fn varies(self) -> bool {
        self.id.is_some_and(|id| self.build.varies(id))
    }

    /// Returns true if the value is exactly zero in a whole region.
    fn is_flag(self) -> bool {
        self.id.is_some_and(|id| self.build.is_flag(id))
    }

    /// The product of this value with a tangent or cotangent `x`: [`strong_mul`](Self::strong_mul)
    /// if one of them can be infinite where the other is exactly zero.
    #[track_caller]
    pub(super) fn applied_to(self, x: Self) -> Self {
        if self.has_pole() || self.is_flag() && x.has_pole() {
            self.strong_mul(x)
        } else {
            self * x
        }
    }

    fn is_real(self) -> bool {
        self.ty().is_some_and(Type::is_real)
    }

    #[track_caller]
    pub(super) fn pointwise1(self, op: Pointwise) -> Self {
        Self::apply(op, &[self])
    }

    /// `yes` where `self` is nonzero, `no` where it is zero, NaN where it is NaN, entry by entry. A
    /// scalar among the three is broadcast to the shape of the others.
    #[must_use]
    #[track_caller]
    pub fn select(self, yes: Self, no: Self) -> Self {
        let (yes, no) = yes.align(no);
        let (condition, yes) = self.align(yes);
        let (_, no) = condition.align(no);
        Self::apply(Select, &[condition, yes, no])
    }

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
            None => Self { id: None, ..self },
        }
    }

    /// The unit vector `[n]` of a class in `0..n`: 1 at the class, 0 elsewhere.
    #[must_use]
    #[track_caller]
    pub fn one_hot(self) -> Self {
        self.constant(1.0).scatter(Axis::Rows, self)
    }

    /// `ln Σ exp(selfᵢ)` of a vector, a scalar.
    #[must_use]
    #[track_caller]
    pub fn logsumexp(self) -> Self {
        Self::apply(Reduce::LogSumExp, &[self])
    }

    /// `exp(selfᵢ) / Σⱼ exp(selfⱼ)` of a vector.
    #[must_use]
    #[track_caller]
    pub fn softmax(self) -> Self {
        Self::apply(Reduce::Softmax, &[self])
    }

    /// `selfᵢ − logsumexp(self)` of a vector.
    #[must_use]
    #[track_caller]
    pub fn log_softmax(self) -> Self {
        Self::apply(Reduce::LogSoftmax, &[self])
    }

    /// This value at a faster rate: the same for every sample (`Rate::Sample`), or for every sample
    /// and step (`Rate::Step`).
    #[must_use]
    #[track_caller]
    pub fn hold(self, rate: Rate) -> Self {
        Self::apply(Hold(rate), &[self])
    }

    /// The sum over the steps of each sample (`Rate::Sample`), or over all samples and steps
    /// (`Rate::Static`).
    #[must_use]
    #[track_caller]
    pub fn total(self, rate: Rate) -> Self {
        if self.rate() == Some(rate) {
            return self;
        }
        Self::apply(Total(rate), &[self])
    }

    /// The value at step 1 of each sample.
    #[must_use]
    #[track_caller]
    pub fn first(self) -> Self {
        Self::apply(Pick(Edge::First), &[self])
    }

    /// The value at the last step of each sample.
    #[must_use]
    #[track_caller]
    pub fn last(self) -> Self {
        Self::apply(Pick(Edge::Last), &[self])
    }

    /// A value per sample, placed at the first or last step of the sample; zero at all other steps.
    #[must_use]
    #[track_caller]
    pub fn impulse(self, edge: Edge) -> Self {
        Self::apply(Impulse(edge), &[self])
    }

    #[track_caller]
    pub(crate) fn pick(self, edge: Edge) -> Self {
        Self::apply(Pick(edge), &[self])
    }

    /// Applies a custom op to arguments of one recurrence; see [`CustomOp`](super::CustomOp).
    #[must_use]
    #[track_caller]
    pub fn custom<const N: usize>(
        op: &std::sync::Arc<dyn super::CustomOp>,
        args: [Self; N],
    ) -> Self {
        const { assert!(N > 0, "a custom op takes at least one argument") };
        Self::apply(Op::Custom(super::Custom::new(op)), &args)
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

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl<'b> $trait for Expr<'b> {
            type Output = Self;
            #[track_caller]
            fn $method(self, other: Self) -> Self {
                self.pointwise2($op, other)
            }
        }

        impl<'b> $trait<f64> for Expr<'b> {
            type Output = Self;
            #[track_caller]
            fn $method(self, other: f64) -> Self {
                self.pointwise2($op, self.full_like(other))
            }
        }

        impl<'b> $trait<Expr<'b>> for f64 {
            type Output = Expr<'b>;
            #[track_caller]
            fn $method(self, other: Expr<'b>) -> Expr<'b> {
                other.full_like(self).pointwise2($op, other)
            }
        }
    };
}

operator!(Add, add, Pointwise::Add);
operator!(Sub, sub, Pointwise::Sub);
operator!(Mul, mul, Pointwise::Mul);
operator!(Div, div, Pointwise::Div);

impl Neg for Expr<'_> {
    type Output = Self;
    #[track_caller]
    fn neg(self) -> Self {
        self.pointwise1(Pointwise::Neg)
    }
}
