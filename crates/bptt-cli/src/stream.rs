//! `bptt run --stream`: a row of outputs for each row of inputs, as soon as it comes.

use std::io::{self, BufRead, Write};
use std::ops::Range;

use bptt::data::{Arrays, Element, MASK, ReadOptions};
use bptt::{Error, Rate, Real, Recurrence, Stepper};

use crate::args::{Data, Dtype, Run};
use crate::reading::Rows;
use crate::report::Report;
use crate::{Failure, cell, engine, input};

/// The name of the input in messages.
const SOURCE: &str = "standard input";
/// The column that marks the starts of sequences.
const RESET: &str = "reset";

pub(crate) fn run(args: &Run, report: &Report) -> Result<(), Failure> {
    match args.on.dtype {
        Dtype::F32 => run_in::<f32>(&args.on, report),
        Dtype::F64 => run_in::<f64>(&args.on, report),
    }
}

fn run_in<F: Real + Element>(on: &Data, report: &Report) -> Result<(), Failure> {
    let recurrence = cell::load(&on.cell)?;
    let mut lines = Lines::new(io::stdin().lock());
    let Some((_, header)) = lines.next()? else {
        return Err(
            format!("{SOURCE}: is empty, expected a row of names, such as `y,x[0],x[1]`").into(),
        );
    };
    let reader = Reader::new(on, header);
    let mut out = io::stdout().lock();
    let mut stream: Option<Stream<F>> = None;
    while let Some((line, row)) = lines.next()? {
        let there = match &mut stream {
            Some(stream) => stream,
            none => {
                let Some(first) = reader.read(&recurrence, &row, line)? else {
                    continue;
                };
                let new = Stream::new((&recurrence, &reader), &first.arrays, on, report);
                let new = new.map_err(|error| about(line, &*error))?;
                if !written(new.write_names(&mut out))? {
                    return Ok(());
                }
                none.insert(new)
            }
        };
        let Some(row) = reader.read(&there.recurrence, &row, line)? else {
            there.is_broken |= reader.splits();
            continue;
        };
        there.step(&row).map_err(|error| about(line, &*error))?;
        if !written(there.write(&mut out))? {
            return Ok(());
        }
    }
    match stream {
        Some(_) => Ok(()),
        None => Err(format!(
            "{SOURCE}: has a row of names and no row of numbers, so no steps (T = 0)"
        )
        .into()),
    }
}

/// An error at a line.
fn about(line: usize, error: &dyn std::error::Error) -> Failure {
    format!("{SOURCE}: line {line}: {error}").into()
}

/// Returns false if the reader of the output has closed it.
fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("the standard output cannot be written: {error}").into()),
    }
}

/// The lines of a table that are rows, with their numbers.
struct Lines<R> {
    from: R,
    line: usize,
    bytes: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            line: 0,
            bytes: Vec::new(),
        }
    }

    /// The next line that is neither empty nor a comment; a first line `sep=;` belongs to the next.
    fn next(&mut self) -> Result<Option<(usize, String)>, Failure> {
        let mut declared = String::new();
        loop {
            self.bytes.clear();
            let read = self.from.read_until(b'\n', &mut self.bytes);
            if read.map_err(|error| format!("{SOURCE}: cannot be read: {error}"))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let text = std::str::from_utf8(&self.bytes)
                .map_err(|_| format!("{SOURCE}: line {} is not UTF-8", self.line))?;
            let text = text.trim_end_matches(['\n', '\r']);
            let text = match self.line {
                1 => text.strip_prefix('\u{feff}').unwrap_or(text),
                _ => text,
            };
            let is_row = !text.trim_start().is_empty() && !text.trim_start().starts_with('#');
            if self.line == 1 && text.starts_with("sep=") {
                declared = format!("{text}\n");
            } else if is_row {
                return Ok(Some((self.line, declared + text)));
            }
        }
    }
}

/// The way to read a row.
struct Reader {
    header: String,
    options: ReadOptions,
    missing: Option<Rows>,
}

/// The inputs of a step.
struct Row {
    arrays: Arrays,
    /// True if a new sequence begins.
    begins: bool,
    is_masked: bool,
}

