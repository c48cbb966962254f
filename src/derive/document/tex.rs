//! A derivation as a LaTeX document; in Chinese with the package `ctex`, for `xelatex` or
//! `lualatex`.

use std::fmt::Write;

use super::markdown::{name, used};
use super::{badge, columns, digits, gap, gaps, rules, shape, verdicts};
use crate::derive::words::{Lang, Word};
use crate::derive::{Derivation, Level, Part, Reach};
use crate::render::{Dialect, Math};

/// The width at which lines are broken.
const WIDTH: usize = 60;

pub(super) fn write(d: &Derivation, lang: Lang, level: Level) -> String {
    let mut out = String::new();
    let class = match lang {
        Lang::En => "\\documentclass{article}",
        Lang::Zh => "\\documentclass{ctexart}",
    };
    let _ = writeln!(
        out,
        "{class}\n\\usepackage{{amsmath,amssymb,amsfonts,graphicx}}\n\\usepackage[margin=25mm]{{geometry}}\n\
         \\newcommand{{\\fit}}[1]{{\\resizebox{{\\ifdim\\width>.9\\linewidth .9\\linewidth\\else\\width\\fi}}{{!}}{{$\\displaystyle #1$}}}}\n\
         \\allowdisplaybreaks\n\\title{{{}}}\n\\date{{}}\n\\begin{{document}}\n\\maketitle\n",
        escape(&Word::Title.with(lang, &[("name", d.name())]))
    );
    let _ = writeln!(
        out,
        "{} {}\n",
        sentence(Word::Lead.text(lang)),
        escape(&d.summary(lang))
    );
    if level > Level::Sheet {
        let _ = writeln!(
            out,
            "\\section*{{{}}}\n\\begin{{itemize}}",
            Word::Conventions.text(lang)
        );
        for word in d.conventions() {
            let _ = writeln!(out, "\\item {}", sentence(&d.sentence(word, lang)));
        }
        let _ = writeln!(out, "\\end{{itemize}}\n");
    }
    for section in d.outline(level) {
        let heading = escape(section.part.heading().text(lang)).replace('δ', "$\\delta$");
        let _ = writeln!(
            out,
            "\\section{{{heading}}}\n{}",
            sentence(&d.sentence(section.intro, lang))
        );
        for line in &section.theorem {
            let _ = writeln!(out, "\\[\n{}\n\\]", line.latex(Dialect::Plain));
        }
        for equation in &section.lines {
            let (left, lines) = d.broken(equation, WIDTH);
            let tex = |m: &Math| m.latex(Dialect::Plain);
            // What cannot be broken is set smaller where it is wider than the page.
            let longest = lines.iter().map(Math::width).max().unwrap_or(0);
            let wide = left.width() + longest > WIDTH;
            let lines: Vec<String> = lines.iter().map(tex).collect();
            let body = lines.join("\\\\\n&\\quad ");
            let mut notes: Vec<String> = Vec::new();
            let range = d.range(equation);
            notes.extend(range.map(|r| format!("${}$", r.latex(Dialect::Plain))));
            notes.extend(shape(equation).map(|s| format!("${}$", s.replace('×', "\\times "))));
            notes.push(rules(equation));
            notes.push(escape(&badge(&equation.check, lang)));
            let _ = writeln!(
                out,
                "\\begin{{equation}}\\label{{{}}}\n{}\\begin{{aligned}}\n{}&{body}\n\\end{{aligned}}{}\n\
                 \\end{{equation}}\n{{\\footnotesize {}}}\n",
                equation.id.replace('_', "-"),
                if wide { "\\fit{" } else { "" },
                tex(&left),
                if wide { "}" } else { "" },
                notes.join("; ")
            );
        }
        for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
            run(&mut out, d, reach, lang);
        }
        for after in section.after.iter().copied() {
            let _ = writeln!(out, "{}\n", sentence(&d.sentence(after, lang)));
        }
    }
    if level > Level::Sheet {
        let _ = writeln!(
            out,
            "\\section*{{{}}}\n\\begin{{itemize}}",
            Word::Rules.text(lang)
        );
        for rule in used(d, level) {
            let statement = rule.formula().latex(Dialect::Plain);
            let _ = write!(
                out,
                "\\item[{}] {}: ${statement}$",
                rule.id(),
                name(rule, lang)
            );
            if let Some(proof) = rule.proof_formula() {
                let because = Word::EntryByEntry.text(lang);
                let _ = write!(out, " · {because} ${}$", proof.latex(Dialect::Plain));
            }
            out.push('\n');
        }
        let _ = writeln!(out, "\\end{{itemize}}");
    }
    let _ = writeln!(out, "\\end{{document}}");
    out
}

