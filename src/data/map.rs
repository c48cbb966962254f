//! Parameters that are parts of the arrays of a file, by lines such as `W_i = lstm.kernel[:, 0:64].T`.

use ndarray::{ArrayD, Axis, Slice};

use super::roles::{self, Use};
use super::{Arrays, Element};
use crate::error::{Error, Result, printable, quoted};
use crate::recurrence::{Batch, Params, Recurrence};

/// The deepest nesting of parentheses.
const MOST_DEPTH: usize = 32;

impl Arrays {
    /// The parameters of a recurrence from arrays of any names. A line gives one of them: a sum of arrays, their parts
    /// `A[a:b, c]`, counted from 0 and from the end if negative, and transposes `A.T`, in parentheses where needed. A
    /// parameter without a line is the array of its name. A name that is no word is in quotation marks.
    ///
    /// ```
    /// use bptt::{Recurrence, data::Arrays};
    /// use ndarray::array;
    /// let r = Recurrence::parse("r.rec", "
    ///     dim H
    ///     input x
    ///     param W[H, H], b[H]
    ///     state h[H]
    ///     h' = tanh(W @ h + b + x)
    ///     loss sum(h')
    /// ")?;
    /// let file = Arrays::new()
    ///     .with("rnn/kernel", array![[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]])
    ///     .with("rnn/bias", array![[0.5, 1.0], [0.25, 0.0]]);
    /// let params = file.mapped(&r, &["W = rnn/kernel[:, 0:2].T", "b = rnn/bias[0] + rnn/bias[1]"])?;
    /// assert_eq!(params.get("W").map(|w| w.real()), Some(array![[1.0, 3.0], [2.0, 4.0]].into_dyn()));
    /// assert_eq!(params.get("b").map(|b| b.real()), Some(array![0.75, 1.0].into_dyn()));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a line cannot be read, names no parameter or no array, or a part is not inside of its array; when a parameter has
    /// neither a line nor an array, or a shape that does not fit the recurrence. The error has the number of the line.
    pub fn mapped(&self, recurrence: &Recurrence, lines: &[impl AsRef<str>]) -> Result<Self> {
        let mut found = Self::new();
        for (n, line) in lines.iter().enumerate() {
            let line = line.as_ref();
            if line.trim().is_empty() {
                continue;
            }
            let told = |reason: String| Error::Array {
                reason: format!("line {}, `{}`: {reason}", n + 1, printable(line.trim())),
            };
            let mut reader = Reader {
                arrays: self,
                rest: line,
                depth: 0,
            };
            let (name, value) = reader.line().map_err(told)?;
            if !recurrence.parameters().any(|p| p == name) {
                let all = quoted(recurrence.parameters());
                return Err(told(format!(
                    "`{name}` is no parameter of `{}`, which has {all}",
                    recurrence.name()
                )));
            }
            if found.get(&name).is_some() {
                return Err(told(format!("`{name}` has a line before")));
            }
            let rank = recurrence
                .tape()
                .leaf_named(&name)
                .map(|leaf| leaf.ty().shape.rank());
            if rank.is_some_and(|rank| rank != value.ndim()) {
                let expected = recurrence.expected_shape(&name);
                return Err(told(format!(
                    "the result has shape {:?}, expected {expected} of `{name}`",
                    value.shape()
                )));
            }
            found.insert(&name, f64::array(value));
        }
        for name in recurrence.parameters() {
            if found.get(name).is_none() {
                self.reason_against(name)?;
                let array = self.get(name).ok_or_else(|| Error::Array {
                    reason: format!(
                        "parameter `{name}` {} has no line, and there is no array of its name: give one such as `{name} = {}`",
                        recurrence.expected_shape(name),
                        self.iter().next().map_or("array", |(n, _)| n)
                    ),
                })?;
                found.insert(name, array.clone());
            }
        }
        let params: Params<f64> = found.params(recurrence)?;
        recurrence.known_sizes(&params, &Batch::new(1, 1))?;
        Ok(found)
    }
}

/// The rest of a line.
struct Reader<'a> {
    arrays: &'a Arrays,
    rest: &'a str,
    depth: usize,
}

/// An array and its text, for messages.
type Read = Result<(String, ArrayD<f64>), String>;

