//! What can be said on the command line.

use std::path::PathBuf;

use bptt::derive::{Format, Lang, Level};
use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER: &str = "\
Examples:
  bptt check lstm
  bptt new cell.rec
  bptt grad cell.rec --data data.npz --dims H=8 --out gradient.npz
  bptt fit garch11 --data returns.csv --optimizer newton --standard-errors --out garch.npz
  bptt derive gru --lang zh

CELL is the name of a recurrence of the library, such as `lstm` or `garch11` (`bptt show` lists
them), or a file in the recurrence language, `cell.rec`.

Without a command: the demonstration. It fits two networks to the yearly sunspot numbers, certifies
their gradients and shows how far back in time they reach. It takes a few seconds and writes
nothing but text.

Exit codes: 0 done; 1 a gradient is not certified; 2 the command line is wrong; 3 a recurrence, data
or a file is wrong; 4 a fit has diverged or not converged; 5 a fit is saved, but a premise of its
standard errors does not hold; 130 (143) a fit was interrupted by Ctrl-C (TERM), and is saved.";

/// Differentiate a recurrence: write the step once, get certified gradients
#[derive(Debug, Parser)]
#[command(name = "bptt", version, styles = STYLES, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Write one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write nothing but errors
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[arg(
        long,
        value_name = "BYTES",
        global = true,
        value_parser = bytes,
        allow_hyphen_values = true,
        help = "The most memory to use, such as 8G [env: BPTT_MEMORY] [default: 80 % of what is free]"
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
    /// The loss and its gradient
    #[command(after_help = "Examples:
  bptt grad cell.rec --data data.npz --params params.npz --out gradient.npz
  bptt grad lstm --data data.npz --params model.safetensors --dtype f32 --json
  bptt grad rnn --data data.npz --params params.npz --wrt W_H,h")]
    Grad(Grad),
    /// Run forward: outputs, loss and final states
    #[command(after_help = "Example:
  bptt run cell.rec --data data.npz --params params.npz --out outputs.npz")]
    Run(Run),
    /// Fit the parameters to data
    #[command(after_help = "Examples:
  bptt fit garch11 --data returns.npz --optimizer newton --standard-errors --out garch.npz
  bptt fit rnn --data data.npz --dims H=8 --steps 500 --lr 0.01 --clip 1 --out rnn.npz
  bptt fit chars.rec --text book.txt --dims H=32 --batch 16 --length 50 --out chars.npz")]
    Fit(Box<Fit>),
    /// Show a recurrence, or list the library
    #[command(after_help = "Examples:
  bptt show
  bptt show lstm
  bptt show cell.rec --format svg > cell.svg")]
    Show(Show),
    /// Derive the gradient on paper, every line checked
    #[command(after_help = "Examples:
  bptt derive rnn
  bptt derive lstm --level full
  bptt derive gru --lang zh --format html --out gru.html
  bptt derive rnn --data data.npz --params rnn.npz --format html --out rnn.html")]
    Derive(Derive),
    /// Start a recurrence of your own: a commented file
    #[command(after_help = "Example:
  bptt new cell.rec")]
    New(New),
    /// Change the format or the layout of parameters
    #[command(after_help = "Examples:
  bptt convert lstm --params state_dict.safetensors --out params.npz
  bptt convert lstm --params params.npz --layout pytorch --out state_dict.safetensors")]
    Convert(Convert),
    /// Write completions for a shell
    #[command(after_help = "Example:
  bptt completions bash > ~/.local/share/bash-completion/completions/bptt")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// A recurrence and the data it runs on.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// A name of the library or a .rec file
    pub(crate) cell: String,
    /// The inputs: a .npz, .safetensors or .csv file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// The parameters: a .npz or .safetensors file, also a state dict of PyTorch; otherwise as they
    /// start before a fit
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// The seed of parameters that start at random
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// The numbers to compute in
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Sizes that no array determines
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// A name of the library or a .rec file
    pub(crate) cell: String,
    /// Sizes of the random data; those not given are small and differ from each other
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// The inputs; random where not given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The parameters; random where not given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// The most steps on which every route runs; the compiled engine compares reverse with forward
    /// mode on all steps [default: as many as take about five seconds]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// How many times, each with other random numbers
    #[arg(long, value_name = "N", default_value = "1", value_parser = trials, allow_negative_numbers = true)]
    pub(crate) trials: u64,
    /// The seed of the random numbers
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Derive {
    /// A name of the library or a .rec file
    pub(crate) cell: String,
    /// The inputs of a run: how far the states reach is measured on its first sequence; on random
    /// numbers where not given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// The parameters of that run; otherwise as they start before a fit
    #[arg(long, short, value_name = "FILE", requires = "data")]
    pub(crate) params: Option<PathBuf>,
    /// The seed of parameters that start at random
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true, requires = "data")]
    pub(crate) seed: u64,
    /// Sizes that no array determines
    #[arg(
        long,
        value_name = "NAME=N,…",
        value_delimiter = ',',
        requires = "data"
    )]
    pub(crate) dims: Vec<Size>,
    /// The language: English or Chinese
    #[arg(long, default_value = "en", value_parser = choice(Lang::ALL, Lang::code))]
    pub(crate) lang: Lang,
    /// How much is said
    #[arg(long, default_value = "normal", value_parser = choice(Level::ALL, Level::name))]
    pub(crate) level: Level,
    /// The kind of document
    #[arg(long, default_value = "text", value_parser = choice(Format::ALL, Format::name))]
    pub(crate) format: Format,
    /// Where it goes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
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
pub(crate) struct Grad {
    #[command(flatten)]
    pub(crate) on: Data,
    /// With respect to these parameters, inputs, states or values; `all` is everything
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) wrt: Vec<String>,
    /// Where the gradients go: a .npz or .safetensors file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) on: Data,
    /// Where the outputs go: a .npz or .safetensors file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// A name of the library or a .rec file; without it, the library is listed
    pub(crate) cell: Option<String>,
    /// As text in canonical form, or as a graph
    #[arg(long, default_value = "rec")]
    pub(crate) format: Picture,
    /// Sizes, for `stages`; those not given are 32
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// Where it goes, instead of the terminal
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// The file to write; it must not exist
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// A name of the library or a .rec file
    pub(crate) cell: String,
    /// The parameters, in either layout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: PathBuf,
    /// The layout to write
    #[arg(long, default_value = "bptt")]
    pub(crate) layout: Layout,
    /// The numbers to write
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Where they go: a .npz or .safetensors file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// A name of the library or a .rec file
    pub(crate) cell: String,
    /// The inputs: a .npz, .safetensors or .csv file
    #[arg(long, short, value_name = "FILE", required_unless_present = "text")]
    pub(crate) data: Option<PathBuf>,
    /// A text instead: each character is a class of `x`, the one after it the class of `y`
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) text: Option<PathBuf>,
    /// How many characters in a row make a sample of a text
    #[arg(long, value_name = "N", default_value = "50", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) length: usize,
    /// The parameters to start from; otherwise as the recurrence says
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Sizes that no array determines
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub(crate) dims: Vec<Size>,
    /// How the parameters move
    #[arg(long, default_value = "adam")]
    pub(crate) optimizer: Optimizer,
    /// How many steps; Newton stops sooner when it has arrived [default: 1000, newton 100]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) steps: Option<usize>,
    /// The learning rate of Adam and SGD
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = learning_rate, allow_negative_numbers = true)]
    pub(crate) lr: f64,
    /// The momentum of SGD
    #[arg(long, value_name = "X", default_value = "0", value_parser = momentum, allow_negative_numbers = true)]
    pub(crate) momentum: f64,
    /// Shorten a gradient whose norm is larger than this
    #[arg(long, value_name = "X", value_parser = norm, allow_negative_numbers = true)]
    pub(crate) clip: Option<f64>,
    /// How many samples each step of Adam and SGD sees; all of them unless told
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) batch: Option<usize>,
    /// The seed of the start and of the order of the samples
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// The numbers to compute in
    #[arg(long, default_value = "f64")]
    pub(crate) dtype: Dtype,
    /// Standard errors of the estimates; the loss must be a negative log likelihood
    #[arg(long, value_name = "KIND")]
    pub(crate) errors: Option<Errors>,
    /// Short for --errors hessian
    #[arg(long, conflicts_with = "errors")]
    pub(crate) standard_errors: bool,
    /// Print the covariance matrix of the estimates too
    #[arg(long)]
    pub(crate) covariance: bool,
    /// Save every N steps: the parameters, and what --resume needs
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) save_every: Option<usize>,
    /// Go on from a file saved by --save-every or Ctrl-C, with the same settings, up to --steps
    #[arg(long, value_name = "FILE", conflicts_with = "params")]
    pub(crate) resume: Option<PathBuf>,
    /// Where the parameters go: a .npz or .safetensors file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

impl Fit {
    /// The kind of standard errors asked for.
    pub(crate) fn kind_of_errors(&self) -> Option<Errors> {
        let asked = self.standard_errors || self.covariance;
        self.errors.or(asked.then_some(Errors::Hessian))
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
pub(crate) enum Dtype {
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Optimizer {
    Adam,
    Sgd,
    /// Newton's method with the exact Hessian, for a few parameters
    Newton,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// The recurrence language
    Rec,
    /// A graph for Graphviz
    Dot,
    /// A picture
    Svg,
    /// How its gradient (or, without a loss, it itself) is executed
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
        Ok(Self {
            name: name.trim().into(),
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

/// A number in a range, or why not.
fn number(text: &str, fits: fn(f64) -> bool, must: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && fits(*x));
    number.ok_or_else(|| format!("{must}, found `{text}`"))
}

fn learning_rate(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| x > 0.0,
        "the learning rate must be positive, such as 0.01",
    )
}

fn momentum(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| (0.0..1.0).contains(&x),
        "the momentum must be from 0 to less than 1, such as 0.9",
    )
}

fn norm(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| x > 0.0,
        "the largest norm must be positive, such as 1",
    )
}
