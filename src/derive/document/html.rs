//! A derivation as one page for a browser: `MathML` and SVG, without scripts or network access.
//!
//! The page contains both languages and all levels; radio buttons and CSS choose the visible ones.

use std::fmt::Write;

use super::numbering::Numbers;
use super::{
    General, Section, badge, because, chart, figure, name, paragraph, rules, shape, used, verdicts,
};
use crate::derive::algebra::change::Place;
use crate::derive::record::derivation::{Derivation, Reach};
use crate::derive::record::equation::{Check, Equation};
use crate::derive::record::part::{Level, Part};
use crate::derive::record::words::{Lang, Word};
use crate::render::{Math, scripts};
use crate::xml::escaped;

/// The width at which lines are broken.
const WIDTH: usize = 52;

const STYLE: &str = include_str!("page.css");

pub(super) fn write(d: &Derivation, lang: Lang, level: Level) -> String {
    let mut out = String::new();
    let title = |lang| escaped(&Word::Title.with(lang, &[("name", d.name())]));
    let _ = writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        lang.code(),
        title(lang)
    );
    switches(&mut out, lang, level);
    let _ = writeln!(out, "<main>\n<h1>{}</h1>", both(title));
    let _ = writeln!(out, "<p>{}</p>", prose(d, Word::Lead));
    let _ = writeln!(
        out,
        "<p class=\"summary\">{}</p>",
        both(|l| escaped(&d.summary(l)))
    );
    let sections = d.outline(Level::Full);
    contents(&mut out, &sections);
    let _ = writeln!(
        out,
        "<details class=\"conventions\"><summary>{}</summary><ul>",
        both(|l| Word::Conventions.text(l).into())
    );
    for word in d.conventions() {
        let _ = writeln!(out, "<li>{}</li>", prose(d, word));
    }
    let _ = writeln!(out, "</ul></details>");
    let numbers = Numbers::new(&sections);
    unrolled(&mut out, d, &numbers);
    for section in &sections {
        write_section(&mut out, d, section, &numbers);
    }
    let _ = writeln!(
        out,
        "<section id=\"rules\" class=\"l-normal\">\n<h2>{}</h2>\n<dl>",
        both(|l| Word::Rules.text(l).into())
    );
    for rule in used(d, Level::Full) {
        let _ = write!(
            out,
            "<dt id=\"rule-{0}\">{0}</dt><dd>{1}<div class=\"eq\">{2}</div>",
            rule.id(),
            both(|l| name(rule, l).into()),
            rule.formula().mathml(false)
        );
        if let Some(proof) = rule.proof_formula() {
            let _ = write!(
                out,
                "<div class=\"eq proof\">{}{}</div>",
                both(because),
                proof.mathml(false)
            );
        }
        out.push_str("</dd>\n");
    }
    let _ = writeln!(out, "</dl>\n</section>\n</main>\n</body>\n</html>");
    out
}

/// Radio buttons for the language and the level.
fn switches(out: &mut String, lang: Lang, level: Level) {
    let mut radio = |group: &str, code: &str, checked: bool, text: &str| {
        let checked = if checked { " checked" } else { "" };
        let _ = writeln!(
            out,
            "<input type=\"radio\" name=\"{group}\" id=\"{group}-{code}\"{checked}>\
             <label class=\"{group}\" for=\"{group}-{code}\">{text}</label>"
        );
    };
    for choice in Level::ALL {
        let text = both(|l| choice.word().text(l).into());
        radio("level", choice.name(), *choice == level, &text);
    }
    for choice in Lang::ALL {
        let text = Word::Language.text(*choice);
        let text = format!(
            "<span lang=\"{}\" class=\"own\">{text}</span>",
            choice.code()
        );
        radio("lang", choice.code(), *choice == lang, &text);
    }
}

fn contents(out: &mut String, sections: &[Section<'_>]) {
    let _ = writeln!(
        out,
        "<nav><b>{}</b><ol>",
        both(|l| Word::Contents.text(l).into())
    );
    for section in sections {
        let heading = section.part.heading();
        let _ = writeln!(
            out,
            "<li class=\"{}\"><a href=\"#{:?}\">{}</a></li>",
            class(section.level),
            section.part,
            both(|l| heading.text(l).into())
        );
    }
    let _ = writeln!(out, "</ol></nav>");
}

/// The class by which CSS hides lines of higher levels.
const fn class(level: Level) -> &'static str {
    match level {
        Level::Sheet => "l-sheet",
        Level::Normal => "l-normal",
        Level::Full => "l-full",
    }
}

