//! The values of a column.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::date;
use super::field::{Signs, is_missing};
use super::header::Reading;
use crate::error::{printable, quoted};

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
}

type Classes = (Vec<f64>, Option<Vec<String>>);

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
                        *fault = Some(Fault {
                            reason: format!("line {line}: `{}`: {reason}", printable(name)),
                            line,
                            field: field.clone().into_owned(),
                            names_to: None,
                            is_name: numbers.is_empty() && unit.is_none(),
                            rows: 0,
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

    /// The numbers of a column, or the reason why it is refused.
    pub(super) fn numbers(self) -> Result<Vec<f64>, String> {
        match self {
            Self::Numbers {
                numbers,
                fault: None,
                ..
            } => Ok(numbers),
            Self::Numbers {
                fault: Some(fault), ..
            } => Err(fault.told()),
            Self::Texts { .. } => Ok(Vec::new()),
        }
    }

    /// The classes of a column, and the texts that they stand for, unless all of them are numbers. A text that a
    /// given alphabet lacks is refused, with its row.
    pub(super) fn classes(
        self,
        alphabet: Option<&[String]>,
        is_numbered: bool,
    ) -> Result<Classes, (usize, String)> {
        let Self::Texts { texts, places } = self else {
            return Ok((Vec::new(), None));
        };
        let number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
        let numbers: Option<Vec<f64>> = texts.keys().map(|text| number(text)).collect();
        let (classes, alphabet): Classes = match (alphabet, numbers) {
            (Some(alphabet), _) => {
                let known: IndexMap<&str, usize> = alphabet
                    .iter()
                    .enumerate()
                    .map(|(i, text)| (&**text, i))
                    .collect();
                let mut classes = Vec::with_capacity(texts.len());
                for (text, place) in &texts {
                    let Some(class) = known.get(&**text) else {
                        let is_this = |p: &Option<u32>| p.is_some_and(|p| p as usize == *place);
                        let row = places.iter().position(is_this).unwrap_or(0);
                        let known = quoted(known.keys().copied());
                        let reason = format!(
                            "expected one of the classes {known}, found `{}`",
                            printable(text)
                        );
                        return Err((row, reason));
                    };
                    classes.push(float(*class));
                }
                (classes, Some(alphabet.to_vec()))
            }
            (None, Some(numbers)) if !is_numbered => (numbers, None),
            (None, numbers) => {
                let mut order: Vec<usize> = (0..texts.len()).collect();
                match numbers {
                    Some(numbers) => order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b])),
                    None => order.sort_by(|a, b| texts.get_index(*a).cmp(&texts.get_index(*b))),
                }
                let mut classes = vec![0.0; order.len()];
                for (class, place) in order.iter().enumerate() {
                    classes[*place] = float(class);
                }
                let text = |place: &usize| Some(texts.get_index(*place)?.0.clone().into_owned());
                let alphabet = order.iter().filter_map(text).collect();
                (classes, Some(alphabet))
            }
        };
        let class = |place: &Option<u32>| place.map_or(f64::NAN, |place| classes[place as usize]);
        Ok((places.iter().map(class).collect(), alphabet))
    }
}

/// The number of a class, of which a column of less than 2³² rows has few.
#[expect(
    clippy::cast_precision_loss,
    reason = "a table has far fewer rows than 2^53"
)]
const fn float(class: usize) -> f64 {
    class as f64
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

    fn told(self) -> String {
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
