//! A formula as one line of text, for a terminal.

use super::pres::{Accent, Big, Fence, Math, Sign, greek};

/// The set of characters that a text may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Greek letters, subscripts and operators as on paper.
    #[default]
    Unicode,
    /// The characters of ASCII.
    Ascii,
}

impl Math {
    /// The formula on one line.
    #[must_use]
    pub fn text(&self, charset: Charset) -> String {
        let mut out = String::new();
        write(self, charset, &mut out);
        out.trim().into()
    }
}

/// The width of a text in columns of a terminal: 0 for a mark above a letter, 2 for a Chinese
/// character.
#[must_use]
pub fn text_width(text: &str) -> usize {
    let width = |c: char| match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

fn write(math: &Math, charset: Charset, out: &mut String) {
    let unicode = charset == Charset::Unicode;
    match math {
        Math::Ident(name) => match greek(name) {
            Some(letter) if unicode => out.push(letter),
            _ => out.push_str(name),
        },
        Math::Upright(name) => out.push_str(name),
        Math::Bold(text) => out.push_str(match (unicode, &**text) {
            (true, "1") => "𝟏",
            (true, "I") => "𝐈",
            (true, "e") => "𝐞",
            _ => text,
        }),
        Math::Number(text) => out.push_str(text),
        Math::Sign(sign) => out.push_str(spelled(*sign, unicode)),
        Math::Row(parts) => row(parts, charset, out),
        Math::Script { base, sub, sup } => {
            let simple = matches!(
                **base,
                Math::Ident(_)
                    | Math::Upright(_)
                    | Math::Bold(_)
                    | Math::Fence(..)
                    | Math::Sign(_)
                    | Math::Matrix(_)
                    | Math::Accent(..)
            );
            out.push_str(&if simple {
                base.text(charset)
            } else {
                format!("({})", base.text(charset))
            });
            let mut scripts = [(sup, '^'), (sub, '_')];
            if sup.as_ref().is_some_and(|s| s.is_exponent()) {
                scripts.reverse();
            }
            for (script, mark) in scripts {
                if let Some(script) = script {
                    out.push_str(&scripted(&script.text(charset), mark, unicode));
                }
            }
        }
        Math::Frac(a, b) => {
            let part = |m: &Math| {
                let text = m.text(charset);
                if is_word(m) {
                    text
                } else {
                    format!("({text})")
                }
            };
            out.push_str(&format!("{}/{}", part(a), part(b)));
        }
        Math::Fence(fence, body) => {
            let (open, close) = delimiters(*fence, unicode);
            out.push_str(&format!("{open}{}{close}", body.text(charset)));
        }
        Math::Big { big, from, to } => {
            let sign = match (big, unicode) {
                (Big::Sum, true) => "∑",
                (Big::Sum, false) => "sum",
                (Big::Product, true) => "∏",
                (Big::Product, false) => "prod",
                (Big::HadamardProduct, true) => "⨀",
                (Big::HadamardProduct, false) => "hadprod",
            };
            let (from, to) = (from.text(charset), to.text(charset));
            let range = match to.is_empty() {
                true => from,
                false => format!("{from}..{to}"),
            };
            let range = range.replace(' ', "");
            out.push_str(&format!("{sign}[{range}] "));
        }
        Math::Matrix(rows) => {
            let rows: Vec<String> = rows
                .iter()
                .map(|r| {
                    let cells: Vec<String> = r.iter().map(|c| c.text(charset)).collect();
                    cells.join(", ")
                })
                .collect();
            out.push_str(&format!("[{}]", rows.join("; ")));
        }
        Math::Accent(accent, base) => {
            let base = base.text(charset);
            out.push_str(&match (accent, unicode) {
                (Accent::Hat, true) => format!("{base}\u{302}"),
                (Accent::Bar, true) => format!("{base}\u{304}"),
                (Accent::Dot, true) => format!("{base}\u{307}"),
                (Accent::Tilde, true) => format!("{base}\u{303}"),
                (Accent::Hat, false) => format!("{base}_hat"),
                (Accent::Bar, false) => format!("{base}_bar"),
                (Accent::Dot, false) => format!("{base}_dot"),
                (Accent::Tilde, false) => format!("{base}_tilde"),
            });
        }
        Math::Root(body) => out.push_str(&format!("sqrt({})", body.text(charset))),
        Math::Marked(_, body) => write(body, charset, out),
    }
}

/// Writes a sequence of parts, with a space between two factors.
fn row(parts: &[Math], charset: Charset, out: &mut String) {
    for (i, part) in parts.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| parts.get(i));
        // A differential or a partial starts a factor.
        let opens = is_opening(part) && before.is_some_and(|b| !is_sign(b));
        let sign = !opens && (is_sign(part) || before.is_some_and(is_sign));
        let call = matches!(part, Math::Fence(Fence::Paren, _)) && before.is_some_and(is_function);
        if before.is_some() && !sign && !call && !out.ends_with(' ') {
            out.push(' ');
        }
        // A minus at the start of a formula is a sign, not an operator.
        if *part == Math::Sign(Sign::Minus) && (before.is_none() || out.trim_end().ends_with('=')) {
            out.push_str(if charset == Charset::Unicode {
                "−"
            } else {
                "-"
            });
            continue;
        }
        if *part == Math::Sign(Sign::Thin) && out.ends_with(' ') {
            continue;
        }
        write(part, charset, out);
    }
}

