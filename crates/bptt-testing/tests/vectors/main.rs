//! Test vectors: their files, the layouts of other libraries, and readers in other languages.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../../tests/support/folder.rs"]
mod folder;

mod answers;
mod files;
mod golden;
mod layouts;
mod readers;

use bptt::Recurrence;
use bptt_testing::Cases;
use bptt_testing::vectors::{Layout, Vectors};

/// A recurrence of the library.
fn library(name: &str) -> Recurrence {
    let file = format!(
        "{}/../../examples/recurrences/{name}.rec",
        env!("CARGO_MANIFEST_DIR")
    );
    Recurrence::parse(&file, &std::fs::read_to_string(&file).unwrap()).unwrap()
}

fn draw(recurrence: &Recurrence, count: usize, layout: Layout) -> Vectors {
    Vectors::draw(&Cases::new(recurrence), count, 1, layout).unwrap()
}
