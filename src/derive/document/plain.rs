//! A derivation for a terminal.

use std::fmt::Write;

use super::{
    Column, badge, colon, columns, digits, gap, gaps, general, name, paragraph, rules, shape, stop,
    used, verdicts,
};
use crate::derive::record::derivation::{Derivation, Reach};
use crate::derive::record::equation::Equation;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::rule::Rule;
use crate::derive::record::words::{Lang, Word};
use crate::render::{Charset, Math, greek_name, scripts, text_width};

/// The width of the page, in columns.
const PAGE: usize = 100;
const MARGIN: &str = "   ";
const INNER: &str = "        ";

struct Page {
    out: String,
    lang: Lang,
    level: Level,
    charset: Charset,
}

pub(super) fn write(d: &Derivation, lang: Lang, level: Level, charset: Charset) -> String {
    let mut page = Page {
        out: String::new(),
        lang,
        level,
        charset,
    };
    page.prose("", &Word::Title.with(lang, &[("name", d.name())]));
    page.prose("", &d.summary(lang));
    if level > Level::Sheet {
        page.gap();
        page.prose("", Word::Conventions.text(lang));
        for word in d.conventions() {
            page.prose("  - ", &d.sentence(word, lang));
        }
    }
    for (i, section) in d.outline(level).iter().enumerate() {
        page.gap();
        let heading = section.part.heading().text(lang);
        page.prose(&format!("{}. ", i + 1), heading);
        if level > Level::Sheet {
            page.paragraph(d, &section.intro);
        }
        for line in &section.theorem {
            let text = line.line.text(charset);
            let text = folded(&text, PAGE - INNER.len()).join(&format!("\n{INNER}"));
            page.line(&text, general(line, lang, |e| e.id.to_string()));
        }
        for equation in &section.lines {
            page.equation(d, equation);
        }
        for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
            page.run(d, reach);
        }
        if level > Level::Sheet && !section.after.is_empty() {
            page.gap();
            page.prose(MARGIN, &paragraph(d, &section.after, lang));
        }
    }
    if level > Level::Sheet {
        page.gap();
        page.prose("", Word::Rules.text(lang));
        for rule in used(d, level) {
            page.rule(rule);
        }
    }
    page.out
}

impl Page {
    fn gap(&mut self) {
        self.out.push('\n');
    }

    /// A paragraph after a lead; further lines are indented by the width of the lead.
    /// Sentences, and an empty line.
    fn paragraph(&mut self, d: &Derivation, words: &[Word]) {
        if !words.is_empty() {
            self.prose(MARGIN, &paragraph(d, words, self.lang));
            self.gap();
        }
    }

    fn prose(&mut self, lead: &str, text: &str) {
        let text = match self.charset {
            Charset::Unicode => text.to_owned(),
            Charset::Ascii => ascii(text),
        };
        let indent = text_width(lead);
        for (i, line) in wrapped(&text, PAGE - indent).iter().enumerate() {
            let lead = if i == 0 { lead } else { &" ".repeat(indent) };
            let _ = writeln!(self.out, "{lead}{line}");
        }
    }

    /// A formula of one or more lines, with notes beside it, or below it if there is no room.
    fn line(&mut self, formula: &str, notes: Vec<String>) {
        let (open, close) = match self.lang {
            Lang::En => ("(", ")"),
            Lang::Zh => ("（", "）"),
        };
        let notes = format!("{open}{}{close}", notes.join(stop(self.lang)));
        let beside = formula.lines().last().map_or(0, text_width) + 7 + text_width(&notes);
        let _ = write!(self.out, "{MARGIN}{formula}");
        if beside <= PAGE {
            self.prose("    ", &notes);
        } else {
            self.gap();
            self.prose(INNER, &notes);
        }
    }

