//! Programs in other languages.

mod answer;
mod child;
mod files;
mod invocation;
mod lines;
mod question;
mod session;

use std::sync::Arc;
use std::time::Duration;

use bptt::{Rate, Recurrence};

use crate::{Answer, Case, Failure, Foreign};

use files::Folder;
use invocation::{Invocation, Stop};
use session::Session;

/// A program in any language that computes the loss and the gradients of a recurrence.
///
/// # Protocol
///
/// The program reads one line of JSON for each case from its standard input and writes one line of JSON to its standard
/// output, until the input ends. A question, shown on three lines:
///
/// ```text
/// {"id": 1, "recurrence": "rnn", "dtype": "f64", "second_order": false, "sizes": {"H": 3, "K": 2},
///  "steps": 5, "samples": 2, "lengths": [5, 3],
///  "params": {"W": [[0.5, …], …]}, "inputs": {"x": [[[0.1, …], …], …]}}
/// ```
///
/// Arrays are nested lists: `[T][B]…` per step, `[B]…` per sample. Classes are whole numbers. At second order there is also
/// `"direction"`, with an array for each parameter and input that has a gradient. The answer repeats the id; every other
/// key may be left out:
///
/// ```text
/// {"id": 1, "loss": 0.5, "gradient": {"W": [[…], …]}, "outputs": {…}, "tangent": {…}, "hessian_vector": {…}}
/// ```
///
/// or is `{"id": 1, "unsupported": "reason"}` or `{"id": 1, "error": "reason"}`. All else that the program says belongs on
/// its standard error, whose end is in the messages.
///
/// With [`files`](Self::files), the program is run once for each case, with the names of two `.npz` files as its last
/// arguments: the question, with the arrays `params/W`, `inputs/x`, `direction/W`, `lengths` and `sizes/H`, and the
/// answer to write, with `loss`, `gradient/W`, `outputs/o`, `tangent/loss` and `hessian_vector/W`.
///
/// # Ends
///
/// The program runs in a process group of its own (on Unix). It and all that it started are killed when an answer is late,
/// when it breaks the protocol, and when this value is dropped; at the drop it has a second to end by itself. The case
/// after a failure starts it again.
///
/// ```
/// # #[cfg(unix)] {
/// use bptt::Recurrence;
/// use bptt_testing::{Cases, Certify, process::Program};
/// let decay = Recurrence::parse("decay.rec", "param a\ninput x\nstate s\ns' = a * s + x\nloss s'^2\n")?;
/// let command = r#"while read -r question; do echo '{"id": 1, "unsupported": "no loss yet"}'; done"#;
/// let mut program = Program::new(&decay, command);
/// let certificate = Certify::new(Cases::new(&decay)).run(&mut program)?;
/// assert_eq!(certificate.failure().map(|f| f.message()), Some("no loss yet"));
/// # }
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Debug)]
pub struct Program {
    recurrence: Recurrence,
    invocation: Invocation,
    timeout: Duration,
    stop: Stop,
    mode: Mode,
}

/// The default time limit of an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The factor of the time limit of the first answer, before which an interpreter starts and code is compiled.
const START: u32 = 4;
/// The most bytes of an answer for each number that it can have; 25 characters are enough for a number.
const BYTES_PER_NUMBER: usize = 256;
/// The most bytes of an answer without numbers.
const BYTES: usize = 1 << 16;

/// The ways to exchange questions and answers.
#[derive(Debug)]
enum Mode {
    /// Lines of JSON, with the program that runs.
    Lines(Option<Session>),
    /// Files, in a folder of this program.
    Files(Option<Folder>),
}

impl Program {
    /// A program that is started by a line for the shell (`sh -c` on Unix, `cmd /C` on Windows), in the current folder.
    #[must_use]
    pub fn new(recurrence: &Recurrence, command: &str) -> Self {
        Self::started_by(recurrence, Invocation::Shell(command.into()))
    }

    /// A program that is started without a shell.
    #[must_use]
    pub fn direct(recurrence: &Recurrence, program: &str, arguments: &[&str]) -> Self {
        let words = [program].into_iter().chain(arguments.iter().copied());
        let words = words.map(str::to_owned).collect();
        Self::started_by(recurrence, Invocation::Direct(words))
    }

    fn started_by(recurrence: &Recurrence, invocation: Invocation) -> Self {
        Self {
            recurrence: recurrence.clone(),
            invocation,
            timeout: TIMEOUT,
            stop: Stop::never(),
            mode: Mode::Lines(None),
        }
    }

    /// The time limit of an answer (default: 30 seconds). The first answer of a process may take four times as long.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Exchanges `.npz` files instead of lines of JSON, with one run of the program for each case.
    #[must_use]
    pub fn files(self) -> Self {
        let mode = Mode::Files(None);
        Self { mode, ..self }
    }

    /// Kills the program as soon as this is true, which is asked many times a second while an answer is awaited. The
    /// answer is then a failure.
    #[must_use]
    pub fn stop_if(self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let stop = Stop(Arc::new(stop));
        Self { stop, ..self }
    }

    /// The most bytes of an answer to this case.
    fn longest(&self, case: &Case) -> usize {
        let tape = self.recurrence.tape();
        let sizes: Vec<usize> = case.sizes.iter().map(|(_, size)| *size).collect();
        let outputs = self.recurrence.outputs().filter_map(|name| {
            let ty = self.recurrence.output_type(name)?;
            let entries = ty.shape.dims().iter().map(|d| d.value_at(&sizes)).product();
            Some(places(ty.rate, case).saturating_mul(entries))
        });
        let leaves = tape.leaves().iter().map(|leaf| {
            let array = case.params.get(leaf.name());
            let array = array.or_else(|| case.batch.get(leaf.name()));
            array.map_or(0, ndarray::ArrayBase::len)
        });
        // Gradients and Hessian products, outputs and tangents.
        let numbers = leaves.chain(outputs).fold(0, usize::saturating_add);
        numbers
            .saturating_mul(2 * BYTES_PER_NUMBER)
            .saturating_add(BYTES)
    }
}

/// The number of steps and samples for which a value of this rate has an array.
fn places(rate: Rate, case: &Case) -> usize {
    match rate {
        Rate::Static => 1,
        Rate::Sample => case.batch.samples(),
        Rate::Step => case.batch.samples().saturating_mul(case.batch.steps()),
    }
}

impl Foreign for Program {
    fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }

    fn answer(&mut self, case: &Case, second_order: bool) -> Result<Answer, Failure> {
        let longest = self.longest(case);
        let (first, timeout) = (self.timeout.saturating_mul(START), self.timeout);
        match &mut self.mode {
            Mode::Lines(running) => {
                let mut session = match running.take() {
                    Some(session) => session,
                    None => Session::start(&self.invocation, longest)?,
                };
                let id = session.next_id();
                let question = question::json(id, &self.recurrence, case, second_order);
                let limit = if id == 1 { first } else { timeout };
                let line = session.ask(question, longest, limit, &self.stop)?;
                let answer = answer::read(&line, id).map_err(|e| session.malformed(e));
                // A program that declines or reports an error goes on.
                if let Ok(_) | Err(answer::Problem::Told(_)) = answer {
                    *running = Some(session);
                }
                answer.map_err(answer::Problem::failure)
            }
            Mode::Files(folder) => {
                let folder = match folder {
                    Some(folder) => folder,
                    none => none.insert(Folder::new()?),
                };
                let run = files::Run {
                    invocation: &self.invocation,
                    folder,
                    limit: first,
                    stop: &self.stop,
                };
                run.ask(&self.recurrence, case, second_order, longest)
            }
        }
    }
}