impl Reader {
    fn new(on: &Data, header: String) -> Self {
        let options = on.reading.options(on.params.as_deref());
        Self {
            header,
            // A row that is left out is found by its mask.
            options: match on.reading.missing {
                Some(_) => options.missing(bptt::data::Missing::Mask),
                None => options,
            },
            missing: on.reading.missing,
        }
    }

    fn splits(&self) -> bool {
        self.missing == Some(Rows::Split)
    }

    /// The inputs of a row; `None` if it is left out.
    fn read(
        &self,
        recurrence: &Recurrence,
        row: &str,
        line: usize,
    ) -> Result<Option<Row>, Failure> {
        let refuse = |reason: &str| Failure::from(format!("{SOURCE}: {reason}"));
        let read = self.options.read_row(recurrence, &self.header, row, line);
        let arrays = read.map_err(|error| refuse(&error.to_string()))?;
        let is_input = |name: &str| recurrence.inputs().any(|input| input == name);
        if let Some((_, reason)) = arrays.refused().find(|(n, _)| is_input(n) || *n == RESET) {
            return Err(refuse(reason));
        }
        let flag = |name: &str| {
            let array = arrays.get(name).map(bptt::data::Array::real::<f64>);
            array.and_then(|array| array.first().copied())
        };
        let own_mask = recurrence
            .tape()
            .leaves()
            .iter()
            .any(|l| l.name() == MASK && self.missing != Some(Rows::Mask));
        let is_masked = !own_mask && flag(MASK) == Some(0.0);
        if is_masked && self.missing != Some(Rows::Mask) {
            return Ok(None);
        }
        let begins = match flag(RESET).filter(|_| !is_input(RESET)) {
            None | Some(0.0) => false,
            Some(1.0) => true,
            Some(other) => {
                return Err(refuse(&format!(
                    "line {line}: `{RESET}`: expected 0 or 1, found {}",
                    bptt::number(other)
                )));
            }
        };
        Ok(Some(Row {
            arrays,
            begins,
            is_masked,
        }))
    }
}

/// A recurrence that runs row by row.
struct Stream<F: Real> {
    recurrence: Recurrence,
    stepper: Stepper<F>,
    inputs: Vec<(String, Range<usize>)>,
    /// The inputs of a step.
    row: Vec<F>,
    /// The outputs of a step.
    out: Vec<F>,
    /// The outputs as text.
    text: String,
    /// True if a new sequence begins with the next row.
    is_broken: bool,
}

impl<F: Real + Element> Stream<F> {
    fn new(
        (recurrence, reader): (&Recurrence, &Reader),
        first: &Arrays,
        on: &Data,
        report: &Report,
    ) -> Result<Self, Failure> {
        let gone: Vec<&str> = recurrence
            .inputs()
            .filter(|n| first.get(n).is_none())
            .collect();
        let mut own = match gone.is_empty() {
            true => recurrence.clone(),
            false => without(recurrence, &gone, first, report)?,
        };
        let mut arrays = first.clone();
        if reader.missing == Some(Rows::Mask) {
            own = own.with_mask(MASK)?;
            arrays = arrays.with(MASK, ndarray::Array2::<f64>::ones((1, 1)));
        }
        let used = |name: &str| name == RESET || recurrence.inputs().any(|input| input == name);
        let unused: Vec<&str> = first.unused().filter(|name| !used(name)).collect();
        if !unused.is_empty() {
            let names = bptt::quoted(unused);
            report.note(&format!("{SOURCE}: not used by `{}`: {names}", own.name()));
        }
        let batch = arrays.batch::<F>(&own)?;
        let batch = input::with_sizes(
            input::with_classes(&own, &arrays, batch, &on.dims),
            &on.dims,
        );
        let params = input::params(&own, on.params.as_deref(), &batch, on.seed)?;
        let is_per_step = |name: &str| {
            own.output_type(name)
                .is_some_and(|ty| ty.rate == Rate::Step)
        };
        if !own.outputs().any(is_per_step) {
            return Err(format!(
                "`{}` has no output for each step; add one to its text, such as `output {}`",
                own.name(),
                own.states()
                    .next()
                    .map_or("y = 2 * x".into(), |state| format!("{state}'"))
            )
            .into());
        }
        let stepper = engine::stepper(&own, &params, &batch)?;
        let inputs = stepper
            .inputs()
            .map(|(name, range)| (name.to_owned(), range));
        let inputs: Vec<_> = inputs.collect();
        let width = inputs.iter().map(|(_, range)| range.end).max().unwrap_or(0);
        Ok(Self {
            recurrence: own,
            stepper,
            inputs,
            row: vec![F::zero(); width],
            out: Vec::new(),
            text: String::new(),
            is_broken: false,
        })
    }

