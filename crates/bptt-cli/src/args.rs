//! The commands and options of the command line.

mod certify;
mod derive;
mod export;
mod fit;
mod import;
mod numbers;
mod vectors;

use std::path::{Path, PathBuf};

use bptt::derive::Lang;
use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use certify::Certify;
pub(crate) use derive::Derive;
pub(crate) use export::{Export, Target, What};
pub(crate) use fit::{Errors, Fit, Optimizer};
pub(crate) use import::{Activation, Import, ModelLoss, Nonlinearity, States};
pub(crate) use vectors::Vectors;

use crate::reading::{Absent, Reading, Source};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER: &str = "\
Examples:
  bptt check lstm
  bptt certify lstm --run 'python3 my_lstm.py'
  bptt new cell.rec
  bptt grad cell.rec --data data.npz --dims H=8 --out gradient.npz
  bptt fit garch11 --data returns.csv --optimizer newton --standard-errors --out garch.npz
  bptt derive gru --lang zh

CELL is a recurrence of the library, such as `lstm` or `garch11` (`bptt show` lists them), or a
file in the recurrence language, such as `cell.rec`.

Without a command, bptt runs a demonstration: it fits two networks to the yearly sunspot numbers,
certifies their gradients and shows how far back in time they reach. It takes a few seconds and
writes no files.

Exit codes: 0 success; 1 gradient not certified; 2 wrong command line; 3 wrong recurrence, data or
file; 4 fit diverged or not converged; 5 fit saved, but another premise of the standard errors
does not hold; 130 (143, 129) fit interrupted by Ctrl-C (TERM, the terminal
closed), and saved, or certify interrupted.";

/// Differentiate a recurrence: write the step once, get certified gradients
#[derive(Debug, Parser)]
#[command(name = "bptt", version, styles = STYLES, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[arg(
        long,
        value_name = "BYTES",
        global = true,
        value_parser = bytes,
        allow_hyphen_values = true,
        help = "Memory of a run, such as 8G [env: BPTT_MEMORY] [default: 80 % of the free memory]"
    )]
    pub(crate) memory: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Certify the gradient: reverse mode, forward mode, differences and second order must agree
    #[command(after_help = "Examples:
  bptt check lstm
  bptt check cell.rec --dims H=5,K=2 --trials 3
  bptt check garch11 --data returns.npz --params start.npz")]
    Check(Check),
    /// Compare the loss and the gradient of your own program with those of a recurrence
    #[command(after_help = "Examples:
  bptt certify lstm --run 'python3 my_lstm.py'
  bptt certify cell.rec --run './my_cell --fast' --dtype f32 --dims H=8
  bptt certify rnn --run 'julia my_rnn.jl' --files --equal-lengths

