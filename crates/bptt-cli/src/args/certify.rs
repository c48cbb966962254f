//! The options of `bptt certify`.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Dtype, Size, positive, seed};

#[derive(Args, Debug)]
pub(crate) struct Certify {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Command that starts the program, for the shell
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub(crate) run: String,
    /// Exchange .npz files, with one run for each question: COMMAND question.npz answer.npz
    #[arg(long)]
    pub(crate) files: bool,
    /// Number of cases, each with other sizes, lengths and numbers
    #[arg(long, value_name = "N", default_value = "20", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) trials: usize,
    /// Seed of the random cases
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Sizes of the random data [default: from 2 on, all different]
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Number of steps of the longest sample, or the first and the last of a range
    #[arg(long, value_name = "N|N..N", default_value = "3..6", value_parser = range, allow_negative_numbers = true)]
    pub(crate) steps: RangeInclusive<usize>,
    /// Number of samples, or the first and the last of a range
    #[arg(long, value_name = "N|N..N", default_value = "2..3", value_parser = range, allow_negative_numbers = true)]
    pub(crate) samples: RangeInclusive<usize>,
    /// Give all samples of a case the same length
    #[arg(long)]
    pub(crate) equal_lengths: bool,
    /// Give each state that starts at zero an input with its start: h0 for h
    #[arg(long)]
    pub(crate) start_inputs: bool,
    /// Floating-point type of the program
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Ask for tangents and Hessian products too
    #[arg(long)]
    pub(crate) second_order: bool,
    /// Time limit of an answer; the first of a process may take four times as long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Do not look for the mistake behind wrong numbers
    #[arg(long)]
    pub(crate) no_diagnosis: bool,
}

fn command(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a command, such as 'python3 my_lstm.py'".into()),
        _ => Ok(text.into()),
    }
}

/// `4`, or the first and the last number of `3..6`.
fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let last = last.strip_prefix('=').unwrap_or(last);
    match (positive(first.trim()), positive(last.trim())) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(format!(
            "expected a whole number from 1 on, or a range such as 3..6, found `{text}`"
        )),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0);
    let found = number.and_then(|x| Duration::try_from_secs_f64(x).ok());
    found.ok_or_else(|| format!("expected a number of seconds above 0, such as 30, found `{text}`"))
}
