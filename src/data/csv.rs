//! A table in text form: one row for each step of one sequence, one column for each input.

use std::borrow::Cow;

use indexmap::IndexMap;
use ndarray::{ArrayD, Dimension, IxDyn};

use super::file::Format;
use super::{Array, Arrays};
use crate::error::counted;

/// The bytes of memory per byte of a table. A number can be as short as a digit and a comma, and is stored both
/// in a growing column and in its array; a column has a list of its own.
const MEMORY: usize = 24;

pub(super) const FORMAT: Format = Format {
    extension: "csv",
    begins: |_| Ok(()),
    memory: |bytes| bytes.len().checked_mul(MEMORY),
    read,
    write: None,
};

/// Fields that are a missing value, in lower case.
const MISSING: [&str; 3] = ["", "na", "nan"];

/// A column: its numbers, or the reason why its first field that is not one is refused.
type Column = Result<Vec<f64>, String>;

/// Reads a table with the names of the columns in the first row: `y` is a number per step, `[T, 1]`, and
/// `x[0]`, `x[1]`, … are the entries of a vector, `[T, 1, n]`. A column of other fields is refused when it is
/// used.
fn read(bytes: &[u8], _: u64) -> Result<Arrays, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is text in UTF-16, expected UTF-8; save it as `CSV UTF-8`".into());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        format!("is not text: byte {at} is not UTF-8; save it as `CSV UTF-8`")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Rows::new(text);
    let header = rows.next().transpose()?;
    let (_, header) = header.ok_or("is empty, expected a row of names, such as `y,x[0],x[1]`")?;
    let names: Vec<&str> = header.iter().map(|n| &**n).collect();
    refuse_header(&names)?;
    let groups = grouped(&names)?;
    let mut columns: Vec<Column> = vec![Ok(Vec::new()); names.len()];
    let mut steps = 0;
    while let Some((line, fields)) = rows.next().transpose()? {
        if fields.len() != names.len() {
            let (expected, found) = (counted(names.len(), "field"), fields.len());
            let cure = match rows.separator {
                _ if found == names.len() + 1 && fields.last().is_some_and(|f| f.is_empty()) => {
                    "; remove the separator at the end of the line"
                }
                ',' if found > names.len() => {
                    "; a number has a decimal point, as in `1.5`, and a column of row names needs a name"
                }
                _ => "; a missing value is an empty field, or `NA`",
            };
            return Err(format!(
                "line {line}: expected {expected}, found {found}{cure}"
            ));
        }
        for (at, ((column, name), field)) in columns.iter_mut().zip(&names).zip(&fields).enumerate()
        {
            let Ok(numbers) = column else { continue };
            if name.is_empty() && at > 0 && !field.is_empty() {
                return Err(format!(
                    "line {line}: column {} has the field `{field}` and no name; name it in the first line, or \
                     remove it",
                    at + 1
                ));
            }
            match number(field) {
                Ok(number) => numbers.push(number),
                Err(reason) => *column = Err(format!("line {line}: `{name}`: {reason}")),
            }
        }
        steps += 1;
    }
    if steps == 0 {
        return Err(format!(
            "has a row of names and no row of numbers, so no steps (T = 0); expected a row of {} \
             for each step",
            counted(names.len(), "number")
        ));
    }
    let mut arrays = Arrays::new();
    for (name, (is_vector, members)) in groups {
        let numbers: Result<Vec<&Vec<f64>>, &String> =
            members.iter().map(|i| columns[*i].as_ref()).collect();
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(reason) => {
                arrays.insert_read(name, Err(reason.clone()));
                continue;
            }
        };
        let mut shape = vec![steps, 1];
        shape.extend(is_vector.then_some(numbers.len()));
        // The index has no third axis for a number.
        let entry = |i: IxDyn| numbers[i.as_array_view().get(2).copied().unwrap_or(0)][i[0]];
        arrays.insert(name, Array::F64(ArrayD::from_shape_fn(shape, entry)));
    }
    Ok(arrays)
}