fn unrolled(out: &mut String, d: &Derivation, numbers: &Numbers<'_>) {
    let svg = figure::unrolled(d, numbers);
    let mut key = String::new();
    for (kind, word) in [
        ("step", Word::KeyStep),
        ("time", Word::KeyTime),
        ("carousel", Word::KeyCarousel),
    ] {
        if !svg.contains(&format!("back {kind}")) {
            continue;
        }
        let _ = write!(
            key,
            "<span class=\"key\"><svg width=\"64\" height=\"12\" viewBox=\"0 0 64 12\" aria-hidden=\"true\">\
             <path class=\"forward {kind}\" d=\"M2 4H62\"/><path class=\"back {kind}\" d=\"M2 9H62\"/></svg>{}</span>",
            both(|l| word.text(l).into())
        );
    }
    let _ = writeln!(
        out,
        "<figure class=\"broad\">\n<div class=\"wide\">{svg}</div>\n<figcaption><b>{}</b>{}<br>{key}</figcaption>\n\
         </figure>",
        heading(Word::Unrolled),
        prose(d, Word::UnrolledCaption)
    );
}

fn write_section(out: &mut String, d: &Derivation, section: &Section<'_>, numbers: &Numbers<'_>) {
    let heading = section.part.heading();
    let _ = writeln!(
        out,
        "<section id=\"{:?}\" class=\"{}\">\n<h2><span class=\"n\">{}</span> {}</h2>",
        section.part,
        class(section.level),
        numbers.part(section.part),
        both(|l| heading.text(l).into()),
    );
    said(out, d, &section.intro, "");
    for line in &section.theorem {
        general_line(out, line, numbers);
    }
    for equation in &section.lines {
        line(out, d, equation, numbers);
    }
    for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
        measured(out, d, reach);
    }
    said(out, d, &section.after, " class=\"after\"");
    let _ = writeln!(out, "</section>");
}

/// Sentences as a paragraph.
fn said(out: &mut String, d: &Derivation, words: &[Word], class: &str) {
    if !words.is_empty() {
        let text = both(|l| marked(&paragraph(d, words, l)));
        let _ = writeln!(out, "<p{class}>{text}</p>");
    }
}

/// A general line, with links to its instances in this recurrence.
fn general_line(out: &mut String, line: &General<'_>, numbers: &Numbers<'_>) {
    let mut notes = String::new();
    if let Some(least) = line.instances.iter().map(|e| e.level).min() {
        let link = |e: &&Equation| {
            let number = numbers.line(&e.id, "span").unwrap_or_default();
            let (class, id) = (class(e.level), escaped(&e.id.to_string()));
            format!("<a class=\"{class}\" href=\"#{id}\">{number}</a>")
        };
        let links: Vec<String> = line.instances.iter().map(link).collect();
        let links = links.join(" ");
        notes = format!(
            "<span class=\"here {}\">{}{links}</span>",
            class(least),
            both(|l| Word::Instances.with(l, &[("lines", "")]))
        );
    }
    let _ = writeln!(
        out,
        "<div class=\"line general\">\n<span class=\"no\"></span><div class=\"eq\">{}</div>\n<div class=\"notes\">\
         {notes}<span class=\"badge\">{}</span></div>\n</div>",
        line.line.mathml(true),
        both(|l| Word::General.text(l).into())
    );
}

/// The figures of a run.
fn measured(out: &mut String, d: &Derivation, reach: &Reach) {
    let _ = writeln!(out, "<h3>{}</h3>", both(|l| Word::Run.text(l).into()));
    let said = both(|l| {
        let sentences = verdicts(d, reach, l);
        let space = if l == Lang::Zh { "" } else { " " };
        sentences
            .iter()
            .map(|s| marked(s))
            .collect::<Vec<_>>()
            .join(space)
    });
    let _ = writeln!(out, "<p>{said}</p>");
    caption(
        out,
        d,
        &chart::heat(d, reach),
        Word::Heat,
        Word::HeatCaption,
    );
    for kept in &reach.carousels {
        if let Some(figure) = chart::kept(d, reach, kept) {
            caption(out, d, &figure, Word::Carried, Word::CarriedCaption);
        }
    }
    caption(
        out,
        d,
        &chart::curves(d, reach),
        Word::Heat,
        Word::CurvesCaption,
    );
}

fn caption(out: &mut String, d: &Derivation, svg: &str, title: Word, text: Word) {
    let _ = writeln!(
        out,
        "<figure>\n<div class=\"wide\">{svg}</div>\n<figcaption><b>{}</b>{}</figcaption>\n</figure>",
        heading(title),
        prose(d, text)
    );
}

/// The title of a caption, with a full stop and, in English, a space.
fn heading(title: Word) -> String {
    both(|l| {
        let stop = if l == Lang::Zh { "。" } else { ". " };
        format!("{}{stop}", title.text(l))
    })
}

/// A text in both languages, of which CSS shows one.
fn both(text: impl Fn(Lang) -> String) -> String {
    let span = |l: &Lang| format!("<span lang=\"{}\">{}</span>", l.code(), text(*l));
    Lang::ALL.iter().map(span).collect()
}

/// A sentence in both languages.
fn prose(d: &Derivation, word: Word) -> String {
    both(|lang| marked(&d.sentence(word, lang)))
}

/// A sentence; text between backquotes is a formula.
fn marked(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    let mark = |(i, piece): (usize, &str)| match i % 2 {
        0 => escaped(piece),
        _ => format!("<span class=\"f\">{}</span>", letters(piece)),
    };
    pieces.map(mark).collect()
}

