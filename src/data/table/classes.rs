//! The numbers of classes in columns of texts or whole numbers.

use std::collections::{BTreeSet, HashMap};

use super::header::Reading;
use super::values::Values;
use crate::data::inputs::Input;
use crate::data::options::ReadOptions;
use crate::error::{counted, printable, quoted};

/// A column of classes.
pub(super) struct Labels<'a, 't> {
    pub(super) input: &'a Input,
    /// The name of the entry of the input, such as `x` or `x[0]`.
    pub(super) entry: &'a str,
    /// The name of the column.
    pub(super) name: &'a str,
    pub(super) reading: Reading,
    pub(super) values: &'a Values<'t>,
}

/// A field of a column of classes.
struct Field<'a> {
    row: usize,
    column: &'a str,
    entry: &'a str,
    text: &'a str,
}

impl<'a> Labels<'a, '_> {
    /// The first field for which `is_found` is true; texts have the order of their first rows.
    fn first(&self, is_found: impl Fn(&str) -> bool) -> Option<Field<'a>> {
        let (place, text) = (self.values.texts().enumerate()).find(|(_, text)| is_found(text))?;
        Some(Field {
            row: self.values.row_of(place),
            column: self.name,
            entry: self.entry,
            text,
        })
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|x| x.is_finite())
}

/// The texts that are known for the classes of an input: its own, or else those of another input with as many
/// classes.
pub(super) fn known<'a>(
    input: &Input,
    inputs: &[Input],
    options: &'a ReadOptions,
    before: &'a indexmap::IndexMap<String, Vec<String>>,
) -> Option<&'a [String]> {
    let is_alike = |name: &str| {
        let mut others = inputs.iter().filter(|other| other.classes.is_some());
        others.any(|other| other.name == name && other.classes == input.classes)
    };
    let like = |all: &'a indexmap::IndexMap<String, Vec<String>>| {
        let mut all = all.iter();
        all.find(|(name, _)| is_alike(name)).map(|(_, texts)| texts)
    };
    let own = options.alphabets.get(&input.name);
    let found = own
        .or_else(|| like(&options.alphabets))
        .or_else(|| like(before));
    found.map(|texts| &**texts)
}

/// The sorted texts of columns with the same classes, or `None` if the fields are the numbers of the classes.
pub(super) fn alphabet(
    columns: &[Labels<'_, '_>],
    lines: &[usize],
) -> Result<Option<Vec<String>>, String> {
    let line = |row: usize| lines.get(row).copied().unwrap_or(0);
    let first = |is_found: &dyn Fn(&str) -> bool| {
        let fields = columns.iter().filter_map(|column| column.first(is_found));
        fields.min_by_key(|field| field.row)
    };
    let is_number = |text: &str| number(text).is_some();
    let text = first(&|text| !is_number(text));
    if columns.iter().all(|c| c.reading != Reading::Numbered) {
        let digits = first(&is_number);
        if let (Some(text), Some(digits)) = (&text, &digits) {
            let (found, before, kind) = match text.row < digits.row {
                true => (digits, text, "a text"),
                false => (text, digits, "a number"),
            };
            return Err(format!(
                "line {}, column `{}`: expected {kind}, as `{}` in line {}, column `{}`, found `{}`; to read all fields as \
                 texts: `ReadOptions::column(\"{}\", \"{}:class\")`",
                line(found.row),
                printable(found.column),
                printable(before.text),
                line(before.row),
                printable(before.column),
                printable(found.text),
                found.entry,
                printable(found.column),
            ));
        }
        if text.is_none() {
            let exact = columns.iter().filter(|column| !column.input.is_masked);
            let fraction = |text: &str| number(text).is_some_and(|x| x.fract() != 0.0);
            let fractions = exact.filter_map(|column| column.first(fraction));
            return match fractions.min_by_key(|field| field.row) {
                None => Ok(None),
                Some(found) => Err(format!(
                    "line {}, column `{}`: expected a class, a whole number from 0 on, found `{}`; to read all fields as \
                     texts: `ReadOptions::column(\"{}\", \"{}:class\")`",
                    line(found.row),
                    printable(found.column),
                    printable(found.text),
                    found.entry,
                    printable(found.column),
                )),
            };
        }
    }
    let texts: BTreeSet<&str> = columns.iter().flat_map(|c| c.values.texts()).collect();
    let mut texts: Vec<&str> = texts.into_iter().collect();
    if text.is_none() {
        let key = |text: &str| number(text).unwrap_or(0.0);
        texts.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }
    let size = columns.first().and_then(|c| c.input.classes);
    if let Some(size) = size.and_then(crate::shape::Dim::as_fixed)
        && size < texts.len()
    {
        let names = columns.iter().map(|c| c.name);
        return Err(format!(
            "columns {} have {}, {}, expected at most {size} for `class({size})`; inputs of other texts need sizes of \
             other names, such as `dim C, D`, and `class(C)` and `class(D)`",
            quoted(names),
            counted(texts.len(), "text"),
            quoted(texts.iter().copied()),
        ));
    }
    Ok(Some(texts.into_iter().map(Into::into).collect()))
}

/// The classes of the rows of a column; a missing one is NaN. A text that the alphabet lacks is refused with its
/// line.
pub(super) fn classes(
    column: &Labels<'_, '_>,
    alphabet: Option<&[String]>,
    lines: &[usize],
) -> Result<Vec<f64>, String> {
    let Some(alphabet) = alphabet else {
        let numbers = column.values.texts().map(number);
        let numbers: Vec<f64> = numbers.map(|x| x.unwrap_or(f64::NAN)).collect();
        return Ok(column.values.at_places(&numbers));
    };
    let known = alphabet.iter().enumerate();
    let known: HashMap<&str, usize> = known.map(|(i, text)| (&**text, i)).collect();
    let mut classes = Vec::new();
    for (place, text) in column.values.texts().enumerate() {
        let Some(class) = known.get(text) else {
            return Err(format!(
                "line {}: `{}`: expected one of the classes {}, found `{}`",
                lines.get(column.values.row_of(place)).unwrap_or(&0),
                printable(column.name),
                quoted(alphabet.iter().map(|text| &**text)),
                printable(text)
            ));
        };
        classes.push(float(*class));
    }
    Ok(column.values.at_places(&classes))
}

/// The number of a class, of which a column of less than 2³² rows has few.
#[expect(
    clippy::cast_precision_loss,
    reason = "a table has far fewer rows than 2^53"
)]
const fn float(class: usize) -> f64 {
    class as f64
}
