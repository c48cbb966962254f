//! `bptt run --stream`: a row of outputs for each row of inputs, as soon as it comes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;
use bptt::Scalar;
use bptt::data::Arrays;

const CELL: &str = "dim H\ninput x[2], y\nparam W[H, 2], a = 0.5\nstate h[H]\n\
                    h' = tanh(W @ x + a * h)\noutput h', twice = 2 * x[0]\nmean loss (sum(h') - y)^2\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    fs::write(
        folder.file("sum.rec"),
        "input x\nstate s\ns' = s + x\noutput s'\n",
    )
    .unwrap();
    folder
}

fn command(folder: &Folder, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.current_dir(folder.path()).args(line.split(' '));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The output of a command that is given this text.
fn stream(folder: &Folder, line: &str, text: &str) -> Output {
    let mut child = command(folder, line).spawn().unwrap();
    // A command that refuses its options does not read.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

/// The message of a command that is given this text and fails, perhaps after some rows.
#[track_caller]
fn refused(folder: &Folder, line: &str, text: &str, expected: &[&str]) {
    let output = stream(folder, line, text);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    for part in expected {
        assert!(message.contains(part), "expected `{part}` in: {message}");
    }
}

#[test]
fn rows_are_answered_one_by_one() {
    let folder = folder("stream-live");
    let mut child = command(&folder, "run sum.rec --stream").spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    let mut answer = || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line
    };
    to.write_all(b"x\n1.5\n").unwrap();
    assert_eq!(answer(), "s\n");
    assert_eq!(answer(), "1.5\n");
    // No answer waits for the next row.
    to.write_all(b"2e-9\n").unwrap();
    assert_eq!(answer(), "1.500000002\n");
    to.write_all(b"1e30").unwrap();
    drop(to);
    assert_eq!(answer(), "1e30\n");
    assert_eq!(answer(), "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_output_ends_the_stream() {
    let folder = folder("stream-closed");
    let mut child = command(&folder, "run sum.rec --stream").spawn().unwrap();
    drop(child.stdout.take());
    let mut to = child.stdin.take().unwrap();
    to.write_all(b"x\n1\n").unwrap();
    // The input is still open.
    assert!(child.wait().unwrap().success());
}

/// The numbers are those of a run over the table, in both precisions.
#[test]
fn rows_have_the_numbers_of_a_run() {
    let folder = folder("stream-numbers");
    let mut text = "y,x[1],time,x[0]\n".to_owned();
    for t in 0..20 {
        let t = f64::from(t);
        text += &format!(
            "{},{},noon,{}\n",
            (0.3 * t).cos(),
            (0.1 * t).sin(),
            0.01 * t * t
        );
    }
    fs::write(folder.file("table.csv"), &text).unwrap();
    for dtype in ["f64", "f32"] {
        let options = format!("--dims H=3 --seed 4 --dtype {dtype}");
        let line = format!("run cell.rec --data table.csv {options} --out out.npz --quiet");
        success(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()));
        let expected = Arrays::read(folder.file("out.npz")).unwrap();
        let found = success(&stream(
            &folder,
            &format!("run cell.rec --stream {options}"),
            &text,
        ));
        let mut lines = found.lines();
        assert_eq!(lines.next(), Some("h[0],h[1],h[2],twice"));
        for t in 0..20 {
            let row: Vec<f64> = lines
                .next()
                .unwrap()
                .split(',')
                .map(|x| x.parse().unwrap())
                .collect();
            let h = expected.get("h").unwrap().real::<f64>();
            let twice = expected.get("twice").unwrap().real::<f64>();
            let all = (0..3).map(|i| h[[t, 0, i]]).chain([twice[[t, 0]]]);
            for (found, expected) in row.iter().zip(all) {
                let same = match dtype {
                    "f32" => f32::of(*found) == f32::of(expected),
                    _ => *found == expected,
                };
                assert!(same, "{found}, not {expected}, at step {t}");
            }
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn tables_are_read_as_from_a_file() {
    let folder = folder("stream-tables");
    let run = |options: &str, text: &str| {
        let line = format!("run sum.rec --stream{options}");
        success(&stream(&folder, &line, text))
    };
    let plain = "s\n1.0\n3.0\n";
    assert_eq!(run("", "x\n1\n2\n"), plain);
    assert_eq!(
        run(
            "",
            "\u{feff}# made by hand\r\n\r\n\"x\"\r\n1\r\n# a remark\r\n2\r\n"
        ),
        plain
    );
    assert_eq!(run("", "sep=|\nx|z\n1|a,b\n2|\n"), plain);
    let comma = "a;x\n\"p\";1,0\n;2,0\n";
    assert_eq!(run(" --decimal ,", comma), plain);
    assert_eq!(run(" --columns x=Close", "Close,Open\n1,5\n2,6\n"), plain);
    let holes = "x,z\n1,\n,7\nNA,\n2,\n";
    assert_eq!(run(" --missing drop-row", holes), plain);
    assert_eq!(run(" --missing split", holes), "s\n1.0\n2.0\n");
    assert_eq!(run(" --missing mask", holes), "s\n1.0\n0.0\n0.0\n3.0\n");
    assert_eq!(run("", "x,reset\n1,0\n2,1\n3,0\n"), "s\n1.0\n2.0\n5.0\n");
    // Inputs per sample are those of the first row.
    let from = "input x\nsample input s0\nstate s = s0\ns' = s + x\noutput s'\n";
    fs::write(folder.file("from.rec"), from).unwrap();
    let found = stream(&folder, "run from.rec --stream", "s0,x\n10,1\n10,2\n");
    assert_eq!(success(&found), "s\n11.0\n13.0\n");
    // Outputs of inputs that the table lacks are left out.
    let found = stream(
        &folder,
        "run cell.rec --dims H=1 --stream",
        "x[0],x[1]\n1,2\n",
    );
    let note = String::from_utf8_lossy(&found.stderr);
    assert!(note.contains("there is no `y`: left out: `loss`"), "{note}");
    assert!(success(&found).starts_with("h[0],twice\n"));
}

#[test]
fn texts_of_classes_are_those_of_the_parameters() {
    let folder = folder("stream-classes");
    let text = "dim C\ninput c: class(C), y\nparam v[C] = 1\nstate s\ns' = s + gather(v, c)\noutput s'\nloss (s' - y)^2\n";
    fs::write(folder.file("texts.rec"), text).unwrap();
    fs::write(folder.file("texts.csv"), "c,y\nlow,1\nhigh,3\nlow,4\n").unwrap();
    let line = "fit texts.rec --data texts.csv --steps 0 --out texts.npz --quiet";
    success(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()));
    let line = "run texts.rec --params texts.npz --stream --quiet";
    let found = success(&stream(&folder, line, "c\nhigh\nlow\n"));
    assert_eq!(found, "s\n1.0\n2.0\n");
    refused(
        &folder,
        line,
        "c\nhigh\nmiddle\n",
        &["standard input: line 3", "middle"],
    );
    refused(
        &folder,
        "run texts.rec --dims C=2 --stream",
        "c\nhigh\n",
        &[
            "standard input: line 2: `c` is a text",
            "(`--params` of a fit",
        ],
    );
}

#[test]
fn a_bad_row_is_named_by_its_line() {
    let folder = folder("stream-bad");
    let line = "run sum.rec --stream";
    let bad = [
        (
            "x,z\n1,1\nabc,1\n",
            &["standard input: line 3: `x`", "`abc`"][..],
        ),
        (
            "x,z\n1,1\n# note\n2\n",
            &["line 4: expected 2 fields, found 1"],
        ),
        ("x,z\n1,1\n,1\n", &["line 3, column `x`: expected a value"]),
        ("x,z\n1,1\ninf,1\n", &["line 3: input `x` is not finite"]),
        (
            "x,reset\n1,0\n1,2\n",
            &["line 3: `reset`: expected 0 or 1, found 2"],
        ),
        ("x,z\n1,\"a\n", &["line 2: a quotation mark is not closed"]),
        (
            "z\n1\n",
            &[
                "there is no column `x`",
                "the table has: `z`",
                "--columns x='z'",
            ],
        ),
        ("1,2\n3,4\n", &["row of names"]),
        ("x\n", &["has a row of names and no row of numbers"]),
        ("", &["is empty, expected a row of names"]),
    ];
    for (text, expected) in bad {
        refused(&folder, line, text, expected);
    }
    let mut bytes = command(&folder, line).spawn().unwrap();
    bytes.stdin.take().unwrap().write_all(b"x\n\xff\n").unwrap();
    let output = bytes.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2 is not UTF-8"));
    // The rows before the bad one are answered.
    let output = stream(&folder, line, "x\n1\nabc\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "s\n1.0\n");

    fs::write(folder.file("late.rec"), "input x\noutput y = advance(x)\n").unwrap();
    refused(
        &folder,
        "run late.rec --stream",
        "x\n1\n",
        &["`y` reads the next step; run the whole sequence, without `--stream`"],
    );
    fs::write(folder.file("none.rec"), "input x\nloss x^2\n").unwrap();
    refused(
        &folder,
        "run none.rec --stream",
        "x\n1\n",
        &["has no output for each step"],
    );
}

#[test]
fn options_that_a_stream_cannot_have_are_refused() {
    let folder = folder("stream-options");
    for option in ["--id x", "--sort x", "--out o.npz", "--json"] {
        let line = format!("run sum.rec --stream {option}");
        let message = failure(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()), 2);
        let expected = "has no effect with --stream";
        assert!(message.contains(expected), "{option}: {message}");
    }
    let both = ["run", "sum.rec", "--stream", "--data", "x.csv"];
    let message = failure(&bptt(&folder, &both), 2);
    assert!(message.contains("cannot be used with"), "{message}");
    let neither = failure(&bptt(&folder, &["run", "sum.rec"]), 2);
    assert!(
        neither.contains("--data <FILE>") && neither.contains("--stream"),
        "{neither}"
    );
}