/// Refuses a first row that is not one of names.
fn refuse_header(names: &[&str]) -> Result<(), String> {
    let is_number = |n: &str| n.contains(is_digit) && n.parse::<f64>().is_ok();
    if names.iter().any(|n| is_number(n)) {
        return Err(format!(
            "expected a row of names first, such as `y,x[0],x[1]`, found `{}`",
            names.join(",")
        ));
    }
    if names[0].starts_with("sep=") {
        return Err(
            "remove the first line, `sep=…`; the separator is read from the row of names".into(),
        );
    }
    if names[0].starts_with('#') {
        return Err(
            "the first line begins with `#`, expected a row of names: remove the `#`, or a line that is a \
             comment; `numpy.savetxt` writes none with `comments=\"\"`"
                .into(),
        );
    }
    if let [name] = names
        && name.contains([' ', '|', ':'])
    {
        return Err(format!(
            "the row of names `{name}` has no `,`, `;` or tab between the names; in Python \
             `pandas.read_csv(file, sep=None, engine=\"python\").to_csv(file, index=False)`"
        ));
    }
    match names.iter().all(|n| n.is_empty()) {
        true => {
            Err("no column has a name; expected a row of names first, such as `y,x[0],x[1]`".into())
        }
        false => Ok(()),
    }
}

/// The columns of each array, by name: true and several columns for a vector. A first column without a name is
/// the index that pandas writes, and a later one without entries comes from a separator at the end of each line;
/// both are left out.
fn grouped<'n>(names: &[&'n str]) -> Result<IndexMap<&'n str, (bool, Vec<usize>)>, String> {
    let mut groups: IndexMap<&str, (bool, Vec<usize>)> = IndexMap::new();
    for (at, name) in names.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
        if let Some(first) = names[..at].iter().position(|n| n == name) {
            return Err(format!(
                "columns {} and {} are both named `{name}`; rename or remove one of them in the first line",
                first + 1,
                at + 1
            ));
        }
        let parts = name.strip_suffix(']').and_then(|n| n.split_once('['));
        let parts = parts.map(|(base, index)| (base.trim(), index.trim()));
        // Other brackets are part of a name, such as those of a unit.
        let (base, index) = match parts.filter(|(_, i)| !i.is_empty() && i.chars().all(is_digit)) {
            Some((base, index)) => (base, Some(index)),
            None => (*name, None),
        };
        let (is_vector, group) = groups.entry(base).or_default();
        let expected = index.map(|_| group.len().to_string());
        let is_other = !group.is_empty() && *is_vector != index.is_some();
        if index != expected.as_deref() || is_other || (index.is_none() && !group.is_empty()) {
            return Err(format!(
                "column `{name}`, number {} of the table: expected `{base}`, or `{base}[0]`, `{base}[1]`, … in this \
                 order, once each; rename or remove a column",
                at + 1
            ));
        }
        *is_vector = index.is_some();
        group.push(at);
    }
    Ok(groups)
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// The number in a field; a missing value is NaN.
fn number(field: &str) -> Result<f64, String> {
    if MISSING.contains(&&*field.to_lowercase()) {
        return Ok(f64::NAN);
    }
    let has_digit = field.contains(is_digit);
    match field.parse::<f64>() {
        Ok(x) if x.is_infinite() && has_digit => Err(format!(
            "`{field}` is beyond the range of f64, at most 1.8e308; write a smaller number"
        )),
        Ok(x) => Ok(x),
        Err(_) => Err(format!("expected a number, found `{field}`{}", cure(field))),
    }
}

