//! `bptt export --to c`: what it writes and what it refuses.

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;

fn run(folder: &Folder, line: &str) -> std::process::Output {
    bptt(folder, &line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn options_without_effect_are_refused() {
    let folder = Folder::new("export-options");
    for (line, expected) in [
        (
            "export lstm -o m.onnx",
            "--params FILE is missing: an ONNX model has the parameters in it",
        ),
        (
            "export lstm -p p.npz --dims H=3 -o m.onnx",
            "--dims has no effect with --to onnx",
        ),
        (
            "export lstm --to c -p p.npz -o code",
            "--params has no effect with --to c",
        ),
        (
            "export lstm --to rust --like m.onnx -o code",
            "--like has no effect with --to rust",
        ),
        (
            "export lstm --to c --dims H=3,H=4 -o code",
            "--dims gives the size H twice",
        ),
    ] {
        let text = failure(&run(&folder, line), 2);
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn nothing_is_written_that_cannot_be_exported() {
    let folder = Folder::new("export-refused");
    for (line, expected) in [
        (
            "export lstm --to c --dims H=3 -o code",
            "the size K is missing: code has fixed sizes; give --dims K=…, such as K=8",
        ),
        (
            "export lstm --to c --dims H=3,K=2,O=1,Q=4 -o code",
            "there is no dimension named `Q`",
        ),
        (
            "export lstm_bidirectional --to c --what step --dims H=3,K=2,O=1 -o code",
            "cannot run one step at a time",
        ),
        (
            "export lstm --to c --what online --dims H=3,K=2,O=1 -o code",
            "depends on other entries",
        ),
    ] {
        let text = failure(&run(&folder, line), 3);
        assert!(text.contains(expected), "{line}: {text}");
        assert!(!folder.file("code").exists(), "{line}");
    }
}

#[test]
fn the_files_have_the_name_that_is_given() {
    let folder = Folder::new("export-name");
    let line = "export garch11 --to c --name risk --dtype f32 --what hessian-vector -o a/b";
    success(&run(&folder, line));
    let header = std::fs::read_to_string(folder.file("a/b/risk.h")).unwrap();
    assert!(
        header.contains("int risk_hessian_vector(const float *params"),
        "{header}"
    );
    assert!(folder.file("a/b/risk.c").exists(), "the source");
}
