//! The recurrence of a fit and its data, which can be a text.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use bptt::data::Arrays;
use bptt::{Batch, Error, Kind, Leaf, Rate, Recurrence, Scalar};
use ndarray::{Array2, Array3};

use crate::args::Fit;
use crate::reading::{Absent, Source};
use crate::report::Report;
use crate::{Failure, cell, input};

/// The number of characters in a sample.
const LENGTH: usize = 50;

pub(super) struct Task<F> {
    pub(super) recurrence: Recurrence,
    pub(super) batch: Batch<F>,
    /// The characters of a text, in the order of their classes.
    pub(super) alphabet: Option<String>,
    /// The texts of classes of a table, as arrays to save beside the parameters.
    pub(super) classes: Arrays,
}

impl<F: Scalar> Task<F> {
    pub(super) fn read(args: &Fit, report: &Report) -> Result<Self, Failure> {
        if let Some(text) = &args.text {
            return Self::of_text(args, text, report);
        }
        let unknown = args.over();
        let source = Source {
            files: &args.data,
            reading: &args.reading,
            params: args.params.as_deref().or(args.resume.as_deref()),
            absent: Absent::Zero(&unknown),
        };
        let (recurrence, batch, classes) =
            input::recurrence_and_batch(&args.cell, &source, &args.dims, report)?;
        Ok(Self {
            recurrence,
            batch,
            alphabet: None,
            classes,
        })
    }

    /// Each sample is a piece of the text; `x` is a character, as a class or a one-hot vector, and `y` is the class
    /// of the next character.
    fn of_text(args: &Fit, file: &Path, report: &Report) -> Result<Self, Failure> {
        let recurrence = cell::load(&args.cell)?;
        let fail = |what: String| Failure::from(format!("{}: {what}", file.display()));
        let text = read(file).map_err(&fail)?;
        let alphabet: BTreeSet<char> = text.chars().collect();
        let alphabet: Vec<char> = alphabet.into_iter().collect();
        let class = |c: char| alphabet.binary_search(&c).unwrap_or(0);
        let classes: Vec<usize> = text.chars().map(class).collect();
        let longest = classes.len().saturating_sub(1);
        let steps = args.length.unwrap_or(LENGTH).min(longest);
        if steps == 0 {
            return Err(fail("has fewer than two characters".into()));
        }
        if let Some(length) = args.length.filter(|length| *length > longest) {
            report.note(&format!(
                "--length {length}: {} has {}, one sample of {longest}",
                file.display(),
                bptt::counted(classes.len(), "character")
            ));
        }
        let samples = (classes.len() - 1) / steps;
        let at = |shift: usize| {
            let class = |(t, b): (usize, usize)| classes[b * steps + t + shift];
            Array2::from_shape_fn((steps, samples), class)
        };

        let (x, y) = (leaf(&recurrence, "x")?, leaf(&recurrence, "y")?);
        let Kind::Class(_) = y.ty().kind else {
            return Err(wrong(&recurrence, "y"));
        };
        let mut batch = Batch::new(steps, samples).with_classes("y", at(1));
        batch = match x.ty().kind {
            Kind::Class(_) => batch.with_classes("x", at(0)),
            Kind::Real if x.ty().shape.rank() == 1 => {
                let shape = (steps, samples, alphabet.len());
                let numbers = classes.len().checked_mul(alphabet.len());
                let bytes = numbers.and_then(|n| n.checked_mul(size_of::<F>()));
                let (bytes, limit) = (bytes.unwrap_or(usize::MAX), bptt::memory_limit());
                if bytes > limit {
                    let error = Error::OutOfMemory { bytes, limit };
                    return Err(fail(format!(
                        "{error}; each of its {} different characters is a column of `x`: with \
                         `input x: class(C)` it would be one number",
                        alphabet.len()
                    )));
                }
                let characters = at(0);
                let one = |(t, b, c)| F::of(f64::from(u8::from(characters[[t, b]] == c)));
                batch.with("x", Array3::from_shape_fn(shape, one))
            }
            Kind::Real => return Err(wrong(&recurrence, "x")),
        };
        // The number of classes cannot be inferred from an array.
        for leaf in [x, y] {
            if let Some(dim) = input::size_of_classes(&recurrence, leaf) {
                batch = batch.size(&dim, alphabet.len());
            }
        }
        Ok(Self {
            batch: input::with_sizes(batch, &args.dims),
            recurrence,
            alphabet: Some(alphabet.into_iter().collect()),
            classes: Arrays::new(),
        })
    }
}

/// The memory per byte of a text, in bytes: its classes, twice in a batch.
const PER_BYTE: usize = 32;

/// Reads a text that fits into memory; an endless device does not.
fn read(file: &Path) -> Result<String, String> {
    let limit = bptt::memory_limit();
    let longest = limit / PER_BYTE;
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut begun = opened.take(longest as u64 + 1);
    begun.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > longest {
        let bytes = bytes.len().saturating_mul(PER_BYTE);
        let error = Error::OutOfMemory { bytes, limit };
        return Err(format!("is longer than {longest} bytes: {error}"));
    }
    let at = |e: std::string::FromUtf8Error| e.utf8_error().valid_up_to();
    String::from_utf8(bytes).map_err(|e| format!("is not text: byte {} is not UTF-8", at(e)))
}

fn leaf<'r>(recurrence: &'r Recurrence, name: &str) -> Result<&'r Leaf, Failure> {
    let mut leaves = recurrence.tape().leaves().iter();
    let found = leaves.find(|l| l.name() == name && l.ty().rate == Rate::Step);
    found.ok_or_else(|| wrong(recurrence, name))
}

fn wrong(recurrence: &Recurrence, name: &str) -> Failure {
    let expected = match name {
        "x" => "`input x: class(C)` or `input x[C]`",
        _ => "`input y: class(C)`",
    };
    format!(
        "`{}` cannot read a text: expected {expected}",
        recurrence.name()
    )
    .into()
}
