//! A program that runs and answers questions by lines.

use std::io::Write;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::Problem;
use super::child::{Running, ending, excerpt};
use super::invocation::{Invocation, Stop};
use super::lines::{Lines, Piece};
use crate::Failure;

/// The time between two looks at [`Stop`].
const LOOK: Duration = Duration::from_millis(20);
/// The time in which a program ends when its input has ended, or its output.
const END: Duration = Duration::from_secs(1);

/// A program that runs.
#[derive(Debug)]
pub(super) struct Session {
    running: Running,
    invocation: Invocation,
    /// Questions for the thread that writes them; a program that does not read must not hold up this one.
    questions: Option<Sender<String>>,
    lines: Lines,
    /// The number of questions, which is the id of the last one.
    asked: u64,
    /// The number of lines that were read.
    read: u64,
}

impl Session {
    /// Starts a program whose first answer has at most this many bytes.
    pub(super) fn start(invocation: &Invocation, longest: usize) -> Result<Self, Failure> {
        let mut command = invocation.command(&[]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(invocation, &mut command)?;
        let child = running.child();
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Ended(format!("{invocation} has no pipes")));
        };
        Ok(Self {
            running,
            invocation: invocation.clone(),
            questions: Some(writer(input)),
            lines: Lines::of(output, longest),
            asked: 0,
            read: 0,
        })
    }

    /// The id of the next question.
    pub(super) const fn next_id(&self) -> u64 {
        self.asked + 1
    }

    /// The line that answers a question.
    pub(super) fn ask(
        &mut self,
        question: String,
        longest: usize,
        limit: Duration,
        stop: &Stop,
    ) -> Result<String, Failure> {
        self.asked += 1;
        self.lines.limit(longest);
        if let Some(questions) = &self.questions {
            // A program that has closed its input may answer all the same.
            drop(questions.send(question));
        }
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if stop.is_asked() {
                self.running.kill();
                return Err(Failure::Ended(format!("{} was stopped", self.invocation)));
            }
            let piece = self.lines.next_within(left.min(LOOK));
            // An answer that is there in time counts; blank lines do not prolong the time.
            let is_blank =
                matches!(&piece, Some(Piece::Line(bytes)) if bytes.trim_ascii().is_empty());
            if left.is_zero() && (piece.is_none() || is_blank) {
                return Err(self.late(limit));
            }
            let Some(piece) = piece else {
                continue;
            };
            match piece {
                Piece::Line(bytes) => {
                    self.read += 1;
                    if !bytes.trim_ascii().is_empty() {
                        return self.text(bytes);
                    }
                }
                // A last line without an end is an answer if it is whole.
                Piece::End(bytes)
                    if serde_json::from_slice::<serde_json::Value>(&bytes).is_ok() =>
                {
                    self.read += 1;
                    return self.text(bytes);
                }
                Piece::End(bytes) => return Err(self.ended(&bytes)),
                Piece::Endless(bytes) => {
                    let said = self.said_after_kill();
                    return Err(Failure::Malformed(format!(
                        "line {} of the standard output of {} has more than {longest} bytes, more than an answer to this \
                         question can have; it begins with `{}`{said}",
                        self.read + 1,
                        self.invocation,
                        shown(&bytes),
                    )));
                }
            }
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, Failure> {
        String::from_utf8(bytes).map_err(|error| {
            Failure::Malformed(format!(
                "line {} of the standard output of {} is not text: byte {} is not UTF-8",
                self.read,
                self.invocation,
                error.utf8_error().valid_up_to()
            ))
        })
    }

    /// The problem of the last line, with its place.
    pub(super) fn malformed(&mut self, problem: Problem) -> Problem {
        match problem {
            Problem::Form(reason) => {
                let said = self.said_after_kill();
                Problem::Form(format!(
                    "line {} of the standard output of {} {reason}{said}",
                    self.read, self.invocation
                ))
            }
            told => told,
        }
    }

    fn said_after_kill(&mut self) -> String {
        self.running.kill();
        self.running.said()
    }

    /// The failure for an answer that did not come in time.
    fn late(&mut self, limit: Duration) -> Failure {
        let partial = self.lines.partial();
        let has_read_nothing = partial.is_empty();
        let said = self.said_after_kill();
        let what = match has_read_nothing {
            true => format!(
                "{} did not answer question {} within {limit:?}, and was killed; does it read lines from its standard input, \
                 and flush its standard output after each answer (Python: `print(…, flush=True)`)?",
                self.invocation, self.asked
            ),
            false => format!(
                "{} did not end the line of its answer to question {} within {limit:?}, and was killed; the line begins with `{}`, \
                 expected an end of line after the answer",
                self.invocation,
                self.asked,
                shown(&partial)
            ),
        };
        Failure::Late(format!("{what}; more time: `Program::timeout`{said}"))
    }

    /// The failure for a program whose output has ended, perhaps within a line.
    fn ended(&mut self, partial: &[u8]) -> Failure {
        let status = self
            .running
            .wait_until(Instant::now() + END, &Stop::never());
        let how = match status {
            Some(status) => ending(status),
            None => "closed its standard output, but did not end,".into(),
        };
        let place = match (partial, self.asked) {
            ([], 1) => "before its first answer".to_owned(),
            ([], asked) => format!(
                "before its answer to question {asked}; expected one line for each line of its standard input, until that ends"
            ),
            (_, asked) => format!(
                "within its answer to question {asked}, which begins with `{}`",
                shown(partial)
            ),
        };
        let said = self.said_after_kill();
        Failure::Ended(format!("{} {how} {place}{said}", self.invocation))
    }
}

impl Drop for Session {
    /// Ends the input, upon which the program ends; else it is killed.
    fn drop(&mut self) {
        self.questions = None;
        self.running
            .wait_until(Instant::now() + END, &Stop::never());
    }
}

/// A thread that writes questions.
fn writer(mut input: ChildStdin) -> Sender<String> {
    let (sender, questions) = channel::<String>();
    thread::spawn(move || {
        for question in questions {
            let written = input.write_all(question.as_bytes());
            if written.and_then(|()| input.flush()).is_err() {
                break;
            }
        }
    });
    sender
}

/// The beginning of a line, as text.
fn shown(bytes: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(bytes))
}
