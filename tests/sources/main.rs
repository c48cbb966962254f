//! Rules for the sources and pages of this repository.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod advice;
mod imports;
mod layers;
mod limits_page;
mod pages;
