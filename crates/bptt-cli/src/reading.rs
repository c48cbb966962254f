//! The options for reading data: columns, missing values, samples, and the signs of numbers.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use bptt::Recurrence;
use bptt::data::{Arrays, Missing, ReadOptions};
use clap::{Args, ValueEnum};

use crate::Failure;

#[derive(Args, Debug)]
pub(crate) struct Reading {
    /// Columns of the inputs, e.g. x=Close or 'x[0]=a,x[1]=b,t=Date:days'; default: the names of the inputs
    #[arg(long, value_name = "INPUT=COLUMN,…", requires = "source")]
    pub(crate) columns: Vec<Columns>,
    /// Rows of a table with missing values in the columns used [default: an error]
    #[arg(long, value_name = "HOW", requires = "source")]
    pub(crate) missing: Option<Rows>,
    /// Column of a table whose different fields are the samples
    #[arg(long, value_name = "COLUMN", requires = "source")]
    pub(crate) id: Option<String>,
    /// Column by which the rows of a table, or of each sample, are sorted
    #[arg(long, value_name = "COLUMN", requires = "source")]
    pub(crate) sort: Option<String>,
    /// Decimal sign of the numbers of a table, such as , [default: .]
    #[arg(long, value_name = "SIGN", value_parser = sign, requires = "source")]
    pub(crate) decimal: Option<char>,
    /// Separator of thousands of the numbers of a table
    #[arg(long, value_name = "SIGN", value_parser = sign, requires = "source")]
    pub(crate) thousands: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// Leave them out
    DropRow,
    /// End the sequence before them and begin another after them
    Split,
    /// Mask these steps
    Mask,
}

/// `x=Close,y='Adj Close'`
#[derive(Clone, Debug)]
pub(crate) struct Columns(pub(crate) Vec<(String, String)>);

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected INPUT=COLUMN, such as x=Close or 'x[0]=Adj Close'".to_owned();
        let mut all = Vec::new();
        let mut rest = text;
        loop {
            let (input, after) = rest.split_once('=').ok_or_else(expected)?;
            let (column, more) = column(after.trim_start())?;
            let (input, column) = (input.trim(), column.trim());
            if input.is_empty() || column.is_empty() {
                return Err(expected());
            }
            all.push((input.into(), column.into()));
            match more.trim_start() {
                "" => return Ok(Self(all)),
                more => rest = more.strip_prefix(',').ok_or_else(expected)?,
            }
        }
    }
}

/// The name of a column at the start of a text, and the text behind it; a name with a comma is in quotation marks.
fn column(text: &str) -> Result<(String, &str), String> {
    for quote in ['\'', '"'] {
        if let Some(inside) = text.strip_prefix(quote) {
            let (name, rest) = inside
                .split_once(quote)
                .ok_or_else(|| format!("the quotation mark {quote} is not closed"))?;
            // The reading of a column is behind its name: 'Last day':days.
            let end = rest.find(',').unwrap_or(rest.len());
            return Ok((format!("{name}{}", &rest[..end]), &rest[end..]));
        }
    }
    let end = text.find(',').unwrap_or(text.len());
    Ok((text[..end].into(), &text[end..]))
}

fn sign(text: &str) -> Result<char, String> {
    let mut signs = text.chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) if !sign.is_alphanumeric() && !matches!(sign, '-' | '+') => Ok(sign),
        _ => Err(format!("expected one sign, such as `,`, found `{text}`")),
    }
}

impl Reading {
    /// The names of the options that are given and concern tables alone.
    fn of_tables(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--missing", self.missing.is_some()),
            ("--id", self.id.is_some()),
            ("--sort", self.sort.is_some()),
            ("--decimal", self.decimal.is_some()),
            ("--thousands", self.thousands.is_some()),
        ];
        given
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name)
    }

    /// The message for options that contradict each other or have no effect.
    pub(crate) fn conflict(&self, files: &[PathBuf]) -> Option<String> {
        let is_table = |file: &PathBuf| {
            let extension = file.extension().map(|e| e.to_ascii_lowercase());
            extension.is_some_and(|e| e == "csv" || e == "tsv")
        };
        if !files.is_empty() && !files.iter().any(is_table) {
            let option = self.of_tables().next()?;
            return Some(format!(
                "{option} has no effect without a table, a .csv or .tsv file; leave it out"
            ));
        }
        let all: Vec<&str> = self
            .columns
            .iter()
            .flat_map(|c| &c.0)
            .map(|(i, _)| &**i)
            .collect();
        let twice = all
            .iter()
            .enumerate()
            .find(|(i, name)| all[..*i].contains(name));
        if let Some((_, name)) = twice {
            return Some(format!("--columns names `{name}` twice; name it once"));
        }
        let decimal = self.decimal.unwrap_or('.');
        if self.thousands == Some(decimal) {
            let other = if decimal == '.' { ',' } else { '.' };
            return Some(format!(
                "--thousands and the decimal sign are the same; give another --decimal, such as --thousands {decimal} \
                 --decimal {other}"
            ));
        }
        None
    }

    /// The choices for reading a file, with the texts of classes that are saved beside the parameters.
    pub(crate) fn options(&self, params: Option<&Path>) -> ReadOptions {
        let mut options = ReadOptions::new();
        // Parameters that cannot be read are refused where they are used.
        if let Some(saved) = params.and_then(|file| Arrays::read(file).ok()) {
            for (input, classes) in saved.saved_alphabets() {
                options = options.alphabet(&input, classes);
            }
        }
        for (input, column) in self.columns.iter().flat_map(|columns| &columns.0) {
            options = options.column(input, column);
        }
        if let Some(rows) = self.missing {
            options = options.missing(match rows {
                Rows::DropRow => Missing::DropRow,
                Rows::Split => Missing::Split,
                Rows::Mask => Missing::Mask,
            });
        }
        if let Some(column) = &self.id {
            options = options.id(column);
        }
        if let Some(column) = &self.sort {
            options = options.sort(column);
        }
        if let Some(sign) = self.decimal {
            options = options.decimal(sign);
        }
        if let Some(sign) = self.thousands {
            options = options.thousands(sign);
        }
        options
    }
}

/// The files of the inputs, and the way to read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) reading: &'a Reading,
    /// The parameters, which may have the texts of classes.
    pub(crate) params: Option<&'a Path>,
    pub(crate) absent: Absent<'a>,
}

/// The treatment of inputs that are in no file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent<'a> {
    Refused,
    /// These start at zero, as unknowns of a fit.
    Zero(&'a [&'a str]),
    /// The outputs that need them are left out, unless they are final states.
    Omitted,
}

impl Source<'_> {
    /// The arrays of the inputs of a recurrence.
    pub(crate) fn read(&self, recurrence: &Recurrence) -> Result<Arrays, Failure> {
        let options = self.reading.options(self.params);
        Ok(options.read_all(recurrence, self.files)?)
    }
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&listed(self.files))
    }
}

/// The names of files in a message.
pub(crate) fn listed(files: &[PathBuf]) -> String {
    let names = files.iter().map(|file| file.display().to_string());
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::Columns;

    #[test]
    fn names_of_columns_may_have_commas_in_quotation_marks() {
        let parse = |text: &str| text.parse::<Columns>().map(|columns| columns.0);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            parse("x=Close, A[0,1] = Adj Close,y='a, b',t='Day':days"),
            Ok(vec![
                pair("x", "Close"),
                pair("A[0,1]", "Adj Close"),
                pair("y", "a, b"),
                pair("t", "Day:days")
            ])
        );
        for wrong in ["", "x", "x=", "=a", "x=a,", "x='a", "x=a,y"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
