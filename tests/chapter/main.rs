//! The chapter `docs/rnn-and-lstm.*.md`: its numbers, its program and its figures.
//!
//! After an intended change of a figure: `UPDATE_GOLDEN=1 cargo test --test chapter`, then look at it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod figures;
mod hand;
mod numbers;
mod page;
mod program;
mod reach;
