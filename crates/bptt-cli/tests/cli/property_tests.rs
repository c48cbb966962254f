//! Runs the page on property tests: its files, its changes to files, and its commands, in the crate and in the folder that
//! the page describes. `UPDATE_GOLDEN=1` rewrites the certificates that it shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docs::{PAGES, all_fit, blocks};
use crate::support::folder::Folder;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const PAGE: &str = "docs/property-tests.md";

fn page() -> String {
    fs::read_to_string(Path::new(ROOT).join(PAGE)).unwrap()
}

/// The text of a section, with its heading.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let start = page.find(&format!("\n## {heading}\n")).unwrap() + 1;
    let end = page[start..]
        .find("\n## ")
        .map_or(page.len(), |end| start + end);
    &page[start..end]
}

/// A command of the page, with the lines of its output.
struct Shown<'p> {
    command: &'p str,
    output: Vec<&'p str>,
}

/// Writes the files of a section, changes them, and runs its commands. Returns the text of the section with the outputs as
/// they are now.
fn run_section(text: &str, folder: &Path, variables: &[(&str, String)]) -> (String, usize) {
    let mut updated = text.to_owned();
    let mut count = 0;
    for (info, block) in blocks(text) {
        match info.split_once(' ') {
            Some(("diff", file)) => change(&folder.join(file), &block),
            Some((_, file)) => {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, block).unwrap();
            }
            None if info == "console" => {
                for part in format!("\n{block}").split("\n$ ").skip(1) {
                    let (command, output) = part.split_once('\n').unwrap_or((part, ""));
                    let shown = Shown {
                        command,
                        output: output.lines().collect(),
                    };
                    let found = run(&shown, folder, variables);
                    let old = format!("$ {command}\n{}", lines(&shown.output));
                    assert!(updated.contains(&old), "{old}");
                    updated = updated.replace(&old, &format!("$ {command}\n{}", lines(&found)));
                    count += usize::from(command.starts_with("bptt "));
                }
            }
            None => {}
        }
    }
    (updated, count)
}

fn lines(lines: &[impl AsRef<str>]) -> String {
    lines.iter().map(|l| format!("{}\n", l.as_ref())).collect()
}

/// Replaces the lines with `-` by those with `+`.
fn change(file: &Path, block: &str) {
    let part = |sign: char| -> String {
        let lines = block.lines().filter_map(|l| l.strip_prefix(sign));
        lines.map(|l| format!("{l}\n")).collect()
    };
    let text = fs::read_to_string(file).unwrap();
    let (old, new) = (part('-'), part('+'));
    assert_eq!(text.matches(&old).count(), 1, "{old}");
    fs::write(file, text.replace(&old, &new)).unwrap();
}

/// Runs a command; the result is the lines to show, if they are not those that are shown.
fn run(shown: &Shown<'_>, folder: &Path, variables: &[(&str, String)]) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1\n{}", shown.command)]);
    shell.envs(variables.iter().map(|(n, v)| (n, v)));
    let output = shell.current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let is_note = |line: &&str| line.starts_with("bptt: note: certifying");
    let found: Vec<&str> = text.lines().filter(|l| !is_note(l)).collect();
    let fails = ["REJECTED", "NO ANSWER", "INCOMPLETE", "FAILED"];
    let fails = shown
        .output
        .iter()
        .any(|l| fails.iter().any(|f| l.contains(f)));
    assert_eq!(
        output.status.success(),
        !fails,
        "$ {}\n{text}",
        shown.command
    );
    let comparable =
        |lines: &[&str]| -> Vec<String> { lines.iter().map(|l| without_rounding(l)).collect() };
    let (expected, actual) = (comparable(&shown.output), comparable(&found));
    let [expected, actual] =
        [&expected, &actual].map(|v| v.iter().map(|l| &**l).collect::<Vec<_>>());
    if all_fit(&expected, &actual) {
        return shown.output.iter().map(ToString::to_string).collect();
    }
    assert!(
        is_updated(),
        "$ {}\n{text}\nexpected:\n{}\n(UPDATE_GOLDEN=1 rewrites the certificates of the page)",
        shown.command,
        shown.output.join("\n")
    );
    certificate(&found)
}

fn is_updated() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// The certificate in an output, between dots for what is around it.
fn certificate(found: &[&str]) -> Vec<String> {
    let first = found.iter().position(|l| l.starts_with("foreign code for"));
    let first = first.expect("the output has a certificate");
    let ends = |l: &&str| l.is_empty() || l.starts_with("note: ") || l.starts_with("stack ");
    let count = found[first..].iter().position(ends);
    let last = count.map_or(found.len(), |count| first + count);
    let mut shown = Vec::new();
    shown.extend((first > 0).then(|| "…".to_owned()));
    shown.extend(found[first..last].iter().map(|l| shortened(l)));
    shown.extend((last < found.len()).then(|| "…".to_owned()));
    shown
}

