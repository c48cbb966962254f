//! The common parts of the families of linear ops: the contract of a row, and the enum of rows.

use std::hash::Hash;

use super::call::{Call, Given, ok};
use super::lowering::{Extent, Lowering};
use super::{Expr, Notation, Op, Reason, Scalar, Setting, Spelling, Value};
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
pub(crate) trait LinearRule: Copy + Hash + Eq + Into<Op> {
    const NAME: &'static str;
    /// The functions of the recurrence language that are ops of this row.
    const CALLS: &'static [Call] = &[];
    /// True if a scalar argument stands for an array of the shape of the others.
    const SPREADS: bool = false;
    /// True if sums or products of numbers that are not integers are rounded.
    const ROUNDS: bool = false;
    fn linearity(&self) -> Linearity;
    /// The type of the result at the common rate of the arguments.
    fn infer(&self, args: &[Type]) -> Result<Type, Reason>;
    fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F>;
    /// The cotangent of argument `i` when the result has cotangent `y_bar`.
    fn transpose<'b>(&self, i: usize, args: &[Expr<'b>], y_bar: Expr<'b>) -> Expr<'b>;
    /// The memory pattern, for arguments and a result of these extents.
    fn lower(&self, args: &[Extent], out: Extent) -> Lowering;
    /// The function that is this op: the first that makes it without settings, or else the first.
    fn call(&self) -> &'static Call {
        let op = ok(*self);
        let mut calls = Self::CALLS.iter();
        let own = calls.find(|call| (call.make)(&Given::default()) == op);
        own.unwrap_or(&Self::CALLS[0])
    }
    /// The settings in that call.
    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }
    /// The name of the function on paper.
    fn latex(&self) -> String {
        format!(r"\operatorname{{{}}}", Self::NAME)
    }
    fn notation(&self) -> Notation {
        Notation::Call {
            text: self.call().name.into(),
            latex: self.latex(),
            settings: self.settings(),
        }
    }
    fn as_call(&self) -> Spelling {
        Spelling::call(self.call().name, self.settings())
    }
    /// The spelling in the recurrence language.
    fn spelling(&self) -> Spelling {
        self.as_call()
    }
    /// The remedy for arguments that [`infer`](Self::infer) refuses, in the recurrence language.
    fn remedy(&self, _args: &[Type]) -> Option<&'static str> {
        None
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

            pub(super) const CALLS: &'static [&'static [$crate::op::Call]] =
                &[$(<$row as LinearRule>::CALLS),+];

            pub(super) const fn name(&self) -> &'static str {
                match self { $(Self::$row(_) => <$row as LinearRule>::NAME,)+ }
            }
            pub(super) const fn spreads(&self) -> bool {
                match self { $(Self::$row(_) => <$row as LinearRule>::SPREADS,)+ }
            }
            pub(super) const fn rounds(&self) -> bool {
                match self { $(Self::$row(_) => <$row as LinearRule>::ROUNDS,)+ }
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
            pub(super) fn remedy(&self, args: &[$crate::shape::Type]) -> Option<&'static str> {
                match self { $(Self::$row(op) => op.remedy(args),)+ }
            }
            pub(super) fn map_dims(self, f: &dyn Fn($crate::shape::Dim) -> $crate::shape::Dim) -> Self {
                match self { $(Self::$row(op) => Self::$row(op.map_dims(f)),)+ }
            }
        }

        $(impl From<$row> for $crate::op::Op {
            fn from(row: $row) -> Self {
                Self::$family($family::$row(row))
            }
        })+
    };
}

pub(super) use linear_family;
