//! The library of recurrences, and data for them.

use std::path::{Path, PathBuf};

use bptt::{Batch, Params, Recurrence};
use ndarray::ArrayD;

use super::instance;

pub(crate) const SIZES: &[(&str, usize)] = &[
    ("H", 3),
    ("K", 2),
    ("O", 4),
    ("G", 5),
    ("B", 3),
    ("N", 3),
    ("M", 2),
    ("C", 4),
    ("P", 2),
    ("S", 3),
    ("L", 2),
];
pub(crate) const LENGTHS: &[usize] = &[4, 3];

/// A folder of the repository; the tests of the command line have a package folder of their own.
pub(crate) fn folder(path: &str) -> PathBuf {
    let mut roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = roots.find(|r| r.join("examples/recurrences").is_dir());
    root.expect("the repository is there").join(path)
}

/// All recurrences of the library: name and text.
pub(crate) fn library() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder("examples/recurrences"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn parse(name: &str, source: &str) -> Recurrence {
    Recurrence::parse(&format!("{name}.rec"), source).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

pub(crate) fn named(name: &str) -> Recurrence {
    let (_, source) = library().into_iter().find(|(n, _)| n == name).unwrap();
    parse(name, &source)
}

/// Random data inside the domain of the recurrence.
pub(crate) fn data(name: &str, recurrence: &Recurrence, seed: u64) -> (Params<f64>, Batch<f64>) {
    data_of(name, recurrence, LENGTHS, seed)
}

/// The same for samples of these lengths.
pub(crate) fn data_of(
    name: &str,
    recurrence: &Recurrence,
    lengths: &[usize],
    seed: u64,
) -> (Params<f64>, Batch<f64>) {
    let (mut params, mut batch) = instance(recurrence, SIZES, lengths, seed);
    let positive = |n: &str| -> bool {
        match name {
            "garch11" | "garch_t" | "gjr_garch" => !["mu", "ln_tail"].contains(&n),
            "logistic_map" => n == "r",
            _ => false,
        }
    };
    let names: Vec<String> = recurrence.parameters().map(Into::into).collect();
    for n in names.iter().filter(|n| positive(n)) {
        params.get_mut(n).unwrap().mapv_inplace(f64::abs);
    }
    if name == "spiking" {
        // Neurons that spike.
        params.get_mut("W").unwrap().mapv_inplace(|w| 8.0 * w);
    }
    let first = ArrayD::from_elem(vec![lengths.len()], 0.7);
    if name == "nile_local_level" {
        batch = batch.with("P1", first);
    }
    (params, batch)
}
