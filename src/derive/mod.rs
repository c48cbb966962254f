//! The derivation of a gradient as data: equations that a person can follow and a program can check.
//!
//! [`Recurrence::derive`](crate::Recurrence::derive) runs the same `linearize` and `transpose` that compute the
//! gradient, with every named value perturbed, and turns the resulting graphs into equations. No equation is
//! hard-coded: the printed formulas are the computed ones.

mod algebra;
mod chapters;
mod check;
mod document;
mod notation;
mod reading;
mod record;
mod rules;

pub use document::Format;
pub use record::derivation::{Checks, Derivation, Kept, Origin, Reach};
pub use record::equation::{Check, Equation};
pub use record::line::{Lag, Line};
pub use record::part::{Level, Part};
pub use record::relation::{Condition, Range, Relation};
pub use record::rule::Rule;
pub use record::step::Step;
pub use record::words::{Lang, Word};

/// The terms behind the formulas: public for programs that repeat a derivation, without a promise.
#[doc(hidden)]
pub use {
    algebra::change::{Change, Place},
    algebra::fold::Fold,
    algebra::quantity::{Quantity, Symbol},
    algebra::term::{Base, Index, Name, Term, Time},
    check::compare::{TOLERANCE, compare},
    check::evaluate::Instance,
    notation::lexicon::Lexicon,
    notation::symbols::Symbols,
    record::rewrite::{Argument, At, Rewrite},
    record::step::Site,
};
