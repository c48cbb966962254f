//! The commands of the documentation, run as they stand.
//!
//! In a block ```` ```console ```` a line after `$` is a command and the lines below it are what it
//! writes; `…` stands for anything, alone on a line for any lines. A block ```` ```rec name.rec ````
//! is a file. The blocks of a page are run in order, in a folder with a copy of `data/`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;

use support::folder::Folder;

/// The blocks of a page: what stands after the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, String)> {
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

/// Whether a line is as expected, where `…` stands for anything.
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

/// The same for lines.
fn all_fit(expected: &[&str], found: &[&str]) -> bool {
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
        .args(["-c", &format!("{command} 2>&1")])
        .env("PATH", path)
        .current_dir(folder.path())
        .output();
    let output = shell.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = text.lines().collect();
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

/// Runs a page and says how many commands it has.
fn run_page(name: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new(&format!("docs-{name}"));
    std::fs::create_dir_all(folder.file("data")).unwrap();
    for entry in std::fs::read_dir(root.join("data")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.file("data").join(entry.file_name())).unwrap();
    }
    let page = std::fs::read_to_string(root.join("docs").join(name)).unwrap();
    let mut count = 0;
    for (info, text) in blocks(&page) {
        if let Some(file) = info.strip_prefix("rec ") {
            std::fs::write(folder.file(file), text).unwrap();
        } else if info == "console" {
            for part in format!("\n{text}").split("\n$ ").skip(1) {
                let mut lines = part.lines();
                let command = lines.next().unwrap();
                run(&folder, command, &lines.collect::<Vec<_>>());
                count += 1;
            }
        }
    }
    count
}

#[test]
fn the_tutorial_runs() {
    assert!(run_page("tutorial.md") >= 9, "its commands were found");
}

#[test]
fn the_page_on_the_command_line_runs() {
    assert!(run_page("cli.md") >= 12, "its commands were found");
}

/// The file and the commands of the README, the installation left out.
#[test]
fn the_ten_lines_of_the_readme_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = blocks(page.split("## Ten lines, no Rust").nth(1).unwrap());
    let folder = Folder::new("readme");
    std::fs::create_dir_all(folder.file("data")).unwrap();
    std::fs::copy(
        root.join("data/sunspots.csv"),
        folder.file("data/sunspots.csv"),
    )
    .unwrap();
    std::fs::write(folder.file("leaky.rec"), &blocks[0].1).unwrap();
    let commands: Vec<&str> = blocks[1]
        .1
        .lines()
        .filter(|l| l.starts_with("bptt "))
        .collect();
    assert_eq!(commands.len(), 3, "check, grad and fit");
    for command in commands {
        run(&folder, command, &["…"]);
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
