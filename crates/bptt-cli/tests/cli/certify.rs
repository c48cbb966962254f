//! `bptt certify` on the command line: verdicts, exit codes, JSON, and the end of the program.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bptt::Recurrence;
use bptt_testing::{Cases, Expected, Quantity, Reference};
use ndarray::{ArrayViewD, Axis};
use serde_json::{Value, json};

use crate::command::{bptt, failure, json as object, success};
use crate::support::folder::Folder;

const DECAY: &str = "input x\nparam a\nstate s\ns' = a * s + x\nloss s'^2\n";

fn nested(array: ArrayViewD<'_, f64>, scale: f64) -> Value {
    match array.ndim() {
        0 => json!(array.first().map(|x| x * scale)),
        _ => array.axis_iter(Axis(0)).map(|a| nested(a, scale)).collect(),
    }
}

/// The answer to a case; gradients are multiplied by a number.
fn answer(id: usize, expected: &Expected, scale: f64) -> Value {
    let mut answer = json!({ "id": id });
    for (quantity, name, bounded) in expected.iter() {
        match quantity {
            Quantity::Loss => answer["loss"] = nested(bounded.value.view(), 1.0),
            Quantity::Gradient => {
                answer["gradient"][name] = nested(bounded.value.view(), scale);
            }
            _ => {}
        }
    }
    answer
}

/// Writes `decay.rec`, and a program that gives answers to 20 cases of it: right ones, or with gradients that are
/// multiplied by a number.
pub(crate) fn program(folder: &Folder, name: &str, scale: f64) {
    fs::write(folder.file("decay.rec"), DECAY).unwrap();
    let decay = Recurrence::parse("decay.rec", DECAY).unwrap();
    let reference = Reference::new(&decay, false).unwrap();
    let answers = (0..20).map(|trial| {
        // The seeds are those of `--seed 1`.
        let case = Cases::new(&decay).draw(1 + trial as u64).unwrap();
        let expected = reference.expect(&case).unwrap();
        format!(
            "read -r question\necho '{}'\n",
            answer(trial + 1, &expected, scale)
        )
    });
    fs::write(folder.file(name), answers.collect::<String>()).unwrap();
}

fn certify(folder: &Folder, run: &str, more: &[&str]) -> std::process::Output {
    bptt(
        folder,
        &[&["certify", "decay.rec", "--run", run], more].concat(),
    )
}

#[test]
fn a_right_program_is_certified() {
    let folder = Folder::new("certify-right");
    program(&folder, "right.sh", 1.0);
    let text = success(&certify(&folder, "sh right.sh", &[]));
    assert!(text.contains("numbers compared: certified\n"), "{text}");
    let found = object(&success(&certify(&folder, "sh right.sh", &["--json"])));
    assert_eq!(found["verdict"], "certified");
    assert_eq!(found["trials"].as_array().unwrap().len(), 20);
    assert!(found["trials"][0]["lengths"][0].is_u64());
    let names: Vec<&Value> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["name"])
        .collect();
    assert_eq!(names, ["loss", "x", "a"]);
    assert!(found.get("failure").is_none() && found.get("diagnosis").is_none());
}

#[test]
fn a_wrong_gradient_is_rejected_with_its_place() {
    let folder = Folder::new("certify-wrong");
    program(&folder, "wrong.sh", 1.01);
    let run = |more: &[&str]| {
        let all = [&["--no-diagnosis"], more].concat();
        let output = certify(&folder, "sh wrong.sh", &all);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&[]);
    assert!(
        text.contains("numbers compared: REJECTED\n  the worst: the gradient of `"),
        "{text}"
    );
    let found = object(&run(&["--json"]));
    assert_eq!(
        (&found["verdict"], &found["certified"]),
        (&json!("rejected"), &json!(false))
    );
    let findings = found["findings"].as_array().unwrap();
    let agrees: Vec<_> = findings.iter().map(|f| &f["agrees"]).collect();
    assert_eq!(agrees, [true, false, false]);
    assert!(
        findings[1]["step"].is_u64() && findings[1]["sample"].is_u64(),
        "{found}"
    );
}

