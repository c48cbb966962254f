//! Programs that break the protocol: every way has a message of its own.

use std::time::{Duration, Instant};

use bptt_testing::{Cases, Certify, Failure, Foreign};

use crate::folder::Folder;
use crate::{case, program, subject};

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