The program reads a line of JSON for each question and writes a line of JSON for each answer; with
--files, it is run once for each question, with the names of two .npz files. docs/property-tests.md
describes both, and has a program to start from.")]
    Certify(Certify),
    /// Compute the loss and its gradient
    #[command(after_help = "Examples:
  bptt grad cell.rec --data data.npz --params params.npz --out gradient.npz
  bptt grad lstm --data data.npz --params model.safetensors --dtype f32 --json
  bptt grad rnn --data data.npz --params params.npz --wrt W_H,h")]
    Grad(Grad),
    /// Run forward: outputs, loss and final states
    #[command(after_help = "Examples:
  bptt run cell.rec --data data.npz --params params.npz --out outputs.npz
  tail -n +1 -f log.csv | bptt run cell.rec --params params.npz --stream")]
    Run(Run),
    /// Fit the parameters to data
    #[command(after_help = "Examples:
  bptt fit garch11 --data returns.npz --optimizer newton --standard-errors --out garch.npz
  bptt fit rnn --data data.npz --dims H=8 --steps 500 --lr 0.01 --clip 1 --out rnn.npz
  bptt fit garch11 --data prices.csv --columns r=Return --missing drop-row --out garch.npz
  bptt fit plant.rec --over u --data start.npz --optimizer newton --out controls.npz
  bptt fit chars.rec --text book.txt --dims H=32 --batch 16 --length 50 --out chars.npz")]
    Fit(Box<Fit>),
    /// Show a recurrence, or list the library
    #[command(after_help = "Examples:
  bptt show
  bptt show lstm
  bptt show cell.rec --format svg > cell.svg")]
    Show(Show),
    /// Print the derivation of the gradient, every line checked
    #[command(after_help = "Examples:
  bptt derive rnn
  bptt derive lstm --level full
  bptt derive gru --lang zh --format html --out gru.html
  bptt derive rnn --data data.npz --params rnn.npz --format html --out rnn.html")]
    Derive(Derive),
    /// Tell how far a gradient comes back in time, why, and what helps
    #[command(after_help = "Examples:
  bptt flow garch11 --data returns.npz
  bptt flow cell.rec --data data.npz --params fitted.npz --truncate 50
  bptt flow lstm --data data.npz --dims H=8 --lang zh")]
    Flow(Flow),
    /// Create a commented file for your own recurrence
    #[command(after_help = "Example:
  bptt new cell.rec")]
    New(New),
    /// Convert parameters to another format or layout
    #[command(after_help = "Examples:
  bptt convert lstm --params state_dict.safetensors --out params.npz
  bptt convert lstm --params params.npz --layout pytorch --out state_dict.safetensors
  bptt convert cell.rec --params fitted.npz --like model.safetensors --out back.safetensors")]
    Convert(Convert),
    /// Write the recurrence of a saved model, and its parameters
    #[command(after_help = "Examples:
  bptt import model.safetensors --out cell.rec --params cell.npz
  bptt import model.onnx --loss softmax --out cell.rec --params cell.npz
  bptt import model.npz --loss softmax --states inputs --out cell.rec --params cell.npz
  bptt import rnn.npz --nonlinearity tanh --out cell.rec --params cell.npz
  bptt import model.npz --cell rnn --map-file names.txt --params cell.npz")]
    Import(Import),
    /// Write a recurrence for other programs, as a model or as source code
    #[command(after_help = "Examples:
  bptt export lstm --params lstm.npz --out lstm.onnx
  bptt export cell.rec --params cell.npz --to onnx --out cell.onnx
  bptt export cell.rec --params fitted.npz --like model.onnx --out fitted.onnx
  bptt export gru_reset_after --to c --what gradient --dims H=16,K=4,O=3 --out firmware
  bptt export lstm --to rust --what step --dims H=8,K=3,O=1 --dtype f32 --out src")]
    Export(Export),
    /// Write test vectors: data, loss and derivatives for tests in any language
    #[command(after_help = "Examples:
  bptt vectors lstm --out lstm.npz
  bptt vectors cell.rec --dims H=4 --trials 3 --dtype f32 --out cell.npz
  bptt vectors gru --layout pytorch --start-inputs --out gru.npz")]
    Vectors(Vectors),
    /// Print completions for a shell
    #[command(after_help = "Example:
  bptt completions bash > ~/.local/share/bash-completion/completions/bptt")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// The files of the inputs, the way to read them, and the file of the parameters.
    pub(crate) fn files(&self) -> (&[PathBuf], Option<&Reading>, Option<&Path>) {
        let (data, reading, params) = match self {
            Self::Check(c) => (&c.data, &c.reading, &c.params),
            Self::Grad(Grad { on, .. })
            | Self::Run(Run { on, .. })
            | Self::Flow(Flow { on, .. }) => (&on.data, &on.reading, &on.params),
            Self::Fit(c) => (&c.data, &c.reading, &c.params),
            Self::Derive(c) => (&c.data, &c.reading, &c.params),
            Self::Convert(c) => return (&[], None, Some(&c.params)),
            Self::Export(c) => return (&[], None, c.params.as_deref()),
            _ => return (&[], None, None),
        };
        (data, Some(reading), params.as_deref())
    }
}

/// A recurrence and the data it runs on.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Inputs: .npz, .npy, .safetensors, .csv or .tsv file; several files have different inputs
    #[arg(long, short, value_name = "FILE", group = "source")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Parameters: .npz or .safetensors file, also a PyTorch state dict; default: the initial values
    /// in the recurrence
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Seed of random initial parameters
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Floating-point type of the computation
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Sizes that cannot be inferred from the data, e.g. H=8,K=2
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
}

