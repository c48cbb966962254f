//! The row of names of a table: the columns of each array.

use indexmap::IndexMap;

use super::field::is_digit;
use crate::data::inputs::Input;
use crate::data::options::{Binding, ReadOptions, entry};
use crate::error::{printable, quoted};

/// The reading of the fields of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    Numbers,
    /// Numbers, or texts that are numbered.
    Classes,
    /// Texts that are numbered, even if all of them are numbers.
    Numbered,
    /// Dates, in units of so many seconds.
    Dates(f64),
}

impl Reading {
    pub(super) const fn is_of_classes(self) -> bool {
        matches!(self, Self::Classes | Self::Numbered)
    }
}

/// The words for a reading behind the name of a column.
const READINGS: &[(&str, Reading)] = &[
    ("class", Reading::Numbered),
    ("days", Reading::Dates(super::date::DAY)),
    ("hours", Reading::Dates(3600.0)),
    ("minutes", Reading::Dates(60.0)),
    ("seconds", Reading::Dates(1.0)),
];

/// A column that is used.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The number of the column in the table, from 0.
    pub(super) at: usize,
    pub(super) reading: Reading,
}

/// The columns of an array, in the order of its entries, and the sizes of its own axes.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) sizes: Vec<usize>,
}

impl Group {
    /// The names of the entries in their order: `x`, `x[0]`, `A[0,1]`.
    pub(super) fn entries(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.columns.len()).map(|i| {
            let index = place(i, &self.sizes);
            let index: Vec<String> = index.iter().map(ToString::to_string).collect();
            match self.sizes.is_empty() {
                true => self.name.clone(),
                false => format!("{}[{}]", self.name, index.join(",")),
            }
        })
    }
}

/// Refuses a first row that is not one of names.
pub(super) fn refuse_header(names: &[String], has_title: bool) -> Result<(), String> {
    let is_number = |n: &String| n.contains(is_digit) && n.parse::<f64>().is_ok();
    if names.iter().any(is_number) {
        let cure = match has_title {
            true => {
                "; a line that begins with `#` is a comment: remove the `#` of a row of names; `numpy.savetxt` writes \
                 none with `comments=\"\"`"
            }
            false => "",
        };
        return Err(format!(
            "expected a row of names first, such as `y,x[0],x[1]`, found {}{cure}",
            quoted(names.iter().map(|n| &**n))
        ));
    }
    if names.first().is_some_and(|name| name.starts_with("sep=")) {
        return Err(
            "the first line `sep=…` declares no separator; expected one of `,`, `;`, `|` and tab, or no such line".into(),
        );
    }
    if let [name] = names
        && name.contains([' ', ':'])
    {
        return Err(format!(
            "the row of names `{}` has no `,`, `;`, `|` or tab between the names; in Python \
             `pandas.read_csv(file, sep=None, engine=\"python\").to_csv(file, index=False)`",
            printable(name)
        ));
    }
    match names.iter().all(String::is_empty) {
        true => {
            Err("no column has a name; expected a row of names first, such as `y,x[0],x[1]`".into())
        }
        false => Ok(()),
    }
}

/// The columns of each array, by the names of the columns. A first column without a name is the index that pandas
/// writes, and a later one without entries comes from a separator at the end of each line; both are left out.
pub(super) fn all(names: &[String]) -> Result<Vec<Group>, String> {
    let mut bases: IndexMap<&str, Vec<(Vec<usize>, usize)>> = IndexMap::new();
    for (at, name) in names.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
        let (base, index) = entry(name);
        bases.entry(base).or_default().push((index, at));
    }
    let groups = bases.into_iter().map(|(base, entries)| {
        let entries = entries.into_iter().map(|(index, at)| {
            let reading = Reading::Numbers;
            (index, Column { at, reading })
        });
        group(base, entries.collect(), names)
    });
    groups.collect()
}

/// The columns of the inputs that the table has. The other columns may have any names.
pub(super) fn used(
    names: &[String],
    inputs: &[Input],
    options: &ReadOptions,
    is_only_file: bool,
) -> Result<Vec<(Group, Input)>, String> {
    let mut groups = Vec::new();
    for input in inputs {
        let usual = match input.classes {
            Some(_) => Reading::Classes,
            None => Reading::Numbers,
        };
        let mut entries = Vec::new();
        let mut absent: Option<&Binding> = None;
        let mut is_bound = false;
        for (index, binding) in options.of(&input.name) {
            is_bound = true;
            match bound(names, &binding.column)? {
                Some((at, reading)) => {
                    let reading = reading.unwrap_or(usual);
                    entries.push((index, Column { at, reading }));
                }
                None => absent = Some(binding),
            }
        }
        if let Some(binding) = absent.filter(|_| is_only_file || !entries.is_empty()) {
            return Err(no_column(&binding.column, names));
        }
        if !is_bound {
            let named = names.iter().enumerate().filter_map(|(at, name)| {
                let (base, index) = entry(name);
                let reading = usual;
                (base == input.name).then_some((index, Column { at, reading }))
            });
            entries.extend(named);
        }
        if entries.is_empty() {
            continue;
        }
        let mut group = group(&input.name, entries, names)?;
        // A vector of one entry.
        if is_bound && group.sizes.is_empty() {
            group.sizes = vec![1; input.rank];
        }
        groups.push((group, input.clone()));
    }
    Ok(groups)
}

