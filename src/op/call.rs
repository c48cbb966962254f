//! The calls of the recurrence language: each row states how its ops are written as functions.

use super::axis::Axis;
use super::{Op, Reason};
use crate::shape::{Dim, Rate, Shape, Type};

/// A setting of a call, written after its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `rows` or `columns`.
    Axis,
    /// The same, or nothing; the first setting of a call.
    AxisIfAny,
    /// `step` or `sample`.
    Rate,
    /// A size, such as `2*H`.
    Size,
    /// A shape in brackets.
    Shape,
    /// A whole number.
    Exponent,
    /// A whole number from 0 on.
    Order,
}

/// The types of the values of a call, and its settings.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) types: Vec<Type>,
    pub(crate) axis: Option<Axis>,
    pub(crate) rate: Option<Rate>,
    pub(crate) sizes: Vec<Dim>,
    pub(crate) shape: Option<Shape>,
    pub(crate) exponent: i32,
}

impl Given {
    /// The axis, which is the first one if it is not written.
    pub(super) fn axis_or_rows(&self) -> Axis {
        self.axis.unwrap_or(Axis::Rows)
    }

    pub(super) fn size(&self, i: usize) -> Dim {
        self.sizes.get(i).copied().unwrap_or(Dim::INVALID)
    }
}

/// The op that a call makes, or the reason why there is none.
pub(crate) type Made = Result<Op, Reason>;

pub(super) fn ok(op: impl Into<Op>) -> Made {
    Ok(op.into())
}

/// A function of the recurrence language that is an op.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// The value, in words.
    pub(crate) about: &'static str,
    /// The number of values; [`MANY`](Self::MANY) is one or more.
    pub(crate) values: usize,
    pub(crate) settings: &'static [Takes],
    pub(crate) make: fn(&Given) -> Made,
    /// The message about a setting of another form.
    pub(crate) form: Reason,
    /// The remedy for a wrong number of arguments.
    pub(crate) usage: Option<&'static str>,
}

impl Call {
    pub(crate) const MANY: usize = usize::MAX;

    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        values: usize,
        settings: &'static [Takes],
        make: fn(&Given) -> Made,
    ) -> Self {
        Self {
            name,
            about,
            values,
            settings,
            make,
            form: "",
            usage: None,
        }
    }

    pub(crate) const fn form(self, form: Reason) -> Self {
        Self { form, ..self }
    }

    /// The same text for both.
    pub(super) const fn explained(self, text: Reason) -> Self {
        self.form(text).usage(text)
    }

    pub(super) const fn usage(self, usage: &'static str) -> Self {
        Self {
            usage: Some(usage),
            ..self
        }
    }
}
