//! A derivation for a terminal.

use std::fmt::Write;

use super::{badge, columns, digits, gap, gaps, rules, shape, verdicts};
use crate::derive::words::{Lang, Word};
use crate::derive::{Derivation, Level, Part, Reach};
use crate::render::{Charset, Math};

/// The width at which lines are broken.
const WIDTH: usize = 70;

pub(super) fn write(d: &Derivation, lang: Lang, level: Level, charset: Charset) -> String {
    let mut out = String::new();
    let title = Word::Title.with(lang, &[("name", d.name())]);
    let _ = writeln!(out, "{title}\n{}", d.summary(lang));
    if level > Level::Sheet {
        let _ = writeln!(out, "\n{}", Word::Conventions.text(lang));
        for word in d.conventions() {
            let _ = writeln!(out, "  - {}", d.sentence(word, lang).replace('`', ""));
        }
    }
    for (i, section) in d.outline(level).iter().enumerate() {
        let _ = writeln!(out, "\n{}. {}", i + 1, section.part.heading().text(lang));
        if level > Level::Sheet {
            let _ = writeln!(
                out,
                "   {}\n",
                d.sentence(section.intro, lang).replace('`', "")
            );
        }
        for line in &section.theorem {
            let _ = writeln!(out, "   {}", line.text(charset));
        }
        for equation in &section.lines {
            let (left, lines) = d.broken(equation, WIDTH);
            let left: String = left.text(charset);
            for (j, line) in lines.iter().enumerate() {
                let lead = match j {
                    0 if left.is_empty() => "   ".into(),
                    0 => format!("   {left} "),
                    _ => "        ".into(),
                };
                let _ = write!(out, "{lead}{}", line.text(charset));
                if j + 1 < lines.len() {
                    out.push('\n');
                }
            }
            let mut notes: Vec<String> = Vec::new();
            notes.extend(d.range(equation).map(|r| r.text(charset)));
            notes.extend(shape(equation));
            if level > Level::Sheet {
                notes.push(rules(equation));
            }
            notes.push(badge(&equation.check, lang));
            let _ = writeln!(out, "    ({})", notes.join("; "));
            if level == Level::Full {
                for step in &equation.steps {
                    let show = |t| d.symbols().show(t);
                    let (a, b) = (show(&step.before), show(&step.after));
                    let shown = Math::relation(a, step.sign(), b).text(charset);
                    let _ = writeln!(out, "        {:<3} {shown}", step.rule.id());
                }
            }
        }
        for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
            run(&mut out, d, reach, lang, charset);
        }
        let after = section.after.iter().filter(|_| level > Level::Sheet);
        for after in after.copied() {
            let _ = writeln!(out, "\n   {}", d.sentence(after, lang).replace('`', ""));
        }
    }
    match charset {
        Charset::Unicode => out,
        Charset::Ascii => ascii(&out),
    }
}

/// What was measured, as a table.
fn run(out: &mut String, d: &Derivation, reach: &Reach, lang: Lang, charset: Charset) {
    let _ = writeln!(out);
    for sentence in verdicts(d, reach, lang) {
        let _ = writeln!(out, "   {}", sentence.replace('`', ""));
    }
    let gap = d.symbols().time(&gap(reach)).text(charset);
    let columns = columns(d, reach);
    let heads: Vec<String> = columns.iter().map(|c| c.head.text(charset)).collect();
    let width = |text: &str| text.chars().count().max(9);
    let _ = write!(out, "\n   {gap:>7}");
    for head in &heads {
        let _ = write!(out, "  {head:>0$}", width(head));
    }
    for (row, gap) in gaps(reach).iter().enumerate() {
        let _ = write!(out, "\n   {gap:>7}");
        for (column, head) in columns.iter().zip(&heads) {
            let _ = write!(out, "  {:>1$}", digits(column.logs[row]), width(head));
        }
    }
    out.push('\n');
}

/// The few characters of sentences that are not in ASCII; Chinese stays as it is.
fn ascii(text: &str) -> String {
    const MORE: &[(char, &str)] = &[
        ('⊙', ".*"),
        ('𝟏', "1"),
        ('⟨', "<"),
        ('⟩', ">"),
        ('∂', "d"),
        ('δ', "delta"),
        ('ᵛ', "^v"),
        ('ₜ', "_t"),
        ('₋', "-"),
        ('₁', "1"),
        ('ε', "eps"),
        ('×', "x"),
        ('τ', "tau"),
        ('²', "^2"),
        ('λ', "lambda"),
        ('σ', "sigma"),
        ('√', "sqrt "),
        ('≥', ">="),
        ('½', "1/2"),
        ('∤', "does not divide"),
        ('⌈', "ceil("),
        ('⌉', ")"),
        ('−', "-"),
        ('∞', "inf"),
    ];
    let mut out = String::new();
    for c in text.chars() {
        match MORE.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
    }
    out
}
