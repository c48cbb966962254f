//! Exported recurrences: the code is compiled, run and compared with the engine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod compiler;
mod interface;
mod library;
mod random;
mod rust;
