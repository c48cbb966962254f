//! Output of a command: text, or one JSON object.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use bptt::{Params, Scalar};
use ndarray::{Array2, ArrayD, ArrayViewD, Axis, Dimension};
use serde_json::{Map, Value, json};

use crate::options::in_options;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();
const HEAD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// The mode of output, and the JSON object written so far.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<Map<String, Value>>,
    quiet: bool,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            json: json.then(Map::new),
            quiet,
        }
    }

    /// Returns true if the output is text and not quiet.
    pub(crate) const fn is_text(&self) -> bool {
        self.json.is_none() && !self.quiet
    }

    /// The standard output, without colours if they are not wanted.
    #[expect(clippy::unused_self, reason = "whoever reports has the terminal")]
    pub(crate) fn terminal(&self) -> impl Write {
        Unread(anstream::stdout().lock())
    }

    /// Writes the main text of a command, such as a recurrence. In the JSON object it is the field `text`; a
    /// text that is valid JSON is inserted as JSON.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        if let Some(object) = &mut self.json {
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            object.insert("text".into(), value);
        } else if !self.quiet {
            self.terminal().write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// Writes a line of text.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        if self.is_text() {
            writeln!(self.terminal(), "{}", in_options(text.as_ref()))?;
        }
        Ok(())
    }

    pub(crate) fn heading(&self, text: &str, more: &str) -> io::Result<()> {
        self.line(format!("{HEAD}{text}{HEAD:#}  {FAINT}{more}{FAINT:#}"))
    }

    /// Writes a note to the standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Reports an error that does not end the command.
    #[expect(clippy::unused_self, reason = "whoever reports has the terminal")]
    pub(crate) fn problem(&self, text: &str) {
        // An error in writing is ignored; the exit code reports the error too.
        let _ = writeln!(anstream::stderr(), "{}: {}", error_mark(), in_options(text));
    }

    /// Adds a field to the JSON object.
    pub(crate) fn field(&mut self, name: &str, value: impl FnOnce() -> Value) {
        if let Some(object) = &mut self.json {
            object.insert(name.into(), value());
        }
    }

    /// Reports that a file was written.
    pub(crate) fn wrote(&mut self, path: &Path) -> io::Result<()> {
        self.field("out", || json!(path.display().to_string()));
        let shown = path.display().to_string();
        self.line(format!(
            "{FAINT}written to {}{FAINT:#}",
            bptt::printable(&shown)
        ))
    }

    /// Writes the JSON object, if any, and flushes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(object) = self.json.take()
            && !object.is_empty()
        {
            writeln!(self.terminal(), "{}", Value::Object(object))?;
        }
        self.terminal().flush()
    }
}

/// Output whose reader may close the pipe, as in `bptt … | head`. Further output is dropped; the command
/// continues, and its exit code is unaffected.
struct Unread<W>(W);

impl<W: Write> Write for Unread<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(buffer), buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

/// The result of a write to the standard output; a closed pipe counts as success.
pub(crate) fn unless_closed<T>(written: io::Result<T>, dropped: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(dropped),
        // A caller that tries again after an interrupt needs the kind of the error, and does not print it.
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("standard output: cannot be written: {error}"),
        )),
        written => written,
    }
}

/// The prefix of error messages.
pub(crate) fn error_mark() -> String {
    format!("bptt: {ERROR}error{ERROR:#}")
}

pub(crate) fn good(text: &str) -> String {
    format!("{GOOD}{text}{GOOD:#}")
}

pub(crate) fn bad(text: &str) -> String {
    format!("{ERROR}{text}{ERROR:#}")
}

/// A table with columns as wide as needed; the first is aligned left, the others right.
pub(crate) fn table(report: &Report, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|t| t.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|c| wide(c).unwrap_or(0)).collect();
    for (i, row) in rows.iter().enumerate() {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(c, (text, width))| match c {
                // The width in a format string is limited.
                0 => format!(
                    "{text}{}",
                    " ".repeat(width.saturating_sub(text.chars().count()))
                ),
                _ => format!(
                    "{}{text}",
                    " ".repeat(width.saturating_sub(text.chars().count()))
                ),
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        report.line(match i {
            0 => format!("  {FAINT}{line}{FAINT:#}"),
            _ => format!("  {line}"),
        })?;
    }
    Ok(())
}

