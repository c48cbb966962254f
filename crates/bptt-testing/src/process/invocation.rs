//! The start of a program, and the wish to stop it.

use std::fmt;
use std::process::Command;
use std::sync::Arc;

/// A condition under which the program is to be stopped.
#[derive(Clone)]
pub(super) struct Stop(pub(super) Arc<dyn Fn() -> bool + Send + Sync>);

impl Stop {
    /// No stop.
    pub(super) fn never() -> Self {
        Self(Arc::new(|| false))
    }

    pub(super) fn is_asked(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}

/// The command that starts the program.
#[derive(Clone, Debug)]
pub(super) enum Invocation {
    /// A command line for the shell.
    Shell(String),
    /// A program and its arguments.
    Direct(Vec<String>),
}

impl Invocation {
    /// The command, with more arguments at its end.
    pub(super) fn command(&self, more: &[&str]) -> Command {
        match self {
            Self::Shell(line) => shell(line, more),
            Self::Direct(words) => {
                let mut command = Command::new(words.first().map_or("", |w| w));
                command.args(words.iter().skip(1)).args(more);
                command
            }
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Self::Shell(line) => line.clone(),
            Self::Direct(words) => words.join(" "),
        };
        write!(f, "`{}`", bptt::printable(&line))
    }
}

/// A command of the shell with more arguments at its end.
#[cfg(unix)]
fn shell(line: &str, more: &[&str]) -> Command {
    let mut command = Command::new("sh");
    match more {
        [] => command.args(["-c", line]),
        _ => command
            .args(["-c", &format!("{line} \"$@\""), "sh"])
            .args(more),
    };
    command
}

/// A command of the shell with more arguments at its end.
#[cfg(windows)]
fn shell(line: &str, more: &[&str]) -> Command {
    use std::os::windows::process::CommandExt;
    let mut command = Command::new("cmd");
    command.raw_arg("/C").raw_arg(line);
    for argument in more {
        command.raw_arg(format!("\"{argument}\""));
    }
    command
}
