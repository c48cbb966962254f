//! Derivations: terms, rules, bounds and documents.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod backward;
mod bound_mutants;
mod bounds;
mod chapters;
mod choices;
mod columns;
mod derive;
mod lags;
mod names;
mod notation;
mod pages;
mod parts;
mod ranges;
mod refusals;
mod render;
mod replay;
mod rules;
mod sentences;
mod small;
mod starts;
mod states;
mod textbook;
mod typography;