/// What was measured, as a table.
fn run(out: &mut String, d: &Derivation, reach: &Reach, lang: Lang) {
    let _ = writeln!(out, "\\subsection*{{{}}}", Word::Run.text(lang));
    for said in verdicts(d, reach, lang) {
        let _ = writeln!(out, "{}", sentence(&said));
    }
    let columns = columns(d, reach);
    let mut heads = vec![d.symbols().time(&gap(reach))];
    heads.extend(columns.iter().map(|c| c.head.clone()));
    let cells: Vec<String> = heads
        .iter()
        .map(|h| format!("$\\displaystyle {}$", h.latex(Dialect::Plain)))
        .collect();
    let _ = writeln!(
        out,
        "\\begin{{center}}\\begin{{tabular}}{{{}}}\n{}\\\\\\hline",
        "r".repeat(heads.len()),
        cells.join(" & ")
    );
    for (row, gap) in gaps(reach).iter().enumerate() {
        let values = columns
            .iter()
            .map(|c| format!(" & ${}$", power(&digits(c.logs[row]))));
        let _ = writeln!(out, "{gap}{}\\\\", values.collect::<String>());
    }
    let _ = writeln!(out, "\\end{{tabular}}\\end{{center}}\n");
}

/// A number with its power of ten as one writes it.
fn power(number: &str) -> String {
    match number.split_once('e') {
        Some((digits, exponent)) => {
            format!("{digits}\\cdot10^{{{}}}", exponent.replace('−', "-"))
        }
        None => number.into(),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '_' | '%' | '&' | '#' | '{' | '}' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '^' => out.push_str("\\^{}"),
            '~' => out.push_str("\\~{}"),
            c => out.push(c),
        }
    }
    out
}

/// A sentence; what stands between backquotes is a formula.
fn sentence(text: &str) -> String {
    let mut out = String::new();
    for (i, piece) in text.split('`').enumerate() {
        if i % 2 == 0 {
            out.push_str(&escape(piece));
        } else {
            let _ = write!(out, "${}$", formula(piece));
        }
    }
    out
}

/// The characters of formulas inside sentences, as commands.
fn formula(text: &str) -> String {
    const COMMANDS: &[(char, &str)] = &[
        ('⊙', "\\odot "),
        ('𝟏', "\\mathbf{1}"),
        ('⟨', "\\langle "),
        ('⟩', "\\rangle "),
        ('∂', "\\partial "),
        ('δ', "\\delta "),
        ('ᵛ', "^{v}"),
        ('ₜ', "_{t}"),
        ('ε', "\\varepsilon "),
        ('²', "^{2}"),
        ('τ', "\\tau "),
        ('λ', "\\lambda "),
        ('σ', "\\sigma "),
        ('∤', "\\nmid "),
        ('⌈', "\\lceil "),
        ('⌉', "\\rceil "),
        ('≥', "\\ge "),
        ('½', "\\tfrac{1}{2}"),
    ];
    let text = text.replace("ₜ₋₁", "_{t-1}");
    let text = text.replace("ln ", "\\ln ").replace("min(", "\\min(");
    let mut out = String::new();
    for c in text.chars() {
        match COMMANDS.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
    }
    out
}
