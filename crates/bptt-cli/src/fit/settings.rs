//! The settings that a resumed fit must share with the saved one, including its recurrence and data.

use bptt::{Batch, Noise, Params, Recurrence, Scalar};
use clap::ValueEnum;
use ndarray::ArrayD;

use crate::Failure;
use crate::args::{Fit, Optimizer};

/// Names and values of settings, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    pub(super) fn of<F: Scalar>(
        args: &Fit,
        recurrence: &Recurrence,
        batch: &Batch<F>,
    ) -> Result<Self, Failure> {
        let mut found = Self(Vec::new());
        found.add("--optimizer", named(args.optimizer));
        if args.optimizer != Optimizer::Newton {
            found.add("--lr", args.lr.to_string());
            found.add_some("--schedule", args.schedule.as_ref());
            found.add_some("--decay", args.decay());
            for group in &args.group {
                found.add(&format!("--group {}", group.pattern()), group.to_string());
            }
            found.add_some("--clip", args.clip);
            found.add_some("--clip-per-sample", args.clip_per_sample);
            let windows = args
                .truncate
                .map(|t| format!("{},{}", t.every(), t.through()));
            found.add_some("--truncate", windows);
            found.add_some("--batch", args.batch.filter(|n| *n < batch.samples()));
        }
        if args.optimizer == Optimizer::Sgd {
            found.add("--momentum", args.momentum.to_string());
        }
        if !args.over.is_empty() {
            found.add("--over", args.over().join(","));
        }
        if !args.freeze.is_empty() {
            found.add("--freeze", args.freeze.join(","));
        }
        found.add("--seed", args.seed().to_string());
        found.add("--dtype", named(args.dtype));
        found.add("the recurrence", fingerprint(words(&recurrence.source()?)));
        for (dim, size) in recurrence.known_sizes(&Params::new(), batch)? {
            found.add(&format!("size {dim}"), size.to_string());
        }
        found.add("the number of steps T", batch.steps().to_string());
        found.add("the number of samples B", batch.samples().to_string());
        let lengths = batch.lengths().map(|n| n as u64);
        found.add("`lengths`", fingerprint(lengths));
        for name in recurrence.inputs() {
            if let Some(array) = batch.get(name) {
                let bits = array.iter().map(|x| Scalar::to_f64(*x).to_bits());
                found.add(&format!("input `{name}`"), fingerprint(shaped(array, bits)));
            } else if let Some(array) = batch.classes(name) {
                let bits = array.iter().map(|class| *class as u64);
                found.add(&format!("input `{name}`"), fingerprint(shaped(array, bits)));
            }
        }
        Ok(found)
    }

    fn add(&mut self, name: &str, value: String) {
        self.0.push((name.into(), value));
    }

    fn add_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, value.to_string());
        }
    }

    /// The value of a setting.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| &**value)
    }

    /// One line for each setting.
    pub(super) fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(n, v)| format!("{n} = {v}\n"));
        lines.collect()
    }

    pub(super) fn from_text(text: &str) -> Self {
        let pairs = text.lines().filter_map(|l| l.split_once(" = "));
        Self(pairs.map(|(n, v)| (n.into(), v.into())).collect())
    }

    /// The differences between these settings, of a file, and those of this run, as text.
    pub(super) fn differences(&self, here: &Self) -> Vec<String> {
        let value = |all: &Self, name: &str| {
            let found = all.0.iter().find(|(n, _)| n == name);
            found.map_or_else(|| "not given".to_owned(), |(_, v)| v.clone())
        };
        let mut names: Vec<&str> = self.0.iter().chain(&here.0).map(|(n, _)| &**n).collect();
        names.sort_unstable();
        names.dedup();
        let differs = names.iter().filter_map(|name| {
            let (there, here) = (value(self, name), value(here, name));
            let option = name.starts_with("--") || name.starts_with("size ");
            match there == here {
                true => None,
                false if option || name.starts_with("the number") => {
                    Some(format!("{name} was {there} and is {here}"))
                }
                false => Some(format!("{name} is not the same")),
            }
        });
        differs.collect()
    }
}

fn named(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |v| v.get_name().to_owned())
}

fn words(text: &str) -> impl Iterator<Item = u64> {
    text.bytes().map(u64::from)
}

fn shaped<'a, T>(
    array: &'a ArrayD<T>,
    entries: impl Iterator<Item = u64> + 'a,
) -> impl Iterator<Item = u64> + 'a {
    array.shape().iter().map(|n| *n as u64).chain(entries)
}

/// A fingerprint of contents that is the same on every machine.
fn fingerprint(words: impl Iterator<Item = u64>) -> String {
    let hash = words.fold(0, |hash: u64, word| {
        Noise::mixed(hash.rotate_left(1) ^ Noise::mixed(word))
    });
    format!("{hash:016x}")
}