    fn equation(&mut self, d: &Derivation, equation: &Equation) {
        let formula = d.formula(equation).text(self.charset);
        let formula = folded(&formula, PAGE - INNER.len()).join(&format!("\n{INNER}"));
        let mut notes: Vec<String> = Vec::new();
        if self.level > Level::Sheet {
            notes.push(equation.id.to_string());
        }
        let range = d.range(equation).map(|r| r.text(self.charset));
        notes.extend(range.map(|r| format!("`{r}`")));
        notes.extend(shape(equation));
        if self.level > Level::Sheet && !equation.rules.is_empty() {
            notes.push(rules(equation));
        }
        notes.push(badge(&equation.check, self.lang));
        self.line(&formula, notes);
        for step in equation.steps.iter().filter(|_| self.level == Level::Full) {
            let show = |t| d.symbols().show(t);
            let (a, b) = (show(&step.before), show(&step.after));
            let shown = Math::relation(a, step.sign(), b).text(self.charset);
            let lines = folded(&shown, PAGE - INNER.len() - 6);
            let below = format!("\n{INNER}      ");
            let _ = writeln!(
                self.out,
                "{INNER}{:<3} {}",
                step.rule.id(),
                lines.join(&below)
            );
        }
    }

    /// A rule of the legend: its id, its name and its statement.
    fn rule(&mut self, rule: Rule) {
        let lead = format!("{MARGIN}{:<4}", rule.id());
        let statement = rule.formula().text(self.charset);
        let name = name(rule, self.lang);
        let indent = " ".repeat(lead.len());
        let colon = colon(self.lang);
        if text_width(&lead) + text_width(name) + 2 + text_width(&statement) <= PAGE {
            let _ = writeln!(self.out, "{lead}{name}{colon}{statement}");
            return;
        }
        let below = folded(&statement, PAGE - indent.len() - 2).join(&format!("\n{indent}  "));
        let _ = writeln!(
            self.out,
            "{lead}{name}{}\n{indent}  {below}",
            colon.trim_end()
        );
    }

    /// The measurements of a run, as a table.
    fn run(&mut self, d: &Derivation, reach: &Reach) {
        self.gap();
        for sentence in verdicts(d, reach, self.lang) {
            self.prose(MARGIN, &sentence);
        }
        self.gap();
        let columns = columns(d, reach);
        let gap = d.symbols().time(&gap(reach)).text(self.charset);
        let mut rest = &columns[..];
        while !rest.is_empty() {
            let mut end = MARGIN.len() + 7;
            let fits = rest.iter().take_while(|column| {
                end += self.width(column);
                end <= PAGE
            });
            // Columns that do not fit beside the others go into another table below.
            let (beside, below) = rest.split_at(fits.count().max(1));
            self.table(&gap, &gaps(reach), beside);
            if !below.is_empty() {
                self.gap();
            }
            rest = below;
        }
    }

    /// The width of a column, including the space before it.
    fn width(&self, column: &Column) -> usize {
        text_width(&column.head.text(self.charset)).max(9) + 2
    }

    fn table(&mut self, gap: &str, gaps: &[usize], columns: &[Column]) {
        let _ = write!(self.out, "{MARGIN}{}", right(gap, 7));
        for column in columns {
            let head = column.head.text(self.charset);
            let head = right(&head, self.width(column));
            self.out.push_str(&head);
        }
        for (row, gap) in gaps.iter().enumerate() {
            let _ = write!(self.out, "\n{MARGIN}{gap:>7}");
            for column in columns {
                let cell = match self.charset {
                    Charset::Unicode => digits(column.logs[row]),
                    Charset::Ascii => ascii(&digits(column.logs[row])),
                };
                let cell = right(&cell, self.width(column));
                self.out.push_str(&cell);
            }
        }
        self.gap();
    }
}

/// Aligns a text at the right of a column.
fn right(text: &str, width: usize) -> String {
    let room = width.saturating_sub(text_width(text));
    format!("{}{text}", " ".repeat(room))
}

/// Wraps a sentence. Text between backquotes stays whole; Chinese can be broken between any two characters, but not
/// before or after punctuation that belongs to one of them.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut word = String::new();
    let mut whole = false;
    let mut take = |word: &mut String| {
        if let Some(line) = lines.last_mut() {
            if text_width(line) + text_width(word.trim_end()) <= width || line.is_empty() {
                line.push_str(word);
            } else {
                line.truncate(line.trim_end().len());
                lines.push(std::mem::take(word));
            }
        }
        word.clear();
    };
    let wide = |c: char| text_width(c.encode_utf8(&mut [0; 4])) == 2;
    for c in text.chars() {
        if c == '`' {
            whole = !whole;
            continue;
        }
        if let Some(last) = word.chars().last().filter(|_| !whole) {
            let between = (wide(last) || wide(c)) && !"（「".contains(last);
            let ends = last == ' ' && c != ' ';
            if ends || between && c != ' ' && !"，。；：、？！）」".contains(c) {
                take(&mut word);
            }
        }
        word.push(c);
    }
    take(&mut word);
    lines
}

