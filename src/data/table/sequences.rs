//! Rows as samples: missing values, samples by name, order, and the arrays of the inputs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use ndarray::Array1;

use super::field::Signs;
use super::{array, date};
use crate::data::inputs::{Input, LENGTHS};
use crate::data::options::Missing;
use crate::data::{Array, Arrays, MASK};
use crate::error::{counted, number, printable};
use crate::limit::memory_limit;

/// The columns of an input, in the order of its entries.
pub(super) struct Part {
    pub(super) input: Input,
    /// The sizes of its own axes.
    pub(super) sizes: Vec<usize>,
    pub(super) columns: Vec<Vec<f64>>,
    /// The names of the columns.
    pub(super) labels: Vec<String>,
}

/// The keys of the rows in their order.
pub(super) enum Key<'t> {
    Numbers(Vec<f64>),
    Texts(Vec<Cow<'t, str>>),
}

impl<'t> Key<'t> {
    /// Numbers or dates, if all of the fields are.
    pub(super) fn of(fields: Vec<Cow<'t, str>>, signs: Signs) -> Self {
        let numbers = fields.iter().map(|field| signs.number(field).ok());
        let numbers: Option<Vec<f64>> = numbers.collect();
        let dates = || fields.iter().map(|field| date::seconds(field)).collect();
        match numbers.or_else(dates) {
            Some(numbers) => Self::Numbers(numbers),
            None => Self::Texts(fields),
        }
    }
}

/// The columns that are used, with the sample of each row.
pub(super) struct Table<'a> {
    pub(super) parts: Vec<Part>,
    pub(super) ids: Option<&'a [usize]>,
    /// The names of the samples.
    pub(super) names: Vec<&'a str>,
    /// The names of the samples of a table that was read before, in its order; none without one.
    pub(super) wanted: &'a [String],
    pub(super) keys: Option<Key<'a>>,
    pub(super) lines: &'a [usize],
    pub(super) missing: Missing,
    /// A mask of the recurrence, whether or not the table has it.
    pub(super) own_mask: Option<&'a Input>,
    pub(super) id_name: Option<&'a str>,
}

/// Rows, and the place in them where each sequence begins.
struct Sequences {
    rows: Vec<usize>,
    starts: Vec<usize>,
}

impl Sequences {
    fn each(&self) -> impl Iterator<Item = &[usize]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.rows.len()]);
        let spans = self.starts.iter().zip(ends);
        spans.map(|(start, end)| &self.rows[*start..end])
    }
}

