//! The shape of the source: layers use only what lies below them, files do not use each other in a
//! circle, stay small and say what they are for, and nothing outside tests may panic through `unwrap`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{Crate, Source, code, made_up};

/// From low to high; the modules of one row do not know each other. `lib.rs` lies above.
const LAYERS: &[&[&str]] = &[
    &["error", "language", "noise", "shape", "stack", "xml"],
    &["limit"],
    &["op"],
    &["tape"],
    &["diff"],
    &["recurrence"],
    &["graph", "lang", "plan", "render"],
    &["exec"],
    &["check", "data", "derive", "fit"],
    &["export", "flow"],
];

/// The rooms of a folder, from low to high; its own files lie above them.
const ROOMS: &[(&str, &[&str])] = &[
    ("exec", &["kernel", "interpret"]),
    (
        "derive",
        &[
            "algebra", "notation", "record", "reading", "rules", "chapters", "check", "document",
        ],
    ),
];

/// Folders whose files are one circle by design: rows of the op table are written in the language that
/// they make, and a number chooses the instruction set whose vectors it is the entry of.
const KNOTS: &[&str] = &["op/", "exec/kernel/"];

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

/// The folders of the sources of the packages, from the root of the repository.
const FOLDERS: [&str; 3] = ["src", "crates/bptt-cli/src", "crates/bptt-testing/src"];

fn files_of(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    // Modules that are compiled for tests only are exempt.
    paths.retain(|p| {
        let inside = p.strip_prefix(&root).map(|p| p.with_extension(""));
        inside.is_ok_and(|p| p.iter().all(|part| part != "tests"))
    });
    paths.sort();
    assert!(!paths.is_empty(), "no sources in {folder}");
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

/// The sources of all packages, named from the root of the repository.
fn files() -> Vec<Source> {
    let named = |folder: &'static str| {
        let own = files_of(folder).into_iter();
        own.map(move |(name, text)| (format!("{folder}/{name}"), text))
    };
    FOLDERS.into_iter().flat_map(named).collect()
}

fn library() -> Crate {
    Crate::of(&files_of(FOLDERS[0]))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// Whether a file of one layer may use one of another.
fn is_layered(from: &[String], to: &[String]) -> bool {
    match (from.first(), to.first()) {
        (Some(from), Some(to)) => {
            let (own, other) = (layer(from), layer(to));
            from == to || own > other && other.is_some() || own == Some(0) && other == Some(0)
        }
        // `lib.rs` lies above all.
        (from, _) => from.is_none(),
    }
}

/// Whether a file of one room may use one of another; the files of the folder itself lie above.
fn is_below(from: &[String], to: &[String]) -> bool {
    let Some((_, rooms)) = ROOMS.iter().find(|(folder, _)| {
        let inside = |path: &[String]| path.first().is_some_and(|f| f == folder);
        inside(from) && inside(to)
    }) else {
        return true;
    };
    let room = |path: &[String]| {
        let name = path.get(1)?.clone();
        let at = rooms.iter().position(|room| *room == name)?;
        Some((at, name))
    };
    match (room(from), room(to)) {
        (Some(from), Some(to)) => from == to || to.0 < from.0,
        (from, _) => from.is_none(),
    }
}

#[test]
fn nothing_uses_a_layer_above_its_own() {
    let library = library();
    let places = library.files.iter().filter_map(|f| f.module.first());
    let homeless: BTreeSet<&String> = places.filter(|m| layer(m).is_none()).collect();
    assert!(homeless.is_empty(), "modules without a layer: {homeless:?}");
    let wrong = library.wrong_uses(is_layered);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_uses_a_room_above_its_own() {
    let library = library();
    for (folder, rooms) in ROOMS {
        for file in library.files.iter().filter(|f| f.module.len() > 2) {
            let known = rooms
                .iter()
                .any(|row| row.contains(file.module[1].as_str()));
            let inside = file.module[0] == **folder;
            assert!(!inside || known, "{} is in no room of {folder}", file.name);
        }
    }
    let wrong = library.wrong_uses(is_below);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for folder in FOLDERS {
        let found = Crate::of(&files_of(folder)).circles(KNOTS);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn an_upward_use_is_told() {
    let upward = made_up(&[
        (
            "derive/algebra/term.rs",
            "use crate::derive::{rules::proof::Proof, mark};\n",
        ),
        (
            "derive/rules/proof.rs",
            "use crate::derive::algebra::term::Term;\n",
        ),
        ("derive/mod.rs", "fn mark() {}\n"),
        ("op/mod.rs", "fn f() { crate::derive::mark() }\n"),
    ]);
    assert_eq!(
        upward.wrong_uses(is_below),
        [
            "derive/algebra/term.rs:1: uses `crate::derive::rules::proof::Proof` of derive/rules/proof.rs",
            "derive/algebra/term.rs:1: uses `crate::derive::mark` of derive/mod.rs",
        ]
    );
    assert_eq!(
        upward.wrong_uses(is_layered),
        ["op/mod.rs:1: uses `crate::derive::mark` of derive/mod.rs"]
    );
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
        let plain = code(&text);
        let lines = plain.lines().zip(text.lines()).enumerate();
        let found = lines.filter(|(_, (plain, _))| plain.contains(".unwrap()"));
        wrong.extend(found.map(|(i, (_, line))| format!("{name}:{}: {}", i + 1, line.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