/// A formula in a sentence: single letters are variables and italic; words such as `ln`, and the `d` of a
/// differential, are upright.
fn letters(formula: &str) -> String {
    let mut out = String::new();
    for (place, piece) in scripts(formula) {
        let piece = slanted(&piece);
        match place {
            Some('_') => _ = write!(out, "<sub>{piece}</sub>"),
            Some(_) => _ = write!(out, "<sup>{piece}</sup>"),
            None => out.push_str(&piece),
        }
    }
    out
}

fn slanted(formula: &str) -> String {
    let latin = |c: char| c.is_ascii_alphabetic();
    let mut out = String::new();
    let mut rest = formula;
    while let Some(first) = rest.chars().next() {
        let end = match latin(first) {
            true => rest.find(|c| !latin(c)).unwrap_or(rest.len()),
            false => rest.find(latin).unwrap_or(rest.len()),
        };
        let (run, more) = rest.split_at(end);
        match (latin(first), run.len()) {
            (true, 1) => _ = write!(out, "<i>{run}</i>"),
            (true, 2) if run.starts_with('d') => _ = write!(out, "d<i>{}</i>", &run[1..]),
            _ => out.push_str(&escaped(run)),
        }
        rest = more;
    }
    out
}

fn line(out: &mut String, d: &Derivation, equation: &Equation, numbers: &Numbers<'_>) {
    let state = match &equation.check {
        Check::Passed { .. } => "ok",
        Check::Bound { .. } => "bound",
        Check::Definition => "def",
        Check::Failed { .. } => "bad",
        Check::Pending | Check::NotCheckable { .. } => "none",
    };
    let (left, lines) = d.broken(equation, WIDTH);
    let id = escaped(&equation.id.to_string());
    let number = numbers.line(&equation.id, "span").unwrap_or_default();
    let _ = writeln!(
        out,
        "<div class=\"line {state} {}\" id=\"{id}\">\n<a class=\"no\" href=\"#{id}\">{number}</a>\
         <div class=\"eq\">{}</div>",
        class(equation.level),
        display(&left, &lines)
    );
    let mut notes: Vec<String> = Vec::new();
    notes.extend(d.range(equation).map(|r| r.mathml(false)));
    notes.extend(shape(equation).map(|s| format!("<span class=\"shape\">{}</span>", escaped(&s))));
    if !equation.rules.is_empty() {
        let links = equation
            .rules
            .iter()
            .map(|r| format!("<a href=\"#rule-{0}\">{0}</a>", r.id()));
        let links = links.collect::<Vec<_>>().join(" ");
        notes.push(format!("<span class=\"by\">{links}</span>"));
    }
    notes.push(format!(
        "<span class=\"badge\">{}</span>",
        both(|l| escaped(&badge(&equation.check, l)))
    ));
    let _ = writeln!(out, "<div class=\"notes\">{}</div>", notes.join("\n"));
    steps(out, d, equation);
    let _ = writeln!(out, "</div>");
    debug_assert!(!rules(equation).contains('<'), "ids of rules are words");
}

/// The derivation steps of a line, in a collapsed list.
fn steps(out: &mut String, d: &Derivation, equation: &Equation) {
    if equation.steps.is_empty() {
        return;
    }
    let count = equation.steps.len().to_string();
    let _ = writeln!(
        out,
        "<details class=\"steps l-full\"><summary>{}</summary>",
        both(|l| Word::Steps.with(l, &[("count", &count)]))
    );
    for step in &equation.steps {
        let show = |t, class, place: &Place| d.symbols().show_marked(t, class, &place.find(t));
        let before = show(&step.before, "was", &step.change.before);
        let after = show(&step.after, "now", &step.change.after);
        let formula = Math::relation(before, step.sign(), after);
        let _ = writeln!(
            out,
            "<div class=\"step\"><a href=\"#rule-{0}\">{0}</a><div class=\"eq\">{1}</div></div>",
            step.rule.id(),
            formula.mathml(true)
        );
    }
    let _ = writeln!(out, "</details>");
}

/// A line as a formula; the pieces of a long line are stacked.
fn display(left: &Math, lines: &[Math]) -> String {
    if let [one] = lines {
        return Math::row([left.clone(), one.clone()]).mathml(true);
    }
    let row = |(i, line): (usize, &Math)| {
        let head = if i == 0 {
            left.element()
        } else {
            String::new()
        };
        // A minus at the beginning of a continuation line is a binary operator.
        let (sign, between) = (
            r#"<mrow><mo form="prefix">−"#,
            r#"<mrow><mo form="infix">−"#,
        );
        let line = match (i, line.element()) {
            (1.., line) if line.starts_with(sign) => line.replacen(sign, between, 1),
            (_, line) => line,
        };
        format!("<mtr><mtd class=\"l\">{head}</mtd><mtd class=\"r\">{line}</mtd></mtr>")
    };
    let rows: String = lines.iter().enumerate().map(row).collect();
    format!("<math display=\"block\"><mtable displaystyle=\"true\">{rows}</mtable></math>")
}
