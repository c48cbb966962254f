//! Programs that answer, and programs that misbehave in every way: each has a message of its own, none hangs, and no
//! process is left.

#![cfg(all(unix, feature = "process"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../tests/support/folder.rs"]
mod folder;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bptt::Recurrence;
use bptt::data::Arrays;
use bptt_testing::process::Program;
use bptt_testing::{
    Case, Cases, Certify, Expected, Failure, Foreign, Precision, Quantity, Reference, Verdict,
};
use folder::Folder;
use ndarray::{ArrayD, ArrayViewD, Axis, arr0};
use serde_json::{Value, json};

/// A recurrence with a vector, a class, an input per sample, and an output.
fn subject() -> Recurrence {
    let text = "
        dim H, C
        input x[H], y: class(C)
        sample input s0
        param W[C, H], a
        state s = s0
        s' = tanh(a * s + sum(x))
        output o = W @ x * s'
        loss softmax_cross_entropy(o, y)
    ";
    Recurrence::parse("subject.rec", text).unwrap()
}

fn case() -> Case {
    Cases::new(&subject()).draw(1).unwrap()
}

/// A program of the shell in a folder; it is late after a second and a half.
fn program(folder: &Folder, script: &str) -> Program {
    let line = format!("cd '{}'; {script}", folder.path().display());
    Program::new(&subject(), &line).timeout(Duration::from_millis(400))
}

fn nested(array: ArrayViewD<'_, f64>) -> Value {
    match array.ndim() {
        0 => json!(array.first()),
        _ => array.axis_iter(Axis(0)).map(nested).collect(),
    }
}

/// The right answer to a case, as JSON.
fn right(id: usize, expected: &Expected) -> Value {
    let mut answer = json!({ "id": id });
    for (quantity, name, bounded) in expected.iter() {
        match quantity {
            Quantity::Loss => answer["loss"] = nested(bounded.value.view()),
            q => answer[q.name()][name] = nested(bounded.value.view()),
        }
    }
    answer
}

/// A program that gives prepared answers, one after the other, and stores the questions.
const READER: &str =
    "n=0; while read -r q; do n=$((n+1)); echo \"$q\" >> questions; sed -n ${n}p answers; done";

/// Prepares the answers to some trials.
fn prepare(folder: &Folder, cases: &Cases<'_>, trials: usize, second_order: bool) {
    let reference = Reference::new(cases.recurrence(), second_order).unwrap();
    let answers = (0..trials).map(|trial| {
        // The seeds are those of `Certify` with seed 1.
        let case = cases.draw(1_000_003 + trial as u64).unwrap();
        right(trial + 1, &reference.expect(&case).unwrap()).to_string() + "\n"
    });
    fs::write(folder.file("answers"), answers.collect::<String>()).unwrap();
}

#[test]
fn a_right_program_is_certified_at_second_order_in_both_precisions() {
    let subject = subject();
    for precision in [Precision::F64, Precision::F32] {
        let folder = Folder::new("right");
        let cases = Cases::new(&subject).precision(precision);
        prepare(&folder, &cases, 3, true);
        let certify = Certify::new(cases.clone()).trials(3).second_order(true);
        let mut program = program(&folder, READER);
        let certificate = certify.run(&mut program).unwrap();
        assert_eq!(certificate.verdict(), Verdict::Certified, "{certificate}");
        drop(program);
        let questions = fs::read_to_string(folder.file("questions")).unwrap();
        assert_eq!(questions.lines().count(), 3, "one process has answered all");
        for (question, case) in questions.lines().zip(certificate.trials()) {
            is_the_question(&serde_json::from_str(question).unwrap(), case, &subject);
        }
    }
}

