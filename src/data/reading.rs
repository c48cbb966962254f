//! Reads files for a recurrence.

use std::path::Path;

use indexmap::IndexMap;

use super::file::{Format, Request, read, refuse};
use super::inputs::{self, Input, LENGTHS};
use super::options::{ReadOptions, entry};
use super::{Array, Arrays, EXPANDED, FORMATS};
use crate::error::{Error, Result, printable, quoted};
use crate::limit::memory_limit;
use crate::recurrence::Recurrence;

/// The bytes that a compressed file may expand to.
pub(super) fn expanded() -> u64 {
    EXPANDED.min(memory_limit() as u64)
}

/// The arrays of one file.
pub(super) fn file(
    path: &Path,
    inputs: Option<&[Input]>,
    options: &ReadOptions,
    (is_only_file, before): (bool, &Arrays),
    limit: u64,
) -> Result<Arrays> {
    let format = Format::of(path, FORMATS)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    let request = Request {
        limit,
        stem: &stem.unwrap_or_default(),
        inputs,
        options,
        samples: &before.samples,
        alphabets: &before.alphabets,
        is_only_file,
        line: None,
    };
    let found = (format.read)(&read(path, format)?, &request);
    found.map_err(|reason| refuse(path, reason))
}

/// The files with inputs per step, whose rows belong together.
#[derive(Default)]
struct Steps<'p> {
    files: Vec<&'p Path>,
    /// The first file from which rows are left out, and the line of the first.
    dropped: Option<(&'p Path, usize)>,
    /// The first table with names of samples, and the number of steps of each.
    lengths: Option<(&'p Path, Vec<f64>)>,
}

/// Refuses the texts of classes of which another table before has the numbers.
fn refuse_texts_beside_numbers(
    path: &Path,
    found: &Arrays,
    inputs: &[Input],
    numbers: &mut Vec<(Input, String)>,
) -> Result<()> {
    for input in inputs.iter().filter(|i| i.classes.is_some()) {
        let is_text = found.alphabet(&input.name).is_some();
        let mut alike = numbers.iter().filter(|(i, _)| i.classes == input.classes);
        match alike.next().filter(|_| is_text) {
            Some((other, file)) => {
                return Err(refuse(
                    path,
                    format!(
                        "has texts for the classes `{}`, and `{file}` whole numbers for `{}`, an input of the same classes;                          expected texts in both, or whole numbers in both",
                        input.name, other.name
                    ),
                ));
            }
            None if !is_text && found.get(&input.name).is_some() => {
                numbers.push((input.clone(), path.display().to_string()));
            }
            None => {}
        }
    }
    Ok(())
}

impl<'p> Steps<'p> {
    /// Refuses a file whose steps cannot be those of the files before it.
    fn see(&mut self, path: &'p Path, found: &Arrays, inputs: &[Input]) -> Result<()> {
        let per_step = |input: &&Input| !input.is_per_sample && found.has(&input.name);
        let Some(input) = inputs.iter().find(per_step) else {
            return Ok(());
        };
        self.files.push(path);
        let dropped = found.dropped.map(|line| (path, line));
        self.dropped = self.dropped.or(dropped);
        if let Some((dropped, line)) = self.dropped
            && let Some(other) = self.files.iter().find(|file| **file != dropped)
        {
            return Err(refuse(
                dropped,
                format!(
                    "line {line} has a missing value, and without its row the next ones are paired with other rows of `{}`;                      join the tables into one, fill the value in, or choose `Missing::Mask`",
                    other.display()
                ),
            ));
        }
        let steps = found.get(&input.name).map(Array::shape);
        let Some(steps) = steps.and_then(|shape| shape.first()) else {
            return Ok(());
        };
        if found.samples.is_empty() {
            return Ok(());
        }
        let own: Vec<f64> = match found.get(LENGTHS) {
            Some(lengths) => lengths.real::<f64>().into_iter().collect(),
            None => vec![f64::from(u32::try_from(*steps).unwrap_or(u32::MAX)); found.samples.len()],
        };
        let Some((first, lengths)) = &self.lengths else {
            self.lengths = Some((path, own));
            return Ok(());
        };
        let mut pairs = found.samples.iter().zip(own.iter().zip(lengths));
        match pairs.find(|(_, (own, before))| own != before) {
            Some((sample, (own, before))) => Err(refuse(
                path,
                format!(
                    "the sample `{}` has {own} steps, and {before} in `{}`; give it a row for each step in both, with                      empty fields for missing values (`ReadOptions::missing`)",
                    printable(sample),
                    first.display()
                ),
            )),
            None => Ok(()),
        }
    }
}

/// True for the name of a file of a table, the only ones with rows and columns.
pub(super) fn is_table(path: &Path) -> bool {
    Format::of(path, FORMATS).is_ok_and(|format| format.extensions.contains(&"csv"))
}

impl ReadOptions {
    /// Reads the inputs of a recurrence from a `.npz`, `.npy`, `.safetensors`, `.csv` or `.tsv` file. Other arrays and
    /// columns are not parsed.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged; when a column that is named in the options is not there; when a
    /// value is missing that is not allowed to be; when a compressed file would expand to more than [`EXPANDED`]
    /// bytes. An input that is not in the file is no error here.
    pub fn read(&self, recurrence: &Recurrence, path: impl AsRef<Path>) -> Result<Arrays> {
        self.read_all(recurrence, &[path])
    }

    /// Reads the inputs of a recurrence from one row of a table, for rows that come one after the other. `header` is the row of names,
    /// both without the ends of lines; `line` is the number of the row for messages. Texts of classes must be
    /// [given](Self::alphabet), since one row does not have all of them.
    ///
    /// ```
    /// use bptt::{Recurrence, data::ReadOptions};
    /// let sum = Recurrence::parse("sum.rec", "input x[2]\nstate s\ns' = s + sum(x)\noutput s'\n")?;
    /// let row = ReadOptions::new().read_row(&sum, "x[1];x[0]", "0.5;2", 7)?;
    /// assert_eq!(row.batch::<f64>(&sum)?.get("x"), Some(&ndarray::array![[[2.0, 0.5]]].into_dyn()));
    /// let row = ReadOptions::new().read_row(&sum, "x[1];x[0]", "a;2", 7)?;
    /// let refused = row.batch::<f64>(&sum).unwrap_err();
    /// assert!(refused.to_string().contains("line 7"), "{refused}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`read`](Self::read); a field that is no number is an error where its array is used. Texts without their classes are
    /// refused.
    pub fn read_row(
        &self,
        recurrence: &Recurrence,
        header: &str,
        row: &str,
        line: usize,
    ) -> Result<Arrays> {
        let refuse = |reason: String| Error::Array { reason };
        let inputs = inputs::of(recurrence);
        self.check_targets(&inputs)?;
        let request = Request {
            limit: expanded(),
            stem: "",
            inputs: Some(&inputs),
            options: self,
            samples: &[],
            alphabets: &IndexMap::new(),
            is_only_file: true,
            line: Some(line),
        };
        let found = super::table::read_row(header, row, &request).map_err(refuse)?;
        let is_given = |input: &str| self.alphabets.contains_key(input);
        match found.alphabets.keys().find(|input| !is_given(input)) {
            None => Ok(found),
            Some(input) => Err(refuse(format!(
                "line {line}: `{input}` is a text, and one row does not number all texts; expected the number of a class, \
                 or the texts of all classes (`ReadOptions::alphabet`)"
            ))),
        }
    }

    /// As [`read`](Self::read), of several files, each of which has some of the inputs.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and when two files have the same input.
    pub fn read_all(&self, recurrence: &Recurrence, paths: &[impl AsRef<Path>]) -> Result<Arrays> {
        let inputs = inputs::of(recurrence);
        self.check_targets(&inputs)?;
        let is_only = paths.len() == 1;
        let mut all = Arrays::new();
        let mut steps = Steps::default();
        let mut numbers = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let path = path.as_ref();
            let mut found = file(path, Some(&inputs), self, (is_only, &all), expanded())?;
            if !is_table(path) {
                self.rename(&mut found)
                    .map_err(|reason| refuse(path, reason))?;
            }
            steps.see(path, &found, &inputs)?;
            if is_table(path) {
                refuse_texts_beside_numbers(path, &found, &inputs, &mut numbers)?;
            }
            let names: Vec<String> = found
                .arrays
                .keys()
                .chain(found.refused.keys())
                .cloned()
                .collect();
            for name in names {
                let is_same = name == LENGTHS && all.get(LENGTHS) == found.get(LENGTHS);
                if all.has(&name) && !is_same {
                    let others = paths[..at].iter().map(|p| p.as_ref().to_string_lossy());
                    let others: Vec<_> = others.collect();
                    return Err(refuse(
                        path,
                        format!(
                            "has `{name}`, as one of the files before it ({}) has; remove it from one of them",
                            quoted(others.iter().map(|o| &**o))
                        ),
                    ));
                }
            }
            all.arrays.extend(found.arrays);
            all.refused.extend(found.refused);
            all.unused.extend(found.unused);
            all.notes.extend(found.notes);
            all.alphabets.extend(found.alphabets);
            if all.samples.is_empty() {
                all.samples = found.samples;
            }
        }
        let absent = self.bindings.iter().find(|binding| {
            let (input, _) = entry(&binding.target);
            !all.has(input)
        });
        match (absent, paths.first()) {
            (Some(binding), Some(path)) => {
                let reason = format!(
                    "there is no column or array `{}`, which is to be `{}`; expected one of {}",
                    binding.column,
                    binding.target,
                    quoted(all.unused())
                );
                Err(refuse(path.as_ref(), reason))
            }
            _ => Ok(all),
        }
    }

    /// Refuses names that are no inputs, or are given twice.
    fn check_targets(&self, inputs: &[Input]) -> Result<()> {
        for (at, binding) in self.bindings.iter().enumerate() {
            let (name, _) = entry(&binding.target);
            if !inputs.iter().any(|input| input.name == name) {
                return Err(Error::UnknownName {
                    what: "input",
                    name: name.into(),
                    known: inputs.iter().map(|input| input.name.clone()).collect(),
                });
            }
            if self.bindings[..at]
                .iter()
                .any(|b| b.target == binding.target)
            {
                return Err(Error::Array {
                    reason: format!("`{}` is given two columns; give it one", binding.target),
                });
            }
        }
        Ok(())
    }

    /// Gives arrays the names of the inputs that they are bound to.
    fn rename(&self, found: &mut Arrays) -> Result<(), String> {
        let mut renamed = Vec::new();
        for binding in &self.bindings {
            let (_, index) = entry(&binding.target);
            if !found.has(&binding.column) {
                continue;
            }
            if !index.is_empty() {
                return Err(format!(
                    "`{}` is an entry, and `{}` a whole array; expected a column of a table, or the name of the input \
                     alone",
                    binding.target, binding.column
                ));
            }
            let array = found.get(&binding.column).cloned();
            let reason = found.refused.get(&binding.column).cloned();
            renamed.push((binding, array, reason));
        }
        for (binding, ..) in &renamed {
            found.arrays.shift_remove(&binding.column);
            found.refused.shift_remove(&binding.column);
        }
        for (binding, array, reason) in renamed {
            if let Some(array) = array {
                found.insert(&binding.target, array);
            }
            if let Some(reason) = reason {
                found.refused.insert(binding.target.clone(), reason);
            }
        }
        Ok(())
    }
}