impl Table<'_> {
    /// The arrays of the inputs.
    pub(super) fn arrays(mut self) -> Result<Arrays, String> {
        let mut arrays = Arrays::new();
        let gaps = self.gaps()?;
        let sequences = self.sequences(&gaps, &mut arrays);
        let sequences = self.as_before(sequences, &mut arrays.notes)?;
        let id = |rows: &[usize]| self.ids.map(|ids| self.names[ids[rows[0]]].to_owned());
        arrays.samples = sequences.each().filter_map(id).collect();
        if sequences.rows.is_empty() {
            return Err(format!(
                "every row has a missing value in a column that is used{}",
                self.first_gap(&gaps)
                    .map_or(String::new(), |(line, label)| format!(
                        ", such as line {line}, column `{label}`"
                    ))
            ));
        }
        let lengths: Vec<usize> = sequences.each().map(<[usize]>::len).collect();
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let samples = lengths.len();
        let entries: usize = self.parts.iter().map(|part| part.columns.len()).sum();
        let bytes = steps.checked_mul(samples);
        let bytes = bytes.and_then(|n| n.checked_mul(8 * entries.max(1)));
        if bytes.is_none_or(|bytes| bytes > memory_limit()) {
            return Err(format!(
                "{samples} samples of up to {steps} steps are too large for the memory, as all of them have the length of \
                 the longest; read fewer samples, or of more equal lengths"
            ));
        }
        let is_in_order = samples == 1
            && sequences.rows.len() == self.lines.len()
            && sequences.rows.iter().enumerate().all(|(i, row)| i == *row);
        if self.missing == Missing::Mask && gaps.iter().any(|gap| *gap) {
            self.mask(&gaps);
        }
        for part in std::mem::take(&mut self.parts) {
            let name = part.input.name.clone();
            let found = match part.input.is_per_sample {
                true => self.per_sample(part, &sequences)?,
                false => {
                    let mut shape = vec![steps, samples];
                    shape.extend(&part.sizes);
                    let numbers = match is_in_order && part.columns.len() == 1 {
                        true => interleaved(part.columns),
                        false => padded(&part.columns, &sequences, steps, samples),
                    };
                    array(&shape, numbers)?
                }
            };
            arrays.insert(&name, found);
        }
        if lengths.iter().any(|length| *length != steps) {
            let length = |length: &usize| i64::try_from(*length).unwrap_or(i64::MAX);
            let lengths: Array1<i64> = lengths.iter().map(length).collect();
            arrays.insert(LENGTHS, Array::Int(lengths.into_dyn()));
        }
        Ok(arrays)
    }

    /// Marks the rows with a missing value that counts.
    fn gaps(&self) -> Result<Vec<bool>, String> {
        let mut gaps = vec![false; self.lines.len()];
        let masks = || self.parts.iter().filter(|part| part.input.is_mask);
        let excluded = |row: usize| masks().any(|mask| mask.columns[0].get(row) == Some(&0.0));
        let mut first: Option<(usize, &str)> = None;
        for part in &self.parts {
            for (column, label) in part.columns.iter().zip(&part.labels) {
                for (row, number) in column.iter().enumerate() {
                    if !number.is_nan() || part.input.is_masked && excluded(row) {
                        continue;
                    }
                    if self.missing == Missing::Mask && part.input.is_per_sample {
                        return Err(format!(
                            "line {}, column `{}`: expected a value, since a mask excludes steps and no inputs per \
                             sample, found a missing one",
                            self.lines[row],
                            printable(label)
                        ));
                    }
                    gaps[row] = true;
                    if first.is_none_or(|(found, _)| row < found) {
                        first = Some((row, label));
                    }
                }
            }
        }
        match first {
            Some((row, label)) if self.missing == Missing::Refuse => {
                let rows = gaps.iter().filter(|gap| **gap).count();
                let more = match rows {
                    1 => String::new(),
                    n => format!(", the first of {n} rows with one"),
                };
                Err(format!(
                    "line {}, column `{}`: expected a value, found a missing one{more}; to drop such rows, split the \
                     sequence or mask the step, choose `ReadOptions::missing`",
                    self.lines[row],
                    printable(label)
                ))
            }
            _ => Ok(gaps),
        }
    }

    /// The line and the column of the first missing value.
    fn first_gap(&self, gaps: &[bool]) -> Option<(usize, String)> {
        let row = gaps.iter().position(|gap| *gap)?;
        let labels = self
            .parts
            .iter()
            .flat_map(|p| p.columns.iter().zip(&p.labels));
        let mut missing = labels.filter(|(column, _)| column.get(row).is_some_and(|x| x.is_nan()));
        let (_, label) = missing.next()?;
        Some((self.lines[row], printable(label).into_owned()))
    }

    /// The rows of each sample, in order, without those that are dropped.
    fn sequences(&self, gaps: &[bool], arrays: &mut Arrays) -> Sequences {
        let notes = &mut arrays.notes;
        let mut rows: Vec<usize> = (0..self.lines.len()).collect();
        let id = |row: usize| self.ids.map_or(0, |ids| ids[row]);
        match &self.keys {
            None if self.ids.is_some() => rows.sort_by_key(|row| id(*row)),
            None => {}
            Some(Key::Numbers(keys)) => rows.sort_by(|a, b| {
                let by_key = || keys[*a].total_cmp(&keys[*b]);
                id(*a).cmp(&id(*b)).then_with(by_key)
            }),
            Some(Key::Texts(keys)) => rows.sort_by(|a, b| {
                let by_key = || keys[*a].cmp(&keys[*b]);
                id(*a).cmp(&id(*b)).then_with(by_key)
            }),
        }
        let is_dropped =
            |row: usize| gaps[row] && matches!(self.missing, Missing::DropRow | Missing::Split);
        let mut found = Sequences {
            rows: Vec::with_capacity(rows.len()),
            starts: Vec::new(),
        };
        let mut before: Option<usize> = None;
        let mut is_broken = true;
        let mut dropped = (0, usize::MAX);
        for row in rows {
            if before.is_some_and(|before| id(before) != id(row)) {
                is_broken = true;
            }
            before = Some(row);
            if is_dropped(row) {
                dropped = (dropped.0 + 1, dropped.1.min(self.lines[row]));
                is_broken |= self.missing == Missing::Split;
                continue;
            }
            if is_broken {
                found.starts.push(found.rows.len());
                is_broken = false;
            }
            found.rows.push(row);
        }
        let (count, first) = dropped;
        if count > 0 {
            arrays.dropped = Some(first);
            let told = counted(count, "row");
            let samples = match self.missing {
                Missing::Split => {
                    format!(", which leaves {}", counted(found.starts.len(), "sequence"))
                }
                _ => String::new(),
            };
            notes.push(format!(
                "omitted {told} with missing values, the first at line {first}{samples}"
            ));
        }
        if self.missing == Missing::Mask {
            let masked = gaps.iter().filter(|gap| **gap).count();
            if masked > 0 {
                let told = counted(masked, "step");
                notes.push(format!("masked {told} with missing values"));
            }
        }
        found
    }

    /// The samples in the order of a table that was read before.
    fn as_before(&self, found: Sequences, notes: &mut Vec<String>) -> Result<Sequences, String> {
        let (Some(ids), false) = (self.ids, self.wanted.is_empty()) else {
            return Ok(found);
        };
        let mut own: HashMap<&str, &[usize]> = HashMap::new();
        for rows in found.each() {
            let name = self.names[ids[rows[0]]];
            if own.insert(name, rows).is_some() {
                return Err(format!(
                    "the sample `{}` has a missing value that splits it, and another table has the same samples; fill the \
                     value in, or read one table",
                    printable(name)
                ));
            }
        }
        let mut ordered = Sequences {
            rows: Vec::with_capacity(found.rows.len()),
            starts: Vec::with_capacity(self.wanted.len()),
        };
        let mut used = HashSet::new();
        for name in self.wanted {
            let Some(rows) = own.get(&**name) else {
                return Err(format!(
                    "there is no row of the sample `{}`, which a table before this one has; add the row, or remove the \
                     sample from the other table",
                    printable(name)
                ));
            };
            used.insert(&**name);
            ordered.starts.push(ordered.rows.len());
            ordered.rows.extend(*rows);
        }
        if let Some(first) = self.names.iter().find(|name| !used.contains(*name)) {
            let more = own.len().saturating_sub(used.len());
            notes.push(format!(
                "omitted {}, which no table before this one has, such as `{}`",
                counted(more, "sample"),
                printable(first)
            ));
        }
        Ok(ordered)
    }

    /// Gives the rows with missing values a mask of 0, and zeros in their places.
    fn mask(&mut self, gaps: &[bool]) {
        let is_own = self.parts.iter().any(|part| part.input.is_mask);
        if !is_own {
            let input = Input {
                name: self.own_mask.map_or(MASK, |mask| &*mask.name).into(),
                is_per_sample: false,
                classes: None,
                rank: 0,
                is_mask: true,
                is_masked: false,
            };
            self.parts.push(Part {
                input,
                sizes: Vec::new(),
                columns: vec![vec![1.0; gaps.len()]],
                labels: vec![MASK.into()],
            });
        }
        for part in &mut self.parts {
            let is_mask = part.input.is_mask;
            for column in &mut part.columns {
                for (number, gap) in column.iter_mut().zip(gaps) {
                    if *gap && (is_mask || number.is_nan()) {
                        *number = 0.0;
                    }
                }
            }
        }
    }

    /// The values of an input per sample, which are the same in all rows of a sample.
    fn per_sample(&self, part: Part, sequences: &Sequences) -> Result<Array, String> {
        let mut shape = vec![sequences.starts.len()];
        shape.extend(&part.sizes);
        let mut numbers = Vec::with_capacity(sequences.starts.len() * part.columns.len());
        for rows in sequences.each() {
            for (column, label) in part.columns.iter().zip(&part.labels) {
                let value = column[rows[0]];
                if let Some(other) = rows.iter().find(|row| column[**row] != value) {
                    let sample = match self.id_name {
                        Some(id) => format!("within one `{}`", printable(id)),
                        None => "in all rows, since the table is one sample".into(),
                    };
                    return Err(format!(
                        "line {}, column `{}`: expected {} as in line {}, found {}: `{}` is an input per sample, and has one \
                         value {sample}",
                        self.lines[*other],
                        printable(label),
                        number(value),
                        self.lines[rows[0]],
                        number(column[*other]),
                        part.input.name
                    ));
                }
                numbers.push(value);
            }
        }
        array(&shape, numbers)
    }
}

/// The numbers of some columns, row by row. One column is not copied.
pub(super) fn interleaved(mut columns: Vec<Vec<f64>>) -> Vec<f64> {
    if columns.len() == 1 {
        let mut column = columns.pop().unwrap_or_default();
        column.shrink_to_fit();
        return column;
    }
    let rows = columns.first().map_or(0, Vec::len);
    let mut all = Vec::with_capacity(rows * columns.len());
    for row in 0..rows {
        all.extend(columns.iter().map(|column| column[row]));
    }
    all
}

/// The numbers of some columns by step, sample and entry, with zeros behind the ends of sequences.
fn padded(columns: &[Vec<f64>], sequences: &Sequences, steps: usize, samples: usize) -> Vec<f64> {
    let entries = columns.len();
    let mut all = vec![0.0; steps * samples * entries];
    for (sample, rows) in sequences.each().enumerate() {
        for (step, row) in rows.iter().enumerate() {
            let start = (step * samples + sample) * entries;
            for (number, column) in all[start..start + entries].iter_mut().zip(columns) {
                *number = column[*row];
            }
        }
    }
    all
}