/// One line for each array: name, shape, norm, and entry of largest magnitude.
pub(crate) fn arrays<'a, F: Scalar>(
    report: &Report,
    named: impl Iterator<Item = (&'a str, &'a ArrayD<F>)>,
) -> io::Result<()> {
    let mut rows = vec![
        ["name", "shape", "norm", "largest"]
            .map(String::from)
            .to_vec(),
    ];
    rows.extend(named.map(|(name, array)| {
        let entries = || array.iter().map(|x| Scalar::to_f64(*x));
        let largest = entries().fold(0.0, |m: f64, x| if x.abs() > m.abs() { x } else { m });
        // Squares of very large or small entries leave the range of numbers.
        let scale = if largest == 0.0 { 1.0 } else { largest.abs() };
        let norm = scale * entries().map(|x| (x / scale).powi(2)).sum::<f64>().sqrt();
        let shape = match array.ndim() {
            0 => "number".into(),
            _ => format!("{:?}", array.shape()),
        };
        vec![
            name.into(),
            shape,
            format!("{norm:.6e}"),
            format!("{largest:.6e}"),
        ]
    }));
    table(report, &rows)
}

/// One line for each entry of the parameters, with its standard error.
pub(crate) fn estimates(
    report: &Report,
    params: &Params<f64>,
    errors: &Params<f64>,
) -> io::Result<()> {
    let mut rows = vec![
        ["parameter", "estimate", "standard error"]
            .map(String::from)
            .to_vec(),
    ];
    for ((name, values), (_, errors)) in params.iter().zip(errors.iter()) {
        for ((index, value), error) in values.indexed_iter().zip(errors) {
            let name = match values.ndim() {
                0 => name.to_owned(),
                _ => format!("{name}{:?}", index.as_array_view().to_vec()),
            };
            rows.push(vec![name, digits(*value), digits(*error)]);
        }
    }
    table(report, &rows)
}

/// A symmetric matrix with the names of its rows and columns.
pub(crate) fn matrix(report: &Report, names: &[String], matrix: &Array2<f64>) -> io::Result<()> {
    let head = std::iter::once("covariance".to_owned()).chain(names.iter().cloned());
    let mut rows = vec![head.collect::<Vec<_>>()];
    for (name, row) in names.iter().zip(matrix.rows()) {
        let numbers = row.iter().map(|x| format!("{x:.6e}"));
        rows.push(std::iter::once(name.clone()).chain(numbers).collect());
    }
    table(report, &rows)
}

/// A count after the word "there": `is 1 sample`, `are 2 samples`.
pub(crate) fn there(count: usize, thing: &str) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{verb} {}", bptt::counted(count, thing))
}

/// Seven significant digits, with an exponent if the number is very large or small.
pub(crate) fn digits(x: f64) -> String {
    let size = x.abs().log10().floor();
    if (-6.0..7.0).contains(&size) {
        let places = (6.0 - size).max(0.0);
        format!(
            "{x:.0$}",
            (0..).position(|n| f64::from(n) >= places).unwrap_or(6)
        )
    } else {
        format!("{x:.6e}")
    }
}

/// Nested lists, one level per axis.
pub(crate) fn nested<F: Scalar>(array: ArrayViewD<'_, F>) -> Value {
    match array.ndim() {
        0 => array
            .first()
            .map_or(Value::Null, |x| json!(Scalar::to_f64(*x))),
        _ => array.axis_iter(Axis(0)).map(nested).collect(),
    }
}

/// Writes a note to the standard error. A failure to write it is ignored.
pub(crate) fn note(text: &str) {
    let _ = writeln!(
        anstream::stderr(),
        "bptt: {NOTE}note{NOTE:#}: {}",
        in_options(&bptt::printable(text))
    );
}
