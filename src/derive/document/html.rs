//! A derivation as one page for a browser: `MathML`, SVG, no scripts, nothing from the network.
//!
//! Both languages are on the page; two radio buttons and a style choose which is shown.

use std::fmt::Write;

use super::markdown::{name, used};
use super::{badge, figure, rules, shape};
use crate::derive::words::{Lang, Word};
use crate::derive::{Check, Derivation, Equation, Level};
use crate::render::{Math, escape};

/// The width at which lines are broken.
const WIDTH: usize = 52;

const STYLE: &str = include_str!("page.css");

pub(super) fn write(d: &Derivation, lang: Lang, level: Level) -> String {
    let mut out = String::new();
    let title = |lang| escape(&Word::Title.with(lang, &[("name", d.name())]));
    let _ = writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        lang.code(),
        title(lang)
    );
    for choice in Lang::ALL {
        let code = choice.code();
        let checked = if *choice == lang { " checked" } else { "" };
        let text = Word::Language.text(*choice);
        let _ = writeln!(
            out,
            "<input type=\"radio\" name=\"lang\" id=\"lang-{code}\"{checked}>\
             <label for=\"lang-{code}\">{text}</label>"
        );
    }
    let _ = writeln!(out, "<main>\n<h1>{}</h1>", both(title));
    let _ = writeln!(out, "<p>{}</p>", prose(Word::Lead));
    let _ = writeln!(
        out,
        "<p class=\"summary\">{}</p>",
        both(|l| escape(&d.summary(l)))
    );
    let sections = d.outline(level);
    let _ = writeln!(out, "<nav>{}<ol>", both(|l| Word::Contents.text(l).into()));
    for section in &sections {
        let heading = section.part.heading();
        let _ = writeln!(
            out,
            "<li><a href=\"#{:?}\">{}</a></li>",
            section.part,
            both(|l| heading.text(l).into())
        );
    }
    let _ = writeln!(out, "</ol></nav>");
    let _ = writeln!(
        out,
        "<details><summary>{}</summary><ul>",
        both(|l| Word::Conventions.text(l).into())
    );
    for word in d.conventions() {
        let _ = writeln!(out, "<li>{}</li>", prose(word));
    }
    let _ = writeln!(out, "</ul></details>");
    caption(
        &mut out,
        &figure::unrolled(d),
        Word::Unrolled,
        Word::UnrolledCaption,
    );
    let mut number = 0;
    for (i, section) in sections.iter().enumerate() {
        let heading = section.part.heading();
        let _ = writeln!(
            out,
            "<section id=\"{:?}\">\n<h2><span class=\"n\">{}</span> {}</h2>\n<p>{}</p>",
            section.part,
            i + 1,
            both(|l| heading.text(l).into()),
            prose(section.intro)
        );
        for line in &section.theorem {
            let _ = writeln!(out, "<div class=\"eq theorem\">{}</div>", line.mathml(true));
        }
        for equation in &section.lines {
            number += 1;
            line(&mut out, d, equation, number);
        }
        if let Some(after) = section.after {
            let _ = writeln!(out, "<p class=\"after\">{}</p>", prose(after));
        }
        if section.part == crate::derive::Part::Bounds
            && let Some(heat) = figure::heat(d)
        {
            caption(&mut out, &heat, Word::Heat, Word::HeatCaption);
        }
        let _ = writeln!(out, "</section>");
    }
    let _ = writeln!(
        out,
        "<section id=\"rules\">\n<h2>{}</h2>\n<dl>",
        both(|l| Word::Rules.text(l).into())
    );
    for rule in used(d, level) {
        let _ = writeln!(
            out,
            "<dt id=\"rule-{0}\">{0}</dt><dd>{1}</dd>",
            rule.id(),
            both(|l| name(rule, l).into())
        );
    }
    let _ = writeln!(out, "</dl>\n</section>\n</main>\n</body>\n</html>");
    out
}

fn caption(out: &mut String, svg: &str, title: Word, text: Word) {
    let _ = writeln!(
        out,
        "<figure>\n<div class=\"wide\">{svg}</div>\n<figcaption><b>{}</b> {}</figcaption>\n</figure>",
        both(|l| title.text(l).into()),
        prose(text)
    );
}

/// A text in both languages, of which one is shown.
fn both(text: impl Fn(Lang) -> String) -> String {
    let span = |l: &Lang| format!("<span lang=\"{}\">{}</span>", l.code(), text(*l));
    Lang::ALL.iter().map(span).collect()
}

/// A sentence in both languages; what stands between backquotes is a formula.
fn prose(word: Word) -> String {
    both(|lang| {
        let pieces = word.text(lang).split('`').enumerate();
        let mark = |(i, piece): (usize, &str)| match i % 2 {
            0 => escape(piece),
            _ => format!("<i class=\"f\">{}</i>", escape(piece)),
        };
        pieces.map(mark).collect()
    })
}

fn line(out: &mut String, d: &Derivation, equation: &Equation, number: usize) {
    let state = match &equation.check {
        Check::Passed { .. } => "ok",
        Check::Bound { .. } => "bound",
        Check::Failed { .. } => "bad",
        Check::Pending | Check::NotCheckable { .. } => "none",
    };
    let (left, lines) = d.broken(equation, WIDTH);
    let _ = writeln!(
        out,
        "<div class=\"line {state}\" id=\"{}\">\n<div class=\"eq\">{}</div>",
        escape(&equation.id),
        display(&left, &lines)
    );
    let mut notes = vec![format!(
        "<a class=\"no\" href=\"#{}\">({number})</a>",
        escape(&equation.id)
    )];
    notes.extend(d.range(&equation.range).map(|r| r.mathml(false)));
    notes.extend(shape(equation).map(|s| format!("<span class=\"shape\">{}</span>", escape(&s))));
    if !equation.rules.is_empty() {
        let links = equation
            .rules
            .iter()
            .map(|r| format!("<a href=\"#rule-{0}\">{0}</a>", r.id()));
        notes.push(links.collect::<Vec<_>>().join(" "));
    }
    notes.push(format!(
        "<span class=\"badge\">{}</span>",
        both(|l| escape(&badge(&equation.check, l)))
    ));
    let _ = writeln!(out, "<div class=\"notes\">{}</div>", notes.join("\n"));
    if !equation.steps.is_empty() {
        let count = equation.steps.len().to_string();
        let _ = writeln!(
            out,
            "<details class=\"steps\"><summary>{}</summary>",
            both(|l| Word::Steps.with(l, &[("count", &count)]))
        );
        for step in &equation.steps {
            let show = |t| d.symbols().show(t);
            let formula = Math::relation(
                show(&step.before),
                crate::render::Sign::Equal,
                show(&step.after),
            );
            let _ = writeln!(
                out,
                "<div class=\"step\"><a href=\"#rule-{0}\">{0}</a><div class=\"eq\">{1}</div></div>",
                step.rule.id(),
                formula.mathml(true)
            );
        }
        let _ = writeln!(out, "</details>");
    }
    let _ = writeln!(out, "</div>");
    debug_assert!(!rules(equation).contains('<'), "ids of rules are words");
}

/// A line as a formula; where it is long, its pieces stand below each other.
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
        format!(
            "<mtr><mtd class=\"l\">{head}</mtd><mtd class=\"r\">{}</mtd></mtr>",
            line.element()
        )
    };
    let rows: String = lines.iter().enumerate().map(row).collect();
    format!("<math display=\"block\"><mtable displaystyle=\"true\">{rows}</mtable></math>")
}
