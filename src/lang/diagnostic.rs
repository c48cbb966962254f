//! What is wrong with a source text, shown as a compiler would: the line, underlined, and a hint.

use std::cell::RefCell;
use std::fmt::{self, Write};

/// How many mistakes are kept; the rest are counted.
const LIMIT: usize = 25;

/// Bytes `start .. end` of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(super) fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    message: String,
    labels: Vec<(Span, String)>,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    pub(super) fn at(span: Span, message: impl Into<String>) -> Self {
        Self::new(message).label(span, "")
    }

    /// Underlines a place and says what stands there.
    pub(super) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    pub(super) fn suggest(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Reports {
    list: RefCell<Vec<Diagnostic>>,
    more: RefCell<usize>,
}

impl Reports {
    /// Keeps a mistake, unless the same was said already.
    pub(super) fn push(&self, diagnostic: Diagnostic) {
        let mut list = self.list.borrow_mut();
        let place = |d: &Diagnostic| d.labels.first().map(|l| l.0);
        let known = list
            .iter()
            .any(|d| d.message == diagnostic.message && place(d) == place(&diagnostic));
        if known {
            return;
        }
        if list.len() < LIMIT {
            list.push(diagnostic);
        } else {
            *self.more.borrow_mut() += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Whether further mistakes are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.list.borrow().len() >= LIMIT
    }

    pub(super) fn finish(self, file: &str, source: &str) -> Diagnostics {
        let mut list = self.list.into_inner();
        list.sort_by_key(|d| d.labels.first().map_or(usize::MAX, |l| l.0.start));
        Diagnostics {
            file: file.into(),
            source: source.into(),
            list,
            more: self.more.into_inner(),
        }
    }
}

/// Everything that is wrong with a source text, in the order of the text.
///
/// It is displayed with the lines in question, underlined:
///
/// ```
/// let error = bptt::Recurrence::parse("leaky.rec", "state level\nlevel' = tanh(levle)\n").unwrap_err();
/// assert_eq!(error.to_string(), "\
/// error: `levle` is not defined
///  --> leaky.rec:2:15
///   |
/// 2 | level' = tanh(levle)
///   |               ^^^^^
///   = help: did you mean `level`?
/// ");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    source: String,
    list: Vec<Diagnostic>,
    more: usize,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// The mistakes that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The line and the column, counted from 1, at which a mistake was found.
    #[must_use]
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<(usize, usize)> {
        let (span, _) = diagnostic.labels.first()?;
        let line = self.line(span.start);
        Some((line.number, line.column(span.start) + 1))
    }

    fn line(&self, offset: usize) -> Line<'_> {
        let offset = offset.min(self.source.len());
        let before = &self.source[..offset];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let rest = &self.source[start..];
        Line {
            number: before.matches('\n').count() + 1,
            start,
            text: rest.split(['\n', '\r']).next().unwrap_or_default(),
        }
    }

    fn render(&self, diagnostic: &Diagnostic, out: &mut String) -> fmt::Result {
        writeln!(out, "error: {}", diagnostic.message)?;
        let Some((line, column)) = self.place(diagnostic) else {
            writeln!(out, " --> {}", self.file)?;
            return self.render_help(diagnostic, 1, out);
        };
        let labels = &diagnostic.labels;
        let last = labels.iter().map(|l| self.line(l.0.start).number).max();
        let width = last.unwrap_or(line).to_string().len();
        let bar = format!("{:width$} |", "");
        writeln!(out, "{:width$}--> {}:{line}:{column}", "", self.file)?;
        writeln!(out, "{bar}")?;
        let mut shown = None;
        let mut sorted: Vec<&(Span, String)> = labels.iter().collect();
        sorted.sort_by_key(|(span, _)| span.start);
        for (span, text) in sorted {
            let line = self.line(span.start);
            if shown != Some(line.number) {
                // Whatever would move the underline away from what it underlines is one blank.
                let clean = line.text.replace(char::is_control, " ");
                writeln!(out, "{:>width$} | {}", line.number, clean.trim_end())?;
                shown = Some(line.number);
            }
            let column = line.column(span.start);
            let end = line.column(span.end.min(line.start + line.text.len()));
            let marks = "^".repeat(end.saturating_sub(column).max(1));
            let row = format!("{bar} {:column$}{marks} {text}", "");
            writeln!(out, "{}", row.trim_end())?;
        }
        self.render_help(diagnostic, width, out)
    }

    fn render_help(&self, diagnostic: &Diagnostic, width: usize, out: &mut String) -> fmt::Result {
        match &diagnostic.help {
            Some(help) => writeln!(out, "{:width$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            self.render(diagnostic, &mut out)?;
        }
        match self.more {
            0 => {}
            1 => out.push_str("\n1 more mistake is not shown\n"),
            n => write!(out, "\n{n} more mistakes are not shown\n")?,
        }
        f.write_str(&out)
    }
}

struct Line<'s> {
    number: usize,
    start: usize,
    text: &'s str,
}

impl Line<'_> {
    /// The number of characters before a place on this line.
    fn column(&self, offset: usize) -> usize {
        let inside = offset.saturating_sub(self.start);
        self.text
            .char_indices()
            .take_while(|(i, _)| *i < inside)
            .count()
    }
}
