//! The command line. Without arguments it runs the demonstration.

mod args;
mod cell;
mod certify;
mod check;
mod conflicts;
mod convert;
mod demo;
mod derive;
mod engine;
mod export;
mod fit;
mod flow;
mod grad;
mod import;
mod input;
mod interrupt;
mod new;
mod options;
mod overwrite;
mod progress;
mod reading;
mod report;
mod show;
mod stream;
mod vectors;

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use report::Report;

/// An error of the command line; errors of all types are only printed.
type Failure = Box<dyn std::error::Error>;

/// The result of a command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Well,
    NotCertified,
    /// The parameters of a fit were saved, but it diverged or did not converge.
    NotFitted,
    /// The parameters of a fit were saved, but there are no standard errors.
    NoErrors,
}

/// An error with an exit code of its own.
#[derive(Debug)]
struct Ending {
    code: u8,
    text: String,
}

impl Ending {
    fn failure(code: u8, text: String) -> Failure {
        Box::new(Self { code, text })
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Ending {}

fn main() -> ExitCode {
    let cli = parsed();
    let mut report = Report::new(cli.json, cli.quiet);
    let limited = limit_memory(cli.memory);
    match limited
        .and_then(|()| check_instruction_set())
        .and_then(|()| run(cli.command.as_ref(), &mut report))
        .and_then(|done| Ok((done, report.flush()?)))
    {
        Ok((Done::Well, ())) => ExitCode::SUCCESS,
        Ok((Done::NotCertified, ())) => ExitCode::from(1),
        Ok((Done::NotFitted, ())) => ExitCode::from(4),
        Ok((Done::NoErrors, ())) => ExitCode::from(5),
        Err(error) => {
            // Diagnostics of the language begin with `error:`.
            let text = in_its_file(error.as_ref(), cli.command.as_ref());
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            // An error in writing the error message is ignored.
            let _ = writeln!(anstream::stderr(), "{}: {text}", report::error_mark());
            ExitCode::from(
                error
                    .downcast_ref::<Ending>()
                    .map_or(3, |ending| ending.code),
            )
        }
    }
}

/// Sets the memory limit, from the option or the environment.
fn limit_memory(given: Option<usize>) -> Result<(), Failure> {
    let limit = match (given, std::env::var("BPTT_MEMORY")) {
        (None, Ok(text)) => Some(args::bytes(&text).map_err(|e| {
            Ending::failure(2, format!("the environment variable BPTT_MEMORY: {e}"))
        })?),
        (given, _) => given,
    };
    bptt::set_memory_limit(limit);
    Ok(())
}

/// Refuses a wrong instruction set in the environment before any work.
fn check_instruction_set() -> Result<(), Failure> {
    let found = bptt::instruction_sets();
    found.map_err(|error| Ending::failure(2, error.to_string()))?;
    Ok(())
}

/// Parses the command line; an error exits with code 2.
fn parsed() -> Cli {
    let mut command = Cli::command();
    let matches = command
        .try_get_matches_from_mut(std::env::args_os())
        .unwrap_or_else(|error| exit(&error));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Some(given), Some((name, matches))) = (&cli.command, matches.subcommand())
        && let Some(text) = conflicts::find(given, matches).or_else(|| overwrite::find(given))
        && let Some(command) = command.find_subcommand_mut(name)
    {
        command.error(ErrorKind::ArgumentConflict, text).exit();
    }
    cli
}

/// Refuses a recurrence in the place of a command.
fn refuse_recurrence(error: &clap::Error) {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    if cell::is_recurrence(name) {
        let text = format!(
            "`{name}` is a recurrence, and a command is missing: try `bptt check {name}`, or see `bptt --help`"
        );
        let text = bptt::printable(&text).into_owned();
        Cli::command()
            .error(ErrorKind::InvalidSubcommand, text)
            .exit();
    }
}

/// Prints a help, a version or an error of the command line, and exits.
fn exit(error: &clap::Error) -> ! {
    refuse_recurrence(error);
    let code = match (error.use_stderr(), report::unless_closed(error.print(), ())) {
        (false, Err(problem)) => {
            // An error in writing the error message is ignored.
            let _ = writeln!(anstream::stderr(), "{}: {problem}", report::error_mark());
            3
        }
        _ => error.exit_code(),
    };
    std::process::exit(code)
}

fn run(command: Option<&Command>, report: &mut Report) -> Result<Done, Failure> {
    match command {
        None => demo::run(report)?,
        Some(Command::Check(args)) => return check::run(args, report),
        Some(Command::Certify(args)) => return certify::run(args, report),
        Some(Command::Grad(args)) => grad::grad(args, report)?,
        Some(Command::Run(args)) if args.stream => stream::run(args, report)?,
        Some(Command::Run(args)) => grad::run(args, report)?,
        Some(Command::Fit(args)) => return fit::run(args, report),
        Some(Command::Show(args)) => show::run(args, report)?,
        Some(Command::Derive(args)) => derive::run(args, report)?,
        Some(Command::New(args)) => new::run(args, report)?,
        Some(Command::Convert(args)) => convert::run(args, report)?,
        Some(Command::Flow(args)) => flow::run(args, report)?,
        Some(Command::Export(args)) => export::run(args, report)?,
        Some(Command::Import(args)) => import::run(args, report)?,
        Some(Command::Vectors(args)) => vectors::run(args, report)?,
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "bptt", &mut script);
            report.print(&String::from_utf8(script)?)?;
        }
    }
    Ok(Done::Well)
}

/// The text of an error about the data of a command, with the file of the data.
fn in_its_file(error: &(dyn std::error::Error + 'static), command: Option<&Command>) -> String {
    use bptt::Error;
    let text = options::in_options(&told(error));
    let (data, _, params) = command.map_or((&[][..], None, None), Command::files);
    let data = || (!data.is_empty()).then(|| reading::listed(data));
    let params = || params.map(|file| file.display().to_string());
    let file = match error.downcast_ref() {
        Some(
            Error::NonFiniteData { what, .. }
            | Error::ArrayShape { what, .. }
            | Error::Missing { what, .. },
        ) => match *what {
            "parameter" => params(),
            "input" | "sample input" => data(),
            _ => None,
        },
        Some(Error::ClassOutOfRange { .. } | Error::Batch { .. }) => data(),
        Some(Error::Transposed { .. }) => params(),
        _ => None,
    };
    match file {
        Some(file) => format!("{}: {text}", bptt::printable(&file)),
        None => text,
    }
}

/// The text of an error, in terms of the command line.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    const BY_NAME: &str = "Batch::size";
    match error.downcast_ref() {
        Some(bptt::Error::UnknownSize { dim }) => {
            format!(
                "size {dim} cannot be inferred from the data: give --dims {dim}=…, such as {dim}=8"
            )
        }
        Some(bptt::Error::DimConflict {
            dim,
            first_array,
            first,
            second_array,
            second,
        }) if first_array == BY_NAME => format!(
            "--dims {dim}={first} contradicts the array `{second_array}`, in which {dim} is {second}: \
             leave it out"
        ),
        Some(bptt::Error::NoLoss { recurrence }) => format!(
            "recurrence `{recurrence}` has no loss: add a line to its text, `loss …` or `final loss …`"
        ),
        // Diagnostics are already shortened and cleaned.
        _ if error.is::<bptt::Diagnostics>() => error.to_string(),
        _ => bptt::printable(&error.to_string()).into_owned(),
    }
}
