//! Programs that answer, and programs that misbehave in every way: each has a message of its own, none hangs, and no
//! process is left.

#![cfg(all(unix, feature = "process"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../../tests/support/folder.rs"]
mod folder;

mod ends;
mod files;
mod misbehaviour;

use std::fs;
use std::time::Duration;

use bptt::Recurrence;
use bptt_testing::process::Program;
use bptt_testing::{Case, Cases, Certify, Expected, Precision, Quantity, Reference, Verdict};
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
        let case = cases.draw(1 + trial as u64).unwrap();
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
    for (field, value) in [
        ("recurrence", json!(subject.name())),
        ("dtype", json!(case.precision.name())),
        ("second_order", json!(true)),
        ("steps", json!(case.batch.steps())),
        ("samples", json!(case.batch.samples())),
        ("lengths", json!(case.lengths())),
        (
            "sizes",
            case.sizes
                .iter()
                .map(|(n, s)| (n.clone(), json!(s)))
                .collect(),
        ),
    ] {
        assert_eq!(question[field], value, "{field}");
    }
    for (group, names) in [("params", ["W", "a", ""]), ("inputs", ["x", "y", "s0"])] {
        let names = names.iter().filter(|n| !n.is_empty());
        let count = question[group].as_object().unwrap().len();
        assert_eq!(count, names.clone().count(), "the arrays of {group}");
        for name in names {
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
#[expect(
    clippy::cast_possible_truncation,
    reason = "the rounding is the purpose"
)]
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
