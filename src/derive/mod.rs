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

pub use algebra::change::{Change, Place};
pub use algebra::term::{Base, Name, Term, Time};
pub use check::compare::{TOLERANCE, compare};
pub use check::evaluate::Instance;
pub use document::Format;
pub use notation::lexicon::Lexicon;
pub use notation::symbols::Symbols;
pub use record::derivation::{Checks, Derivation, Kept, Reach};
pub use record::equation::{Check, Equation};
pub use record::part::{Level, Part};
pub use record::relation::{Condition, Range, Relation};
pub use record::rewrite::{Argument, At, Rewrite};
pub use record::rule::Rule;
pub use record::step::{Site, Step};
pub use record::words::{Lang, Word};
