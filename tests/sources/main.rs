//! Rules that the sources and the pages of this repository keep.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod imports;
mod layers;
mod limits_page;
