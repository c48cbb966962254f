//! Reads the answer of a program.

use ndarray::{ArrayD, IxDyn};
use serde_json::{Map, Value};

use super::child::excerpt;
use crate::{Answer, Failure, Quantity};

/// The reason why a line is no answer with numbers.
#[derive(Debug)]
pub(super) enum Problem {
    /// The line breaks the protocol; the text continues a sentence about the line.
    Form(String),
    /// A number is not finite; the text is a sentence.
    NotFinite(String),
    /// The program says that it has no answer.
    Told(Failure),
}

impl Problem {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Form(text) => Failure::Malformed(text),
            Self::NotFinite(text) => Failure::NotFinite(text),
            Self::Told(failure) => failure,
        }
    }
}

/// The keys of an answer beside those of quantities.
const OTHERS: [&str; 3] = ["id", "unsupported", "error"];

/// Reads the answer to a question.
pub(super) fn read(line: &str, id: u64) -> Result<Answer, Problem> {
    let form = |text: String| Err(Problem::Form(text));
    let line = line.trim();
    let object = match parse(line)? {
        Value::Object(object) => object,
        other => {
            return form(format!(
                "is {}, expected an object such as {{\"id\": {id}, \"loss\": 0.5}}: `{}`",
                kind(&other),
                excerpt(line)
            ));
        }
    };
    match object.get("id") {
        None => {
            return form(format!(
                "has no \"id\", expected \"id\": {id}, as in the question"
            ));
        }
        Some(found) if found.as_u64() != Some(id) => {
            return form(format!(
                "has the id {}, expected {id}; answer each question with one line, in their order",
                excerpt(&found.to_string())
            ));
        }
        Some(_) => {}
    }
    let is_known =
        |key: &str| OTHERS.contains(&key) || Quantity::ALL.iter().any(|q| q.name() == key);
    if let Some(key) = object.keys().find(|key| !is_known(key)) {
        let known = Quantity::ALL.map(Quantity::name);
        return form(format!(
            "has the key `{}`, expected {}",
            excerpt(key),
            bptt::quoted(OTHERS.into_iter().chain(known))
        ));
    }
    let told = |key: &str| match object.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(reason)) => Some(bptt::printable(reason).into_owned()),
        Some(other) => Some(excerpt(&other.to_string())),
    };
    if let Some(reason) = told("unsupported") {
        return Err(Problem::Told(Failure::Unsupported(reason)));
    }
    if let Some(reason) = told("error") {
        return Err(Problem::Told(Failure::Failed(reason)));
    }
    numbers(&object)
}

/// The arrays of an answer.
fn numbers(object: &Map<String, Value>) -> Result<Answer, Problem> {
    let mut answer = Answer::new();
    for quantity in Quantity::ALL {
        let group = quantity.name();
        match (quantity, object.get(group)) {
            (_, None) => {}
            (Quantity::Loss, Some(value)) => {
                answer = answer.with(quantity, group, array(value, "`loss`")?);
            }
            // A program may write all keys, and null for those that it does not answer.
            (_, Some(Value::Null)) => {}
            (_, Some(Value::Object(arrays))) => {
                for (name, value) in arrays {
                    let title = format!("`{}` of `{group}`", excerpt(name));
                    answer = answer.with(quantity, name, array(value, &title)?);
                }
            }
            (_, Some(other)) => {
                return Err(Problem::Form(format!(
                    "has {} as `{group}`, expected an object with an array for each name",
                    kind(other)
                )));
            }
        }
    }
    Ok(answer)
}

/// The words that programs write for numbers that are not finite, which are no JSON.
const WORDS: [(&str, f64); 6] = [
    ("NaN", f64::NAN),
    ("nan", f64::NAN),
    ("Infinity", f64::INFINITY),
    ("inf", f64::INFINITY),
    ("-Infinity", f64::NEG_INFINITY),
    ("-inf", f64::NEG_INFINITY),
];

