//! Runs the command line in a folder of a test.

use std::process::{Command, Output};

use crate::support::folder::Folder;

pub(crate) fn bptt(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.current_dir(folder.path()).args(arguments);
    command.output().expect("the command can be run")
}

/// The output of a command that must succeed.
pub(crate) fn success(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let text = String::from_utf8(output.stdout.clone()).expect("the output is text");
    assert!(
        !text.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    text
}

/// The error output of a command that must fail with this code.
pub(crate) fn failure(output: &Output, code: i32) -> String {
    let message = String::from_utf8(output.stderr.clone()).expect("the message is text");
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "nothing but the message");
    assert!(!message.contains("panicked"), "{message}");
    message
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("it is JSON")
}
