//! Options that are empty, repeated or without effect, and advice in terms of options.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

const CELL: &str = "input x\nparam a = 1\nloss (x - a)^2\n";
const ALL: &str = "input x\nparam all = 1, a = 2\nloss (x - a * all)^2\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("x.csv"), "x\n1\n2\n4\n").unwrap();
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    fs::write(folder.file("all.rec"), ALL).unwrap();
    folder
}

/// A wrong command line has exit code 2, names the option, and says what can be typed.
#[test]
fn empty_and_repeated_items_are_wrong_command_lines() {
    let folder = folder("items");
    let grad = ["grad", "cell.rec", "--data", "x.csv"];
    let fit = ["fit", "cell.rec", "--data", "x.csv", "--out", "o.npz"];
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&grad, &["--wrt", ""], &["--wrt", "empty", "--wrt all"]),
        (&grad, &["--wrt", " "], &["--wrt", "empty"]),
        (&grad, &["--wrt", ","], &["--wrt", "empty"]),
        (&grad, &["--wrt", "a,"], &["--wrt", "empty"]),
        (&grad, &["--wrt", "a,,x"], &["--wrt", "empty"]),
        (&grad, &["--wrt", "a, a"], &["--wrt names `a` twice"]),
        (&grad, &["--wrt", "all,all"], &["--wrt names `all` twice"]),
        (
            &grad,
            &["--wrt", "all,a"],
            &["--wrt all takes all", "give --wrt all alone"],
        ),
        (&grad, &["--wrt", "a,all"], &["--wrt all takes all"]),
        (&grad, &["--dims", ""], &["--dims", "such as H=3"]),
        (&grad, &["--dims", ","], &["--dims", "such as H=3"]),
        (&grad, &["--dims", "=3"], &["--dims", "such as H=3"]),
        (&grad, &["--dims", "H=1,"], &["--dims", "such as H=3"]),
        (
            &grad,
            &["--dims", "H=1,H=1"],
            &["--dims gives the size H twice"],
        ),
        (&grad, &["--params", ""], &["--params"]),
        (&grad, &["--seed", ""], &["--seed", "whole number"]),
        (&grad, &["--dtype", ""], &["--dtype", "f32, f64"]),
        (
            &grad,
            &["--memory", ""],
            &["--memory", "such as 512M or 8G"],
        ),
        (&fit, &["--optimizer", ""], &["--optimizer", "newton"]),
        (&fit, &["--errors", ""], &["--errors", "hessian"]),
        (&fit, &["--lr", ""], &["--lr", "such as 0.01"]),
        (&fit, &["--resume", ""], &["--resume"]),
        (
            &fit,
            &["--dtype", "f32", "--optimizer", "newton"],
            &["--dtype f32", "--optimizer newton", "f64"],
        ),
        (
            &fit,
            &["--dtype", "f32", "--errors", "opg"],
            &["--dtype f32", "standard errors", "f64"],
        ),
        (
            &["fit", "characters", "--out", "o.npz"],
            &[],
            &["--data FILE", "or --text FILE"],
        ),
        (&["fit", "garch11", "--out", "o.npz"], &[], &["--data FILE"]),
        (&["grad", "", "--data", "x.csv"], &[], &["CELL"]),
        (&["show", ""], &[], &["CELL"]),
        (&["check", ""], &[], &["CELL"]),
        (&["derive", ""], &[], &["CELL"]),
        (&["new", ""], &[], &["FILE"]),
    ];
    for (command, more, words) in cases {
        let message = failure(&bptt(&folder, &[command, *more].concat()), 2);
        for word in *words {
            assert!(message.contains(word), "{command:?} {more:?}: {message}");
        }
    }
}

#[test]
fn a_wrong_limit_in_the_environment_is_a_wrong_command_line() {
    for wrong in ["", "much"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bptt"));
        let found = command.arg("show").env("BPTT_MEMORY", wrong).output();
        let message = failure(&found.unwrap(), 2);
        assert!(
            message.contains("BPTT_MEMORY: expected a number of bytes such as 512M or 8G"),
            "{message}"
        );
    }
}

