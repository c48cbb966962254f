//! A table in text form: one row for each step, one column for each entry of an input.

mod classes;
mod date;
mod field;
mod header;
mod rows;
mod sequences;
mod text;
mod values;

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use ndarray::ArrayD;

use self::classes::Labels;
use self::field::Signs;
use self::header::{Column, Group};
use self::rows::{Rows, SEPARATORS};
use self::sequences::{Key, Part, Table};
use self::values::Values;
use super::file::{Format, Request};
use super::inputs::Input;
use super::{Array, Arrays};
use crate::error::{counted, printable};

/// The bytes of memory per field of a table: a number, in its column and in its array.
const PER_FIELD: usize = 16;
/// The bytes of memory per byte of a table that is not UTF-8.
const PER_BYTE: usize = 3;

pub(super) const FORMAT: Format = Format {
    extensions: &["csv", "tsv"],
    begins: |_| Ok(()),
    memory,
    read,
    write: None,
};

/// The most memory that the file, its text and its arrays need.
fn memory(bytes: &[u8]) -> Option<usize> {
    let text = match text::is_widened(bytes) {
        true => bytes.len().checked_mul(PER_BYTE)?,
        false => 0,
    };
    let fields = fields(bytes).checked_mul(PER_FIELD)?;
    bytes.len().checked_add(text)?.checked_add(fields)
}

/// The most fields that a text can have.
fn fields(bytes: &[u8]) -> usize {
    let ends = |byte: &&u8| SEPARATORS.contains(byte) || matches!(byte, b'\n' | b'\r');
    bytes.iter().filter(ends).count() + 1
}

/// Reads a table with the names of the columns in the first row: `y` is a number per step, `[T, 1]`, and
/// `x[0]`, `x[1]`, … are the entries of a vector, `[T, 1, n]`. A column of other fields is refused when it is
/// used.
fn read(bytes: &[u8], request: &Request<'_>) -> Result<Arrays, String> {
    let (text, note) = text::decode(bytes)?;
    let mut rows = Rows::new(&text);
    let mut fields = Vec::new();
    if rows.next(&mut fields)?.is_none() {
        return Err("is empty, expected a row of names, such as `y,x[0],x[1]`".into());
    }
    let names: Vec<String> = fields.iter().map(|n| n.clone().into_owned()).collect();
    header::refuse_header(&names, rows.has_title)?;
    if let Some(line) = request.line {
        rows.line = line;
    }
    let (groups, inputs): (Vec<Group>, Option<Vec<Input>>) = match request.inputs {
        None => (header::all(&names)?, None),
        Some(inputs) => {
            let used = header::used(&names, inputs, request.options, request.is_only_file)?;
            let (groups, inputs) = used.into_iter().unzip();
            (groups, Some(inputs))
        }
    };
    let is_per_step = (inputs.as_ref()).is_none_or(|all| all.iter().any(|i| !i.is_per_sample));
    let fields_in_all = self::fields(text.as_bytes());
    let mut body = Body::new(&groups, &names, request, (fields_in_all, is_per_step))?;
    while let Some(line) = rows.next(&mut fields)? {
        if fields.len() != names.len() {
            return Err(other_length(line, names.len(), &fields, rows.separator));
        }
        if inputs.is_none()
            && let Some(at) =
                (1..names.len()).find(|i| names[*i].is_empty() && !fields[*i].is_empty())
        {
            return Err(format!(
                "line {line}: column {} has the field `{}` and no name; name it in the first line, or remove it",
                at + 1,
                printable(&fields[at])
            ));
        }
        body.push(line, &mut fields);
    }
    if body.lines.is_empty() {
        return Err(format!(
            "has a row of names and no row of numbers, so no steps (T = 0); expected a row of {} for each step",
            counted(names.len(), "number")
        ));
    }
    let mut arrays = match inputs {
        None => body.whole(groups)?,
        Some(inputs) => {
            let taken = body.taken();
            let mut arrays = body.selected(groups, inputs, request)?;
            let unused = names.iter().enumerate();
            let unused = unused.filter(|(at, name)| !taken.contains(at) && !name.is_empty());
            arrays.unused.extend(unused.map(|(_, name)| name.clone()));
            arrays
        }
    };
    arrays.notes.extend(note);
    let (comments, first) = rows.comments;
    if comments > 0 {
        let skipped = counted(comments, "comment");
        arrays.notes.push(format!(
            "omitted {skipped}, lines that begin with `#`, the first at line {first}"
        ));
    }
    Ok(arrays)
}

/// Reads one row of a table whose rows come one after the other.
pub(super) fn read_row(header: &str, row: &str, request: &Request<'_>) -> Result<Arrays, String> {
    // The names decide about the separator, and not the row.
    let separator = char::from(Rows::new(header).separator);
    let text = match header.starts_with("sep=") {
        true => format!("{header}\n{row}\n"),
        false => format!("sep={separator}\n{header}\n{row}\n"),
    };
    read(text.as_bytes(), request)
}

