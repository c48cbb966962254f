//! The options of `bptt derive`.

use std::path::PathBuf;

use bptt::derive::{Format, Lang, Level};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Size, choice, seed};
use crate::reading::Reading;

#[derive(Args, Debug)]
pub(crate) struct Derive {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Inputs of a run: the norms of the Jacobians are measured on its first sequence; default:
    /// random inputs
    #[arg(long, short, value_name = "FILE", group = "source")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Parameters of that run; default: the initial values in the recurrence
    #[arg(long, short, value_name = "FILE", requires = "data")]
    pub(crate) params: Option<PathBuf>,
    /// Seed of random initial parameters
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true, requires = "data")]
    pub(crate) seed: u64,
    /// Sizes that cannot be inferred from the data, e.g. H=8,K=2
    #[arg(
        long,
        value_name = "NAME=N,…",
        value_delimiter = ',',
        requires = "data"
    )]
    pub(crate) dims: Vec<Size>,
    /// Language: English or Chinese
    #[arg(long, default_value = "en", value_parser = choice(Lang::ALL, Lang::code))]
    pub(crate) lang: Lang,
    /// Level of detail
    #[arg(long, default_value = "normal", value_parser = choice(Level::ALL, Level::name))]
    pub(crate) level: Level,
    /// Document format
    #[arg(long, default_value = "text", value_parser = choice(Format::ALL, Format::name))]
    pub(crate) format: Format,
    /// Output file (default: stdout)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
