//! Splits a source into tokens, written in ASCII or in mathematical symbols.

use super::diagnostic::{Diagnostic, Reports, Span};
use super::habits::{OPERATORS_ELSEWHERE, SIGNS_ELSEWHERE};
use super::looks::{ascii_of, code_point, is_accent, spelling};
use super::token::Token;
use crate::error::{LONGEST_NAME, is_hidden};

fn starts_name(c: char) -> bool {
    (c.is_alphabetic() && c != 'ᵀ') || c == '_'
}

fn continues_name(c: char) -> bool {
    (c.is_alphanumeric() && c != 'ᵀ' && !is_superscript(c)) || c == '_'
}

/// Superscripts are powers, not parts of a name.
const fn is_superscript(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '⁺' | '⁻')
}

/// Returns true if the text is a name in the language.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(starts_name)
        && name_len(text) == text.len()
        && text.chars().nth(LONGEST_NAME).is_none()
}

/// The length in bytes of the name at the start of a text. Derivatives have names of several parts, such as
/// `W.dot`; `W.T` is a transpose.
fn name_len(text: &str) -> usize {
    let part = |text: &str| text.find(|c| !continues_name(c)).unwrap_or(text.len());
    let mut len = part(text);
    while let Some(rest) = text[len..].strip_prefix('.')
        && rest.starts_with(starts_name)
        && &rest[..part(rest)] != "T"
    {
        len += 1 + part(rest);
    }
    len
}

/// The tokens with their positions; the last is `End`. Unknown characters are reported.
pub(super) fn tokens<'s>(source: &'s str, reports: &Reports) -> Vec<(Token<'s>, Span)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let (token, len) = match c {
            '\n' => (Some(Token::Newline), 1),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            // Some editors begin a file with a byte order mark.
            '\u{feff}' if at == 0 => (None, c.len_utf8()),
            c if c.is_whitespace() => (None, c.len_utf8()),
            c if starts_name(c) => {
                let len = name_len(rest);
                if rest[..len].chars().nth(LONGEST_NAME).is_some() {
                    let text = format!("a name has at most {LONGEST_NAME} characters");
                    reports.push(Diagnostic::at(Span::new(at, at + len), text));
                }
                (Some(Token::Name(&rest[..len])), len)
            }
            _ if foreign(rest).is_some() => {
                let (sign, token, help) = foreign(rest).copied().unwrap_or_default();
                let text = format!("`{sign}` is not part of the language");
                let span = Span::new(at, at + sign.len());
                reports.push(Diagnostic::at(span, text).help(help));
                (token, foreign_len(rest, sign))
            }
            c if c.is_ascii_digit() || (c == '.' && followed_by_digit(rest)) => {
                let len = number_len(rest);
                let (text, span) = (&rest[..len], Span::new(at, at + len));
                let whole = text.chars().all(|c| c.is_ascii_digit());
                (Some(Token::Number(number(text, span, reports), whole)), len)
            }
            _ => match sign(rest) {
                Some((token, len)) => (Some(token), len),
                None => {
                    let known = SIGNS_ELSEWHERE
                        .iter()
                        .find(|(sign, _)| rest.starts_with(sign));
                    let len = known.map_or(c.len_utf8(), |(sign, _)| sign.len());
                    let shown = match unseen(c) {
                        true => format!("the character {}", code_point(c)),
                        false => format!("`{}`", &rest[..len]),
                    };
                    let text = format!("{shown} is not part of the language");
                    let unknown = Diagnostic::at(Span::new(at, at + len), text);
                    let ascii = ascii_of(c);
                    let help = match (known, ascii) {
                        (Some((_, help)), _) => Some((*help).to_owned()),
                        (None, Some(ascii)) => {
                            Some(format!("it is a full-width sign: write `{ascii}`"))
                        }
                        _ if is_superscript(c) => Some("a power is written `x^4`".into()),
                        _ if is_accent(c) => source[..at]
                            .chars()
                            .next_back()
                            .map(|before| spelling(before, c)),
                        _ if unseen(c) => Some("delete it".into()),
                        _ => None,
                    };
                    reports.push(match help {
                        Some(help) => unknown.help(help),
                        None => unknown,
                    });
                    let meant = ascii.unwrap_or(c);
                    let token = match meant {
                        ';' => Some(Token::Newline),
                        _ => sign(meant.encode_utf8(&mut [0; 4])).map(|(token, _)| token),
                    };
                    (Some(token.unwrap_or(Token::Unknown)), len)
                }
            },
        };
        if let Some(token) = token {
            found.push((token, Span::new(at, at + len)));
        }
        at += len;
    }
    found.push((Token::End, Span::new(source.len(), source.len())));
    found
}

