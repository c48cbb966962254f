//! The options of `bptt vectors`.

use std::path::PathBuf;

use bptt_testing::vectors::Layout;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Dtype, Size, choice, seed, trials};

#[derive(Args, Debug)]
pub(crate) struct Vectors {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Number of test vectors, each with different sizes, lengths and numbers
    #[arg(long, value_name = "N", default_value = "10", value_parser = trials, allow_negative_numbers = true)]
    pub(crate) trials: u64,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Sizes; default: small sizes, all different
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Floating-point type in which the data is exact
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Names, order and shapes of the arrays: those of the recurrence, or of a library
    #[arg(long, default_value = "bptt", value_parser = choice(&Layout::ALL, Layout::name))]
    pub(crate) layout: Layout,
    /// States that start at zero start at inputs instead: `h` at `h0`
    #[arg(long)]
    pub(crate) start_inputs: bool,
    /// All samples of a test vector have the same length
    #[arg(long)]
    pub(crate) equal_lengths: bool,
    /// Output file: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
