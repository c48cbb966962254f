//! The shape of the source: layers use only what lies below them, files stay small and say what
//! they are for, and nothing outside tests may panic through `unwrap`.

use std::fs;
use std::path::{Path, PathBuf};

/// From low to high; the modules of one row do not know each other. `lib.rs` and `bin` lie above.
const LAYERS: &[&[&str]] = &[
    &["error", "noise", "shape"],
    &["limit"],
    &["op"],
    &["tape"],
    &["diff"],
    &["recurrence"],
    &["graph", "lang", "plan", "render"],
    &["exec"],
    &["check", "data", "derive", "fit"],
];

const LONGEST: usize = 600;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src`, and its text.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    // What is compiled for tests only has their freedom.
    paths.retain(|p| p.file_stem().is_none_or(|s| s != "tests"));
    paths.sort();
    assert!(paths.len() > 10, "the sources were found");
    let named = |path: PathBuf| {
        let name = path
            .strip_prefix(&root)
            .expect("it lies below")
            .display()
            .to_string();
        (
            name.replace('\\', "/"),
            fs::read_to_string(&path).expect("a source file is text"),
        )
    };
    paths.into_iter().map(named).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules named after every `crate::` of a line, also in a group `crate::{a, b::c}`.
fn used(line: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group.split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            modules.push(name);
        }
    }
    modules
}

/// The lines that are code and not inside a test module, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim().starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim().starts_with("//"))
        .map(|(i, line)| (i + 1, line))
}

#[test]
fn nothing_uses_a_layer_above_its_own() {
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let module = name.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" || module == "bin" {
            continue;
        }
        let Some(own) = layer(module) else {
            wrong.push(format!(
                "{name}: module `{module}` has no place among the layers"
            ));
            continue;
        };
        for (line, text) in code(&text) {
            for other in used(text) {
                let allowed = other == module || layer(&other).is_some_and(|l| l < own);
                let beside = own == 0 && layer(&other) == Some(0);
                if !allowed && !beside {
                    wrong.push(format!("{name}:{line}: `{module}` uses `crate::{other}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{name} has {lines} lines, more than {LONGEST}"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name} does not begin with a `//!` header"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let found = code(&text).filter(|(_, line)| line.contains(".unwrap()"));
        wrong.extend(found.map(|(line, text)| format!("{name}:{line}: {}", text.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
