//! `bptt check` on the command line: verdict, estimate of time, and explanations.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::command::{bptt, json, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::{Array2, arr0, array};

/// Runs a command whose reader has closed the pipe.
fn unread(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.current_dir(folder.path()).args(arguments);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap()
}

/// A kink at the data: |a x| has no derivative at 0.
fn kink(folder: &Folder) {
    fs::write(
        folder.file("kink.rec"),
        "input x\nparam a\nloss abs(a * x)\n",
    )
    .unwrap();
    let zero = Arrays::new().with("x", array![[0.0]]);
    zero.write(folder.file("zero.npz")).unwrap();
    Arrays::new()
        .with("a", arr0(0.0))
        .write(folder.file("a.npz"))
        .unwrap();
}

#[test]
fn the_exit_code_is_that_of_the_verdict_when_the_reader_has_gone() {
    let folder = Folder::new("unread");
    kink(&folder);
    let kink = ["check", "kink.rec", "-d", "zero.npz", "-p", "a.npz"];
    for (arguments, code) in [
        (&kink[..], 1),
        (&[&kink[..], &["--json"]].concat(), 1),
        (&["check", "garch11", "--trials", "2"], 0),
        (&["show", "lstm"], 0),
        (&["new", "cell.rec"], 0),
        (&["show", "lstmm"], 3),
        (&["check", "missing.rec"], 3),
    ] {
        let output = unread(&folder, arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert_eq!(
            message.contains("error"),
            code == 3,
            "{arguments:?}: {message}"
        );
    }
    assert!(
        folder.file("cell.rec").exists(),
        "the command is carried out"
    );
}

#[test]
fn an_incomplete_certificate_says_why() {
    let folder = Folder::new("kink");
    kink(&folder);
    let arguments = ["check", "kink.rec", "-d", "zero.npz", "-p", "a.npz"];
    let text = bptt(&folder, &arguments).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("`x`, `a`: a kink"), "{text}");
    assert!(!text.contains("other data"), "{text}");
    let found = bptt(&folder, &[&arguments[..], &["--json"]].concat()).stdout;
    let found = json(&String::from_utf8(found).unwrap());
    let trial = &found["trials"][0];
    assert_eq!(trial["verdict"], "incomplete");
    assert_eq!(trial["remarks"][0]["remark"], "kink");
    assert_eq!(trial["extent"]["of_steps"], 1);
    assert!(trial["findings"][0]["tolerance"].is_number());
}

#[test]
fn resets_of_the_data_are_not_perturbed() {
    let folder = Folder::new("reset");
    let source = "input x\nparam a, s0\nstate s = s0\ns' = tanh(a * s + x)\nloss s'^2\n";
    fs::write(folder.file("r.rec"), source).unwrap();
    let x = Array2::from_shape_fn((6, 1), |(t, _)| 0.3 * t as f64 - 0.7);
    let reset = array![[0_i64], [0], [1], [0], [1], [0]];
    let data = Arrays::new().with("x", x).with("reset", reset);
    data.write(folder.file("d.npz")).unwrap();
    let found = json(&success(&bptt(
        &folder,
        &["check", "r.rec", "-d", "d.npz", "--json"],
    )));
    assert_eq!(found["certified"], true, "{found}");
    assert_eq!(found["trials"][0]["remarks"][0]["name"], "reset");
    let arguments = ["grad", "r.rec", "-d", "d.npz", "--wrt", "all", "--json"];
    let found = json(&success(&bptt(&folder, &arguments)));
    let names: Vec<&String> = found["gradients"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["a", "s0", "x"]);
}

/// An estimate is written to the standard error before the work is done.
#[test]
fn long_work_is_announced() {
    let folder = Folder::new("announced");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.args(["check", "lstm", "--dims", "H=400,K=300"]);
    command.current_dir(folder.path());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut said = String::new();
    let errors = child.stderr.take().unwrap();
    BufReader::new(errors).read_line(&mut said).unwrap();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(said.contains("note: certifying takes "), "{said}");
    assert!(output.stdout.is_empty(), "it came before the result");
}

/// A parameter that has no effect on the data is not tested there: other random data is tried, or the report says so.
#[test]
fn a_parameter_without_effect_is_not_tested() {
    let folder = Folder::new("flat");
    for (unit, tested) in [("c", true), ("-1 - c^2", false)] {
        let text = format!("input x\nparam c, gamma\nloss (x - c)^2 + gamma^2 * relu({unit})\n");
        fs::write(folder.file("unit.rec"), text).unwrap();
        for seed in ["1", "2", "3", "4"] {
            let arguments = ["check", "unit.rec", "--json", "--seed", seed];
            let found = json(&success(&bptt(&folder, &arguments)));
            let remarks = &found["trials"][0]["remarks"];
            let said = remarks.to_string();
            assert_eq!(said.contains("\"flat\""), !tested, "{seed}: {said}");
            if !tested {
                assert!(
                    said.contains("not tested") && said.contains("`--params`"),
                    "{said}"
                );
                assert!(!said.contains("Params::insert"), "{said}");
            }
        }
    }
}