/// Checks every field of a question.
fn is_the_question(question: &Value, case: &Case, subject: &Recurrence) {
    assert_eq!(question["recurrence"], subject.name());
    assert_eq!(question["dtype"], case.precision.name());
    assert_eq!(question["second_order"], true);
    assert_eq!(question["steps"], case.batch.steps());
    assert_eq!(question["samples"], case.batch.samples());
    assert_eq!(question["lengths"], json!(case.lengths()));
    for (dim, size) in &case.sizes {
        assert_eq!(question["sizes"][dim], *size);
    }
    for (group, names) in [("params", ["W", "a", ""]), ("inputs", ["x", "y", "s0"])] {
        assert_eq!(
            question[group].as_object().unwrap().len(),
            names.iter().filter(|n| !n.is_empty()).count()
        );
        for name in names.iter().filter(|n| !n.is_empty()) {
            let read = in_precision(array(&question[group][name]), case.precision);
            assert_eq!(read, case.array(name).unwrap(), "{name} is exact");
        }
    }
    assert!(question["inputs"]["y"][0][0].is_u64(), "a class is whole");
    assert!(
        question["direction"].as_object().unwrap().len() == 4,
        "all but the class"
    );
    for (name, along) in case.direction.iter() {
        let read = in_precision(array(&question["direction"][name]), case.precision);
        assert_eq!(read, along, "{name}");
    }
}

/// The numbers as a program has them that computes in this precision.
fn in_precision(array: ArrayD<f64>, precision: Precision) -> ArrayD<f64> {
    match precision {
        Precision::F32 => array.mapv(|x| f64::from(x as f32)),
        _ => array,
    }
}

/// Nested lists as an array.
fn array(value: &Value) -> ArrayD<f64> {
    match value {
        Value::Array(parts) => {
            let parts: Vec<ArrayD<f64>> = parts.iter().map(array).collect();
            let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
            ndarray::stack(Axis(0), &views).unwrap()
        }
        number => arr0(number.as_f64().unwrap()).into_dyn(),
    }
}

/// The failure of a program with one question; it comes in time.
fn failure(name: &str, script: &str) -> Failure {
    let folder = Folder::new(name);
    let begun = Instant::now();
    let mut program = program(&folder, script);
    let found = program.answer(&case(), false);
    drop(program);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(15), "{name} took {took:?}");
    found.unwrap_err()
}

/// Every misbehaviour: its script, the kind of failure, and parts of the message.
const MISBEHAVIOURS: &[(&str, &str, &str, &[&str])] = &[
    (
        "no-command",
        "no_such_program --fast",
        "ended",
        &[
            "no_such_program",
            "exit code 127",
            "does not find the command",
            "not found",
        ],
    ),
    (
        "exits",
        "echo one >&2; echo two >&2; exit 3",
        "ended",
        &[
            "exit code 3",
            "before its first answer",
            "\n    one\n    two",
        ],
    ),
    (
        "exits-silently",
        "exit 0",
        "ended",
        &["exit code 0", "standard error is empty"],
    ),
    ("killed", "kill -9 $$", "ended", &["signal 9", "memory"]),
    (
        "segfaults",
        "sh -c 'kill -11 $$'; exit $?",
        "ended",
        &["signal 11"],
    ),
    (
        "closes-output",
        "exec 1>&-; sleep 100",
        "ended",
        &["closed its standard output"],
    ),
    (
        "never",
        "echo waiting >&2; sleep 100",
        "late",
        &[
            "did not answer question 1 within 1.6s",
            "killed",
            "flush",
            "    waiting",
        ],
    ),
    (
        "never-with-children",
        "trap '' TERM INT HUP; sleep 100 & sleep 100",
        "late",
        &["did not answer"],
    ),
    (
        "late",
        "read -r q; sleep 3; echo '{\"id\": 1}'",
        "late",
        &["did not answer"],
    ),
    (
        "debug-line",
        "read -r q; echo loading weights; echo '{\"id\": 1}'",
        "malformed",
        &[
            "line 1 of the standard output",
            "is not JSON: `loading weights`",
            "file=sys.stderr",
        ],
    ),
    (
        "half-a-line",
        "read -r q; printf '{\"id\": 1, \"lo'",
        "ended",
        &[
            "within its answer to question 1",
            "begins with `{\"id\": 1, \"lo`",
        ],
    ),
    (
        "half-a-line-and-waits",
        "read -r q; printf '{\"id\": 1, \"lo'; sleep 100",
        "late",
        &["did not end the line", "begins with `{\"id\": 1, \"lo`"],
    ),
    (
        "endless-line",
        "yes 0123456789 | tr -d '\\n'",
        "malformed",
        &[
            "more than an answer to this question can have",
            "begins with `012345",
        ],
    ),
    (
        "endless-lines",
        "yes",
        "malformed",
        &["line 1", "is not JSON: `y`"],
    ),
    ("endless-empty-lines", "yes ''", "late", &["did not answer"]),
    (
        "not-utf8",
        "read -r q; printf '{\"id\": \\377}\\n'",
        "malformed",
        &["line 1", "byte 7 is not UTF-8"],
    ),
    (
        "floods-errors",
        "yes noise >&2",
        "late",
        &["did not answer", "    …\n    noise"],
    ),
    (
        "closes-input",
        "exec 0<&-; sleep 100",
        "late",
        &["did not answer"],
    ),
    (
        "unsupported",
        "read -r q; echo '{\"id\": 1, \"unsupported\": \"only equal lengths\"}'",
        "unsupported",
        &["only equal lengths"],
    ),
    (
        "error",
        "read -r q; echo '{\"id\": 1, \"error\": \"singular\"}'",
        "failed",
        &["singular"],
    ),
];

