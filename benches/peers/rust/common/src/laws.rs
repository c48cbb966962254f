//! The protocol of `bptt certify`: a question a line, an answer a line.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};

/// The reason why there is no answer.
pub enum No {
    /// The library offers no such computation.
    Unsupported(String),
    /// The computation failed.
    Error(String),
}

impl<E: std::error::Error> From<E> for No {
    fn from(error: E) -> Self {
        Self::Error(error.to_string())
    }
}

/// A row-major array.
#[derive(Clone)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    fn read(value: &Value) -> Self {
        let (mut shape, mut values) = (Vec::new(), Vec::new());
        let mut inner = value;
        while let Value::Array(list) = inner {
            shape.push(list.len());
            inner = list.first().unwrap_or(&Value::Null);
        }
        flatten(value, &mut values);
        Self { shape, values }
    }
}

fn flatten(value: &Value, values: &mut Vec<f64>) {
    match value {
        Value::Array(list) => list.iter().for_each(|part| flatten(part, values)),
        number => values.extend(number.as_f64()),
    }
}

/// Nested lists.
fn nested(shape: &[usize], values: &[f64]) -> Value {
    match shape {
        [] => json!(values[0]),
        [n, rest @ ..] => {
            let parts = values.chunks(values.len() / n);
            parts.map(|part| nested(rest, part)).collect()
        }
    }
}

/// A case of `steps` steps and `samples` samples, with its arrays by name, in `f64`.
pub struct Question {
    pub cell: String,
    pub f64: bool,
    pub second_order: bool,
    pub steps: usize,
    pub samples: usize,
    pub lengths: Vec<usize>,
    /// The sizes of an input, a state and an output.
    pub k: usize,
    pub h: usize,
    pub o: usize,
    arrays: BTreeMap<String, Array>,
}

impl Question {
    fn read(message: &Value) -> Option<Self> {
        let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let mut arrays = BTreeMap::new();
        for group in ["params", "inputs"] {
            for (name, value) in message[group].as_object()? {
                arrays.insert(name.clone(), Array::read(value));
            }
        }
        let lengths = message["lengths"].as_array()?.iter().map(size);
        let readout = arrays.get("W_O")?.shape.clone();
        Some(Self {
            cell: message["recurrence"].as_str()?.into(),
            f64: message["dtype"] == "f64",
            second_order: message["second_order"] == true,
            steps: size(&message["steps"])?,
            samples: size(&message["samples"])?,
            lengths: lengths.collect::<Option<_>>()?,
            k: *arrays.get("x")?.shape.last()?,
            h: readout[1],
            o: readout[0],
            arrays,
        })
    }

    /// The array with this name; empty if there is none.
    pub fn get(&self, name: &str) -> &[f64] {
        self.arrays.get(name).map_or(&[], |a| &a.values)
    }

    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// An array per step as `[B, T, …]`.
    pub fn batch_first(&self, name: &str) -> Vec<f64> {
        let values = self.get(name);
        let width = values.len() / (self.steps * self.samples);
        crate::batch_first(values, self.steps, self.samples, width)
    }

    /// The inverse of [`batch_first`](Self::batch_first).
    pub fn steps_first(&self, values: &[f64]) -> Vec<f64> {
        let width = values.len() / (self.steps * self.samples);
        crate::batch_first(values, self.samples, self.steps, width)
    }

    /// `[T, B]`: 1 within the length of a sample, 0 beyond.
    pub fn within(&self) -> Vec<f64> {
        let row = |t| {
            self.lengths
                .iter()
                .map(move |n| f64::from(u8::from(t < *n)))
        };
        (0..self.steps).flat_map(row).collect()
    }

    /// `[T, B, O]`: 1 at the class of a step within the length of its sample.
    pub fn one_hot(&self) -> Vec<f64> {
        let row = |(class, within): (&f64, f64)| {
            let class = *class as usize;
            (0..self.o).map(move |i| if i == class { within } else { 0.0 })
        };
        let steps = self.get("y").iter().zip(self.within());
        steps.flat_map(row).collect()
    }

    /// The names of the parameters of each gate, as input weights, state weights and biases, in the order in which
    /// libraries stack them.
    pub fn gates(&self) -> Result<Vec<[String; 3]>, No> {
        let letters = match &*self.cell {
            "rnn" => return Ok(vec![["W_X", "W_H", "b_h"].map(String::from)]),
            "lstm" | "lstm_peephole" => ["i", "f", "g", "o"].as_slice(),
            "gru_reset_after" | "gru_reset_before" => &["r", "z", "n"],
            other => return Err(No::Unsupported(format!("no cell `{other}`"))),
        };
        let names = letters
            .iter()
            .map(|g| ["W", "U", "b"].map(|p| format!("{p}_{g}")));
        Ok(names.collect())
    }

    /// The input weights, state weights and biases of all gates, one gate after the other.
    pub fn stacked(&self) -> Result<[Vec<f64>; 3], No> {
        let gates = self.gates()?;
        Ok([0, 1, 2].map(|part| {
            let arrays = gates.iter().map(|names| self.get(&names[part]));
            arrays.flatten().copied().collect()
        }))
    }
}

/// Loss, outputs `[T, B, O]` and gradients in the shapes of the question.
#[derive(Default)]
pub struct Found {
    pub loss: f64,
    pub outputs: Vec<f64>,
    pub gradient: BTreeMap<String, Vec<f64>>,
}

impl Found {
    pub fn gradient(&mut self, name: &str, values: Vec<f64>) {
        self.gradient.insert(name.into(), values);
    }

    /// The inverse of [`Question::stacked`].
    pub fn parted(&mut self, question: &Question, arrays: [Vec<f64>; 3]) -> Result<(), No> {
        let gates = question.gates()?;
        for (part, values) in arrays.iter().enumerate() {
            let blocks = values.chunks(values.len() / gates.len());
            for (names, block) in gates.iter().zip(blocks) {
                self.gradient(&names[part], block.to_vec());
            }
        }
        Ok(())
    }

    fn json(&self, question: &Question) -> Value {
        let shape = [question.steps, question.samples, question.o];
        let gradient = self.gradient.iter().map(|(name, values)| {
            let shape = &question.arrays[name].shape;
            (name.clone(), nested(shape, values))
        });
        json!({
            "loss": self.loss,
            "outputs": { "o": nested(&shape, &self.outputs) },
            "gradient": gradient.collect::<Map<_, _>>(),
        })
    }
}

/// Answers every line of the standard input.
pub fn serve(answer: impl Fn(&Question) -> Result<Found, No>) {
    for line in std::io::stdin().lock().lines() {
        let message: Value = line
            .ok()
            .and_then(|l| serde_json::from_str(&l).ok())
            .unwrap_or_default();
        let mut found = match Question::read(&message) {
            None => json!({ "error": "no question of the laws" }),
            Some(question) => match answer(&question) {
                Ok(found) => found.json(&question),
                Err(No::Unsupported(reason)) => json!({ "unsupported": reason }),
                Err(No::Error(reason)) => json!({ "error": reason }),
            },
        };
        found["id"] = message["id"].clone();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{found}")
            .and_then(|()| out.flush())
            .expect("the questioner listens");
    }
}