/// Returns true for a differential or a partial, also with scripts.
fn is_opening(math: &Math) -> bool {
    match math {
        Math::Script { base, .. } => is_opening(base),
        math => matches!(math, Math::Sign(Sign::Differential | Sign::Partial)),
    }
}

fn is_sign(math: &Math) -> bool {
    matches!(math, Math::Sign(_)) || is_opening(math)
}

fn is_function(math: &Math) -> bool {
    match math {
        Math::Script {
            base,
            sub: Some(sub),
            ..
        } if matches!(&**sub, Math::Upright(w) if w == "min") => {
            matches!(**base, Math::Ident(_))
        }
        Math::Upright(_) => true,
        Math::Ident(name) => name == "sigma" || name == "ell",
        _ => false,
    }
}

/// Returns true if a part of a fraction needs no parentheses.
fn is_word(math: &Math) -> bool {
    match math {
        Math::Row(parts) => match &parts[..] {
            [first, rest] if is_opening(first) => is_word(rest),
            _ => false,
        },
        Math::Script { base, .. } => is_word(base) || matches!(**base, Math::Sign(Sign::Partial)),
        Math::Ident(_) | Math::Upright(_) | Math::Bold(_) | Math::Number(_) | Math::Fence(..) => {
            true
        }
        Math::Accent(..) => true,
        _ => false,
    }
}

/// A script in small characters, if all of them exist; otherwise after `_` or `^`.
fn scripted(text: &str, mark: char, unicode: bool) -> String {
    let tight: String = text.chars().filter(|c| *c != ' ').collect();
    let small = if mark == '_' { subscript } else { superscript };
    if let (true, Some(small)) = (
        unicode,
        tight.chars().map(small).collect::<Option<String>>(),
    ) {
        return small;
    }
    let word = tight.chars().all(char::is_alphanumeric) && !tight.starts_with(char::is_numeric);
    if tight.chars().count() == 1 || mark == '_' && word {
        format!("{mark}{tight}")
    } else {
        format!("{mark}{{{tight}}}")
    }
}

/// Characters and their forms as subscripts and superscripts.
const BELOW: (&str, &str) = (
    "0123456789+−-aehijklmnoprstuvx",
    "₀₁₂₃₄₅₆₇₈₉₊₋₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ",
);
const ABOVE: (&str, &str) = (
    "0123456789+−-()abcdefghijklmnoprstuvwxyz⊤",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ",
);

fn subscript(c: char) -> Option<char> {
    counterpart(c, BELOW.0, BELOW.1)
}

fn superscript(c: char) -> Option<char> {
    counterpart(c, ABOVE.0, ABOVE.1)
}

fn counterpart(c: char, from: &str, to: &str) -> Option<char> {
    let at = from.chars().position(|f| f == c)?;
    to.chars().nth(at)
}

