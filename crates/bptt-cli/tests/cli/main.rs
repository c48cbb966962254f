//! The command line; each command runs in its own process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../../tests/support/mod.rs"]
mod support;

mod certify;
mod check;
mod command;
mod commands;
mod demo;
mod derive;
mod docs;
mod duplicates;
mod endings;
mod export;
mod file_messages;
mod fit;
mod import;
mod inference;
mod instruction_sets;
mod library_gradients;
mod limits;
mod messages;
mod options;
mod output;
mod over;
mod overwrite;
#[cfg(unix)]
mod property_tests;
mod rates;
mod resume;
mod stream;
mod tables;
mod truncate;
mod vectors;
