//! A derivation as a document: for a terminal, GitHub, LaTeX, a browser, or another program.
//!
//! All formats are made from one outline of headings, sentences and lines.

mod chart;
mod figure;
mod html;
mod json;
mod markdown;
mod numbering;
mod plain;
mod prose;
mod tex;

use crate::derive::algebra::term::{Base, Name, Term, Time};
use crate::derive::chapters::theorem;
use crate::derive::notation::show;
use crate::derive::record::derivation::{Derivation, Kept, Reach};
use crate::derive::record::equation::{Check, Equation};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::{Condition, Range};
use crate::derive::record::rule::Rule;
use crate::derive::record::words::{Lang, Word};
use crate::render::{Charset, Math, Sign};
use crate::stack::with_room;
use crate::xml::escaped;

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// Unicode text for a terminal.
    #[default]
    Text,
    /// Text with ASCII characters only.
    Ascii,
    /// GitHub's Markdown.
    Markdown,
    /// A self-contained page for a browser.
    Html,
    /// A LaTeX document.
    Tex,
    /// JSON; `docs/derivation.md` describes its fields.
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
    /// The derivation as a document. An HTML page contains both languages, and shows this one first.
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
        with_room(|| match format {
            Format::Text => plain::write(self, lang, level, Charset::Unicode),
            Format::Ascii => plain::write(self, lang, level, Charset::Ascii),
            Format::Markdown => markdown::write(self, lang, level),
            Format::Html => html::write(self, lang, level),
            Format::Tex => tex::write(self, lang, level),
            Format::Json => json::write(self, level),
        })
    }

    /// The parts that have lines at this level, numbered from 1.
    fn outline(&self, level: Level) -> Vec<Section<'_>> {
        let mut sections = Vec::new();
        for part in Part::ALL {
            let lines: Vec<&Equation> = self.lines(*part, level).collect();
            if lines.is_empty() {
                continue;
            }
            let [intro, after] = self.said(*part, &lines);
            let least = lines.iter().map(|e| e.level).min().unwrap_or_default();
            let theorem = match part {
                Part::Theorem => self.theorem(level),
                _ => Vec::new(),
            };
            sections.push(Section {
                part: *part,
                level: least,
                intro,
                after,
                theorem,
                lines,
            });
        }
        sections
    }

    /// The lines of the general theorem, each with its instances at this level.
    fn theorem(&self, level: Level) -> Vec<General<'_>> {
        let lines = theorem::lines(self).into_iter();
        lines
            .zip(theorem::instances(self))
            .map(|(line, mut instances)| {
                instances.retain(|e| e.level <= level);
                General { line, instances }
            })
            .collect()
    }

    /// The results of the checks in one sentence.
    #[must_use]
    pub fn summary(&self, lang: Lang) -> String {
        let checks = self.checks();
        Word::Summary.with(
            lang,
            &[
                ("passed", &checks.passed.to_string()),
                ("failed", &checks.failed.to_string()),
                ("unchecked", &checks.unchecked.to_string()),
                ("worst", &short(checks.worst).replace('-', "−")),
            ],
        )
    }

    /// The steps at which a line holds and its condition, as a formula.
    fn range(&self, equation: &Equation) -> Option<Math> {
        let steps = self.steps(&equation.range);
        let given = equation.given.as_ref().map(|c| self.condition(c));
        let parts: Vec<Math> = steps.into_iter().chain(given).collect();
        (!parts.is_empty()).then(|| Math::list(parts))
    }

    fn condition(&self, given: &Condition) -> Math {
        let sign = if given.strict {
            Sign::Less
        } else {
            Sign::LessEqual
        };
        let (left, right) = (
            self.symbols.show(&given.left),
            self.symbols.show(&given.right),
        );
        Math::relation(left, sign, right)
    }

    fn steps(&self, range: &Range) -> Option<Math> {
        let symbols = &self.symbols;
        let one = |(var, from, to): &(char, Time, Time)| {
            Math::row([
                symbols.time(from),
                Math::Sign(Sign::LessEqual),
                show::variable(*var),
                Math::Sign(Sign::LessEqual),
                symbols.time(to),
            ])
        };
        let parts: Vec<Math> = range.vars.iter().map(one).collect();
        (!parts.is_empty()).then(|| Math::list(parts))
    }

    /// The left side of a line, and the rest, from the relation sign on, in pieces of a given width. A left side that
    /// leaves no room is a piece by itself.
    fn broken(&self, equation: &Equation, width: usize) -> (Math, Vec<Math>) {
        let (left, right) = self.sides(equation);
        let mut lines = right.lines(width);
        if let Some(first) = lines.first_mut() {
            let sign = Math::Sign(equation.relation.sign());
            *first = Math::row([sign, first.clone()]);
        }
        let beside = left.width() + lines.first().map_or(0, Math::width);
        if 3 * left.width() > width && beside > width {
            lines.insert(0, left);
            return (Math::row([]), lines);
        }
        (left, lines)
    }
}

