//! A derivation as a LaTeX document; Chinese uses the package `ctex`, for `xelatex` or `lualatex`.

use std::fmt::Write;

use super::{
    badge, because, colon, columns, digits, gap, gaps, general, name, paragraph, rules, shape,
    stop, used, verdicts,
};
use crate::derive::record::derivation::{Derivation, Reach};
use crate::derive::record::equation::Equation;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::words::{Lang, Word};
use crate::render::{Dialect, Math, greek_name, scripts};

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
            sentence(&paragraph(d, &section.intro, lang))
        );
        for line in &section.theorem {
            let refer = |e: &Equation| format!("\\eqref{{{}}}", label(e));
            let _ = writeln!(
                out,
                "\\[\n{}\n\\]\n{{\\footnotesize {}}}\n",
                line.line.latex(Dialect::Plain),
                general(line, lang, refer).join(stop(lang))
            );
        }
        for equation in &section.lines {
            let (left, lines) = d.broken(equation, WIDTH);
            let tex = |m: &Math| m.latex(Dialect::Plain);
            // A formula that cannot be broken is scaled down if it is wider than the page.
            let longest = lines.iter().map(Math::width).max().unwrap_or(0);
            let wide = left.width() + longest > WIDTH;
            let lines: Vec<String> = lines.iter().map(tex).collect();
            let body = lines.join("\\\\\n&\\quad ");
            let mut notes: Vec<String> = Vec::new();
            let range = d.range(equation);
            notes.extend(range.map(|r| format!("${}$", r.latex(Dialect::Plain))));
            notes.extend(shape(equation).map(|s| format!("${}$", s.replace('×', "\\times "))));
            if !equation.rules.is_empty() {
                notes.push(rules(equation));
            }
            notes.push(escape(&badge(&equation.check, lang)));
            let _ = writeln!(
                out,
                "\\begin{{equation}}\\label{{{}}}\n{}\\begin{{aligned}}\n{}&{body}\n\\end{{aligned}}{}\n\
                 \\end{{equation}}\n{{\\footnotesize {}}}\n",
                label(equation),
                if wide { "\\fit{" } else { "" },
                tex(&left),
                if wide { "}" } else { "" },
                notes.join(stop(lang))
            );
        }
        for reach in d.reaches().iter().filter(|_| section.part == Part::Bounds) {
            run(&mut out, d, reach, lang);
        }
        let _ = writeln!(out, "{}\n", sentence(&paragraph(d, &section.after, lang)));
    }
    let _ = writeln!(
        out,
        "\\section*{{{}}}\n\\begin{{itemize}}",
        Word::Rules.text(lang)
    );
    for rule in used(d, level) {
        let statement = rule.formula().latex(Dialect::Plain);
        let _ = write!(
            out,
            "\\item[{}] {}{}${statement}$",
            rule.id(),
            name(rule, lang),
            colon(lang)
        );
        if let Some(proof) = rule.proof_formula() {
            let (because, proof) = (because(lang), proof.latex(Dialect::Plain));
            let _ = write!(out, " · {because}${proof}$");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "\\end{{itemize}}");
    let _ = writeln!(out, "\\end{{document}}");
    out
}

/// The label of a line, for references.
fn label(equation: &Equation) -> String {
    equation.id.to_string().replace('_', "-")
}

/// The measurements of a run, as a table.
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

/// A number in scientific notation, with its power of ten.
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

/// A sentence; text between backquotes is a formula.
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

/// Replaces the characters of formulas in sentences by commands.
fn formula(text: &str) -> String {
    let text = text.replace("ln ", "\\ln ").replace("min(", "\\min(");
    let text = text.replace("diag(", "\\operatorname{diag}(");
    let mut out = String::new();
    for (place, piece) in scripts(&text) {
        match place {
            Some(mark) => {
                let _ = write!(out, "{mark}{{{}}}", piece.replace('−', "-"));
            }
            None => out.push_str(&commands(&piece)),
        }
    }
    out
}

fn commands(text: &str) -> String {
    const ACCENTS: &[(char, &str)] = &[('\u{303}', "\\tilde"), ('\u{302}', "\\hat")];
    const COMMANDS: &[(char, &str)] = &[
        ('⊙', "\\odot "),
        ('𝟏', "\\mathbf{1}"),
        ('𝐈', "\\mathbf{I}"),
        ('𝐞', "\\mathbf{e}"),
        ('⟨', "\\langle "),
        ('⟩', "\\rangle "),
        ('∂', "\\partial "),
        ('δ', "\\delta "),
        ('ε', "\\varepsilon "),
        ('τ', "\\tau "),
        ('λ', "\\lambda "),
        ('σ', "\\sigma "),
        ('∤', "\\nmid "),
        ('⌈', "\\lceil "),
        ('⌉', "\\rceil "),
        ('≥', "\\ge "),
        ('≤', "\\le "),
        ('∏', "\\prod "),
        ('⨀', "\\bigodot "),
        ('⊗', "\\otimes "),
        ('…', "\\ldots "),
        ('−', "-"),
        ('∞', "\\infty "),
        ('½', "\\tfrac{1}{2}"),
    ];
    let mut out = String::new();
    // The start of the last letter, which may be a command.
    let mut last = 0;
    for c in text.chars() {
        if let Some(accent) = ACCENTS.iter().find(|(from, _)| *from == c) {
            let base = out.split_off(last);
            let _ = write!(out, "{}{{{}}}", accent.1, base.trim_end());
            continue;
        }
        last = out.len();
        match COMMANDS.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => match greek_name(c) {
                Some(name) => _ = write!(out, "\\{name} "),
                None => out.push(c),
            },
        }
    }
    out
}
