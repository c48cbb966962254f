//! A derivation in GitHub's Markdown.
//!
//! Formulas are in fenced `math` blocks and in `` $`…`$ ``, in which GitHub does not interpret backslashes and
//! underscores.

use std::fmt::Write;

use super::{
    badge, because, colon, columns, digits, gap, gaps, general, name, paragraph, rules, shape,
    used, verdicts,
};
use crate::derive::record::derivation::{Derivation, Reach};
use crate::derive::record::equation::Equation;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::words::{Lang, Word};
use crate::render::{Dialect, Math};

/// The width at which lines are broken.
const WIDTH: usize = 64;

fn said(out: &mut String, d: &Derivation, words: &[Word], lang: Lang) {
    if !words.is_empty() {
        let _ = writeln!(out, "{}\n", paragraph(d, words, lang));
    }
}

pub(super) fn write(d: &Derivation, lang: Lang, level: Level) -> String {
    let mut out = String::new();
    let title = Word::Title.with(lang, &[("name", d.name())]);
    let _ = writeln!(out, "# {title}\n\n{}\n", Word::Lead.text(lang));
    let _ = writeln!(out, "*{}*\n", d.summary(lang));
    if level > Level::Sheet {
        let _ = writeln!(out, "## {}\n", Word::Conventions.text(lang));
        for word in d.conventions() {
            let _ = writeln!(out, "- {}", d.sentence(word, lang));
        }
        out.push('\n');
    }
    for (i, section) in d.outline(level).iter().enumerate() {
        let heading = section.part.heading().text(lang);
        let _ = writeln!(out, "## {}. {heading}\n", i + 1);
        said(&mut out, d, &section.intro, lang);
        for line in &section.theorem {
            fence(&mut out, &line.line.latex(Dialect::GitHub));
            let refer = |e: &Equation| format!("[`{0}`](#{0})", e.id);
            let notes = general(line, lang, refer).join(" · ");
            let _ = writeln!(out, "<sub>{notes}</sub>\n");
        }
        for equation in &section.lines {
            fence(&mut out, &display(d, equation));
            let _ = writeln!(out, "{}\n", notes(d, equation, lang));
            if level == Level::Full && !equation.steps.is_empty() {
                steps(&mut out, d, equation, lang);
            }
        }
        for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
            run(&mut out, d, reach, lang);
        }
        said(&mut out, d, &section.after, lang);
    }
    used_rules(&mut out, d, lang, level);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn fence(out: &mut String, latex: &str) {
    let _ = writeln!(out, "```math\n{latex}\n```\n");
}

/// A line; a long one is broken.
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
    let mut notes = vec![format!("<a id=\"{0}\">`{0}`</a>", equation.id)];
    if let Some(range) = d.range(equation) {
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
        let show = |t| d.symbols().show(t);
        let (before, after) = (show(&step.before), show(&step.after));
        let shown = Math::relation(before, step.sign(), after);
        let (open, close) = match lang {
            Lang::En => (" (", "):"),
            Lang::Zh => ("（", "）："),
        };
        let name = name(step.rule, lang);
        let _ = writeln!(out, "{}{open}{name}{close}\n", step.rule.id());
        fence(out, &shown.latex(Dialect::GitHub));
    }
    let _ = writeln!(out, "</details>\n");
}

/// The measurements of a run, as a table.
fn run(out: &mut String, d: &Derivation, reach: &Reach, lang: Lang) {
    let _ = writeln!(out, "### {}\n", Word::Run.text(lang));
    // Markdown turns a line break into a space, which Chinese does not use.
    let space = if lang == Lang::Zh { "" } else { "\n" };
    let _ = writeln!(out, "{}", verdicts(d, reach, lang).join(space));
    let columns = columns(d, reach);
    let mut heads = vec![d.symbols().time(&gap(reach))];
    heads.extend(columns.iter().map(|c| c.head.clone()));
    let cells: Vec<String> = heads
        .iter()
        .map(|h| format!(" $`{}`$ |", h.latex(Dialect::GitHub)))
        .collect();
    let _ = writeln!(
        out,
        "\n|{}\n|{}",
        cells.concat(),
        "---:|".repeat(heads.len())
    );
    for (row, gap) in gaps(reach).iter().enumerate() {
        let values = columns
            .iter()
            .map(|c| format!(" {} |", digits(c.logs[row])));
        let _ = writeln!(out, "| {gap} |{}", values.collect::<String>());
    }
    out.push('\n');
}

fn used_rules(out: &mut String, d: &Derivation, lang: Lang, level: Level) {
    let _ = writeln!(out, "## {}\n", Word::Rules.text(lang));
    for rule in used(d, level) {
        let statement = rule.formula().latex(Dialect::GitHub);
        let _ = write!(
            out,
            "- **{}** {}{}$`{statement}`$",
            rule.id(),
            name(rule, lang),
            colon(lang)
        );
        if let Some(proof) = rule.proof_formula() {
            let (because, proof) = (because(lang), proof.latex(Dialect::GitHub));
            let _ = write!(out, " · {because}$`{proof}`$");
        }
        out.push('\n');
    }
}
