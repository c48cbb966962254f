//! Questions and answers in `.npz` files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bptt::Recurrence;
use bptt::data::Arrays;

use super::child::{Running, Tail, ending, excerpt};
use super::invocation::{Invocation, Stop};
use super::question;
use crate::{Answer, Case, Failure, Quantity};

/// The number of folders of this process, for unique names.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A temporary folder, removed on drop.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Result<Self, Failure> {
        let (process, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("bptt-files-{process}-{number}"));
        fs::create_dir_all(&path).map_err(|error| {
            Failure::Failed(format!("{}: cannot be made: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // An error leaves files in the folder for temporary ones.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// One run of a program.
pub(super) struct Run<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) folder: &'a Folder,
    pub(super) limit: Duration,
    pub(super) stop: &'a Stop,
}

impl Run<'_> {
    /// The answer to a case, in a file of at most this many bytes.
    pub(super) fn ask(
        &self,
        recurrence: &Recurrence,
        case: &Case,
        second_order: bool,
        longest: usize,
    ) -> Result<Answer, Failure> {
        let [asked, answered] = ["question.npz", "answer.npz"].map(|name| self.folder.0.join(name));
        question::arrays(recurrence, case, second_order).write(&asked)?;
        match fs::remove_file(&answered) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Failed(format!(
                    "{}: cannot be removed: {error}",
                    answered.display()
                )));
            }
            _ => {}
        }
        let names = [&asked, &answered].map(|path| path.display().to_string());
        self.run(&names.each_ref().map(|name| &**name))?;
        let arrays = self.read(&answered, longest)?;
        numbers(&arrays)
    }

    fn run(&self, names: &[&str]) -> Result<(), Failure> {
        let mut command = self.invocation.command(names);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(self.invocation, &mut command)?;
        let output = running.child().stdout.take();
        let output = output.map(Tail::of).unwrap_or_default();
        let status = running.wait_until(Instant::now() + self.limit, self.stop);
        running.kill();
        let said = || {
            let printed = match output.text() {
                text if text.is_empty() => String::new(),
                text => format!("; its standard output ends with:{text}"),
            };
            format!("{}{printed}", running.said())
        };
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure::Ended(format!(
                "{} {}, expected exit code 0{}",
                self.invocation,
                ending(status),
                said()
            ))),
            None if self.stop.is_asked() => {
                Err(Failure::Ended(format!("{} was stopped", self.invocation)))
            }
            None => Err(Failure::Late(format!(
                "{} did not end within {:?}, and was killed; more time: `Program::timeout`{}",
                self.invocation,
                self.limit,
                said()
            ))),
        }
    }

    fn read(&self, path: &Path, longest: usize) -> Result<Arrays, Failure> {
        let Ok(found) = fs::metadata(path) else {
            return Err(Failure::Malformed(format!(
                "{} ended well, but wrote no answer: expected the file whose name is its last argument (Python: \
                 `numpy.savez(sys.argv[-1], loss=loss, **{{\"gradient/W\": dW}})`)",
                self.invocation
            )));
        };
        if found.len() > longest as u64 {
            return Err(Failure::Malformed(format!(
                "the answer of {} is a file of {} bytes, expected at most {longest}",
                self.invocation,
                found.len()
            )));
        }
        Arrays::read_limited(path, longest as u64).map_err(|error| {
            let text = error.to_string();
            let prefix = format!("{}: ", path.display());
            let text = text.strip_prefix(&prefix).unwrap_or(&text);
            Failure::Malformed(format!("the answer of {}: {text}", self.invocation))
        })
    }
}

/// The arrays of an answer.
fn numbers(arrays: &Arrays) -> Result<Answer, Failure> {
    if let Some((_, reason)) = arrays.refused().next() {
        return Err(Failure::Malformed(format!("the answer: {reason}")));
    }
    let mut answer = Answer::new();
    for (name, array) in arrays.iter() {
        let (quantity, of) = quantity(name).ok_or_else(|| {
            Failure::Malformed(format!(
                "the answer has an array `{0}`, expected `loss`, `gradient/NAME`, `outputs/NAME`, `tangent/NAME` or \
                 `hessian_vector/NAME`, such as `gradient/{0}`",
                excerpt(name)
            ))
        })?;
        answer = answer.with(quantity, of, array.real::<f64>());
    }
    Ok(answer)
}

/// The quantity and the name of an array of an answer.
fn quantity(name: &str) -> Option<(Quantity, &str)> {
    if name == Quantity::Loss.name() {
        return Some((Quantity::Loss, name));
    }
    let (group, of) = name.split_once('/')?;
    let quantities = Quantity::ALL.into_iter().filter(|q| *q != Quantity::Loss);
    quantities
        .filter(|q| q.name() == group)
        .map(|q| (q, of))
        .next()
}