/// The pieces of a text in ordinary characters: on the line (`None`), as a subscript (`_`) or as a
/// superscript (`^`).
pub(crate) fn scripts(text: &str) -> Vec<(Option<char>, String)> {
    let mut pieces: Vec<(Option<char>, String)> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if matches!(c, '_' | '^')
            && let Some(script) = chars.as_str().strip_prefix('{')
            && let Some((script, rest)) = script.split_once('}')
        {
            pieces.push((Some(c), script.into()));
            chars = rest.chars();
            continue;
        }
        let below = counterpart(c, BELOW.1, BELOW.0).map(|c| (Some('_'), c));
        let above = counterpart(c, ABOVE.1, ABOVE.0).map(|c| (Some('^'), c));
        let (place, c) = below.or(above).unwrap_or((None, c));
        match pieces.last_mut() {
            Some((last, piece)) if *last == place => piece.push(c),
            _ => pieces.push((place, c.into())),
        }
    }
    pieces
}

const fn delimiters(fence: Fence, unicode: bool) -> (&'static str, &'static str) {
    match (fence, unicode) {
        (Fence::Paren, _) => ("(", ")"),
        (Fence::Bracket, _) => ("[", "]"),
        (Fence::Brace, _) => ("{", "}"),
        (Fence::Angle, true) => ("⟨", "⟩"),
        (Fence::Angle, false) => ("<", ">"),
        (Fence::Norm, true) => ("‖", "‖"),
        (Fence::Norm, false) => ("||", "||"),
        (Fence::Abs, _) => ("|", "|"),
        (Fence::Ceil, true) => ("⌈", "⌉"),
        (Fence::Ceil, false) => ("ceil(", ")"),
    }
}

const fn spelled(sign: Sign, unicode: bool) -> &'static str {
    match (sign, unicode) {
        (Sign::Plus, _) => " + ",
        (Sign::Minus, true) => " − ",
        (Sign::Minus, false) => " - ",
        (Sign::Hadamard, true) => " ⊙ ",
        (Sign::Hadamard, false) => " .* ",
        (Sign::Oslash, true) => " ⊘ ",
        (Sign::Oslash, false) => " ./ ",
        (Sign::Cdot, true) => " · ",
        (Sign::Cdot, false) => " * ",
        (Sign::Equal, _) => " = ",
        (Sign::Defined, true) => " ≔ ",
        (Sign::Defined, false) => " := ",
        (Sign::LessEqual, true) => " ≤ ",
        (Sign::LessEqual, false) => " <= ",
        (Sign::GreaterEqual, true) => " ≥ ",
        (Sign::GreaterEqual, false) => " >= ",
        (Sign::Less, _) => " < ",
        (Sign::Greater, _) => " > ",
        (Sign::NotEqual, true) => " ≠ ",
        (Sign::NotEqual, false) => " != ",
        (Sign::In, true) => " ∈ ",
        (Sign::In, false) => " in ",
        (Sign::Times, true) => "×",
        (Sign::Times, false) => "x",
        (Sign::Kronecker, true) => " ⊗ ",
        (Sign::Kronecker, false) => " (x) ",
        (Sign::NotDivides, true) => " ∤ ",
        (Sign::NotDivides, false) => " does not divide ",
        (Sign::Comma, _) => ", ",
        (Sign::Semicolon, _) => "; ",
        (Sign::Slash, _) => "/",
        (Sign::Partial, true) => "∂",
        (Sign::Partial, false) => "d",
        (Sign::Differential, _) => "d",
        (Sign::Top, true) => "⊤",
        (Sign::Top, false) => "T",
        (Sign::Dots, true) => "⋯",
        (Sign::Dots, false) => "...",
        (Sign::Infinity, true) => "∞",
        (Sign::Infinity, false) => "inf",
        (Sign::Implies, true) => " ⇒ ",
        (Sign::Implies, false) => " => ",
        (Sign::Equivalent, true) => " ⇔ ",
        (Sign::Equivalent, false) => " <=> ",
        (Sign::To, true) => " → ",
        (Sign::To, false) => " -> ",
        (Sign::Nabla, true) => "∇",
        (Sign::Nabla, false) => "grad ",
        (Sign::Prime, _) => "'",
        (Sign::Space, _) => "  ",
        (Sign::Reals, true) => "ℝ",
        (Sign::Reals, false) => "R",
        (Sign::Thin, _) => " ",
        (Sign::Colon, _) => ": ",
    }
}