/// The error for a row with another number of fields than the row of names.
fn other_length(line: usize, names: usize, fields: &[Cow<'_, str>], separator: u8) -> String {
    let (expected, found) = (counted(names, "field"), fields.len());
    let cure = match separator {
        _ if found == names + 1 && fields.last().is_some_and(|f| f.is_empty()) => {
            "; remove the separator at the end of the line"
        }
        b',' if found > names => {
            "; a number has a decimal point, as in `1.5`, a text with commas is in quotation marks, and a column of row \
             names needs a name"
        }
        _ => "; a missing value is an empty field, or `NA`",
    };
    format!("line {line}: expected {expected}, found {found}{cure}")
}

/// The column with the names of the samples.
struct Ids<'t> {
    at: usize,
    known: HashMap<Cow<'t, str>, usize>,
    /// The sample of each row.
    samples: Vec<usize>,
}

/// The columns that are read.
struct Body<'t> {
    columns: Vec<(Column, String, Values<'t>)>,
    signs: Signs,
    /// The line of each row.
    lines: Vec<usize>,
    id: Option<Ids<'t>>,
    sort: Option<(usize, Vec<Cow<'t, str>>)>,
    id_missing: Option<String>,
}

impl Ids<'_> {
    /// The names of the samples, in the order of their first rows.
    fn names(&self) -> Vec<&str> {
        let mut names = vec![""; self.known.len()];
        for (name, at) in &self.known {
            names[*at] = name;
        }
        names
    }
}

impl<'t> Body<'t> {
    fn new(
        groups: &[Group],
        names: &[String],
        request: &Request<'_>,
        (fields, is_per_step): (usize, bool),
    ) -> Result<Self, String> {
        let options = request.options;
        // A table with a row for each sample, beside one of steps, has no order.
        let is_beside = !request.is_only_file && !is_per_step;
        let find = |name: &Option<String>, is_optional: bool| match name {
            None => Ok(None),
            Some(name) => match header::find(names, name)? {
                None if is_optional => Ok(None),
                None => Err(header::no_column(name, names)),
                at => Ok(at),
            },
        };
        // A guess that is too low costs time, and one that is too high no memory, since it is not touched.
        let rows = fields / names.len() + 1;
        let columns = groups.iter().flat_map(|group| &group.columns);
        let columns = columns.map(|column| {
            let values = Values::new(column.reading, rows);
            (column.clone(), names[column.at].clone(), values)
        });
        Ok(Self {
            columns: columns.collect(),
            signs: Signs {
                decimal: options.decimal,
                thousands: options.thousands,
            },
            lines: Vec::with_capacity(rows),
            id: find(&options.id, false)?.map(|at| Ids {
                at,
                known: HashMap::new(),
                samples: Vec::new(),
            }),
            sort: find(&options.sort, is_beside)?.map(|at| (at, Vec::new())),
            id_missing: None,
        })
    }