/// The number of the column of this name.
pub(super) fn find(names: &[String], name: &str) -> Result<Option<usize>, String> {
    let mut found = names.iter().enumerate().filter(|(_, n)| **n == name);
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => Err(twice(name, first, second)),
        (first, _) => Ok(first.map(|(at, _)| at)),
    }
}

/// The error for a column that is not there.
pub(super) fn no_column(name: &str, names: &[String]) -> String {
    let names = names.iter().map(|n| &**n).filter(|n| !n.is_empty());
    format!(
        "there is no column `{}`; the table has: {}",
        printable(name),
        quoted(names)
    )
}

/// The column of a binding, and the reading behind its name, such as `Date:days`.
fn bound(names: &[String], text: &str) -> Result<Option<(usize, Option<Reading>)>, String> {
    if let Some(at) = find(names, text)? {
        return Ok(Some((at, None)));
    }
    let parts = text.rsplit_once(':');
    let word = parts.and_then(|(name, word)| {
        let (_, reading) = READINGS.iter().find(|(w, _)| *w == word.trim())?;
        Some((name.trim(), *reading))
    });
    match word {
        Some((name, reading)) => Ok(find(names, name)?.map(|at| (at, Some(reading)))),
        None => match parts {
            // A misspelt reading of a column that is there.
            Some((name, word)) if find(names, name.trim())?.is_some() => Err(format!(
                "column `{}` cannot be read as `{}`, expected one of {}",
                printable(name),
                printable(word),
                quoted(READINGS.iter().map(|(w, _)| *w))
            )),
            _ => Ok(None),
        },
    }
}

fn twice(name: &str, first: usize, second: usize) -> String {
    format!(
        "columns {} and {} are both named `{}`; rename or remove one of them in the first line",
        first + 1,
        second + 1,
        printable(name)
    )
}

/// The columns of one array, in the order of its entries.
fn group(
    base: &str,
    mut entries: Vec<(Vec<usize>, Column)>,
    names: &[String],
) -> Result<Group, String> {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let Some((first, column)) = entries.first() else {
        return Err(format!("`{}` has no column", printable(base)));
    };
    let (rank, start) = (first.len(), column.at);
    let mut sizes = vec![0; rank];
    for (index, column) in &entries {
        if index.len() != rank {
            return Err(incomplete(base, column.at.max(start), names));
        }
        for (size, i) in sizes.iter_mut().zip(index) {
            *size = (*size).max(i.saturating_add(1));
        }
    }
    for pair in entries.windows(2) {
        let [(first, a), (second, b)] = pair else {
            continue;
        };
        if first == second {
            let (a, b) = (a.at.min(b.at), a.at.max(b.at));
            return Err(match names[a] == names[b] && a != b {
                true => twice(&names[a], a, b),
                false => incomplete(base, b, names),
            });
        }
    }
    let count = sizes
        .iter()
        .try_fold(1_usize, |n, size| n.checked_mul(*size));
    if count != Some(entries.len()) {
        // The first entry that is not in its place.
        let columns = entries.iter().enumerate();
        let mut other = columns.filter(|(i, (index, _))| index != &place(*i, &sizes));
        let at = other.next().map_or(0, |(_, (_, column))| column.at);
        return Err(incomplete(base, at, names));
    }
    Ok(Group {
        name: base.into(),
        columns: entries.into_iter().map(|(_, column)| column).collect(),
        sizes,
    })
}

/// The indices of an entry in the order of rows.
fn place(i: usize, sizes: &[usize]) -> Vec<usize> {
    match sizes {
        [_, columns] => vec![i / columns.max(&1), i % columns.max(&1)],
        _ => vec![i],
    }
}

fn incomplete(base: &str, at: usize, names: &[String]) -> String {
    let base = printable(base);
    format!(
        "column `{}`, number {} of the table: expected `{base}`, or `{base}[0]`, `{base}[1]`, … or `{base}[0,0]`, \
         `{base}[0,1]`, …, all of them and once each; rename or remove a column",
        printable(&names[at]),
        at + 1,
    )
}