#[test]
fn every_misbehaviour_has_a_message_of_its_own() {
    for (name, script, kind, parts) in MISBEHAVIOURS {
        let found = failure(name, script);
        let message = found.message();
        assert_eq!(found.kind(), *kind, "{name}: {message}");
        for part in *parts {
            assert!(message.contains(part), "{name}: `{part}` in {message}");
        }
        assert!(message.len() < 4000, "{name}: {message}");
    }
}

/// Wrong lines, the kind of failure, and a part of the message.
const LINES: &[(&str, &str, &str)] = &[
    ("3", "malformed", "is a number, expected an object"),
    ("[1, 2]", "malformed", "is a list, expected an object"),
    ("{}", "malformed", "has no \"id\", expected \"id\": 1"),
    (r#"{"id": 7}"#, "malformed", "has the id 7, expected 1"),
    (
        r#"{"id": "1"}"#,
        "malformed",
        "has the id \"1\", expected 1",
    ),
    (
        r#"{"id": 1, "gradients": {}}"#,
        "malformed",
        "has the key `gradients`, expected `id`",
    ),
    (
        r#"{"id": 1, "gradient": [1]}"#,
        "malformed",
        "has a list as `gradient`",
    ),
    (
        r#"{"id": 1, "loss": "0.5"}"#,
        "malformed",
        "has `loss` with the text \"0.5\", expected a number",
    ),
    (
        r#"{"id": 1, "loss": true}"#,
        "malformed",
        "has `loss` with true",
    ),
    (
        r#"{"id": 1, "gradient": {"W": [[1, 2], [3]]}}"#,
        "malformed",
        "different lengths: 1 at [1] (counted from 0), and 2 elsewhere",
    ),
    (
        r#"{"id": 1, "gradient": {"W": [[1, 2], 3]}}"#,
        "malformed",
        "with a number at [1] (counted from 0), where other entries have a list",
    ),
    (
        r#"{"id": 1, "gradient": {"W": [1, [2]]}}"#,
        "malformed",
        "with a list at [1] (counted from 0), where other entries have a number",
    ),
    (
        r#"{"id": 1, "gradient": {"a": null}}"#,
        "not finite",
        "`a` of `gradient` of the answer is null",
    ),
    (
        r#"{"id": 1, "gradient": {"W": [[1, NaN], [3, 4]]}}"#,
        "not finite",
        "`W` of `gradient` of the answer is NaN at [0, 1]",
    ),
    (
        r#"{"id": 1, "loss": -Infinity}"#,
        "not finite",
        "`loss` of the answer is -Infinity",
    ),
    (
        r#"{"id": 1, "loss": 1e999}"#,
        "malformed",
        "number out of range",
    ),
    (r#"{'id': 1}"#, "malformed", "is not JSON at byte 2"),
    (
        r#"{"id": 1, "loss": 0.5"#,
        "malformed",
        "is not JSON at byte 21: EOF while parsing an object",
    ),
];

#[test]
fn lines_of_the_wrong_form_are_named() {
    for (line, kind, part) in LINES {
        let script = format!("read -r q; cat <<'END'\n{line}\nEND\n");
        let found = failure("form", &script);
        assert_eq!(found.kind(), *kind, "{line}: {found}");
        assert!(found.message().contains(part), "{line}: {found}");
    }
}

/// Nesting that would overflow the stack of a reader is refused.
#[test]
fn deep_nesting_is_refused() {
    let found = failure("deep", "yes [ | head -c 40000 | tr -d '\\n'; echo");
    assert_eq!(found.kind(), "malformed");
    assert!(found.message().contains("recursion limit"), "{found}");
}

#[test]
fn wrong_shapes_and_names_are_misfits() {
    let subject = subject();
    for (answer, part) in [
        (
            r#"{"id": 1, "gradient": {"V": 1}}"#,
            "which `subject` does not have",
        ),
        (
            r#"{"id": 1, "gradient": {"a": [1, 2]}}"#,
            "has the shape [2], expected []",
        ),
    ] {
        let folder = Folder::new("misfit");
        let mut program = program(&folder, &format!("read -r q; echo '{answer}'"));
        let certificate = Certify::new(Cases::new(&subject))
            .run(&mut program)
            .unwrap();
        let failure = certificate.failure().unwrap();
        assert_eq!(failure.kind(), "misfit");
        assert!(failure.message().contains(part), "{failure}");
    }
}

#[test]
fn a_program_that_ends_after_some_answers_says_after_how_many() {
    let subject = subject();
    let folder = Folder::new("some");
    prepare(&folder, &Cases::new(&subject), 2, false);
    let mut program = program(
        &folder,
        "read -r q; sed -n 1p answers; read -r q; sed -n 2p answers",
    );
    let certificate = Certify::new(Cases::new(&subject))
        .run(&mut program)
        .unwrap();
    let failure = certificate.failure().unwrap();
    assert_eq!((failure.kind(), certificate.trials().len()), ("ended", 3));
    let message = failure.message();
    assert!(
        message.contains("exit code 0 before its answer to question 3"),
        "{message}"
    );
}

/// The last line of a program that then ends needs no end.
#[test]
fn an_answer_without_an_end_of_line_counts_if_the_program_has_ended() {
    let folder = Folder::new("no-end");
    let mut program = program(&folder, "read -r q; printf '{\"id\": 1, \"loss\": 0.5}'");
    let answer = program.answer(&case(), false).unwrap();
    assert_eq!(answer.get(Quantity::Loss, "loss").unwrap()[[]], 0.5);
}

/// A question larger than a pipe holds does not block a program that does not read, or answers first.
#[test]
fn a_large_question_does_not_block() {
    let wide = Cases::new(&subject()).size("H", 20_000).draw(1).unwrap();
    let folder = Folder::new("large");
    for (script, kind) in [
        ("sleep 100", Some("late")),
        ("exit 0", Some("ended")),
        (
            "exec 0<&-; echo '{\"id\": 1, \"loss\": 1}'; sleep 100",
            None,
        ),
        ("echo '{\"id\": 1, \"loss\": 1}'; cat > copy", None),
        ("echo '{\"id\": 1, \"loss\": 1}'; sleep 100", None),
    ] {
        let begun = Instant::now();
        let found = program(&folder, script).answer(&wide, false);
        assert_eq!(
            found.as_ref().err().map(Failure::kind),
            kind,
            "{script}: {found:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10), "{script}");
    }
    let copied = fs::metadata(folder.file("copy")).unwrap().len();
    assert!(copied > 1 << 20, "the question has {copied} bytes");
}

/// After a failure the program starts again.
#[test]
fn the_case_after_a_failure_starts_the_program_again() {
    let folder = Folder::new("again");
    let script = "if test -e once; then read -r q; echo '{\"id\": 1, \"loss\": 1}'; else touch once; exit 1; fi";
    let mut program = program(&folder, script);
    assert_eq!(program.answer(&case(), false).unwrap_err().kind(), "ended");
    assert!(program.answer(&case(), false).is_ok());
}

/// A program that declines one question is not started again for the next.
#[test]
fn a_program_that_declines_goes_on() {
    let folder = Folder::new("declines");
    let script = "echo start >> starts; read -r q; echo '{\"id\": 1, \"unsupported\": \"lengths\"}'; read -r q; echo '{\"id\": 2, \"loss\": 1}'";
    let mut program = program(&folder, script);
    assert_eq!(
        program.answer(&case(), false).unwrap_err().kind(),
        "unsupported"
    );
    assert!(program.answer(&case(), false).is_ok());
    assert_eq!(
        fs::read_to_string(folder.file("starts")).unwrap(),
        "start\n"
    );
}

#[test]
fn a_program_without_a_shell_gets_its_arguments_as_they_are() {
    let subject = subject();
    let script = "read -r q; echo \"{\\\"id\\\": 1, \\\"error\\\": \\\"$1\\\"}\"";
    let arguments = ["-c", script, "sh", "a b; $HOME"];
    let mut program = Program::direct(&subject, "sh", &arguments);
    assert_eq!(
        program.answer(&case(), false).unwrap_err().message(),
        "a b; $HOME"
    );
    let mut absent = Program::direct(&subject, "no_such_program", &[]);
    let found = absent.answer(&case(), false).unwrap_err();
    assert_eq!(found.kind(), "ended");
    assert!(
        found
            .message()
            .contains("`no_such_program` cannot be started"),
        "{found}"
    );
}

/// True if no process with this number runs, or it ends at once: a signal takes a moment. A process whose parent does not
/// ask for its status is a zombie.
#[cfg(target_os = "linux")]
fn is_gone(pid: &str) -> bool {
    let is_zombie = |s: String| {
        s.lines()
            .any(|l| l.starts_with("State:") && l.contains('Z'))
    };
    (0..100).any(|_| {
        let status = fs::read_to_string(std::path::Path::new("/proc").join(pid).join("status"));
        let is_gone = status.map_or(true, is_zombie);
        std::thread::sleep(Duration::from_millis(if is_gone { 0 } else { 20 }));
        is_gone
    })
}

/// All processes that a program has started end with it, also those that ignore signals.
#[cfg(target_os = "linux")]
#[test]
fn no_process_is_left() {
    let children = "trap '' TERM INT HUP; sh -c 'sleep 1000' & echo $! > pids; sleep 1000 & echo $! >> pids; echo $$ >> pids;";
    for (name, rest) in [
        ("late", "sleep 1000"),
        ("ends", "exit 1"),
        (
            "answers",
            "read -r q; echo '{\"id\": 1, \"loss\": 1}'; read -r q",
        ),
        (
            "goes-on",
            "read -r q; echo '{\"id\": 1, \"loss\": 1}'; sleep 1000",
        ),
        ("chatters", "echo hello; sleep 1000"),
    ] {
        let folder = Folder::new(name);
        let mut program = program(&folder, &format!("{children} {rest}"));
        drop(program.answer(&case(), false));
        drop(program);
        let pids = fs::read_to_string(folder.file("pids")).unwrap();
        assert_eq!(pids.lines().count(), 3, "{name}");
        for pid in pids.lines() {
            assert!(is_gone(pid), "{name}: process {pid} is left");
        }
    }
}

/// A stop that is asked for comes long before the time limit.
#[test]
fn a_stop_kills_the_program() {
    let subject = subject();
    for files in [false, true] {
        let stop = Arc::<AtomicBool>::default();
        let here = Arc::clone(&stop);
        let program = Program::new(&subject, "sleep 100; :");
        let program = program.stop_if(move || here.load(Ordering::SeqCst));
        let mut program = if files { program.files() } else { program };
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                stop.store(true, Ordering::SeqCst);
            });
            let found = program.answer(&case(), false).unwrap_err();
            assert!(found.message().contains("was stopped"), "{found}");
        });
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

/// Writes the right answer to the case of these tests, in a file.
fn prepare_file(folder: &Folder, case: &Case) {
    let reference = Reference::new(&subject(), false).unwrap();
    let mut arrays = Arrays::new();
    for (quantity, name, bounded) in reference.expect(case).unwrap().iter() {
        let name = match quantity {
            Quantity::Loss => name.to_owned(),
            q => format!("{}/{name}", q.name()),
        };
        arrays = arrays.with(&name, bounded.value.clone());
    }
    arrays.write(folder.file("right.npz")).unwrap();
}

#[test]
fn files_are_exchanged() {
    let subject = subject();
    for precision in [Precision::F64, Precision::F32] {
        let folder = Folder::new("files");
        let cases = Cases::new(&subject).precision(precision);
        prepare_file(&folder, &cases.draw(1_000_003).unwrap());
        let copy = "f() { cp \"$1\" question.npz; cp right.npz \"$2\"; }; f";
        let mut program = program(&folder, copy).files();
        let certificate = Certify::new(cases).trials(1).run(&mut program).unwrap();
        assert!(certificate.passed(), "{certificate}");
        let question = Arrays::read(folder.file("question.npz")).unwrap();
        let case = &certificate.trials()[0];
        for name in ["params/W", "params/a", "inputs/x", "inputs/y", "inputs/s0"] {
            let array = question.get(name).unwrap();
            let (_, short) = name.split_once('/').unwrap();
            assert_eq!(array.real::<f64>(), case.array(short).unwrap(), "{name}");
            let kind = if short == "y" {
                "integers"
            } else {
                precision.name()
            };
            assert_eq!(array.kind(), kind, "{name}");
        }
        let lengths = question.get("lengths").unwrap().real::<f64>();
        let lengths: Vec<usize> = lengths.iter().map(|n| *n as usize).collect();
        assert_eq!(lengths, case.lengths());
        let size = question.get("sizes/H").unwrap().real::<f64>();
        assert_eq!(size[[]], case.sizes[0].1 as f64);
        assert!(
            question
                .iter()
                .all(|(name, _)| !name.starts_with("direction"))
        );
    }
}

#[test]
fn misbehaviour_with_files_has_messages_of_its_own() {
    let folder = Folder::new("files-wrong");
    prepare_file(&folder, &case());
    let whole = fs::read(folder.file("right.npz")).unwrap();
    fs::write(folder.file("half.npz"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.file("text.npz"), "no archive").unwrap();
    fs::write(folder.file("large.npz"), vec![0; 1 << 20]).unwrap();
    let foreign = Arrays::new().with("W", arr0(1.0));
    foreign.write(folder.file("foreign.npz")).unwrap();
    for (script, kind, part) in [
        ("true", "malformed", "ended well, but wrote no answer"),
        (
            "f() { cp half.npz \"$2\"; }; f",
            "malformed",
            "is not a .npz archive, or is damaged",
        ),
        (
            "f() { cp text.npz \"$2\"; }; f",
            "malformed",
            "is not a .npz archive",
        ),
        (
            "f() { cp large.npz \"$2\"; }; f",
            "malformed",
            "a file of 1048576 bytes, expected at most",
        ),
        (
            "f() { cp foreign.npz \"$2\"; }; f",
            "malformed",
            "has an array `W`, expected `loss`, `gradient/NAME`",
        ),
        (
            "f() { echo no W >&2; echo step 1; exit 4; }; f",
            "ended",
            "exit code 4, expected exit code 0; its standard error ends with:\n    no W; its standard output ends with:\n    step 1",
        ),
        ("no_such_program", "ended", "does not find the command"),
        ("sleep 100; true", "late", "did not end within 1.6s"),
    ] {
        let mut program = program(&folder, script).files();
        let found = program.answer(&case(), false).unwrap_err();
        assert_eq!(found.kind(), kind, "{script}: {found}");
        assert!(found.message().contains(part), "{script}: {found}");
    }
}
