//! Test vectors: their files, the layouts of other libraries, and readers in other languages.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../../tests/support/folder.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
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

/// Cases of a recurrence; layers have the same size, as those of PyTorch.
fn cases(recurrence: &Recurrence) -> Cases<'_> {
    match recurrence.tape().dims().any(|dim| dim == "G") {
        true => Cases::new(recurrence).size("H", 3).size("G", 3),
        false => Cases::new(recurrence),
    }
}

fn draw(recurrence: &Recurrence, count: usize, layout: Layout) -> Vectors {
    Vectors::draw(&cases(recurrence), count, 1, layout).unwrap()
}
