//! Runs the commands of the documentation.
//!
//! In a block ```` ```console ````, a line after `$` is a command, and the lines below it are its output; `…`
//! matches any text, and a line `…` matches any lines. In a block ```` ```sh ````, every line is a command. A
//! block ```` ```rec name.rec ```` or ```` ```c name.c ```` is a file. The blocks of a page are run in order, in a folder with a copy of
//! `data/` and of the library, which is also the home folder.

use std::path::Path;
use std::process::Command;

use crate::support::folder::Folder;

/// The code blocks of a page: the text after the opening fence, and the content.
pub(crate) fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|l| *l != "```");
            found.push((info, text.map(|l| format!("{l}\n")).collect()));
        }
    }
    found
}

/// Returns true if a line matches; `…` matches any text.
fn fits(expected: &str, found: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else {
        return expected == found;
    };
    let Some(after) = found.strip_prefix(start) else {
        return false;
    };
    let places = after.char_indices().map(|(i, _)| i).chain([after.len()]);
    places.into_iter().any(|i| fits(rest, &after[i..]))
}

/// Returns true if all lines match; a line `…` matches any lines.
pub(crate) fn all_fit(expected: &[&str], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((&"…", rest)) => (0..=found.len()).any(|i| all_fit(rest, &found[i..])),
        Some((first, rest)) => match found.split_first() {
            Some((line, others)) => fits(first, line) && all_fit(rest, others),
            None => false,
        },
    }
}

fn run(folder: &Folder, command: &str, expected: &[&str]) {
    let program = Path::new(env!("CARGO_BIN_EXE_bptt")).parent().unwrap();
    let path = format!(
        "{}:{}",
        program.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let shell = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .env("PATH", path)
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .output();
    let output = shell.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // On a slow machine, lines about the time are printed as well.
    let timed = |line: &&str| {
        let note = line.strip_prefix("bptt: note: ");
        let words = [
            " takes about ",
            " takes more than ",
            " % after ",
            " of at most ",
            " left",
        ];
        note.is_some_and(|n| words.iter().any(|word| n.contains(word)))
    };
    let found: Vec<&str> = text.lines().filter(|line| !timed(line)).collect();
    assert!(
        all_fit(expected, &found),
        "$ {command}\n{text}\nexpected:\n{}",
        expected.join("\n")
    );
    let fails = expected
        .first()
        .is_some_and(|l| l.starts_with("bptt: error"));
    assert_eq!(output.status.success(), !fails, "$ {command}\n{text}");
}

/// A folder with the files of a checkout that are used by the commands.
fn checkout(name: &str) -> Folder {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let folder = Folder::new(&format!("docs-{name}"));
    for part in ["data", "examples/recurrences", "examples/vanishing"] {
        std::fs::create_dir_all(folder.file(part)).unwrap();
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.file(part).join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// Runs the blocks of a page; returns the number of `bptt` commands.
fn run_page(name: &str) -> usize {
    let folder = checkout(&name.replace('/', "-"));
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let page = std::fs::read_to_string(root.join(name)).unwrap();
    let mut count = 0;
    for (info, text) in blocks(&page) {
        if let Some(file) = info.strip_prefix("rec ").or(info.strip_prefix("c ")) {
            std::fs::write(folder.file(file), text).unwrap();
        } else if info == "console" {
            for part in format!("\n{text}").split("\n$ ").skip(1) {
                let mut lines = part.lines();
                let command = lines.next().unwrap();
                run(&folder, command, &lines.collect::<Vec<_>>());
                count += usize::from(command.starts_with("bptt "));
            }
        } else if info == "sh" {
            // Commands that build the program are skipped.
            for command in text.lines().filter(|l| !l.starts_with("cargo ")) {
                run(&folder, command, &["…"]);
                count += usize::from(command.starts_with("bptt "));
            }
        }
    }
    count
}

/// The pages with `bptt` commands, and the number of commands on each.
pub(crate) const PAGES: &[(&str, usize)] = &[
    ("README.md", 3),
    ("docs/cli.md", 41),
    ("docs/data.md", 8),
    ("docs/derivation.md", 6),
    ("docs/export.md", 5),
    ("docs/flow.md", 3),
    ("docs/property-tests.md", 3),
    ("docs/rnn-and-lstm.en.md", 5),
    ("docs/rnn-and-lstm.zh.md", 5),
    ("docs/test-vectors.md", 2),
    ("docs/tutorial.md", 14),
];

#[test]
fn the_readme_runs() {
    run_listed("README.md");
}

#[test]
fn the_page_on_the_command_line_runs() {
    run_listed("docs/cli.md");
}

#[test]
fn the_page_on_data_files_runs() {
    run_listed("docs/data.md");
}

#[test]
fn the_page_on_derivations_runs() {
    run_listed("docs/derivation.md");
}

#[test]
fn the_page_on_exports_runs() {
    run_listed("docs/export.md");
}

#[test]
fn the_page_on_the_flow_of_gradients_runs() {
    run_listed("docs/flow.md");
}

#[test]
fn the_chapter_runs() {
    run_listed("docs/rnn-and-lstm.en.md");
    run_listed("docs/rnn-and-lstm.zh.md");
}

#[test]
fn the_page_on_test_vectors_runs() {
    run_listed("docs/test-vectors.md");
}

#[test]
fn the_tutorial_runs() {
    run_listed("docs/tutorial.md");
}

fn run_listed(page: &str) {
    let (_, expected) = PAGES.iter().find(|(name, _)| *name == page).unwrap();
    assert_eq!(run_page(page), *expected, "the commands of {page}");
}

/// A page whose commands need other libraries; `benches/peers/laws/run` runs them.
const OF_PEERS: &str = "docs/other-libraries.md";

/// Every line of a page that looks like a command is counted above, and so is run.
#[test]
fn no_page_has_other_commands() {
    fn pages(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pages(&path, found);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut found = vec![root.join("README.md")];
    for folder in ["docs", "data", "benches/peers", "examples"] {
        pages(&root.join(folder), &mut found);
    }
    for path in found {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        if name == OF_PEERS {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let commands = text
            .lines()
            .map(|l| l.trim_start().trim_start_matches("$ "));
        let commands = commands.filter(|l| l.starts_with("bptt ") && !l.starts_with("bptt = "));
        let expected = PAGES.iter().find(|(page, _)| *page == name);
        // Lines of output may start like a command.
        let commands =
            commands.filter(|l| !["error:", "note:"].iter().any(|w| l[5..].starts_with(w)));
        assert_eq!(commands.count(), expected.map_or(0, |p| p.1), "{name}");
    }
}

#[test]
fn expectations_can_fail() {
    assert!(
        fits("a … c", "a b c") && !fits("a … c", "a b d"),
        "inside a line"
    );
    assert!(
        all_fit(&["x", "…", "z"], &["x", "y", "y", "z"]),
        "lines left out"
    );
    assert!(
        !all_fit(&["x", "…", "z"], &["x", "y"]),
        "an end that is missing"
    );
}
