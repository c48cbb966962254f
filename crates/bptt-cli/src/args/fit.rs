//! The options of `bptt fit`.

use std::path::PathBuf;

use bptt::fit::{Group, Schedule, Truncation};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::numbers::{decay, group, learning_rate, momentum, norm, schedule, truncation};
use super::{Dtype, Size, count, positive, seed};
use crate::reading::Reading;

#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Inputs: .npz, .npy, .safetensors, .csv or .tsv file; several files have different inputs
    #[arg(long, short, value_name = "FILE", group = "source")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Text file as data: each character is a class of `x`, the next character the class of `y`
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) text: Option<PathBuf>,
    /// Number of characters per sample of a text [default: 50]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) length: Option<usize>,
    /// Initial parameters; default: the initial values in the recurrence
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Sizes that cannot be inferred from the data, e.g. H=8,K=2
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Minimise over these parameters and inputs, and keep all others [default: all parameters]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) over: Vec<String>,
    /// Optimizer
    #[arg(long, default_value = "adam")]
    pub(crate) optimizer: Optimizer,
    /// Maximum number of steps; Newton stops early on convergence [default: 1000, newton 100]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// Learning rate, except for Newton's method
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = learning_rate, allow_negative_numbers = true)]
    pub(crate) lr: f64,
    /// Phases of the learning rate, as factors of --lr: warm-up:N, constant:N, cosine:N[:F], steps:N:F
    #[arg(long, value_name = "PHASE,…", value_parser = schedule)]
    pub(crate) schedule: Option<Schedule>,
    /// Decay of the parameters per step, relative to the learning rate [default: adamw 0.01, sgd 0]
    #[arg(long, value_name = "X", value_parser = decay, allow_negative_numbers = true)]
    pub(crate) decay: Option<f64>,
    /// Parameters with their own rate (a factor of --lr) and decay: b_*:rate=0.1,decay=0; several times for several groups
    #[arg(long, value_name = "NAME:…", value_parser = group)]
    pub(crate) group: Vec<Group>,
    /// Keep these parameters as they are; * matches any text
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "over"
    )]
    pub(crate) freeze: Vec<String>,
    /// Momentum of SGD
    #[arg(long, value_name = "X", default_value = "0", value_parser = momentum, allow_negative_numbers = true)]
    pub(crate) momentum: f64,
    /// Scale the gradient down to this norm if it is larger
    #[arg(long, value_name = "X", value_parser = norm, allow_negative_numbers = true)]
    pub(crate) clip: Option<f64>,
    /// Scale the gradient of each sample down to this norm if it is larger, and sum them
    #[arg(long, id = "clip-per-sample", value_name = "X", value_parser = norm, allow_negative_numbers = true)]
    pub(crate) clip_per_sample: Option<f64>,
    /// Truncated backpropagation through time: an update every K1 steps of the data, with gradients through K2 steps
    /// [K2 default: K1]
    #[arg(long, value_name = "K1[,K2]", value_parser = truncation, allow_negative_numbers = true, conflicts_with = "clip-per-sample")]
    pub(crate) truncate: Option<Truncation>,
    /// Number of samples per step, except for Newton's method; default: all samples
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) batch: Option<usize>,
    /// Seed of the initial parameters and of the order of the samples [default: 1]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Floating-point type of the computation
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Standard errors of the estimates, after any optimizer, with f64; the loss must be a negative log likelihood
    #[arg(long, value_name = "KIND")]
    pub(crate) errors: Option<Errors>,
    /// Short for --errors hessian
    #[arg(long, conflicts_with = "errors")]
    pub(crate) standard_errors: bool,
    /// Print the covariance matrix of the estimates too; alone, it implies --errors hessian
    #[arg(long)]
    pub(crate) covariance: bool,
    /// Save the parameters and the state for --resume every N steps
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) save_every: Option<usize>,
    /// Continue a fit saved by --save-every or Ctrl-C, with the same settings, up to --steps
    #[arg(long, value_name = "FILE", conflicts_with = "params")]
    pub(crate) resume: Option<PathBuf>,
    /// Output file for the parameters: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

impl Fit {
    /// The requested kind of standard errors.
    pub(crate) fn kind_of_errors(&self) -> Option<Errors> {
        let asked = self.standard_errors || self.covariance;
        self.errors.or(asked.then_some(Errors::Hessian))
    }

    /// The names of `--over`.
    pub(crate) fn over(&self) -> Vec<&str> {
        self.over.iter().map(|name| name.trim()).collect()
    }

    /// The decay of the parameters, if the optimizer has one.
    pub(crate) fn decay(&self) -> Option<f64> {
        match self.optimizer {
            Optimizer::Adamw => Some(self.decay.unwrap_or(0.01)),
            _ => self.decay,
        }
    }

    /// The seed of all random numbers.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    /// The number of steps at which the fit ends.
    pub(crate) fn steps_in_all(&self) -> usize {
        let most = match self.optimizer {
            Optimizer::Newton => 100,
            _ => 1000,
        };
        self.steps.unwrap_or(most)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Errors {
    /// From the inverse of the exact Hessian
    Hessian,
    /// From the outer products of the scores of the observations (BHHH)
    Opg,
    /// From both: the sandwich of Huber, White, Bollerslev and Wooldridge
    Robust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Optimizer {
    Adam,
    /// Adam with decoupled decay of the parameters
    Adamw,
    Sgd,
    /// Newton's method with the exact Hessian, for a few parameters
    Newton,
}
