//! The rows of a table, split into fields.

use std::borrow::Cow;

/// The separators of fields.
pub(super) const SEPARATORS: [u8; 4] = *b",;\t|";

/// The rows of a table with their lines, counted from 1. Lines end with `\n`, `\r\n` or `\r`; a field in
/// quotation marks can contain separators and ends of lines, and `""` for a quotation mark. Empty lines and lines
/// that begin with `#` are no rows.
pub(super) struct Rows<'t> {
    text: &'t str,
    /// The offset of the next line.
    at: usize,
    pub(super) line: usize,
    pub(super) separator: u8,
    /// The fields of the row of names; 0 before it.
    columns: usize,
    /// The number of comments below the row of names, and the line of the first.
    pub(super) comments: (usize, usize),
    /// True if a comment is above the row of names.
    pub(super) has_title: bool,
}

impl<'t> Rows<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let declared = declared(text);
        let (at, line) = declared.map_or((0, 1), |(_, at)| (at, 2));
        let separator = declared.map_or_else(|| separator(text), |(sign, _)| sign);
        Self {
            text,
            at,
            line,
            separator,
            columns: 0,
            comments: (0, 0),
            has_title: false,
        }
    }

    /// Reads the fields of the next row, and returns its line.
    pub(super) fn next(&mut self, fields: &mut Vec<Cow<'t, str>>) -> Result<Option<usize>, String> {
        fields.clear();
        if !self.skip()? {
            return Ok(None);
        }
        let line = self.line;
        loop {
            let field = self.field()?;
            fields.push(field);
            match self.text.as_bytes().get(self.at) {
                Some(sign) if *sign == self.separator => self.at += 1,
                _ => break,
            }
        }
        self.end_line();
        if self.columns == 0 {
            self.columns = fields.len();
        }
        Ok(Some(line))
    }

    /// Moves to the next row; false at the end of the text.
    fn skip(&mut self) -> Result<bool, String> {
        let bytes = self.text.as_bytes();
        let mut empty = None;
        loop {
            let start = self.at + spaces(&bytes[self.at..]);
            match bytes.get(start) {
                None => return Ok(false),
                Some(b'\n' | b'\r') => {
                    empty = empty.or(Some(self.line));
                    self.at = start;
                    self.end_line();
                }
                Some(b'#') => {
                    match self.columns {
                        0 => self.has_title = true,
                        _ if self.comments.0 == 0 => self.comments = (1, self.line),
                        _ => self.comments.0 += 1,
                    }
                    let rest = &bytes[start..];
                    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
                    self.at = start + end.unwrap_or(rest.len());
                    self.end_line();
                }
                Some(_) => break,
            }
        }
        match empty {
            // Its only field could be a missing value.
            Some(line) if self.columns == 1 => Err(format!(
                "line {line} is empty, expected a row; remove it, or write `NA` for a missing value"
            )),
            _ => Ok(true),
        }
    }

    /// Skips the end of a line.
    fn end_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        self.line += 1;
    }

    /// The next field, up to its separator or the end of its line.
    fn field(&mut self) -> Result<Cow<'t, str>, String> {
        let (text, separator) = (self.text, self.separator);
        let bytes = text.as_bytes();
        let is_end = |byte: u8| byte == separator || matches!(byte, b'\n' | b'\r');
        let start = self.at + spaces(&bytes[self.at..]);
        if bytes.get(start) != Some(&b'"') {
            let length = bytes[start..].iter().position(|byte| is_end(*byte));
            self.at = length.map_or(bytes.len(), |length| start + length);
            return Ok(text[start..self.at].trim().into());
        }
        let line = self.line;
        let mut inside = start + 1;
        let mut field: Cow<'t, str> = "".into();
        loop {
            let Some(length) = text[inside..].find('"') else {
                return Err(format!(
                    "line {line}: a quotation mark is not closed; close it, or remove it"
                ));
            };
            let part = &text[inside..inside + length];
            self.line += ends(part);
            match field.is_empty() {
                true => field = part.into(),
                false => field.to_mut().push_str(part),
            }
            inside += length + 1;
            if bytes.get(inside) != Some(&b'"') {
                break;
            }
            field.to_mut().push('"');
            inside += 1;
        }
        self.at = inside + spaces(&bytes[inside..]);
        match bytes.get(self.at) {
            Some(byte) if !is_end(*byte) => Err(format!(
                "line {}: expected `{}` or the end of the line after the field `\"{}\"`; write a quotation mark \
                 inside of a field twice",
                self.line,
                char::from(separator).escape_debug(),
                crate::error::printable(&field)
            )),
            _ => Ok(match field {
                Cow::Borrowed(field) => field.trim().into(),
                Cow::Owned(field) => field.trim().to_owned().into(),
            }),
        }
    }
}

fn spaces(bytes: &[u8]) -> usize {
    let length = bytes.iter().position(|byte| *byte != b' ');
    length.unwrap_or(bytes.len())
}

/// The ends of lines in a text.
fn ends(text: &str) -> usize {
    let (ends, pairs) = (text.matches(['\n', '\r']), text.matches("\r\n"));
    ends.count() - pairs.count()
}

/// The separator that the first line `sep=;` of a spreadsheet declares, and the offset of the next line.
fn declared(text: &str) -> Option<(u8, usize)> {
    let rest = text.strip_prefix("sep=")?.as_bytes();
    let sign = *rest.first()?;
    let end = match rest.get(1..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\r' | b'\n', ..]) => 1,
        _ => return None,
    };
    SEPARATORS
        .contains(&sign)
        .then_some((sign, "sep=".len() + 1 + end))
}

/// The separator: the most frequent one in the row of names that is as frequent in the first row below, or else the
/// first in the row of names.
fn separator(text: &str) -> u8 {
    let mut counts = [[0_usize; SEPARATORS.len()]; 2];
    let mut order: Vec<usize> = Vec::new();
    let mut rest = text.as_bytes();
    for row in &mut counts {
        loop {
            let blank = rest.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r'));
            rest = &rest[blank.unwrap_or(rest.len())..];
            if rest.first() != Some(&b'#') {
                break;
            }
            let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
            rest = &rest[end.unwrap_or(rest.len())..];
        }
        let mut quoted = false;
        let mut length = rest.len();
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' | b'\r' if !quoted => {
                    length = at;
                    break;
                }
                byte if !quoted => {
                    if let Some(which) = SEPARATORS.iter().position(|s| s == byte) {
                        row[which] += 1;
                        if !order.contains(&which) {
                            order.push(which);
                        }
                    }
                }
                _ => {}
            }
        }
        rest = &rest[length..];
    }
    let [names, fields] = counts;
    order.retain(|which| names[*which] > 0);
    let equal = order
        .iter()
        .filter(|which| names[**which] == fields[**which]);
    // The first of the most frequent ones.
    let most = equal.rev().max_by_key(|which| names[**which]);
    let which = most.or(order.first());
    which.map_or(b',', |which| SEPARATORS[*which])
}
