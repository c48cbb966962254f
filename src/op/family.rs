//! The common parts of the families of linear ops: the contract of a row, and the enum of rows.

use std::hash::Hash;

use super::lowering::{Extent, Lowering};
use super::{Expr, Notation, Reason, Scalar, Spelling, Value};
use crate::shape::{Dim, Type};

/// The way in which an op depends on its real arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linearity {
    /// Linear in each real argument, with all others fixed.
    Each,
    /// Jointly linear in all arguments from this index on, with the earlier ones fixed.
    Jointly(usize),
}

/// The contract of a row of a linear op.
pub(crate) trait LinearRule: Copy + Hash + Eq {
    const NAME: &'static str;
    fn linearity(&self) -> Linearity;
    /// The type of the result at the common rate of the arguments.
    fn infer(&self, args: &[Type]) -> Result<Type, Reason>;
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F>;
    /// The cotangent of argument `i` when the result has cotangent `y_bar`.
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b>;
    /// The memory pattern, for arguments and a result of these extents.
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering;
    fn notation(&self) -> Notation;
    /// The spelling in the recurrence language, if it differs from the notation.
    fn spelling(&self) -> Spelling {
        self.notation().into()
    }
    /// The same op with its sizes replaced.
    #[must_use]
    fn map_dims(self, _f: &dyn Fn(Dim) -> Dim) -> Self {
        self
    }
}

/// Defines the enum of a family from its rows, with example settings for each.
macro_rules! linear_family {
    (
        $(#[doc = $doc:literal])+
        $family:ident { $($row:ident: [$($example:expr),+],)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $family {
            $(#[doc = concat!("The row `", stringify!($row), "`.")] $row($row),)+
        }

        impl $family {
            /// All rows of the table, with example settings.
            pub const ALL: &'static [Self] = &[$($(Self::$row($example)),+),+];

            pub(super) const fn name(&self) -> &'static str {
                match self { $(Self::$row(_) => <$row as LinearRule>::NAME,)+ }
            }
            pub(super) fn linearity(&self) -> $crate::op::family::Linearity {
                match self { $(Self::$row(op) => op.linearity(),)+ }
            }
            pub(super) fn infer(
                &self,
                args: &[$crate::shape::Type],
            ) -> Result<$crate::shape::Type, $crate::op::Reason> {
                match self { $(Self::$row(op) => op.infer(args),)+ }
            }
            pub(super) fn eval<F: $crate::op::Scalar>(
                &self,
                args: &[&$crate::op::Value<F>],
            ) -> $crate::op::Value<F> {
                match self { $(Self::$row(op) => op.eval(args),)+ }
            }
            pub(super) fn transpose<'b>(
                &self,
                i: usize,
                args: &[$crate::op::Expr<'b>],
                y_bar: $crate::op::Expr<'b>,
            ) -> $crate::op::Expr<'b> {
                match self { $(Self::$row(op) => op.transpose(i, args, y_bar),)+ }
            }
            pub(super) fn lower(
                &self,
                args: &[$crate::op::Extent],
                out: $crate::op::Extent,
            ) -> $crate::op::Lowering {
                match self { $(Self::$row(op) => op.lower(args, out),)+ }
            }
            pub(super) fn notation(&self) -> $crate::op::Notation {
                match self { $(Self::$row(op) => op.notation(),)+ }
            }
            pub(super) fn spelling(&self) -> $crate::op::Spelling {
                match self { $(Self::$row(op) => op.spelling(),)+ }
            }
            pub(super) fn map_dims(self, f: &dyn Fn($crate::shape::Dim) -> $crate::shape::Dim) -> Self {
                match self { $(Self::$row(op) => Self::$row(op.map_dims(f)),)+ }
            }
        }
    };
}

pub(super) use linear_family;
