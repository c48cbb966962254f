//! A case of the benchmark: one line of the protocol.

use serde_json::Value;

/// The type of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    F64,
}

/// The computation that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Every output of every step.
    Forward,
    /// The loss and its gradient with respect to every parameter.
    Gradient,
}

/// A computation, with `T` steps, `B` samples, inputs `[K]` and states `[H]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) cell: String,
    pub(crate) steps: usize,
    pub(crate) samples: usize,
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    pub(crate) precision: Precision,
    pub(crate) threads: usize,
    pub(crate) task: Task,
}

/// The settings of the timing loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) min_seconds: f64,
    pub(crate) warm: bool,
    pub(crate) checksum: bool,
}

impl Case {
    /// Reads a case; the error says which field is missing or wrong.
    pub(crate) fn read(message: &Value) -> Result<(Self, Timing), String> {
        let flag = |name| message[name].as_bool().unwrap_or(false);
        let case = Self {
            cell: text(message, "cell")?.into(),
            steps: count(message, "T")?,
            samples: count(message, "B")?,
            inputs: count(message, "K")?,
            hidden: count(message, "H")?,
            precision: match text(message, "dtype")? {
                "f32" => Precision::F32,
                "f64" => Precision::F64,
                other => return Err(format!("`dtype` is `{other}`, expected f32 or f64")),
            },
            threads: count(message, "threads")?,
            task: match text(message, "what")? {
                "forward" => Task::Forward,
                "gradient" => Task::Gradient,
                other => {
                    return Err(format!("`what` is `{other}`, expected forward or gradient"));
                }
            },
        };
        let timing = Timing {
            min_seconds: message["min_seconds"].as_f64().unwrap_or(1.0),
            warm: !flag("no_warm"),
            checksum: !flag("no_checksum"),
        };
        Ok((case, timing))
    }
}

fn text<'a>(message: &'a Value, name: &str) -> Result<&'a str, String> {
    let found = message[name].as_str();
    found.ok_or_else(|| format!("`{name}` is {}, expected a text", message[name]))
}

fn count(message: &Value, name: &str) -> Result<usize, String> {
    let found = message[name].as_u64().and_then(|n| usize::try_from(n).ok());
    found
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("`{name}` is {}, expected a positive integer", message[name]))
}