/// Reads JSON; numbers that are not finite become strings.
fn parse(line: &str) -> Result<Value, Problem> {
    let error = match serde_json::from_str(line) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if let Ok(value) = serde_json::from_str(&quoted_words(line)) {
        return Ok(value);
    }
    if !line.starts_with(['{', '[']) {
        return Err(Problem::Form(format!(
            "is not JSON: `{}`; print answers alone there, and all else to the standard error (Python: \
             `print(…, file=sys.stderr)`)",
            excerpt(line)
        )));
    }
    let text = error.to_string();
    let reason = text.split(" at line").next().unwrap_or(&text);
    let column = error.column();
    let before: String = line.get(..column.min(line.len())).unwrap_or(line).into();
    let skipped = before.chars().count().saturating_sub(40);
    let around: String = before.chars().skip(skipped).collect();
    Err(Problem::Form(format!(
        "is not JSON at byte {column}: {reason}, after `{}`; write it with a library, such as `json.dumps` in Python",
        excerpt(&around)
    )))
}

/// The text with quotation marks around the [`WORDS`] outside of strings.
fn quoted_words(line: &str) -> String {
    let mut quoted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest),
            _ => {
                let end = rest.find(|c: char| " \t,:[]{}\"".contains(c));
                end.unwrap_or(rest.len()).max(first.len_utf8())
            }
        };
        let (token, after) = rest.split_at(length);
        match WORDS.iter().any(|(word, _)| *word == token) {
            true => {
                quoted.push('"');
                quoted.push_str(token);
                quoted.push('"');
            }
            false => quoted.push_str(token),
        }
        rest = after;
    }
    quoted
}

/// The bytes of the string at the beginning of a text.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// An array from nested lists.
fn array(value: &Value, title: &str) -> Result<ArrayD<f64>, Problem> {
    let mut shape = Vec::new();
    let mut inner = value;
    while let Value::Array(list) = inner {
        shape.push(list.len());
        match list.first() {
            Some(first) => inner = first,
            None => break,
        }
    }
    let mut numbers = Vec::new();
    let mut index = Vec::new();
    flatten(value, &shape, &mut index, &mut numbers, title)?;
    ArrayD::from_shape_vec(IxDyn(&shape), numbers)
        .map_err(|error| Problem::Form(format!("has {title} of no shape: {error}")))
}

fn flatten(
    value: &Value,
    shape: &[usize],
    index: &mut Vec<usize>,
    numbers: &mut Vec<f64>,
    title: &str,
) -> Result<(), Problem> {
    let place = |index: &[usize]| match index {
        [] => String::new(),
        _ => format!(" at {index:?} (counted from 0)"),
    };
    match (value, shape) {
        (Value::Array(list), [count, rest @ ..]) if list.len() == *count => {
            for (i, part) in list.iter().enumerate() {
                index.push(i);
                flatten(part, rest, index, numbers, title)?;
                index.pop();
            }
            Ok(())
        }
        (Value::Array(list), [count, ..]) => Err(Problem::Form(format!(
            "has {title} with lists of different lengths: {}{}, and {count} elsewhere",
            list.len(),
            place(index)
        ))),
        (Value::Array(_), []) | (Value::Number(_), [_, ..]) => Err(Problem::Form(format!(
            "has {title} with {}{}, where other entries have {}",
            kind(value),
            place(index),
            if shape.is_empty() {
                "a number"
            } else {
                "a list"
            }
        ))),
        (Value::Number(x), []) => {
            numbers.push(x.as_f64().unwrap_or(f64::NAN));
            Ok(())
        }
        (Value::Null, _) => Err(Problem::NotFinite(format!(
            "{title} of the answer is null{}, expected a number; many writers of JSON write null for NaN; leave out the name of \
             an array that is not answered",
            place(index)
        ))),
        (Value::String(word), _) if WORDS.iter().any(|(w, _)| w == word) => {
            Err(Problem::NotFinite(format!(
                "{title} of the answer is {word}{}, expected a finite number",
                place(index)
            )))
        }
        (other, _) => Err(Problem::Form(format!(
            "has {title} with {}{}, expected a number",
            kind(other),
            place(index)
        ))),
    }
}

/// The kind of a value, with an article.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => format!("{b}"),
        Value::Number(_) => "a number".into(),
        Value::String(s) => format!("the text \"{}\"", excerpt(s)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
