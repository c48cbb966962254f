//! The options of `bptt export`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::{Dtype, Size};

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Parameters of a model: .npz or .safetensors file, also a PyTorch state dict
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Format
    #[arg(long, value_name = "FORMAT", default_value = "onnx")]
    pub(crate) to: Target,
    /// Function that the code computes
    #[arg(long, value_name = "WHAT", default_value = "gradient")]
    pub(crate) what: What,
    /// Sizes of the code, such as H=16,K=4
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Precision of the code
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Beginning of all names in the code, by default the name of the recurrence
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// ONNX model that the recurrence was imported from: its graph, with these parameters
    #[arg(long, value_name = "FILE")]
    pub(crate) like: Option<PathBuf>,
    /// Output file: .onnx; of code, a folder for its files
    #[arg(long, short, value_name = "FILE|DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Nodes of ONNX, in single precision
    Onnx,
    /// C99: a header and a source file
    C,
    /// Rust without the standard library: one file, with the crate `libm`
    Rust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Outputs of a sequence
    Run,
    /// Loss and gradient
    Gradient,
    /// Outputs and their tangents in a direction
    Tangent,
    /// Loss, and the Hessian times a direction
    HessianVector,
    /// One step at a time, with the state in memory of the caller
    Step,
    /// One step at a time with the gradient so far, of entrywise recurrences
    Online,
}

impl What {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Gradient => "gradient",
            Self::Tangent => "tangent",
            Self::HessianVector => "hessian_vector",
            Self::Step | Self::Online => "step",
        }
    }
}