/// The pieces of a line that are numbers or not.
fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_word = rest.starts_with(is_part);
        let end = rest.find(|c: char| is_part(c) != is_word);
        let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// A line with the same sign for all rounding errors, which differ between machines.
fn without_rounding(line: &str) -> String {
    let is_small =
        |token: &str| token.len() == 7 && token.parse().is_ok_and(|x: f64| x > 0.0 && x < 1e-14);
    let token = |token: &str| {
        if is_small(token) || token == "0.0e0" {
            "≈0".into()
        } else {
            token.to_owned()
        }
    };
    let text: String = tokens(line).into_iter().map(token).collect();
    // The width of the column differs.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line with five digits of long numbers.
fn shortened(line: &str) -> String {
    let short = |token: &str| match token.parse::<f64>() {
        Ok(_) if token.len() > 12 && token.contains('.') && !token.contains('e') => {
            let digits = token.find(|c: char| ('1'..='9').contains(&c)).unwrap_or(0);
            format!("{}…", &token[..(digits + 6).min(token.len())])
        }
        _ => token.to_owned(),
    };
    tokens(line).into_iter().map(short).collect()
}

/// Rewrites a section of the page, if that is wanted.
fn update(old: &str, new: &str) {
    if is_updated() && old != new {
        let page = page().replace(old, new);
        fs::write(Path::new(ROOT).join(PAGE), page).unwrap();
    }
}

/// Builds the library without optimisation, for a crate of its own, which takes minutes.
#[test]
#[ignore = "builds the library for another crate: run by .ci/run"]
fn the_rust_section_runs_from_an_empty_crate() {
    let folder = Folder::new("my-lstm");
    let krate = folder.file("my-lstm");
    fs::create_dir(&krate).unwrap();
    std::os::unix::fs::symlink(fs::canonicalize(ROOT).unwrap(), folder.file("bptt")).unwrap();
    // The versions of dependencies are those of the workspace, which are there.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), krate.join("Cargo.lock")).unwrap();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("property-tests");
    let text = page();
    let old = section(&text, "From Rust");
    let variables = [
        ("CARGO_TARGET_DIR", target.display().to_string()),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
        ("RUST_BACKTRACE", "0".to_owned()),
    ];
    let (new, _) = run_section(old, &krate, &variables);
    update(old, &new);
}

#[test]
fn the_python_section_runs() {
    let numpy = Command::new("python3")
        .args(["-c", "import numpy"])
        .output();
    if !numpy.is_ok_and(|o| o.status.success()) {
        assert!(
            std::env::var_os("BPTT_NUMPY").is_none(),
            "numpy is needed: `python3 -m pip install numpy`"
        );
        eprintln!("skipped: python3 has no numpy: `python3 -m pip install numpy`");
        return;
    }
    let folder = Folder::new("my-lstm-py");
    let program = Path::new(env!("CARGO_BIN_EXE_bptt")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let variables = [("PATH", format!("{}:{path}", program.display()))];
    let text = page();
    let old = section(&text, "From Python");
    let (new, count) = run_section(old, folder.path(), &variables);
    let (_, expected) = PAGES.iter().find(|(name, _)| *name == PAGE).unwrap();
    assert_eq!(count, *expected, "the commands of {PAGE}");
    update(old, &new);
}

/// The page has the rules of `Cases`, and the documentation of the protocol names the same arrays.
#[test]
fn the_rules_are_those_of_the_library() {
    let source =
        fs::read_to_string(Path::new(ROOT).join("crates/bptt-testing/src/case.rs")).unwrap();
    let rows = source.lines().filter_map(|l| l.strip_prefix("/// | "));
    let rows: Vec<&str> = rows.collect();
    assert!(rows.len() > 8, "the rules are found");
    let page = page();
    let missing: Vec<&&str> = rows.iter().filter(|row| !page.contains(**row)).collect();
    assert!(missing.is_empty(), "{PAGE} does not have: {missing:#?}");
}

#[test]
fn comparisons_ignore_rounding_alone() {
    for (a, b, same) in [
        (
            "  U_f   –     6.5e-16      3e-14",
            "  U_f   –     7.8e-15      3e-14",
            true,
        ),
        (
            "  U_f   –     6.5e-16      3e-14",
            "  U_f   –       0.0e0      3e-14",
            true,
        ),
        (
            "  U_f   –     6.5e-16      3e-14",
            "  U_f   –     6.5e-13      3e-14",
            false,
        ),
        (
            "  U_f   –     6.5e-16      3e-14",
            "  U_g   –     6.5e-16      3e-14",
            false,
        ),
        (
            "  U_f   –     6.5e-16      3e-14",
            "  U_f   –     6.5e-16      4e-14",
            false,
        ),
    ] {
        assert_eq!(
            without_rounding(a) == without_rounding(b),
            same,
            "{a} | {b}"
        );
    }
    let line = "expected -0.0322811220886977, found 12.14864677197841078 at entry [3, 2]";
    assert_eq!(
        shortened(line),
        "expected -0.0322811…, found 12.148… at entry [3, 2]"
    );
}
