//! Errors in a source text, displayed as a compiler does: the line, an underline, and a hint.

use std::cell::RefCell;
use std::fmt::{self, Write};

use crate::error::{Error, counted, is_hidden, printable};

/// The most errors that are kept; further ones are only counted.
const LIMIT: usize = 25;

/// The most places shown for one error.
const PLACES: usize = 8;

/// The most characters of a line shown whole; of a longer line, an excerpt is shown for each place.
const LINE: usize = 160;

/// The characters of a long line shown before the place, and the length of the excerpt.
const BEFORE: usize = 40;
const EXCERPT: usize = 100;

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

/// One error.
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

    /// Underlines a place, with a text beside it.
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

    /// The error message, one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The suggested fix, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Reports {
    list: RefCell<Vec<Diagnostic>>,
    more: RefCell<usize>,
}

impl Reports {
    /// Adds an error, unless the same message was already reported at the same place.
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

    /// Returns true if further errors are only counted.
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

/// All errors in a source text, in the order of the text.
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
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    source: String,
    list: Vec<Diagnostic>,
    more: usize,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// The errors that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The line and the column of an error, counted from 1.
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
        writeln!(out, "error: {}", printable(&diagnostic.message))?;
        let Some((line, column)) = self.place(diagnostic) else {
            writeln!(out, " --> {}", printable(&self.file))?;
            return Self::render_help(diagnostic, " ", out);
        };
        let mut labels: Vec<&(Span, String)> = diagnostic.labels.iter().take(PLACES).collect();
        let last = labels.iter().map(|l| self.line(l.0.start).number).max();
        let margin = " ".repeat(last.unwrap_or(line).to_string().len());
        let file = printable(&self.file);
        writeln!(out, "{margin}--> {file}:{line}:{column}")?;
        writeln!(out, "{margin} |")?;
        let mut shown = None;
        labels.sort_by_key(|(span, _)| span.start);
        for (span, text) in labels {
            let line = self.line(span.start);
            let excerpt = line.excerpt(*span);
            let now = (line.number, excerpt.start);
            if shown != Some(now) {
                let number = line.number.to_string();
                let indent = &margin[number.len().min(margin.len())..];
                writeln!(out, "{indent}{number} | {}", excerpt.text)?;
                shown = Some(now);
            }
            let (indent, marks) = (" ".repeat(excerpt.column), "^".repeat(excerpt.marks));
            let row = format!("{margin} | {indent}{marks} {}", printable(text));
            writeln!(out, "{}", row.trim_end())?;
        }
        match diagnostic.labels.len().saturating_sub(PLACES) {
            0 => {}
            n => writeln!(out, "{margin} = and {}", counted(n, "more place"))?,
        }
        Self::render_help(diagnostic, &margin, out)
    }

    fn render_help(diagnostic: &Diagnostic, margin: &str, out: &mut String) -> fmt::Result {
        match &diagnostic.help {
            Some(help) => writeln!(out, "{margin} = help: {}", printable(help)),
            None => Ok(()),
        }
    }
}

/// The same text as `Display`: an error returned from `main` is printed with `Debug`.
impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Language {
            text: diagnostics.to_string(),
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

/// The displayed part of a line.
struct Excerpt {
    /// The 0-based column of the first displayed character.
    start: usize,
    text: String,
    /// The start of the underline in the displayed text, and its length, in characters.
    column: usize,
    marks: usize,
}

impl Line<'_> {
    /// The number of characters of this line before a byte offset of the source.
    fn column(&self, offset: usize) -> usize {
        let inside = offset.saturating_sub(self.start);
        self.text
            .char_indices()
            .take_while(|(i, _)| *i < inside)
            .count()
    }

    /// The whole line, or the part of a long line around a place.
    fn excerpt(&self, span: Span) -> Excerpt {
        let column = self.column(span.start);
        let end = self.column(span.end.min(self.start + self.text.len()));
        let marks = end.saturating_sub(column).max(1);
        // A control character would shift the underline.
        let clean = |text: &str| text.replace(is_hidden, " ").trim_end().to_owned();
        if self.text.chars().nth(LINE).is_none() {
            return Excerpt {
                start: 0,
                text: clean(self.text),
                column,
                marks,
            };
        }
        let start = column.saturating_sub(BEFORE);
        let part: String = self.text.chars().skip(start).take(EXCERPT).collect();
        let (before, after) = match self.text.chars().nth(start + EXCERPT) {
            Some(_) => ("…", "…"),
            None => ("…", ""),
        };
        let before = if start == 0 { "" } else { before };
        let column = column - start + before.chars().count();
        Excerpt {
            start,
            text: format!("{before}{}{after}", clean(&part)),
            column,
            marks: marks.min(EXCERPT - BEFORE),
        }
    }
}