/// A part of a document.
struct Section<'a> {
    part: Part,
    /// The lowest level at which it has a line.
    level: Level,
    intro: Vec<Word>,
    after: Vec<Word>,
    theorem: Vec<General<'a>>,
    lines: Vec<&'a Equation>,
}

/// A line of the general theorem.
struct General<'a> {
    line: Math,
    /// The lines of the derivation that are its instances.
    instances: Vec<&'a Equation>,
}

/// A column of a table, for some `T − k = 0, …, T`.
struct Column {
    head: Math,
    /// The kind of numbers, as a CSS class.
    class: &'static str,
    /// The natural logarithms of the numbers.
    logs: Vec<f64>,
}

/// The distance as it is printed: from the last step of the chain.
fn gap(reach: &Reach) -> Time {
    match reach.backward {
        true => Time::var('k').plus(-1),
        false => Time {
            base: Base::LastMinus('k'),
            offset: 0,
        },
    }
}

/// The values of `T − k` for which there are numbers.
fn gaps(reach: &Reach) -> Vec<usize> {
    reach.marks.iter().rev().map(|k| reach.steps - k).collect()
}

/// The measurements, from the last step back.
fn columns(d: &Derivation, reach: &Reach) -> Vec<Column> {
    let last = reach.steps;
    // At distance 0 the factor is 1.
    let back = |rows: &[Vec<f64>]| -> Vec<f64> {
        let row = rows.last().into_iter().flatten();
        std::iter::once(0.0).chain(row.rev().copied()).collect()
    };
    let heads = d.reach_heads(reach).map(|h| d.symbols.show(&h));
    let [head, product, ratio] = heads;
    let gaps = gaps(reach);
    let power = |gap: &usize| match *gap {
        0 => 0.0,
        gap => chart::as_f64(gap) * reach.ratio.ln(),
    };
    let mut columns = vec![
        Column {
            head,
            class: "actual",
            logs: back(&reach.logs),
        },
        Column {
            head: product,
            class: "product",
            logs: gaps
                .iter()
                .map(|gap| reach.product_log(last, last - gap))
                .collect(),
        },
        Column {
            head: ratio,
            class: "power",
            logs: gaps.iter().map(power).collect(),
        },
    ];
    let last_step = if reach.backward {
        Time::at(1)
    } else {
        Time::last()
    };
    for kept in &reach.carousels {
        if let Some(head) = carousel_head(d, kept) {
            columns.push(Column {
                head: d.symbols.show(&head.at('t', &last_step)),
                class: "carousel",
                logs: back(&kept.logs),
            });
        }
    }
    columns
}

/// The remaining factor of a carousel from step `k` to step `t`, as a formula.
fn carousel_head(d: &Derivation, kept: &Kept) -> Option<Term> {
    let line = d.line(&Line::CarouselNorm(Name::clone(&kept.state)))?;
    Some(line.right.clone())
}