    fn step(&mut self, row: &Row) -> Result<(), Failure> {
        for (name, range) in &self.inputs {
            let to = &mut self.row[range.clone()];
            match row
                .arrays
                .get(name)
                .filter(|_| name != MASK || !row.is_masked)
            {
                Some(array) => {
                    let numbers = array.real::<f64>();
                    to.iter_mut()
                        .zip(&numbers)
                        .for_each(|(to, x)| *to = F::of(*x));
                }
                // The mask of a row is 1 unless the row has a missing value.
                None => to.fill(if row.is_masked { F::zero() } else { F::one() }),
            }
        }
        if row.begins || std::mem::take(&mut self.is_broken) {
            self.stepper.reset();
        }
        let found = self.stepper.step(&self.row)?;
        self.out.clear();
        self.out.extend_from_slice(found);
        Ok(())
    }

    /// Writes the names of the columns: `y`, `h[0]`, `A[0,1]`.
    fn write_names(&self, out: &mut impl Write) -> io::Result<()> {
        let mut names = Vec::new();
        for (name, range) in self.stepper.outputs() {
            let shape = self.stepper.output_shape(name).unwrap_or(&[]);
            for entry in 0..range.len() {
                let (mut rest, mut index) = (entry, Vec::new());
                for size in shape.iter().rev() {
                    index.insert(0, (rest % size).to_string());
                    rest /= size;
                }
                names.push(match index.is_empty() {
                    true => quoted(name),
                    false => quoted(&format!("{name}[{}]", index.join(","))),
                });
            }
        }
        writeln!(out, "{}", names.join(","))?;
        out.flush()
    }

    /// Writes the outputs of the last step.
    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        use std::fmt::Write as _;
        self.text.clear();
        for (i, x) in self.out.iter().enumerate() {
            let separator = if i > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{separator}{x:?}");
        }
        self.text.push('\n');
        out.write_all(self.text.as_bytes())?;
        out.flush()
    }
}

/// A field of a table; one with a comma is in quotation marks.
fn quoted(field: &str) -> String {
    match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.into(),
    }
}

/// The recurrence without inputs that the table lacks, and without the outputs that need them.
fn without(
    recurrence: &Recurrence,
    gone: &[&str],
    first: &Arrays,
    report: &Report,
) -> Result<Recurrence, Failure> {
    match (
        input::omission(recurrence, gone),
        recurrence.without_inputs(gone),
    ) {
        (Some(left_out), Ok(rest)) => {
            report.note(&format!(
                "{SOURCE}: there is no {}: left out: {}",
                bptt::quoted(gone.iter().copied()),
                bptt::quoted(left_out.iter().map(|name| &**name))
            ));
            Ok(rest)
        }
        (_, Err(error)) if !matches!(error, Error::Missing { .. }) => Err(error.into()),
        _ => {
            let found: Vec<&str> = first.iter().map(|(n, _)| n).chain(first.unused()).collect();
            let cure = match found.first() {
                Some(other) => format!(
                    "; name the one that is `{}`, such as `--columns {}`",
                    gone[0],
                    bptt::printable(&format!("{}='{other}'", gone[0]))
                ),
                None => String::new(),
            };
            Err(format!(
                "there is no column `{}`, which is an input of `{}`; the table has: {}{cure}",
                gone[0],
                recurrence.name(),
                bptt::quoted(found)
            )
            .into())
        }
    }
}
