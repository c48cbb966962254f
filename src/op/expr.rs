//! Expressions, in which users write recurrences and rows write derivatives.

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::panic::Location;

use super::{Alias, NodeId, Op, Pointwise};
use crate::shape::{Rate, Shape, Type};

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
    pub(super) fn fail(self, text: impl Into<String>) -> Self {
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
    pub(super) fn align(self, other: Self) -> (Self, Self) {
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
    pub(crate) fn is_flag(self) -> bool {
        self.id.is_some_and(|id| self.build.is_flag(id))
    }

    /// The product of this value with a tangent or cotangent `x`: [`strong_mul`](Self::strong_mul)
    /// if one of them can be infinite where the other is exactly zero.
    #[track_caller]
    pub(crate) fn applied_to(self, x: Self) -> Self {
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