/// The conclusions from the measurements of a run.
fn verdicts(d: &Derivation, reach: &Reach, lang: Lang) -> Vec<String> {
    let which = reach.origin.word();
    let steps = reach.steps.to_string();
    let q = format!("{:.2}", reach.ratio);
    let says = if reach.ratio < 1.0 {
        Word::RatioSmall
    } else {
        Word::RatioLarge
    };
    let letter = show::letter(&d.ratio(reach.chain())).text(Charset::Unicode);
    let intro = match reach.backward {
        true => Word::RunIntroBack,
        false => Word::RunIntro,
    };
    let exponent = match reach.exponent() {
        e if e.is_finite() => format!("`{e:.2}`").replace('-', "−"),
        _ => "`−∞`".into(),
    };
    vec![
        intro.with(lang, &[("run", which.text(lang)), ("steps", &steps)]),
        says.with(lang, &[("q", &letter), ("value", &q)]),
        Word::Exponent.with(lang, &[("value", &exponent)]),
    ]
}

/// A formula as one line of text in an SVG, with scripts.
fn svg_text(math: &Math) -> String {
    svg(math, true)
}

/// Variables are italic, all else is upright; signs have space around them, except in scripts.
fn svg(math: &Math, spaced: bool) -> String {
    let text = |m: &Math| escaped(m.text(Charset::Unicode).trim());
    match math {
        Math::Script { base, sub, sup } => {
            let mut out = svg(base, spaced);
            let mut script = |part: &Option<Box<Math>>, dy: i64| {
                if let Some(part) = part {
                    // The next piece lowers the baseline again.
                    out.push_str(&format!(
                        "<tspan dy=\"{dy}\" font-size=\"70%\">{}</tspan><tspan dy=\"{}\">\u{200b}</tspan>",
                        svg(part, false),
                        -dy
                    ));
                }
            };
            script(sup, -6);
            script(sub, 4);
            out
        }
        Math::Row(parts) => {
            let mut out = String::new();
            for (i, part) in parts.iter().enumerate() {
                let factor = |m: &Math| !matches!(m, Math::Sign(_) | Math::Big { .. });
                let sign = matches!(part, Math::Sign(Sign::Plus | Sign::Minus | Sign::Equal));
                let sign = sign && i > 0;
                if i > 0 && factor(part) && factor(&parts[i - 1]) {
                    out.push('\u{2009}');
                }
                match sign && spaced {
                    true => out.push_str(&format!("\u{2009}{}\u{2009}", text(part))),
                    false => out.push_str(&svg(part, spaced)),
                }
            }
            out
        }
        Math::Fence(fence, body) => {
            let whole = Math::ident("x").fenced(*fence).text(Charset::Unicode);
            let (open, close) = whole.split_once('x').unwrap_or_default();
            format!("{}{}{}", escaped(open), svg(body, spaced), escaped(close))
        }
        Math::Frac(a, b) => format!("{}/{}", svg(a, spaced), svg(b, spaced)),
        Math::Big { big, from, to } => {
            let sign = match big {
                crate::render::Big::Sum => '∑',
                crate::render::Big::Product => '∏',
                crate::render::Big::HadamardProduct => '⨀',
            };
            let piece = |dy: i64, part: &Math| {
                let part = svg(part, false);
                format!("<tspan dy=\"{dy}\" font-size=\"65%\">{part}</tspan>")
            };
            let (from, to) = (piece(5, from), piece(-13, to));
            format!("{sign}{from}{to}<tspan dy=\"8\"> </tspan>")
        }
        Math::Ident(_) | Math::Accent(..) => {
            format!("<tspan font-style=\"italic\">{}</tspan>", text(math))
        }
        math => text(math),
    }
}

/// The notes of a general line: that it is general, and references to its instances, each formatted by `refer`.
fn general(line: &General<'_>, lang: Lang, refer: impl Fn(&Equation) -> String) -> Vec<String> {
    let mut notes = vec![Word::General.text(lang).to_owned()];
    if !line.instances.is_empty() {
        let comma = if lang == Lang::Zh { "、" } else { ", " };
        let lines: Vec<String> = line.instances.iter().map(|e| refer(e)).collect();
        notes.push(Word::Instances.with(lang, &[("lines", &lines.join(comma))]));
    }
    notes
}