fn cure(field: &str) -> String {
    if field.matches(',').count() == 1 && field.replace(',', ".").parse::<f64>().is_ok() {
        let point = field.replace(',', ".");
        let whole = match field.split_once(',') {
            Some((_, end)) if end.len() == 3 => {
                format!(
                    ", or without a separator of thousands: `{}`",
                    field.replace(',', "")
                )
            }
            _ => String::new(),
        };
        return format!(
            "; with a decimal point: `{point}`{whole}, in Python by \
             `pandas.read_csv(file, sep=None, decimal=\",\").to_csv(file, index=False)`"
        );
    }
    match &*field.to_lowercase() {
        "true" => "; write `1`".into(),
        "false" => "; write `0`".into(),
        _ => "; a missing value is an empty field, or `NA`".into(),
    }
}

/// The rows of a table with their lines, counted from 1. Lines end with `\n`, `\r\n` or `\r`; a field in
/// quotation marks can contain separators and ends of lines, and `""` for a quotation mark.
struct Rows<'t> {
    rest: &'t str,
    line: usize,
    /// The first of `,`, `;` and tab in the row of names.
    separator: char,
    /// The number of rows so far.
    rows: usize,
}

impl<'t> Rows<'t> {
    fn new(text: &'t str) -> Self {
        let header = text.trim_start_matches([' ', '\n', '\r']);
        let (mut quoted, mut separator) = (false, ',');
        for c in header.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' | ';' | '\t' if !quoted => {
                    separator = c;
                    break;
                }
                '\n' | '\r' if !quoted => break,
                _ => {}
            }
        }
        Self {
            rest: text,
            line: 1,
            separator,
            rows: 0,
        }
    }

    /// Skips the end of a line.
    fn end_line(&mut self) {
        let rest = self.rest;
        let after = rest.strip_prefix("\r\n");
        self.rest = after
            .or_else(|| rest.strip_prefix(['\n', '\r']))
            .unwrap_or(rest);
        self.line += 1;
    }

    /// The next field, up to its separator or the end of its line.
    fn field(&mut self) -> Result<Cow<'t, str>, String> {
        let text = self.rest.trim_start_matches(' ');
        let separator = self.separator;
        let is_end = move |c: char| c == separator || matches!(c, '\n' | '\r');
        let Some(mut inside) = text.strip_prefix('"') else {
            let end = text.find(is_end).unwrap_or(text.len());
            self.rest = &text[end..];
            return Ok(text[..end].trim().into());
        };
        let line = self.line;
        let mut field = String::new();
        loop {
            let Some((part, rest)) = inside.split_once('"') else {
                return Err(format!(
                    "line {line}: a quotation mark is not closed; close it, or remove it"
                ));
            };
            let breaks = part.replace("\r\n", "\n").matches(['\n', '\r']).count();
            self.line += breaks;
            field.push_str(part);
            match rest.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    inside = more;
                }
                None => {
                    self.rest = rest.trim_start_matches(' ');
                    break;
                }
            }
        }
        match self.rest.is_empty() || self.rest.starts_with(is_end) {
            true => Ok(field.trim().to_owned().into()),
            false => Err(format!(
                "line {}: expected `{}` or the end of the line after the field `\"{field}\"`; write a \
                 quotation mark inside of a field twice",
                self.line,
                separator.escape_debug()
            )),
        }
    }

    fn row(&mut self) -> Result<(usize, Vec<Cow<'t, str>>), String> {
        let line = self.line;
        let mut fields = vec![self.field()?];
        while let Some(rest) = self.rest.strip_prefix(self.separator) {
            self.rest = rest;
            fields.push(self.field()?);
        }
        self.end_line();
        self.rows += 1;
        Ok((line, fields))
    }
}

impl<'t> Iterator for Rows<'t> {
    type Item = Result<(usize, Vec<Cow<'t, str>>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = self.rest.trim_start_matches(' ');
            if text.trim_start_matches([' ', '\n', '\r']).is_empty() {
                return None;
            }
            if !text.starts_with(['\n', '\r']) {
                return Some(self.row());
            }
            if self.rows > 0 {
                return Some(Err(format!(
                    "line {} is empty, expected a row; remove it, or write `NA` for a missing value",
                    self.line
                )));
            }
            self.rest = text;
            self.end_line();
        }
    }
}