    /// Adds the fields of a row.
    fn push(&mut self, line: usize, fields: &mut [Cow<'t, str>]) {
        for (column, name, values) in &mut self.columns {
            values.push(&fields[column.at], line, name, self.signs);
        }
        if let Some(Ids { at, known, samples }) = &mut self.id {
            let next = known.len();
            if field::is_missing(&fields[*at]) && self.id_missing.is_none() {
                self.id_missing = Some(format!("line {line}: the name of the sample is missing"));
            }
            let id = known.get(&fields[*at]).copied().unwrap_or_else(|| {
                known.insert(fields[*at].clone(), next);
                next
            });
            samples.push(id);
        }
        if let Some((at, keys)) = &mut self.sort {
            if field::is_missing(&fields[*at]) && self.id_missing.is_none() {
                self.id_missing = Some(format!("line {line}: the place in the order is missing"));
            }
            keys.push(fields[*at].clone());
        }
        self.lines.push(line);
    }

    /// The numbers of the columns that are used.
    fn taken(&self) -> Vec<usize> {
        let own = self.columns.iter().map(|(column, ..)| column.at);
        let id = self.id.as_ref().map(|id| id.at);
        let sort = self.sort.as_ref().map(|(at, _)| *at);
        own.chain(id).chain(sort).collect()
    }

    /// All columns, as one sequence.
    fn whole(self, groups: Vec<Group>) -> Result<Arrays, String> {
        let steps = self.lines.len();
        let mut columns = self.columns.into_iter();
        let mut arrays = Arrays::new();
        for group in groups {
            let own = columns.by_ref().take(group.columns.len());
            let own: Vec<Result<Vec<f64>, String>> = own
                .zip(group.entries())
                .map(|((_, _, values), entry)| values.numbers(&entry))
                .collect();
            let own: Result<Vec<Vec<f64>>, String> = own.into_iter().collect();
            let array = own.and_then(|own| {
                let mut shape = vec![steps, 1];
                shape.extend(&group.sizes);
                array(&shape, sequences::interleaved(own))
            });
            arrays.insert_read(&group.name, array);
        }
        Ok(arrays)
    }

    /// The columns of the inputs, as samples.
    fn selected(
        self,
        groups: Vec<Group>,
        inputs: Vec<Input>,
        request: &Request<'_>,
    ) -> Result<Arrays, String> {
        if let Some(reason) = self.id_missing {
            return Err(format!("{reason}; fill the field in, or remove the line"));
        }
        let (options, lines, signs) = (request.options, self.lines, self.signs);
        let (alphabets, mut read) = classes_of(&self.columns, &groups, &inputs, &lines, request);
        let mut refused = Vec::new();
        let mut parts = Vec::new();
        let mut columns = self.columns.into_iter().enumerate();
        for (group, input) in groups.into_iter().zip(inputs) {
            let own: Vec<(usize, (Column, String, Values<'t>))> =
                columns.by_ref().take(group.columns.len()).collect();
            let labels = own.iter().map(|(_, (_, label, _))| label.clone());
            let labels = labels.collect();
            let mut numbers = Vec::new();
            let mut reason = None;
            for ((at, (_, _, values)), entry) in own.into_iter().zip(group.entries()) {
                let read = read.remove(&at);
                let read = read.unwrap_or_else(|| values.numbers(&entry));
                match read {
                    Ok(read) => numbers.push(read),
                    Err(why) => reason = reason.or(Some(why)),
                }
            }
            match reason {
                Some(reason) => refused.push((group.name, reason)),
                None => parts.push(Part {
                    input,
                    sizes: group.sizes,
                    columns: numbers,
                    labels,
                }),
            }
        }
        let table = Table {
            parts,
            ids: self.id.as_ref().map(|id| &*id.samples),
            names: self.id.as_ref().map_or_else(Vec::new, Ids::names),
            wanted: request.samples,
            keys: self.sort.map(|(_, keys)| Key::of(keys, signs)),
            lines: &lines,
            missing: options.missing,
            own_mask: request
                .inputs
                .and_then(|all| all.iter().find(|i| i.is_mask)),
            id_name: options.id.as_deref(),
        };
        let mut arrays = table.arrays()?;
        for (name, reason) in refused {
            arrays.insert_read(&name, Err(reason));
        }
        arrays.alphabets.extend(alphabets);
        Ok(arrays)
    }
}

type Alphabets = Vec<(String, Vec<String>)>;
type Classes = HashMap<usize, Result<Vec<f64>, String>>;

/// The texts of the classes of each input, and the classes of each column of them, by its number. The columns with as
/// many classes have one numbering.
fn classes_of(
    columns: &[(Column, String, Values<'_>)],
    groups: &[Group],
    inputs: &[Input],
    lines: &[usize],
    request: &Request<'_>,
) -> (Alphabets, Classes) {
    let entries = groups.iter().zip(inputs);
    let entries = entries.flat_map(|(group, input)| group.entries().map(move |e| (input, e)));
    let entries: Vec<(&Input, String)> = entries.collect();
    let all = columns.iter().zip(&entries).enumerate();
    let all = all.filter(|(_, ((column, ..), _))| column.reading.is_of_classes());
    let mut sets: IndexMap<_, Vec<(usize, Labels<'_, '_>)>> = IndexMap::new();
    for (at, ((column, name, values), (input, entry))) in all {
        let given = request
            .inputs
            .and_then(|inputs| classes::known(input, inputs, request.options, request.alphabets));
        let labels = Labels {
            input,
            entry,
            name,
            reading: column.reading,
            values,
        };
        // The texts of real numbers, which `:class` numbers, are no classes of other inputs.
        let alone = input.classes.is_none().then_some(&*input.name);
        let set = sets.entry((input.classes, alone, given)).or_default();
        set.push((at, labels));
    }
    let (mut alphabets, mut read) = (Vec::new(), HashMap::new());
    for ((_, _, given), set) in sets {
        let (at, set): (Vec<usize>, Vec<Labels<'_, '_>>) = set.into_iter().unzip();
        let alphabet = match given {
            Some(given) => Ok(Some(given.to_vec())),
            None => classes::alphabet(&set, lines),
        };
        for (at, column) in at.into_iter().zip(&set) {
            let own = alphabet.clone();
            let own = own.and_then(|own| classes::classes(column, own.as_deref(), lines));
            read.insert(at, own);
            if let Ok(Some(alphabet)) = &alphabet {
                alphabets.push((column.input.name.clone(), alphabet.clone()));
            }
        }
    }
    (alphabets, read)
}

/// An array of numbers in the order of rows.
fn array(shape: &[usize], numbers: Vec<f64>) -> Result<Array, String> {
    let array = ArrayD::from_shape_vec(shape, numbers);
    array
        .map(Array::F64)
        .map_err(|_| format!("has shape {shape:?}, which is too large"))
}
