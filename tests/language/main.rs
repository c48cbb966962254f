//! The recurrence language, and texts for display.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod brackets;
mod functions;
mod grammar;
mod library;
mod mistakes;
mod printing;
mod random;
mod written;