/// Returns true for characters that are shown by their code point; an accent would be drawn over the character
/// before it.
fn unseen(c: char) -> bool {
    is_hidden(c) || (!c.is_ascii() && c.escape_debug().len() > 1)
}

/// The operator of another language at the start of a text.
fn foreign(rest: &str) -> Option<&'static (&'static str, Option<Token<'static>>, &'static str)> {
    OPERATORS_ELSEWHERE
        .iter()
        .find(|(sign, ..)| rest.starts_with(sign))
}

/// The length in bytes of a foreign operator, or of the comment or text that it begins.
fn foreign_len(rest: &str, sign: &str) -> usize {
    let after = &rest[sign.len()..];
    let until = |end: &str| {
        after
            .find(end)
            .map_or(rest.len(), |i| sign.len() + i + end.len())
    };
    match sign {
        "//" | "--" => rest.find('\n').unwrap_or(rest.len()),
        "/*" => until("*/"),
        "\"\"\"" => until(sign),
        _ => sign.len(),
    }
}

fn sign(rest: &str) -> Option<(Token<'static>, usize)> {
    const SIGNS: &[(&str, Token<'static>)] = &[
        ("<=", Token::LessEq),
        (">=", Token::GreaterEq),
        ("==", Token::TwoEquals),
        ("!=", Token::Differs),
        ("≠", Token::Differs),
        ("+", Token::Plus),
        ("-", Token::Minus),
        ("−", Token::Minus),
        ("*", Token::Star),
        ("⊙", Token::Star),
        ("/", Token::Slash),
        ("@", Token::At),
        ("·", Token::At),
        ("⋅", Token::At),
        ("^", Token::Caret),
        ("<", Token::Less),
        ("≤", Token::LessEq),
        (">", Token::Greater),
        ("≥", Token::GreaterEq),
        ("=", Token::Equals),
        ("(", Token::Open),
        (")", Token::Close),
        ("[", Token::OpenBracket),
        ("]", Token::CloseBracket),
        (",", Token::Comma),
        (":", Token::Colon),
        ("~", Token::Tilde),
        ("'", Token::Prime),
        ("′", Token::Prime),
        ("ᵀ", Token::Transpose),
        ("²", Token::Superscript(2.0)),
        ("³", Token::Superscript(3.0)),
    ];
    if let Some(after) = rest.strip_prefix(".T") {
        return (!after.starts_with(continues_name)).then_some((Token::Transpose, 2));
    }
    let (text, token) = SIGNS.iter().find(|(text, _)| rest.starts_with(text))?;
    Some((*token, text.len()))
}

fn followed_by_digit(rest: &str) -> bool {
    rest[1..].starts_with(|c: char| c.is_ascii_digit())
}

/// The length in bytes of the number at the start of a text, malformed or not.
fn number_len(rest: &str) -> usize {
    let mut previous = ' ';
    let end = rest.char_indices().find(|(_, c)| {
        let part = (continues_name(*c) || *c == '.')
            || (matches!(c, '+' | '-') && matches!(previous, 'e' | 'E'));
        previous = *c;
        !part
    });
    let len = end.map_or(rest.len(), |(i, _)| i);
    // The number in `2.T` is `2`.
    rest[..len].strip_suffix(".T").map_or(len, str::len)
}

fn number(text: &str, span: Span, reports: &Reports) -> f64 {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    match text.parse::<f64>() {
        Ok(0.0) if plain && mantissa.contains(|c: char| matches!(c, '1'..='9')) => {
            let text = format!("the number `{text}` is too small, and would be 0");
            reports.push(Diagnostic::at(span, text));
            1.0
        }
        Ok(n) if plain && n.is_finite() => n,
        Ok(_) if plain => {
            let text = format!("the number `{text}` is too large");
            reports.push(Diagnostic::at(span, text));
            1.0
        }
        _ => {
            let digits = text.trim_end_matches(|c| continues_name(c) && !c.is_ascii_digit());
            let help = match digits.parse::<f64>() {
                Ok(_) if digits != text && !matches!(&text[digits.len()..], "e" | "E") => {
                    format!(
                        "a product is written `{digits} * {}`",
                        &text[digits.len()..]
                    )
                }
                _ => "numbers are written `3`, `0.5` or `1.5e-3`, names start with a letter".into(),
            };
            let text = format!("`{text}` is not a number");
            reports.push(Diagnostic::at(span, text).help(help));
            1.0
        }
    }
}
