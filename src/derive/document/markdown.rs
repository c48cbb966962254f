//! A derivation in Markdown, as GitHub shows it.
//!
//! Formulas stand in fenced `math` blocks and in `` $`…`$ ``, where GitHub leaves backslashes and
//! underscores alone.

use std::fmt::Write;

use super::{badge, rules, shape};
use crate::derive::words::{Lang, Word};
use crate::derive::{Derivation, Equation, Level, Rule};
use crate::render::{Dialect, Math};

/// The width at which lines are broken.
const WIDTH: usize = 64;

pub(super) fn write(d: &Derivation, lang: Lang, level: Level) -> String {
    let mut out = String::new();
    let title = Word::Title.with(lang, &[("name", d.name())]);
    let _ = writeln!(out, "# {title}\n\n{}\n", Word::Lead.text(lang));
    let _ = writeln!(out, "*{}*\n", d.summary(lang));
    if level > Level::Sheet {
        let _ = writeln!(out, "## {}\n", Word::Conventions.text(lang));
        for word in d.conventions() {
            let _ = writeln!(out, "- {}", word.text(lang));
        }
        out.push('\n');
    }
    for (i, section) in d.outline(level).iter().enumerate() {
        let heading = section.part.heading().text(lang);
        let _ = writeln!(
            out,
            "## {}. {heading}\n\n{}\n",
            i + 1,
            section.intro.text(lang)
        );
        for line in &section.theorem {
            fence(&mut out, &line.latex(Dialect::GitHub));
        }
        for equation in &section.lines {
            fence(&mut out, &display(d, equation));
            let _ = writeln!(out, "{}\n", notes(d, equation, lang));
            if level == Level::Full && !equation.steps.is_empty() {
                steps(&mut out, d, equation, lang);
            }
        }
        if let Some(after) = section.after {
            let _ = writeln!(out, "{}\n", after.text(lang));
        }
    }
    if level > Level::Sheet {
        used_rules(&mut out, d, lang, level);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn fence(out: &mut String, latex: &str) {
    let _ = writeln!(out, "```math\n{latex}\n```\n");
}

/// A line, broken where it is long.
pub(crate) fn display(d: &Derivation, equation: &Equation) -> String {
    let (left, lines) = d.broken(equation, WIDTH);
    let tex = |m: &Math| m.latex(Dialect::GitHub);
    match &lines[..] {
        [one] => format!("{}{}", tex(&left), tex(one)),
        lines => {
            let lines: Vec<String> = lines.iter().map(tex).collect();
            let rest = lines.join("\\\\\n&\\quad ");
            format!(
                "\\begin{{aligned}}\n{}&{rest}\n\\end{{aligned}}",
                tex(&left)
            )
        }
    }
}

fn notes(d: &Derivation, equation: &Equation, lang: Lang) -> String {
    let mut notes: Vec<String> = Vec::new();
    if let Some(range) = d.range(&equation.range) {
        notes.push(format!("$`{}`$", range.latex(Dialect::GitHub)));
    }
    notes.extend(shape(equation));
    if !equation.rules.is_empty() {
        notes.push(rules(equation));
    }
    notes.push(badge(&equation.check, lang));
    format!("<sub>{}</sub>", notes.join(" · "))
}

fn steps(out: &mut String, d: &Derivation, equation: &Equation, lang: Lang) {
    let count = equation.steps.len().to_string();
    let head = Word::Steps.with(lang, &[("count", &count)]);
    let _ = writeln!(out, "<details><summary>{head}</summary>\n");
    for step in &equation.steps {
        let show = |t| d.symbols().show(t).latex(Dialect::GitHub);
        let _ = writeln!(out, "{} ({}):\n", step.rule.id(), name(step.rule, lang));
        fence(
            out,
            &format!("{}={}", show(&step.before), show(&step.after)),
        );
    }
    let _ = writeln!(out, "</details>\n");
}

fn used_rules(out: &mut String, d: &Derivation, lang: Lang, level: Level) {
    let _ = writeln!(out, "## {}\n", Word::Rules.text(lang));
    for rule in used(d, level) {
        let statement = github(rule.statement());
        let _ = writeln!(
            out,
            "- **{}** {}: $`{statement}`$",
            rule.id(),
            name(rule, lang)
        );
    }
}

/// The rules of the lines of a level, in order.
pub(super) fn used(d: &Derivation, level: Level) -> Vec<Rule> {
    let shown = d.equations.iter().filter(|e| e.level <= level);
    let mut rules: Vec<Rule> = shown.flat_map(|e| e.rules.clone()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

pub(super) const fn name(rule: Rule, lang: Lang) -> &'static str {
    match lang {
        Lang::En => rule.english(),
        Lang::Zh => rule.chinese(),
    }
}

fn github(latex: &str) -> String {
    latex.replace(r"\operatorname{diag}", r"\mathop{\mathrm{diag}}")
}