#[test]
fn no_answer_has_its_kind() {
    let folder = Folder::new("certify-none");
    fs::write(folder.file("decay.rec"), DECAY).unwrap();
    for (run, more, kind, part) in [
        (
            "echo no weights >&2; exit 2",
            &[][..],
            "ended",
            "no weights",
        ),
        ("sleep 100", &["--timeout", "0.1"], "late", "`--timeout`"),
        (
            "echo '{\"id\": 1, \"unsupported\": \"lengths\"}'",
            &[],
            "unsupported",
            "lengths",
        ),
        ("true", &["--files"], "malformed", "wrote no answer"),
    ] {
        let output = certify(&folder, run, &[more, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{run}: {output:?}");
        let found = object(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(found["verdict"], "failed", "{found}");
        assert_eq!(found["failure"]["kind"], kind, "{found}");
        let message = found["failure"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("Program::timeout"), "{message}");
        let text = String::from_utf8(certify(&folder, run, more).stdout).unwrap();
        assert!(
            text.contains("NO ANSWER") && text.contains("the case: lengths ["),
            "{text}"
        );
    }
}

#[test]
fn an_answer_without_a_gradient_is_incomplete() {
    let folder = Folder::new("certify-incomplete");
    fs::write(
        folder.file("decay.rec"),
        "input x\nparam a\nloss a * x - stop_gradient(a * x)\n",
    )
    .unwrap();
    let run =
        "n=0; while read -r q; do n=$((n+1)); echo \"{\\\"id\\\": $n, \\\"loss\\\": 0}\"; done";
    let output = certify(&folder, run, &["--trials", "2"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("INCOMPLETE\n  not answered: the gradient of `a`"),
        "{text}"
    );
}

/// The question has the sizes, lengths, type and starts that were asked for.
#[test]
fn options_shape_the_questions() {
    let folder = Folder::new("certify-options");
    fs::write(folder.file("decay.rec"), DECAY).unwrap();
    let run = "read -r q; echo \"$q\" > question; echo '{\"id\": 1, \"error\": \"enough\"}'";
    let question = |more: &[&str]| {
        certify(&folder, run, more);
        object(&fs::read_to_string(folder.file("question")).unwrap())
    };
    let found = question(&[
        "--steps",
        "7",
        "--samples",
        "4..4",
        "--equal-lengths",
        "--dtype",
        "f32",
    ]);
    assert_eq!(found["lengths"], json!([7, 7, 7, 7]));
    assert_eq!(found["dtype"], "f32");
    assert!(found["inputs"].get("s0").is_none() && found.get("direction").is_none());
    let found = question(&["--start-inputs", "--second-order"]);
    assert!(
        found["inputs"]["s0"].is_array() && found["direction"]["s0"].is_array(),
        "{found}"
    );
}

#[test]
fn wrong_options_say_what_to_type() {
    let folder = Folder::new("certify-messages");
    fs::write(folder.file("decay.rec"), DECAY).unwrap();
    fs::write(
        folder.file("own.rec"),
        "input x, s0\nstate s = s0\ns' = s\nsample input s1\nloss s' * x\n",
    )
    .unwrap();
    for (arguments, code, part) in [
        ("certify decay.rec", 2, "--run <COMMAND>"),
        (
            "certify decay.rec --run true --steps 6..3",
            2,
            "a range such as 3..6, found `6..3`",
        ),
        (
            "certify decay.rec --run true --samples 0",
            2,
            "a whole number from 1 on",
        ),
        (
            "certify decay.rec --run true --timeout 0",
            2,
            "a number of seconds above 0",
        ),
        (
            "certify decay.rec --run true --dims H=3,H=4",
            2,
            "gives the size H twice",
        ),
        ("certify decay.rec --run true --dims H=3", 3, "`H`"),
        ("certify deca --run true", 3, "deca"),
        (
            "certify garch11 --run true --start-inputs",
            3,
            "--start-inputs: no state of `garch11`",
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let message = failure(&bptt(&folder, &words), code);
        assert!(message.contains(part), "{arguments}: {message}");
    }
    let empty = failure(&certify(&folder, " ", &[]), 2);
    assert!(empty.contains("expected a command, such as"), "{empty}");
}

/// A signal ends the command, and with it the program and all that this has started.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_stops_the_program() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = Folder::new("certify-signal");
        fs::write(folder.file("decay.rec"), DECAY).unwrap();
        let run = "trap '' INT TERM HUP; sleep 1000 & echo $$ $! > pids.part; mv pids.part pids; wait; sleep 1000";
        let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
        command.args(["certify", "decay.rec", "--run", run]);
        command
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while !folder.file("pids").exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let kill = format!("kill -{signal} {}", child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains("interrupted"), "{message}");
        let pids = fs::read_to_string(folder.file("pids")).unwrap();
        for pid in pids.split_whitespace() {
            let is_gone = || {
                let status = fs::read_to_string(Path::new("/proc").join(pid).join("status"));
                status.map_or(true, |s| s.contains("\nState:\tZ"))
            };
            let end = Instant::now() + Duration::from_secs(5);
            while !is_gone() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(is_gone(), "{signal}: process {pid} is left");
        }
    }
}
