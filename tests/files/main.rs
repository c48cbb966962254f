//! Data files: formats, writing, PyTorch layouts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod classes;
mod formats;
mod import;
mod inputs;
mod joined;
mod keras;
mod map;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_export;
mod options;
mod pytorch;
mod roles;
mod tables;
mod writing;
