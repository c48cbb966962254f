//! A formula in LaTeX.
//!
//! The output is unambiguous: scripts are always in braces, and delimiters always in pairs.

use super::pres::{Accent, Fence, Math, Sign, greek, greek_name};

/// The dialect of LaTeX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// LaTeX with amsmath; `KaTeX` and `MathJax` accept it too.
    #[default]
    Plain,
    /// The subset that GitHub accepts in Markdown: no `\operatorname`, no marks.
    GitHub,
}

impl Math {
    /// The formula in LaTeX, without `$` or other delimiters around it.
    #[must_use]
    pub fn latex(&self, dialect: Dialect) -> String {
        let mut out = String::new();
        write(self, dialect, &mut out);
        out.truncate(out.trim_end().len());
        out
    }
}

fn write(math: &Math, dialect: Dialect, out: &mut String) {
    let braced = |m: &Math, out: &mut String| {
        out.push('{');
        write(m, dialect, out);
        out.truncate(out.trim_end().len());
        out.push('}');
    };
    match math {
        Math::Ident(name) => ident(name, out),
        Math::Upright(word) => upright(word, dialect, out),
        Math::Bold(text) => push(out, &format!(r"\mathbf{{{text}}}")),
        Math::Number(text) => push(out, text),
        Math::Sign(sign) => push(out, latex_sign(*sign)),
        Math::Row(parts) => parts.iter().for_each(|p| write(p, dialect, out)),
        Math::Script { base, sub, sup } => {
            match **base {
                Math::Ident(_) | Math::Upright(_) | Math::Bold(_) | Math::Fence(..) => {
                    write(base, dialect, out);
                }
                Math::Sign(_) | Math::Matrix(_) | Math::Accent(..) => write(base, dialect, out),
                _ => braced(base, out),
            }
            out.truncate(out.trim_end().len());
            let mut scripts = [(sup, '^'), (sub, '_')];
            if sup.as_ref().is_some_and(|s| s.is_exponent()) {
                scripts.reverse();
            }
            for (script, mark) in scripts {
                if let Some(script) = script {
                    out.push(mark);
                    braced(script, out);
                }
            }
        }
        Math::Frac(a, b) => {
            push(out, r"\frac");
            braced(a, out);
            braced(b, out);
        }
        Math::Fence(fence, body) => {
            let (open, close) = latex_fence(*fence, is_tall(body));
            push(out, open);
            write(body, dialect, out);
            push(out, close);
        }
        Math::Big { big, from, to } => {
            push(out, big.latex());
            out.push('_');
            braced(from, out);
            if !to.is_empty() {
                out.push('^');
                braced(to, out);
            }
        }
        Math::Matrix(rows) => {
            push(out, r"\begin{bmatrix}");
            for (i, row) in rows.iter().enumerate() {
                if i > 0 {
                    push(out, r"\\");
                }
                for (j, cell) in row.iter().enumerate() {
                    if j > 0 {
                        push(out, "&");
                    }
                    let start = out.len();
                    write(cell, dialect, out);
                    // A bracket after the end of a row would be read as a length.
                    let shift = out.len() - out[start..].trim_start().len();
                    if out[shift..].starts_with('[') {
                        out.insert_str(shift, "{}");
                    }
                }
            }
            push(out, r"\end{bmatrix}");
        }
        Math::Accent(accent, base) => {
            push(
                out,
                match accent {
                    Accent::Hat => r"\hat",
                    Accent::Bar => r"\bar",
                    Accent::Dot => r"\dot",
                    Accent::Tilde => r"\tilde",
                },
            );
            braced(base, out);
        }
        Math::Root(body) => {
            push(out, r"\sqrt");
            braced(body, out);
        }
        Math::Marked(_, body) => write(body, dialect, out),
    }
}

/// Appends a token, with a space if a preceding command would otherwise continue into it.
fn push(out: &mut String, token: &str) {
    let open_command = out
        .rsplit_once('\\')
        .is_some_and(|(_, word)| !word.is_empty() && word.chars().all(char::is_alphabetic));
    if open_command && token.starts_with(char::is_alphanumeric) {
        out.push(' ');
    }
    out.push_str(token);
}