impl<'a> Reader<'a> {
    fn line(&mut self) -> Read {
        const FORM: &str = "expected a line such as `W = kernel[:, 0:64].T`";
        let (name, rest) = self.rest.split_once('=').ok_or_else(|| FORM.to_owned())?;
        let name = name.trim().to_owned();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(FORM.into());
        }
        self.rest = rest;
        let (_, value) = self.sum()?;
        match self.peek() {
            None => Ok((name, value)),
            Some('-' | '*' | '/' | '@') => Err(format!(
                "expected `+`, `.T`, `[` or the end of the line, found `{}`; a mapping has sums, parts and transposes",
                self.rest.trim()
            )),
            Some(_) => Err(format!(
                "expected `+`, `.T`, `[` or the end of the line, found `{}`",
                self.rest.trim()
            )),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes this text, if it is next.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn sum(&mut self) -> Read {
        let (mut text, mut sum) = self.term()?;
        while self.take("+") {
            let (name, other) = self.term()?;
            if sum.shape() != other.shape() {
                return Err(format!(
                    "the terms of a sum have different shapes: `{text}` {:?}, `{name}` {:?}",
                    sum.shape(),
                    other.shape()
                ));
            }
            sum += &other;
            text = format!("{text} + {name}");
        }
        Ok((text, sum))
    }

    fn term(&mut self) -> Read {
        let (mut text, mut value) = match self.peek() {
            Some('(') => {
                self.take("(");
                self.depth += 1;
                if self.depth > MOST_DEPTH {
                    return Err(format!("more than {MOST_DEPTH} parentheses in each other"));
                }
                let (text, value) = self.sum()?;
                self.depth -= 1;
                if !self.take(")") {
                    return Err("a parenthesis is not closed".into());
                }
                (format!("({text})"), value)
            }
            _ => self.array()?,
        };
        loop {
            if self.take(".T") {
                value = match value.ndim() {
                    0..=2 => value.t().as_standard_layout().into_owned(),
                    n => {
                        return Err(format!(
                            "`{text}.T`: an array with {n} axes; take a part with two"
                        ));
                    }
                };
                text += ".T";
            } else if self.take("[") {
                (text, value) = self.part(text, &value)?;
            } else {
                return Ok((text, value));
            }
        }
    }

    /// An array of the file: the longest word that is the name of one.
    fn array(&mut self) -> Read {
        self.rest = self.rest.trim_start();
        let (mut name, end) = match self.rest.strip_prefix('"') {
            Some(rest) => {
                let (name, _) = rest
                    .split_once('"')
                    .ok_or("a quotation mark is not closed")?;
                (name, name.len() + 2)
            }
            None => {
                let is_word =
                    |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-');
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                (&self.rest[..end], end)
            }
        };
        let mut end = end;
        // `.T` at the end is a transpose, unless it belongs to the name.
        while self.arrays.get(name).is_none() {
            let Some(shorter) = name.strip_suffix(".T") else {
                break;
            };
            (name, end) = (shorter, end - 2);
        }
        if name.is_empty() {
            return Err(format!(
                "expected the name of an array, found `{}`",
                self.rest.trim()
            ));
        }
        self.arrays
            .reason_against(name)
            .map_err(|error| error.to_string())?;
        let Some(array) = self.arrays.get(name) else {
            let all = self.arrays.iter().map(|(name, _)| name);
            return Err(format!(
                "the file has no array `{}`; it has {}",
                printable(name),
                quoted(all)
            ));
        };
        self.rest = &self.rest[end..];
        let numbers = roles::numbers::<f64>(array, Use::Parameter);
        let numbers = numbers.map_err(|reason| format!("array `{name}`: {reason}"))?;
        Ok((name.to_owned(), numbers))
    }

    /// The part in brackets, whose first one has been read.
    fn part(&mut self, text: String, value: &ArrayD<f64>) -> Read {
        let (inside, rest) = self.rest.split_once(']').ok_or("a bracket is not closed")?;
        self.rest = rest;
        let shape = format!("{:?}", value.shape());
        let told = |reason: String| format!("`{text}` {shape}: {reason}");
        let ranges: Vec<&str> = inside.split(',').map(str::trim).collect();
        if ranges.len() > value.ndim() {
            return Err(told(format!("`[{inside}]` has {} places", ranges.len())));
        }
        let mut found = value.clone();
        // Indices leave their axes out, so that later axes come first.
        for (axis, range) in ranges.iter().enumerate().rev() {
            let count = value.len_of(Axis(axis));
            let inside = |at: i64, most: usize| {
                let signed = i64::try_from(count).unwrap_or(i64::MAX);
                let place = if at < 0 {
                    at.saturating_add(signed)
                } else {
                    at
                };
                let place = usize::try_from(place).ok().filter(|p| *p <= most);
                place.ok_or_else(|| {
                    told(format!(
                        "`{range}` is not inside of the {count} entries of axis {axis}"
                    ))
                })
            };
            let number = |text: &str| {
                text.trim()
                    .parse::<i64>()
                    .map_err(|_| told(format!("`{range}`: expected a whole number")))
            };
            let parts: Vec<&str> = range.split(':').collect();
            match parts[..] {
                [index] => {
                    let at = inside(number(index)?, count.saturating_sub(1))?;
                    if count == 0 {
                        return Err(told(format!("axis {axis} has no entries")));
                    }
                    found = found.index_axis(Axis(axis), at).to_owned();
                }
                [begin, end] => {
                    let begin = if begin.trim().is_empty() {
                        0
                    } else {
                        inside(number(begin)?, count)?
                    };
                    let end = if end.trim().is_empty() {
                        count
                    } else {
                        inside(number(end)?, count)?
                    };
                    if begin >= end {
                        return Err(told(format!("`{range}` has no entries")));
                    }
                    found = found
                        .slice_axis(Axis(axis), Slice::from(begin..end))
                        .to_owned();
                }
                _ => {
                    return Err(told(format!(
                        "`{range}`: a step in a range; entries are taken in their order, `a:b`"
                    )));
                }
            }
        }
        Ok((format!("{text}[{inside}]"), found))
    }
}