/// The result of a check, in words.
fn badge(check: &Check, lang: Lang) -> String {
    match check {
        Check::Passed { worst, trials } => {
            let places = match (lang, trials) {
                (Lang::En, 1) => "1 place".into(),
                (Lang::En, n) => format!("{n} places"),
                (Lang::Zh, n) => n.to_string(),
            };
            let worst = short(*worst).replace('-', "−");
            let word = match &*worst {
                "0" => Word::CheckedEqual,
                _ => Word::Checked,
            };
            word.with(lang, &[("places", &places), ("worst", &worst)])
        }
        Check::Definition => Word::ByDefinition.text(lang).into(),
        Check::Bound { tightest, .. } => {
            Word::Holds.with(lang, &[("ratio", &format!("{tightest:.2}"))])
        }
        Check::Failed { reason } => {
            format!("{}{}{reason}", Word::Failed.text(lang), colon(lang))
        }
        Check::Pending => Word::Unchecked.text(lang).into(),
        Check::NotCheckable { reason } => {
            let said = Word::Unchecked.text(lang);
            format!("{said}{}{}", colon(lang), reason.text(lang))
        }
    }
}

/// The colon before an explanation.
const fn colon(lang: Lang) -> &'static str {
    match lang {
        Lang::En => ": ",
        Lang::Zh => "：",
    }
}

/// The introduction to the proof of a rule.
fn because(lang: Lang) -> String {
    let text = Word::EntryByEntry.text(lang);
    match lang {
        Lang::En => format!("{text} "),
        Lang::Zh => text.into(),
    }
}

/// The separator between notes.
const fn stop(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "; ",
        Lang::Zh => "；",
    }
}

/// A positive number with a few digits, given by its natural logarithm.
fn digits(log: f64) -> String {
    if log == f64::NEG_INFINITY {
        return "0".into();
    }
    let x = log.exp();
    match x {
        x if !(0.001..1e4).contains(&x) => {
            // Numbers out of the range of `f64` are computed from their logarithms.
            let ten = log / std::f64::consts::LN_10;
            let (mut power, mut lead) = (ten.floor(), 10_f64.powf(ten - ten.floor()));
            if lead >= 9.95 {
                (power, lead) = (power + 1.0, 1.0);
            }
            format!("{lead:.1}e{power:.0}").replace('-', "−")
        }
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x if x >= 1.0 => format!("{x:.2}"),
        x => format!("{x:.3}"),
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
        let factor = |size: &String| match size.contains(['+', '-', '−']) && shape.len() > 1 {
            true => format!("({size})"),
            false => size.replace(' ', ""),
        };
        shape.iter().map(factor).collect::<Vec<_>>().join("×")
    })
}

/// Sentences as a paragraph.
fn paragraph(d: &Derivation, words: &[Word], lang: Lang) -> String {
    let sentences: Vec<String> = words.iter().map(|word| d.sentence(*word, lang)).collect();
    // Chinese has no space between sentences.
    sentences.join(if lang == Lang::Zh { "" } else { " " })
}

/// The rules of the lines of a level, in order.
fn used(d: &Derivation, level: Level) -> Vec<Rule> {
    let shown = d.equations.iter().filter(|e| e.level <= level);
    let steps = |e: &Equation| match level {
        Level::Full => e.steps.iter().map(|s| s.rule).collect(),
        _ => Vec::new(),
    };
    let mut rules: Vec<Rule> = shown
        .flat_map(|e| e.rules.iter().copied().chain(steps(e)))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

const fn name(rule: Rule, lang: Lang) -> &'static str {
    match lang {
        Lang::En => rule.english(),
        Lang::Zh => rule.chinese(),
    }
}

/// The ids of the rules of a line.
fn rules(equation: &Equation) -> String {
    let ids: Vec<&str> = equation.rules.iter().map(|r| r.id()).collect();
    ids.join(", ")
}
