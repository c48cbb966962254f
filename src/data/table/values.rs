//! The values of a column.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::date;
use super::field::{Signs, is_missing};
use super::header::Reading;
use crate::error::printable;

/// The most rows of names that are told from a column of texts.
const MOST_HEADERS: usize = 8;

/// The values of a column, row by row.
pub(super) enum Values<'t> {
    /// Numbers, or dates in units of so many seconds. A missing value is NaN.
    Numbers {
        unit: Option<f64>,
        numbers: Vec<f64>,
        fault: Option<Fault>,
    },
    /// The places of texts in the order of their first rows; `None` for a missing one.
    Texts {
        texts: IndexMap<Cow<'t, str>, usize>,
        places: Vec<Option<u32>>,
    },
}

/// The first field of a column that is refused.
pub(super) struct Fault {
    reason: String,
    line: usize,
    field: String,
    /// The last line of the rows from the first on without a number, until one has a number.
    names_to: Option<usize>,
    is_name: bool,
    rows: usize,
    /// The column, if its field is a date.
    dates: Option<String>,
}

impl<'t> Values<'t> {
    pub(super) fn new(reading: Reading, rows: usize) -> Self {
        let unit = match reading {
            Reading::Numbers => None,
            Reading::Dates(unit) => Some(unit),
            Reading::Classes | Reading::Numbered => {
                return Self::Texts {
                    texts: IndexMap::new(),
                    places: Vec::with_capacity(rows),
                };
            }
        };
        Self::Numbers {
            unit,
            numbers: Vec::with_capacity(rows),
            fault: None,
        }
    }

    /// Adds the field of a row.
    #[expect(clippy::ptr_arg, reason = "a borrowed field is kept without a copy")]
    pub(super) fn push(&mut self, field: &Cow<'t, str>, line: usize, name: &str, signs: Signs) {
        match self {
            Self::Numbers {
                unit,
                numbers,
                fault,
            } => {
                // Behind a field that is refused, only further rows of names are of interest.
                if let Some(fault) = fault {
                    fault.see(field, line, signs);
                    return;
                }
                let found = match unit {
                    None => signs.number(field),
                    Some(unit) => in_units(field, *unit),
                };
                match found {
                    Ok(number) => numbers.push(number),
                    Err(reason) => {
                        let is_date = unit.is_none() && date::seconds(field).is_some();
                        let reason = match is_date {
                            true => format!("expected a number, found `{}`", printable(field)),
                            false => reason,
                        };
                        *fault = Some(Fault {
                            reason: format!("line {line}: `{}`: {reason}", printable(name)),
                            line,
                            field: field.clone().into_owned(),
                            names_to: None,
                            is_name: numbers.is_empty() && unit.is_none(),
                            rows: 0,
                            dates: is_date.then(|| name.to_owned()),
                        });
                    }
                }
            }
            Self::Texts { texts, places } => {
                // A full stop and a question mark are signs of a text.
                let place = match is_missing(field) && !matches!(&**field, "." | "?") {
                    true => None,
                    false => {
                        let next = texts.len();
                        let place = match texts.get(field) {
                            Some(place) => *place,
                            None => *texts.entry(field.clone()).or_insert(next),
                        };
                        u32::try_from(place).ok()
                    }
                };
                places.push(place);
            }
        }
    }

    /// The numbers of a column of this entry of an input, or the reason why it is refused.
    pub(super) fn numbers(self, entry: &str) -> Result<Vec<f64>, String> {
        match self {
            Self::Numbers {
                numbers,
                fault: None,
                ..
            } => Ok(numbers),
            Self::Numbers {
                fault: Some(fault), ..
            } => Err(fault.told(entry)),
            Self::Texts { .. } => Ok(Vec::new()),
        }
    }

    /// The different texts, in the order of their first rows.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::Texts { texts, .. } => Some(texts),
            Self::Numbers { .. } => None,
        };
        texts.into_iter().flat_map(|t| t.keys().map(|text| &**text))
    }

    /// The first row of the text at a place.
    pub(super) fn row_of(&self, place: usize) -> usize {
        let Self::Texts { places, .. } = self else {
            return 0;
        };
        let is_this = |p: &Option<u32>| p.is_some_and(|p| p as usize == place);
        places.iter().position(is_this).unwrap_or(0)
    }

    /// The numbers of the texts, row by row; a missing one is NaN.
    pub(super) fn at_places(&self, numbers: &[f64]) -> Vec<f64> {
        let Self::Texts { places, .. } = self else {
            return Vec::new();
        };
        let number = |place: &Option<u32>| place.map_or(f64::NAN, |place| numbers[place as usize]);
        places.iter().map(number).collect()
    }
}

/// A date in units of so many seconds; a missing value is NaN.
fn in_units(field: &str, unit: f64) -> Result<f64, String> {
    match date::seconds(field) {
        Some(seconds) => Ok(seconds / unit),
        None if is_missing(field) => Ok(f64::NAN),
        None => Err(format!(
            "expected a date, found `{}`; write it as `2024-01-31`, `31.01.2024` or `2024-01-31T12:30`",
            printable(field)
        )),
    }
}

impl Fault {
    /// Looks for the end of several rows of names.
    fn see(&mut self, field: &str, line: usize, signs: Signs) {
        if !self.is_name || self.names_to.is_some() {
            return;
        }
        self.rows += 1;
        match signs.number(field) {
            Ok(x) if !x.is_nan() => self.names_to = Some(line - 1),
            _ if self.rows >= MOST_HEADERS => self.is_name = false,
            _ => {}
        }
    }

    fn told(mut self, entry: &str) -> String {
        if let Some(column) = &self.dates {
            self.reason += &format!(
                "; to read dates as numbers: `ReadOptions::column(\"{}\", \"{}:days\")`",
                printable(entry),
                printable(column)
            );
        }
        match self.names_to {
            Some(last) if last > self.line => format!(
                "lines {} to {last} have no numbers, as further rows of names, such as `{}`; expected one row of \
                 names: remove lines {} to {last}",
                self.line,
                printable(&self.field),
                self.line
            ),
            // A single field may be misspelt.
            Some(line) => format!(
                "{}; if line {line} is a further row of names, remove it",
                self.reason
            ),
            None => self.reason,
        }
    }
}
