//! The command line. Without arguments it shows what the library does, on real data.

mod data;
mod demo;
mod derive;
mod network;
mod report;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// What the command line prints errors as; every kind of them is only ever printed.
type Failure = Box<dyn std::error::Error>;

const HELP: &str = "\
bptt - differentiate a recurrence: write the step once, get certified gradients

usage: bptt [--help | --version]
       bptt derive WHAT [--lang en|zh] [--level sheet|normal|full]
                        [--format text|ascii|md|html|tex|json] [-o FILE]

Without arguments: the demonstration. It defines a tanh network and an LSTM, prints the gradient
of a loss on the yearly sunspot numbers with its certification, shows how far back in time the
gradient reaches, fits both networks and compares their forecasts with naive ones. It takes a few
seconds, reads nothing and writes nothing but this text.

derive: the derivation of the gradient of WHAT, a cell (rnn, relu-rnn, lstm, peephole-lstm, gru,
gru-reset-before) or a file in the recurrence language (*.rec), with every line checked.
";

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let done = match arguments[..] {
        [] => demo::run(&mut out),
        ["-h" | "--help"] => write!(out, "{HELP}").map_err(Failure::from),
        ["-V" | "--version"] => {
            writeln!(out, "bptt {}", env!("CARGO_PKG_VERSION")).map_err(Failure::from)
        }
        ["derive", ref rest @ ..] => {
            derive::Options::read(rest).and_then(|options| derive::run(&mut out, &options))
        }
        [first, ref rest @ ..] => {
            let known = ["-h", "--help", "-V", "--version"].contains(&first);
            let unknown = rest.first().filter(|_| known).unwrap_or(&first);
            let text = format!("bptt: unexpected argument `{unknown}`; see `bptt --help`\n");
            // Nothing is left to be done when even this cannot be written.
            let _ = io::stderr().write_all(text.as_bytes());
            return ExitCode::from(2);
        }
    };
    match done.and_then(|()| out.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as with `bptt | head`.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::stderr().write_all(format!("bptt: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}
