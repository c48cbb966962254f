//! A derivation as a document: for a terminal, GitHub, LaTeX, a browser, or another program.
//!
//! All are made from one outline of headings, sentences and lines; a format only writes it down.

mod figure;
mod html;
mod json;
mod markdown;
mod plain;
mod tex;

use super::words::{Lang, Word};
use super::{Check, Derivation, Equation, Level, Part, Range, theorem};
use crate::render::{Charset, Math, Sign};

/// In what a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Text for a terminal, Unicode or ASCII.
    #[default]
    Text,
    /// Text with ASCII characters only.
    Ascii,
    /// Markdown as GitHub shows it.
    Markdown,
    /// One page for a browser, complete by itself.
    Html,
    /// A LaTeX document.
    Tex,
    /// Data; `docs/derivation.md` says what its fields mean.
    Json,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[
        Self::Text,
        Self::Ascii,
        Self::Markdown,
        Self::Html,
        Self::Tex,
        Self::Json,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ascii => "ascii",
            Self::Markdown => "md",
            Self::Html => "html",
            Self::Tex => "tex",
            Self::Json => "json",
        }
    }
}

impl Derivation {
    /// The derivation as a document. An HTML page has both languages, and begins with this one.
    ///
    /// ```
    /// use bptt::cells::{Cell, Loss};
    /// use bptt::derive::{Format, Lang, Level};
    /// let mut derivation = Cell::rnn().model("rnn", Loss::SquaredError)?.derive()?;
    /// derivation.check(2)?;
    /// let page = derivation.render(Format::Markdown, Lang::Zh, Level::Sheet);
    /// assert!(page.contains("误差项"));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    pub fn render(&self, format: Format, lang: Lang, level: Level) -> String {
        match format {
            Format::Text => plain::write(self, lang, level, Charset::Unicode),
            Format::Ascii => plain::write(self, lang, level, Charset::Ascii),
            Format::Markdown => markdown::write(self, lang, level),
            Format::Html => html::write(self, lang, level),
            Format::Tex => tex::write(self, lang, level),
            Format::Json => json::write(self, level),
        }
    }

    /// The sentences on conventions that this derivation needs.
    fn conventions(&self) -> Vec<Word> {
        let mut words = vec![
            Word::ConventionVectors,
            Word::ConventionLayout,
            Word::ConventionDelta,
            Word::ConventionBoundary,
            Word::ConventionBatch,
        ];
        if !self.states.is_empty() {
            words.push(Word::ConventionProduct);
        }
        if self.states.len() > 1 {
            words.push(Word::ConventionState);
        }
        if self.kinks {
            words.push(Word::Kinks);
        }
        words
    }

    /// The parts that have lines on a level, numbered from 1.
    fn outline(&self, level: Level) -> Vec<Section<'_>> {
        let mut sections = Vec::new();
        for part in Part::ALL {
            let lines: Vec<&Equation> = self.lines(*part, level).collect();
            if lines.is_empty() {
                continue;
            }
            let (intro, after) = part.prose();
            let several = self.states.len() > 1;
            let after = after.filter(|w| *w != Word::JacobianCaution || several);
            let theorem = match part {
                Part::Theorem => theorem::lines(self),
                _ => Vec::new(),
            };
            sections.push(Section {
                part: *part,
                intro,
                after,
                theorem,
                lines,
            });
        }
        sections
    }

    /// The state of the checks in one sentence.
    #[must_use]
    pub fn summary(&self, lang: Lang) -> String {
        let checks = self.checks();
        Word::Summary.with(
            lang,
            &[
                ("passed", &checks.passed.to_string()),
                ("failed", &checks.failed.to_string()),
                ("unchecked", &checks.unchecked.to_string()),
                ("worst", &short(checks.worst)),
            ],
        )
    }

    /// For which steps a line holds, as a formula.
    fn range(&self, range: &Range) -> Option<Math> {
        let symbols = &self.symbols;
        let one = |(var, from, to): &(char, super::Time, super::Time)| {
            Math::row([
                symbols.time(from),
                Math::Sign(Sign::LessEqual),
                super::show::variable(*var),
                Math::Sign(Sign::LessEqual),
                symbols.time(to),
            ])
        };
        let parts: Vec<Math> = range.vars.iter().map(one).collect();
        (!parts.is_empty()).then(|| Math::list(parts))
    }

    /// The left side and the sign of a line, and its right side in pieces of a width.
    fn broken(&self, equation: &Equation, width: usize) -> (Math, Vec<Math>) {
        let (left, right) = self.sides(equation);
        let left = Math::row([left, Math::Sign(equation.relation.sign())]);
        (left, right.lines(width))
    }
}

/// A part of a document.
struct Section<'a> {
    part: Part,
    intro: Word,
    after: Option<Word>,
    /// Lines that hold for every recurrence.
    theorem: Vec<Math>,
    lines: Vec<&'a Equation>,
}

/// What is known of a line, in words.
fn badge(check: &Check, lang: Lang) -> String {
    match check {
        Check::Passed { worst, trials } => {
            format!("{} {}, n={trials}", Word::Checked.text(lang), short(*worst))
        }
        Check::Bound { tightest, .. } => {
            Word::Holds.with(lang, &[("ratio", &format!("{tightest:.2}"))])
        }
        Check::Failed { reason } => format!("{}: {reason}", Word::Failed.text(lang)),
        Check::Pending => Word::Unchecked.text(lang).into(),
        Check::NotCheckable { reason } => format!("{}: {reason}", Word::Unchecked.text(lang)),
    }
}

fn short(x: f64) -> String {
    if x == 0.0 {
        "0".into()
    } else {
        format!("{x:.0e}")
    }
}

/// A shape as `H × K`.
fn shape(equation: &Equation) -> Option<String> {
    let shape = equation.shape.as_ref()?;
    Some(if shape.is_empty() {
        "1".into()
    } else {
        shape.join("×")
    })
}

/// The ids of the rules of a line.
fn rules(equation: &Equation) -> String {
    let ids: Vec<&str> = equation.rules.iter().map(|r| r.id()).collect();
    ids.join(", ")
}
