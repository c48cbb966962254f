//! The page of limits lists all constants of the source that are limits, with their values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Prefixes of the names of limits.
const NAMES: &[&str] = &[
    "MAX", "MOST", "LONGEST", "LIMIT", "EXPANDED", "LARGEST_", "UNKNOWN",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The numeric constants of the source, by file and name.
fn constants() -> BTreeMap<(String, String), f64> {
    let mut paths = Vec::new();
    for folder in ["src", "crates/bptt-cli/src"] {
        sources(&root().join(folder), &mut paths);
    }
    let mut found = BTreeMap::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let file = path.strip_prefix(root()).expect("it lies below");
        let file = file.display().to_string().replace('\\', "/");
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("const ") else {
                continue;
            };
            let parts = rest.split_once(": ").and_then(|(name, rest)| {
                let (ty, value) = rest.split_once(" = ")?;
                Some((name, ty, value.strip_suffix(';')?))
            });
            let Some((name, "usize" | "u64" | "u32" | "i32" | "f64", value)) = parts else {
                continue;
            };
            if let Some(value) = number(value) {
                found.insert((file.clone(), name.to_owned()), value);
            }
        }
    }
    found
}

fn number(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    match text.split_once(" << ") {
        Some((x, shift)) => Some(x.parse::<f64>().ok()? * 2f64.powi(shift.parse().ok()?)),
        None => text.parse().ok(),
    }
}

/// The entries of the page: file, name and value.
fn page() -> Vec<(String, String, f64)> {
    let text = fs::read_to_string(root().join("docs/limits.md")).expect("the page is there");
    let mut found = Vec::new();
    for line in text.replace("\n(", " (").lines() {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("` = ") {
            let name = rest[..rest.len() - after.len() - 4].rsplit('`').next();
            let value: String = after
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == 'e')
                .collect();
            let file = after.split('`').find(|part| part.ends_with(".rs"));
            found.push((
                file.expect("a file follows").to_owned(),
                name.expect("a name comes before").to_owned(),
                value.parse().expect("a number"),
            ));
            rest = after;
        }
    }
    found
}

#[test]
fn the_page_agrees_with_the_source() {
    let (constants, page) = (constants(), page());
    assert!(page.len() > 15, "{page:?}");
    for (file, name, value) in &page {
        let found = constants.get(&(file.clone(), name.clone()));
        assert_eq!(found, Some(value), "`{name}` in {file}");
    }
    for (file, name) in constants.keys() {
        // Widths of vectors depend on the machine.
        let is_limit =
            !file.starts_with("src/exec/kernel/") && NAMES.iter().any(|n| name.starts_with(n));
        let is_told = page.iter().any(|(f, n, _)| (f, n) == (file, name));
        assert!(!is_limit || is_told, "`{name}` of {file} is missing");
    }
}
