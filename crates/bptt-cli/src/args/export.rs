//! The options of `bptt export`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Parameters: .npz or .safetensors file, also a PyTorch state dict
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: PathBuf,
    /// Format of the model
    #[arg(long, value_name = "FORMAT", default_value = "onnx")]
    pub(crate) to: Target,
    /// ONNX model that the recurrence was imported from: its graph, with these parameters
    #[arg(long, value_name = "FILE")]
    pub(crate) like: Option<PathBuf>,
    /// Output file: .onnx
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Nodes of ONNX, in single precision
    Onnx,
}
