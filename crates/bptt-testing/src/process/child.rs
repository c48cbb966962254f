//! A process with all that it starts, and the end of what it says.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::invocation::{Invocation, Stop};
use crate::Failure;

/// The longest pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(20);
/// The time in which the output of an ended process arrives.
const DRAIN: Duration = Duration::from_millis(300);
/// The bytes that are kept of the end of an output.
const KEPT: usize = 1 << 12;
/// The lines of the end of an output that are in a message.
const SHOWN: usize = 8;
/// The most characters of a line of an output that are in a message.
const WIDEST: usize = 200;

/// A process that is killed on drop, with all that it started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    status: Option<ExitStatus>,
    is_killed: bool,
    errors: Tail,
}

impl Running {
    /// Starts a process. Its standard error is read, its other streams are those of the command.
    pub(super) fn start(invocation: &Invocation, command: &mut Command) -> Result<Self, Failure> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| {
            Failure::Ended(format!(
                "{invocation} cannot be started: {error}; give a program of the PATH, or a path such as `./my_lstm`"
            ))
        })?;
        let errors = child.stderr.take().map(Tail::of).unwrap_or_default();
        Ok(Self {
            child,
            status: None,
            is_killed: false,
            errors,
        })
    }

    pub(super) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, once there is one.
    fn look(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for the end of the process until a time, or until it is to be stopped.
    pub(super) fn wait_until(&mut self, end: Instant, stop: &Stop) -> Option<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            let found = self.look();
            let now = Instant::now();
            if found.is_some() || now >= end || stop.is_asked() {
                return found;
            }
            thread::sleep(pause.min(end - now));
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Kills the process and all that it started.
    pub(super) fn kill(&mut self) {
        // Another process may have the number by now.
        if std::mem::replace(&mut self.is_killed, true) {
            return;
        }
        // The errors are those of processes that have ended.
        #[cfg(unix)]
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::KILL,
        );
        #[cfg(windows)]
        if self.status.is_none() {
            let mut command = Command::new("taskkill");
            command.args(["/T", "/F", "/PID", &self.child.id().to_string()]);
            drop(command.stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
        if self.status.is_none() {
            drop(self.child.kill());
            self.status = self.child.wait().ok();
        }
    }

    /// The end of the standard error, as the end of a message.
    pub(super) fn said(&self) -> String {
        match self.errors.text() {
            text if text.is_empty() => "; its standard error is empty".into(),
            text => format!("; its standard error ends with:{text}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a process, as the end of a sentence.
pub(super) fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was killed by signal {signal}{}", signal_name(signal));
    }
    match status.code() {
        // A shell reports the signal that killed its command in this way.
        Some(code @ 129..=159) => {
            let signal = code - 128;
            format!(
                "ended with exit code {code}: killed by signal {signal}{}",
                signal_name(signal)
            )
        }
        Some(127) => "ended with exit code 127: the shell does not find the command".into(),
        Some(126) => "ended with exit code 126: the shell cannot run the command".into(),
        Some(code) => format!("ended with exit code {code}"),
        None => "ended".into(),
    }
}

/// The name of a signal that programs are killed by.
const fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (hangup)",
        2 => " (interrupt)",
        4 => " (illegal instruction)",
        6 => " (abort)",
        8 => " (arithmetic error)",
        9 => " (kill; perhaps the system had no memory left)",
        11 => " (segmentation fault)",
        13 => " (broken pipe)",
        15 => " (termination)",
        _ => "",
    }
}

/// The end of an output, which a thread reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<(Mutex<Said>, Condvar)>);

#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    /// True if there was more before the bytes.
    cut: bool,
    done: bool,
}

impl Tail {
    /// Reads an output to its end.
    pub(super) fn of(mut output: impl Read + Send + 'static) -> Self {
        let tail = Self::default();
        let here = tail.clone();
        thread::spawn(move || {
            let mut buffer = [0; KEPT];
            loop {
                match output.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => here.locked().push(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            here.locked().done = true;
            here.0.1.notify_all();
        });
        tail
    }

    fn locked(&self) -> MutexGuard<'_, Said> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lines, each on a line of its own; empty if there are none.
    pub(super) fn text(&self) -> String {
        let wait = self
            .0
            .1
            .wait_timeout_while(self.locked(), DRAIN, |s| !s.done);
        let (said, _) = wait.unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said.bytes);
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let first = lines.len().saturating_sub(SHOWN);
        let mut shown = String::new();
        if first > 0 || said.cut {
            shown.push_str("\n    …");
        }
        for line in &lines[first..] {
            shown.push_str("\n    ");
            shown.push_str(&excerpt(line));
        }
        shown
    }
}

impl Said {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let over = self.bytes.len().saturating_sub(KEPT);
        self.cut |= over > 0;
        self.bytes.drain(..over);
    }
}

/// The beginning of a line, without control characters.
pub(super) fn excerpt(line: &str) -> String {
    let short: String = line.chars().take(WIDEST).collect();
    let rest = if short.len() < line.len() { "…" } else { "" };
    format!("{}{rest}", bptt::printable(short.trim_end()))
}