/// Wraps a formula. A break is preferred in the fewest delimiters, then at the loosest operator, then as late as
/// possible.
fn folded(formula: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = formula;
    while text_width(rest) > width {
        let (mut depth, mut column, mut norm) = (0_i32, 0, false);
        let mut best: Option<(i32, usize)> = None;
        for (at, c) in rest.char_indices() {
            if column > width && best.is_some() {
                break;
            }
            if let Some(cost) = cost(&rest[..at], &rest[at..]) {
                // A break that leaves a line nearly empty is penalised.
                let value = 4 * depth + cost + if column < width / 3 { 8 } else { 0 };
                if best.is_none_or(|(least, _)| value <= least) {
                    best = Some((value, at));
                }
            }
            match c {
                '(' | '[' | '{' | '⟨' | '⌈' => depth += 1,
                ')' | ']' | '}' | '⟩' | '⌉' => depth -= 1,
                // A norm has the same opening and closing sign.
                '‖' => {
                    norm = !norm;
                    depth += if norm { 1 } else { -1 };
                }
                _ => {}
            }
            column += text_width(c.encode_utf8(&mut [0; 4]));
        }
        let Some((_, at)) = best else { break };
        lines.push(rest[..at].to_owned());
        rest = rest[at..].trim_start();
    }
    lines.push(rest.to_owned());
    lines
}

/// The cost of a break at this position, if it is possible: tighter operators cost more.
fn cost(before: &str, after: &str) -> Option<i32> {
    let next = after.strip_prefix(' ')?;
    match (before.chars().last()?, next.split(' ').next()?) {
        (';', _) | (_, "=" | "≔" | ":=" | "≤" | "<=" | "→" | "->") => Some(0),
        (',', _) => Some(1),
        (_, "+" | "−" | "-") => Some(2),
        (_, "⊙" | ".*" | "·" | "*" | "⊗") => Some(3),
        (_, next) if next.starts_with(['[', '(', '⟨', '‖', '|']) => Some(3),
        _ => None,
    }
}

/// Replaces the non-ASCII characters of English sentences; Chinese is unchanged.
fn ascii(text: &str) -> String {
    const MORE: &[(char, &str)] = &[
        ('⊙', ".*"),
        ('𝟏', "1"),
        ('𝐈', "I"),
        ('𝐞', "e"),
        ('⟨', "<"),
        ('⟩', ">"),
        ('∂', "d"),
        ('δ', "delta"),
        ('ε', "eps"),
        ('×', "x"),
        ('τ', "tau"),
        ('λ', "lambda"),
        ('σ', "sigma"),
        ('√', "sqrt "),
        ('≥', ">="),
        ('≤', "<="),
        ('∏', "prod"),
        ('…', "..."),
        ('\u{302}', "_hat"),
        ('\u{303}', "_tilde"),
        ('⊗', "(x)"),
        ('⨀', "hadprod"),
        ('½', "1/2"),
        ('∤', "does not divide"),
        ('⌈', "ceil("),
        ('⌉', ")"),
        ('−', "-"),
        ('∞', "inf"),
    ];
    let mut out = String::new();
    for (place, piece) in scripts(text) {
        let mut plain = String::new();
        for c in piece.chars() {
            match MORE.iter().find(|(from, _)| *from == c) {
                Some((_, to)) => plain.push_str(to),
                None => match greek_name(c) {
                    Some(name) => plain.push_str(name),
                    None => plain.push(c),
                },
            }
        }
        out.push_str(&match place {
            None => plain,
            Some(mark) if plain.chars().count() == 1 => format!("{mark}{plain}"),
            Some(mark) => format!("{mark}{{{plain}}}"),
        });
    }
    out
}