impl Data {
    pub(crate) fn source<'a>(&'a self, absent: Absent<'a>) -> Source<'a> {
        Source {
            files: &self.data,
            reading: &self.reading,
            params: self.params.as_deref(),
            absent,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Flow {
    #[command(flatten)]
    pub(crate) on: Data,
    /// Number of steps back that are told apart; the steps beyond them count together
    #[arg(long, value_name = "N", default_value_t = bptt::flow::LAGS, value_parser = positive, allow_negative_numbers = true)]
    pub(crate) lags: usize,
    /// Tell what truncation after this number of steps leaves out
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) truncate: Option<usize>,
    /// Language of the verdict: English or Chinese
    #[arg(long, default_value = "en", value_parser = choice(Lang::ALL, Lang::code))]
    pub(crate) lang: Lang,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Sizes of the random data; default: small sizes, all different
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Inputs; default: random
    #[arg(long, short, value_name = "FILE", group = "source")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Parameters; default: random
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Maximum number of steps for the uncompiled checks; the compiled engine compares reverse with
    /// forward mode on all steps [default: about five seconds of work]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// Number of checks, each with different random numbers
    #[arg(long, value_name = "N", default_value = "1", value_parser = trials, allow_negative_numbers = true)]
    pub(crate) trials: u64,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
}

/// One of several values, by its name.
fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|t| name(*t))).try_map(move |text| {
        let found = all.iter().find(|t| name(**t) == text);
        found
            .copied()
            .ok_or_else(|| format!("`{text}` is not known"))
    })
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").required(true)))]
pub(crate) struct Grad {
    #[command(flatten)]
    pub(crate) on: Data,
    /// Differentiate with respect to these parameters, inputs, states or values; `all`: all parameters
    /// and inputs
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) wrt: Vec<String>,
    /// Output file for the gradients: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").required(true)))]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) on: Data,
    /// Instead of --data: read rows of a table from the standard input, and write a row of outputs for each at once
    #[arg(long, group = "source")]
    pub(crate) stream: bool,
    /// Output file for the results: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Name in the library, or .rec file; default: list the library
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: Option<String>,
    /// Output format: canonical text, graph or execution plan
    #[arg(long, default_value = "rec")]
    pub(crate) format: Picture,
    /// Sizes for `stages`; default: 32 each
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Output file (default: stdout)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// File to create; it must not exist
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// Name in the library, or .rec file
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cell: String,
    /// Parameters, in either layout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: PathBuf,
    /// Layout of the output
    #[arg(long, default_value = "bptt")]
    pub(crate) layout: Layout,
    /// Model that the recurrence was imported from, whose names and shapes the output has: .npz or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "layout")]
    pub(crate) like: Option<PathBuf>,
    /// With --like: the order that the import was given
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "like")]
    pub(crate) order: Vec<String>,
    /// With --like: the arrays that the import left out, which stay as they are
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "like")]
    pub(crate) ignore: Vec<String>,
    /// Floating-point type of the output
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Output file: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// The recurrence language
    Rec,
    /// Graph for Graphviz
    Dot,
    /// Picture of the graph
    Svg,
    /// Execution plan of the gradient, or of the recurrence if it has no loss
    Stages,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// One array for each parameter of the recurrence
    Bptt,
    /// A state dict of PyTorch
    Pytorch,
}

/// `H=3`
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) name: String,
    pub(crate) size: usize,
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, size) = text.split_once('=').ok_or("expected NAME=N, such as H=3")?;
        let name = name.trim();
        if name.is_empty() {
            return Err("expected NAME=N, such as H=3".into());
        }
        Ok(Self {
            name: name.into(),
            size: positive(size.trim())?,
        })
    }
}

/// A number of bytes: `500000`, `64K`, `512M`, `8G`, `1T`.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let upper = text.trim().to_ascii_uppercase();
    let number = upper.strip_suffix('B').unwrap_or(&upper);
    let number = number.strip_suffix('I').unwrap_or(number);
    let (digits, shift) = match number.chars().last() {
        Some('K') => (&number[..number.len() - 1], 10),
        Some('M') => (&number[..number.len() - 1], 20),
        Some('G') => (&number[..number.len() - 1], 30),
        Some('T') => (&number[..number.len() - 1], 40),
        _ => (number, 0),
    };
    let count = digits.trim().parse::<usize>().ok();
    let found = count.and_then(|n| n.checked_mul(1 << shift));
    found
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("expected a number of bytes such as 512M or 8G, found `{text}`"))
}

fn positive(text: &str) -> Result<usize, String> {
    match count(text) {
        Ok(0) | Err(_) => Err(format!("expected a whole number from 1 on, found `{text}`")),
        found => found,
    }
}

fn trials(text: &str) -> Result<u64, String> {
    match seed(text) {
        Ok(0) | Err(_) => Err(format!("expected a whole number from 1 on, found `{text}`")),
        found => found,
    }
}

fn seed(text: &str) -> Result<u64, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| format!("expected a whole number from 0 on, found `{text}`"))
}

fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number.ok_or_else(|| format!("expected a whole number from 0 on, found `{text}`"))
}