/// A value named as the keyword can be asked for, and the clash is told.
#[test]
fn a_parameter_named_all_is_not_shadowed() {
    let folder = folder("all");
    let grad = |wrt: &str| {
        bptt(
            &folder,
            &["grad", "all.rec", "--data", "x.csv", "--json", "--wrt", wrt],
        )
    };
    let names = |wrt: &str| {
        let found = json(&success(&grad(wrt)));
        let mut names: Vec<String> = found["gradients"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names("all,a"), "a all");
    assert_eq!(names("x,all"), "all x");
    assert_eq!(names("all"), "a all x");
    let note = String::from_utf8_lossy(&grad("all").stderr).into_owned();
    assert!(note.contains("for the value named `all`"), "{note}");
    let other = bptt(
        &folder,
        &["grad", "cell.rec", "--data", "x.csv", "--wrt", "all"],
    );
    assert!(other.stderr.is_empty(), "no clash");
}

#[test]
fn options_of_every_command_have_an_effect() {
    let folder = folder("effect");
    for (command, option) in [
        ("completions bash", "--memory 3"),
        ("show", "--memory 3"),
        ("show lstm", "--memory 3"),
        ("show lstm --format stages", "--memory 3"),
        ("new other.rec", "--memory 3"),
        (
            "fit cell.rec --data x.csv --out o.npz --steps 0",
            "--lr 0.1",
        ),
        (
            "fit cell.rec --data x.csv --out o.npz --steps 0",
            "--clip 1",
        ),
        (
            "fit cell.rec --data x.csv --out o.npz --steps 0",
            "--clip-per-sample 1",
        ),
        (
            "fit cell.rec --data x.csv --out o.npz --steps 0",
            "--batch 1",
        ),
        (
            "fit cell.rec --data x.csv --out o.npz --steps 0",
            "--seed 3",
        ),
        ("fit cell.rec --data x.csv --out o.npz", "--seed 3"),
        (
            "fit cell.rec --data x.csv --out o.npz --optimizer newton",
            "--seed 3",
        ),
        (
            "fit cell.rec --data x.csv --out o.npz --optimizer newton",
            "--batch 1",
        ),
    ] {
        for line in [format!("{command} {option}"), format!("{option} {command}")] {
            if line.starts_with("--")
                && !["--memory", "--quiet"].iter().any(|o| line.starts_with(o))
            {
                continue;
            }
            let arguments: Vec<&str> = line.split_whitespace().collect();
            let message = failure(&bptt(&folder, &arguments), 2);
            let name = option.split_whitespace().next().unwrap();
            assert!(
                message.contains(&format!("{name} has no effect")),
                "{line}: {message}"
            );
            assert!(message.contains("leave it out"), "{line}: {message}");
        }
    }
    // A seed beside a batch of all samples is told.
    let fit = "fit cell.rec --data x.csv --out o.npz --steps 2 --batch 1 --seed 3";
    let found = bptt(&folder, &fit.split_whitespace().collect::<Vec<_>>());
    let note = String::from_utf8_lossy(&found.stderr);
    assert!(note.contains("--seed 3 has no effect"), "{note}");
    assert_eq!(found.status.code(), Some(0));
}

/// The command line advises its own options, the library its functions.
#[test]
fn advice_is_given_in_options() {
    let folder = folder("advice");
    fs::write(
        folder.file("sized.rec"),
        "dim H = 3\ninput x[H]\nloss sum(x)\n",
    )
    .unwrap();
    fs::write(
        folder.file("size.rec"),
        "dim H\ninput x\nparam w[H]\nloss x * sum(w)\n",
    )
    .unwrap();
    fs::write(folder.file("missing.csv"), "x\n1\ninf\n").unwrap();
    fs::write(folder.file("grad.rec"), "input x\nparam a\nloss ∂a\n").unwrap();
    for (line, code, words) in [
        (
            "grad cell.rec --data x.csv --memory 3",
            3,
            "raise the limit with `--memory`, such as",
        ),
        (
            "check cell.rec --memory 3",
            3,
            "raise the limit with `--memory`, such as",
        ),
        (
            "run cell.rec --data x.csv --memory 3",
            3,
            "raise the limit with `--memory`, such as",
        ),
        ("show sized.rec", 3, "given by `--dims H=3`;"),
        ("grad size.rec --data x.csv", 3, "--dims H="),
        ("show grad.rec", 3, "`bptt grad`"),
        (
            "grad size.rec --data missing.csv --dims H=2",
            3,
            "`mask input m` in the text of the recurrence",
        ),
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let message = failure(&bptt(&folder, &arguments), code);
        assert!(message.contains(words), "{line}: {message}");
        for rust in ["bptt::", "Batch::", "Recurrence::", "Check::"] {
            assert!(!message.contains(rust), "{line}: {message}");
        }
    }
    // The limit in the advice is enough.
    let run = |limit: &str| {
        let line = format!("run cell.rec --data x.csv --memory {limit}");
        bptt(&folder, &line.split_whitespace().collect::<Vec<_>>())
    };
    let message = failure(&run("3"), 3);
    let advised = message.split("`--memory ").nth(1).unwrap();
    success(&run(advised.split('`').next().unwrap()));
}

/// A message names the file or stream that could not be written.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_names_its_target() {
    use std::process::{Command, Stdio};
    let folder = folder("full");
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let run = |line: &str, out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
        command
            .current_dir(folder.path())
            .args(line.split_whitespace());
        command.stdout(out).output().unwrap()
    };
    let fit = "fit cell.rec --data x.csv --steps 2 --out o.npz";
    assert_eq!(run(fit, Stdio::null()).status.code(), Some(0));
    for line in [
        "show",
        "show lstm",
        "show lstm --json",
        "show lstm --format svg",
        "completions bash",
        "completions fish --json",
        "derive garch11 --level sheet",
        "check cell.rec",
        "check cell.rec --json",
        "grad cell.rec --data x.csv",
        "run cell.rec --data x.csv --json",
        fit,
        "convert cell.rec --params o.npz --out p.npz",
        "new other.rec",
        "--help",
        "fit --help",
        "help",
        "--version",
    ] {
        let found = run(line, full().into());
        let message = String::from_utf8_lossy(&found.stderr);
        assert_eq!(found.status.code(), Some(3), "{line}: {message}");
        assert!(
            message.contains("standard output: cannot be written: No space left"),
            "{line}: {message}"
        );
    }
    for line in ["show lstm --out /dev/full", "derive rnn --out /dev/full"] {
        let found = run(line, Stdio::null());
        let message = String::from_utf8_lossy(&found.stderr);
        assert_eq!(found.status.code(), Some(3), "{line}: {message}");
        assert!(
            message.contains("/dev/full: cannot be written"),
            "{line}: {message}"
        );
    }
}