fn ident(name: &str, out: &mut String) {
    if greek(name).is_some() {
        push(out, &format!(r"\{name}"));
    } else if let (Some(letter), 1) = (name.chars().next(), name.chars().count()) {
        match greek_name(letter) {
            Some(name) => push(out, &format!(r"\{name}")),
            None => push(out, name),
        }
    } else {
        push(out, &format!(r"\mathit{{{}}}", escaped(name)));
    }
}

/// The function names with a LaTeX command.
const KNOWN: &[&str] = &["tanh", "exp", "ln", "sin", "cos", "max", "min"];

fn upright(word: &str, dialect: Dialect, out: &mut String) {
    if KNOWN.contains(&word) {
        push(out, &format!(r"\{word}"));
    } else if word.chars().count() == 1 {
        push(out, &format!(r"\mathrm{{{}}}", escaped(word)));
    } else {
        let text = match dialect {
            Dialect::Plain => format!(r"\operatorname{{{}}}", escaped(word)),
            Dialect::GitHub => format!(r"\mathop{{\mathrm{{{}}}}}", escaped(word)),
        };
        push(out, &text);
    }
}

fn escaped(word: &str) -> String {
    word.replace('_', r"\_")
}

fn is_tall(body: &Math) -> bool {
    match body {
        Math::Frac(..) | Math::Big { .. } | Math::Matrix(_) => true,
        Math::Row(parts) => parts.iter().any(is_tall),
        Math::Fence(_, b) | Math::Marked(_, b) | Math::Root(b) => is_tall(b),
        Math::Script { base, .. } => is_tall(base),
        _ => false,
    }
}

const fn latex_fence(fence: Fence, tall: bool) -> (&'static str, &'static str) {
    match (fence, tall) {
        (Fence::Paren, false) => ("(", ")"),
        (Fence::Paren, true) => (r"\left(", r"\right)"),
        (Fence::Bracket, false) => ("[", "]"),
        (Fence::Bracket, true) => (r"\left[", r"\right]"),
        (Fence::Brace, false) => (r"\{", r"\}"),
        (Fence::Brace, true) => (r"\left\{", r"\right\}"),
        (Fence::Angle, false) => (r"\langle ", r"\rangle "),
        (Fence::Angle, true) => (r"\left\langle ", r"\right\rangle "),
        (Fence::Norm, false) => (r"\lVert ", r"\rVert "),
        (Fence::Norm, true) => (r"\left\lVert ", r"\right\rVert "),
        (Fence::Abs, false) => (r"\lvert ", r"\rvert "),
        (Fence::Abs, true) => (r"\left\lvert ", r"\right\rvert "),
        (Fence::Ceil, false) => (r"\lceil ", r"\rceil "),
        (Fence::Ceil, true) => (r"\left\lceil ", r"\right\rceil "),
    }
}

const fn latex_sign(sign: Sign) -> &'static str {
    match sign {
        Sign::Plus => "+",
        Sign::Minus => "-",
        Sign::Hadamard => r"\odot ",
        Sign::Oslash => r"\oslash ",
        Sign::Cdot => r"\cdot ",
        Sign::Equal => "=",
        Sign::Defined => ":=",
        Sign::LessEqual => r"\le ",
        Sign::GreaterEqual => r"\ge ",
        Sign::Less => "<",
        Sign::Greater => ">",
        Sign::NotEqual => r"\ne ",
        Sign::In => r"\in ",
        Sign::Times => r"\times ",
        Sign::Kronecker => r"\otimes ",
        Sign::NotDivides => r"\nmid ",
        Sign::Comma => ",",
        Sign::Semicolon => ";",
        Sign::Slash => "/",
        Sign::Partial => r"\partial ",
        Sign::Differential => r"\mathrm{d}",
        Sign::Top => r"\top ",
        Sign::Dots => r"\cdots ",
        Sign::Infinity => r"\infty ",
        Sign::Implies => r"\Rightarrow ",
        Sign::Equivalent => r"\Leftrightarrow ",
        Sign::To => r"\to ",
        Sign::Nabla => r"\nabla ",
        Sign::Prime => r"\prime ",
        Sign::Reals => r"\mathbb{R}",
        Sign::Thin => r"\,",
        Sign::Space => r"\;",
        Sign::Colon => ":",
    }
}
