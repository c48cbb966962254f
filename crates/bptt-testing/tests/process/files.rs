//! Questions and answers in `.npz` files.

use std::fs;

use bptt::data::Arrays;
use bptt_testing::{Case, Cases, Certify, Foreign, Precision, Quantity, Reference};
use ndarray::arr0;

use crate::folder::Folder;
use crate::{case, program, subject};

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
        prepare_file(&folder, &cases.draw(1).unwrap());
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
        let expected = case
            .lengths()
            .into_iter()
            .map(|n| n as f64)
            .collect::<Vec<_>>();
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), expected);
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
